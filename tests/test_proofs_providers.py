"""The proofs of HTTP providers and of their webhooks, in small versions, each with its negative control."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proofs import _webhooks, providers, signatures
from tests.proofs._lanes import SHORT_WAITS


def test_bad_days_of_a_provider_lose_nothing_and_send_nothing_twice() -> None:
    """The product's own way with HTTP providers; a wait that is asked for is kept."""
    for found in providers.run(10, SHORT_WAITS):
        assert found.is_kept, (str(found), found.lost, found.twice, found.wrong, found.early)


def test_a_carrier_that_takes_an_error_page_for_a_no_is_found() -> None:
    """The negative control."""
    assert any(found.twice for found in providers.control(40, SHORT_WAITS))


def test_webhooks_may_say_anything() -> None:
    """None raises but what it may, and none costs the event loop 50 ms."""
    found = providers.disturb(1500)
    assert found.is_kept, (str(found), found.wrong)


@pytest.mark.parametrize("type_name", _webhooks.signed())
def test_mutated_requests_tell_nothing(type_name: str) -> None:
    """Body, query, headers, path or time are not those that were signed."""
    found = _webhooks.forge(type_name, 200, seed=2)
    assert found.is_kept, found.wrong
    assert found.forged == []


def test_a_check_of_its_length_alone_is_found() -> None:
    """The negative control."""
    with signatures.careless():
        assert _webhooks.forge("twilio", 400, seed=1).forged


@pytest.mark.parametrize("type_name", ["twilio", "infobip"])
async def test_a_replay_has_no_second_effect(tmp_path: Path, type_name: str) -> None:
    """With a signature that has no time, and without one."""
    shown, wanted = await signatures.replay(f"sqlite:///{tmp_path}/x.db", type_name, 3)
    assert shown == wanted > 0
