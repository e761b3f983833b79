"""Writing what `accept` decided: submissions, their messages, notices and reservations, once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

from sqlalchemy import Connection, Row, case, delete, literal_column, select, update

from mail2sms.model import Msisdn, Submission
from mail2sms.rules._base import Reservation
from mail2sms.store import facts, holds, media, mo_parts, owed, schema, sending, storms
from mail2sms.store.counters import Exceeded, Ledger
from mail2sms.store.inserts import anew_with_ids, insert_rows
from mail2sms.store.raised import Raised, hear, raised_in
from mail2sms.store.rows import (
    NewMessage,
    NewNotice,
    clock_ms,
    content_row,
    event_row,
    message_row,
    notice_event_row,
    notice_row,
    original_row,
    submission_row,
)
from mail2sms.store.writer import Verb
from mail2sms.storms import Deed

_CHUNK = 1000  # values in one IN: databases have ceilings
_STRAY_MS = 7 * 86_400_000
REPEAT_MS = 86_400_000  # a re-sent email is recognised for this long
_METER_MS = 86_400_000
_SPARE_MS = 3 * 86_400_000  # beyond its end: a clock that is a day ahead for a while must not make us forget


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """Everything one email or API call becomes. Stored whole or, when it was stored before, not at all.

    `repeat_key` stands for the whole (a refusal's notice, an API call, whose body has this `fingerprint`); `id`, or
    `answer`, is what the client is told; when a limit leaves messages out, `tell` makes another one, and `tell_over`
    the emails about that. `approvers` are asked about messages that must wait. With `is_blind` it was judged without
    `facts`, as most can be. What a device writes has such a key: it may become part of what came before.
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
    tell: Callable[[Mapping[str, Exceeded]], str] | None = None
    tell_over: Callable[[Stored], tuple[NewNotice, ...]] | None = None
    approvers: tuple[str, ...] = ()
    is_blind: bool = False

    @property
    def repeat_keys(self) -> dict[str, str]:
        """What recognises each of its things, with their ids."""
        keys = {m.repeat_key: m.mt.id for m in self.messages if m.repeat_key}
        return {**keys, self.repeat_key: self.id} if self.repeat_key else keys

    @property
    def raised(self) -> Raised | None:
        """The alarm that it is, if a device wrote it."""
        return raised_in(self.submissions, self.messages, self.at)


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

    With `exceeded` (a reservation of the bundle's own), nothing was stored; with `before` neither: the bundle's own
    key stood for that already. `refused` are the messages that were not, by their ids, and why; when they are all,
    nothing was. With `is_stopped`, nothing new is taken now; with `is_unjudged`, there are facts about a phone of a
    blind bundle, and nothing was stored. `answer` is the bundle's where `tell` made another. `deed` is what became of
    an alarm: where it made no message of its own, `repeated` says by which it is told.
    """

    repeated: dict[str, str]
    exceeded: Reservation | None = None
    before: Repeat | None = None
    refused: Mapping[str, Exceeded] = field(default_factory=dict)
    is_stopped: bool = False
    is_unjudged: bool = False
    answer: str | None = field(default=None, repr=False)
    deed: str = ""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was stored of what is new."""
        return self.is_stopped or self.is_unjudged or self.exceeded is not None


def _put(connection: Connection, bundles: Sequence[Bundle]) -> list[Stored]:
    """Store what is judged by all that is known; of the blind ones that is most."""
    phones = {phone for bundle in bundles if bundle.is_blind for phone in _phones(bundle)}
    known = facts.known(connection, phones) if phones else set()
    is_judged = [not bundle.is_blind or known.isdisjoint(_phones(bundle)) for bundle in bundles]
    stored = iter(_put_judged(connection, [*compress(bundles, is_judged)]))
    return [next(stored) if judged else Stored(repeated={}, is_unjudged=True) for judged in is_judged]


def _phones(bundle: Bundle) -> list[tuple[str, Msisdn]]:
    return [(new.mt.account, new.mt.msisdn) for new in bundle.messages]


def _put_judged(connection: Connection, bundles: Sequence[Bundle]) -> list[Stored]:
    earlier = _claim_keys(connection, bundles)
    ledger = Ledger.lock(connection, _wishes(bundles))
    there = _there_already(connection, bundles)
    stop = sending.stopped(connection)
    is_refusing = stop is not None and stop.refuses
    insert_notices(connection, hear(connection, [*filter(None, (b.raised for b in bundles))]))
    results: list[Stored] = []
    fresh: list[tuple[Bundle, Set[str]]] = []
    over: list[NewNotice] = []
    for bundle in bundles:
        if any(key not in earlier for key in bundle.repeat_keys):  # given back by one that was refused
            earlier |= _claim_keys(connection, [bundle])
        stored = _judge(ledger, bundle, earlier, there, is_refusing=is_refusing)
        if bundle.raised and not (stored.before or stored.is_nothing):
            stored = _raise(connection, ledger, bundle, bundle.raised, there)
            earlier |= _renamed(connection, bundle, stored, earlier)
        for key in _free_keys(connection, bundle, stored):
            del earlier[key]
        left_out = stored.repeated.keys() | stored.refused.keys()
        is_all = 0 < len(bundle.messages) <= len(left_out) or bool(bundle.raised)
        if not (stored.before or stored.is_nothing or is_all):
            fresh.append((bundle, left_out))
            stored = _told_anew(connection, bundle, stored)
        if bundle.tell_over and 0 < len(stored.refused) < len(bundle.messages):
            over += bundle.tell_over(stored)
        results.append(stored)
    ledger.write(connection)
    insert(connection, fresh)
    insert_notices(connection, over)
    return results


def _wishes(bundles: Sequence[Bundle]) -> Iterator[Reservation]:
    for bundle in bundles:
        yield from bundle.reservations
        for new in bundle.messages:
            yield from new.reservations


def _judge(
    ledger: Ledger, bundle: Bundle, earlier: Mapping[str, Repeat], there: Set[str], *, is_refusing: bool
) -> Stored:
    """Reserve for what is new: what was accepted before is counted, and needs no room."""
    repeated = {id_: earlier[key].id for key, id_ in bundle.repeat_keys.items() if earlier[key].id != id_}
    before = earlier[bundle.repeat_key] if bundle.repeat_key and bundle.id in repeated else None
    if before is not None:
        told = {new.mt.id: before.id for new in bundle.messages} if bundle.raised else {}
        return Stored(repeated={**repeated, **told}, before=before)
    new = [each for each in bundle.messages if each.mt.id not in repeated and each.mt.id not in there]
    is_whole_repeat = bool(bundle.messages) and not new
    if not is_whole_repeat and there.isdisjoint(_ids(bundle)):
        exceeded = ledger.reserve(bundle.reservations)
        if exceeded is not None:
            return Stored(repeated=repeated, exceeded=exceeded.reservation)
    if new and is_refusing:
        return Stored(repeated=repeated, is_stopped=True)
    return Stored(repeated=repeated, refused={} if bundle.raised else ledger.admit(new))


def _raise(connection: Connection, ledger: Ledger, bundle: Bundle, raised: Raised, there: Set[str]) -> Stored:
    """Store an alarm, or count it where it belongs. What makes no SMS takes nothing of a limit."""
    # This batch is run again; a limit may have left out the first phone.
    if not there.isdisjoint(_ids(bundle)):
        return Stored(repeated={}, deed=Deed.SEND)
    choice = storms.choose(connection, raised)
    refused = ledger.admit(choice.made)
    if choice.made and len(refused) == len(choice.made):
        return Stored(repeated={}, refused=refused)
    if choice.made:
        made = replace(bundle, submissions=(choice.submission,), messages=choice.made)
        insert(connection, [(made, refused.keys())])
    storms.write(connection, raised, choice)
    into = choice.decision.into
    repeated = {new.mt.id: into for new in bundle.messages} if into else {}
    return Stored(repeated=repeated, refused=refused, deed=choice.decision.deed)


def _renamed(
    connection: Connection, bundle: Bundle, stored: Stored, earlier: Mapping[str, Repeat]
) -> dict[str, Repeat]:
    """Let the key of an alarm that became part of what came before stand for that."""
    key, into = bundle.repeat_key, next(iter(stored.repeated.values()), None)
    if key is None or into is None:
        return {}
    connection.execute(update(schema.repeat).where(schema.repeat.c.key == key).values(id=into))
    return {key: replace(earlier[key], id=into)}


def _told_anew(connection: Connection, bundle: Bundle, stored: Stored) -> Stored:
    """An API call is told, now and when it comes again, what was taken of it."""
    if not (bundle.tell and stored.refused):
        return stored
    answer = bundle.tell(stored.refused)
    mine = schema.repeat.c.key == bundle.repeat_key
    connection.execute(update(schema.repeat).where(mine).values(answer=answer))
    return replace(stored, answer=answer)


def _there_already(connection: Connection, bundles: Sequence[Bundle]) -> set[str]:
    """Ids that a first run of this batch, whose COMMIT was in doubt, did store: nothing is reserved twice."""
    ids = [id_ for bundle in bundles if bundle.raised or any(_wishes([bundle])) for id_ in _ids(bundle)]
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


def _free_keys(connection: Connection, bundle: Bundle, stored: Stored) -> list[str]:
    """Give back the keys of what was refused, and return them: when it comes again it is new."""
    is_all = stored.is_nothing or 0 < len(bundle.messages) == len(stored.refused)
    some = set[str]() if bundle.raised else stored.refused.keys()
    is_refused = set(bundle.repeat_keys.values()) if is_all else some
    freed = is_refused - stored.repeated.keys()
    ours = [key for key, id_ in bundle.repeat_keys.items() if id_ in freed]
    for start in range(0, len(ours), _CHUNK):
        chunk = schema.repeat.c.key.in_(ours[start : start + _CHUNK])
        connection.execute(delete(schema.repeat).where(chunk))
    return ours


def insert(connection: Connection, fresh: Sequence[tuple[Bundle, Collection[str]]]) -> None:
    """Write bundles, each without the messages that are named; what is there already stays as it is."""
    submissions: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    approvals: list[dict[str, Any]] = []
    conversations: dict[str, dict[str, Any]] = {}
    notices: list[NewNotice] = []
    for bundle, left_out in fresh:
        news = [new for new in bundle.messages if new.mt.id not in left_out]
        wanted = {new.mt.submission for new in news}
        for submission in bundle.submissions:
            if submission.id in wanted:
                submissions.append(submission_row(submission))
                mine = [new for new in news if new.mt.submission == submission.id]
                contents += _contents(submission)
                contents += media.picture_rows(submission, [new.mt for new in mine])
                waiting = [new for new in mine if new.hold]
                _ask(submission, waiting, bundle.approvers, approvals, notices)
                notices += owed.at_start(submission, [new.mt for new in mine])
        for new in news:
            messages.append(message_row(holds.as_it_waits(new)))
            events += _first_events(new)
            conversations[new.mt.conversation] = _conversation_row(new)
        notices.extend(bundle.notices)
    insert_rows(connection, schema.submission, submissions)
    insert_rows(connection, schema.conversation, [conversations[id_] for id_ in sorted(conversations)])
    insert_rows(connection, schema.content, contents)
    stored = {row.id for row in insert_rows(connection, schema.message, messages, anew_with_ids)}
    insert_rows(connection, schema.event, [event for event in events if event["about"] in stored])
    insert_rows(connection, schema.approval, approvals)
    insert_notices(connection, notices)


def _contents(submission: Submission) -> Iterator[dict[str, Any]]:
    account, at = submission.writer.account, submission.created_at
    yield content_row(submission.id, account, submission.id, submission.text.encode(), at)
    if submission.original:
        yield original_row(submission)


def _first_events(new: NewMessage) -> Iterator[dict[str, Any]]:
    """Of what waits for approval also what it waits for without."""
    for mt in dict.fromkeys((new.mt, holds.as_it_waits(new))):
        yield event_row(mt, mt.status, mt.created_at, reason=mt.reason, detail=mt.detail)


def _ask(
    submission: Submission,
    waiting: Sequence[NewMessage],
    approvers: Sequence[str],
    approvals: list[dict[str, Any]],
    notices: list[NewNotice],
) -> None:
    """Add the approval of a submission, and who is told of it."""
    found = [new.hold for new in waiting if new.hold]
    if found:
        row = holds.approval_row(submission, holds.merged(found))
        approvals.append(row)
        notices += holds.notices(submission, [new.mt for new in waiting], row, approvers)


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
    if stored.is_nothing:
        return ()
    has_notices = bundle.notices or stored.refused
    return ("mt",) * bool(bundle.messages) + ("notice",) * bool(has_notices)


PUT: Verb[Bundle, Stored] = Verb(_put, wakes=_woken)


def _forget(connection: Connection, times: Sequence[int]) -> list[int]:
    """Drop what is only remembered for a while: repeat keys, counters, stray reports, alarms' texts, meters."""
    now = max(times)
    repeat, stray, counter, alarm = schema.repeat, schema.stray_report, schema.counter, schema.alarm
    meter, long_free_us = schema.meter, (clock_ms(connection) - _METER_MS) * 1000
    too_old = (
        delete(repeat).where(repeat.c.at < now - REPEAT_MS - _SPARE_MS),
        delete(stray).where(stray.c.at < now - _STRAY_MS),
        delete(counter).where(counter.c.until < now - _SPARE_MS),
        delete(alarm).where(alarm.c.until < now),
        delete(meter).where(meter.c.free_us < long_free_us, meter.c.line_us < long_free_us),
    )
    dropped = sum(connection.execute(statement).rowcount for statement in too_old)
    dropped += mo_parts.forget(connection, now) + media.forget(connection, now)
    return [dropped] * len(times)


FORGET: Verb[int, int] = Verb(_forget)
