"""How attempts ended, and what follows: outcomes, in the same transaction as the change of the message.

What is known stays known: a doubt never overwrites an answer, and a report that came before its answer is applied then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    or_,
    select,
    update,
)

from mail2sms.lifecycle import Change
from mail2sms.model import MtMessage, Status
from mail2sms.store import notices, reports, schema, segmented, strays
from mail2sms.store.inserts import insert_rows
from mail2sms.store.rows import carried, event_row, held, held_by
from mail2sms.store.writer import Verb

message, attempt = schema.message, schema.attempt

_IDS: BindParameter[str] = bindparam("ids", expanding=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartOutcome:
    """How one attempt ended: `outcome` is taken, unavailable, refused or uncertain.

    `others` are the ids of further segments, where the carrier cut the part itself.
    """

    attempt_id: str
    outcome: str
    carrier_message_id: str | None = None
    code: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """The outcomes of one attempt of a message, and what follows; `is_reported`: its carrier says more of it later."""

    mt: MtMessage
    outcomes: tuple[PartOutcome, ...]
    change: Change
    now: int
    is_reported: bool = True


def _settle(connection: Connection, settlements: Sequence[Settlement]) -> list[Status]:
    """Write outcomes and the change they cause; reports that came early are applied.

    Returns the statuses that were wanted. Where a message was no longer the sender's to change, what is now known of
    its parts counts all the same.
    """
    carrier_ids = [
        (s.mt.carrier, cid)
        for s in settlements
        for o in s.outcomes
        for cid in (o.carrier_message_id, *o.others)
    ]
    reports.lock(connection, carrier_ids, [s.mt.id for s in settlements])
    _write_outcomes(connection, settlements)
    done = _settle_taken(connection, [s for s in settlements if s.change == _TAKEN_WHOLE])
    late = [s for s in settlements if s.mt.id not in done and not _settle_one(connection, s)]
    _name_segments(connection, settlements, late)
    _settle_answered(connection, settlements, late)
    strays.apply(connection, carrier_ids)
    return [settlement.change.status for settlement in settlements]


_ANSWERED = select(attempt.c.message).where(attempt.c.id.in_(_IDS), attempt.c.outcome != "uncertain")


def _settle_answered(
    connection: Connection, settlements: Sequence[Settlement], late: Sequence[Settlement]
) -> None:
    """An answer counts that came after it was given up and before its settlement, or too late for the sender."""
    doubts = [o.attempt_id for s in settlements for o in s.outcomes if o.outcome == "uncertain"]
    answered = {s.mt.id for s in late}
    if doubts:
        answered |= set(connection.scalars(_ANSWERED, {"ids": doubts}))
    if answered:
        reports.fold(connection, {s.mt.id: s.now for s in settlements if s.mt.id in answered})


_OUTCOME = (
    update(attempt)
    .where(
        attempt.c.id == bindparam("attempt_id"),
        # What is known stays known.
        or_(
            attempt.c.outcome.is_(None),
            and_(attempt.c.outcome != "taken", bindparam("ended") != "uncertain"),
        ),
    )
    .values(
        outcome=bindparam("ended"),
        ended_at=bindparam("at"),
        carrier_message_id=bindparam("cid"),
        code=bindparam("said"),
    )
)


def _write_outcomes(connection: Connection, settlements: Sequence[Settlement]) -> None:
    rows = [
        {
            "attempt_id": outcome.attempt_id,
            "ended": outcome.outcome,
            "at": settlement.now,
            "cid": outcome.carrier_message_id,
            "said": outcome.code,
        }
        for settlement in settlements
        for outcome in settlement.outcomes
    ]
    if rows:
        connection.execute(_OUTCOME, rows)


def _name_segments(
    connection: Connection, settlements: Sequence[Settlement], late: Sequence[Settlement]
) -> None:
    """What a report has moved already was perhaps heard of by segments, be it by one."""
    moved = {s.mt.id for s in late}
    for settlement in settlements:
        for outcome in settlement.outcomes:
            if outcome.others or (settlement.mt.id in moved and outcome.carrier_message_id):
                ids = [id_ for id_ in (outcome.carrier_message_id, *outcome.others) if id_]
                segmented.name(connection, outcome.attempt_id, ids, settlement.now)


_TAKEN_WHOLE = Change(status=Status.ENROUTE)
_OF_TAKEN = ("id", "account", "carrier", "status", "reason", "submission", "expires_at", "dsn")
_SETTLED = (
    update(message)
    .where(held(message), message.c.status == "sending")
    .values(
        status="enroute",
        reason="",
        detail="",
        updated_at=bindparam("now"),
        lease_owner=None,
        lease_until=None,
    )
    .returning(*(message.c[name] for name in _OF_TAKEN))
)


def _settle_taken(connection: Connection, settlements: Sequence[Settlement]) -> set[str]:
    """Settle in one statement what went well and is still ours: nearly everything. Returns those messages."""
    if not settlements:
        return set()
    now = max(s.now for s in settlements)
    rows = connection.execute(_SETTLED, {**held_by(s.mt for s in settlements), "now": now}).all()
    if rows:
        insert_rows(connection, schema.event, [event_row(row, Status.ENROUTE, now) for row in rows])
    silent = {s.mt.id for s in settlements if not s.is_reported}
    for row in rows:
        if row.dsn is not None:
            notices.about_change(connection, row, now, is_reported=row.id not in silent)
    return {row.id for row in rows}


def _settle_one(connection: Connection, settlement: Settlement) -> bool:
    """Return whether the message was the sender's to change."""
    now, change, mt = settlement.now, settlement.change, settlement.mt
    # Without our lease somebody declared us dead; that the carrier has it is still worth knowing.
    fits: ColumnElement[bool] = and_(message.c.fence == mt.fence, message.c.status == "sending")
    if change.status is Status.ENROUTE:
        fits = fits | and_(message.c.status.in_(("unknown", "queued")), message.c.lease_owner.is_(None))
    row = connection.execute(
        update(message)
        .where(message.c.id == mt.id, fits)
        .values(**changed(change, mt, now))
        .returning(message)
    ).first()
    if row is not None:
        write_event(connection, row, change, now)
        notices.about_change(connection, row, now, is_reported=settlement.is_reported)
    return row is not None


def changed(change: Change, mt: MtMessage, now: int) -> dict[str, Any]:
    """Return the columns that a change sets; the lease ends with it."""
    values: dict[str, Any] = {
        "status": change.status.value,
        "reason": change.reason,
        "detail": change.detail,
        "updated_at": now,
        "lease_owner": None,
        "lease_until": None,
    }
    if change.due_at is not None:
        values["due_at"] = change.due_at
    if change.expires_at is not None:
        values["expires_at"] = change.expires_at
    if change.position is not None:
        values |= carried(replace(mt, position=change.position))
    if change.status in (Status.REJECTED, Status.EXPIRED):
        values["cost"] = case((reports.MAY_BE_OUT, message.c.cost), else_=reports.NOTHING)
    return values


def write_event(connection: Connection, row: Row[Any], change: Change, now: int) -> None:
    """Write the event of a status change that was just made."""
    event = event_row(row, change.status, now, reason=change.reason, detail=change.detail)
    insert_rows(connection, schema.event, [event])


SETTLE: Verb[Settlement, Status] = Verb(_settle, wakes=lambda _, status: reports.WAKES.get(status, ()))
