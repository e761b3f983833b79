"""How much each writer, team, phone, block of numbers and country may get, and all together. Pure.

Says what a message takes of which limits; whether it fits is known only where they are counted: in the store, in the
transaction that queues. What is over a limit of its destination is refused alone. Of a limit of the writer's or of
all, an email or API call gets what it needs or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from mail2sms import numbers
from mail2sms.errors import Problem
from mail2sms.model import Msisdn, MtMessage, Writer
from mail2sms.rules._base import Reservation, who
from mail2sms.rules._limits import DEFAULT, PREFIXED, Limit, Limits, Quotas, Span, span
from mail2sms.wording import rate

ALL = "all"
_SHARED = frozenset({"user", "team", "total", "cost"})
_REASONS = {
    "user": "quota.user",
    "team": "quota.team",
    "number": "quota.number",
    "prefix": "quota.prefix",
    "country": "quota.country",
    "total": "quota.total",
    "cost": "quota.cost",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What a message takes of one limit. `kind`: user, team, number, prefix, country, total or cost; `of`: which."""

    account: str
    kind: str
    of: str
    limit: Limit
    span: Span
    amount: int = 0

    @property
    def reservation(self) -> Reservation:
        """The same for the store."""
        window = f"{self.limit.window} {self.span.start}"
        return Reservation(
            key=f"quota {self.account} {self.kind} {self.of} {self.limit.unit} {window}",
            amount=self.amount,
            limit=self.limit.amount,
            until=self.span.end,
            is_shared=self.kind in _SHARED,
        )

    def problem(self, used: int, needed: int, zone: str) -> Problem:
        """Return the refusal of what needs so much when so much is used; `zone` is its reader's."""
        until = datetime.fromtimestamp(self.span.end / 1000, ZoneInfo(zone))
        limit = self.limit
        facts = {
            "limit": limit.written(limit.amount),
            "unit": limit.unit,
            "window": limit.window,
            "rate": rate(limit.amount, limit.unit, limit.window, "en").replace("\u00a0", " "),
            "left": limit.written(max(0, limit.amount - used)),
            "count": limit.written(needed),
            "until": until.isoformat(timespec="minutes"),
        }
        return Problem(reason=_REASONS[self.kind], value=self._shown(), facts=facts)

    def _shown(self) -> str:
        return numbers.display(Msisdn(self.of)) if self.kind == "number" else self.of


def told_once(use: Use) -> str:
    """Return what an administrator is told of once: of limits that there are thousands of, only that one is reached."""
    of = "" if use.kind in {"number", "prefix"} else use.of
    return f"{use.account} {use.kind} {of} {use.limit.unit} {use.limit.window} {use.span.start}"


def uses(mt: MtMessage, writer: Writer, quotas: Quotas) -> tuple[Use, ...]:
    """Return what a message takes of each limit that it comes under."""
    limits = limits_of(
        mt.account, mt.created_at, quotas, writer=who(writer), msisdn=mt.msisdn, region=mt.region
    )
    found = (replace(use, amount=use.limit.taken_by(mt)) for use in limits)
    return tuple(use for use in found if use.amount)


def limits_of(
    account: str, at: int, quotas: Quotas, *, writer: str = "", msisdn: str = "", region: str = ""
) -> Iterator[Use]:
    """Yield the limits that hold for all, a writer, a phone and a country, in their windows, with nothing taken."""
    for kind, of, limits in _kinds(quotas, writer, msisdn, region):
        for limit in limits if of else ():
            window = span(limit.window, at, quotas.zone)
            yield Use(account=account, kind=kind, of=of, limit=limit, span=window)


def _kinds(quotas: Quotas, writer: str, msisdn: str, region: str) -> Iterator[tuple[str, str, Limits]]:
    yield "user", writer, quotas.users.get(writer, quotas.user)
    for team in quotas.members.get(writer, ()):
        yield "team", team, quotas.teams[team]
    yield "number", msisdn, quotas.number
    yield "prefix", msisdn[:-PREFIXED], quotas.prefix
    yield "country", region, quotas.countries.get(region, quotas.countries.get(DEFAULT, ()))
    yield "total", ALL, quotas.total
    yield "cost", ALL, quotas.cost
