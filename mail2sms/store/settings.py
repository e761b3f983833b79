"""What the daemon itself must remember."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from mail2sms.store import schema
from mail2sms.store.inserts import insert_rows
from mail2sms.store.writer import Verb


def _remember(connection: Connection, items: Sequence[tuple[str, str]]) -> list[str]:
    """Keep a value under its key unless there is one; returns the one that is kept."""
    insert_rows(connection, schema.setting, [{"key": key, "value": value} for key, value in items])
    table = schema.setting
    query = select(table.c.key, table.c.value).where(table.c.key.in_([key for key, _ in items]))
    kept = {row.key: row.value for row in connection.execute(query)}
    return [kept[key] for key, _ in items]


REMEMBER: Verb[tuple[str, str], str] = Verb(_remember)
