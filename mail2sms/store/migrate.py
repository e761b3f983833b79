"""Bringing the schema up to date. Alembic is imported only when there is something to do."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, String, func, inspect, select, table, text
from sqlalchemy.sql import column

from mail2sms.errors import StoreUnavailable
from mail2sms.store.schema import HEAD

_ALONE = threading.Lock()  # Alembic keeps what it works on in its modules
_LOCK = 6_242_777  # any constant: one node migrates, the others wait
# An index over years of history takes its time, and so does a slow machine between two statements; who waits is a node
# that starts. Only one that stands still for good is given up.
_PATIENCE = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "60s"}


def version(connection: Connection) -> str | None:
    """Return the migration the database is at; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    query = select(column("version_num", String)).select_from(table("alembic_version"))
    return connection.scalar(query)


def upgrade(engine: Engine) -> None:
    """Make the schema HEAD. Raises StoreUnavailable when the database is newer than this program."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            for name, value in _PATIENCE.items():
                connection.execute(select(func.set_config(name, value, True)))  # for this transaction
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = version(connection)
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            raise StoreUnavailable(f"the database has schema {found}, newer than this program's {HEAD}")
        _run(connection)


def _run(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    with _ALONE:
        command.upgrade(config, "head")
