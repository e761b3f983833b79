"""The tail: what happened to messages, MOs, notices and carriers since a place in the log, in order, without loss.

On PostgreSQL a smaller id may become visible after a greater one: another node's transaction took it and is not over.
So a reader takes a `horizon`, waits until every transaction that was open then is over (`oldest_writer`), and only
then reads up to it. SQLite has one writer: ids come in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, Connection, Row, Table, Text, cast, func, select

from mail2sms.store import schema

event, message, submission = schema.event, schema.message, schema.submission
notice, mo = schema.notice, schema.mo


Kind = Literal["message", "mo", "notice", "carrier"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """The last event, and the transaction that none may be older than before all up to it can be read."""

    last: int
    transaction: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    """Which events: from after one id up to another; of a phone; what somebody (in lower case) wrote or is told."""

    after: int
    last: int
    to: str | None = None
    writer: str | None = None
    limit: int = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """One event and what it is about, by its id and `kind`: message, mo, notice or (down, up) carrier.

    `to` is who gets it, `writer` who wrote it; of a notice `told` is what it tells, `channel` how.
    """

    id: int
    at: int
    about: str
    kind: Kind
    to: str
    writer: str
    told: str
    channel: str
    status: str
    reason: str
    carrier: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """What happened, and after which event to go on."""

    items: tuple[Happened, ...]
    next: int


def horizon(connection: Connection) -> Horizon:
    """Return how far the log reaches now."""
    last = connection.scalar(select(func.max(event.c.id))) or 0
    return Horizon(last=last, transaction=_transaction(connection, func.pg_snapshot_xmax))


def oldest_writer(connection: Connection) -> int:
    """Return the oldest transaction that may still write; where there is one writer, none is old."""
    return _transaction(connection, func.pg_snapshot_xmin)


def _transaction(connection: Connection, edge: Any) -> int:
    if connection.dialect.name == "sqlite":
        return 0
    number = cast(cast(edge(func.pg_current_snapshot()), Text), BigInteger)  # xid8 has no cast of its own
    return int(connection.execute(select(number)).scalar_one())


def follow(connection: Connection, account: str, wanted: Following) -> Followed:
    """Return what happened in that stretch of the log, or in its beginning, in its order.

    Each table is asked by ids alone: joined, PostgreSQL would read some of them whole while they are small.
    """
    stretch = (event.c.id > wanted.after, event.c.id <= wanted.last, event.c.account == account)
    rows = connection.execute(select(event).where(*stretch).order_by(event.c.id).limit(wanted.limit)).all()
    about = _about(connection, {row.about for row in rows})
    found = [_happened(row, about[row.about]) for row in rows if row.about in about]
    is_all = len(rows) < wanted.limit
    return Followed(
        items=tuple(one for one in found if _is_wanted(one, about[one.about], wanted)),
        next=wanted.last if is_all else rows[-1].id,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Thing:
    """What an event is about. Of a notice: `phone` and `writer` are those of what it tells of."""

    kind: Kind
    to: str
    by: str
    phone: str
    writer: str = ""
    told: str = ""
    channel: str = ""
    why: str = ""


_CARRIER = _Thing(kind="carrier", to="", by="", phone="")


def _about(connection: Connection, ids: Collection[str]) -> dict[str, _Thing]:
    notices = _rows(connection, notice, ids)
    told = {value for row in notices.values() for value in (row.mo, row.message) if value}
    mos, messages = (_rows(connection, table, told.union(ids)) for table in (mo, message))
    submissions = _rows(connection, submission, {row.submission for row in messages.values()})
    found = {id_: _CARRIER for id_ in ids if id_.startswith(schema.CARRIER)}
    for id_, row in mos.items():
        found[id_] = _Thing(kind="mo", to=row.our_address, by=row.msisdn, phone=row.msisdn)
    for id_, row in messages.items():
        mail = submissions[row.submission]
        writer = mail.machine or mail.writer
        found[id_] = _Thing(kind="message", to=row.msisdn, by=writer, phone=row.msisdn, writer=writer)
    for id_, row in notices.items():
        tells_of = found.get(row.message or row.mo or "")
        found[id_] = _Thing(
            kind="notice",
            to=row.address,
            by="",
            phone=tells_of.phone if tells_of else "",
            writer=tells_of.writer if tells_of else "",
            told=row.kind,
            channel=row.channel,
            why=row.reason,
        )
    return found


def _rows(connection: Connection, table: Table, ids: Iterable[str]) -> dict[str, Row[Any]]:
    wanted = list(ids)
    return (
        {row.id: row for row in connection.execute(select(table).where(table.c.id.in_(wanted)))}
        if wanted
        else {}
    )


def _is_wanted(happened: Happened, thing: _Thing, wanted: Following) -> bool:
    if wanted.to is not None and thing.phone != wanted.to:
        return False
    told = happened.to if thing.kind == "notice" else ""
    return wanted.writer is None or wanted.writer in (thing.writer.lower(), told.lower())


def _happened(row: Row[Any], thing: _Thing) -> Happened:
    return Happened(
        id=row.id,
        at=row.at,
        about=row.about,
        kind=thing.kind,
        to=thing.to,
        writer=thing.by,
        told=thing.told,
        channel=thing.channel,
        status=row.status,
        reason=row.reason or thing.why,
        carrier=row.carrier,
        detail=row.detail,
    )
