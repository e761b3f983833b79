"""Delivery reports: matched to their attempt, folded into the message's status, kept when they come too early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    Connection,
    Row,
    Text,
    bindparam,
    cast,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)

from mail2sms import lifecycle
from mail2sms.model import DeliveryReport, Status
from mail2sms.store import notices, schema
from mail2sms.store.inserts import insert_rows
from mail2sms.store.rows import event_row
from mail2sms.store.writer import Verb

message, attempt, stray = schema.message, schema.attempt, schema.stray_report

_FROM_OUTCOME = {
    "taken": Status.ENROUTE,
    "uncertain": Status.UNKNOWN,
    "refused": Status.REJECTED,
    "unavailable": Status.QUEUED,
    None: Status.SENDING,
}
_MENDABLE = (Status.ENROUTE.value, Status.EXPIRED.value)
"""What a part may have been reported as for another report to count."""


WAKES: dict[Status, tuple[str, ...]] = {
    Status.QUEUED: ("mt",),
    **dict.fromkeys((Status.UNDELIVERABLE, Status.REJECTED, Status.EXPIRED, Status.UNKNOWN), ("notice",)),
}
"""The loops that have work when a message gets one of these statuses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A report moved this message to this status."""

    message: str
    status: Status


CarrierIds = Sequence[tuple[str, str | None]]


def lock(connection: Connection, ids: CarrierIds, messages: Iterable[str] = ()) -> None:
    """Lock what an outcome or report changes, in one order on all nodes: carriers' ids, then message rows.

    The ids, so that a report and the outcome it belongs to can't miss each other on two nodes of one PostgreSQL.
    """
    if connection.dialect.name == "sqlite":
        return
    keys = sorted({f"{carrier}/{cid}" for carrier, cid in ids if cid})
    if keys:
        each = func.unnest(cast(keys, ARRAY(Text))).column_valued("each")
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(each, 0))))
    rows = sorted(messages)
    if rows:
        connection.execute(
            select(message.c.id).where(message.c.id.in_(rows)).order_by(message.c.id).with_for_update()
        )


def _record(connection: Connection, reports: Sequence[DeliveryReport]) -> list[Moved | None]:
    """Store reports; returns what moved. Reports with unknown ids are kept as strays."""
    lock(connection, [(r.carrier, r.carrier_message_id) for r in reports])
    found = [(report, _find(connection, report)) for report in reports]
    strays = [report for report, row in found if row is None]
    insert_rows(connection, stray, [_stray_row(report) for report in strays])
    known = [(report, row) for report, row in found if row is not None]
    if not known:
        return [None] * len(reports)
    lock(connection, [], {row.message for _, row in known})
    _write_reports(connection, known)
    changed = _fold(connection, {row.message: report for report, row in known})
    return [
        Moved(message=row.message, status=changed[row.message])
        if row is not None and row.message in changed
        else None
        for _, row in found
    ]


def _stray_row(report: DeliveryReport) -> dict[str, Any]:
    return {
        "carrier": report.carrier,
        "carrier_message_id": report.carrier_message_id,
        "status": report.status.value,
        "code": report.code,
        "at": report.at,
    }


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


def _write_reports(connection: Connection, known: Sequence[tuple[DeliveryReport, Row[Any]]]) -> None:
    rows = [
        {
            "attempt_id": row.id,
            "said": report.status.value,
            "cid": report.carrier_message_id,
            "why": report.code,
        }
        for report, row in known
    ]
    # No IN: its parameters expand, which executemany can't.
    is_mendable = or_(attempt.c.report.is_(None), *(attempt.c.report == said for said in _MENDABLE))
    statement = (
        update(attempt)
        .where(attempt.c.id == bindparam("attempt_id"), is_mendable)
        # Whatever we thought of the attempt: a report proves that it was taken.
        .values(
            report=bindparam("said"),
            outcome="taken",
            carrier_message_id=bindparam("cid"),
            code=bindparam("why"),
        )
    )
    connection.execute(statement, rows)


def _fold(connection: Connection, reports: Mapping[str, DeliveryReport]) -> dict[str, Status]:
    """Bring messages to where their parts are; returns those that moved."""
    ids = sorted(reports)
    query = select(message.c.id, message.c.status).where(message.c.id.in_(ids))
    current = {row.id: row.status for row in connection.execute(query)}
    attempts: dict[str, list[Row[Any]]] = {}
    tried = select(attempt).where(attempt.c.message.in_(ids)).order_by(attempt.c.number)
    for row in connection.execute(tried):
        attempts.setdefault(row.message, []).append(row)
    moved: dict[tuple[Status, str, int], list[str]] = {}
    for id_, report in reports.items():
        parts = _parts(attempts[id_])
        status = lifecycle.after_report(Status(current[id_]), [known for known, _ in parts])
        if status is not None:
            codes = [code for known, code in parts if known is status and code]
            moved.setdefault((status, codes[0] if codes else "", report.at), []).append(id_)
    for (status, code, at), those in moved.items():
        _move(connection, those, status, code, at)
    return {id_: status for (status, _, _), those in moved.items() for id_ in those}


def _parts(attempts: Sequence[Row[Any]]) -> list[tuple[Status, str]]:
    """What is known of each part, and the carrier's code for it: by the carrier that was tried last.

    Parts that another took before could not be joined on the phone with these.
    """
    known: dict[int, tuple[Status, str]] = {}
    for row in attempts:
        if row.carrier != attempts[-1].carrier:
            continue
        status = Status(row.report) if row.report else _FROM_OUTCOME[row.outcome]
        so_far = known.get(row.part)
        if row.report or so_far is None or so_far[0] not in (Status.DELIVERED, Status.ENROUTE):
            known[row.part] = (status, row.code)
    return list(known.values())


def _move(connection: Connection, ids: Sequence[str], status: Status, code: str, at: int) -> None:
    reason = lifecycle.report_reason(status, code)
    statement = update(message).where(message.c.id.in_(ids)).returning(message)
    statement = statement.values(
        status=status.value, reason=reason, detail=code, updated_at=at, lease_owner=None, lease_until=None
    )
    if status is Status.QUEUED:  # what is missing of a message whose other parts were taken
        statement = statement.values(reason="retry", due_at=at)
    rows = connection.execute(statement).all()
    events = [event_row(row, status, at, reason=reason, detail=code) for row in rows]
    insert_rows(connection, schema.event, events)
    for row in rows:
        notices.about_failure(connection, row, at)


def apply_strays(connection: Connection, ids: Iterable[tuple[str, str | None]]) -> None:
    """Apply the reports that came before the outcome with these carrier ids was written."""
    known = {(carrier, cid) for carrier, cid in ids if cid}
    if not known:
        return
    wanted = tuple_(stray.c.carrier, stray.c.carrier_message_id).in_(sorted(known))
    rows = connection.execute(select(stray).where(wanted).order_by(stray.c.at)).all()
    if rows:
        connection.execute(delete(stray).where(wanted))
        for row in rows:
            _record(connection, [_report(row)])


def _report(row: Row[Any]) -> DeliveryReport:
    return DeliveryReport(
        carrier=row.carrier,
        carrier_message_id=row.carrier_message_id,
        status=Status(row.status),
        at=row.at,
        event_id="",
        code=row.code,
    )


RECORD_REPORT: Verb[DeliveryReport, Moved | None] = Verb(
    _record,
    wakes=lambda _, moved: WAKES.get(moved.status, ()) if moved else (),
    is_alone=True,
)
