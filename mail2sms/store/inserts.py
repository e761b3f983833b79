"""Inserting rows: many by one statement, whose text is compiled once for each number of rows.

Built and run row by row, a statement costs several times what the database needs for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

_ROWS = 64  # a statement at most; databases have ceilings for parameters (SQLite 32,766, PostgreSQL 65,535)

Row = dict[str, Any]
Finish = Callable[[Any], Any]
"""Turns an insert (of the dialect) into the statement that is wanted. A function of a module: it is a cache's key."""


def anew(statement: Any) -> Any:
    """Leave out rows that are there already, by any unique key: a batch in doubt is run again."""
    return statement.on_conflict_do_nothing()


def anew_with_ids(statement: Any) -> Any:
    """As `anew`; the ids of the rows that were not there are returned."""
    return anew(statement).returning(statement.table.c.id)


def anew_with_names(statement: Any) -> Any:
    """As `anew`; the carriers whose rows were not there are returned."""
    return anew(statement).returning(statement.table.c.carrier)


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Row], finish: Finish = anew
) -> list[Any]:
    """Insert rows, which all have the same keys; return what the statement returns, if it does."""
    found: list[Any] = []
    for some in _pieces(rows):
        text = _compiled(connection.dialect, table, tuple(some[0]), len(some), finish)
        result = connection.exec_driver_sql(text.sql, text.parameters(some))
        if result.returns_rows:
            found += result.all()
    return found


def _pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut into powers of two, so that there are few statements to compile and to keep."""
    start = 0
    while start < len(rows):
        count = min(_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
        yield rows[start : start + count]
        start += count


@dataclass(frozen=True, slots=True)
class _Text:
    sql: str
    names: tuple[str, ...]
    """The parameters' names, row by row; empty where the driver takes them by position."""
    values: Callable[[Row], tuple[Any, ...]]

    def parameters(self, rows: Sequence[Row]) -> Any:
        flat = tuple(value for row in rows for value in self.values(row))
        return dict(zip(self.names, flat, strict=True)) if self.names else flat


@lru_cache(maxsize=512)
def _compiled(dialect: Dialect, table: Table, columns: tuple[str, ...], count: int, finish: Finish) -> _Text:
    build: Any = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    rows = [{c: bindparam(f"{c}_{n}", type_=table.c[c].type) for c in columns} for n in range(count)]
    statement = finish(build(table).values(rows).inline())
    compiled = statement.compile(dialect=dialect)
    names = tuple(f"{c}_{n}" for n in range(count) for c in columns)
    if compiled.positiontup is not None:
        assert tuple(compiled.positiontup)[: len(names)] == names
    return _Text(
        sql=str(compiled),
        names=() if compiled.positional else names,
        values=itemgetter(*columns),
    )
