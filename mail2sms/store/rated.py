"""Claims at a rate that all nodes share: one place after the other is given away, in the transaction that leases.

On PostgreSQL one node at a time gives away a carrier's places: it tries for a lock of that name and waits for nobody.
Times are the database's there, the steady clock's on SQLite; nobody who sets a clock makes it faster. What has to wait
for its sender number gets a new `due_at`, and is found again when it is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Row,
    bindparam,
    case,
    func,
    literal_column,
    select,
    update,
)

from mail2sms import lifecycle
from mail2sms.rates import Candidate, Meter, Queue, Rates
from mail2sms.store import queue, schema, sending
from mail2sms.store.inserts import insert_rows
from mail2sms.store.rows import clock_ms
from mail2sms.store.writer import Verb

message, meter = schema.message, schema.meter

_LOOK = 200  # of those longest due; what steps aside makes room for more
_ROUNDS = 5
_AGAIN_MS = 20  # another node gives away places: it takes so long at most
_CHUNK = 500
_US = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class RatedClaim(queue.Claim):
    """Ask for due messages of a carrier of an account, at its rates."""

    account: str
    rates: Rates


@dataclass(frozen=True, kw_only=True, slots=True)
class RatedClaimed:
    """Leased messages, which wait at the node; and in how long to ask again, None: whenever there may be work.

    `is_closed`: until then there is no place for anybody.
    """

    claimed: list[queue.Claimed] = field(default_factory=list)
    again_ms: int | None = None
    is_closed: bool = False


_BUSY = RatedClaimed(again_ms=_AGAIN_MS, is_closed=True)


def _claim(connection: Connection, claims: Sequence[RatedClaim]) -> list[RatedClaimed]:
    return [_claim_one(connection, claim) for claim in claims]


def _claim_one(connection: Connection, claim: RatedClaim) -> RatedClaimed:
    if not _lock(connection, f"rate/{claim.account}/{claim.carrier}"):
        return _BUSY
    now_us = connection.execute(select(clock_ms(connection))).scalar_one() * _US
    places = Queue(claim.rates, _meters(connection, claim, [""]), now_us)
    waits: dict[str, int] = {}
    has_more = False
    for _ in range(_ROUNDS):
        most = places.places(claim.limit - len(waits))
        if not most:
            break
        alarms = _due(connection, claim, most, is_urgent=True)
        oldest = _due(connection, claim, _LOOK if claim.rates.senders else most)
        if claim.rates.senders:
            names = {one.sender_id for one in (*alarms, *oldest)}
            places.learn(_meters(connection, claim, names))
        turns = places.turns(alarms, oldest, most)
        _step_aside(connection, claim, turns.aside)
        _lease(connection, claim, turns.go)
        waits |= turns.go
        has_more = bool(turns.aside) and len(waits) < claim.limit
        if not has_more:
            break
    _write(connection, claim, places.meters)
    found = queue.load(connection, list(waits)) if waits else []
    claimed = [replace(one, wait_ms=waits[one.mt.id] // _US) for one in found]
    if free_in_us := places.free_in_us():
        return RatedClaimed(claimed=claimed, again_ms=free_in_us // _US + 1, is_closed=True)
    if has_more:
        return RatedClaimed(claimed=claimed, again_ms=0)
    return RatedClaimed(claimed=claimed, again_ms=_again(connection, claim))


def _lock(connection: Connection, name: str) -> bool:
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0)))))


def _meters(connection: Connection, claim: RatedClaim, names: Iterable[str]) -> dict[str, Meter]:
    mine = (meter.c.account == claim.account) & (meter.c.carrier == claim.carrier)
    rows = connection.execute(select(meter).where(mine, meter.c.sender_id.in_(list(names))))
    return {
        row.sender_id: Meter(
            every_us=row.every_us,
            at_us=row.at_us,
            free_us=row.free_us,
            line_us=row.line_us,
            alarms=row.alarms,
        )
        for row in rows
    }


def _write(connection: Connection, claim: RatedClaim, meters: Mapping[str, Meter]) -> None:
    rows = [
        {
            "account": claim.account,
            "carrier": claim.carrier,
            "sender_id": name,
            "every_us": one.every_us,
            "at_us": one.at_us,
            "free_us": one.free_us,
            "line_us": one.line_us,
            "alarms": one.alarms,
        }
        for name, one in sorted(meters.items())
    ]
    insert_rows(connection, meter, rows, _renewed)


def _renewed(statement: Any) -> Any:
    changing = ("every_us", "at_us", "free_us", "line_us", "alarms")
    values = {name: statement.excluded[name] for name in changing}
    return statement.on_conflict_do_update(index_elements=["account", "carrier", "sender_id"], set_=values)


_OF_DUE = ("id", "sender_id", "segments", "class", "reason", "attempts")
_NOW: BindParameter[int] = bindparam("now", type_=BigInteger)
_DUE = (
    select(*(message.c[name] for name in _OF_DUE))
    .where(message.c.status == "queued", message.c.lease_owner.is_(None))
    .where(message.c.carrier == bindparam("which"))
    .where(message.c.due_at <= _NOW, message.c.expires_at > _NOW, sending.ALLOWED)
    .order_by(message.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_URGENT = _DUE.where(message.c["class"] == literal_column("'alarm'"))


def _due(connection: Connection, claim: RatedClaim, most: int, *, is_urgent: bool = False) -> list[Candidate]:
    values = {"which": claim.carrier, "now": claim.now, "most": most}
    return [_candidate(row) for row in connection.execute(_URGENT if is_urgent else _DUE, values)]


def _candidate(row: Row[Any]) -> Candidate:
    return Candidate(
        id=row.id,
        sender_id=row.sender_id.lower(),
        segments=max(1, row.segments),
        is_alarm=row._mapping["class"] == "alarm",
        is_in_line=row.reason == lifecycle.RATE or row.attempts > 0,
    )


_LEASE = (
    update(message)
    .where(message.c.id.in_(bindparam("ids", expanding=True)))
    .values(lease_owner=bindparam("owner"), fence=message.c.fence + 1)
)


def _lease(connection: Connection, claim: RatedClaim, ids: Iterable[str]) -> None:
    chosen = list(ids)
    if chosen:
        until = clock_ms(connection) + claim.lease_ms
        connection.execute(_LEASE.values(lease_until=until), {"ids": chosen, "owner": claim.owner})


_KEPT = message.c.reason == lifecycle.RESEND
_ASIDE = (
    update(message)
    .where(message.c.id == bindparam("of"))
    .values(
        due_at=bindparam("due", type_=BigInteger),
        reason=case((_KEPT, lifecycle.RESEND), else_=lifecycle.RATE),
        updated_at=bindparam("at", type_=BigInteger),
    )
)


def _step_aside(connection: Connection, claim: RatedClaim, aside: Mapping[str, int]) -> None:
    """Rounded up: at that time it is due. What may have been sent keeps its reason: that counts for more."""
    if aside:
        rows = [
            {"of": id_, "due": claim.now - (-wait_us // _US), "at": claim.now}
            for id_, wait_us in aside.items()
        ]
        connection.execute(_ASIDE, rows)


_NEXT = select(func.min(message.c.due_at)).where(
    message.c.status == "queued",
    message.c.lease_owner.is_(None),
    message.c.carrier == bindparam("which"),
    message.c.due_at > _NOW,
)


def _again(connection: Connection, claim: RatedClaim) -> int | None:
    """Return in how long the next is due that stepped aside, or waits for another time."""
    if not claim.rates.senders:
        return None
    due_at = connection.scalar(_NEXT, {"which": claim.carrier, "now": claim.now})
    return None if due_at is None else max(1, due_at - claim.now)


CLAIM_AT_RATE: Verb[RatedClaim, RatedClaimed] = Verb(_claim)


@dataclass(frozen=True, kw_only=True, slots=True)
class Regathering:
    """What stepped aside for the sake of its sender number at `carrier` is due now: its rate, or its way, changes."""

    account: str
    carrier: str
    now: int


def _regather(connection: Connection, regatherings: Sequence[Regathering]) -> list[bool]:
    return [_regather_one(connection, one) for one in regatherings]


def _regather_one(connection: Connection, wanted: Regathering) -> bool:
    waiting = (
        select(message.c.id)
        .where(message.c.status == "queued", message.c.lease_owner.is_(None))
        .where(message.c.carrier == wanted.carrier, message.c.due_at > wanted.now)
        .where(message.c.reason == lifecycle.RATE)
        .order_by(message.c.due_at)
        .limit(_CHUNK)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.scalars(waiting))
    if ids:
        due = update(message).where(message.c.id.in_(ids))
        connection.execute(due.values(due_at=wanted.now, reason="", updated_at=wanted.now))
    mine = (meter.c.account == wanted.account) & (meter.c.carrier == wanted.carrier)
    connection.execute(update(meter).where(mine, meter.c.line_us > 0).values(line_us=0))
    return len(ids) == _CHUNK


REGATHER: Verb[Regathering, bool] = Verb(_regather)
