"""Delivery reports: matched to their attempt, folded into the message's status, kept when they come too early.

What was kept is applied by `strays`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    Row,
    Text,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)

from mail2sms import lifecycle
from mail2sms.model import DeliveryReport, Status
from mail2sms.store import notices, schema, segmented
from mail2sms.store.inserts import insert_rows
from mail2sms.store.locks import lock_keys
from mail2sms.store.rows import event_row
from mail2sms.store.writer import Verb

message, attempt, stray = schema.message, schema.attempt, schema.stray_report

MAY_BE_OUT = exists().where(attempt.c.message == message.c.id, attempt.c.outcome.in_(("taken", "uncertain")))
"""A carrier has it, or may have it."""
NOTHING = message.c.cost * 0
"""What a message costs that is rejected, or never taken: still unknown where its price is."""

_FROM_OUTCOME = {
    "taken": Status.ENROUTE,
    "uncertain": Status.UNKNOWN,
    "refused": Status.REJECTED,
    "unavailable": Status.QUEUED,
    None: Status.SENDING,
}
_CLOCKS_MS = 86_400_000  # between ours and that of a carrier that knows no time zones
_ANY = frozenset(Status)
_NOT_TAKEN = frozenset({Status.QUEUED, Status.REJECTED})
# What is known of a part already, and what a later attempt at it says nothing about: a doubt outlives a second try that
# failed for certain.
_NOT_AFTER = {Status.DELIVERED: _ANY, Status.ENROUTE: _ANY, Status.UNKNOWN: _NOT_TAKEN}


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
    lock_keys(connection, (f"{carrier}/{cid}" for carrier, cid in ids if cid))
    rows = sorted(messages)
    if rows:
        connection.execute(
            select(message.c.id).where(message.c.id.in_(rows)).order_by(message.c.id).with_for_update()
        )


def record(connection: Connection, reports: Sequence[DeliveryReport]) -> list[Moved | None]:
    """Store reports; returns what moved. Reports with unknown ids are kept as strays."""
    lock(connection, [(r.carrier, r.carrier_message_id) for r in reports])
    found = list(zip(reports, _find(connection, reports), strict=True))
    strays = [report for report, row in found if row is None]
    insert_rows(connection, stray, [_stray_row(report) for report in strays])
    known = [(report, row) for report, row in found if row is not None]
    if not known:
        return [None] * len(reports)
    lock(connection, [], {row.message for _, row in known})
    _write_reports(connection, segmented.of_parts(connection, known))
    changed = fold(connection, {row.message: report.at for report, row in known})
    return [
        Moved(message=row.message, status=changed[row.message])
        if row is not None and row.message in changed
        else None
        for _, row in found
    ]


def _stray_row(report: DeliveryReport) -> dict[str, Any]:
    # Of one segment among others, without an id of its own, it can say no more than that the part is on its way.
    is_of_some = report.segment not in ("", report.carrier_message_id) and report.segments != 1
    status = Status.ENROUTE if is_of_some and report.status is Status.DELIVERED else report.status
    return {
        "carrier": report.carrier,
        "carrier_message_id": report.carrier_message_id,
        "status": status.value,
        "code": report.code,
        "at": report.at,
        "sent_at": report.sent_at,
        "is_opt_out": int(report.is_opt_out),
    }


_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_BY_CARRIER = (
    select(attempt)
    .where(attempt.c.carrier == bindparam("which"), attempt.c.carrier_message_id.in_(_IDS))
    .order_by(attempt.c.intent_at)
)
BY_ATTEMPT = select(attempt).where(attempt.c.id.in_(_IDS))


def _find(connection: Connection, reports: Sequence[DeliveryReport]) -> list[Row[Any] | None]:
    """Return the attempt of each report: by the carrier's id (the latest that has it), else by ours."""
    found: dict[tuple[str, str], list[Row[Any]]] = {}
    for carrier, cids in by_carrier((r.carrier, r.carrier_message_id) for r in reports).items():
        for row in connection.execute(_BY_CARRIER, {"which": carrier, "ids": cids}):
            found.setdefault((carrier, row.carrier_message_id), []).append(row)
    rows = [_nearest(r, found.get((r.carrier, r.carrier_message_id), [])) for r in reports]
    unknown = [r.attempt_id for r, row in zip(reports, rows, strict=True) if row is None and r.attempt_id]
    if not unknown:
        return rows
    ours = {(row.carrier, row.id): [row] for row in connection.execute(BY_ATTEMPT, {"ids": unknown})}
    return [
        row or _nearest(r, ours.get((r.carrier, r.attempt_id or ""), []))
        for r, row in zip(reports, rows, strict=True)
    ]


def _nearest(report: DeliveryReport, rows: Sequence[Row[Any]]) -> Row[Any] | None:
    """Return the attempt that a report is about, of those that it may name: the latest, or the one of its time."""
    at = report.sent_at
    if at is None:
        return rows[-1] if rows else None
    near = (row for row in rows if abs(row.intent_at - at) <= _CLOCKS_MS)
    return min(near, key=lambda row: abs(row.intent_at - at), default=None)


def by_carrier(ids: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group carriers' ids. Asked for as pairs, SQLite would look through the whole table."""
    grouped: dict[str, list[str]] = {}
    for carrier, cid in ids:
        grouped.setdefault(carrier, []).append(cid)
    return grouped


_STATUSES = select(message.c.id, message.c.status).where(message.c.id.in_(_IDS))
_ATTEMPTS = select(attempt).where(attempt.c.message.in_(_IDS)).order_by(attempt.c.number, attempt.c.id)
_SAID: BindParameter[str] = bindparam("said", type_=Text)
_IS_MENDED = or_(  # No IN: its parameters expand, which executemany can't.
    attempt.c.report.is_(None),
    attempt.c.report == Status.ENROUTE.value,
    and_(attempt.c.report == Status.EXPIRED.value, _SAID.is_distinct_from(Status.ENROUTE.value)),
)
"""Whether a report counts beside what the part was reported as."""
_REPORTED = (
    update(attempt)
    .where(attempt.c.id == bindparam("attempt_id"), _IS_MENDED)
    # Whatever we thought of the attempt: a report proves that it was taken.
    .values(
        report=_SAID,
        outcome="taken",
        carrier_message_id=func.coalesce(bindparam("cid", type_=Text), attempt.c.carrier_message_id),
        code=bindparam("why"),
        segments=func.coalesce(bindparam("told", type_=Integer), attempt.c.segments),
    )
)


def _write_reports(connection: Connection, known: Sequence[segmented.Known]) -> None:
    rows = [
        {
            "attempt_id": row.id,
            "said": report.status.value,
            "cid": report.carrier_message_id or None,
            "why": report.code,
            "told": report.segments or None,
        }
        for report, row in known
    ]
    if rows:
        connection.execute(_REPORTED, rows)


def fold(connection: Connection, times: Mapping[str, int]) -> dict[str, Status]:
    """Bring messages to where their parts are, at these times; returns those that moved."""
    ids = sorted(times)
    current = {row.id: row.status for row in connection.execute(_STATUSES, {"ids": ids})}
    attempts: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(_ATTEMPTS, {"ids": ids}):
        attempts.setdefault(row.message, []).append(row)
    moved: dict[tuple[Status, str, int], list[str]] = {}
    for id_ in ids:
        if id_ not in current or id_ not in attempts:  # forgotten meanwhile
            continue
        at, parts = times[id_], _parts(attempts[id_])
        status = lifecycle.after_report(Status(current[id_]), [known for known, _ in parts])
        if status is not None:
            codes = [code for known, code in parts if known is status and code]
            moved.setdefault((status, codes[0] if codes else "", at), []).append(id_)
    for (status, code, at), those in moved.items():
        _move(connection, those, status, code, at)
    return {id_: status for (status, _, _), those in moved.items() for id_ in those}


def _parts(attempts: Sequence[Row[Any]]) -> list[tuple[Status, str]]:
    """What is known of each part, and the carrier's code for it: by the carrier that was tried last.

    Parts that another took before could not be joined on the phone with these. But what another may have taken whole
    is not undone by the last one's failure.
    """
    carriers = list(dict.fromkeys(row.carrier for row in reversed(attempts)))
    last = _known(attempts, carriers[0])
    if len(carriers) == 1:  # nearly always
        return last
    said = lifecycle.fold([status for status, _ in last])
    is_taken = any(row.report for row in attempts if row.carrier == carriers[0]) or said not in _NOT_TAKEN
    found_nobody = all(status is Status.QUEUED for status, _ in last)
    ended: list[tuple[Status, str]] = []
    for carrier in carriers[1:]:
        before = _known(attempts, carrier)
        standing = lifecycle.fold([status for status, _ in before])
        is_doubt = standing is Status.UNKNOWN and not is_taken
        if said is not Status.DELIVERED and (is_doubt or standing in (Status.ENROUTE, Status.DELIVERED)):
            return before
        if not ended and any(row.report for row in attempts if row.carrier == carrier):
            ended = before  # it had it, and tells its end
    return ended if found_nobody and ended else last


def _known(attempts: Sequence[Row[Any]], carrier: str) -> list[tuple[Status, str]]:
    """What a carrier's tries, the segments of each together, say of each part."""
    tries: dict[str, list[Row[Any]]] = {}
    for row in attempts:
        if row.carrier == carrier:
            tries.setdefault(segmented.attempt_of(row.id), []).append(row)
    known: dict[int, tuple[Status, str]] = {}
    reported: set[int] = set()
    for rows in tries.values():
        part = rows[0].part
        statuses = [Status(row.report) if row.report else _FROM_OUTCOME[row.outcome] for row in rows]
        status = lifecycle.fold(statuses)
        is_reported = any(row.report for row in rows)
        so_far = known[part][0] if part in known else None
        is_over = so_far in _NOT_AFTER and status in _NOT_AFTER[so_far]
        is_moot = is_over or (part in reported and status is Status.QUEUED)
        if so_far is not Status.DELIVERED and (is_reported or not is_moot):
            code = next((row.code for row, one in zip(rows, statuses, strict=True) if one is status), "")
            known[part] = (status, code)
        if is_reported:
            reported.add(part)
    return list(known.values())


_MOVED = (
    update(message)
    .where(message.c.id.in_(_IDS))
    .values(
        status=bindparam("to"),
        reason=bindparam("why"),
        detail=bindparam("said"),
        updated_at=bindparam("now"),
        lease_owner=None,
        lease_until=None,
    )
    .returning(message)
)
_MOVED_BACK = _MOVED.values(
    due_at=bindparam("now")
)  # what is missing of a message whose other parts were taken
_MOVED_OUT = _MOVED.values(cost=NOTHING)


def _move(connection: Connection, ids: Sequence[str], status: Status, code: str, at: int) -> None:
    is_back = status is Status.QUEUED
    reason = lifecycle.report_reason(status, code)
    values = {"to": status.value, "why": "retry" if is_back else reason, "said": code, "now": at}
    moved = _MOVED_BACK if is_back else _MOVED_OUT if status is Status.REJECTED else _MOVED
    rows = connection.execute(moved, {"ids": list(ids), **values}).all()
    events = [event_row(row, status, at, reason=reason, detail=code) for row in rows]
    insert_rows(connection, schema.event, events)
    for row in rows:
        notices.about_change(connection, row, at)


def woken(_: object, moved: Moved | None) -> tuple[str, ...]:
    """Return the loops that have work since a message was moved."""
    return WAKES.get(moved.status, ()) if moved else ()


RECORD_REPORT: Verb[DeliveryReport, Moved | None] = Verb(record, wakes=woken, is_alone=True)
