"""What happens to messages beside sending: leases, expiry, cancelling, carriers that are no longer there.

An attempt without outcome whose lease is gone is Uncertain; a claim without intent is free. What may have been sent is
never called cancelled or expired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, TextClause, and_, func, select, update

from mail2sms import lifecycle
from mail2sms.lifecycle import Change
from mail2sms.model import MtMessage, Status
from mail2sms.store import notices, outcomes, reports, schema, teaching
from mail2sms.store.put import insert_notices
from mail2sms.store.rows import carried, clock_ms, read_message
from mail2sms.store.writer import Verb

message, attempt = schema.message, schema.attempt

_CHUNK = 500  # rows a time, so that nobody waits long behind them
_FREE = and_(message.c.status == "queued", message.c.lease_owner.is_(None))


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal:
    """`owner` is alive and has these under way: their leases last `lease_ms` from now. Others of its run out."""

    owner: str
    lease_ms: int
    messages: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def _renew(connection: Connection, renewals: Sequence[Renewal]) -> list[None]:
    for renewal in renewals:
        until = clock_ms(connection) + renewal.lease_ms
        for table, ids in ((message, renewal.messages), (schema.notice, renewal.notices)):
            if ids:
                ours = (table.c.lease_owner == renewal.owner) & table.c.id.in_(ids)
                connection.execute(update(table).where(ours).values(lease_until=until))
    return [None] * len(renewals)


RENEW: Verb[Renewal, None] = Verb(_renew)


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
        leased = and_(leased, message.c.lease_until < clock_ms(connection))
    # In the order of ids, but found by the lease: SQLite would go through the whole table for the order.
    ids = select(message.c.id).where(leased)
    query = select(message).where(message.c.id.in_(ids), leased).order_by(message.c.id)
    rows = connection.execute(query.with_for_update(of=message, skip_locked=True)).all()
    free = [row.id for row in rows if row.status == "queued"]
    for start in range(0, len(free), _CHUNK):
        chunk = message.c.id.in_(free[start : start + _CHUNK])
        connection.execute(update(message).where(chunk).values(lease_owner=None, lease_until=None))
    for row in rows:
        if row.status == "sending":
            _declare_uncertain(connection, row, recovery)
    notices.free_leases(connection, is_first=recovery.is_first)
    return len(rows)


def _declare_uncertain(connection: Connection, row: Row[Any], recovery: Recovery) -> None:
    open_attempts = and_(attempt.c.message == row.id, attempt.c.outcome.is_(None))
    connection.execute(
        update(attempt).where(open_attempts).values(outcome="uncertain", ended_at=recovery.now, code="crash")
    )
    detail = "stopped between handing over and hearing the answer"
    change = lifecycle.after_uncertain(read_message(row), detail, recovery.now, recovery.on_unknown)
    _change(connection, row, change, recovery.now)


def _change(connection: Connection, row: Row[Any], change: Change, now: int) -> None:
    """Write a change to a locked row, its event, and what is to be told."""
    values = {**outcomes.changed(change, read_message(row), now), "fence": message.c.fence + 1}
    changed = update(message).where(message.c.id == row.id).values(**values).returning(message)
    after = connection.execute(changed).one()
    outcomes.write_event(connection, after, change, now)
    notices.about_change(connection, after, now)


RECOVER: Verb[Recovery, int] = Verb(_recover, wakes=lambda _, count: ("mt", "notice") * bool(count))


@dataclass(frozen=True, kw_only=True, slots=True)
class Postponement:
    """A claimed message of which nothing has left waits as `change` says."""

    mt: MtMessage
    change: Change
    now: int


def _postpone(connection: Connection, postponements: Sequence[Postponement]) -> list[bool]:
    return [_postpone_one(connection, each) for each in postponements]


def _postpone_one(connection: Connection, postponement: Postponement) -> bool:
    """Its writer hears of it once, as of what waits from the start."""
    mt, change, now = postponement.mt, postponement.change, postponement.now
    ours = and_(message.c.id == mt.id, message.c.fence == mt.fence, message.c.status == "queued")
    row = connection.execute(select(message).where(ours).with_for_update()).first()
    if row is None:
        return False
    _change(connection, row, change, now)
    query = select(schema.submission.c.writer, schema.submission.c.source)
    writer, source = connection.execute(query.where(schema.submission.c.id == mt.submission)).one()
    if source == "smtp" and "@" in writer and mt.dsn.notify != ("NEVER",):
        told = teaching.held_notice(mt, change.due_at or now, writer, _others(connection, mt), now)
        insert_notices(connection, [told])
    return True


def _others(connection: Connection, mt: MtMessage) -> int:
    """Return how many messages of the same mail to the same country wait, too."""
    of_mail = and_(message.c.submission == mt.submission, message.c.id != mt.id)
    waiting = and_(of_mail, message.c.region == mt.region, message.c.status == "queued")
    return connection.execute(select(func.count()).where(waiting)).scalar_one()


POSTPONE: Verb[Postponement, bool] = Verb(_postpone, wakes=lambda *_: ("notice",))


def _expire(connection: Connection, times: Sequence[int]) -> list[int]:
    """Give up messages and notices that waited too long."""
    now = max(times)
    late = select(message).where(_FREE, message.c.expires_at <= now).limit(_CHUNK)
    rows = connection.execute(late.with_for_update(skip_locked=True)).all()
    for row in rows:
        if row.reason == lifecycle.RESEND:
            detail = "it may have been sent; there was no time to send it again"
            change = Change(status=Status.UNKNOWN, reason="carrier.unknown", detail=detail)
        elif row.reason == lifecycle.APPROVAL:
            detail = "nobody approved it in time"
            change = Change(status=Status.EXPIRED, reason="approval.expired", detail=detail)
        else:
            change = Change(
                status=Status.EXPIRED, reason="carrier.expired", detail="never taken by a carrier"
            )
        _change(connection, row, change, now)
    notices.expire(connection, now)
    return [len(rows)] * len(times)


EXPIRE: Verb[int, int] = Verb(_expire, wakes=lambda _, count: ("notice",) * bool(count))


def _bring_forward(connection: Connection, times: Sequence[int]) -> list[bool]:
    """Let what was to wait for so long from a time that is still to come (the clock was set back) wait from now.

    Returns whether there may be more.
    """
    now = max(times)
    more = _count_anew(connection, message, schema.COUNTED, now)
    more |= _count_anew(connection, schema.notice, schema.WAITING, now)
    return [more] * len(times)


def _count_anew(connection: Connection, table: Table, is_counted: TextClause, now: int) -> bool:
    is_ahead = and_(is_counted, table.c.updated_at > now)
    latest = connection.scalar(select(func.max(table.c.updated_at)).where(is_ahead))
    if latest is None:
        return False
    # All by as much, the earliest first: they stay in their order.
    columns = {name: table.c[name] - (latest - now) for name in ("due_at", "updated_at")}
    ahead = select(table.c.id).where(is_ahead).order_by(table.c.updated_at).limit(_CHUNK)
    ahead = ahead.with_for_update(skip_locked=True)
    return connection.execute(update(table).where(table.c.id.in_(ahead)).values(columns)).rowcount == _CHUNK


BRING_FORWARD: Verb[int, bool] = Verb(_bring_forward)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rerouting:
    """These are the carriers there are: what waits for another goes by the next of its route, or is rejected."""

    carriers: tuple[str, ...]
    now: int


def _reroute(connection: Connection, reroutings: Sequence[Rerouting]) -> list[int]:
    return [_reroute_one(connection, rerouting) for rerouting in reroutings]


def _reroute_one(connection: Connection, rerouting: Rerouting) -> int:
    gone = [name for name in _waited_for(connection) if name not in rerouting.carriers]
    if not gone:
        return 0
    stranded = select(message).where(_FREE, message.c.carrier.in_(gone)).limit(_CHUNK)
    rows = connection.execute(stranded.with_for_update(skip_locked=True)).all()
    for row in rows:
        mt = read_message(row)
        left = [position for position, name in enumerate(mt.route) if name in rerouting.carriers]
        if left:
            moved = carried(replace(mt, position=left[0]))
            connection.execute(update(message).where(message.c.id == row.id).values(**moved))
        else:
            detail = "none of its carriers is configured any more"
            change = Change(status=Status.REJECTED, reason="carrier.rejected", detail=detail)
            _change(connection, row, change, rerouting.now)
    return len(rows)


def _waited_for(connection: Connection) -> Iterator[str]:
    """Yield the carriers that messages wait for, each by one look into the index, however many wait."""
    name = connection.scalar(select(func.min(message.c.carrier)).where(_FREE))
    while name is not None:
        yield name
        name = connection.scalar(select(func.min(message.c.carrier)).where(_FREE, message.c.carrier > name))


REROUTE: Verb[Rerouting, int] = Verb(_reroute, wakes=lambda _, count: ("mt", "notice") * bool(count))


def _cancel(connection: Connection, wishes: Sequence[tuple[str, str, int]]) -> list[Status | None]:
    return [_cancel_one(connection, *wish) for wish in wishes]


def _cancel_one(connection: Connection, account: str, id_: str, now: int) -> Status | None:
    """Cancel while that is certain. What is queued again, but may have been sent before, counts as unknown."""
    mine = and_(message.c.id == id_, message.c.account == account)
    row = connection.execute(
        update(message)
        .where(mine, message.c.status == "queued", ~reports.MAY_BE_OUT)
        .values(
            status="cancelled",
            reason="",
            updated_at=now,
            lease_owner=None,
            lease_until=None,
            cost=reports.NOTHING,
        )
        .returning(message)
    ).first()
    if row is not None:
        outcomes.write_event(connection, row, Change(status=Status.CANCELLED), now)
        notices.about_change(connection, row, now)
        return Status.CANCELLED
    current = connection.execute(select(message.c.status).where(mine)).scalar_one_or_none()
    return Status.UNKNOWN if current == "queued" else Status(current) if current else None


CANCEL: Verb[tuple[str, str, int], Status | None] = Verb(_cancel)
