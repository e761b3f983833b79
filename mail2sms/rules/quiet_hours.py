"""Marketing waits for the morning of the phone; with `quiet_for: all` everything but alarms does. Expiry waits too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from mail2sms import numbers
from mail2sms.lifecycle import Change, later
from mail2sms.model import MessageClass, Msisdn, MtMessage
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
    if not _is_meant(candidate.writer.class_, policy):
        return None
    return quiet_at(candidate.msisdn, candidate.region, policy, due_at)


def held_till_morning(mt: MtMessage, change: Change, policy: Policy) -> Change | None:
    """Return the change that lets a message wait which would be due by `change` at night; None: it may go then.

    However it comes to be due: it may have waited for approval, its carrier, a daemon or the operator.
    """
    if change.due_at is None or not _is_meant(mt.class_, policy):
        return None
    hold = quiet_at(mt.msisdn, mt.region, policy, change.due_at)
    return None if hold is None else later(change, mt, hold.until, REASON, hold.detail)


def _is_meant(class_: MessageClass, policy: Policy) -> bool:
    return class_ is MessageClass.MARKETING or (
        policy.is_quiet_for_all and class_ is MessageClass.TRANSACTIONAL
    )


def quiet_at(msisdn: Msisdn, region: str, policy: Policy, at: int) -> Hold | None:
    """Return how long it is quiet at a phone, whoever writes; None: it is not."""
    quiet = policy.quiet_hours.get(region) or policy.quiet_hours.get(DEFAULT)
    if quiet is None:
        return None
    until, zone = quiet.free_at(at, numbers.zones(msisdn))
    if until == at:
        return None
    local = datetime.fromtimestamp(until / 1000, ZoneInfo(zone))
    return Hold(until=until, detail=f"quiet hours of {region} until {local:%Y-%m-%d %H:%M}, {zone}")
