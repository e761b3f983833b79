"""The proof about the system clock in small versions, its controls, and who may ask for the time at all."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests import test_house_rules as house
from tests.proofs import clock

READINGS = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "time.ctime",
    "time.strftime",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
THEIR_OWN = {
    "clock": "the one",
    "carriers.simulated": "stands for a carrier, which has a clock of its own",
    "web.inbox": "stands for a mail server, in the demo",
    "relay.loop": "the time in a signature, which the other side compares with its own",
    "config.environment": "days that a certificate is still valid for",
    "certificates": "days that the one in force is still valid for",
    "intake.mailauth": "signatures expire by everybody's clock",
    "log": "when a line is written, by which nothing is decided",
    "cli.moments": "what a person types is relative to that person's clock",
}


def _readings(module: house.Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in READINGS:
            yield module.at(node, f"{ast.unparse(node)}: the time comes from clock.now_ms")
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (
                module.at(node, f"imports {alias.name}: the proof could not move its clock")
                for alias in node.names
                if f"time.{alias.name}" in READINGS
            )


def test_the_time_comes_from_one_place() -> None:
    """Whoever decides anything by the time asks `clock`; waiting is by the monotonic clock, which nobody can set."""
    readings = {module.name: list(_readings(module)) for module in house.modules()}
    house.check(one for name, found in readings.items() if name not in THEIR_OWN for one in found)
    assert not [name for name in THEIR_OWN if not readings[name]], (
        "reads no clock any more: take it off the table"
    )


def test_jumps_of_the_clock_change_nothing(database_url: str) -> None:
    """An hour back and a day forth, and the right time again, under load."""
    figures = clock.run(database_url, jumps=(-clock.HOUR, clock.DAY, 0), patience_s=0.2)
    assert figures.is_kept, f"{figures}\n{figures.wrong[:5]}"
    assert (figures.jumps, figures.held) == (3, 4)


@pytest.mark.servers
def test_two_clocks_an_hour_apart_share_a_database(postgresql_url: str) -> None:
    """Nothing is held or given up for the difference, nor when the one that is ahead is gone."""
    figures = clock.run_pair(postgresql_url, load_s=1.0)
    assert figures.is_kept, f"{figures}\n{figures.wrong[:5]}"


@pytest.mark.parametrize("name", clock.CONTROLS)
def test_what_follows_the_wall_clock_is_found(name: str) -> None:
    """The negative controls. A busy machine may have nothing under way at the moment of a jump: there are three."""
    assert any(clock.run_control(name) for _ in range(3))
