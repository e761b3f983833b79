"""What the tables are made of. Times are UTC epoch milliseconds, unless their names say otherwise."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, TextClause

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_() -> Column[str]:
    """The row's own id."""
    return Column("id", Text, primary_key=True)


def account() -> Column[str]:
    """Whose it is."""
    return Column("account", Text, nullable=False)


def time(name: str, *, optional: bool = False) -> Column[int]:
    """A moment."""
    return Column(name, BigInteger, nullable=optional)


def lease() -> tuple[Column[Any], ...]:
    """By which node it is being worked on, and until when it is that node's."""
    return Column("lease_owner", Text), time("lease_until", optional=True)


def keyed(name: str, *columns: Column[Any] | Index) -> Table:
    """A table that SQLite stores by its key, in one tree: a row by number and its key beside it would be two.

    Keys begin with the time, so new rows share the last page; reading by key costs the same.
    """
    return Table(name, metadata, *columns, sqlite_with_rowid=False)


def partial(name: str, where: TextClause, *columns: Column[Any]) -> None:
    """Add an index over the rows that `where` holds of."""
    Index(name, *columns, sqlite_where=where, postgresql_where=where)
