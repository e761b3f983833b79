"""What is heard out of turn: reports that come before the outcome they belong to, answers that come after a doubt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, delete, select, update

from mail2sms.heard import LateAnswer
from mail2sms.model import DeliveryReport, Status
from mail2sms.store import opt_outs, reports, schema
from mail2sms.store.writer import Verb

attempt, stray = schema.attempt, schema.stray_report

_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_THEIR_STRAYS = and_(stray.c.carrier == bindparam("which"), stray.c.carrier_message_id.in_(_IDS))
_STRAYS = select(stray).where(_THEIR_STRAYS).order_by(stray.c.at)
_NO_STRAYS = delete(stray).where(_THEIR_STRAYS)


def apply(connection: Connection, ids: Iterable[tuple[str, str | None]]) -> None:
    """Apply the reports that came before the outcome with these carrier ids was written."""
    for carrier, cids in reports.by_carrier((carrier, cid) for carrier, cid in ids if cid).items():
        rows = connection.execute(_STRAYS, {"which": carrier, "ids": cids}).all()
        if rows:
            connection.execute(_NO_STRAYS, {"which": carrier, "ids": cids})
        for row in rows:
            report = _report(row)
            moved = reports.record(connection, [report])
            if report.is_opt_out:
                opt_outs.block_reported(connection, [report], moved)


def _report(row: Row[Any]) -> DeliveryReport:
    return DeliveryReport(
        carrier=row.carrier,
        carrier_message_id=row.carrier_message_id,
        status=Status(row.status),
        at=row.at,
        event_id="",
        code=row.code,
        sent_at=row.sent_at,
        is_opt_out=bool(row.is_opt_out),
    )


_ANSWERED = (
    update(attempt)
    .where(attempt.c.id == bindparam("attempt_id"), attempt.c.carrier == bindparam("which"))
    .where(attempt.c.outcome.is_distinct_from("taken"))  # a receipt may have been quicker
    .values(outcome=bindparam("ended"), carrier_message_id=bindparam("cid"), code=bindparam("said"))
)


def _record_answers(connection: Connection, answers: Sequence[LateAnswer]) -> list[reports.Moved | None]:
    """Store answers to attempts that were in doubt; returns what moved."""
    carrier_ids = [(a.carrier, a.carrier_message_id) for a in answers]
    reports.lock(connection, carrier_ids)
    rows = connection.execute(reports.BY_ATTEMPT, {"ids": [a.attempt_id for a in answers]})
    messages = {row.id: row.message for row in rows}
    reports.lock(connection, [], messages.values())
    known = [answer for answer in answers if answer.attempt_id in messages]
    if known:
        connection.execute(_ANSWERED, [_answer_values(answer) for answer in known])
    moved = reports.fold(connection, {messages[a.attempt_id]: a.at for a in known})
    apply(connection, carrier_ids)
    ids = [messages.get(answer.attempt_id, "") for answer in answers]
    return [reports.Moved(message=id_, status=moved[id_]) if id_ in moved else None for id_ in ids]


def _answer_values(answer: LateAnswer) -> dict[str, Any]:
    return {
        "attempt_id": answer.attempt_id,
        "which": answer.carrier,
        "ended": answer.outcome,
        "cid": answer.carrier_message_id,
        "said": answer.code,
    }


RECORD_ANSWER: Verb[LateAnswer, reports.Moved | None] = Verb(
    _record_answers, wakes=reports.woken, is_alone=True
)
