"""What waits for somebody's approval: one decision for all that one submission still has waiting.

A decision is made once. It changes the messages, is written into their events and told to the writer in one
transaction; whoever comes later learns what was decided.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from mail2sms import lifecycle
from mail2sms.rules._base import Reservation
from mail2sms.store import notices, outcomes, owed, schema
from mail2sms.store.counters import Ledger
from mail2sms.store.holds import OPEN, notice
from mail2sms.store.put import insert_notices
from mail2sms.store.rows import read_message
from mail2sms.store.writer import Verb

approval, message, submission = schema.approval, schema.message, schema.submission

RELEASED, REFUSED = "released", "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`by` decides so about an approval: RELEASED or REFUSED."""

    account: str
    id: str
    status: str
    by: str
    now: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalView:
    """An approval as it stands. `waiting` messages of it still wait; the texts are those of the first of them."""

    id: str
    submission: str
    reason: str
    detail: str
    status: str
    created_at: int
    decided_at: int | None
    decided_by: str
    waiting: int
    first: str
    writer: str


def _decide(connection: Connection, decisions: Sequence[Decision]) -> list[ApprovalView | None]:
    return [_decide_one(connection, decision) for decision in decisions]


def _decide_one(connection: Connection, decision: Decision) -> ApprovalView | None:
    chosen = (approval.c.id == decision.id) & (approval.c.account == decision.account)
    row = connection.execute(select(approval).where(chosen).with_for_update()).first()
    if row is not None and row.status == OPEN:
        values = {"status": decision.status, "decided_at": decision.now, "decided_by": decision.by}
        connection.execute(update(approval).where(chosen).values(**values))
        _apply(connection, row, decision)
    return read_approval(connection, decision.account, decision.id)


def _apply(connection: Connection, row: Row[Any], decision: Decision) -> None:
    waiting = select(message).where(message.c.submission == row.submission, _WAITS)
    rows = connection.execute(waiting.order_by(message.c.id).with_for_update()).all()
    for each in rows:
        change = lifecycle.after_approval(
            read_message(each), decision.now, is_released=decision.status == RELEASED
        )
        values = {**outcomes.changed(change, read_message(each), decision.now), "fence": message.c.fence + 1}
        changed = update(message).where(message.c.id == each.id).values(**values).returning(message)
        after = connection.execute(changed).one()
        told = replace(change, detail=f"{decision.status} by {decision.by}")
        outcomes.write_event(connection, each, told, decision.now)
        notices.about_change(connection, after, decision.now)
    if decision.status == REFUSED and rows:
        _tell_writer(connection, row, rows, decision.now)
    if decision.status == RELEASED and rows:
        _count(connection, [Reservation(**each) for each in json.loads(row.then_counted)])


def _count(connection: Connection, then: Sequence[Reservation]) -> None:
    ledger = Ledger.lock(connection, then)
    ledger.reserve(then)
    ledger.write(connection)


_WAITS = (message.c.status == "queued") & (message.c.reason == lifecycle.APPROVAL)


def _tell_writer(connection: Connection, row: Row[Any], rows: Sequence[Row[Any]], now: int) -> None:
    query = select(submission.c.writer).where(submission.c.id == row.submission)
    writer = connection.execute(query).scalar_one()
    told = [each for each in rows if owed.wants_email(each, writer)]
    if told:
        more = {"more": len(told) - 1}
        about = notice(told[0], "undelivered", writer, "approval.refused", now, more)
        insert_notices(connection, [about])


DECIDE: Verb[Decision, ApprovalView | None] = Verb(_decide, wakes=lambda *_: ("mt", "notice"))


def read_approval(connection: Connection, account: str, id_: str) -> ApprovalView | None:
    """Return an approval; None when the account has no such."""
    query = select(approval, submission.c.writer).join(submission, submission.c.id == approval.c.submission)
    row = connection.execute(query.where(approval.c.id == id_, approval.c.account == account)).first()
    if row is None:
        return None
    of = message.c.submission == row.submission
    waiting = connection.execute(select(func.count()).where(of, _WAITS)).scalar_one()
    first = connection.execute(select(func.min(message.c.id)).where(of, _WAITS)).scalar_one()
    plain = {
        name: getattr(row, name) for name in ("id", "submission", "reason", "detail", "status", "writer")
    }
    return ApprovalView(
        **plain,
        created_at=row.created_at,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        waiting=waiting,
        first=first or "",
    )


def read_of(connection: Connection, account: str, submission_id: str) -> ApprovalView | None:
    """Return the approval that messages of a submission wait for, or waited for; None where there was none."""
    query = select(approval.c.id).where(approval.c.submission == submission_id)
    id_ = connection.scalar(query)
    return None if id_ is None else read_approval(connection, account, id_)


def read_open(connection: Connection, account: str, limit: int) -> list[ApprovalView]:
    """Return the approvals that nobody decided about, the oldest first."""
    query = select(approval.c.id).where(approval.c.account == account, approval.c.status == OPEN)
    ids = connection.scalars(query.order_by(approval.c.created_at).limit(limit)).all()
    found = [read_approval(connection, account, id_) for id_ in ids]
    return [view for view in found if view is not None and view.waiting]
