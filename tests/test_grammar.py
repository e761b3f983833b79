"""Template files: what makes one, and the example it prints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mail2sms import numbers
from mail2sms.intake.template import Template, TemplateInvalid, compile_template
from tests.fuzz_templates import CONTEXT, reread, shipped

STRICT, SUBJECT, SIMPLE = shipped("strict"), shipped("subject"), shipped("simple")
NUMBER = "06 39 98 12 34"


def test_the_shipped_templates() -> None:
    """Their kinds and markers."""
    assert [(each.kind, each.marker) for each in (STRICT, SUBJECT, SIMPLE)] == [
        ("fields", "##"),
        ("subject", "##"),
        ("simple", ""),
    ]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("", 0),
        ("To: {to}\n\nHello", 0),  # no {text}
        ("{text}\nEND\nmore", 3),
        ("From: {sender_id}\n\n{text}", 0),  # no {to}
        ("To: {to}?\n\n{text}", 1),
        ("To: {to}\n{text}", 2),
        ("To: {to}\n\nFrom: {sender_id}\n{text}", 3),
        ("To: {to}\nTel: {phone}\n\n{text}", 2),
        ("To: {to}\nTel: {to}\n\n{text}", 2),
        ("To: {to}\nFrom|TO: {sender_id}?\n\n{text}", 2),
        ("Réf: {to}\nref: {reference}\n\n{text}", 2),
        ("To|: {to}\n\n{text}", 1),
        ("Subject|To: {to}\n\n{text}", 1),
        ("1: {to}\n\n{text}", 1),
        ("Hello, you: {to}\n\n{text}", 1),
        ("To {to}\n\n{text}", 1),
        ("To: {to} please\n\n{text}", 1),
        ("To: {to}\n\n{text}\nEnd: now", 4),
        ("To: {to}\n\n{text}\n{text}", 4),
        ("To: {to}\n\n{text}\n\nEND", 5),
    ],
)
def test_a_template_that_cannot_be_used_says_where(source: str, line: int) -> None:
    """So that `check` can show it."""
    with pytest.raises(TemplateInvalid) as caught:
        compile_template(source, "own")
    assert caught.value.line == line


@pytest.mark.parametrize("template", [STRICT, SUBJECT], ids=["strict", "subject"])
@pytest.mark.parametrize("language", ["en", "fr-CH", "de", "it", "pt"])
@pytest.mark.parametrize("country", ["FR", "GB", "DE", "SE", "AU", "US", "CA", "IT"])
def test_the_example_is_a_good_mail(template: Template, country: str, language: str) -> None:
    """In every country, to a number that no phone has."""
    order = reread(template, template.example(country, language), replace(CONTEXT, country=country))
    assert numbers.is_fiction(order.to[0])
    assert order.text


def test_examples_speak_the_language() -> None:
    """The labels' order is English, French, German, Italian."""
    assert STRICT.example("FR", "it").splitlines() == [
        *[f"A: {NUMBER}", "Il: 14:30", "Scade: 2h", "Rif: A-1042", ""],
        *["Il Suo appuntamento è martedì alle 14:30.", "##"],
    ]
