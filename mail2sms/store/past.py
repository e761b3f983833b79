"""Writing what is over: messages with all that became of them, in one transaction and without waking anybody.

Nothing in it is due, leased or owed, so that no loop takes it for work. For a demo's history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from mail2sms.ids import derive_id
from mail2sms.model import FINAL, MoMessage, MtMessage, Status, Submission
from mail2sms.store import schema
from mail2sms.store.inserts import anew_with_ids, insert_rows
from mail2sms.store.notices import TOLD
from mail2sms.store.rows import (
    EMAIL,
    VALID_MS,
    NewNotice,
    content_row,
    event_row,
    message_row,
    mo_event_row,
    notice_event_row,
    notice_row,
    submission_row,
)
from mail2sms.store.writer import Verb

_OVER = FINAL | {Status.ENROUTE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One step of a past message's life."""

    at: int
    status: Status
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastMessage:
    """A message that is over (`mt.status`), with its steps from the first to the last."""

    mt: MtMessage
    reply_key: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PastMo:
    """What a phone wrote; `address` was told."""

    mo: MoMessage
    conversation: str
    address: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What was. Raises ValueError for a message that is not over."""

    account: str
    submissions: tuple[Submission, ...]
    messages: tuple[PastMessage, ...]
    mos: tuple[PastMo, ...] = ()

    def __post_init__(self) -> None:
        open_ = [past.mt.id for past in self.messages if past.mt.status not in _OVER]
        if open_:
            raise ValueError(f"{open_[0]} is not over")


def _remember(connection: Connection, pasts: Sequence[Past]) -> list[None]:
    for past in pasts:
        _insert(connection, past)
    return [None] * len(pasts)


def _insert(connection: Connection, past: Past) -> None:
    texts = [
        content_row(each.id, past.account, each.id, each.text.encode(), each.created_at)
        for each in past.submissions
    ]
    mos = [(mo_id(past.account, each.mo), each) for each in past.mos]
    for id_, each in mos:
        texts.append(content_row(f"{id_}-0", past.account, id_, each.mo.text.encode(), each.mo.at))
    conversations = {each.mt.conversation: _conversation_row(each) for each in reversed(past.messages)}
    writers = {each.id: each.writer.address for each in past.submissions}
    insert_rows(connection, schema.submission, [submission_row(each) for each in past.submissions])
    insert_rows(connection, schema.conversation, list(conversations.values()))
    insert_rows(connection, schema.content, texts)
    rows = [_message_row(each) for each in past.messages]
    new = {row.id for row in insert_rows(connection, schema.message, rows, anew_with_ids)}
    insert_rows(connection, schema.attempt, [_attempt_row(each) for each in past.messages])
    insert_rows(connection, schema.event, _event_rows(each for each in past.messages if each.mt.id in new))
    mo_rows = [_mo_row(id_, past.account, each) for id_, each in mos]
    new |= {row.id for row in insert_rows(connection, schema.mo, mo_rows, anew_with_ids)}
    told = [_failure(each.mt, writers[each.mt.submission]) for each in past.messages if _failed(each.mt)]
    told += [_reply(id_, past.account, each) for id_, each in mos]
    notices = [{**notice_row(each), "status": "sent", "attempts": 1} for each in told]
    new |= {row.id for row in insert_rows(connection, schema.notice, notices, anew_with_ids)}
    events = [mo_event_row(row) for row in mo_rows]
    events += [
        notice_event_row(each, status, each.created_at) for each in told for status in ("queued", "sent")
    ]
    insert_rows(connection, schema.event, [event for event in events if event["about"] in new])


def _event_rows(messages: Iterable[PastMessage]) -> list[dict[str, Any]]:
    return [
        event_row(each.mt, change.status, change.at, reason=change.reason, detail=change.detail)
        for each in messages
        for change in each.changes
    ]


def mo_id(account: str, mo: MoMessage) -> str:
    """Return the id under which an MO is stored."""
    return derive_id("r", account, mo.carrier, mo.event_id)


def _failed(mt: MtMessage) -> bool:
    return mt.status in TOLD


def _conversation_row(past: PastMessage) -> dict[str, Any]:
    mt = past.mt
    return {
        "id": mt.conversation,
        "account": mt.account,
        "our_address": mt.sender_id,
        "msisdn": mt.msisdn,
        "reply_key": past.reply_key,
        "created_at": mt.created_at,
    }


def _message_row(past: PastMessage) -> dict[str, Any]:
    return {**message_row(past.mt), "updated_at": past.changes[-1].at}


def _attempt_row(past: PastMessage) -> dict[str, Any]:
    """Return the attempt that the carrier took, known by the message's id."""
    mt, last = past.mt, past.changes[-1]
    taken_at = next((change.at for change in past.changes if change.status is Status.ENROUTE), last.at)
    return {
        "id": derive_id("a", mt.id),
        "account": mt.account,
        "message": mt.id,
        "part": 0,
        "number": mt.attempts,
        "carrier": mt.carrier,
        "intent_at": taken_at,
        "outcome": "taken",
        "ended_at": taken_at,
        "carrier_message_id": mt.id,
        "code": "",
        "report": None if mt.status is Status.ENROUTE else mt.status.value,
    }


def _mo_row(id_: str, account: str, past: PastMo) -> dict[str, Any]:
    mo = past.mo
    return {
        "id": id_,
        "account": account,
        "carrier": mo.carrier,
        "event_id": mo.event_id,
        "conversation": past.conversation,
        "msisdn": mo.msisdn,
        "our_address": mo.to,
        "at": mo.at,
        "created_at": mo.at,
    }


def _failure(mt: MtMessage, writer: str) -> NewNotice:
    at = mt.updated_at
    return NewNotice(
        id=derive_id("n", mt.id, mt.status, EMAIL),
        account=mt.account,
        kind="undelivered",
        channel=EMAIL,
        address=writer,
        message=mt.id,
        reason=mt.reason or TOLD[mt.status],
        created_at=at,
        due_at=at,
        expires_at=at + VALID_MS,
    )


def _reply(id_: str, account: str, past: PastMo) -> NewNotice:
    at = past.mo.at
    return NewNotice(
        id=derive_id("n", id_, EMAIL),
        account=account,
        kind="reply",
        channel=EMAIL,
        address=past.address,
        mo=id_,
        created_at=at,
        due_at=at,
        expires_at=at + VALID_MS,
    )


REMEMBER_PAST: Verb[Past, None] = Verb(_remember)
