"""What is owed beside emails of failures: reports that a client asked for (RFC 3461), and the receipt of a whole mail.

Each is queued as a notice with its message. A receipt waits until all messages of its mail are over; reports that
nothing came of, and delays, are looked at again when they are due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mail2sms.ids import derive_id
from mail2sms.model import MtMessage, Status, Submission
from mail2sms.store.rows import EMAIL, VALID_MS, NewNotice, read_dsn

DSN, RECEIPT = "dsn", "receipt"
"""Kinds of notices."""

DELIVERED, RELAYED, DELAYED = "dsn.delivered", "dsn.relayed", "dsn.delayed"
"""Reasons of reports; that of a failure is its own."""

_DELAYED_MS = 3_600_000  # after it was to leave
_RECEIPT_MS = 86_400_000  # then a receipt tells how far it has come
_LATE_MS = 3_600_000  # a carrier's report of what it gave up may come after the end


def receipt_id(submission: str) -> str:
    """Return the id of the receipt of a mail."""
    return derive_id("n", submission, RECEIPT)


def at_start(submission: Submission, messages: Sequence[MtMessage]) -> Iterator[NewNotice]:
    """Yield what waits with these messages, before they are held by anybody."""
    for mt in messages:
        due_at = (submission.send_at or submission.created_at) + _DELAYED_MS
        if mt.dsn.asks("DELAY") and due_at < mt.expires_at:
            yield report(mt, mt.dsn.report_to, DELAYED, submission.created_at, due_at)
    if messages and submission.has_receipt:
        due_at = max(min(mt.expires_at, mt.due_at + _RECEIPT_MS) for mt in messages)
        yield NewNotice(
            id=receipt_id(submission.id),
            account=submission.writer.account,
            kind=RECEIPT,
            channel=EMAIL,
            address=submission.writer.address,
            message=messages[0].id,
            created_at=submission.created_at,
            due_at=due_at,
            expires_at=due_at + VALID_MS,
        )


def doubted(row: Any) -> tuple[str, ...]:
    """Return what tells one doubt about a message from its next: a late answer may have ended the first untold."""
    return (str(row.attempts),) if row.status == Status.UNKNOWN else ()


def report(mt: Any, to: str, reason: str, now: int, due_at: int, doubt: tuple[str, ...] = ()) -> NewNotice:
    """Return the report of a message (a value or its row)."""
    return NewNotice(
        id=derive_id("n", mt.id, DSN, reason, *doubt),
        account=mt.account,
        kind=DSN,
        channel=EMAIL,
        address=to,
        message=mt.id,
        reason=reason,
        created_at=now,
        due_at=due_at,
        expires_at=due_at + VALID_MS,
    )


def handed_over(row: Any, now: int, *, is_reported: bool) -> list[NewNotice]:
    """Return the report of a message that a carrier has: for the case that nothing more is heard of it."""
    dsn = read_dsn(row.dsn)
    if not dsn.asks("SUCCESS"):
        return []
    due_at = max(row.expires_at, now) + _LATE_MS if is_reported else now
    return [report(row, dsn.report_to, RELAYED, now, due_at)]


def ended(row: Any, reason: str, now: int, due_at: int) -> list[NewNotice]:
    """Return the report of a message row that was delivered, or of one that was not."""
    dsn, is_delivered = read_dsn(row.dsn), row.status == Status.DELIVERED
    if not dsn.asks("SUCCESS" if is_delivered else "FAILURE"):
        return []
    return [report(row, dsn.report_to, DELIVERED if is_delivered else reason, now, due_at, doubted(row))]


def wants_email(row: Any, writer: str) -> bool:
    """Whether the writer is told of a failure by an email: not one who gets it as a report, in the same words."""
    dsn = read_dsn(row.dsn)
    has_report = dsn.asks("FAILURE") and dsn.report_to.lower() == writer.lower()
    return "@" in writer and dsn.wants_failure and not has_report
