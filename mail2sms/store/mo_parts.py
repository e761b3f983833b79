"""Long texts from phones, kept part by part until they are whole: a carrier is told "taken" for each part on disk.

A part that comes again is the same row, also after its text was joined. A phone that uses a reference anew while an
older text lacks parts starts another text: the older one is given out as it is. What is given out is `joined`, and of
no other text any more; until it is recorded as an MO, it is given out again as the same.

Most carriers tell nothing by which the same part that comes again differs from the same words said again: an alarm
panel counts its references from 0 each day. Soon after the first it is a repeat. Later, a text of which several parts
come again was said again, and of a single one, a carrier had not heard that we took it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, func, select, update

from mail2sms.heard import MoPart
from mail2sms.ids import derive_id
from mail2sms.model import MoMessage, Msisdn
from mail2sms.store import schema
from mail2sms.store.inserts import anew_with_ids, insert_rows
from mail2sms.store.locks import lock_keys
from mail2sms.store.rows import content_row
from mail2sms.store.writer import Verb

part, content = schema.mo_part, schema.content

GAP = "[...]"
"""Stands for parts that did not come."""
PATIENCE_MS = 3_600_000
"""How long the missing parts are waited for."""
_AGAIN_MS = 600_000  # so long the same part is certainly the one that came
_TOGETHER_MS = 300_000  # within these the parts of one text come
_KEPT_MS = 2 * 86_400_000  # so long a part that comes again is known
_MOST = 100  # texts at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPart:
    """A part of a text, and when it came."""

    part: MoPart
    account: str
    now: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """A text of these parts (by id): all of them, or what came of it in time.

    With `known` it is nothing new: a part of that MO came again, and is closed.
    """

    mo: MoMessage
    parts: tuple[str, ...]
    known: str = ""


def _keep(connection: Connection, news: Sequence[NewPart]) -> list[tuple[Joined, ...]]:
    lock_keys(connection, map(_whole, news))  # the last two parts may come on two nodes
    return [_keep_one(connection, new) for new in news]


_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_OPEN = (
    select(part, content.c.data)
    .join(content, content.c.id == part.c.id)
    .where(part.c.whole == bindparam("whole"), part.c.mo.is_(None))
    .order_by(part.c.number, part.c.created_at)
)


def _keep_one(connection: Connection, new: NewPart) -> tuple[Joined, ...]:
    """Store a part; return the texts that can be given out now."""
    whole = _whole(new)
    id_ = derive_id("p", whole, str(new.part.number), new.part.event_id, _digest(new.part.text))
    text = new.part.text.encode("utf-8", "surrogatepass")
    row = {
        "id": id_,
        "account": new.account,
        "whole": whole,
        "number": new.part.number,
        "total": new.part.total,
        "carrier": new.part.carrier,
        "msisdn": new.part.msisdn,
        "our_address": new.part.to,
        "at": new.part.at,
        "created_at": new.now,
        "joined": None,
        "mo": None,
        "before": None if new.part.event_id else _reopened(connection, id_, new.now),
    }
    if insert_rows(connection, part, [row], anew_with_ids):
        insert_rows(connection, content, [content_row(id_, new.account, id_, text, new.now)])
    rows = connection.execute(_OPEN, {"whole": whole}).all()
    mine = next((row for row in rows if row.id == id_), None)
    if mine is None:  # it is in an MO already
        return ()
    if mine.joined is not None:
        return (_join([row for row in rows if row.joined == mine.joined]),)
    return _given_out(connection, mine, [row for row in rows if row.joined is None])


def _given_out(connection: Connection, mine: Row[Any], rows: Sequence[Row[Any]]) -> tuple[Joined, ...]:
    """Give out what is whole with this part, or over since it came.

    `left` are parts that came long ago, too, and waited here before the text began of which a new one came last.
    """
    begun = max((row.created_at for row in rows if row.before is None), default=0) - _TOGETHER_MS
    left = [row for row in rows if row.before is not None and row.created_at < begun]
    lacking = [row for row in rows if row not in left]
    older = [row for row in lacking if row.id != mine.id]
    if any(row.number == mine.number for row in older):  # the reference is used anew
        return _end(connection, older)
    if len({row.number for row in lacking}) < mine.total:
        return ()
    return (*_end(connection, left), _give_out(connection, lacking))


_LONG_AGO = (part.c.id == bindparam("id"), part.c.mo.is_not(None), part.c.created_at <= bindparam("until"))
_BEFORE, _REOPENED = select(part.c.mo).where(*_LONG_AGO), delete(part).where(*_LONG_AGO)


def _reopened(connection: Connection, id_: str, now: int) -> str | None:
    """Make way for a part that came long ago, too; return the MO that it was in then."""
    which = {"id": id_, "until": now - _AGAIN_MS}
    before = connection.scalar(_BEFORE, which)
    if before is not None:
        connection.execute(_REOPENED, which)
    return before


def _end(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Joined, ...]:
    """Give out what lacks parts, unless it is one that was told before: that is known already, with its others."""
    if not rows:
        return ()
    if len(rows) > 1 or rows[0].before is None:
        return (_give_out(connection, rows),)
    known = replace(_join(rows), known=rows[0].before)
    close(connection, known.parts, known.known)
    return (known,)


_JOINED = update(part).where(part.c.id.in_(_IDS)).values(joined=bindparam("of"))


def _give_out(connection: Connection, rows: Sequence[Row[Any]]) -> Joined:
    joined = _join(rows)
    connection.execute(_JOINED, {"ids": joined.parts, "of": joined.mo.event_id})
    return joined


def _whole(new: NewPart) -> str:
    part_ = new.part
    return derive_id(
        "w",
        *(new.account, part_.carrier, part_.msisdn, part_.to),
        *map(str, (part_.reference, part_.total)),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _join(rows: Sequence[Row[Any]]) -> Joined:
    first = rows[0]
    texts = {row.number: bytes(row.data).decode("utf-8", "surrogatepass") for row in rows}
    ids = tuple(row.id for row in rows)
    mo = MoMessage(
        carrier=first.carrier,
        event_id=derive_id("j", *(f"{row.id} {row.created_at}" for row in rows)),
        msisdn=Msisdn(first.msisdn),
        to=first.our_address,
        at=max(row.at for row in rows),
        text=_text(texts, first.total),
    )
    return Joined(mo=mo, parts=ids)


def _text(texts: Mapping[int, str], total: int) -> str:
    """Return the text with one mark for each gap; a surrogate whose other half is missing becomes U+FFFD."""
    pieces: list[str] = []
    for number in range(1, total + 1):
        if number in texts:
            pieces.append(texts[number])
        elif pieces[-1:] != [GAP]:
            pieces.append(GAP)
    return "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_OVERDUE = (
    select(part.c.whole)
    .where(part.c.mo.is_(None))
    .group_by(part.c.whole)
    .having(func.max(part.c.created_at) <= bindparam("until"))
    .limit(_MOST)
)


def _give_out_overdue(connection: Connection, times: Sequence[int]) -> list[tuple[Joined, ...]]:
    """Return the texts whose missing parts are waited for no longer, and those that nobody has recorded yet."""
    until = {"until": max(times) - PATIENCE_MS}
    wholes = set(connection.scalars(_OVERDUE, until))
    lock_keys(connection, wholes)  # a last part may come on another node
    found: list[Joined] = []
    for whole in sorted(wholes.intersection(connection.scalars(_OVERDUE, until))):
        rows = connection.execute(_OPEN, {"whole": whole}).all()
        for name in sorted({row.joined or "" for row in rows}):
            those = [row for row in rows if (row.joined or "") == name]
            found += [_join(those)] if name else _end(connection, those)
    return [tuple(found)] * len(times)


_CLOSED = update(part).where(part.c.id.in_(_IDS)).values(mo=bindparam("of"))
_TEXTS = delete(content).where(content.c.id.in_(_IDS))


def close(connection: Connection, ids: Sequence[str], mo: str) -> None:
    """These parts are in an MO now: their own texts go."""
    if ids:
        connection.execute(_CLOSED, {"ids": ids, "of": mo})
        connection.execute(_TEXTS, {"ids": ids})


def forget(connection: Connection, now: int) -> int:
    """Drop parts of texts that were given out long ago."""
    old = (part.c.mo.is_not(None), part.c.created_at < now - _KEPT_MS)
    return connection.execute(delete(part).where(*old)).rowcount


KEEP_PART: Verb[NewPart, tuple[Joined, ...]] = Verb(_keep, is_alone=True)
GIVE_OUT_OVERDUE: Verb[int, tuple[Joined, ...]] = Verb(_give_out_overdue, is_alone=True)
