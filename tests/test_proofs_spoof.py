"""The proof that nobody sends as somebody else: all of its cases, and its controls."""

from __future__ import annotations

import pytest

from tests.proofs import spoof


def test_no_spoof_is_sent_and_every_genuine_mail_is() -> None:
    """At a real listener, with the reply that each must get."""
    seen = spoof.run()
    assert [str(each) for each in seen if not each.is_right] == []
    assert sum(each.case.code != 250 for each in seen) >= 100


@pytest.mark.parametrize("name", spoof.BREAKS)
def test_a_broken_verification_is_found(name: str) -> None:
    """The negative control: one piece is taken out, and some spoof is sent."""
    assert spoof.broken(name)
