"""The queue of messages: claim, intent, outcome.

A claim leases a message and gives it a new fence; the intent, committed before the first byte leaves, checks that
fence, the expiry and the list of opt-outs again. An attempt without outcome whose lease is gone is Uncertain; a claim
without intent is free.
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
    literal_column,
    or_,
    select,
    update,
)

from mail2sms import lifecycle
from mail2sms.lifecycle import Change
from mail2sms.media import MMS
from mail2sms.model import MtMessage, Part, Status
from mail2sms.store import media, notices, opt_outs, reports, schema, sending
from mail2sms.store.inserts import insert_rows
from mail2sms.store.rows import Lease, carried, event_row, held, held_by, leasing, read_message
from mail2sms.store.writer import Verb

message, attempt = schema.message, schema.attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim(Lease):
    """Ask for due messages of a carrier."""

    carrier: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A leased message, the parts of it (by index) that the carrier has already taken, and how long it waits yet."""

    mt: MtMessage
    taken: frozenset[int]
    wait_ms: int = 0


def _claim(connection: Connection, claims: Sequence[Claim]) -> list[list[Claimed]]:
    return [_claim_one(connection, claim) for claim in claims]


_LEASING = leasing(message, "carrier", sending.ALLOWED)
_URGENT = leasing(message, "carrier", sending.ALLOWED, message.c["class"] == literal_column("'alarm'"))


def _claim_one(connection: Connection, claim: Claim) -> list[Claimed]:
    """Alarms first, however long others have waited."""
    ids = _URGENT.lease(connection, claim.carrier, claim)
    if len(ids) < claim.limit:
        ids += _LEASING.lease(connection, claim.carrier, replace(claim, limit=claim.limit - len(ids)))
    return load(connection, ids) if ids else []


_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_MESSAGES = (
    select(message, schema.content.c.data)
    .join(schema.content, schema.content.c.id == message.c.content, isouter=True)
    .where(message.c.id.in_(_IDS))
    .order_by(message.c.due_at, message.c.id)
)
_TAKEN = select(attempt.c.message, attempt.c.part).where(
    attempt.c.message.in_(_IDS), attempt.c.outcome == "taken"
)


def begun(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return the messages of which a carrier has taken a part."""
    return {row.message for row in connection.execute(_TAKEN, {"ids": ids})} if ids else set()


def load(connection: Connection, ids: Sequence[str]) -> list[Claimed]:
    """Return messages that were just leased, with their texts."""
    rows = connection.execute(_MESSAGES, {"ids": ids}).all()
    tried = [row.id for row in rows if row.attempts]
    taken: dict[str, set[int]] = {}
    if tried:
        for row in connection.execute(_TAKEN, {"ids": tried}):
            taken.setdefault(row.message, set()).add(row.part)
    pictures = media.types(connection, [row.submission for row in rows if row.media == MMS])
    return [
        Claimed(
            mt=read_message(
                row,
                text=bytes(row.data or b"").decode(),
                pictures=tuple(pictures.get(row.submission, ())) if row.media == MMS else (),
            ),
            taken=frozenset(taken.get(row.id, ())),
        )
        for row in rows
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """The parts that are about to be sent: nothing of them has left yet."""

    mt: MtMessage
    parts: tuple[Part, ...]
    now: int


_FIT = (
    update(message)
    .where(
        held(message),
        message.c.status == "queued",
        message.c.lease_owner.is_not(None),
        message.c.expires_at > bindparam("now"),
        sending.ALLOWED,
    )
    .values(status="sending", attempts=message.c.attempts + 1, updated_at=bindparam("now"))
    .returning(message.c.id, message.c.fence)
)


def _intend(connection: Connection, intents: Sequence[Intent]) -> list[bool]:
    """Commit that the parts are about to leave. False: the message is no longer ours to send."""
    if connection.dialect.name != "sqlite":
        connection.execute(sending.STEADY)
    unwanted = opt_outs.opted_out(connection, [i.mt for i in intents])
    if unwanted:
        opt_outs.cancel(connection, message.c.id.in_(unwanted), max(i.now for i in intents))
    out = _out_already(connection, intents)
    ours = held_by(i.mt for i in intents if i.parts and i.mt.id not in out)
    rows = connection.execute(_FIT, {**ours, "now": max(i.now for i in intents)})
    # By claim, not by message: a node that lost one and claimed it again may ask for both in one batch.
    fit = {(row.id, row.fence) for row in rows}
    new = [i for i in intents if (i.mt.id, i.mt.fence) in fit]
    _let_go(connection, [i for i in intents if (i.mt.id, i.mt.fence) not in fit])
    agreed = {part.attempt_id for intent in new for part in intent.parts}
    if new:
        attempts = [_attempt_row(intent, part) for intent in new for part in intent.parts]
        insert_rows(connection, attempt, attempts)
        events = [event_row(intent.mt, Status.SENDING, intent.now) for intent in new]
        insert_rows(connection, schema.event, events)
    if connection.dialect.name != "sqlite":
        agreed |= _intended_before(connection, intents)
    return [any(part.attempt_id in agreed for part in intent.parts) for intent in intents]


def _out_already(connection: Connection, intents: Sequence[Intent]) -> set[str]:
    """Messages in doubt of which the carrier was heard of since they were claimed."""
    doubtful = [i.mt.id for i in intents if i.mt.reason == lifecycle.RESEND]
    if not doubtful:
        return set()
    pairs = {(row.message, row.part) for row in connection.execute(_TAKEN, {"ids": doubtful})}
    return {i.mt.id for i in intents if any((i.mt.id, part.index) in pairs for part in i.parts)}


def _let_go(connection: Connection, refused: Sequence[Intent]) -> None:
    """What may not be sent is not held either: expiry must be able to find it."""
    if refused:
        is_ours = and_(held(message), message.c.status == "queued")
        free = update(message).where(is_ours).values(lease_owner=None, lease_until=None)
        connection.execute(free, held_by(i.mt for i in refused))


def _intended_before(connection: Connection, intents: Sequence[Intent]) -> set[str]:
    """A batch whose COMMIT was in doubt is run again: these attempts did reach the disk."""
    ids = [part.attempt_id for intent in intents for part in intent.parts]
    return set(connection.scalars(select(attempt.c.id).where(attempt.c.id.in_(ids))))


def _attempt_row(intent: Intent, part: Part) -> dict[str, Any]:
    return {
        "id": part.attempt_id,
        "account": intent.mt.account,
        "message": intent.mt.id,
        "part": part.index,
        "number": part.attempt,
        "carrier": intent.mt.carrier,
        "intent_at": intent.now,
        "outcome": None,
        "ended_at": None,
        "carrier_message_id": None,
        "code": "",
        "report": None,
    }


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
    """Write outcomes and the change they cause; reports that came early are applied. Returns the statuses."""
    carrier_ids = [
        (s.mt.carrier, cid)
        for s in settlements
        for o in s.outcomes
        for cid in (o.carrier_message_id, *o.others)
    ]
    reports.lock(connection, carrier_ids, [s.mt.id for s in settlements])
    _write_outcomes(connection, settlements)
    done = _settle_taken(connection, [s for s in settlements if s.change == _TAKEN_WHOLE])
    for settlement in settlements:
        if settlement.mt.id not in done:
            _settle_one(connection, settlement)
    _settle_answered(connection, settlements)
    reports.apply_strays(connection, carrier_ids)
    return [settlement.change.status for settlement in settlements]


_ANSWERED = select(attempt.c.message).where(attempt.c.id.in_(_IDS), attempt.c.outcome != "uncertain")


def _settle_answered(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """An answer may have come after it was given up, and before its settlement: it counts."""
    doubts = [o.attempt_id for s in settlements for o in s.outcomes if o.outcome == "uncertain"]
    if doubts:
        answered = set(connection.scalars(_ANSWERED, {"ids": doubts}))
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
    for settlement in settlements:
        for outcome in settlement.outcomes:
            if outcome.others:
                _write_segments(connection, settlement, outcome)


def _write_segments(connection: Connection, settlement: Settlement, outcome: PartOutcome) -> None:
    """Give each further segment a row of its own, which its reports find: delivered is what all of them are.

    A report that named our attempt may have come before: its id is that row's already.
    """
    first = connection.execute(select(attempt).where(attempt.c.id == outcome.attempt_id)).one()
    ids = (outcome.carrier_message_id, *outcome.others)
    rows = [
        {
            **first._asdict(),
            "id": f"{outcome.attempt_id}.{number}",
            "part": number,
            "outcome": "taken",
            "ended_at": settlement.now,
            "carrier_message_id": id_,
            "code": "",
            "report": None,
        }
        for number, id_ in enumerate((id_ for id_ in ids if id_ != first.carrier_message_id), start=1)
    ]
    insert_rows(connection, attempt, rows)


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


def _settle_one(connection: Connection, settlement: Settlement) -> None:
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


CLAIM: Verb[Claim, list[Claimed]] = Verb(_claim)
INTEND: Verb[Intent, bool] = Verb(_intend, wakes=lambda _, agreed: ("notice",) * (not agreed))
SETTLE: Verb[Settlement, Status] = Verb(_settle, wakes=lambda _, status: reports.WAKES.get(status, ()))
