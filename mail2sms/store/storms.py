"""Alarms of devices: decided and counted in the transaction that queues, one after the other for each device.

An SMS that others may still join is a queued message that is not due yet, so it needs no loop, no timer and no node
that survives. Whoever claims it ends it: what comes then begins another, and nothing is counted twice or not at all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from mail2sms import segments, storms
from mail2sms.media import LINK, link_in
from mail2sms.model import MtMessage, Status, Submission
from mail2sms.store import schema
from mail2sms.store.inserts import insert_rows
from mail2sms.store.raised import Raised
from mail2sms.store.rows import NewMessage, content_row, linked_id, message_row, read_message
from mail2sms.storms import Decision, Deed, Fold, Room, State, Told

storm, fold, alarm, message = schema.storm, schema.fold, schema.alarm, schema.message
_GONE = frozenset(
    {Status.CANCELLED, Status.EXPIRED}
)  # of a message that waited: the others may still be joined
_KEPT_MS = 7 * 86_400_000  # a text is remembered for so long beyond its time


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What becomes of an alarm; `made` are its messages if it makes an SMS of its own, with the text of `submission`.

    `joined` are the messages that it joins, of the fold `row`.
    """

    decision: Decision
    submission: Submission
    made: tuple[NewMessage, ...] = ()
    row: Row[Any] | None = None
    joined: tuple[Row[Any], ...] = ()
    told: Told | None = None


# What becomes of an alarm


def choose(connection: Connection, raised: Raised) -> Choice:
    """Return what becomes of an alarm; the messages that it joins are locked."""
    rules, now = raised.alarm.storm, raised.at
    known = connection.execute(select(storm).where(storm.c.id == raised.storm)).first()
    phones = {new.mt.msisdn for new in raised.messages}
    open_ = {"fold": _Open(), "more": _Open()}
    if known is not None:
        open_ = {name: _open(connection, getattr(known, name), phones, now) for name in open_}
    state = State(
        window_end=known.window_end if known is not None else 0,
        sent=known.sent if known is not None else 0,
        fold=open_["fold"].fold,
        more=open_["more"].fold,
    )
    told = _told(connection, raised.key) if rules.repeat_ms else None
    decision = storms.decide(state, told, rules, now)
    if decision.deed is Deed.LEAVE_OUT:
        return Choice(decision=decision, submission=raised.submission, told=told)
    if decision.into:
        joined = open_["fold" if decision.deed is Deed.FOLD else "more"]
        return Choice(
            decision=decision,
            submission=raised.submission,
            row=joined.row,
            joined=joined.waiting,
            told=told,
        )
    return _made(raised, decision, told)


@dataclass(frozen=True, slots=True)
class _Open:
    fold: Fold | None = None
    row: Row[Any] | None = None
    waiting: tuple[Row[Any], ...] = ()


def _open(connection: Connection, id_: str | None, phones: Collection[str], now: int) -> _Open:
    """Return a fold that these phones may still be told by: none of its messages has left, or is about to."""
    row = connection.execute(select(fold).where(fold.c.id == id_)).first() if id_ else None
    if row is None or row.until <= now:
        return _Open()
    mine = message.c.submission == row.id
    every = connection.scalar(select(func.count()).select_from(message).where(mine))
    rows = connection.execute(select(message).where(mine).with_for_update(skip_locked=True)).all()
    waiting = tuple(each for each in rows if each.status == Status.QUEUED and each.lease_owner is None)
    has_left = len(rows) != every or any(r.status not in _GONE for r in rows if r not in waiting)
    if has_left or not waiting or not {each.msisdn for each in rows}.issuperset(phones):
        return _Open()
    found = Fold(
        id=row.id, until=row.until, first_at=row.first_at, count=row.alarms, is_same=bool(row.is_same)
    )
    return _Open(found, row, waiting)


def _told(connection: Connection, key: str) -> Told | None:
    row = connection.execute(select(alarm).where(alarm.c.id == key)).first()
    if row is None:
        return None
    return Told(
        fold=row.fold,
        told_at=row.told_at,
        last_at=row.last_at,
        left_out=row.left_out,
        is_acknowledged=bool(row.is_acknowledged),
    )


def _made(raised: Raised, decision: Decision, told: Told | None) -> Choice:
    """Return the choice of an SMS of its own: what it says, and when it leaves."""
    rules, name = raised.alarm.storm, raised.alarm.device

    def said(room: Room) -> str:
        if decision.deed is Deed.MORE:
            return storms.more(1, raised.text, rules, name, room, decision.window_end)
        assert told is not None
        return storms.again(raised.text, told, rules, room)

    is_changed = decision.deed is Deed.MORE or bool(told and told.left_out)
    text = said(Room(parts=_parts(raised))) if is_changed else raised.text

    def saying(mt: MtMessage) -> MtMessage:
        if is_changed and mt.media == LINK:
            return storms.saying(mt, said(Room(parts=mt.segments, link=link_in(mt.text))))
        return storms.saying(mt, text) if is_changed else mt

    return Choice(
        decision=decision,
        submission=replace(raised.submission, text=text),
        made=tuple(replace(new, mt=_at(saying(new.mt), decision)) for new in raised.messages),
        told=told,
    )


def _at(mt: MtMessage, decision: Decision) -> MtMessage:
    """Return a message that leaves when the decision says, or later; it has as much time for it as it had."""
    if decision.due_at <= mt.due_at:
        return mt
    lasts_ms = mt.expires_at - mt.due_at
    due_at = decision.due_at
    return replace(mt, due_at=due_at, expires_at=due_at + lasts_ms, reason=mt.reason or storms.REASON)


def _parts(raised: Raised) -> int:
    return segments.count(raised.text)


def _linked_parts(raised: Raised) -> int:
    return max((new.mt.segments for new in raised.messages if new.mt.media == LINK), default=0)


# Writing it


def write(connection: Connection, raised: Raised, choice: Choice) -> None:
    """Count the alarm where it was decided to; its own messages, if it has any, are inserted."""
    deed = choice.decision.deed
    if deed is Deed.LEAVE_OUT:
        connection.execute(
            update(fold).where(fold.c.id == choice.decision.into).values(left_out=fold.c.left_out + 1)
        )
    elif choice.decision.into:
        _join(connection, raised, choice)
    else:
        insert_rows(connection, fold, [_fold_row(raised, choice)])
    if deed is not Deed.LEAVE_OUT:
        _upsert(connection, storm, _storm_row(raised, choice.decision))
    if deed is Deed.LEAVE_OUT:  # whether it is acknowledged may be changing now
        again = {"left_out": alarm.c.left_out + 1, "last_at": raised.at}
        until = raised.at + raised.alarm.storm.repeat_ms + _KEPT_MS
        connection.execute(update(alarm).where(alarm.c.id == raised.key).values(**again, until=until))
    elif raised.alarm.storm.repeat_ms and deed is not Deed.MORE:
        _upsert(connection, alarm, _alarm_row(raised, choice))


def _join(connection: Connection, raised: Raised, choice: Choice) -> None:
    """Add an alarm to the SMS that it joins; pictures are those of the first: their price is reserved."""
    row = choice.row
    assert row is not None
    last, first = raised.text, ""
    is_fold = choice.decision.deed is Deed.FOLD
    if is_fold:
        first = _first(connection, row, raised)
    now_fold = Fold(
        id=row.id,
        until=row.until,
        first_at=row.first_at,
        count=row.alarms + 1,
        is_same=bool(row.is_same) and first == last,
    )
    rules, name = raised.alarm.storm, raised.alarm.device

    def said(room: Room) -> str:
        if is_fold:
            return storms.folded(now_fold, first, last, raised.at, rules, name, room)
        return storms.more(now_fold.count, last, rules, name, room, row.until)

    counted = {"alarms": now_fold.count, "is_same": int(now_fold.is_same), "last_at": raised.at}
    connection.execute(update(fold).where(fold.c.id == row.id).values(**counted))
    texts = {"": said(Room(parts=row.parts))}
    _rewrite(connection, row.id, texts[""])
    if any(each.media == LINK for each in choice.joined):
        id_ = linked_id(row.id)
        link = link_in(_text(connection, id_))
        texts[LINK] = said(Room(parts=row.linked_parts, link=link))
        _rewrite(connection, id_, texts[LINK])
    changed = [
        _changed(storms.saying(read_message(each), texts.get(each.media, texts[""])))
        for each in choice.joined
    ]
    connection.execute(_SAYS, changed)


def _text(connection: Connection, id_: str) -> str:
    known = connection.scalar(select(schema.content.c.data).where(schema.content.c.id == id_))
    return bytes(known or b"").decode()


def _rewrite(connection: Connection, id_: str, text: str) -> None:
    mine = schema.content.c.id == id_
    connection.execute(update(schema.content).where(mine).values(data=text.encode()))


_SAYS = (
    update(message)
    .where(message.c.id == bindparam("of"))
    .values({name: bindparam(f"new_{name}") for name in ("encoding", "segments", "route", "cost")})
)


def _changed(mt: MtMessage) -> dict[str, Any]:
    row = message_row(mt)
    return {"of": mt.id, **{f"new_{name}": row[name] for name in ("encoding", "segments", "route", "cost")}}


def _first(connection: Connection, row: Row[Any], raised: Raised) -> str:
    """Return the text that the fold began with; it is kept beside the one that is sent."""
    id_ = first_id(row.id)
    text = _text(connection, id_ if row.alarms > 1 else row.id)
    if row.alarms == 1:
        kept = content_row(id_, raised.account, row.id, text.encode(), raised.at)
        insert_rows(connection, schema.content, [kept])
    return text


def first_id(submission: str) -> str:
    """Return where the text that a fold began with is kept."""
    return f"{submission}-first"


def _fold_row(raised: Raised, choice: Choice) -> dict[str, Any]:
    decision, now = choice.decision, raised.at
    return {
        "id": raised.submission.id,
        "account": raised.account,
        "storm": raised.storm,
        "kind": decision.deed.value,
        "parts": _parts(raised),
        "linked_parts": _linked_parts(raised),
        "alarms": 1,
        "left_out": 0,
        "is_same": 1,
        "first_at": now,
        "last_at": now,
        "until": decision.due_at,
        "acknowledged_at": None,
        "acknowledged_by": None,
    }


def _storm_row(raised: Raised, decision: Decision) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": raised.storm,
        "account": raised.account,
        "device": raised.alarm.device,
        "window_end": decision.window_end,
        "sent": decision.sent,
    }
    own = {Deed.SEND: "fold", Deed.MORE: "more"}.get(decision.deed)
    return row if decision.into or own is None else {**row, own: raised.submission.id}


def _alarm_row(raised: Raised, choice: Choice) -> dict[str, Any]:
    told, decision, now = choice.told, choice.decision, raised.at
    is_told = decision.deed is Deed.SEND
    return {
        "id": raised.key,
        "account": raised.account,
        "fold": decision.into or raised.submission.id,
        "told_at": now if is_told else told.told_at if told else 0,
        "last_at": now,
        "left_out": 0 if is_told or told is None else told.left_out,
        "is_acknowledged": 0,
        "until": now + raised.alarm.storm.repeat_ms + _KEPT_MS,
    }


def _upsert(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    build: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = build(table).values(**row)
    others = {name: statement.excluded[name] for name in row if name != "id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=others))
