"""Authentication-Results as servers write them, Microsoft's too, and what hides in them."""

from __future__ import annotations

import pytest

from mail2sms.intake import auth_results
from tests.cpu import least_s

POSTFIX = "mx.acme.example; dmarc=pass (p=none dis=none) header.from=acme.example"
GOOGLE = (
    "mx.google.com;       dkim=pass header.i=@acme.example header.s=s1 header.b=abC+d/12;       spf=pass (google.com: "
    "domain of a@acme.example designates 192.0.2.1 as permitted sender) smtp.mailfrom=a@acme.example;       dmarc=pass "
    "(p=REJECT sp=REJECT dis=NONE) header.from=acme.example"
)
MICROSOFT = (
    "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=acme.example; dkim=pass (signature was verified)"
    " header.d=acme.example;dmarc=pass action=none header.from=acme.example;compauth=pass reason=100"
)


@pytest.mark.parametrize(
    ("value", "server", "results"),
    [
        (POSTFIX, "mx.acme.example", ["dmarc=pass"]),
        (GOOGLE, "mx.google.com", ["dkim=pass", "spf=pass", "dmarc=pass"]),
        (MICROSOFT, "", ["spf=pass", "dkim=pass", "dmarc=pass", "compauth=pass"]),
        ("MX.acme.example 1; DMARC/1 = Pass", "mx.acme.example", ["dmarc=pass"]),
        ("mx.acme.example; none", "mx.acme.example", []),
        ("mx.acme.example;", "mx.acme.example", []),
        ("mx.acme.example", "mx.acme.example", []),
        ("mx (a (nested; one) ; dmarc=pass) ; spf=fail", "mx", ["spf=fail"]),
        (r"mx; spf=fail (a \) dmarc=pass ; x) reason=x", "mx", ["spf=fail"]),
        ('mx; spf=fail (an " odd quote) smtp.mailfrom=x; dkim=none', "mx", ["spf=fail", "dkim=none"]),
        ('mx; spf=fail smtp.mailfrom="a; dmarc=pass header.from=x"', "mx", ["spf=fail"]),
        ('"mx; dmarc=pass"; spf=fail', '"mx; dmarc=pass', ["spf=fail"]),
    ],
)
def test_what_a_field_says(value: str, server: str, results: list[str]) -> None:
    """Comments and quoted values are what their writer was given, and say nothing."""
    found = auth_results.read(value)
    assert found is not None
    assert (found.server, [f"{each.method}={each.result}" for each in found.results]) == (server, results)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "mx; dmarc",
        "mx; dmarc=",
        "mx; =pass",
        "mx; dmarc=pass header.from",
        "mx; dmarc=pass; ; spf=pass",
        "mx; dmarc==pass",
        'mx; "dmarc"=pass',
        'mx; dmarc="pass"',
        "mx; spf=fail (open; dmarc=pass",
        "mx; spf=fail ) dmarc=pass",
        'mx; spf=fail "open; dmarc=pass',
        "mx a b; dmarc=pass",
        "mx;" + "a=b;" * 1000,
    ],
)
def test_what_cannot_be_read_says_nothing(value: str) -> None:
    """Not even what stands before the place at fault."""
    assert auth_results.read(value) is None


def test_properties() -> None:
    """In lower case, every value of a name."""
    found = auth_results.read("mx; dmarc=pass header.from=Acme.Example HEADER.FROM=evil.example")
    assert found is not None
    assert found.results[0].all("header.from") == ("acme.example", "evil.example")


@pytest.mark.parametrize("piece", ["(", ")", '"', "=", ";", "a", "\\", " ", "a=b ", '"a" ', "(a) "])
def test_no_field_costs_more_than_its_length(piece: str) -> None:
    """Sixteen kilobytes of anything, which is all that a field may have."""
    value = "mx; " + piece * (16_000 // len(piece))
    assert least_s(lambda: auth_results.read(value), 0.05) < 0.05
