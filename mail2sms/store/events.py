"""The tail: what happened to messages since a place in the log of events, in its order and without loss.

On PostgreSQL a smaller id may become visible after a greater one: another node's transaction took it and is not over.
So a reader takes a `horizon`, waits until every transaction that was open then is over (`oldest_writer`), and only
then reads up to it. SQLite has one writer: ids come in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Select, Text, cast, func, select

from mail2sms.store import schema

event, message, submission = schema.event, schema.message, schema.submission


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """The last event, and the transaction that none may be older than before all up to it can be read."""

    last: int
    transaction: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    """Which events: after one id and up to another, of a recipient, of a writer (in lower case)."""

    after: int
    last: int
    to: str | None = None
    writer: str | None = None
    limit: int = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """One event with the message it is about."""

    id: int
    at: int
    message: str
    to: str
    writer: str
    status: str
    reason: str
    carrier: str
    detail: str


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


def follow(connection: Connection, account: str, wanted: Following) -> list[Happened]:
    """Return what happened in that stretch of the log, in its order."""
    query = _query().where(event.c.id > wanted.after, event.c.id <= wanted.last, event.c.account == account)
    if wanted.to is not None:
        query = query.where(message.c.msisdn == wanted.to)
    if wanted.writer is not None:
        query = query.where(func.lower(submission.c.writer) == wanted.writer)
    return [_read(row) for row in connection.execute(query.order_by(event.c.id).limit(wanted.limit))]


def _query() -> Select[Any]:
    return (
        select(event, message.c.msisdn, submission.c.writer)
        .join(message, message.c.id == event.c.message)
        .join(submission, submission.c.id == message.c.submission)
    )


def _read(row: Row[Any]) -> Happened:
    return Happened(
        id=row.id,
        at=row.at,
        message=row.message,
        to=row.msisdn,
        writer=row.writer,
        status=row.status,
        reason=row.reason,
        carrier=row.carrier,
        detail=row.detail,
    )
