"""A STOP in the middle of a hundred messages: the proof in a small version, with its negative controls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proofs import optout
from tests.servers.postgresql import PostgreSQL


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """A server that keeps the times of its commits."""
    with PostgreSQL(settings=optout.SETTINGS) as started:
        yield started


def test_no_intent_follows_on_sqlite() -> None:
    """By the order in which it was written."""
    figures = optout.on_sqlite(2)
    assert figures.is_kept, str(figures)


@pytest.mark.servers
def test_no_intent_follows_on_postgresql(server: PostgreSQL) -> None:
    """By the times of the commits, with two nodes that send."""
    figures = optout.on_postgresql(server, 2, nodes=2)
    assert figures.is_kept, str(figures)


@pytest.mark.parametrize("broken", optout.CONTROLS)
def test_what_does_not_look_again_is_found_on_sqlite(broken: str) -> None:
    """The negative controls."""
    with optout.CONTROLS[broken]():
        assert optout.on_sqlite(1).after > 0


@pytest.mark.servers
def test_what_looks_only_when_queueing_is_found_on_postgresql(server: PostgreSQL) -> None:
    """The negative control there."""
    with optout.looking_only_when_queueing():
        assert optout.on_postgresql(server, 1, nodes=2).after > 0
