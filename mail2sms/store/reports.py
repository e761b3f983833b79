"""Delivery reports: matched to their attempt, folded into the message's status, kept when they come too early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from mail2sms import lifecycle
from mail2sms.lifecycle import Change
from mail2sms.model import DeliveryReport, Status
from mail2sms.store import notices, schema
from mail2sms.store.rows import event_row, insert_new
from mail2sms.store.writer import Verb

message, attempt, stray = schema.message, schema.attempt, schema.stray_report

_FROM_OUTCOME = {
    "taken": Status.ENROUTE,
    "uncertain": Status.UNKNOWN,
    "refused": Status.REJECTED,
    "unavailable": Status.QUEUED,
    None: Status.SENDING,
}


def lock_ids(connection: Connection, ids: Iterable[tuple[str, str | None]]) -> None:
    """Keep a report and the outcome it belongs to from missing each other on two nodes of one PostgreSQL."""
    if connection.dialect.name == "sqlite":
        return
    keys = sorted({f"{carrier}/{cid}" for carrier, cid in ids if cid})
    for key in keys:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


def _record(connection: Connection, reports: Sequence[DeliveryReport]) -> list[Status | None]:
    """Store reports; returns each message's status where it changed. Unknown ids are kept as strays."""
    lock_ids(connection, [(r.carrier, r.carrier_message_id) for r in reports])
    return [_record_one(connection, report) for report in reports]


def _record_one(connection: Connection, report: DeliveryReport) -> Status | None:
    row = _find(connection, report)
    if row is None:
        fields = {"carrier": report.carrier, "carrier_message_id": report.carrier_message_id, "at": report.at}
        insert_new(connection, stray, [{**fields, "status": report.status.value, "code": report.code}])
        return None
    if row.report in (None, Status.ENROUTE.value, Status.EXPIRED.value):
        connection.execute(
            update(attempt)
            .where(attempt.c.id == row.id)
            .values(
                report=report.status.value,
                outcome="taken",  # whatever we thought: a report proves it
                carrier_message_id=report.carrier_message_id,
            )
        )
    return _fold(connection, row.message, report)


def _find(connection: Connection, report: DeliveryReport) -> Row[Any] | None:
    by_carrier_id = (attempt.c.carrier == report.carrier) & (
        attempt.c.carrier_message_id == report.carrier_message_id
    )
    row = connection.execute(
        select(attempt).where(by_carrier_id).order_by(attempt.c.intent_at.desc())
    ).first()
    if row is None and report.attempt_id is not None:
        by_ours = (attempt.c.id == report.attempt_id) & (attempt.c.carrier == report.carrier)
        row = connection.execute(select(attempt).where(by_ours)).first()
    return row


def _fold(connection: Connection, message_id: str, report: DeliveryReport) -> Status | None:
    query = select(attempt).where(attempt.c.message == message_id).order_by(attempt.c.number)
    parts: dict[int, Status] = {}
    for row in connection.execute(query):
        known = Status(row.report) if row.report else _FROM_OUTCOME[row.outcome]
        if parts.get(row.part) not in (Status.DELIVERED, Status.ENROUTE) or row.report:
            parts[row.part] = known
    current = connection.execute(
        select(message.c.status).where(message.c.id == message_id).with_for_update()
    ).scalar_one()
    status = lifecycle.after_report(Status(current), list(parts.values()))
    if status is None:
        return None
    reason = lifecycle.report_reason(status, report.code)
    change = Change(status=status, reason=reason, detail=report.code)
    row = connection.execute(
        update(message)
        .where(message.c.id == message_id)
        .values(
            status=status.value,
            reason=reason,
            detail=report.code,
            updated_at=report.at,
            lease_owner=None,
            lease_until=None,
        )
        .returning(message)
    ).one()
    event = event_row(row, change.status, report.at, reason=reason, detail=report.code)
    connection.execute(insert(schema.event), [event])
    notices.about_failure(connection, row, report.at)
    return status


def apply_strays(connection: Connection, ids: Iterable[tuple[str, str | None]]) -> None:
    """Apply the reports that came before the outcome with these carrier ids was written."""
    known = {(carrier, cid) for carrier, cid in ids if cid}
    if not known:
        return
    wanted = stray.c.carrier_message_id.in_([cid for _, cid in known])
    rows = connection.execute(select(stray).where(wanted).order_by(stray.c.at)).all()
    for row in rows:
        if (row.carrier, row.carrier_message_id) in known:
            _record_one(connection, _report(row))
            is_it = (stray.c.carrier == row.carrier) & (stray.c.carrier_message_id == row.carrier_message_id)
            connection.execute(delete(stray).where(is_it))


def _report(row: Row[Any]) -> DeliveryReport:
    return DeliveryReport(
        carrier=row.carrier,
        carrier_message_id=row.carrier_message_id,
        status=Status(row.status),
        at=row.at,
        event_id="",
        code=row.code,
    )


RECORD_REPORT: Verb[DeliveryReport, Status | None] = Verb(_record, wakes=("notice",))
