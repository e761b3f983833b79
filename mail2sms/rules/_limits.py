"""Limits such as 500 a day, and the calendar windows that they are counted in. Pure.

A window begins and ends by the clock on the wall of one time zone: a day has 23 or 25 hours when the clocks change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from mail2sms.model import MtMessage
from mail2sms.money import Money
from mail2sms.options import Rate

MESSAGES, PARTS = "messages", "parts"
WINDOWS: Final = ("minute", "hour", "day", "month")
DEFAULT = "default"
"""In `Quotas.countries`: those that are not named."""

PREFIXED = 4  # digits: a block of numbers that begin alike is 10,000 of them

_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000
_CACHED = 1024


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` of `unit` in each `window`: MESSAGES, PARTS, or millionths of a currency's unit."""

    amount: int
    unit: str
    window: str

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit == PARTS else ""
        return f"{self.written(self.amount)}{unit}/{self.window}"

    @property
    def is_money(self) -> bool:
        """Whether it is about what messages cost."""
        return self.unit not in {MESSAGES, PARTS}

    def written(self, amount: int) -> str:
        """Return an amount of its unit: `500`, `60 EUR`."""
        return str(Money(amount, self.unit)) if self.is_money else str(amount)

    def taken_by(self, mt: MtMessage) -> int:
        """Return what a message takes of it: of costs by several carriers the highest, of an unknown one nothing."""
        if self.is_money:
            known = [cost.millionths for cost in mt.costs if cost and cost.currency == self.unit]
            return max(known, default=0)
        return mt.segments if self.unit == PARTS else 1


Limits = tuple[Limit, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Detectors:
    """From when on messages look like fraud, and wait.

    `sequential`: different phones of one block of numbers in a time; `new_country`: messages in the first two days;
    `unusual`: how many times a writer's mean day of the week before.
    """

    sequential: Rate | None = None
    new_country: int | None = None
    unusual: int | None = None

    @property
    def is_on(self) -> bool:
        """Whether any of them looks."""
        return (self.sequential, self.new_country, self.unusual) != (None, None, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quotas:
    """How much may be sent, in windows of `zone`.

    `user` is for each writer that `users` (by address) says nothing of; `members` are the teams of an address that
    have limits in `teams`. `number` and `prefix` are for each phone and for each 10,000 numbers that begin alike.
    The window of `approval_above` is one email or API call; `approvers` are asked then.
    """

    zone: str = "UTC"
    user: Limits = ()
    users: Mapping[str, Limits] = field(default_factory=dict)
    teams: Mapping[str, Limits] = field(default_factory=dict)
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    number: Limits = ()
    prefix: Limits = ()
    countries: Mapping[str, Limits] = field(default_factory=dict)
    total: Limits = ()
    cost: Limits = ()
    approval_above: Limits = ()
    approvers: tuple[str, ...] = ()
    detectors: Detectors = Detectors()


@dataclass(frozen=True, slots=True)
class Span:
    """One window: from `start` on, no longer at `end`."""

    start: int
    end: int


def span(window: str, at: int, zone: str) -> Span:
    """Return the window of this kind that the moment `at` is in."""
    return _span(window, at // _MINUTE_MS, zone)


@lru_cache(_CACHED)
def _span(window: str, minute: int, zone: str) -> Span:
    at = minute * _MINUTE_MS
    if window == "minute":
        return Span(at, at + _MINUTE_MS)
    local = datetime.fromtimestamp(at / 1000, ZoneInfo(zone))
    if window == "hour":  # of the zone: in some it begins at half past
        start = at - local.minute * _MINUTE_MS
        return Span(start, start + _HOUR_MS)
    first = local.date() if window == "day" else local.date().replace(day=1)
    after = first + timedelta(days=1 if window == "day" else 32)
    return Span(_midnight(first, zone), _midnight(after if window == "day" else after.replace(day=1), zone))


def _midnight(day: date, zone: str) -> int:
    """The first moment of a day; one that begins with a jump of the clocks begins at the jump."""
    return int(datetime.combine(day, time(), ZoneInfo(zone)).timestamp() * 1000)
