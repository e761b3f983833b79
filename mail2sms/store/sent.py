"""Parts that a carrier has taken, as it would know them: to be asked about, or taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from mail2sms.heard import Sent
from mail2sms.model import Msisdn, SenderId, Status
from mail2sms.store import schema

message, attempt = schema.message, schema.attempt
_ASKED_BACK_MS = 7 * 86_400_000  # carriers forget older ones
_AT_ONCE = 100
_HAS_ID = attempt.c.carrier_message_id != ""
# That it is on its way is not the last word.
_IS_OPEN = or_(attempt.c.report.is_(None), attempt.c.report == Status.ENROUTE.value)
Place = tuple[int, str]
"""Where a part stands among all: when its message was made, and the attempt's id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreported:
    """Parts of messages of this status that `carrier` took `after_ms` ago or earlier, from `beyond` on back in time."""

    account: str
    carrier: str
    status: Status
    now: int
    after_ms: int
    beyond: Place | None = None


def _parts(*where: ColumnElement[bool]) -> Select[Any]:
    joined = select(attempt, message.c.msisdn, message.c.sender_id, message.c.created_at.label("made_at"))
    of = joined.join(message, message.c.id == attempt.c.message)
    return of.where(attempt.c.outcome == "taken", _HAS_ID, _IS_OPEN, *where)


def _sent(row: Row[Any]) -> Sent:
    return Sent(row.carrier, row.carrier_message_id, Msisdn(row.msisdn), SenderId(row.sender_id))


def read_unreported(connection: Connection, wanted: Unreported) -> tuple[list[Sent], Place | None]:
    """Return at most a hundred of them, the latest first, and where the next ones begin; None after the last."""
    oldest, newest = wanted.now - _ASKED_BACK_MS, wanted.now - wanted.after_ms
    made_at, where = message.c.created_at, [attempt.c.carrier == wanted.carrier]
    if wanted.beyond is not None:
        newest = min(newest, wanted.beyond[0])
        where.append(or_(made_at < wanted.beyond[0], attempt.c.id < wanted.beyond[1]))
    is_old = and_(made_at.between(oldest, newest), attempt.c.intent_at <= wanted.now - wanted.after_ms)
    # One status, and so by the index over what is not delivered.
    waits = and_(message.c.status == wanted.status.value, schema.NOT_DELIVERED)
    parts = _parts(waits, message.c.account == wanted.account, is_old, *where)
    rows = connection.execute(parts.order_by(made_at.desc(), attempt.c.id.desc()).limit(_AT_ONCE)).all()
    return [_sent(row) for row in rows], (rows[-1].made_at, rows[-1].id) if len(rows) == _AT_ONCE else None


def read_parts(connection: Connection, account: str, id_: str) -> list[Sent]:
    """Return the parts of one message that are on their way."""
    parts = _parts(message.c.id == id_, message.c.account == account)
    return [_sent(row) for row in connection.execute(parts)]
