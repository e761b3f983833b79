"""Who must not be written to, how that changes, and what becomes of messages that wait for such a phone.

A phone is known by a keyed hash, so that a block outlives its number. On PostgreSQL a change of the list and the
intents of all nodes exclude one another by an advisory lock: after the commit of a block no intent follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)

from mail2sms.ids import derive_id
from mail2sms.lifecycle import OPTED_OUT
from mail2sms.model import DeliveryReport, MessageClass, Msisdn, MtMessage, Status
from mail2sms.rules._base import OptOut
from mail2sms.store import facts, notices, owed, reports, schema
from mail2sms.store.facts import phone_key
from mail2sms.store.inserts import insert_rows
from mail2sms.store.put import insert_notices
from mail2sms.store.rows import EMAIL, VALID_MS, NewNotice, event_row
from mail2sms.store.writer import Verb

opt_out, message, attempt = schema.opt_out, schema.message, schema.attempt

KEYWORD = "keyword"
"""The source of a block that the phone itself made, and may lift again."""

CARRIER = "carrier"
"""The source of a block that a carrier told of."""

_THE_PHONES: ColumnElement[str] = literal_column("'keyword'")
_LOCK = 0x6F70746F7574  # "optout": one key for all, so that a block of every number of ours is seen too
_CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocking:
    """Write to this phone no more, from `our_address` (empty: from none of ours).

    `source` is keyword, operator, api, import or carrier; `who` did it (a person, a key's name, a carrier).
    """

    account: str
    msisdn: Msisdn
    now: int
    source: str
    our_address: str = ""
    keyword: str = ""
    who: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lifting:
    """Let this phone be written to again from `our_address` (None: from all of ours).

    With `is_keyword` only what it blocked itself.
    """

    account: str
    msisdn: Msisdn
    now: int
    our_address: str | None = None
    who: str = ""
    is_keyword: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocked:
    """What a block changed: `is_new` the list, `cancelled` messages that waited."""

    is_new: bool
    cancelled: int


def exclude_intents(connection: Connection) -> None:
    """Wait until no intent is being committed anywhere, and let none begin before we are committed."""
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


STEADY = func.pg_advisory_xact_lock_shared(_LOCK)
"""On PostgreSQL, selected before one asks who is on the list: nobody is added until the transaction ends."""


def opted_out(connection: Connection, mts: Sequence[MtMessage]) -> set[str]:
    """Return the messages that must not be sent. The caller has made the list STEADY."""
    asked = [mt for mt in mts if mt.class_ is not MessageClass.CONSENT]
    if not asked:
        return set()
    keys = {(mt.account, mt.msisdn): "" for mt in asked}
    keys = {pair: phone_key(connection, *pair) for pair in keys}
    listed = {(row.phone, row.our_address) for row in facts.listed(connection, list(keys.values()))}
    if not listed:
        return set()
    found = set()
    for mt in asked:
        key = keys[mt.account, mt.msisdn]
        if (key, "") in listed or (key, mt.sender_id.lower()) in listed:
            found.add(mt.id)
    return found


def block(connection: Connection, blocking: Blocking) -> Blocked:
    """Put a phone on the list and cancel what waits for it. What a person or a carrier blocked stays theirs."""
    exclude_intents(connection)
    key, ours = phone_key(connection, blocking.account, blocking.msisdn), blocking.our_address.lower()
    row = {
        "phone": key,
        "our_address": ours,
        "account": blocking.account,
        "msisdn": blocking.msisdn,
        "source": blocking.source,
        "keyword": blocking.keyword,
        "who": blocking.who,
        "at": blocking.now,
    }
    is_new = bool(insert_rows(connection, opt_out, [row], _stronger))
    if is_new:
        detail = " ".join(filter(None, (blocking.source, blocking.keyword, ours)))
        _write_audit(connection, blocking, "opt_out.add", key, detail)
    fits = and_(message.c.account == blocking.account, message.c.msisdn == blocking.msisdn)
    if ours:
        fits = and_(fits, func.lower(message.c.sender_id) == ours)
    return Blocked(is_new=is_new, cancelled=len(cancel(connection, fits, blocking.now)))


def _stronger(statement: Any) -> Any:
    """What the phone blocked itself becomes what somebody else blocks: START then lifts it no more."""
    held, new = opt_out.c, statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["phone", "our_address"],
        set_={name: new[name] for name in ("source", "keyword", "who", "at", "msisdn")},
        where=and_(held.source == _THE_PHONES, new.source != _THE_PHONES),
    )
    return statement.returning(held.phone)


def _write_audit(connection: Connection, by: Blocking | Lifting, did: str, about: str, detail: str) -> None:
    row = {"account": by.account, "at": by.now, "who": by.who, "did": did, "about": about, "detail": detail}
    insert_rows(connection, schema.audit, [row])


def lift(connection: Connection, lifting: Lifting) -> bool:
    """Take a phone off the list; returns whether it was on it and may be written to now."""
    exclude_intents(connection)
    key = phone_key(connection, lifting.account, lifting.msisdn)
    about = opt_out.c.phone == key
    if lifting.our_address is not None:
        about = and_(about, opt_out.c.our_address.in_((lifting.our_address.lower(), "")))
    mine = and_(about, opt_out.c.source == KEYWORD) if lifting.is_keyword else about
    gone = connection.execute(delete(opt_out).where(mine).returning(opt_out)).all()
    for row in gone:
        detail = " ".join(filter(None, (row.source, row.our_address)))
        _write_audit(connection, lifting, "opt_out.remove", key, detail)
    return bool(gone) and connection.scalar(select(func.count()).where(about)) == 0


_IS_QUEUED = message.c.status.concat("") == "queued"  # by the phone, never through all that is queued
_CANCELLED = (
    update(message)
    .where(_IS_QUEUED, message.c["class"] != MessageClass.CONSENT.value)
    .values(
        status=case((reports.MAY_BE_OUT, "unknown"), else_="cancelled"),
        reason=case((reports.MAY_BE_OUT, "carrier.unknown"), else_=OPTED_OUT),
        detail=case((reports.MAY_BE_OUT, "it may have been sent; the person opted out meanwhile"), else_=""),
        cost=case((reports.MAY_BE_OUT, message.c.cost), else_=reports.NOTHING),
        fence=message.c.fence + 1,
        lease_owner=None,
        lease_until=None,
        updated_at=bindparam("now"),
    )
    .returning(message)
)


def cancel(connection: Connection, fits: ColumnElement[bool], now: int) -> list[Row[Any]]:
    """Cancel what waits for somebody who opted out, and tell its writers: one email each, however many there were."""
    rows = list(connection.execute(_CANCELLED.where(fits), {"now": now}))
    if not rows:
        return rows
    events = [event_row(r, Status(r.status), now, reason=r.reason, detail=r.detail) for r in rows]
    insert_rows(connection, schema.event, events)
    for row in rows:
        notices.about_change(connection, row, now)
    insert_notices(connection, _told(connection, [row for row in rows if row.status == "cancelled"], now))
    return rows


def _told(connection: Connection, rows: Sequence[Row[Any]], now: int) -> list[NewNotice]:
    submission = schema.submission
    ids = sorted({row.submission for row in rows})
    writers: dict[str, str] = {}
    for start in range(0, len(ids), _CHUNK):
        some = submission.c.id.in_(ids[start : start + _CHUNK])
        writers |= {r.id: r.writer for r in connection.execute(select(submission).where(some))}
    first: dict[str, list[Row[Any]]] = {}
    for row in sorted(rows, key=lambda r: (r.created_at, r.id)):
        if owed.wants_email(row, writers[row.submission]):
            first.setdefault(writers[row.submission], []).append(row)
    channels = notices.hook_channels(connection, "failed")
    told = [_notice(row, name, "", 0, now) for row in rows for name in channels]
    for writer, theirs in first.items():
        told.append(_notice(theirs[0], EMAIL, writer, len(theirs) - 1, now))
    return told


def _notice(row: Row[Any], channel: str, address: str, others: int, now: int) -> NewNotice:
    return NewNotice(
        id=derive_id("n", row.id, OPTED_OUT, channel),
        account=row.account,
        kind="undelivered",
        channel=channel,
        address=address,
        message=row.id,
        reason=OPTED_OUT,
        payload=json.dumps({"others": others}).encode(),
        created_at=now,
        due_at=now,
        expires_at=now + VALID_MS,
    )


def listed(connection: Connection, account: str, after: tuple[int, str] | None, limit: int) -> list[OptOut]:
    """Return the list, oldest first, from behind (`at`, number). A number that was erased shows as its hash."""
    number = func.coalesce(opt_out.c.msisdn, opt_out.c.phone)
    query = select(opt_out).where(opt_out.c.account == account).order_by(opt_out.c.at, number).limit(limit)
    if after is not None:
        at, last = after
        query = query.where(or_(opt_out.c.at > at, and_(opt_out.c.at == at, number > last)))
        query = query.where(opt_out.c.at >= at)
    return [facts.opt_out_of(row, row.msisdn or f"#{row.phone}") for row in connection.execute(query)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """One change of the list, of the past."""

    at: int
    who: str
    did: str
    detail: str


def history(connection: Connection, account: str, msisdn: str) -> list[Audited]:
    """Return who put a phone on the list or took it off, and when."""
    key = phone_key(connection, account, msisdn)
    query = select(schema.audit).where(schema.audit.c.about == key).order_by(schema.audit.c.id)
    return [Audited(at=r.at, who=r.who, did=r.did, detail=r.detail) for r in connection.execute(query)]


def _erase(connection: Connection, phones: Sequence[tuple[str, Msisdn]]) -> list[bool]:
    return [
        connection.execute(
            update(opt_out).where(opt_out.c.phone == phone_key(connection, *phone)).values(msisdn=None)
        ).rowcount
        > 0
        for phone in phones
    ]


def _block_all(connection: Connection, items: Iterable[Blocking]) -> list[Blocked]:
    return [block(connection, blocking) for blocking in items]


def _lift_all(connection: Connection, items: Iterable[Lifting]) -> list[bool]:
    return [lift(connection, lifting) for lifting in items]


BLOCK: Verb[Blocking, Blocked] = Verb(
    _block_all, wakes=lambda _, done: ("notice",) * bool(done.cancelled), is_alone=True
)
LIFT: Verb[Lifting, bool] = Verb(_lift_all, is_alone=True)
ERASE: Verb[tuple[str, Msisdn], bool] = Verb(_erase)


def _record_opt_outs(connection: Connection, told: Sequence[DeliveryReport]) -> list[reports.Moved | None]:
    """Store reports that say that the phone opted out with the carrier, and block what each one moved.

    One that comes again moves nothing, so it blocks nobody who has written START since.
    """
    exclude_intents(connection)
    moved = reports.record(connection, told)
    block_reported(connection, told, moved)
    return moved


def block_reported(
    connection: Connection, told: Sequence[DeliveryReport], moved: Sequence[reports.Moved | None]
) -> None:
    """Block the phones of the messages that these reports moved."""
    for report, one in zip(told, moved, strict=True):
        if one is None:
            continue
        row = connection.execute(select(message).where(message.c.id == one.message)).one()
        blocking = Blocking(
            account=row.account,
            msisdn=Msisdn(row.msisdn),
            now=report.at,
            source=CARRIER,
            our_address=row.sender_id,
            who=report.carrier,
        )
        block(connection, blocking)


RECORD_OPT_OUT: Verb[DeliveryReport, reports.Moved | None] = Verb(
    _record_opt_outs, wakes=lambda _, moved: ("notice",) * (moved is not None), is_alone=True
)
