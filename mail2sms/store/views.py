"""Reading: messages with their events, the queue, conversations, and what a notice needs to be composed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, literal_column, or_, select

from mail2sms.lifecycle import due_when_free
from mail2sms.model import NO_DSN, Conversation, Dsn, LeftOut, Msisdn
from mail2sms.money import Money
from mail2sms.rules.loops import Heard
from mail2sms.store import schema
from mail2sms.store.rows import device_name, original_id, read_cost, read_dsn

message, submission, content = schema.message, schema.submission, schema.content

_OPEN = ("queued", "sending", "unknown")
_LATER_MS = 3_600_000  # longer than any pause between two tries


@dataclass(frozen=True, kw_only=True, slots=True)
class EventView:
    """One step of a message's life."""

    at: int
    status: str
    reason: str
    carrier: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldView:
    """How many alarms a device's message tells, how often the same came since, and which phone took care of it."""

    alarms: int
    left_out: int
    acknowledged_by: str | None
    acknowledged_at: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageView:
    """A message as API, CLI and portal show it. `parts` is the number of segments billed.

    `cost` is by its carrier; nothing for what none took, None where the price is not known.
    """

    id: str
    submission: str
    conversation: str
    writer: str
    subject: str
    to: str
    sender_id: str
    status: str
    reason: str
    detail: str
    parts: int
    cost: Money | None
    encoding: str
    class_: str
    carrier: str
    route: tuple[str, ...]
    attempts: int
    created_at: int
    updated_at: int
    due_at: int
    expires_at: int
    reference: str | None
    message_id: str | None
    left_out: tuple[LeftOut, ...] = ()
    text: str = field(default="", repr=False)
    events: tuple[EventView, ...] = ()
    dsn: Dsn = NO_DSN
    machine: str | None = None
    told: ToldView | None = None
    proof: str = ""
    media: str = ""  # how its pictures go: mms, link

    @property
    def by(self) -> str:
        """Who wrote it, as limits count it: an address, `key NAME` or `device NAME`."""
        return self.machine or self.writer

    @property
    def device(self) -> str | None:
        """The name of the device that wrote it."""
        return device_name(self.machine)


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Which messages: all that is given must hold. `since` (with it) and `until` (without) are epoch ms.

    `before` is the id of the last one seen, `writer` in lower case, or `key NAME`, `device NAME`.
    """

    to: str | None = None
    status: str | None = None
    reason: str | None = None
    carrier: str | None = None
    since: int | None = None
    until: int | None = None
    submission: str | None = None
    writer: str | None = None
    before: str | None = None
    limit: int = 100


_OF_SUBMISSION = ("writer", "proof", "subject", "reference", "message_id", "left_out", "machine")


def _query() -> Select[Any]:
    return (
        select(
            message,
            *(submission.c[name] for name in _OF_SUBMISSION),
            content.c.data,
        )
        .join(submission, submission.c.id == message.c.submission)
        .join(content, content.c.id == message.c.content, isouter=True)
    )


def _view(row: Row[Any], events: tuple[EventView, ...] = ()) -> MessageView:
    return MessageView(
        id=row.id,
        submission=row.submission,
        conversation=row.conversation,
        writer=row.writer,
        subject=row.subject,
        to=row.msisdn,
        sender_id=row.sender_id,
        status=row.status,
        reason=row.reason,
        detail=row.detail,
        parts=row.segments,
        cost=read_cost(row.cost, row.currency),
        encoding=row.encoding,
        class_=row._mapping["class"],
        carrier=row.carrier,
        route=tuple(name for name, _ in json.loads(row.route)),
        attempts=row.attempts,
        created_at=row.created_at,
        updated_at=row.updated_at,
        due_at=due_when_free(row.due_at),
        expires_at=row.expires_at,
        reference=row.reference,
        message_id=row.message_id,
        left_out=tuple(LeftOut(kind=kind, lines=lines) for kind, lines in json.loads(row.left_out)),
        text=bytes(row.data or b"").decode(),
        events=events,
        dsn=read_dsn(row.dsn),
        machine=row.machine,
        proof=row.proof,
        media=row.media,
    )


def read_one(connection: Connection, account: str, id_: str) -> MessageView | None:
    """Return a message with its events; None when the account has no such message."""
    row = connection.execute(_query().where(message.c.id == id_, message.c.account == account)).first()
    if row is None:
        return None
    view = _view(row, events_of(connection, id_))
    return replace(view, told=_told(connection, row.submission)) if view.device else view


def _told(connection: Connection, submission_id: str) -> ToldView | None:
    fold = schema.fold.c
    columns = (fold.alarms, fold.left_out, fold.acknowledged_by, fold.acknowledged_at)
    row = connection.execute(select(*columns).where(fold.id == submission_id)).first()
    return None if row is None else ToldView(**row._mapping)


def read_original(connection: Connection, submission_id: str) -> bytes:
    """Return what a report gives back of a mail; nothing where none was asked for, or when it was erased."""
    found = connection.scalar(select(content.c.data).where(content.c.id == original_id(submission_id)))
    return bytes(found or b"")


def events_of(connection: Connection, id_: str) -> tuple[EventView, ...]:
    """Return what happened to a message, an MO or a notice, oldest first."""
    event = schema.event
    rows = connection.execute(select(event).where(event.c.about == id_).order_by(event.c.id))
    return tuple(
        EventView(at=e.at, status=e.status, reason=e.reason, carrier=e.carrier, detail=e.detail) for e in rows
    )


def find(connection: Connection, account: str, search: Search) -> list[MessageView]:
    """Return the newest messages that fit, newest first."""
    wanted: dict[Any, str | None] = {
        message.c.msisdn: search.to,
        message.c.submission: search.submission,
        message.c.reason: search.reason,
        message.c.carrier: search.carrier,
        func.coalesce(submission.c.machine, func.lower(submission.c.writer)): search.writer,
    }
    query = _query().where(_of(account, search))
    if search.status is not None:
        query = query.where(_has(connection, search.status))
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if search.since is not None:
        query = query.where(message.c.created_at >= search.since)
    if search.until is not None:
        query = query.where(message.c.created_at < search.until)
    if search.before is not None:
        query = query.where(_is_before(account, search.before))
    query = query.order_by(message.c.created_at.desc(), message.c.id.desc()).limit(search.limit)
    return [_view(row) for row in connection.execute(query)]


def _has(connection: Connection, status: str) -> ColumnElement[bool]:
    """Found by the index over what is not delivered, so that it costs the same however long the history is.

    SQLite must be told that it may use it. PostgreSQL knows, and would take it for a second condition.
    """
    has = message.c.status == status
    is_told = connection.dialect.name == "sqlite" and status != "delivered"
    return and_(has, message.c.status != literal_column("'delivered'")) if is_told else has


def _of(account: str, search: Search) -> ColumnElement[bool]:
    """Nearly every row has the same account: SQLite takes it for rare, and must not look for a few rows by it."""
    column: ColumnElement[str] = message.c.account
    return (column if search.submission is None else column.concat("")) == account


def _is_before(account: str, id_: str) -> ColumnElement[bool]:
    """Older than this message, or of its time and with a smaller id."""
    other = message.alias()
    at = select(other.c.created_at).where(other.c.id == id_, other.c.account == account).scalar_subquery()
    return and_(message.c.created_at <= at, or_(message.c.created_at < at, message.c.id < id_))


def waiting(connection: Connection, account: str, limit: int) -> list[MessageView]:
    """Return messages whose work is not over (queued, sending, unknown), oldest first."""
    found: list[MessageView] = []
    for status in _OPEN:
        query = _query().where(message.c.account == account, _has(connection, status))
        query = query.order_by(message.c.created_at).limit(limit)
        found += [_view(row) for row in connection.execute(query)]
    return sorted(found, key=lambda view: view.created_at)[:limit]


def counts(connection: Connection) -> dict[str, int]:
    """Return how many messages are queued, sending or unknown, and how many notices wait."""
    found = {
        status: connection.execute(select(func.count()).where(_has(connection, status))).scalar_one()
        for status in _OPEN
    }
    notice = schema.notice
    # A receipt or report that is to be looked at later is owed then.
    is_owed_now = notice.c.due_at < notice.c.updated_at + _LATER_MS
    free = and_(notice.c.status == "queued", notice.c.lease_owner.is_(None), is_owed_now)
    counted = [select(func.count()).where(is_owed) for is_owed in (free, notice.c.lease_owner.is_not(None))]
    return {**found, "notices": sum(connection.execute(query).scalar_one() for query in counted)}


def conversation_by_key(
    connection: Connection, account: str, msisdn: str, reply_key: str
) -> Conversation | None:
    """Return the conversation that a reply address stands for; None when there is none."""
    table = schema.conversation
    row = connection.execute(
        select(table).where(
            table.c.account == account, table.c.msisdn == msisdn, table.c.reply_key == reply_key
        )
    ).first()
    if row is None:
        return None
    wrote = (
        select(func.lower(submission.c.writer))
        .join(message, message.c.submission == submission.c.id)
        .where(message.c.conversation == row.id)
        .distinct()
    )
    return Conversation(
        id=row.id,
        account=row.account,
        our_address=row.our_address,
        msisdn=Msisdn(row.msisdn),
        writers=frozenset(connection.scalars(wrote)),
    )


def heard(connection: Connection, conversation: str) -> Heard | None:
    """Return the last text of the phone in a conversation; None when there is none, or it was erased."""
    mo = schema.mo
    last = select(mo.c.id, mo.c.created_at).where(mo.c.conversation == conversation)
    row = connection.execute(last.order_by(mo.c.created_at.desc()).limit(1)).first()
    data = connection.scalar(select(content.c.data).where(content.c.id == f"{row.id}-0")) if row else None
    return None if row is None or data is None else Heard(text=bytes(data).decode(), at=row.created_at)
