"""What phones write: stored once per carrier event, and addressed to whoever the conversation belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from mail2sms.consent import Said, Word
from mail2sms.ids import derive_id
from mail2sms.model import MoMessage
from mail2sms.store import media, mo_parts, opt_outs, schema
from mail2sms.store.acknowledged import acknowledge
from mail2sms.store.inserts import anew_with_ids, insert_rows
from mail2sms.store.notices import hook_channels
from mail2sms.store.put import Bundle, insert, insert_notices
from mail2sms.store.rows import EMAIL, VALID_MS, NewNotice, content_row, mo_event_row
from mail2sms.store.writer import Verb

mo = schema.mo
_THE_PHONE = "the phone"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMo:
    """An MO with its conversation. `owner` is the address behind our number, `fallback` the default mailbox.

    A writer of the conversation counts as waiting for an answer for `window_ms`. `said` is STOP, START or HELP, which
    is `answered` to the phone; or an alarm is `acknowledged` (by its fold), which the others who got it are told.
    `parts` are those that it was joined of.
    """

    mo: MoMessage
    account: str
    conversation: str
    reply_key: str
    now: int
    window_ms: int
    owner: str = ""
    fallback: str = ""
    said: Said | None = None
    acknowledged: str = ""
    answered: Bundle | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedMo:
    """`address` is who is told by email ("" nobody); a repeat is told to nobody again. `cancelled` messages waited."""

    id: str
    is_repeat: bool
    address: str
    cancelled: int = 0


def _record(connection: Connection, news: Sequence[NewMo]) -> list[RecordedMo]:
    return [_record_one(connection, new) for new in news]


def _record_one(connection: Connection, new: NewMo) -> RecordedMo:
    id_ = derive_id("r", new.account, new.mo.carrier, new.mo.event_id)
    mo_parts.close(connection, new.parts, id_)
    known = _known(connection, new)
    if known is not None:
        return RecordedMo(id=known, is_repeat=True, address="")
    row = {
        "id": new.conversation,
        "account": new.account,
        "our_address": new.mo.to,
        "msisdn": new.mo.msisdn,
        "reply_key": new.reply_key,
        "created_at": new.now,
    }
    insert_rows(connection, schema.conversation, [row])
    if not _insert(connection, id_, new):
        return RecordedMo(id=id_, is_repeat=True, address="")
    texts = [content_row(f"{id_}-0", new.account, id_, new.mo.text.encode(), new.now)]
    for number, photo in enumerate(new.mo.photos, start=1):
        about = {"name": photo.name, "media_type": photo.media_type}
        texts.append(content_row(f"{id_}-{number}", new.account, id_, photo.content, new.now, **about))
    insert_rows(connection, schema.content, texts)
    if new.mo.media:
        first = len(texts)
        media.queue(connection, new.account, new.mo.carrier, id_, new.mo.media, first, new.now)
    address = _address(_last_writer(connection, new.conversation), new)
    heard = _hear(connection, new)
    if heard.is_answered and new.answered is not None:
        insert(connection, [(new.answered, {})])
    insert_notices(connection, _notices(connection, id_, new, address, heard.reason))
    return RecordedMo(id=id_, is_repeat=False, address=address, cancelled=heard.cancelled)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Heard:
    """What came of a word: the reason that its email has, and whether the phone is answered."""

    reason: str = ""
    is_answered: bool = False
    cancelled: int = 0


def _hear(connection: Connection, new: NewMo) -> _Heard:
    said = new.said
    if new.acknowledged:
        is_first = acknowledge(connection, new.acknowledged, new.mo.msisdn, new.now)
        return _Heard(reason="alarm.acknowledged", is_answered=is_first)
    if said is None or said.word is Word.HELP:
        return _Heard(is_answered=said is not None)
    account, msisdn, now = new.account, new.mo.msisdn, new.now
    if said.word is Word.STOP:
        blocked = opt_outs.block(
            connection,
            opt_outs.Blocking(
                account=account,
                msisdn=msisdn,
                now=now,
                source=opt_outs.KEYWORD,
                our_address="" if said.is_everywhere else new.mo.to,
                keyword=said.keyword,
                who=_THE_PHONE,
            ),
        )
        return _Heard(reason="optout.stop", is_answered=blocked.is_new, cancelled=blocked.cancelled)
    lifting = opt_outs.Lifting(
        account=account, msisdn=msisdn, now=now, our_address=new.mo.to, who=_THE_PHONE, is_keyword=True
    )
    is_free = opt_outs.lift(connection, lifting)
    return _Heard(reason="optout.start" if is_free else "", is_answered=is_free)


_KNOWN = (
    select(mo.c.id)
    .where(mo.c.carrier == bindparam("which"))
    .where(mo.c.event_id > bindparam("prefix"), mo.c.event_id < bindparam("prefix") + "~")
    .where(mo.c.created_at.between(bindparam("since"), bindparam("until")))
    .limit(1)
)


def _known(connection: Connection, new: NewMo) -> str | None:
    """Return the MO that a carrier without ids brings again."""
    repeats = new.mo.repeats
    if repeats is None:
        return None
    limits = {"prefix": repeats.prefix, "since": repeats.since, "until": repeats.until}
    return connection.scalar(_KNOWN, {"which": new.mo.carrier, **limits})


def _insert(connection: Connection, id_: str, new: NewMo) -> bool:
    row = {
        "id": id_,
        "account": new.account,
        "carrier": new.mo.carrier,
        "event_id": new.mo.event_id,
        "conversation": new.conversation,
        "msisdn": new.mo.msisdn,
        "our_address": new.mo.to,
        "at": new.mo.at,
        "created_at": new.now,
    }
    is_new = bool(insert_rows(connection, mo, [row], anew_with_ids))
    if is_new:
        insert_rows(connection, schema.event, [mo_event_row(row)])
    return is_new


def _last_writer(connection: Connection, conversation: str) -> Row[Any, Any] | None:
    message, submission = schema.message, schema.submission
    return connection.execute(
        select(submission.c.writer, message.c.created_at)
        .join(submission, submission.c.id == message.c.submission)
        .where(message.c.conversation == conversation, submission.c.writer.like("%@%"))
        .order_by(message.c.created_at.desc())
        .limit(1)
    ).first()


def _address(last: Row[Any, Any] | None, new: NewMo) -> str:
    """Whoever wrote last and may be waiting; else the number's owner; else whoever ever wrote; else the fallback."""
    if last is not None and last.created_at >= new.now - new.window_ms:
        return str(last.writer)
    return new.owner or (str(last.writer) if last is not None else "") or new.fallback


def _notices(connection: Connection, id_: str, new: NewMo, address: str, reason: str) -> list[NewNotice]:
    addresses = [(EMAIL, address)] if address else []
    addresses += [(name, address) for name in hook_channels(connection, "reply")]
    return [
        NewNotice(
            id=derive_id("n", id_, channel),
            account=new.account,
            kind="reply",
            channel=channel,
            address=to,
            mo=id_,
            reason=reason,
            created_at=new.now,
            due_at=new.now + media.HELD_MS if new.mo.media else new.now,
            expires_at=new.now + VALID_MS,
        )
        for channel, to in addresses
    ]


def _woken(new: NewMo, recorded: RecordedMo) -> tuple[str, ...]:
    if recorded.is_repeat:
        return ()
    return ("notice", *("mt",) * (new.answered is not None), *("media",) * bool(new.mo.media))


RECORD_MO: Verb[NewMo, RecordedMo] = Verb(_record, wakes=_woken)
RECORD_SAID: Verb[NewMo, RecordedMo] = Verb(
    _record, wakes=_woken, locks=opt_outs.exclude_intents, is_alone=True
)
"""The same for what changes the list of opt-outs."""
