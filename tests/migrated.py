"""Each process of the tests migrates SQLite once: what that made is then made again, without Alembic.

Of a new database half the CPU is Alembic's, and a thousand tests begin with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection

from mail2sms.store import migrate
from mail2sms.store.schema import HEAD

_MADE = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"


_runs: list[Callable[[Connection], None]] = []


@pytest.fixture
def by_alembic(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that is about the migration itself."""
    monkeypatch.setattr(migrate, "_run", _runs[0])


@pytest.fixture(scope="session", autouse=True)
def _migrated() -> Iterator[None]:
    """Only what was empty: an older schema is migrated as ever."""
    run, made = migrate._run, list[str]()

    def again(connection: Connection) -> None:
        if connection.dialect.name != "sqlite" or migrate.version(connection) is not None:
            return run(connection)
        if made:
            for statement in made:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))
            return None
        run(connection)
        made.extend(row.sql for row in connection.exec_driver_sql(_MADE))
        return None

    _runs.append(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "_run", again)
        yield
