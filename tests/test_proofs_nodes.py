"""Two nodes on one PostgreSQL: the proof in a small version, with its negative controls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.proofs import nodes
from tests.proofs._nodes import Pair, strange
from tests.proofs._reserving import Work
from tests.servers.postgresql import PostgreSQL

pytestmark = pytest.mark.servers
_WORK = Work(url="", name="", count=150, limit=200, limit_of_all=200, pause_s=0.4)


def test_nothing_is_lost_or_sent_twice_whatever_stops_or_dies(postgresql: PostgreSQL) -> None:
    """A stop past the lease, a kill and a restart of the database, under six clients and a phone."""
    with Pair(postgresql.create_database(), nodes.APART, nodes.SHORT) as pair:
        figures = nodes.mixed(pair, postgresql, 1)
    assert figures.is_kept, [str(figures), *figures.details()]
    assert figures.found.replies > 0


def test_a_node_that_sends_what_it_lost_is_found(postgresql: PostgreSQL) -> None:
    """The negative control: intents without a look at fence and lease."""
    with Pair(postgresql.create_database(), nodes.BROKEN) as pair:
        twice, _ = nodes.unfenced(pair)
    assert twice


def test_work_goes_out_though_nobody_hears_the_bell(postgresql: PostgreSQL) -> None:
    """One node takes it and sends nothing, its NOTIFYs are lost; the other one looks by itself."""
    with Pair(postgresql.create_database(), {"broken": ["claims", "bell"]}, {}) as pair:
        assert len(nodes.delays(pair, 2).of) == 2


def test_two_processes_never_reserve_more_than_the_limit(postgresql: PostgreSQL) -> None:
    """Exactly as much, through a restart of the database."""
    counts = nodes.reserve(postgresql, _WORK, 1)
    assert counts.is_full, str(counts)
    assert counts.restarts == 1


def test_careless_counting_is_found(postgresql: PostgreSQL) -> None:
    """The negative control: who looks first and writes then."""
    assert not nodes.reserve(postgresql, replace(_WORK, is_broken=True)).is_kept


def test_a_mail_that_comes_again_is_explained_by_a_fault_near_its_first_coming_only() -> None:
    """The oracle of the relay's repeats, without servers."""
    came = [("<1@x>", 5.0), ("<2@x>", 6.0), ("<1@x>", 65.0)]
    assert not strange(came, [(4.0, 9.0)])
    assert len(strange(came, [(20.0, 30.0)])) == 1
