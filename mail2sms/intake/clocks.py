"""When a mail was written, by its Date and in spite of clocks that are wrong. Pure.

Machines without a battery begin in 1970, others are years ahead or know no zone, and some say no date at all. A Date
is believed as far as nothing speaks against it; else when the first mail server took it, or when we did, counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

_MOST = 200  # characters of a date that are read
_ZONE = re.compile(r"(?:[+-][0-9]{4}|[A-Z]{1,5})(?: *\([^()]*\))? *\Z")
_AHEAD_MS = 5 * 60_000  # clocks that are set differ by less
_DAY_MS = 86_400_000
_MEANS_NOTHING_MS = 1_577_836_800_000  # 2020-01-01: no device that runs now was told such a time

RULES = {
    "date": "by its Date",
    "no_date": "by its arrival: it has no Date that can be read",
    "reset": "by its arrival: its Date is of a clock that was never set",
    "future": "by its arrival: its Date is in the future",
    "old": "by its arrival: its Date is more than a day old, and no mail server had it since",
    "received": "by the first mail server that took it: its Date is wrong",
}
"""By which clock a mail's age was counted, in words."""


@dataclass(frozen=True, slots=True)
class Written:
    """When a mail was written, and by which of RULES."""

    at: int
    rule: str


def written_at(date: str, received: list[str], now: int, zone: str) -> Written:
    """Return when a mail that came at `now` was written. `received` are its Received fields, the first one last.

    A date without a zone is of `zone`.
    """
    said = _moment(date, zone)
    relayed = _moment(received[-1].rpartition(";")[2], zone) if received else None
    if relayed is not None and not now - 30 * _DAY_MS <= relayed <= now + _AHEAD_MS:
        relayed = None
    if said is None:
        rule = "no_date"
    elif said < _MEANS_NOTHING_MS:
        rule = "reset"
    elif said > now + _AHEAD_MS:
        rule = "future"
    elif now - said <= _DAY_MS or (relayed is not None and abs(relayed - said) <= _DAY_MS):
        return Written(min(said, now), "date")
    else:
        rule = "old"
    return Written(now, rule) if relayed is None else Written(min(relayed, now), "received")


def _moment(text: str, zone: str) -> int | None:
    """Return a date of RFC 5322 in epoch milliseconds; None for all else."""
    text = text.strip()[:_MOST]
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    has_zone = _ZONE.search(text) is not None and not text.endswith("-0000")
    if found.tzinfo is None or not has_zone:
        found = found.replace(tzinfo=ZoneInfo(zone) if not text.endswith("-0000") else UTC)
    try:
        return int((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    except OverflowError:
        return None
