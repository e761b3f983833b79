"""The fixtures that start real servers: one PostgreSQL and one Inbox for a test process, a fresh rest for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.inbox import Inbox
from tests.servers.postgresql import PostgreSQL
from tests.servers.sink import MailSink


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A running PostgreSQL."""
    with PostgreSQL(in_memory=True) as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgresql.create_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of an empty database; the test runs once on each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/mail2sms.db"


@pytest.fixture
def mail_sink() -> Iterator[MailSink]:
    """An empty, quick inbox for everything sent to its port."""
    with MailSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def _inbox() -> Iterator[Inbox]:
    with Inbox() as inbox:
        yield inbox


@pytest.fixture
def inbox(_inbox: Inbox) -> Inbox:
    """Postfix before Dovecot, empty."""
    _inbox.clear()
    return _inbox
