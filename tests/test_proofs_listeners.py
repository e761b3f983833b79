"""The proof `listeners` in a small version, with its negative controls: what is taken and refused, never how fast."""

from __future__ import annotations

import pytest

from tests.proofs import _broken, _doors, listeners

pytestmark = pytest.mark.servers


def test_the_doors_take_no_relay_no_hidden_mail_and_nothing_from_before_tls() -> None:
    """Every form at every door of a real daemon."""
    assert len(set(_doors.RELAYS)) >= 25
    with listeners.doors() as place:
        for attempt in (listeners.relays, listeners.smuggled, listeners.injected):
            assert attempt(place).taken == []


@pytest.mark.parametrize(("name", "patch", "attempt"), [(name, p, a) for name, _, p, a in listeners.BROKEN])
def test_a_daemon_that_breaks_the_promise_is_found(name: str, patch: str, attempt: object) -> None:
    """The negative controls."""
    with listeners.doors(patch) as place:
        assert attempt(place).taken, name  # type: ignore[operator]


def test_honest_mail_passes_between_slow_connections() -> None:
    """All of it, and the slow ones keep their place."""
    found = listeners.slow(0.05)
    assert (found.held, dict(found.codes)) == (50, {"250": 10})


def test_more_mail_at_once_than_there_is_room_for_may_come_again() -> None:
    """Some is taken, the rest hears 452; without a budget all is taken."""
    found = listeners.full(0.05)
    assert found.codes.keys() == {"250", "452"}
    assert found.codes["250"] <= 64 * 0.05
    assert listeners.full(0.03, _broken.NO_BUDGET).codes.keys() == {"250"}


def test_strangers_beyond_the_limits_are_told_so() -> None:
    """Three quarters of the connections are theirs, the rest hears 421 first; without limits none does."""
    assert dict(listeners.excess().codes) == {"220": 150, "421": 150}
    assert "421" not in listeners.excess(_broken.NO_LIMIT).codes
