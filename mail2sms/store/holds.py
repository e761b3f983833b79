"""What is queued and waits for somebody's approval: its rows, and who is told. Writes nothing itself.

A message that waits is queued and due when nobody lives any more, so no claim needs to know of it; it expires as
others do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from mail2sms import lifecycle
from mail2sms.ids import derive_id
from mail2sms.model import MtMessage, Submission
from mail2sms.rules._base import Hold, Reservation
from mail2sms.store.rows import EMAIL, VALID_MS, NewMessage, NewNotice

OPEN = "open"
APPROVAL = "held.approval"
_HOUR_MS = 3_600_000


def as_it_waits(new: NewMessage) -> MtMessage:
    """Return a message as it is queued: if it is held, due never."""
    mt, hold = new.mt, new.hold
    if hold is None:
        return mt
    due_at = lifecycle.due_when_held(mt.due_at)
    return replace(mt, reason=lifecycle.APPROVAL, detail=hold.detail, due_at=due_at)


def merged(waiting: Sequence[Hold]) -> Hold:
    """Return one hold for all messages of a submission that wait."""
    then: dict[str, Reservation] = {}
    for each in (wish for hold in waiting for wish in hold.then):
        known = then.get(each.key)
        then[each.key] = each if known is None else replace(known, amount=known.amount + each.amount)
    detail = "; ".join(dict.fromkeys(hold.detail for hold in waiting))
    return replace(waiting[0], detail=detail, then=tuple(then.values()))


def approval_row(submission: Submission, hold: Hold) -> dict[str, Any]:
    """Return the row of the approval that a submission waits for."""
    return {
        "id": derive_id("v", submission.id),
        "account": submission.writer.account,
        "submission": submission.id,
        "reason": hold.reason,
        "detail": hold.detail,
        "status": OPEN,
        "created_at": submission.created_at,
        "decided_at": None,
        "decided_by": "",
        "then_counted": json.dumps([asdict(wish) for wish in hold.then]),
    }


def notices(
    submission: Submission, messages: Sequence[MtMessage], row: Mapping[str, Any], approvers: Sequence[str]
) -> list[NewNotice]:
    """Return what tells the writer that these wait, and the approvers that they are asked.

    Of what looks like fraud an approver hears once an hour: it may be one of thousands.
    """
    first, now, reason = messages[0], submission.created_at, row["reason"]
    payload = {"others": len(messages) - 1, "approval": row["id"]}
    writer = submission.writer.address
    told = [notice(first, "held", writer, reason, now, payload)] if "@" in writer else []
    asked = [notice(first, "approval", to, reason, now, payload) for to in approvers]
    if reason == APPROVAL:
        return told + asked
    hour = str(now // _HOUR_MS)
    return told + [
        replace(each, id=derive_id("n", first.account, reason, each.address, hour)) for each in asked
    ]


def notice(
    mt: Any, kind: str, address: str, reason: str, now: int, payload: Mapping[str, object]
) -> NewNotice:
    """Return one email about a message (a value or its row), and `more` of the same submission."""
    return NewNotice(
        id=derive_id("n", mt.id, kind, reason, address),
        account=mt.account,
        kind=kind,
        channel=EMAIL,
        address=address,
        message=mt.id,
        reason=reason,
        payload=json.dumps(payload).encode(),
        created_at=now,
        due_at=now,
        expires_at=now + VALID_MS,
    )
