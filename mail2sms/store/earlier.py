"""What an email or API call became when it came before: asked when it would now be refused for its time alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, select

from mail2sms.store.put import REPEAT_MS, Repeat, read_repeat
from mail2sms.store.schema import repeat


def messages_of(connection: Connection, keys: Sequence[str], now: int) -> tuple[str, ...]:
    """Return the ids of the messages with these repeat keys, in their order; nothing unless all are there."""
    query = select(repeat.c.key, repeat.c.id).where(repeat.c.key.in_(keys), _is_known(now))
    found = {row.key: row.id for row in connection.execute(query)}
    return tuple(found[key] for key in keys) if found.keys() >= set(keys) else ()


def repeat_of(connection: Connection, key: str, now: int) -> Repeat | None:
    """Return what a repeat key stands for; None when it is free."""
    query = select(repeat).where(repeat.c.key == key, _is_known(now))
    row = connection.execute(query).first()
    return None if row is None else read_repeat(row)


def _is_known(now: int) -> ColumnElement[bool]:
    return repeat.c.at >= now - REPEAT_MS
