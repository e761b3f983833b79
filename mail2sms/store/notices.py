"""Notices: what is owed to writers and chat hooks, as a queue of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, select, update

from mail2sms import lifecycle
from mail2sms.ids import derive_id
from mail2sms.model import FINAL, Status
from mail2sms.store import owed, schema
from mail2sms.store.inserts import insert_rows
from mail2sms.store.put import insert_notices
from mail2sms.store.rows import (
    EMAIL,
    VALID_MS,
    Lease,
    NewNotice,
    clock_ms,
    leasing,
    notice_event_row,
    read_dsn,
)
from mail2sms.store.writer import Verb

notice = schema.notice

_TOO_LATE = "not told in time"
_SETTLE_MS = 60_000  # a lost answer is often settled by a receipt within a minute: tell nobody before

TOLD = {
    "rejected": "carrier.rejected",
    "undeliverable": "carrier.undeliverable",
    "expired": "carrier.expired",
    "unknown": "carrier.unknown",
}


def hook_channels(connection: Connection, kind: str) -> tuple[str, ...]:
    """Return the names of the hooks that want this kind (`reply`, `failed`), as the configuration says."""
    hooks: dict[str, tuple[str, ...]] = connection.get_execution_options().get("hooks", {})
    return tuple(name for name, kinds in hooks.items() if kind in kinds)


def about_change(connection: Connection, row: Row[Any], now: int, *, is_reported: bool = True) -> None:
    """Queue what is to be told when a message row has changed: of failures, and what was asked for.

    `is_reported`: its carrier says what becomes of what it takes.
    """
    if row.dsn is not None:
        _about_asked(connection, row, now, is_reported=is_reported)
    if row.status in TOLD:
        _about_failure(connection, row, now)


def _about_failure(connection: Connection, row: Row[Any], now: int) -> None:
    query = select(schema.submission.c.writer).where(schema.submission.c.id == row.submission)
    writer = connection.execute(query).scalar_one()
    addresses = [(EMAIL, writer)] if owed.wants_email(row, writer) else []
    addresses += [(name, "") for name in hook_channels(connection, "failed")]
    # What nobody approved is told once for all that one mail or API call asked for.
    about = row.submission if row.reason == "approval.expired" else row.id
    insert_notices(
        connection,
        [
            NewNotice(
                id=derive_id("n", about, row.status, channel, *owed.doubted(row)),
                account=row.account,
                kind="undelivered",
                channel=channel,
                address=address,
                message=row.id,
                reason=row.reason or TOLD[row.status],
                created_at=now,
                due_at=_due_at(row, now),
                expires_at=now + VALID_MS,
            )
            for channel, address in addresses
        ],
    )


def _due_at(row: Row[Any], now: int) -> int:
    return now + _SETTLE_MS if row.status == Status.UNKNOWN else now


def _about_asked(connection: Connection, row: Row[Any], now: int, *, is_reported: bool) -> None:
    is_told = row.status in TOLD or (row.status == Status.CANCELLED and row.reason)
    if row.status == Status.ENROUTE:
        insert_notices(connection, owed.handed_over(row, now, is_reported=is_reported))
    elif row.status == Status.DELIVERED or is_told:
        reason = row.reason or TOLD.get(row.status, "")
        insert_notices(connection, owed.ended(row, reason, now, _due_at(row, now)))
    if read_dsn(row.dsn).has_receipt and (row.status in FINAL or not is_reported):
        _bring_receipt_forward(connection, row, now)


def _bring_receipt_forward(connection: Connection, row: Row[Any], now: int) -> None:
    """Let the receipt go when this was the last message of its mail.

    Locked first, looked at then: of two nodes that end the last two messages, the second one sees both.
    """
    mine = and_(notice.c.id == owed.receipt_id(row.submission), notice.c.due_at > now)
    waits = select(notice.c.id).where(mine, notice.c.status == "queued").with_for_update()
    if connection.execute(waits).first() is None:
        return
    message = schema.message
    is_over: ColumnElement[bool] = message.c.status.in_([status.value for status in FINAL])
    if row.status == Status.ENROUTE:  # its carrier says no more
        is_over |= and_(message.c.status == row.status, message.c.carrier == row.carrier)
    others = select(message.c.id).where(message.c.submission == row.submission, ~is_over)
    if connection.execute(others.limit(1)).first() is None:
        connection.execute(update(notice).where(mine).values(due_at=now))


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeClaim(Lease):
    """Ask for due notices of a channel."""

    channel: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A leased notice. Which of `mo`, `message` and `payload` it has depends on its kind."""

    id: str
    account: str
    kind: str
    channel: str
    address: str
    reason: str
    attempts: int
    fence: int
    created_at: int
    expires_at: int
    mo: str | None
    message: str | None
    payload: bytes | None


def _claim(connection: Connection, claims: Sequence[NoticeClaim]) -> list[list[Notice]]:
    return [_claim_one(connection, claim) for claim in claims]


_LEASING = leasing(notice, "channel", attempts=notice.c.attempts + 1, updated_at=bindparam("now"))


def _claim_one(connection: Connection, claim: NoticeClaim) -> list[Notice]:
    ids = _LEASING.lease(connection, claim.channel, claim)
    if not ids:
        return []
    content = schema.content
    query = (
        select(notice, content.c.data)
        .join(content, content.c.id == notice.c.content, isouter=True)
        .where(notice.c.id.in_(ids))
        .order_by(notice.c.due_at, notice.c.id)
    )
    return [_read(row) for row in connection.execute(query)]


def _read(row: Row[Any]) -> Notice:
    return Notice(
        id=row.id,
        account=row.account,
        kind=row.kind,
        channel=row.channel,
        address=row.address,
        reason=row.reason,
        attempts=row.attempts,
        fence=row.fence,
        created_at=row.created_at,
        expires_at=row.expires_at,
        mo=row.mo,
        message=row.message,
        payload=None if row.data is None else bytes(row.data),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeOutcome:
    """How the delivery of a notice ended: `status` is sent, dropped, failed, or queued again at `due_at`."""

    notice: Notice
    status: str
    now: int
    detail: str = ""
    due_at: int | None = None


def _settle(connection: Connection, outcomes: Sequence[NoticeOutcome]) -> list[bool]:
    results = []
    for outcome in outcomes:
        values: dict[str, Any] = {"status": outcome.status, "detail": outcome.detail}
        values |= {"lease_owner": None, "lease_until": None}
        if outcome.due_at is not None:
            values["due_at"] = outcome.due_at
        is_ours = (notice.c.id == outcome.notice.id) & (notice.c.fence == outcome.notice.fence)
        done = connection.execute(update(notice).where(is_ours).values(**values)).rowcount == 1
        if done:
            insert_rows(connection, schema.event, [_event_row(outcome)])
        results.append(done)
    return results


def _event_row(outcome: NoticeOutcome) -> dict[str, Any]:
    reason = "retry" if outcome.status == "queued" else ""
    told = outcome.notice, outcome.status, outcome.now
    return notice_event_row(*told, reason=reason, detail=outcome.detail)


def free_leases(connection: Connection, *, is_first: bool) -> None:
    """Give leased notices back: those whose lease ran out, or all. An email may then leave twice, under one id."""
    leased: ColumnElement[bool] = notice.c.lease_owner.is_not(None)
    if not is_first:
        leased = leased & (notice.c.lease_until < clock_ms(connection))
    connection.execute(update(notice).where(leased).values(lease_owner=None, lease_until=None))


def expire(connection: Connection, now: int) -> None:
    """Give up notices that nobody could be told in time, those without a channel too."""
    late = (notice.c.status == "queued") & notice.c.lease_owner.is_(None) & (notice.c.expires_at <= now)
    given_up = update(notice).where(late).values(status="failed", detail=_TOO_LATE)
    rows = connection.execute(given_up.returning(notice.c.id, notice.c.account)).all()
    insert_rows(
        connection, schema.event, [notice_event_row(row, "failed", now, detail=_TOO_LATE) for row in rows]
    )


def next_attempt_at(attempts: int, now: int, chance: float) -> int:
    """Return when a notice that failed for now is tried again."""
    return now + lifecycle.backoff_ms(attempts, chance)


CLAIM_NOTICES: Verb[NoticeClaim, list[Notice]] = Verb(_claim)
SETTLE_NOTICE: Verb[NoticeOutcome, bool] = Verb(_settle)
