"""What is kept for so long and no longer: photos, texts, and in the end the records themselves.

Everything that is ever stored leaves events, in their order: so what is old is found by going through the log once,
from where the last sweep ended, and nothing else needs an index by age. Whatever has a newer event is met again there;
what still waits to be sent keeps its text until its time is over. The list of opt-outs stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select, update

from mail2sms.store import schema
from mail2sms.store.inserts import insert_rows
from mail2sms.store.writer import Verb

content, event, message, submission = schema.content, schema.event, schema.message, schema.submission
mo, notice, setting, conversation = schema.mo, schema.notice, schema.setting, schema.conversation

PHOTOS, TEXTS, RECORDS = "photos", "texts", "records"
KINDS = (PHOTOS, TEXTS, RECORDS)
_CHUNK = 500  # events at a time
_TEXT = "text/plain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """Erase one of KINDS of what has been over since `before`."""

    account: str
    kind: str
    before: int
    now: int


def _sweep(connection: Connection, sweeps: Sequence[Sweep]) -> list[bool]:
    return [_sweep_one(connection, sweep) for sweep in sweeps]


def _sweep_one(connection: Connection, sweep: Sweep) -> bool:
    """Go a piece further in the log; return whether there may be more."""
    key = f"retention {sweep.kind} {sweep.account}"
    insert_rows(connection, setting, [{"key": key, "value": "0"}])
    mine = setting.c.key == key
    reached = int(connection.execute(select(setting.c.value).where(mine).with_for_update()).scalar_one())
    query = select(event.c.id, event.c.about, event.c.at).where(event.c.id > reached)
    rows = connection.execute(query.order_by(event.c.id).limit(_CHUNK)).all()
    # One that is older by its id is older, whatever the clock said then.
    old = max((row.id for row in rows if row.at < sweep.before), default=None)
    if old is None:
        return False
    over = _over(connection, {row.about for row in rows if row.id <= old}, sweep)
    _ERASE[sweep.kind](connection, over, sweep)
    connection.execute(update(setting).where(mine).values(value=str(old)))
    return True


def _over(connection: Connection, ids: Collection[str], sweep: Sweep) -> list[str]:
    """Return those of which nothing newer is known."""
    newer = select(event.c.about).where(event.c.about.in_(ids), event.c.at >= sweep.before)
    return sorted(set(ids) - set(connection.scalars(newer)))


def _waits(now: int) -> ColumnElement[bool]:
    return or_(message.c.status.in_(("queued", "sending")), message.c.expires_at > now)


def _photos(connection: Connection, ids: Sequence[str], sweep: Sweep) -> None:
    """What phones sent beside texts, and the pictures of mails of which nothing waits any more."""
    is_beside = content.c.owner != content.c.id
    owned = content.c.owner.in_(select(mo.c.id).where(mo.c.id.in_(ids)))
    connection.execute(delete(content).where(owned, is_beside, content.c.media_type != _TEXT))
    mine = content.c.owner.in_(_mails(connection, ids, sweep))
    connection.execute(delete(content).where(mine, is_beside, content.c.media_type.startswith("image/")))


def _mails(connection: Connection, ids: Sequence[str], sweep: Sweep) -> list[str]:
    """Return the mails of these messages of which all are over."""
    of_mails = set(connection.scalars(select(message.c.submission).where(message.c.id.in_(ids))))
    busy = select(message.c.submission).where(message.c.submission.in_(of_mails), _waits(sweep.now))
    return sorted(of_mails - set(connection.scalars(busy)))


def _texts(connection: Connection, ids: Sequence[str], sweep: Sweep) -> None:
    """Of a mail to many when all of them are over. What carriers said may repeat it, and goes too."""
    mails = _mails(connection, ids, sweep)
    _erase_mails(connection, mails)
    connection.execute(update(submission).where(submission.c.id.in_(mails)).values(subject="", refs=""))
    connection.execute(update(message).where(message.c.submission.in_(mails)).values(detail=""))
    _erase_others(connection, ids)
    connection.execute(update(event).where(event.c.about.in_(ids)).values(detail=""))


def _erase_mails(connection: Connection, mails: Sequence[str]) -> None:
    """Their texts, and all that belongs to them: pictures, the text with a link, what a report gives back."""
    connection.execute(delete(content).where(content.c.id.in_(mails)))
    connection.execute(delete(content).where(content.c.owner.in_(mails), content.c.owner != content.c.id))


def _erase_others(connection: Connection, ids: Sequence[str]) -> None:
    """What phones wrote, and what emails that are told need beside it."""
    told = select(notice.c.content).where(notice.c.id.in_(ids), notice.c.status != "queued")
    connection.execute(delete(content).where(content.c.id.in_(told)))
    owned = content.c.owner.in_(select(mo.c.id).where(mo.c.id.in_(ids)))
    connection.execute(delete(content).where(owned, content.c.owner != content.c.id))


def _records(connection: Connection, ids: Sequence[str], sweep: Sweep) -> None:
    _erase_others(connection, ids)
    over = [message.c.id.in_(ids), ~_waits(sweep.now)]
    rows = connection.execute(
        select(message.c.id, message.c.submission, message.c.conversation).where(*over)
    ).all()
    gone, mails = [row.id for row in rows], sorted({row.submission for row in rows})
    heard = connection.execute(select(mo.c.id, mo.c.conversation).where(mo.c.id.in_(ids))).all()
    heard_ids = [row.id for row in heard]
    told = list(
        connection.scalars(select(notice.c.id).where(notice.c.id.in_(ids), notice.c.status != "queued"))
    )
    connection.execute(delete(schema.attempt).where(schema.attempt.c.message.in_(gone)))
    connection.execute(delete(message).where(message.c.id.in_(gone)))
    _drop_mails(connection, mails)
    connection.execute(delete(schema.mo_part).where(schema.mo_part.c.mo.in_(heard_ids)))
    connection.execute(delete(mo).where(mo.c.id.in_(heard_ids)))
    connection.execute(delete(notice).where(notice.c.id.in_(told)))
    carriers = [id_ for id_ in ids if id_.startswith(schema.CARRIER)]
    dropped = event.c.about.in_([*gone, *heard_ids, *told, *carriers])
    connection.execute(delete(event).where(dropped, event.c.at < sweep.before))
    _drop_conversations(connection, {row.conversation for row in (*rows, *heard)})


def _drop_mails(connection: Connection, mails: Sequence[str]) -> None:
    """Of which no message is left."""
    has_more = exists().where(message.c.submission == submission.c.id)
    query = select(submission.c.id).where(submission.c.id.in_(mails), ~has_more)
    empty = list(connection.scalars(query))
    _erase_mails(connection, empty)
    for table, column in (
        (schema.approval, schema.approval.c.submission),
        (schema.fold, schema.fold.c.id),
        (submission, submission.c.id),
    ):
        connection.execute(delete(table).where(column.in_(empty)))


def _drop_conversations(connection: Connection, ids: Collection[str]) -> None:
    """In which nothing is left: its address is answered no more."""
    has_more = [exists().where(table.c.conversation == conversation.c.id) for table in (message, mo)]
    connection.execute(delete(conversation).where(conversation.c.id.in_(ids), ~has_more[0], ~has_more[1]))


_Erase = Callable[[Connection, Sequence[str], Sweep], None]
_ERASE: dict[str, _Erase] = {PHOTOS: _photos, TEXTS: _texts, RECORDS: _records}

SWEEP: Verb[Sweep, bool] = Verb(_sweep)
