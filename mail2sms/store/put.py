"""Writing what `accept` decided: submissions, their messages, notices and reservations, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, case, delete, literal_column, select, update

from mail2sms.model import MtMessage, Submission
from mail2sms.store import schema
from mail2sms.store.inserts import anew_with_ids, insert_rows
from mail2sms.store.rows import (
    NewMessage,
    NewNotice,
    Reservation,
    content_row,
    event_row,
    message_row,
    notice_event_row,
    notice_row,
    submission_row,
)
from mail2sms.store.writer import Verb

_CHUNK = 1000  # values in one IN: databases have ceilings
_STRAY_MS = 7 * 86_400_000
REPEAT_MS = 86_400_000  # a re-sent email is recognised for this long
_SPARE_MS = 3 * 86_400_000  # beyond its end: a clock that is a day ahead for a while must not make us forget


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """Everything one email or API call becomes. Stored whole or, when it was stored before, not at all.

    `repeat_key` stands for the whole (a refusal's notice, an API call, whose body has this `fingerprint`); `id`, or
    `answer`, is what the client is told.
    """

    id: str
    at: int
    submissions: tuple[Submission, ...] = ()
    messages: tuple[NewMessage, ...] = ()
    notices: tuple[NewNotice, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    repeat_key: str | None = None
    fingerprint: str | None = None
    answer: str | None = field(default=None, repr=False)

    @property
    def repeat_keys(self) -> dict[str, str]:
        """What recognises each of its things, with their ids."""
        keys = {m.repeat_key: m.mt.id for m in self.messages if m.repeat_key}
        return {**keys, self.repeat_key: self.id} if self.repeat_key else keys


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """What a repeat key stands for: what came first, when, and for an API call its body and what it was told."""

    id: str
    at: int
    fingerprint: str | None = None
    answer: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What became of a bundle: `repeated` maps ids that were asked for to those stored earlier.

    With `exceeded`, nothing was stored; with `before` neither: the bundle's own key stood for that already.
    """

    repeated: dict[str, str]
    exceeded: Reservation | None = None
    before: Repeat | None = None


def _put(connection: Connection, bundles: Sequence[Bundle]) -> list[Stored]:
    earlier = _claim_keys(connection, bundles)
    _lock_counters(connection, bundles)
    there = _there_already(connection, bundles)
    results: list[Stored] = []
    fresh: list[tuple[Bundle, dict[str, str]]] = []
    for bundle in bundles:
        if any(key not in earlier for key in bundle.repeat_keys):  # given back by one that was refused
            earlier |= _claim_keys(connection, [bundle])
        repeated = {id_: earlier[key].id for key, id_ in bundle.repeat_keys.items() if earlier[key].id != id_}
        before = earlier[bundle.repeat_key] if bundle.repeat_key and bundle.id in repeated else None
        is_whole_repeat = before is not None or 0 < len(bundle.messages) == len(repeated)
        is_counted = is_whole_repeat or not there.isdisjoint(_ids(bundle))
        exceeded = None if is_counted else _reserve(connection, bundle.reservations)
        results.append(Stored(repeated=repeated, exceeded=exceeded, before=before))
        if exceeded is not None:
            for key in _free_keys(connection, bundle, repeated):
                del earlier[key]
        elif not is_whole_repeat:
            fresh.append((bundle, repeated))
    insert(connection, fresh)
    return results


def _there_already(connection: Connection, bundles: Sequence[Bundle]) -> set[str]:
    """Ids that a first run of this batch, whose COMMIT was in doubt, did store: nothing is reserved twice."""
    ids = [id_ for bundle in bundles if bundle.reservations for id_ in _ids(bundle)]
    if connection.dialect.name == "sqlite" or not ids:
        return set()
    tables = (schema.message, schema.notice)
    return {id_ for t in tables for id_ in connection.scalars(select(t.c.id).where(t.c.id.in_(ids)))}


def _ids(bundle: Bundle) -> list[str]:
    return [*(new.mt.id for new in bundle.messages), *(notice.id for notice in bundle.notices)]


def _claim_keys(connection: Connection, bundles: Sequence[Bundle]) -> dict[str, Repeat]:
    """Return, for every repeat key, what holds it now: ours, or an earlier bundle's."""
    wanted: dict[str, dict[str, Any]] = {}
    for bundle in bundles:
        call = {"at": bundle.at, "fingerprint": bundle.fingerprint, "answer": bundle.answer}
        for key, id_ in bundle.repeat_keys.items():
            wanted.setdefault(key, {"key": key, "id": id_, **call})
    if not wanted:
        return {}
    # Sorted: two nodes that claim the same keys must lock them in the same order.
    rows = [wanted[key] for key in sorted(wanted)]
    return {row.key: read_repeat(row) for row in insert_rows(connection, schema.repeat, rows, _claimed)}


def read_repeat(row: Row[Any]) -> Repeat:
    """Return what a row of `repeat` says."""
    return Repeat(id=row.id, at=row.at, fingerprint=row.fingerprint, answer=row.answer)


def _claimed(statement: Any) -> Any:
    """Give a key to the newcomer when there is no holder, or one that is too old; return who holds it then."""
    held, new = schema.repeat.c, statement.excluded
    is_over = held.at < new.at - literal_column(str(REPEAT_MS))
    changed = ("id", "at", "fingerprint", "answer")
    statement = statement.on_conflict_do_update(
        index_elements=["key"], set_={name: case((is_over, new[name]), else_=held[name]) for name in changed}
    )
    return statement.returning(held.key, *(held[name] for name in changed))


def _free_keys(connection: Connection, bundle: Bundle, repeated: dict[str, str]) -> list[str]:
    ours = [key for key, id_ in bundle.repeat_keys.items() if id_ not in repeated]
    for start in range(0, len(ours), _CHUNK):
        chunk = schema.repeat.c.key.in_(ours[start : start + _CHUNK])
        connection.execute(delete(schema.repeat).where(chunk))
    return ours


def _lock_counters(connection: Connection, bundles: Sequence[Bundle]) -> None:
    """Make the counters that are missing, and lock all in one order on all nodes."""
    counter = schema.counter
    untils = {wish.key: wish.until for bundle in bundles for wish in bundle.reservations}
    keys = sorted(untils)
    insert_rows(connection, counter, [{"key": key, "amount": 0, "until": untils[key]} for key in keys])
    if keys and connection.dialect.name != "sqlite":
        locked = select(counter.c.key).where(counter.c.key.in_(keys)).order_by(counter.c.key)
        connection.execute(locked.with_for_update())


def _reserve(connection: Connection, reservations: Iterable[Reservation]) -> Reservation | None:
    """Apply all reservations, or none and return the one over its limit."""
    applied: list[Reservation] = []
    counter = schema.counter
    for wish in sorted(reservations, key=lambda r: r.key):
        done = connection.execute(
            update(counter)
            .where(counter.c.key == wish.key, counter.c.amount + wish.amount <= wish.limit)
            .values(amount=counter.c.amount + wish.amount)
        )
        if done.rowcount == 0:
            for undo in applied:
                connection.execute(
                    update(counter)
                    .where(counter.c.key == undo.key)
                    .values(amount=counter.c.amount - undo.amount)
                )
            return wish
        applied.append(wish)
    return None


def insert(connection: Connection, fresh: Sequence[tuple[Bundle, dict[str, str]]]) -> None:
    """Write bundles, each without what was stored before; what is there already stays as it is."""
    submissions: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    conversations: dict[str, dict[str, Any]] = {}
    notices: list[NewNotice] = []
    for bundle, repeated in fresh:
        news = [new for new in bundle.messages if new.mt.id not in repeated]
        wanted = {new.mt.submission for new in news}
        for submission in bundle.submissions:
            if submission.id in wanted:
                account, at = submission.writer.account, submission.created_at
                submissions.append(submission_row(submission))
                contents.append(
                    content_row(submission.id, account, submission.id, submission.text.encode(), at)
                )
        for new in news:
            messages.append(message_row(new.mt, new.mt.submission))
            events.append(_first_event(new.mt))
            conversations[new.mt.conversation] = _conversation_row(new)
        notices.extend(bundle.notices)
    insert_rows(connection, schema.submission, submissions)
    insert_rows(connection, schema.conversation, [conversations[id_] for id_ in sorted(conversations)])
    insert_rows(connection, schema.content, contents)
    stored = {row.id for row in insert_rows(connection, schema.message, messages, anew_with_ids)}
    insert_rows(connection, schema.event, [event for event in events if event["about"] in stored])
    insert_notices(connection, notices)


def _first_event(mt: MtMessage) -> dict[str, Any]:
    return event_row(mt, mt.status, mt.created_at, reason=mt.reason, detail=mt.detail)


def _conversation_row(new: NewMessage) -> dict[str, Any]:
    mt = new.mt
    return {
        "id": mt.conversation,
        "account": mt.account,
        "our_address": mt.sender_id,
        "msisdn": mt.msisdn,
        "reply_key": new.reply_key,
        "created_at": mt.created_at,
    }


def insert_notices(connection: Connection, notices: Sequence[NewNotice]) -> None:
    """Queue notices; those that are there already stay as they are."""
    contents = [
        content_row(n.id, n.account, n.id, n.payload, n.created_at, media_type="application/json")
        for n in notices
        if n.payload is not None
    ]
    insert_rows(connection, schema.content, contents)
    rows = [notice_row(n) for n in notices]
    new = {row.id for row in insert_rows(connection, schema.notice, rows, anew_with_ids)}
    events = [notice_event_row(n, "queued", n.created_at) for n in notices if n.id in new]
    insert_rows(connection, schema.event, events)


def _woken(bundle: Bundle, stored: Stored) -> tuple[str, ...]:
    if stored.exceeded is not None:
        return ()
    return ("mt",) * bool(bundle.messages) + ("notice",) * bool(bundle.notices)


PUT: Verb[Bundle, Stored] = Verb(_put, wakes=_woken)


def _forget(connection: Connection, times: Sequence[int]) -> list[int]:
    """Drop what is only remembered for a while: repeat keys, counters, reports that belong to nothing."""
    now = max(times)
    repeat, stray, counter = schema.repeat, schema.stray_report, schema.counter
    too_old = (
        delete(repeat).where(repeat.c.at < now - REPEAT_MS - _SPARE_MS),
        delete(stray).where(stray.c.at < now - _STRAY_MS),
        delete(counter).where(counter.c.until < now - _SPARE_MS),
    )
    dropped = sum(connection.execute(statement).rowcount for statement in too_old)
    return [dropped] * len(times)


FORGET: Verb[int, int] = Verb(_forget)
