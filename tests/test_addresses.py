"""One form for each email address, and none for what only looks like one."""

from __future__ import annotations

import pytest

from mail2sms.addresses import canonical, is_address, shape
from mail2sms.intake import headers


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


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("marie@acme.example", True),
        ("ups_1@machine_room.local", True),  # "_" is for RFC 5322, if not for DNS
        ("zoé@xn--exmple-cua.fr", True),
        ("zoé@exämple.fr", False),
        ("Zoé@xn--exmple-cua.fr", False),
        ("a@" + "d" * 253, True),
        ("a@" + "d" * 254, False),
        ("a" * 65 + "@acme.example", False),
        ("marie", False),
        ("marie@acme@example", False),
        ("marie@acme.example\r\nBcc: eve@evil.example", False),
        ('"a b"@acme.example', False),
        ("<marie@acme.example>", False),
    ],
)
def test_what_can_be_written_to(address: str, expected: bool) -> None:
    """In its one form, as it may stand in a header."""
    assert is_address(address) is expected


@pytest.mark.parametrize(
    "value", ["dispatch@acme.exa_ple", "Zoé <zoe@" + "ä" * 50 + ".fr>", "a@" + ".".join(["ää"] * 80)]
)
def test_who_is_taken_for_an_author_can_be_answered(value: str) -> None:
    """Or is nobody: refused while the sender's own server still has the mail."""
    (author,), _ = headers.authors([value.encode().decode("latin-1")])
    assert author == "" or is_address(author)


def test_no_other_character_becomes_ascii() -> None:
    """Whatever Unicode has: nobody passes for a user by a letter that is not theirs."""
    forms = (canonical(f"nic{chr(code)}@acme.example") for code in range(0x80, 0x20000))
    assert not any(form and form.isascii() for form in forms)


def test_a_shape_has_as_many_characters() -> None:
    """For patterns that know ASCII only."""
    assert shape("zoé@exämple.fr") == "zox@exxmple.fr"
