"""The queue of messages: claim and intent. What became of them: `outcomes`.

A claim leases a message and gives it a new fence; the intent, committed before the first byte leaves, checks that
fence, the expiry and the list of opt-outs again. Where nothing is to be awaited between the two, they share a commit.
An attempt without outcome whose lease is gone is Uncertain; a claim without intent is free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    literal_column,
    select,
    update,
)

from mail2sms import lifecycle
from mail2sms.media import MMS
from mail2sms.model import MtMessage, Part, Status
from mail2sms.store import media, opt_outs, reports, schema, sending
from mail2sms.store.inserts import insert_rows
from mail2sms.store.rows import Lease, clock_ms, event_row, held, held_by, leasing, read_message
from mail2sms.store.writer import Verb

message, attempt = schema.message, schema.attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A leased message, the parts of it (by index) that the carrier has already taken, and how long it waits yet.

    `intended` are the parts that may leave, once their intent is committed with the claim: none, if it must not be
    sent; None without an intent.
    """

    mt: MtMessage
    taken: frozenset[int]
    wait_ms: int = 0
    intended: tuple[Part, ...] | None = None


Leaving: TypeAlias = Callable[[Claimed], tuple[Part, ...] | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim(Lease):
    """Ask for due messages of a carrier.

    `parts` says what leaves of a message at once (None: it does not), and its intent is committed with the claim. It
    is called in the writer's thread, and raises nothing. `tried` is what the writer got last: for a COMMIT in doubt.
    """

    carrier: str
    parts: Leaving | None = None
    tried: list[Claimed] = field(default_factory=list, compare=False)


def _claim(connection: Connection, claims: Sequence[Claim]) -> list[list[Claimed]]:
    return [_claim_one(connection, claim) for claim in claims]


_LEASING = leasing(message, "carrier", sending.ALLOWED)
_URGENT = leasing(message, "carrier", sending.ALLOWED, message.c["class"] == literal_column("'alarm'"))


def _claim_one(connection: Connection, claim: Claim) -> list[Claimed]:
    """Alarms first, however long others have waited."""
    if claim.tried and (stood := _standing(connection, claim)):  # it was in doubt, and is run again
        return stood
    ids = _URGENT.lease(connection, claim.carrier, claim)
    if len(ids) < claim.limit:
        ids += _LEASING.lease(connection, claim.carrier, replace(claim, limit=claim.limit - len(ids)))
    claimed = load(connection, ids) if ids else []
    if claim.parts is None or not claimed:
        return claimed
    claim.tried[:] = _intended(connection, claimed, claim.parts, claim.now)
    return list(claim.tried)


def _intended(
    connection: Connection, claimed: Sequence[Claimed], parts_of: Leaving, now: int
) -> list[Claimed]:
    leaving = {one.mt.id: parts for one in claimed if (parts := parts_of(one)) is not None}
    intents = [
        Intent(mt=one.mt, parts=leaving[one.mt.id], now=now) for one in claimed if one.mt.id in leaving
    ]
    agreed = INTEND.write(connection, intents) if intents else []
    stopped = {intent.mt.id for intent, is_agreed in zip(intents, agreed, strict=True) if not is_agreed}
    return [replace(one, intended=() if one.mt.id in stopped else leaving.get(one.mt.id)) for one in claimed]


_STILL = select(sending.STEADY, opt_outs.STEADY)


def _hold_still(connection: Connection) -> None:
    """Let nobody stop sending, or opt out, until our commit: who has these locks may want rows that we have."""
    if connection.dialect.name != "sqlite":
        connection.execute(_STILL)


_KEPT = (
    update(message)
    .where(held(message), message.c.lease_owner == bindparam("owner"))
    .values(lease_until=bindparam("until"))
    .returning(message.c.id)
)


def _standing(connection: Connection, claim: Claim) -> list[Claimed]:
    """Return what a claim got and still has, if its intents did reach the disk: for as long again.

    Nobody waits for the claim itself any more, or it is the one that is run again.
    """
    mts = [one.mt for one in claim.tried]
    # Its COMMIT may be under way even now, on a connection that we lost: it has these rows until then.
    reports.lock(connection, [], [mt.id for mt in mts])
    ids = [part.attempt_id for one in claim.tried for part in one.intended or ()]
    if connection.scalars(select(attempt.c.id).where(attempt.c.id.in_(ids))).first() is None:
        return []
    until = connection.scalar(select(clock_ms(connection) + claim.lease_ms))
    kept = {**held_by(mts), "owner": claim.owner, "until": until}
    ours = set(connection.scalars(_KEPT, kept))
    return [one for one in claim.tried if one.mt.id in ours]


def _stand(connection: Connection, claims: Sequence[Claim]) -> list[list[Claimed]]:
    return [[one for one in _standing(connection, claim) if one.intended] for claim in claims]


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
    if len(new) < len(intents) and connection.dialect.name != "sqlite":
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


CLAIM: Verb[Claim, list[Claimed]] = Verb(
    _claim,
    wakes=lambda _, found: ("notice",) * any(one.intended == () for one in found),
    locks=_hold_still,
)
STANDS: Verb[Claim, list[Claimed]] = Verb(_stand)
INTEND: Verb[Intent, bool] = Verb(
    _intend, wakes=lambda _, agreed: ("notice",) * (not agreed), locks=_hold_still
)
