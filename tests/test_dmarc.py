"""Which domains belong together, and what DMARC records ask."""

from __future__ import annotations

import pytest

from mail2sms.intake import dmarc
from mail2sms.intake.dmarc import Policy


@pytest.mark.parametrize(
    ("domain", "author", "relaxed", "strict"),
    [
        ("acme.example", "acme.example", True, True),
        ("ACME.example", "acme.example", True, True),
        ("mail.acme.example", "acme.example", True, False),
        ("acme.example", "mail.acme.example", True, False),
        ("a.acme.co.uk", "b.acme.co.uk", True, False),
        ("evil.co.uk", "acme.co.uk", False, False),
        ("co.uk", "acme.co.uk", False, False),
        ("evilacme.example", "acme.example", False, False),
        ("acme.example.evil.example", "acme.example", False, False),
        ("example", "acme.example", False, False),
        ("evil.github.io", "acme.github.io", False, False),
        ("", "acme.example", False, False),
    ],
)
def test_alignment(domain: str, author: str, relaxed: bool, strict: bool) -> None:
    """RFC 7489 section 3.1: of one organisation, or the same."""
    assert dmarc.is_aligned(domain, author) == relaxed
    assert dmarc.is_aligned(domain, author, is_strict=True) == strict


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["v=DMARC1; p=none"], Policy()),
        (["v=DMARC1; p=reject; adkim=s"], Policy(is_strict_dkim=True)),
        (["v=DMARC1;p=quarantine;aspf=s;adkim=r;rua=mailto:a@b.example"], Policy(is_strict_spf=True)),
        (["v=spf1 -all", "v=DMARC1; p=none"], Policy()),
        ([], None),
        (["v=DMARC1"], None),
        (["v=DMARC1; p=whatever"], None),
        (["v=DMARC2; p=none"], None),
        (["p=none; v=DMARC1"], None),
        (["v=DMARC1; p=none; p=none"], None),
        (["v=DMARC1; p=none", "v=DMARC1; p=none"], None),
    ],
)
def test_records(records: list[str], expected: Policy | None) -> None:
    """RFC 7489 section 6.3: exactly one, whose version comes first and that has a policy."""
    assert dmarc.policy(records) == expected
