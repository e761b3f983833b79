"""The proof about long queues and long histories in a small version; the plans are in `store/test_plans`."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import NOW
from tests.proofs import backlog
from tests.proofs._history import History


def test_a_queue_is_sent_whole_and_in_order(database_url: str) -> None:
    """Two thousand wait when the daemon starts."""
    found = backlog.drain(2_000, database_url)
    assert found.is_whole, str(found)


def test_a_queue_in_another_order_is_found() -> None:
    """The negative control: the last shall be the first."""
    reverse = "UPDATE message SET due_at = (SELECT min(due_at) + max(due_at) FROM message) - due_at"
    found = backlog.drain(200, broken=reverse)
    assert found.shown == 200
    assert not found.is_whole


@pytest.mark.parametrize("rounds", [2])
def test_the_comparison_runs(rounds: int, database_url: str) -> None:
    """Without its clock."""
    history = History(count=200, until=NOW)
    history.fill(database_url)
    side = backlog.Side(database_url, history)
    asyncio.run(backlog.compare([side], rounds))
    assert {"put", "claim", "forget", "one message", "counts"} <= side.times.keys()
