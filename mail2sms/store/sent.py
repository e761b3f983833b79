"""Parts that a carrier has taken, as it would know them: to be asked about, or taken back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, select

from mail2sms.heard import Sent
from mail2sms.model import Msisdn, SenderId
from mail2sms.store import schema

message, attempt = schema.message, schema.attempt
_ASKED_BACK_MS = 7 * 86_400_000  # carriers forget older ones
_HAS_ID = attempt.c.carrier_message_id != ""


def _parts(*where: ColumnElement[bool]) -> Select[Any]:
    columns = (attempt.c.carrier, attempt.c.carrier_message_id, message.c.msisdn, message.c.sender_id)
    joined = select(*columns).join(message, message.c.id == attempt.c.message)
    return joined.where(attempt.c.outcome == "taken", attempt.c.report.is_(None), _HAS_ID, *where)


def _read(connection: Connection, parts: Select[Any]) -> list[Sent]:
    return [
        Sent(row.carrier, row.carrier_message_id, Msisdn(row.msisdn), SenderId(row.sender_id))
        for row in connection.execute(parts)
    ]


def read_unreported(
    connection: Connection, account: str, carrier: str, now: int, after_ms: int
) -> list[Sent]:
    """Return parts that this carrier took so long ago and has not reported since, at most two hundred."""
    is_old = message.c.created_at.between(now - _ASKED_BACK_MS, now - after_ms)
    theirs = (attempt.c.carrier == carrier, attempt.c.intent_at <= now - after_ms)
    found: list[Sent] = []
    for status in ("enroute", "unknown"):  # one by one, and so by the index over what is not delivered
        waits = and_(message.c.status == status, schema.NOT_DELIVERED, message.c.account == account)
        parts = _parts(waits, is_old, *theirs)
        found += _read(connection, parts.order_by(message.c.created_at.desc()).limit(100))
    return found


def read_parts(connection: Connection, account: str, id_: str) -> list[Sent]:
    """Return the parts of one message that are on their way."""
    return _read(connection, _parts(message.c.id == id_, message.c.account == account))
