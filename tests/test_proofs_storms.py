"""Storms of alarms under load and kill -9: the proof in a small version, with its negative control."""

from __future__ import annotations

import pytest

from tests.proofs import storms
from tests.servers.postgresql import PostgreSQL

pytestmark = pytest.mark.servers


def test_every_alarm_is_counted_in_one_sms() -> None:
    """On SQLite, with 20 clients and a kill."""
    figures = storms.run(kills=1, mails=7)
    assert figures.is_kept, [str(figures), *figures.wrong]


def test_two_nodes_count_as_one(postgresql: PostgreSQL) -> None:
    """On one PostgreSQL, one of them killed."""
    figures = storms.run(postgresql.create_database(), nodes=2, kills=1, mails=6)
    assert figures.is_kept, [str(figures), *figures.wrong]


def test_a_mail_that_is_counted_twice_is_found() -> None:
    """The negative control."""
    assert storms.run(kills=0, mails=5, patch=storms.NEVER_KNOWN).wrong
