"""Locks by name, for what has no row yet: on one PostgreSQL two nodes must not miss each other's news."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ARRAY, Connection, Text, cast, func, select


def lock_keys(connection: Connection, keys: Iterable[str]) -> None:
    """Hold these names until the transaction ends, taken in one order on all nodes. SQLite has one writer."""
    ordered = sorted(set(keys))
    if ordered and connection.dialect.name != "sqlite":
        each = func.unnest(cast(ordered, ARRAY(Text))).column_valued("each")
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(each, 0))))
