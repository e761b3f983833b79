"""When a mail was written, in spite of clocks that are wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from mail2sms.intake.clocks import RULES, written_at
from tests.fakes import NOW

_S, _H = 1000, 3_600_000


def date(ago: int) -> str:
    """Return so long ago as the Date header has it."""
    return format_datetime(datetime.fromtimestamp((NOW - ago) / 1000, UTC))


def relayed(ago: int) -> str:
    """Return a Received line."""
    return f"from ups-1 by mx.acme.example with SMTP id 1; {date(ago)}"


@pytest.mark.parametrize(
    ("said", "received", "ago", "rule"),
    [
        (date(0), [], 0, "date"),
        (date(3 * _H), [], 3 * _H, "date"),
        (date(24 * _H), [], 24 * _H, "date"),
        (date(24 * _H + _S), [], 0, "old"),
        (date(-300 * _S), [], 0, "date"),  # within what clocks differ by
        (date(-301 * _S), [], 0, "future"),
        (date(-900 * 24 * _H), [], 0, "future"),
        ("", [], 0, "no_date"),
        ("yesterday", [], 0, "no_date"),
        ("Fri, 99 Foo 2026 25:61:00 +0000", [], 0, "no_date"),
        ("Thu, 01 Jan 1970 00:12:34 GMT", [], 0, "reset"),
        ("Sat, 01 Jan 2000 00:00:00 +0100", [], 0, "reset"),
        ("", [relayed(0), relayed(5 * _H)], 5 * _H, "received"),  # the first server's line is the last
        (date(-900 * 24 * _H), [relayed(2 * _H)], 2 * _H, "received"),
        ("Thu, 01 Jan 1970 00:12:34 GMT", [relayed(2 * _H)], 2 * _H, "received"),
        (date(50 * _H), [relayed(49 * _H)], 50 * _H, "date"),  # it lay there for two days: its Date was right
        (date(90 * 24 * _H), [relayed(_H)], _H, "received"),
        (date(50 * _H), [relayed(-400 * _S)], 0, "old"),  # that server's clock is wrong too
        ("", ["from nobody"], 0, "no_date"),
    ],
)
def test_by_which_clock(said: str, received: list[str], ago: int, rule: str) -> None:
    """A Date counts as far as nothing speaks against it; no mail is older than it can be."""
    found = written_at(said, received, NOW, "UTC")
    assert (NOW - found.at, found.rule) == (ago, rule)
    assert found.rule in RULES


@pytest.mark.parametrize(
    ("said", "rule"),
    [("Thu, 28 May 2026 22:00:00", "date"), ("Thu, 28 May 2026 22:00:00 +0200", "date")],
)
def test_a_date_without_a_zone_is_ours(said: str, rule: str) -> None:
    """NOW is 22:26:40 in Paris."""
    found = written_at(said, [], NOW, "Europe/Paris")
    assert (NOW - found.at, found.rule) == (1_600_000, rule)


def test_the_longest_date_costs_nothing() -> None:
    """It is a stranger's."""
    assert written_at("(" * 100_000, ["(" * 100_000], NOW, "UTC").rule == "no_date"
