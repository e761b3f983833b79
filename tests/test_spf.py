"""What an SPF record says of a client: one row a term. pyspf 2.0.14 says the same of random records."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mail2sms.dns import Dns, DnsUnanswered
from mail2sms.intake import spf
from tests.servers import NameServer


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server without names."""
    with NameServer({}) as server:
        yield server


LOOP = {"loop.example": {"TXT": ['"v=spf1 include:loop.example -all"']}}


@pytest.mark.parametrize(
    ("record", "ip", "expected"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.9", "pass"),
        ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.3.9", "fail"),
        ("v=spf1 ip6:2001:db8::/32 ~all", "2001:db8::1", "pass"),
        ("v=spf1 ip6:2001:db8::/32 ~all", "192.0.2.9", "softfail"),
        ("v=spf1 a -all", "192.0.2.1", "pass"),
        ("v=spf1 a/24 -all", "192.0.2.99", "pass"),
        ("v=spf1 a:other.example/24//64 -all", "198.51.100.9", "pass"),
        ("v=spf1 mx -all", "203.0.113.5", "pass"),
        ("v=spf1 include:other.example ?all", "198.51.100.1", "pass"),
        ("v=spf1 include:other.example ?all", "198.51.100.2", "neutral"),
        ("v=spf1 redirect=other.example", "198.51.100.2", "softfail"),
        ("v=spf1 exists:%{i}.example ptr -all", "192.0.2.1", "fail"),
        ("v=spf1 exp=why.example", "192.0.2.1", "neutral"),
        ("v=spf1 -ip4:192.0.2.1 +all", "192.0.2.1", "fail"),
        ("v=spf10 +all", "192.0.2.1", "none"),
        ("V=SPF1 A:OTHER.example/24 -ALL", "198.51.100.9", "pass"),
        ("v=spf1 REDIRECT=other.example", "198.51.100.1", "pass"),
        ("v=spf1 a//64 -all", "192.0.2.1", "pass"),
        ("v=spf1 a -all", "::ffff:192.0.2.1", "pass"),
        ("v=spf1 foo=bar -all", "192.0.2.1", "fail"),
        ("v=spf1 exists:%{i}._spf.%{d} -all", "192.0.2.1", "pass"),
        ("v=spf1 exists:%{ir}.%{v}._spf.%{d} -all", "192.0.2.1", "pass"),
        ("v=spf1 exists:%{l}.%{o}._spf.%{d} -all", "192.0.2.9", "pass"),
        ("v=spf1 exists:%{l1r-}._spf.%{d2} -all", "192.0.2.9", "pass"),
        ("v=spf1 exists:%{h}._spf.%{d} -all", "192.0.2.9", "pass"),
        ("v=spf1 exists:%{S}._spf.%{d} -all", "192.0.2.9", "pass"),
        ("v=spf1 exists:%{p}.no.example -all", "192.0.2.9", "fail"),
        ("v=spf1 exists:%%%_%-.no.example -all", "192.0.2.9", "fail"),
        ("v=spf1 include:loop.example -all", "192.0.2.1", "more than 10 lookups"),
        ("v=spf1 include:no.example -all", "192.0.2.1", "has no SPF record"),
        ("v=spf1 redirect=no.example", "192.0.2.1", "has no SPF record"),
        ("v=spf1 redirect=a.example redirect=b.example", "192.0.2.1", "more than one redirect"),
        ("v=spf1 a:n1.example a:n2.example a:n3.example +all", "192.0.2.9", "names that there are not"),
        ("v=spf1 mx:many.example +all", "192.0.2.9", "more than 10 mail exchangers"),
        ("v=spf1 +all apple", "192.0.2.1", "unknown term"),
        ("v=spf1 +all a:", "192.0.2.1", "unknown term"),
        ("v=spf1 +all all/24", "192.0.2.1", "unknown term"),
        ("v=spf1 +all include/24", "192.0.2.1", "unknown term"),
        ("v=spf1 +all +redirect=other.example", "192.0.2.1", "unknown term"),
        ("v=spf1 +all a/33", "192.0.2.1", "is no host"),
        ("v=spf1 +all ip4:2001:db8::1", "192.0.2.1", "is no network"),
        ("v=spf1 +all exists:%{q}", "192.0.2.1", "no macro"),
        ("v=spf1 +all exists:%x", "192.0.2.1", "no macro"),
        ("v=spf1 +all exists:%{d0}", "192.0.2.1", "no macro"),
        ("v=spf1 ip4:everywhere -all", "192.0.2.1", "is no network"),
    ],
)
async def test_spf(server: NameServer, record: str, ip: str, expected: str) -> None:
    """RFC 7208 sections 4.6 and 5, one row a term; what can't be used is said."""
    server.zone = {
        "d.example": {"TXT": [f'"{record}"'], "A": ["192.0.2.1"], "MX": ["10 mx.d.example."]},
        "mx.d.example": {"A": ["203.0.113.5"]},
        "192.0.2.1._spf.d.example": {"A": ["127.0.0.2"]},
        "1.2.0.192.in-addr._spf.d.example": {"A": ["127.0.0.2"]},
        "marie-x.d.example._spf.d.example": {"A": ["127.0.0.2"]},
        "marie._spf.d.example": {"A": ["127.0.0.2"]},
        "mx.d.example._spf.d.example": {"A": ["127.0.0.2"]},
        "marie-x%40d.example._spf.d.example": {"A": ["127.0.0.2"]},
        "many.example": {"MX": [f"10 m{n}.example." for n in range(11)]},
        "other.example": {"TXT": ['"v=spf1 a ~all"'], "A": ["198.51.100.1"]},
        **LOOP,
    }
    try:
        asked = spf.Spf(Dns(server.endpoint), ip, "marie-x@d.example", "mx.d.example")
        found = await asked.judge("d.example")
    except spf.SpfInvalid as e:
        found = str(e)
    assert expected in found


async def test_names_that_a_client_can_choose_are_not_asked(server: NameServer) -> None:
    """The names of an address are its owner's to write, and so is how long they take to come."""
    server.zone = {"d.example": {"TXT": ['"v=spf1 ptr exists:%{p}.d.example -all"']}}
    assert await spf.Spf(Dns(server.endpoint), "192.0.2.1").judge("d.example") == "fail"
    assert not any("in-addr" in asked for asked in server.asked)


@pytest.mark.parametrize("silent", ["d.example", "other.example", "host.example"])
async def test_silence_is_no_result(server: NameServer, silent: str) -> None:
    """Neither fail nor pass, wherever it comes."""
    zone = {
        "d.example": {"TXT": ['"v=spf1 include:other.example +all"']},
        "other.example": {"TXT": ['"v=spf1 a:host.example -all"']},
        "host.example": {"A": ["192.0.2.1"]},
    }
    server.zone = {**zone, silent: {"SILENCE": []}}
    with pytest.raises(DnsUnanswered):
        await spf.Spf(Dns(server.endpoint, timeout_s=0.05), "192.0.2.1").judge("d.example")
