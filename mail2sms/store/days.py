"""Reading what happened in a day, for digests: found by the times of messages and notices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement, Connection, and_, func, select

from mail2sms.model import FINAL, Msisdn, Proof, Status
from mail2sms.money import Money
from mail2sms.store import schema
from mail2sms.store.rows import EMAIL, read_cost

message, submission, notice, fold = schema.message, schema.submission, schema.notice, schema.fold

_FAILED = (*sorted(FINAL - {Status.DELIVERED}), Status.UNKNOWN)
_SHOWN = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """From `since` (with it) to `until` (without); of one `writer` in lower case, else of all."""

    account: str
    since: int
    until: int
    writer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedView:
    """A message that did not arrive, or of which nobody knows. `writer` is an address, or a machine's name."""

    msisdn: Msisdn
    at: int
    status: str
    reason: str
    writer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceView:
    """A machine: how many of its `mails` so many `texts` told (each to so many phones); since when it is silent."""

    name: str
    mails: int = 0
    texts: int = 0
    silent_since: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DayView:
    """Messages that were accepted in the span by their status now; what it brought back; which mails it refused.

    `devices` only where it is of all.
    """

    statuses: dict[str, int] = field(default_factory=dict)
    replies: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    failed: tuple[FailedView, ...] = ()
    cost: Money | None = None
    devices: tuple[DeviceView, ...] = ()


def read_day(connection: Connection, span: Span) -> DayView:
    """Return what happened."""
    told = _told(connection, span)
    return DayView(
        statuses=_statuses(connection, span),
        replies=told.pop(("reply", ""), 0),
        refused={reason: count for (_, reason), count in told.items()},
        failed=_failed(connection, span),
        cost=_cost(connection, span),
        devices=() if span.writer else _devices(connection, span),
    )


def _is_within(span: Span) -> ColumnElement[bool]:
    begun, ended = message.c.created_at >= span.since, message.c.created_at < span.until
    within = and_(message.c.account == span.account, begun, ended, message.c["class"] != "consent")
    return within & (func.lower(submission.c.writer) == span.writer) if span.writer else within


def _statuses(connection: Connection, span: Span) -> dict[str, int]:
    counted = select(message.c.status, func.count()).join(submission).where(_is_within(span))
    rows = connection.execute(counted.group_by(message.c.status)).all()
    return {row[0]: row[1] for row in rows}


def _cost(connection: Connection, span: Span) -> Money | None:
    """Nothing where one price is not known: a part of the sum would mislead."""
    cost = select(
        func.sum(message.c.cost), func.max(message.c.currency), func.count() - func.count(message.c.cost)
    )
    total, currency, unknown = connection.execute(cost.join(submission).where(_is_within(span))).one()
    return None if unknown or total is None else read_cost(int(total), currency)


def _failed(connection: Connection, span: Span) -> tuple[FailedView, ...]:
    failed = message.c.status.in_([status.value for status in _FAILED])
    columns = (
        message.c.msisdn,
        message.c.updated_at,
        message.c.status,
        message.c.reason,
        submission.c.writer,
        submission.c.machine,
    )
    query = select(*columns).join(submission).where(_is_within(span), failed)
    rows = connection.execute(query.order_by(message.c.updated_at.desc(), message.c.id).limit(_SHOWN))
    return tuple(
        FailedView(
            msisdn=Msisdn(row.msisdn),
            at=row.updated_at,
            status=row.status,
            reason=row.reason,
            writer=row.machine.partition(" ")[2] if row.machine else row.writer,
        )
        for row in rows
    )


def _told(connection: Connection, span: Span) -> Counter[tuple[str, str]]:
    """Replies, and refused mails by reason; each is told once by email."""
    found: Counter[tuple[str, str]] = Counter()
    for kind in ("reply", "refused"):
        begun, ended = notice.c.created_at >= span.since, notice.c.created_at < span.until
        of = and_(notice.c.account == span.account, notice.c.kind == kind, begun, ended)
        query = select(notice.c.reason, func.count()).where(of, notice.c.channel == EMAIL)
        if span.writer:
            query = query.where(func.lower(notice.c.address) == span.writer)
        for reason, count in connection.execute(query.group_by(notice.c.reason)):
            found[kind, reason if kind == "refused" else ""] += count
    return found


def _devices(connection: Connection, span: Span) -> tuple[DeviceView, ...]:
    """Return those that were heard of in the span, by name, and those that are silent."""
    of = and_(_is_within(span), submission.c.machine.startswith(f"{Proof.DEVICE} "))
    columns = (
        submission.c.id,
        submission.c.machine,
        func.max(fold.c.alarms + fold.c.left_out).label("mails"),
    )
    each = select(*columns).select_from(message).join(submission).where(of)
    each = each.join(fold, fold.c.id == submission.c.id, isouter=True)
    texts = each.group_by(submission.c.id, submission.c.machine).subquery()
    told = select(texts.c.machine, func.count(), func.sum(func.coalesce(texts.c.mails, 1)))
    found: dict[str, DeviceView] = {}
    for machine, count, mails in connection.execute(told.group_by(texts.c.machine)):
        name = machine.partition(" ")[2]
        found[name] = DeviceView(name=name, texts=count, mails=int(mails))
    device = schema.device
    silent = (device.c.account == span.account) & (device.c.silent_at > 0)
    for row in connection.execute(select(device.c.name, device.c.heard_at).where(silent)):
        known = found.get(row.name, DeviceView(name=row.name))
        found[row.name] = replace(known, silent_since=row.heard_at)
    return tuple(found[name] for name in sorted(found))
