"""One form for each email address, and none for what only looks like one."""

from __future__ import annotations

import pytest

from mail2sms.addresses import canonical, shape


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("Marie@ACME.example", "marie@acme.example"),
        ("ups", "ups"),
        ("", ""),
        ("zoé@exämple.fr", "zoé@xn--exmple-cua.fr"),
        ("ZOÉ@EXÄMPLE.FR", "zoé@xn--exmple-cua.fr"),
        ("zoe\u0301@exa\u0308mple.fr", "zoé@xn--exmple-cua.fr"),
        ("zoé@xn--exmple-cua.fr", "zoé@xn--exmple-cua.fr"),
        ("zoe@exämple.fr", "zoe@xn--exmple-cua.fr"),
        (
            "a@straße.example",
            "a@xn--strae-oqa.example",
        ),  # IDNA 2003 made it strasse.example, which is another's
        ("*@exämple.fr", "*@xn--exmple-cua.fr"),
        ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
        ("пример@acme.example", "пример@acme.example"),
        # looks like another, or is no letter
        ("nic\u212a@acme.example", ""),  # KELVIN SIGN
        ("a@acme.e\u212aample", ""),
        ("a\uff4d@acme.example", ""),  # FULLWIDTH M
        ("a\u017f@acme.example", ""),  # LONG S
        ("mari\u0435@acme.example", ""),  # a Cyrillic letter
        ("marie@\u0430cme.example", ""),
        ("zoé\u0435@acme.example", ""),
        ("a@acme\u3002example", ""),  # a full stop to IDNA 2003
        ("zo\u200bé@acme.example", ""),
        ("zoé\u00a0@acme.example", ""),
        ("a@\u202eacme.example", ""),
        ("é\ud800@acme.example", ""),
        ("a@-é.example", ""),
        ("a@" + "é" * 64 + ".example", ""),
    ],
)
def test_the_one_form(address: str, form: str) -> None:
    """Lower case, composed, the domain as DNS has it; and it is its own form."""
    assert canonical(address) == form
    assert canonical(form) == form


def test_no_other_character_becomes_ascii() -> None:
    """Whatever Unicode has: nobody passes for a user by a letter that is not theirs."""
    forms = (canonical(f"nic{chr(code)}@acme.example") for code in range(0x80, 0x20000))
    assert not any(form and form.isascii() for form in forms)


def test_a_shape_has_as_many_characters() -> None:
    """For patterns that know ASCII only."""
    assert shape("zoé@exämple.fr") == "zox@exxmple.fr"
