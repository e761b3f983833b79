"""A carrier in trouble keeps nobody else's messages: the proof in a small version, which counts and times nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mail2sms.dispatch import Dispatch
from tests.proofs import roads

_SECONDS = 1.5


@pytest.fixture(autouse=True)
def _for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hangs is not given up before the end."""
    monkeypatch.setattr(roads, "_TIMEOUT_MS", 120_000)


def missing(
    database: str, way: roads.Way, kind: type[Dispatch] = Dispatch, patience_s: float = 30.0
) -> tuple[int, int]:
    """Return how many messages of the healthy carrier had not come in the end, and how many there were."""
    with roads.names():
        waits: Sequence[float] = asyncio.run(roads.measure(database, way, _SECONDS, kind, patience_s))
    return sum(wait == float("inf") for wait in waits), len(waits)


@pytest.mark.parametrize("way", roads.TROUBLE, ids=lambda way: way.name)
def test_all_of_a_healthy_carrier_come(database_url: str, way: roads.Way) -> None:
    """However the other is: more wait for that one than it has places."""
    assert missing(database_url, way) == (0, int(_SECONDS * roads.RATE))


def test_through_one_lane_they_would_not(database_url: str) -> None:
    """The negative control: the places are those of the one that hangs."""
    found, count = missing(database_url, roads.TROUBLE[0], roads.OneLane, 0.5)
    assert found > count / 2


def test_through_one_lane_all_come_beside_a_carrier_that_is_well(database_url: str) -> None:
    """What keeps them in the control is the one that hangs, and nothing else."""
    assert missing(database_url, roads.WELL, roads.OneLane)[0] == 0


def test_a_p99_that_is_too_late_is_found() -> None:
    """By the median of the ratios, each of one moment."""
    same = [(10.0, 10.0), (300.0, 310.0), (20.0, 21.0)]
    figures = roads.Figures({way.name: same for way in (roads.ALONE, *roads.TROUBLE)})
    assert figures.is_kept
    figures.p99_ms["slow"] = [(12.5, 10.0), (300.0, 310.0), (30.0, 21.0)]
    assert not figures.is_kept
