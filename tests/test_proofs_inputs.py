"""The proof `inputs` in a small version, with its negative controls. Only what is far off the promise fails."""

from __future__ import annotations

import pytest

from mail2sms.intake.html import to_text
from mail2sms.intake.smtp_syntax import CommandRefused, read_path
from tests.proofs import inputs

_FAR_OFF = 0.15  # seconds of the loop: three times the promise, for a machine that does other things too


def _check(figures: inputs.Figures) -> None:
    assert figures.uncaught == []
    assert figures.slow == []
    assert max(each[0] for each in figures.slowest) < _FAR_OFF, figures.blocking


@pytest.mark.parametrize("name", inputs.KINDS)
def test_generated_inputs_are_read_or_refused_soon(name: str) -> None:
    """Whatever they are."""
    _check(inputs.run_chunk(name, 0, 150 if name == "mails" else 1000, seed=7))


@pytest.mark.parametrize("name", inputs.KINDS)
def test_inputs_made_to_cost_much_cost_little(name: str) -> None:
    """All that ever cost much, here and elsewhere (gh-136063, gh-87075)."""
    _check(inputs.run_fixed(name, ways=1))


def test_the_real_sandbox_costs_the_loop_little() -> None:
    """Its pipes carry what is as long as a mail may be."""
    _check(inputs.run_beside())


def test_a_reader_that_raises_is_found() -> None:
    """The negative control."""
    with inputs.raising("Bonjour"):
        assert inputs.run_chunk("templates", 0, 300, seed=1).uncaught


def test_a_reader_that_takes_60_ms_is_found() -> None:
    """The negative control."""
    with inputs.burning(0.06):
        assert inputs.run_chunk("texts", 0, 3, seed=1).blocking


def test_an_input_is_the_same_each_time() -> None:
    """So that one that was found can be tried again: by kind, number and seed."""
    for name in inputs.KINDS:
        assert inputs.generate(name, 12, 3) == inputs.generate(name, 12, 3)


@pytest.mark.parametrize("odd", "\x01\x0b\x1b\ufffe\uffff")
@pytest.mark.parametrize("opened", ["<blockquote>", "<div class=gmail_signature>", "<div id=divRplyFwdMsg>"])
def test_html_may_hold_characters_that_xml_has_not(opened: str, odd: str) -> None:
    """libxml2 reads them, lxml refuses to write them; where we mark a quote, its text is written again."""
    text = to_text(f"<p>Bonjour</p>{opened}a{odd}b</div>")
    assert text.startswith("Bonjour\n")
    assert text.endswith("a b")


def test_half_a_character_is_no_address() -> None:
    """A lone surrogate can't be written as UTF-8, so its length can't be asked for first."""
    with pytest.raises(CommandRefused):
        read_path("FROM:<a\ud800@acme.example>", "FROM:")
