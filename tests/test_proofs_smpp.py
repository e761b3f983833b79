"""The proof about SMPP in a small version."""

from __future__ import annotations

from tests.proofs import _smpp_cuts, _smpp_storm, smpp


def test_an_smsc_with_bad_days_loses_nothing_and_gets_nothing_twice() -> None:
    """Forty messages of one to three parts, and ten texts from phones."""
    found = _smpp_storm.run(40)
    assert found.is_kept, str(found)
    assert found.statuses["delivered"]


def test_a_lost_answer_that_is_taken_for_a_no_is_found() -> None:
    """The negative control: parts come twice."""
    with smpp.careless():
        assert _smpp_cuts.run(20).wrong


def test_binds_come_back() -> None:
    """Six sessions that end in four ways."""
    assert max(_smpp_storm.rebind(6)) < 5.0


def test_a_link_that_breaks_after_any_byte() -> None:
    """In doubt exactly when we had written and no whole answer came."""
    found = _smpp_cuts.run(4)
    assert found.is_kept, str(found.wrong)


def test_wrong_octets_do_no_harm() -> None:
    """Two thousand PDUs."""
    found = _smpp_cuts.mutations(2_000)
    assert found.is_kept, str(found)


def test_a_reader_that_trusts_lengths_is_found() -> None:
    """The negative control."""
    with smpp.trusting():
        assert _smpp_cuts.mutations(300).crashes
