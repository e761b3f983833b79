"""What happens to messages beside sending: leases of the dead, leases of the living, expiry, cancelling.

An attempt without outcome whose lease is gone is Uncertain; a claim without intent is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from mail2sms import lifecycle
from mail2sms.lifecycle import Change
from mail2sms.model import Status
from mail2sms.store import notices, queue, schema
from mail2sms.store.rows import clock_ms, read_message
from mail2sms.store.writer import Verb

message, attempt = schema.message, schema.attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """Take back the leases of the dead: those that ran out, or (`is_first`: nobody else is alive) all."""

    now: int
    on_unknown: str
    is_first: bool = False


def _recover(connection: Connection, recoveries: Sequence[Recovery]) -> list[int]:
    return [_recover_one(connection, recovery) for recovery in recoveries]


def _recover_one(connection: Connection, recovery: Recovery) -> int:
    leased: ColumnElement[bool] = message.c.lease_owner.is_not(None)
    if not recovery.is_first:
        leased = and_(leased, message.c.lease_until < clock_ms(connection, recovery.now))
    rows = connection.execute(select(message).where(leased).with_for_update(skip_locked=True)).all()
    free = [row.id for row in rows if row.status == "queued"]
    for start in range(0, len(free), 500):
        chunk = message.c.id.in_(free[start : start + 500])
        connection.execute(update(message).where(chunk).values(lease_owner=None, lease_until=None))
    for row in rows:
        if row.status == "sending":
            _declare_uncertain(connection, row, recovery)
    notices.free_leases(connection, recovery.now, is_first=recovery.is_first)
    return len(rows)


def _declare_uncertain(connection: Connection, row: Row[Any], recovery: Recovery) -> None:
    open_attempts = and_(attempt.c.message == row.id, attempt.c.outcome.is_(None))
    connection.execute(
        update(attempt).where(open_attempts).values(outcome="uncertain", ended_at=recovery.now, code="crash")
    )
    mt = read_message(row)
    detail = "stopped between handing over and hearing the answer"
    change = lifecycle.after_uncertain(mt, detail, recovery.now, recovery.on_unknown)
    values = {**queue.changed(change, mt, recovery.now), "fence": message.c.fence + 1}
    connection.execute(update(message).where(message.c.id == row.id).values(**values))
    queue.write_event(connection, row, change, recovery.now)
    changed = connection.execute(select(message).where(message.c.id == row.id)).one()
    notices.about_failure(connection, changed, recovery.now)


RECOVER: Verb[Recovery, int] = Verb(_recover, wakes=lambda _, count: ("mt", "notice") * bool(count))


def _expire(connection: Connection, times: Sequence[int]) -> list[int]:
    """Give up what waited too long; at most 500 a time, so that nobody waits behind it."""
    now = max(times)
    late = (
        select(message.c.id)
        .where(message.c.status == "queued", message.c.lease_owner.is_(None), message.c.expires_at <= now)
        .limit(500)
        .with_for_update(skip_locked=True)
    )
    change = Change(status=Status.EXPIRED, reason="carrier.expired", detail="never taken by a carrier")
    rows = connection.execute(
        update(message)
        .where(message.c.id.in_(late))
        .values(status="expired", reason=change.reason, detail=change.detail, updated_at=now)
        .returning(message)
    ).all()
    for row in rows:
        queue.write_event(connection, row, change, now)
        notices.about_failure(connection, row, now)
    return [len(rows)] * len(times)


EXPIRE: Verb[int, int] = Verb(_expire, wakes=lambda _, count: ("notice",) * bool(count))


def _cancel(connection: Connection, wishes: Sequence[tuple[str, str, int]]) -> list[Status | None]:
    return [_cancel_one(connection, *wish) for wish in wishes]


def _cancel_one(connection: Connection, account: str, id_: str, now: int) -> Status | None:
    mine = and_(message.c.id == id_, message.c.account == account)
    row = connection.execute(
        update(message)
        .where(mine, message.c.status == "queued")
        .values(status="cancelled", reason="", updated_at=now, lease_owner=None, lease_until=None)
        .returning(message)
    ).first()
    if row is not None:
        queue.write_event(connection, row, Change(status=Status.CANCELLED), now)
        return Status.CANCELLED
    current = connection.execute(select(message.c.status).where(mine)).scalar_one_or_none()
    return Status(current) if current else None


CANCEL: Verb[tuple[str, str, int], Status | None] = Verb(_cancel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal:
    """`owner` is alive: its leases last `lease_ms` from now."""

    owner: str
    now: int
    lease_ms: int


def _renew(connection: Connection, renewals: Sequence[Renewal]) -> list[int]:
    counts = []
    for renewal in renewals:
        until = clock_ms(connection, renewal.now) + renewal.lease_ms
        tables = (message, schema.notice)
        done = [
            connection.execute(update(t).where(t.c.lease_owner == renewal.owner).values(lease_until=until))
            for t in tables
        ]
        counts.append(sum(d.rowcount for d in done))
    return counts


RENEW: Verb[Renewal, int] = Verb(_renew)
