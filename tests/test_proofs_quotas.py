"""Limits under load and kill -9: the proof in a small version, with its negative control."""

from __future__ import annotations

import pytest

from tests.proofs import quotas
from tests.servers.postgresql import PostgreSQL

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("kind", ["user", "parts"])
def test_no_limit_is_exceeded_by_one(kind: str) -> None:
    """On SQLite, with 20 clients and two kills."""
    figures = quotas.run(kind, kills=2, mails=14)
    assert figures.is_kept, [str(figures), *figures.wrong]


def test_no_limit_is_exceeded_by_two_nodes(postgresql: PostgreSQL) -> None:
    """On one PostgreSQL, each killed now and then."""
    figures = quotas.run("cost", postgresql.create_database(), nodes=2, kills=2, mails=10)
    assert figures.is_kept, [str(figures), *figures.wrong]


def test_counting_outside_the_transaction_is_found() -> None:
    """The negative control."""
    assert quotas.run("total", kills=0, mails=8, patch=quotas.APART).exceeded
