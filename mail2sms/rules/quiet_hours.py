"""Marketing waits for the morning of the phone; with `quiet_for: all` everything but alarms does. Expiry waits too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from mail2sms import numbers
from mail2sms.model import MessageClass
from mail2sms.quiet import DEFAULT
from mail2sms.rules._base import Candidate, Policy

REASON = "quiet_hours"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """When it may go, and `detail`: whose clock says so."""

    until: int
    detail: str


def hold(candidate: Candidate, policy: Policy, due_at: int) -> Hold | None:
    """Return how long a message that is due then must wait; None: not at all."""
    class_ = candidate.writer.class_
    is_meant = class_ is MessageClass.MARKETING or (
        policy.is_quiet_for_all and class_ is MessageClass.TRANSACTIONAL
    )
    quiet = policy.quiet_hours.get(candidate.region) or policy.quiet_hours.get(DEFAULT)
    if not is_meant or quiet is None:
        return None
    until, zone = quiet.free_at(due_at, numbers.zones(candidate.msisdn))
    if until == due_at:
        return None
    local = datetime.fromtimestamp(until / 1000, ZoneInfo(zone))
    return Hold(until=until, detail=f"quiet hours of {candidate.region} until {local:%Y-%m-%d %H:%M}, {zone}")
