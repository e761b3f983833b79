"""Each proof in a small version; `./run prove NAME` runs it at full size."""

from __future__ import annotations

import pytest

from tests.proofs import crash, kill, latency
from tests.servers.daemon import Daemon


def test_kill_minus_nine_loses_nothing_and_sends_nothing_twice(database_url: str) -> None:
    """Three kills under six clients, on each database."""
    with Daemon(database=database_url) as daemon:
        figures = kill.run(daemon, 3)
    assert figures.acknowledged > 0
    assert (figures.lost, figures.twice) == ([], []), str(figures)


def test_a_mail_that_is_on_no_phone_is_found_by_the_comparison() -> None:
    """The negative control: a promise that nobody kept is counted as lost, a text shown twice as twice."""
    with Daemon() as daemon:
        figures = kill.Figures()
        kill.compare(daemon, {"never sent": "m-0000000000000000"}, figures)
        assert figures.lost == ["m-0000000000000000 404"]
        kill.run(daemon, 0)
        file = daemon.folder / "phones.jsonl"
        shown = [line for line in file.read_text().splitlines(keepends=True) if '"shown"' in line]
        file.write_text(file.read_text() + shown[0])
        figures = kill.Figures()
        kill.compare(daemon, {}, figures)
        assert len(figures.twice) == 1


@pytest.mark.parametrize("seconds", [2])
def test_a_steady_stream_arrives_whole(seconds: int) -> None:
    """The run of the latency proof, without its clock."""
    with Daemon() as daemon:
        assert latency.run(daemon, seconds)["mails"] == latency.RATE * seconds


@pytest.mark.parametrize(
    "point", ["after-commit", "after-intent", "before-answer", "after-mo", "after-email"]
)
def test_after_a_crash_at_a_named_point_all_is_as_it_must_be(point: str) -> None:
    """Those where something has just been promised, sent or heard; the proof has them all."""
    assert crash.observe(point) == crash.POINTS[point]
