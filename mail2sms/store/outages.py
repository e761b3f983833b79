"""Carriers that are down, for all nodes to see and administrators to hear of; what waits for one may go by another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, select, tuple_, update

from mail2sms import lifecycle
from mail2sms.breaker import Breaker
from mail2sms.store import queue, schema
from mail2sms.store.balances import carrier_notice
from mail2sms.store.inserts import anew_with_names, insert_rows
from mail2sms.store.put import insert_notices
from mail2sms.store.rows import carried, read_message
from mail2sms.store.writer import Verb

outage, message, event = schema.outage, schema.message, schema.event

_CHUNK = 500  # rows a time, so that nobody waits long behind them


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """How a carrier does now."""

    account: str
    carrier: str
    breaker: Breaker
    now: int


def down(connection: Connection, account: str) -> dict[str, Breaker]:
    """Return the carriers that are down."""
    rows = connection.execute(select(outage).where(outage.c.account == account))
    return {
        row.carrier: Breaker(failures=row.failures, down_since=row.since, until=row.until, why=row.why)
        for row in rows
    }


def _mark(connection: Connection, outages: Sequence[Outage]) -> list[None]:
    """Write how carriers do. Whoever is first to find one down, or up again, writes the event."""
    for one in outages:
        mine = (outage.c.account == one.account) & (outage.c.carrier == one.carrier)
        if one.breaker.is_down:
            known = {"account": one.account, "carrier": one.carrier}
            how = {
                "since": one.breaker.down_since,
                "failures": one.breaker.failures,
                "until": one.breaker.until,
                "why": one.breaker.why,
            }
            is_new = insert_rows(connection, outage, [known | how | {"told": ""}], anew_with_names)
            if is_new:
                _write_event(connection, one, "down")
            else:
                how.pop("since")
                connection.execute(update(outage).where(mine).values(how))
            continue
        was = connection.execute(delete(outage).where(mine).returning(*outage.c)).first()
        if was is not None:
            _write_event(connection, one, "up")
            said = {"since": was.since, "why": was.why}
            notices = [
                carrier_notice(was, "up", to, str(was.since), one.now, said) for to in was.told.split()
            ]
            insert_notices(connection, notices)
    return [None] * len(outages)


def _write_event(connection: Connection, one: Outage, status: str) -> None:
    row = {
        "account": one.account,
        "about": f"{schema.CARRIER}{one.carrier}",
        "at": one.now,
        "status": status,
        "reason": "",
        "carrier": one.carrier,
        "detail": one.breaker.why,
    }
    insert_rows(connection, event, [row])


MARK: Verb[Outage, None] = Verb(_mark, wakes=lambda one, _: () if one.breaker.is_down else ("mt", "notice"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned:
    """Of carriers that are down since a time `before` that, `to` is told: once of each outage."""

    account: str
    to: tuple[str, ...]
    before: int
    now: int


def _warn(connection: Connection, warnings: Sequence[Warned]) -> list[int]:
    return [_warn_one(connection, wanted) for wanted in warnings]


def _warn_one(connection: Connection, wanted: Warned) -> int:
    is_long = (outage.c.account == wanted.account) & (outage.c.told == "") & (outage.c.since <= wanted.before)
    telling = update(outage).where(is_long).values(told=" ".join(wanted.to)).returning(*outage.c)
    rows = connection.execute(telling).all()
    notices = [
        carrier_notice(row, "down", to, str(row.since), wanted.now, {"since": row.since, "why": row.why})
        for row in rows
        for to in wanted.to
    ]
    insert_notices(connection, notices)
    return len(rows)


WARN: Verb[Warned, int] = Verb(_warn, wakes=lambda _, count: ("notice",) * bool(count))


@dataclass(frozen=True, kw_only=True, slots=True)
class Diverting:
    """What is due and waits for `carrier`, behind a place in its queue, goes by a carrier of its route among `up`."""

    carrier: str
    up: frozenset[str]
    after: tuple[int, str]
    now: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Diverted:
    """How many go another way, and the place in the queue up to which it was looked through."""

    count: int
    last: tuple[int, str]


def _divert(connection: Connection, divertings: Sequence[Diverting]) -> list[Diverted]:
    return [_divert_one(connection, diverting) for diverting in divertings]


def _divert_one(connection: Connection, wanted: Diverting) -> Diverted:
    place = tuple_(message.c.due_at, message.c.id)
    waiting = (
        select(message)
        .where(message.c.status == "queued", message.c.lease_owner.is_(None))
        .where(message.c.carrier == wanted.carrier, message.c.due_at <= wanted.now, place > wanted.after)
        .order_by(message.c.due_at, message.c.id)
        .limit(_CHUNK)
    )
    rows = connection.execute(waiting.with_for_update(skip_locked=True)).all()
    # Parts of one message stay together, and what may have been sent stays with who knows.
    stay = queue.begun(connection, [row.id for row in rows if row.attempts])
    stay |= {row.id for row in rows if row.reason == lifecycle.RESEND}
    count = 0
    for row in rows:
        mt = read_message(row)
        ways = [position for position, name in enumerate(mt.route) if name in wanted.up]
        if ways and row.id not in stay:
            moved = carried(replace(mt, position=ways[0]))
            connection.execute(update(message).where(message.c.id == row.id).values(**moved))
            count += 1
    return Diverted(count=count, last=(rows[-1].due_at, rows[-1].id) if rows else wanted.after)


DIVERT: Verb[Diverting, Diverted] = Verb(_divert, wakes=lambda _, done: ("mt",) * bool(done.count))
