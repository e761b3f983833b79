"""Looking at a database from outside, beside the daemon that may be using it: nothing is written, nothing migrated."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, create_engine, exc, select

from mail2sms.errors import StoreUnavailable
from mail2sms.store import engine, migrate
from mail2sms.store.rows import clock_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """The migration it is at (None: empty, or not there yet), and its clock where that is another machine's."""

    schema: str | None
    clock_ms: int | None = None


def look(url: str) -> Looked:
    """Return how a database stands. Takes seconds at most. Raises StoreUnavailable, also when it may lose commits."""
    is_sqlite = engine.is_sqlite(url)
    if is_sqlite and not engine.sqlite_path(url).exists():
        return Looked(schema=None)
    looking = _read_only(url) if is_sqlite else engine.reader_engine(url)
    try:
        with looking.connect() as connection, connection.begin():
            return _look(connection, is_shared=not is_sqlite)
    except exc.DBAPIError as e:
        raise StoreUnavailable(engine.unreached(url, e)) from e
    finally:
        looking.dispose()


def _read_only(url: str) -> Engine:
    """Not the readers' engine: the last of its connections would write the log into the database.

    Without a log nobody has it open, and as `immutable` it is read without a new one being made.
    """
    path = engine.sqlite_path(url)
    more = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    return create_engine(f"sqlite:///file:{path}?mode=ro{more}&uri=true")


def _look(connection: Connection, *, is_shared: bool) -> Looked:
    if not is_shared:
        return Looked(schema=migrate.version(connection))
    engine.refuse_if_not_durable(connection)
    return Looked(
        schema=migrate.version(connection), clock_ms=connection.scalar(select(clock_ms(connection)))
    )
