"""Segments that a carrier made of a part, and reports about: each has a row of its own beside the part's.

The part's own row is that of the segment that is heard of last: it is delivered once all of them are. How many there
are is the carrier's to say; where it does not, they are as many as we counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from mail2sms.model import DeliveryReport, Status
from mail2sms.store import schema
from mail2sms.store.inserts import insert_rows

message, attempt = schema.message, schema.attempt

Known = tuple[DeliveryReport, Row[Any]]
"""A report, and the attempt that it is about."""

_OF_ONE = (Status.ENROUTE, Status.DELIVERED)
"""What of a segment says nothing yet of the others: one that fails, fails the part."""
_OF_MESSAGE = select(attempt).where(attempt.c.message == bindparam("of"))
_COUNTED = select(message.c.segments).where(message.c.id == bindparam("of"))


def attempt_of(id_: str) -> str:
    """Return the attempt that a row is of, be it a segment's."""
    return id_.partition(".")[0]


def of_parts(connection: Connection, known: Sequence[Known]) -> list[Known]:
    """Write down which segments were delivered; return what the reports say of whole parts."""
    return [said for each in known for said in _of_part(connection, *each)]


def _of_part(connection: Connection, report: DeliveryReport, row: Row[Any]) -> list[Known]:
    is_its_own = not report.segment or report.segment == row.carrier_message_id or report.segments == 1
    if is_its_own or report.status not in _OF_ONE:
        return [(report, row)]
    part, others = _rows(connection, row)
    heard = {other.carrier_message_id for other in others if other.report == Status.DELIVERED}
    heard.discard(report.segment)
    count = report.segments or part.segments or connection.scalar(_COUNTED, {"of": row.message}) or 1
    if report.status is Status.DELIVERED and len(heard) + 1 >= count:
        return [(report, row)]
    if report.status is Status.DELIVERED and all(o.carrier_message_id != report.segment for o in others):
        values = {"carrier_message_id": report.segment, "code": "", "report": report.status.value}
        insert_rows(connection, attempt, [_row(part, len(others) + 1, report.at, values)])
    # The part is on its way, by no id yet where each segment has one of its own.
    part_id = "" if report.segment == report.carrier_message_id else report.carrier_message_id
    on_its_way = replace(report, status=Status.ENROUTE, carrier_message_id=part_id, code="")
    return [(on_its_way, row)] if part.report in (None, Status.ENROUTE) else []


def _rows(connection: Connection, row: Row[Any]) -> tuple[Row[Any], list[Row[Any]]]:
    """Return the row of a part as it is now, and those of its segments beside it."""
    rows = {each.id: each for each in connection.execute(_OF_MESSAGE, {"of": row.message})}
    return rows.get(row.id, row), [each for id_, each in rows.items() if id_.startswith(f"{row.id}.")]


def _row(part: Row[Any], number: int, at: int, values: dict[str, Any]) -> dict[str, Any]:
    made = {"id": f"{part.id}.{number}", "outcome": "taken", "ended_at": part.ended_at or at}
    return {**part._asdict(), **made, **values}


_BY_ID = select(attempt).where(attempt.c.id == bindparam("attempt_id"))
_NAMED = (
    update(attempt)
    .where(attempt.c.id == bindparam("attempt_id"))
    .values(carrier_message_id=bindparam("cid"), report=bindparam("said"))
)
_JOINED = delete(attempt).where(attempt.c.id == bindparam("attempt_id"))


def name(connection: Connection, attempt_id: str, ids: Sequence[str], now: int) -> None:
    """Give each segment that the carrier's answer names its row, which its reports find.

    Those that were heard of before the answer have theirs. If none is left that the part's own row could be, they are
    fewer than we counted, and one of theirs is joined to it.
    """
    row = connection.execute(_BY_ID, {"attempt_id": attempt_id}).first()
    if row is None:  # forgotten meanwhile
        return
    part, others = _rows(connection, row)
    if part.carrier_message_id is not None and len(ids) == 1:
        return
    heard = {other.carrier_message_id for other in others}
    left = [id_ for id_ in ids if id_ not in heard and id_ != part.carrier_message_id]
    if part.carrier_message_id is None and left:
        _be(connection, part, left.pop(0), part.report)
    elif part.carrier_message_id is None and others:
        connection.execute(_JOINED, {"attempt_id": others[-1].id})
        _be(connection, part, others[-1].carrier_message_id, others[-1].report)
    values = {"code": "", "report": None}
    rows = [
        _row(part, number, now, {**values, "carrier_message_id": id_})
        for number, id_ in enumerate(left, start=len(others) + 1)
    ]
    insert_rows(connection, attempt, rows)


def _be(connection: Connection, part: Row[Any], id_: str, report: str | None) -> None:
    """Let a part's own row be that of the segment with this id."""
    connection.execute(_NAMED, {"attempt_id": part.id, "cid": id_, "said": report})
