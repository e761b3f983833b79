"""When a carrier counts as down."""

from __future__ import annotations

import pytest

from mail2sms.breaker import Breaker, after
from mail2sms.errors import Refused, Unavailable, Uncertain, Unsuited
from mail2sms.lifecycle import Outcome
from mail2sms.model import Taken

NOW = 1_778_571_660_000
DOWN = Unavailable("connect", "connection refused")
LOST = Uncertain("timeout", "no answer")
BUSY = Unavailable("429", "too many requests", retry_after_s=2, same_carrier=True)
UNSUITED = Unsuited("21408", "not to this country")
NO = Refused("21211", "not a number")
TAKEN = Taken(carrier_message_id="x")


def run(*outcomes: Outcome, breaker: Breaker | None = None, now: int = NOW) -> Breaker:
    """Return how a carrier does after these."""
    found = breaker or Breaker()
    for outcome in outcomes:
        found = after(found, outcome, now, 1.0)
    return found


@pytest.mark.parametrize(
    ("outcomes", "is_down"),
    [
        ([DOWN] * 4, False),
        ([DOWN] * 5, True),
        ([LOST] * 5, True),
        ([DOWN, LOST, DOWN, LOST, DOWN], True),
        ([DOWN] * 4 + [TAKEN] + [DOWN] * 4, False),
        ([DOWN] * 4 + [NO] + [DOWN] * 4, False),  # it answered
        ([BUSY] * 50, False),
        ([DOWN] * 4 + [BUSY] * 9, False),
        ([DOWN] * 4 + [BUSY] * 9 + [DOWN], True),
        ([DOWN] * 9 + [TAKEN], False),
        ([DOWN] * 9 + [BUSY], True),
        ([UNSUITED] * 50, False),  # of one message after the other
        ([DOWN] * 4 + [UNSUITED, DOWN], True),
    ],
)
def test_it_is_down_after_five_failures_in_a_row(outcomes: list[Outcome], is_down: bool) -> None:
    """Of its own: a message that it refuses, and being asked to wait, are answers."""
    assert run(*outcomes).is_down is is_down


def test_it_says_since_when_until_when_and_why() -> None:
    """For the operator."""
    found = run(*[DOWN] * 5)
    assert (found.down_since, found.until, found.why) == (NOW, NOW + 5000, "connect connection refused")
    assert (found.may_try(NOW + 4999), found.may_try(NOW + 5000)) == (False, True)


def test_what_was_under_way_makes_no_pause_longer() -> None:
    """Its window was full when it went down."""
    found = run(*[DOWN] * 5)
    assert run(*[DOWN] * 10, breaker=found, now=NOW + 100) == found


def test_pauses_double_until_they_are_long() -> None:
    """Each time that the one message which tries it fails."""
    found, now, pauses = run(*[DOWN] * 5), NOW, []
    for _ in range(9):
        pauses.append(found.until - now)
        now = found.until
        found = run(DOWN, breaker=found, now=now)
    assert pauses == [5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]
    assert found.down_since == NOW
    assert run(TAKEN, breaker=found, now=now) == Breaker()


def test_chance_spreads_the_pauses() -> None:
    """Two nodes do not knock at the same moment."""
    found = Breaker(failures=4)
    assert after(found, DOWN, NOW, 0.0).until == NOW + 2500
