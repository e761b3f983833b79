"""Which alarm a phone answers, and that somebody takes care of it: noted once, in the transaction of the answer."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from mail2sms.acknowledge import Raised
from mail2sms.model import Msisdn
from mail2sms.store import schema
from mail2sms.store.rows import device_name

message, submission, fold, alarm = schema.message, schema.submission, schema.fold, schema.alarm
_NEVER_GOT_IT = ("cancelled", "rejected", "undeliverable", "expired")


def last_alarm(connection: Connection, conversation: str, since: int) -> Raised | None:
    """Return the last message of a conversation, if it is not older and was a device's."""
    last = connection.execute(
        select(message.c.submission, message.c.msisdn, submission.c.machine, schema.content.c.data)
        .join(submission, submission.c.id == message.c.submission)
        .join(schema.content, schema.content.c.id == message.c.submission)  # without a link to pictures
        .where(message.c.conversation == conversation, message.c.created_at >= since)
        .order_by(message.c.created_at.desc())
        .limit(1)
    ).first()
    device = None if last is None else device_name(last.machine)
    if last is None or device is None:
        return None
    others = connection.scalars(
        select(message.c.msisdn)
        .where(message.c.submission == last.submission, message.c.msisdn != last.msisdn)
        .where(message.c.status.not_in(_NEVER_GOT_IT))
        .order_by(message.c.id)
    )
    by = connection.scalar(select(fold.c.acknowledged_by).where(fold.c.id == last.submission))
    return Raised(
        fold=last.submission,
        device=device,
        text=bytes(last.data).decode(),
        others=tuple(Msisdn(each) for each in others),
        is_acknowledged=by is not None,
    )


def acknowledge(connection: Connection, id_: str, by: str, now: int) -> bool:
    """Note who takes care of an alarm, and that its texts are known; returns whether nobody did before."""
    mine = (fold.c.id == id_) & fold.c.acknowledged_at.is_(None)
    noted = connection.execute(update(fold).where(mine).values(acknowledged_at=now, acknowledged_by=by))
    if noted.rowcount:
        connection.execute(update(alarm).where(alarm.c.fold == id_).values(is_acknowledged=1))
    return bool(noted.rowcount)
