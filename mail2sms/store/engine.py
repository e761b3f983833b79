"""Opening the database: SQLite with one writer and durable commits, or PostgreSQL through psycopg.

Nothing here knows a table. A database that would not keep what it commits is refused, not used.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, func, make_url, select
from sqlalchemy.pool import NullPool, QueuePool

from mail2sms.errors import StoreUnavailable

READERS = 4
_PID = 20  # characters
_PORT = 5432
_CACHE_KB = 16_384
STILL_MS = 5_000  # a node that stands still in the middle of a write keeps others waiting for so long


_REFUSALS = {
    "password authentication failed": "the password of {user} is wrong",
    "no password supplied": "it asks for a password of {user}",
    "permission denied": "{user} has no right to do that there",
    "no pg_hba.conf entry": "its pg_hba.conf lets {user} in from nowhere here",
    'role "': "there is no user {user}",
    'database "': "there is no database {database}",
    "Connection refused": "nothing listens there",
    "could not translate host name": "its name is not known to the DNS",
    "failed to resolve host": "its name is not known to the DNS",
    "timeout expired": "it does not answer in time",
    "timeout": "it does not answer in time",
    "too many clients": "it has no connection left",
    "too many connections": "it has no connection left",
    "starting up": "it is starting up",
    "shutting down": "it is shutting down",
    "No such file": "no such socket",
}
"""What libpq and the server say, and what we do: their own sentences may repeat what stands in the URL."""


def unreached(url: str, error: exc.DBAPIError) -> str:
    """Say where a database is and why it cannot be used; never the password."""
    kind = type(error.orig).__name__
    if is_sqlite(url):
        return f"it cannot be read ({kind})"
    known, said = make_url(url), str(error.orig)
    host = known.host or known.query.get("host") or "the local socket"
    why = next((words for sign, words in _REFUSALS.items() if sign in said), f"it cannot be used ({kind})")
    what = why.format(user=known.username or "this system's user", database=known.database or "of that name")
    return f"PostgreSQL at {host}:{known.port or _PORT}: {what}"


def is_sqlite(url: str) -> bool:
    """Whether the database is a file of this machine, used by one process."""
    return url.startswith("sqlite:")


def sqlite_path(url: str) -> Path:
    """Return the file of a `sqlite:////absolute/path.db` URL."""
    return Path(make_url(url).database or "")


def lock(url: str) -> IO[str]:
    """Take the right to write to a SQLite file, for this process; keep the returned file open.

    Raises StoreUnavailable when another process has it.
    """
    path = sqlite_path(url)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = Path(f"{path}.lock").open("a+", encoding="ascii")  # noqa: SIM115  # held until the process ends
    file.seek(0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        holder = file.read(_PID).strip()
        file.close()
        named = f" (process {holder})" if holder.isdecimal() else ""
        way_out = "stop that one first, or use a database of its own here"
        raise StoreUnavailable(f"{path} is in use by another mail2sms{named}; {way_out}") from e
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def writer_engine(url: str) -> Engine:
    """Return the engine of the one writing connection."""
    if is_sqlite(url):
        path = sqlite_path(url)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        return _sqlite(url, readonly=False)
    return _postgresql(url, 2, f"-c idle_in_transaction_session_timeout={STILL_MS}")


def reader_engine(url: str) -> Engine:
    """Return the engine of the reading connections, and of the one that listens for the bell."""
    return _sqlite(url, readonly=True) if is_sqlite(url) else _postgresql(url, READERS + 1)


def _sqlite(url: str, *, readonly: bool) -> Engine:
    options: dict[str, Any] = {"poolclass": NullPool}
    if readonly:
        options = {"poolclass": QueuePool, "pool_size": READERS + 1}
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 10}, **options)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # else sqlite3 begins transactions on its own, and late
        run = connection.execute
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA foreign_keys=ON")
        if readonly:
            # SQLite up to 3.51.2 may corrupt the file when two connections reset the WAL: readers only read.
            run("PRAGMA wal_autocheckpoint=0")
            run("PRAGMA query_only=ON")
        else:
            run("PRAGMA synchronous=FULL")
            run("PRAGMA secure_delete=ON")
            run("PRAGMA temp_store=MEMORY")  # else every insert of many rows writes them to /var/tmp first
            run(f"PRAGMA cache_size=-{_CACHE_KB}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: str, size: int, more: str = "") -> Engine:
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            # A server that went silent is noticed within seconds, not when TCP gives up.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "application_name": "mail2sms",
            # The first over any default of role or database, which would make a 250 a lie.
            "options": f"-c synchronous_commit=on -c statement_timeout=15000 {more}",
        },
    )


def refuse_if_not_durable(connection: Connection) -> None:
    """Raise StoreUnavailable when this PostgreSQL does not flush what it commits."""
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        value = connection.execute(select(func.current_setting(name))).scalar_one()
        if value != "on":
            raise StoreUnavailable(f"PostgreSQL runs with {name} off: it may lose what it committed")
