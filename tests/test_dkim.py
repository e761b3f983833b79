"""DKIM and ARC: what others have signed is verified, and what is to prove who writes is read strictly."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mail2sms.intake import arc, dkim, headers
from mail2sms.intake.dkim import Unusable
from tests import signing
from tests.cpu import least_s

SIGNED = Path(__file__).parent / "signed"  # by dkimpy 1.1.8, which verifies all but weak-key.eml
ZONE = dict(line.split(" ", 1) for line in (SIGNED / "zone.txt").read_text().splitlines())
NOW = 1_795_650_000
MAIL = (
    b"From: Marie <marie@acme.example>\r\nTo: 33639981234@sms.acme.example\r\nSubject: x\r\n"
    b"Date: Wed, 25 Nov 2026 21:00:00 +0000\r\nMessage-ID: <1@acme.example>\r\n\r\nHello\r\n"
)


def verify(raw: bytes, records: dict[str, str], now_s: float = NOW) -> list[str]:
    """What comes of each signature of a mail: pass, or why not."""
    fields = headers.raw_fields(raw)
    return [
        _outcome(raw, fields, at, records, now_s)
        for at, field in enumerate(fields)
        if field[0] == "dkim-signature"
    ]


def _outcome(
    raw: bytes, fields: tuple[dkim.RawField, ...], at: int, records: dict[str, str], now_s: float
) -> str:
    body = raw[headers.split(raw, 0, len(raw))[1] :]
    try:
        made = dkim.read(fields[at], at, now_s)
        dkim.check_body(made, body)
        found = [records[made.key_name]] if made.key_name in records else []
        dkim.check(made, dkim.head_bytes(fields, made), dkim.key(found))
    except Unusable as e:
        return str(e)
    return "pass"


def _read(name: str) -> bytes:
    return (SIGNED / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")


def _plain(tags: str) -> str:
    return signing.record(tags=tags).replace('" "', "").replace('"', "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rsa-relaxed", ["pass"]),
        ("rsa-simple", ["pass"]),
        ("rsa-relaxed-simple", ["pass"]),
        ("ed25519", ["pass"]),
        ("both", ["pass", "pass"]),
        ("no-text", ["pass"]),
        ("no-text-simple", ["pass"]),
        ("length", ["it has l=: text can be added to what it signs"]),
        ("weak-key", ["the key has 512 bits"]),
        ("sha1", ["rsa-sha1 proves nothing"]),
        ("arc-two", ["pass"]),
    ],
)
def test_what_another_implementation_signed(name: str, expected: list[str]) -> None:
    """Both algorithms, both forms of header and text; what may not count is named."""
    assert verify(_read(name), ZONE) == expected


@pytest.mark.parametrize("name", ["rsa-relaxed", "rsa-simple", "ed25519"])
def test_every_changed_byte_is_seen(name: str) -> None:
    """One bit of any byte that is signed, but for blanks and capitals of names, which relaxed lets change."""
    raw = _read(name)
    start = raw.index(b"\r\nFrom:") + 2
    for at in range(start, len(raw)):
        if raw[at : at + 1] in b" \t\r\n":
            continue
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert "pass" not in verify(changed, ZONE), (at, raw[at : at + 10])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "pass"),
        ({"h": "from:from:to:subject"}, "pass"),
        ({"x": str(NOW + 60)}, "pass"),
        ({"q": "dns/txt"}, "pass"),
        ({"i": "@mail.acme.example"}, "pass"),
        ({"x": str(NOW)}, "it has expired"),
        ({"x": "soon"}, "its times cannot be read"),
        ({"t": str(NOW + 3600)}, "it is from the future"),
        ({"t": str(NOW - 5), "x": str(NOW - 6)}, "it has expired"),
        ({"v": "2"}, "it has another version"),
        ({"v": ""}, "it has no v="),
        ({"l": "7"}, "it has l=: text can be added to what it signs"),
        ({"h": "to:subject:date"}, "it does not sign the From field"),
        ({"h": "from::to"}, "its list of fields cannot be read"),
        ({"h": ":".join(["from"] * 300)}, "its list of fields cannot be read"),
        ({"a": "rsa-sha1"}, "rsa-sha1 proves nothing"),
        ({"a": "hmac-sha256"}, "hmac-sha256 proves nothing"),
        ({"a": "ed25519-sha256"}, "the key is of another kind"),
        ({"c": "nofws"}, "its canonicalization is unknown"),
        ({"q": "http/txt"}, "its key is not in the DNS"),
        ({"i": "@evil.example"}, "its i= is not of its domain"),
        ({"i": "@evilacme.example"}, "its i= is not of its domain"),
        ({"s": "no"}, "there is no key"),
        ({"s": "a..b"}, "its domain or selector is no name"),
        ({"s": "x" * 64}, "its domain or selector is no name"),
        ({"bh": "!"}, "it cannot be read"),
        ({"bh": base64.b64encode(bytes(32)).decode()}, "the text was changed"),
    ],
)
def test_tags(changes: dict[str, str], expected: str) -> None:
    """RFC 6376 section 3.5, one row a tag; what is stricter is because it proves who may spend."""
    zone = {"s._domainkey.acme.example": _plain("v=DKIM1; k=rsa")}
    assert verify(signing.sign(MAIL, "acme.example", **changes), zone) == [expected]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"v=1;", b"v=1; v=1;"),
        (b"v=1;", b"v;"),
        (b"v=1;", b"v=1;;"),
        (b"v=1;", b"=1;"),
        (b"v=1;", b"v!=1; v=1;"),
    ],
)
def test_what_is_no_list_of_tags(before: bytes, after: bytes) -> None:
    """Nothing is repaired: two readers could take it differently."""
    changed = signing.sign(MAIL, "acme.example").replace(before, after, 1)
    assert verify(changed, {}) == ["it cannot be read"]


EC = generate_private_key(SECP256R1()).public_key()
EC_TEXT = base64.b64encode(EC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([_plain("v=DKIM1; k=rsa; s=email:other; h=sha1:sha256")], "pass"),
        ([_plain("n=note")], "pass"),
        ([], "there is no key"),
        ([_plain("v=DKIM1"), _plain("v=DKIM1")], "there are several keys"),
        ([_plain("v=DKIM2")], "there is no key"),
        (["v=DKIM1; k=rsa"], "there is no key"),
        (["v=DKIM1; p="], "the key was revoked"),
        (["v=spf1 -all"], "there is no key"),
        (["-all"], "the key cannot be read"),
        (["v=DKIM1; p=AAAA"], "the key cannot be read"),
        ([f"v=DKIM1; p={EC_TEXT}"], "the key is of another kind"),
        ([f"v=DKIM1; k=ed25519; p={EC_TEXT}"], "the key cannot be read"),
        ([_plain("k=dsa")], "the key is of another kind"),
        ([_plain("t=y")], "the key is only being tried (t=y)"),
        ([_plain("t=s:y")], "the key is only being tried (t=y)"),
        ([_plain("s=tlsrpt")], "the key is for something else"),
        ([_plain("h=sha1")], "the key is for something else"),
    ],
)
def test_keys(records: list[str], expected: str) -> None:
    """RFC 6376 section 3.6.1, RFC 8301 section 3.2."""
    try:
        dkim.key(records)
        outcome = "pass"
    except Unusable as e:
        outcome = str(e)
    assert outcome == expected


def test_a_strict_key_is_not_for_subdomains() -> None:
    """`t=s`: what is before and after the @ of `i=` is of the very domain."""
    zone = {"s._domainkey.acme.example": _plain("t=s")}
    assert verify(signing.sign(MAIL, "acme.example"), zone) == ["pass"]
    signed = signing.sign(MAIL, "acme.example", i="@mail.acme.example")
    assert verify(signed, zone) == ["the key is not for subdomains"]


@pytest.mark.parametrize(
    "body", [b" " * 900_000 + b"x", b"a \t" * 300_000, b" \r\n" * 300_000, b"\r\n" * 450_000]
)
def test_no_text_costs_more_than_its_length(body: bytes) -> None:
    """The shapes that make regular expressions slow: less than 50 ms of CPU for a megabyte."""
    assert least_s(lambda: dkim.body_digest(body + b"\r\n", is_relaxed=True), 0.05) < 0.05


# ARC


def _chain(raw: bytes, now_s: float = NOW) -> arc.Link | str | None:
    try:
        return arc.newest(headers.raw_fields(raw), now_s)
    except Unusable as e:
        return str(e)


@pytest.mark.parametrize(("name", "domain"), [("arc-one", "forwarder.example"), ("arc-two", "lists.example")])
def test_a_seal_that_another_implementation_made(name: str, domain: str) -> None:
    """The newest seal and message signature hold, and what the sealer saw is read."""
    raw = _read(name)
    link = _chain(raw)
    assert isinstance(link, arc.Link)
    assert link.results is not None
    by = dkim.key([ZONE[link.seal.key_name]])
    dkim.check(link.seal, link.sealed, by)
    dkim.check(link.message, dkim.head_bytes(headers.raw_fields(raw), link.message), by)
    dkim.check_body(link.message, raw[headers.split(raw, 0, len(raw))[1] :])
    seen = {result.method: result.result for result in link.results.results}
    assert (link.seal.domain, seen["dmarc"]) == (domain, "pass")
    with pytest.raises(Unusable):
        dkim.check(link.seal, link.sealed.replace(b"pass", b"fail"), by)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"ARC-Seal: i=2; cv=pass", b"ARC-Seal: i=2; cv=none"),
        (b"ARC-Seal: i=2; cv=pass", b"ARC-Seal: i=2; cv=fail"),
        (b"ARC-Seal: i=1; cv=none", b"ARC-Seal: i=1; cv=pass"),
        (b"ARC-Seal: i=1;", b"ARC-Seal: i=3;"),
        (b"ARC-Seal: i=1;", b"ARC-Seal: i=0;"),
        (b"ARC-Seal: i=1;", b"ARC-Seal: i=x;"),
        (b"ARC-Authentication-Results: i=1;", b"ARC-Authentication-Results: x;"),
        (b"ARC-Authentication-Results: i=1;", b"X-Results: i=1;"),
        (b"ARC-Seal: i=1;", b"X-Seal: i=1;"),
        (b"DKIM-Signature:", b"ARC-Authentication-Results: i=2; mx; none\r\nDKIM-Signature:"),
        (b"DKIM-Signature:", b"ARC-Authentication-Results: i=99; mx; none\r\nDKIM-Signature:"),
        (b"ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed;\r\n d=lists.example",
         b"ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed;\r\n d=forwarder.example"),
    ],
)  # fmt: skip
def test_a_chain_that_is_none(before: bytes, after: bytes) -> None:
    """Each set once and whole, from 1 on, each seal saying that those before held."""
    raw = _read("arc-two")
    assert before in raw
    assert isinstance(_chain(raw.replace(before, after, 1)), str)


def test_without_seals_there_is_no_chain() -> None:
    """Most mails."""
    assert _chain(MAIL) is None
