"""Reading what phones wrote, for composing its relay."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from mail2sms.model import Msisdn, Photo
from mail2sms.store import schema
from mail2sms.store.media import URL

message, submission, content = schema.message, schema.submission, schema.content


@dataclass(frozen=True, kw_only=True, slots=True)
class LastMail:
    """The latest email of a writer in a conversation: what a reply is threaded to."""

    message_id: str | None
    subject: str
    references: tuple[str, ...]
    thread_index: str | None
    language: str
    replies: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MoView:
    """An MO with its words and photos, its conversation and the mail it answers."""

    id: str
    account: str
    conversation: str
    msisdn: Msisdn
    our_address: str
    reply_key: str
    started_at: int
    at: int
    last: LastMail | None
    text: str = field(repr=False)
    photos: tuple[Photo, ...] = ()
    lost: int = 0  # files that came with it and could not be fetched


def read_mo(connection: Connection, id_: str, writer: str) -> MoView | None:
    """Return an MO for composing its relay to `writer`; None when its content was erased."""
    mo, conversation = schema.mo, schema.conversation
    row = connection.execute(
        select(mo, conversation.c.reply_key, conversation.c.created_at.label("started_at"))
        .join(conversation, conversation.c.id == mo.c.conversation)
        .where(mo.c.id == id_)
    ).first()
    owned = select(content).where(content.c.owner == id_, content.c.owner != content.c.id)
    parts = connection.execute(owned.order_by(content.c.id)).all()
    if row is None or not parts:
        return None
    return MoView(
        id=row.id,
        account=row.account,
        conversation=row.conversation,
        msisdn=Msisdn(row.msisdn),
        our_address=row.our_address,
        reply_key=row.reply_key,
        started_at=row.started_at,
        at=row.at,
        last=_last_mail(connection, row.conversation, row.created_at, writer),
        text=bytes(parts[0].data).decode(),
        photos=tuple(
            Photo(name=p.name, media_type=p.media_type, content=bytes(p.data))
            for p in parts[1:]
            if p.media_type != URL
        ),
        lost=sum(part.media_type == URL for part in parts),
    )


def _last_mail(connection: Connection, conversation: str, before: int, writer: str) -> LastMail | None:
    mo = schema.mo
    row = connection.execute(
        select(submission)
        .join(message, message.c.submission == submission.c.id)
        .where(
            message.c.conversation == conversation,
            message.c.created_at <= before,
            submission.c.writer == writer,
        )
        .order_by(message.c.created_at.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    replies = connection.execute(
        select(func.count()).where(mo.c.conversation == conversation, mo.c.created_at < before)
    ).scalar_one()
    return LastMail(
        message_id=row.message_id,
        subject=row.subject,
        references=tuple(row.refs.split()),
        thread_index=row.thread_index,
        language=row.language,
        replies=int(replies),
    )
