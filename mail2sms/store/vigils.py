"""Devices that are not heard of: noticed once, whichever node looks, and counted only while somebody listened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select, update

from mail2sms.store import schema
from mail2sms.store.inserts import insert_rows
from mail2sms.store.put import insert_notices
from mail2sms.store.raised import notice
from mail2sms.store.writer import Verb

device = schema.device


@dataclass(frozen=True, kw_only=True, slots=True)
class Vigil:
    """Look at one device: silent for `silent_ms` in all, `to` is told. `most_ms` is the longest between two looks.

    When nobody looked for longer, nobody listened either: that silence is ours.
    """

    account: str
    name: str
    silent_ms: int
    to: str
    now: int
    most_ms: int


def _watch(connection: Connection, vigils: Sequence[Vigil]) -> list[bool]:
    order = sorted(range(len(vigils)), key=lambda at: (vigils[at].account, vigils[at].name))
    results = dict.fromkeys(order, False)
    for at in order:
        results[at] = _watch_one(connection, vigils[at])
    return [results[at] for at in range(len(vigils))]


def _watch_one(connection: Connection, vigil: Vigil) -> bool:
    now = vigil.now
    mine = and_(device.c.account == vigil.account, device.c.name == vigil.name)
    first = {"account": vigil.account, "name": vigil.name, "heard_at": now, "watched_at": now}
    insert_rows(connection, device, [{**first, "quiet_ms": 0, "silent_at": None}])
    row = connection.execute(select(device).where(mine).with_for_update()).one()
    quiet_ms = row.quiet_ms + min(max(0, now - row.watched_at), vigil.most_ms)
    is_silent = row.silent_at is None and quiet_ms >= vigil.silent_ms
    silent_at = now if is_silent else row.silent_at
    connection.execute(
        update(device).where(mine).values(watched_at=now, quiet_ms=quiet_ms, silent_at=silent_at)
    )
    if is_silent:
        told = notice(vigil.account, vigil.name, vigil.to, "silent", now, row.heard_at)
        insert_notices(connection, [told])
    return is_silent


WATCH: Verb[Vigil, bool] = Verb(_watch, wakes=lambda _, is_silent: ("notice",) * is_silent)
