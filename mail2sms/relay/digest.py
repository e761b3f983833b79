"""The daily digest: when it is due, and the email whose subject is its verdict. Pure.

A day is what lies between two of its hours on the reader's clock: 23 or 25 hours where the clocks change.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mail2sms.ids import derive_id
from mail2sms.model import FINAL, Msisdn, Status
from mail2sms.money import Money
from mail2sms.reasons import REASONS
from mail2sms.relay import wire
from mail2sms.relay.compose import Addressee, Outgoing, date, notice_headers, quiet, shown_number, written
from mail2sms.relay.house import House
from mail2sms.render import Render
from mail2sms.store import Notice
from mail2sms.store.days import DayView, DeviceView, FailedView, Span
from mail2sms.wording import amount, money, when

_ROWS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """Who gets a digest, at which hour of their own; `is_all`: of everybody's messages."""

    address: str
    at: time
    zone: str
    is_all: bool
    when_empty: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A digest of what happened from `since` (with it) to `until` (without it). Its id is the same on every node."""

    id: str
    since: int
    until: int


def due(subscription: Subscription, account: str, now: int) -> Due:
    """Return the latest digest whose hour has come."""
    zone = ZoneInfo(subscription.zone)
    day = datetime.fromtimestamp(now / 1000, zone)
    if _moment(day, subscription.at, zone) > now:
        day -= timedelta(days=1)
    return Due(
        id=derive_id("n", "digest", account, subscription.address.lower(), day.date().isoformat()),
        since=_moment(day - timedelta(days=1), subscription.at, zone),
        until=_moment(day, subscription.at, zone),
    )


def _moment(day: datetime, at: time, zone: ZoneInfo) -> int:
    """An hour that a day has twice is the first of both; one that it has not is as long after the gap began."""
    return int(datetime.combine(day.date(), at, zone).timestamp() * 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One recipient that was not reached, or of whom nobody knows (`is_unknown`); `writer` unless it is the reader."""

    msisdn: Msisdn
    at: int
    reason: str
    is_unknown: bool = False
    writer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestFacts:
    """A day: messages by where they stand now, `failures` the latest first, mails that were `refused` by reason.

    `cost` is None where prices are not known.
    """

    id: str
    addressee: Addressee
    since: int
    until: int
    template_address: str
    is_all: bool
    when_empty: bool = False
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    unknown: int = 0
    replies: int = 0
    refused: tuple[tuple[str, int], ...] = ()
    failures: tuple[Failure, ...] = ()
    cost: Money | None = None
    devices: tuple[DeviceView, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not (self.sent or self.replies or self.refused or self.devices)


def digest_facts(notice: Notice, day: DayView, house: House) -> DigestFacts:
    """Return what a notice tells of a day."""
    said: dict[str, Any] = json.loads(notice.payload or b"{}")
    is_all, count = said["is_all"], Counter(day.statuses)
    return DigestFacts(
        id=notice.id,
        addressee=house.addressee(notice.address),
        since=said["since"],
        until=said["until"],
        template_address=house.template_address,
        is_all=is_all,
        when_empty=said["when_empty"],
        sent=count.total(),
        delivered=count[Status.DELIVERED],
        failed=sum(count[status] for status in FINAL - {Status.DELIVERED}),
        unknown=count[Status.UNKNOWN],
        replies=day.replies,
        refused=tuple(sorted(day.refused.items(), key=lambda each: (-each[1], each[0]))),
        failures=tuple(_failure(each, is_all=is_all) for each in day.failed),
        cost=day.cost,
        devices=day.devices,
    )


def span(notice: Notice) -> Span:
    """Return the day that a notice is about, of everybody's messages or the reader's own."""
    said: dict[str, Any] = json.loads(notice.payload or b"{}")
    writer = "" if said["is_all"] else notice.address.lower()
    return Span(account=notice.account, since=said["since"], until=said["until"], writer=writer)


def _failure(view: FailedView, *, is_all: bool) -> Failure:
    return Failure(
        msisdn=view.msisdn,
        at=view.at,
        reason=view.reason if view.reason in REASONS else "",
        is_unknown=view.status == Status.UNKNOWN,
        writer=view.writer if is_all else "",
    )


def digest_email(facts: DigestFacts, render: Render) -> Outgoing:
    """Return the email of a day."""
    who, domain = facts.addressee, facts.addressee.domain

    def count(number: int) -> str:
        return amount(number, who.language)

    values = {
        "all": facts.sent,
        "arrived": facts.delivered,
        "failed": facts.failed,
        "unknown": facts.unknown,
        "is_all": facts.is_all,
        "sent": count(facts.sent),
        "delivered": count(facts.delivered),
        "lost": count(facts.failed),
        "doubtful": count(facts.unknown),
        "open": count(facts.sent - facts.delivered - facts.failed - facts.unknown),
        "replies": count(facts.replies),
        "refused": [(reason, count(number)) for reason, number in facts.refused],
        "rows": [_row(each, facts, render) for each in facts.failures[:_ROWS]],
        "more": count(len(facts.failures) - _ROWS) if len(facts.failures) > _ROWS else "",
        "devices": [_device(each, facts) for each in facts.devices],
        "cost": money(facts.cost, who.language) if facts.cost else "",
        "since": when(facts.since, who.zone, who.language, facts.until),
        "until": when(facts.until, who.zone, who.language),
    }
    message_id = f"<digest.{facts.id}@{domain}>"
    headers = [
        *notice_headers(
            who, facts.template_address, render.in_language("digest.subject", who.language, **values)
        ),
        ("Date", date(facts.until, who.zone)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),
        *quiet("SMS digest <digest", domain),
        ("X-Mail2SMS-Reason", "digest"),
    ]
    content = written(headers, {"Subject": "SMS"}, "digest", render, who.language, values)
    return Outgoing(to=who.to, envelope_from="", message_id=message_id, content=content)


def _row(failure: Failure, facts: DigestFacts, render: Render) -> dict[str, str]:
    who, number = facts.addressee, shown_number(failure.msisdn)
    known = {"value": number, "domain": who.domain}
    return {
        "number": number,
        "at": when(failure.at, who.zone, who.language, facts.until),
        "cause": render.reason_text(failure.reason, who.language, known) if failure.reason else "",
        "writer": wire.clean_header(failure.writer),
    }


def _device(view: DeviceView, facts: DigestFacts) -> dict[str, Any]:
    who = facts.addressee
    silent = view.silent_since
    return {
        "name": wire.clean_header(view.name),
        "mails": amount(view.mails, who.language),
        "texts": amount(view.texts, who.language),
        "is_one_mail": view.mails == 1,
        "was_heard": view.mails > 0,
        "silent": "" if silent is None else when(silent, who.zone, who.language, facts.until),
    }
