"""What the operator wants of single messages: hold, release, retry. Cancelling is in `rescue`.

The row is locked before it is judged, so that a wish and the intent of a dispatcher can't both have it. A held
message is queued and due when nobody lives any more: no claim needs to know of it, and it expires as others do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row, select, update

from mail2sms import lifecycle
from mail2sms.ids import derive_id
from mail2sms.lifecycle import Change, Denial, Wish
from mail2sms.model import MtMessage, Status
from mail2sms.rules import quiet_hours
from mail2sms.rules._base import Policy
from mail2sms.store import outcomes, schema
from mail2sms.store.inserts import insert_rows
from mail2sms.store.put import insert_notices
from mail2sms.store.rows import EMAIL, VALID_MS, NewNotice, event_row, read_message
from mail2sms.store.writer import Verb

message, event = schema.message, schema.event

_BY_OPERATOR = "by the operator"
HELD_BY_OPERATOR = "held.operator"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wished:
    """One wish for one message. `is_quiet`: the writer is not told of a hold. What `policy` calls night stays quiet."""

    account: str
    id: str
    wish: Wish
    now: int
    is_again: bool = False
    is_quiet: bool = False
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """How the message stands now. `denial` says why the wish changed nothing."""

    status: Status
    reason: str
    due_at: int
    denial: Denial | None = None


def _wish(connection: Connection, wishes: Sequence[Wished]) -> list[Granted | None]:
    return [_wish_one(connection, wished) for wished in wishes]


def _wish_one(connection: Connection, wished: Wished) -> Granted | None:
    mine = select(message).where(message.c.id == wished.id, message.c.account == wished.account)
    row = connection.execute(mine.with_for_update()).first()
    if row is None:
        return None
    mt = read_message(row)
    before = _reason_before(connection, row.id) if row.reason in lifecycle.HOLDS else ""
    change = lifecycle.after_wish(mt, wished.wish, wished.now, is_again=wished.is_again, before=before)
    if isinstance(change, Denial):
        return _as_it_is(row, change)
    if wished.wish is not Wish.HOLD:
        change = _quietly(mt, change, wished)
    if (change.status, change.reason, change.due_at) == (row.status, row.reason, row.due_at):
        return _as_it_is(row)
    return _as_it_is(_write(connection, row, change, wished))


def _quietly(mt: MtMessage, change: Change, wished: Wished) -> Change:
    """At night even what somebody wishes now waits for the morning, and the answer says so."""
    at = max(change.due_at or 0, wished.now)
    return quiet_hours.held_till_morning(mt, replace(change, due_at=at), wished.policy) or change


def _as_it_is(row: Row[Any], denial: Denial | None = None) -> Granted:
    due_at = lifecycle.due_when_free(row.due_at)
    return Granted(status=Status(row.status), reason=row.reason, due_at=due_at, denial=denial)


def _reason_before(connection: Connection, id_: str) -> str:
    """Return why a held message waited before: its latest event that is no hold tells."""
    query = select(event.c.reason).where(event.c.about == id_, event.c.reason.not_in(lifecycle.HOLDS))
    return connection.scalar(query.order_by(event.c.id.desc()).limit(1)) or ""


def _write(connection: Connection, row: Row[Any], change: Change, wished: Wished) -> Row[Any]:
    now = wished.now
    values = {**outcomes.changed(change, read_message(row), now), "fence": message.c.fence + 1}
    changed = update(message).where(message.c.id == row.id).values(**values).returning(message)
    after = connection.execute(changed).one()
    told = event_row(after, change.status, now, reason=change.reason, detail=_BY_OPERATOR)
    insert_rows(connection, event, [told])
    if wished.wish is Wish.HOLD and not wished.is_quiet:
        _tell_writer(connection, row, now)
    return after


def _tell_writer(connection: Connection, row: Row[Any], now: int) -> None:
    query = select(schema.submission.c.writer).where(schema.submission.c.id == row.submission)
    writer = connection.execute(query).scalar_one()
    if "@" not in writer:
        return
    notice = NewNotice(
        id=derive_id("n", row.id, lifecycle.HELD, str(now)),
        account=row.account,
        kind="held",
        channel=EMAIL,
        address=writer,
        message=row.id,
        reason=HELD_BY_OPERATOR,
        created_at=now,
        due_at=now,
        expires_at=now + VALID_MS,
    )
    insert_notices(connection, [notice])


def _woken(wished: Wished, granted: Granted | None) -> tuple[str, ...]:
    if granted is None or granted.denial is not None:
        return ()
    return ("notice",) if wished.wish is Wish.HOLD else ("mt",)


WISH: Verb[Wished, Granted | None] = Verb(_wish, wakes=_woken)
