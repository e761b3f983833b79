"""The cases of `spoof`: mails of somebody else, the genuine ones beside them, and the DNS that they live in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

from mail2sms.intake.address_keys import fingerprint
from tests import signing

NOW_S = 1_795_650_000  # the clock of the proof: what is signed does not grow old
DATE = format_datetime(datetime.fromtimestamp(NOW_S - 600, UTC))
PHONE = "33639981234@sms.acme.example"
MARIE, EVE = "marie@acme.example", "eve@evil.example"
STRANGER, LISTED, RELAY, MICROSOFT, OFFICE, DESK = (f"127.0.0.{n}" for n in (66, 20, 9, 10, 11, 30))
ID = "mx.relay.example"
PASSWORD = "correct horse"

CONFIG = f"""\
domain: sms.acme.example
country: FR
mode: simulate
database: sqlite:////nowhere/mail2sms.db
listen: {{smtp: {{address: "127.0.0.1:2525", tls: offered, login: optional}}}}
tls: {{certificate: /FOLDER/test.pem, key: /FOLDER/test.key, client_ca: /FOLDER/ca.pem}}
senders:
  - {{from: "*@acme.example", proof: dkim}}
  - {{from: "*@silent.example", proof: [dkim, spf, dmarc]}}
  - {{from: "*@*.example", network: {OFFICE}}}
  - {{from: "*@spf.example", proof: spf}}
  - {{from: "*@soft.example", proof: spf}}
  - {{from: "*@broken.example", proof: spf}}
  - {{from: "*@nothing.example", proof: [spf, dmarc]}}
  - {{from: "*@dmarc.example", proof: dmarc}}
  - {{from: "*@two.example", proof: dmarc}}
  - {{from: "*@arc.example", proof: arc, sealers: [lists.example, hush.example]}}
  - {{from: "*@relayed.example", network: {RELAY}, proof: authentication_results, authserv_id: {ID}}}
  - {{from: "*@two-hops.example", network: {RELAY}, proof: authentication_results, authserv_id: {ID}, hops: 2}}
  - {{from: "*@microsoft.example", network: {MICROSOFT}, proof: microsoft_results}}
  - {{from: "*@login.example", proof: login}}
  - {{from: "desk@login.example", proof: login, teams: yes}}
  - {{from: "*@cert.example", proof: certificate, certificates: mx.cert.example}}
  - {{from: "*@key.example", proof: [key, spf]}}
users:
  marie@acme.example: {{number: "+33639980101"}}
  marie@login.example: {{}}
  paul@login.example: {{}}
  kim@key.example: {{keys: "{fingerprint("a" * 26)}"}}
  bob@key.example: {{keys: ["{fingerprint("b" * 26)}", "{fingerprint("c" * 26)}"]}}
  ann@key.example: {{}}
  tom@acme.example: {{keys: "{fingerprint("d" * 26)}"}}
teams:
  desk: {{email: desk@login.example, members: [marie@login.example]}}
  office: {{email: office@login.example, members: [marie@login.example]}}
sender_ids: {{default: ACME}}
countries: [FR]
carriers: {{sim: {{type: simulated}}}}
routes: [{{to: any, via: [sim]}}]
"""

CERTIFICATES = {
    "right": ("relay", "DNS:mx.cert.example"),
    "another's": ("other", "DNS:mx.other.example"),
    "a longer name": ("longer", "DNS:mx.cert.example.evil.example"),
    "only the common name": ("mx.cert.example", "DNS:mx.evil.example"),
    "of another authority": ("foreign", "DNS:mx.cert.example"),
}
"""What clients may show: the common name and the others. The last is of an authority that is not ours."""

Zone = dict[str, dict[str, Sequence[str]]]


def _txt(*records: str) -> dict[str, Sequence[str]]:
    return {"TXT": [f'"{record}"' for record in records]}


def zone() -> Zone:
    """What the name server of the proof knows."""
    signers = (
        "acme",
        "evil",
        "acrne",
        "lists",
        "forwarder",
        "dmarc",
        "mail.dmarc",
        "two",
        "nothing",
        "login",
        "xn--acm-epa",
    )
    keys: Zone = {f"s._domainkey.{name}.example": {"TXT": [signing.record(name)]} for name in signers}
    weak = dict(
        line.split(" ", 1)
        for line in (Path(__file__).parent.parent / "signed" / "zone.txt").read_text().splitlines()
    )["weak._domainkey.acme.example"]
    tried = {
        "tried": signing.record("acme", "v=DKIM1; t=y"),
        "strict": signing.record("acme", "v=DKIM1; t=s"),
        "other": signing.record("acme", "v=DKIM1; s=tlsrpt"),
    }
    return {
        **keys,
        **{f"{selector}._domainkey.acme.example": {"TXT": [text]} for selector, text in tried.items()},
        "weak._domainkey.acme.example": {"TXT": [f'"{weak[:200]}" "{weak[200:]}"']},
        "revoked._domainkey.acme.example": _txt("v=DKIM1; p="),
        "several._domainkey.acme.example": {"TXT": [signing.record("acme"), signing.record("evil")]},
        "s._domainkey.silent.example": {"SILENCE": []},
        "s._domainkey.hush.example": {"SILENCE": []},
        "silent.example": {"SILENCE": []},
        "_dmarc.silent.example": {"SILENCE": []},
        "spf.example": _txt(f"v=spf1 ip4:{LISTED} -all"),
        "soft.example": _txt(f"v=spf1 ip4:{LISTED} ~all"),
        "broken.example": _txt("v=spf1 +all apple"),
        "evil.example": _txt("v=spf1 +all"),
        "evilspf.example": _txt("v=spf1 +all"),
        "dmarc.example": _txt(f"v=spf1 ip4:{LISTED} -all"),
        "mail.dmarc.example": _txt("v=spf1 +all"),
        "_dmarc.dmarc.example": _txt("v=DMARC1; p=reject; adkim=s; aspf=s"),
        "key.example": _txt("v=spf1 -all"),
        "_dmarc.two.example": _txt("v=DMARC1; p=none", "v=DMARC1; p=reject"),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One mail. `code` is the reply's that a spoof must get; 250 is a genuine one."""

    name: str
    build: Callable[[str], bytes]  # given a Message-ID
    mail_from: str = EVE
    ip: str = STRANGER
    login: str = ""
    password: str = PASSWORD
    certificate: str = ""  # a name of CERTIFICATES
    rcpt: str = PHONE
    code: int = 550


def mail(
    id_: str, sender: str = MARIE, *, to: str = PHONE, head: str = "", text: str = "Hello", date: str = DATE
) -> bytes:
    """A mail that says to be from somebody. Without a sender it has no From."""
    own = f"From: {sender}\r\n" if sender else ""
    usual = f"To: {to}\r\nSubject: x\r\nDate: {date}\r\nMessage-ID: <{id_}@x.example>\r\n"
    return f"{own}{head}{usual}\r\n{text}\r\n".encode()


def _plain(sender: str = MARIE, head: str = "") -> Callable[[str], bytes]:
    return partial(mail, sender=sender, head=head)


def _raw(template: str) -> Callable[[str], bytes]:
    """A whole header by hand; `ID` and `REST` stand for the Message-ID and the usual fields."""

    def build(id_: str) -> bytes:
        rest = f"To: {PHONE}\r\nSubject: x\r\nDate: {DATE}\r\nMessage-ID: <{id_}@x.example>\r\n"
        return template.replace("REST", rest).encode() + b"\r\nHello\r\n"

    return build


def _signed(
    sender: str = MARIE, domain: str = "acme.example", by: str = "acme", *, head: str = "", **tags: str
) -> Callable[[str], bytes]:
    return lambda id_: signing.sign(mail(id_, sender, head=head), domain, by=by, **tags)


def _changed(
    before: bytes, after: bytes, build: Callable[[str], bytes] | None = None
) -> Callable[[str], bytes]:
    """A signed mail, changed afterwards."""

    def change(id_: str) -> bytes:
        made = (build or _signed())(id_)
        assert before in made
        return made.replace(before, after)

    return change


def _to_others(to: str) -> Callable[[str], bytes]:
    return lambda id_: signing.sign(mail(id_, to=to), "acme.example", by="acme")


def _weak(_: str) -> bytes:
    return (Path(__file__).parent.parent / "signed" / "weak-key.eml").read_bytes().replace(b"\n", b"\r\n")


def _sealed(
    domain: str = "lists.example",
    results: str = "dmarc=pass header.from=arc.example",
    by: str = "lists",
    **tags: Any,
) -> Callable[[str], bytes]:
    return lambda id_: signing.seal(mail(id_, "ann@arc.example"), domain, results, by=by, **tags)


def _sealed_twice(first: tuple[str, str], second: tuple[str, str]) -> Callable[[str], bytes]:
    passed = "dmarc=pass header.from=arc.example"

    def build(id_: str) -> bytes:
        once = signing.seal(mail(id_, "ann@arc.example"), first[0], passed, by=first[1])
        return signing.seal(once, second[0], passed, by=second[1], number=2)

    return build


_RECEIVED = "Received: from client by mx.relay.example; Wed, 25 Nov 2026 21:00:00 +0000\r\n"
_PASS = "dmarc=pass (p=none) header.from=relayed.example"


def _relayed(*lines: str, sender: str = "rita@relayed.example") -> Callable[[str], bytes]:
    """A mail with these lines on top; `R` is a Received line, others are Authentication-Results."""
    head = "".join(_RECEIVED if line == "R" else f"Authentication-Results: {line}\r\n" for line in lines)
    return lambda id_: head.encode() + mail(id_, sender)


def _microsoft(*lines: str) -> Callable[[str], bytes]:
    return _relayed(*lines, sender="mia@microsoft.example")


_MS = (
    "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=microsoft.example; dkim=none"
    ";dmarc=pass action=none header.from=microsoft.example"
)

_NO_PROOF = [
    Case(name="nothing at all", build=_plain()),
    Case(name="the envelope says so too", build=_plain(), mail_from=MARIE),
    Case(name="a domain of no rule", build=_plain("ann@other.test")),
    Case(name="the null sender", build=_signed(), mail_from=""),
    Case(name="no From", build=_plain("")),
    Case(name="Sender instead of From", build=_plain("", f"Sender: {MARIE}\r\n")),
    Case(name="Resent-From", build=_plain(EVE, f"Resent-From: {MARIE}\r\n")),
    Case(name="From in the text", build=_raw(f"RESTX: y\r\n\r\nFrom: {MARIE}\r\n")),
    Case(name="From below a line that is no field", build=_raw(f"REST no field\r\nFrom: {MARIE}\r\n")),
    Case(name="a network's neighbour", build=_plain(), ip="127.0.0.12", mail_from=MARIE),
    Case(name="a network's domain only", build=_plain("ann@other.test"), ip=OFFICE),
]

_FROM = [
    Case(name=name, build=_raw(f"{field}\r\nREST"), ip=OFFICE)  # whose network would prove any of them
    for name, field in {
        "two From fields": f"From: {EVE}\r\nFrom: {MARIE}",
        "two From fields, ours first": f"From: {MARIE}\r\nFrom: {EVE}",
        "the same From twice": f"From: {MARIE}\r\nFrom: {MARIE}",
        "two mailboxes": f"From: {MARIE}, {EVE}",
        "two mailboxes, folded": f"From:\r\n {EVE},\r\n {MARIE}",
        "two addresses without a comma": f"From: {MARIE} {EVE}",
        "two in angles": f"From: <{MARIE}> <{EVE}>",
        "a group": f"From: team: {MARIE};",
        "an empty group": "From: undisclosed:;",
        "an encoded address": "From: =?utf-8?q?marie=40acme.example?=",
        "an encoded address in angles": "From: <=?utf-8?q?marie=40acme.example?=>",
        "an encoded local part": "From: =?utf-8?q?marie?=@acme.example",
        "another address as the name": f"From: {MARIE} <{EVE}>",
        "a quoted local part": 'From: "marie"@acme.example',
        "a comment in the address": "From: marie(x)@acme.example",
        "a comment that never ends": f"From: {MARIE} (x",
        "a route": f"From: <@evil.example:{MARIE}>",
        "a control character": "From: marie\x01@acme.example",
        "a blank before the colon": f"From : {MARIE}",
        "a blank in the address": "From: marie @acme.example",
        "an address literal": "From: marie@[127.0.0.1]",
        "a dot at the end": "From: marie@acme.example.",
        "two at signs": "From: marie@evil.example@acme.example",
        "no domain": "From: marie",
        "a Cyrillic letter": "From: mari\u0435@acme.example",
        "the Kelvin sign": "From: mar\u212aie@acme.example",
        "full-width letters": "From: marie@\uff41cme.example",
        "nothing behind it": "From:",
    }.items()
]

_DKIM = [
    Case(name="signed by another organisation", build=_signed(domain="evil.example", by="evil")),
    Case(
        name="another organisation, i= of ours", build=_signed(domain="evil.example", by="evil", i=f"{MARIE}")
    ),
    Case(name="a look-alike that signs well", build=_signed("marie@acrne.example", "acrne.example", "acrne")),
    Case(
        name="an IDN look-alike that signs well",
        build=_signed("marie@xn--acm-epa.example", "xn--acm-epa.example", "xn--acm-epa"),
    ),
    Case(name="a subdomain of no rule", build=_signed("marie@sub.acme.example")),
    Case(name="a domain that ends alike", build=_signed("marie@evilacme.example", "evil.example", "evil")),
    Case(
        name="a domain that begins alike",
        build=_signed("marie@acme.example.evil.example", "evil.example", "evil"),
    ),
    Case(
        name="the name is ours, the address is not",
        build=_signed(f'"{MARIE}" <{EVE}>', "evil.example", "evil"),
    ),
    Case(name="a selector without key", build=_signed(s="none")),
    Case(name="another's key", build=_signed(by="evil")),
    Case(name="a changed text", build=_changed(b"Hello", b"Hullo")),
    Case(name="an added line", build=_changed(b"Hello\r\n", b"Hello\r\nBuy\r\n")),
    Case(
        name="a changed author", build=_changed(b"From: paul@", b"From: marie@", _signed("paul@acme.example"))
    ),
    Case(name="a second From on top", build=lambda id_: b"From: marie@acme.example\r\n" + _signed()(id_)),
    Case(
        name="a second From below", build=_changed(b"\r\n\r\nHello", f"\r\nFrom: {EVE}\r\n\r\nHello".encode())
    ),
    Case(name="l= and more text", build=_changed(b"Hello\r\n", b"Hello\r\nBuy\r\n", _signed(l="7"))),
    Case(name="l=0", build=_signed(l="0")),
    Case(name="From is not signed", build=_signed(h="to:subject:date")),
    Case(name="expired", build=_signed(x=str(NOW_S - 1))),
    Case(name="from the future", build=_signed(t=str(NOW_S + 3600))),
    Case(name="SHA-1", build=_signed(a="rsa-sha1")),
    Case(name="a key of 512 bits", build=_weak),
    Case(name="a key that is being tried", build=_signed(s="tried")),
    Case(name="a key for something else", build=_signed(s="other")),
    Case(name="a revoked key", build=_signed(s="revoked")),
    Case(name="several keys", build=_signed(s="several")),
    Case(name="a strict key for a subdomain", build=_signed(s="strict", i="@mail.acme.example")),
    Case(name="the public suffix signs", build=_signed(domain="example")),
    Case(
        name="two domains in one signature",
        build=_changed(
            b"; d=evil.example",
            b"; d=acme.example; d=evil.example",
            _signed(domain="evil.example", by="evil"),
        ),
    ),
    Case(
        name="the signature in the text",
        build=lambda id_: mail(id_, text=signing.signature(mail(id_), "acme.example", by="acme").decode()),
    ),
    Case(
        name="the signature below a line that is no field",
        build=lambda id_: b"X: y\r\nno field\r\n" + _signed()(id_),
    ),
    Case(name="signed for other people", build=_to_others("bob@partner.example")),
    Case(name="signed for another phone", build=_to_others("33639989999@sms.acme.example")),
    Case(name="signed for a longer address", build=_to_others(f"1{PHONE}")),
    Case(
        name="signed for other people, our To on top",
        build=lambda id_: f"To: {PHONE}\r\n".encode() + _to_others("bob@partner.example")(id_),
    ),
    Case(name="another Subject on top", build=lambda id_: b"Subject: 0639989999\r\n" + _signed()(id_)),
    Case(
        name="another Message-ID on top", build=lambda id_: b"Message-ID: <2@x.example>\r\n" + _signed()(id_)
    ),
    Case(
        name="two kinds of text",
        build=lambda id_: b"Content-Type: text/html\r\n" + _signed(head="Content-Type: text/plain\r\n")(id_),
    ),
    Case(name="Subject is not signed", build=_signed(h="from:to:date")),
    Case(
        name="signed long ago",
        build=lambda id_: signing.sign(
            mail(id_, date="Mon, 2 Nov 2026 09:00:00 +0000"), "acme.example", by="acme"
        ),
    ),
    Case(
        name="a signed date that is none",
        build=lambda id_: signing.sign(mail(id_, date="soon"), "acme.example", by="acme"),
    ),
    Case(name="an unsigned mail from a listed client", build=_plain(), ip=LISTED, mail_from=MARIE),
]

_SPF = [
    Case(name="a client that is not listed", build=_plain("sam@spf.example"), mail_from="sam@spf.example"),
    Case(name="unaligned SPF", build=_plain("sam@spf.example")),
    Case(
        name="unaligned SPF of a look-alike", build=_plain("sam@spf.example"), mail_from="sam@evilspf.example"
    ),
    Case(name="softfail", build=_plain("sam@soft.example"), mail_from="sam@soft.example"),
    Case(
        name="a broken record that lists all",
        build=_plain("sam@broken.example"),
        mail_from="sam@broken.example",
    ),
    Case(name="no record", build=_plain("sam@nothing.example"), mail_from="sam@nothing.example"),
    Case(name="a signature where SPF is asked", build=_signed("sam@spf.example", "evil.example", "evil")),
]

_DMARC = [
    Case(
        name="DKIM of a subdomain, strictly",
        build=_signed("dan@dmarc.example", "mail.dmarc.example", "mail.dmarc"),
    ),
    Case(
        name="SPF of a subdomain, strictly",
        build=_plain("dan@dmarc.example"),
        mail_from="dan@mail.dmarc.example",
    ),
    Case(name="neither holds", build=_plain("dan@dmarc.example"), mail_from="dan@dmarc.example"),
    Case(name="no DMARC record", build=_signed("dan@nothing.example", "nothing.example", "nothing")),
    Case(name="two DMARC records", build=_signed("dan@two.example", "two.example", "two")),
]

_ARC = [
    Case(name="no seal", build=_plain("ann@arc.example")),
    Case(name="an unnamed sealer", build=_sealed("forwarder.example", by="forwarder")),
    Case(name="a subdomain of a sealer", build=_sealed("evil.lists.example", by="evil")),
    Case(name="a named sealer's name, another's key", build=_sealed(by="evil")),
    Case(name="the sealer saw dmarc fail", build=_sealed(results="dmarc=fail header.from=arc.example")),
    Case(name="the sealer saw another author", build=_sealed(results="dmarc=pass header.from=evil.example")),
    Case(name="the sealer saw dkim alone", build=_sealed(results="dkim=pass header.d=arc.example")),
    Case(name="dmarc in a comment", build=_sealed(results="spf=fail (dmarc=pass header.from=arc.example)")),
    Case(name="cv=fail", build=_sealed(cv="fail")),
    Case(name="the first seal says cv=pass", build=_sealed(cv="pass")),
    Case(
        name="sealed again by an unnamed one",
        build=_sealed_twice(("lists.example", "lists"), ("forwarder.example", "forwarder")),
    ),
    Case(name="changed after the seal", build=_changed(b"Hello", b"Hullo", _sealed())),
    Case(
        name="what was seen, changed",
        build=_changed(b"dmarc=fail", b"dmarc=pass", _sealed(results="dmarc=fail header.from=arc.example")),
    ),
    Case(name="the author changed", build=_changed(b"From: ann@", b"From: amy@", _sealed())),
    Case(name="a chain from two on", build=_sealed(i="2")),
    Case(
        name="a second first seal",
        build=lambda id_: (
            b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=lists.example; s=s; b=AAAA\r\n" + _sealed()(id_)
        ),
    ),
]

_RESULTS = [
    Case(name=name, build=build, ip=ip)
    for name, ip, build in [
        ("from a stranger", STRANGER, _relayed(f"{ID}; {_PASS}", "R")),
        ("no results", RELAY, _relayed("R")),
        ("below the relay's Received", RELAY, _relayed("R", f"{ID}; {_PASS}")),
        ("no Received at all", RELAY, _relayed(f"{ID}; {_PASS}")),
        ("another server", RELAY, _relayed(f"mx.evil.example; {_PASS}", "R")),
        ("a server that begins alike", RELAY, _relayed(f"{ID}.evil.example; {_PASS}", "R")),
        ("a server that ends alike", RELAY, _relayed(f"evil.{ID}; {_PASS}", "R")),
        ("no server", RELAY, _relayed(_PASS, "R")),
        ("the server in a comment", RELAY, _relayed(f"mx.evil.example ({ID}); {_PASS}", "R")),
        ("dmarc=fail", RELAY, _relayed(f"{ID}; dmarc=fail header.from=relayed.example", "R")),
        ("dmarc=none", RELAY, _relayed(f"{ID}; dmarc=none header.from=relayed.example", "R")),
        ("of another author", RELAY, _relayed(f"{ID}; dmarc=pass header.from=evil.example", "R")),
        ("of a subdomain", RELAY, _relayed(f"{ID}; dmarc=pass header.from=sub.relayed.example", "R")),
        ("of no author", RELAY, _relayed(f"{ID}; dmarc=pass", "R")),
        ("of two authors", RELAY, _relayed(f"{ID}; {_PASS} header.from=evil.example", "R")),
        ("dkim=pass alone", RELAY, _relayed(f"{ID}; dkim=pass header.d=relayed.example", "R")),
        ("in a comment", RELAY, _relayed(f"{ID}; spf=fail ({_PASS.replace('(p=none) ', '')})", "R")),
        ("in a quoted value", RELAY, _relayed(f'{ID}; spf=fail smtp.mailfrom="a; {_PASS}"', "R")),
        (
            "pass and fail",
            RELAY,
            _relayed(f"{ID}; {_PASS}", f"{ID}; dmarc=fail header.from=relayed.example", "R"),
        ),
        ("beside a line that cannot be read", RELAY, _relayed(f"{ID}; {_PASS}", f"{ID}; dmarc", "R")),
        ("another rule's hops", RELAY, _relayed("R", f"{ID}; {_PASS}", "R")),
        (
            "below the second Received",
            RELAY,
            _relayed(
                "R", "R", f"{ID}; dmarc=pass header.from=two-hops.example", sender="tim@two-hops.example"
            ),
        ),
        (
            "fewer Received than hops",
            RELAY,
            _relayed(f"{ID}; dmarc=pass header.from=two-hops.example", "R", sender="tim@two-hops.example"),
        ),
        ("Microsoft's, from a stranger", STRANGER, _microsoft(f"{_MS};compauth=pass reason=100", "R")),
        ("Microsoft's, from another relay", RELAY, _microsoft(f"{_MS};compauth=pass reason=100", "R")),
        ("Microsoft's below its Received", MICROSOFT, _microsoft("R", f"{_MS};compauth=pass reason=100")),
        ("compauth=fail", MICROSOFT, _microsoft(f"{_MS};compauth=fail reason=000", "R")),
        ("compauth=softpass", MICROSOFT, _microsoft(f"{_MS};compauth=softpass reason=202", "R")),
        (
            "dmarc=bestguesspass",
            MICROSOFT,
            _microsoft(f"{_MS.replace('dmarc=pass', 'dmarc=bestguesspass')};compauth=pass", "R"),
        ),
        (
            "a server's results instead of Microsoft's",
            MICROSOFT,
            _microsoft(f"{ID}; dmarc=pass header.from=microsoft.example", "R"),
        ),
    ]
]

_LOGIN = [
    Case(name="as a colleague", build=_plain("paul@login.example"), login="marie@login.example"),
    Case(name="as somebody elsewhere", build=_plain(), login="marie@login.example"),
    Case(name="with a colleague's signature", build=_signed(), login="marie@login.example"),
    Case(name="from a network that is believed", build=_plain(), login="marie@login.example", ip=OFFICE),
    Case(
        name="with a wrong password",
        build=_plain("marie@login.example"),
        login="marie@login.example",
        password="wrong",
        code=535,
    ),
    Case(
        name="without a login", build=_plain("marie@login.example"), mail_from="marie@login.example", code=530
    ),
]

_CERTIFICATE = [
    Case(name="none", build=_plain("carl@cert.example"), mail_from="carl@cert.example"),
    Case(name="for another author", build=_plain(), certificate="right"),
    Case(name="for a login's address", build=_plain("marie@login.example"), certificate="right", code=530),
    *(
        Case(name=name, build=_plain("carl@cert.example"), certificate=name)
        for name in ("another's", "a longer name", "only the common name")
    ),
    Case(
        name="of another authority",
        build=_plain("carl@cert.example"),
        certificate="of another authority",
        code=421,
    ),
]

_TEAM = [
    Case(name="of another team", build=_plain("desk@login.example"), login="paul@login.example"),
    Case(name="of mine, without a rule", build=_plain("office@login.example"), login="marie@login.example"),
    Case(name="of mine, without a login", build=_plain("desk@login.example"), code=530),
    Case(
        name="as the team, from a network",
        build=_plain("desk@login.example"),
        ip=OFFICE,
        login="paul@login.example",
    ),
    Case(name="a member as another member", build=_plain("paul@login.example"), login="marie@login.example"),
]


def _keyed(key: str) -> str:
    return PHONE.replace("@", f"+k{key}@")


_KEY = [
    Case(name=name, build=_plain(sender, head), rcpt=rcpt, **more)  # type: ignore[arg-type]
    for name, sender, head, rcpt, more in [
        ("none", "kim@key.example", "", PHONE, {}),
        ("a wrong one", "kim@key.example", "", _keyed("z" * 26), {}),
        ("another's", "kim@key.example", "", _keyed("b" * 26), {}),
        ("cut", "kim@key.example", "", _keyed("a" * 25), {}),
        ("with more behind it", "kim@key.example", "", _keyed("a" * 27), {}),
        ("only in the mail", "kim@key.example", f"Cc: {_keyed('a' * 26)}\r\n", PHONE, {}),
        ("of who has none", "ann@key.example", "", _keyed("a" * 26), {}),
        ("of who is nobody", "eve@key.example", "", _keyed("a" * 26), {}),
        ("a hash instead", "kim@key.example", "", _keyed(fingerprint("a" * 26)[7:33]), {}),
        ("where no rule takes it", "tom@acme.example", "", _keyed("d" * 26), {}),
        ("for two authors", "kim@key.example, eve@key.example", "", _keyed("a" * 26), {}),
        ("with a login", "kim@key.example", "", _keyed("a" * 26), {"login": "marie@login.example"}),
    ]
]

_FAULTS = [
    Case(name="the key's server is silent", build=_signed("sue@silent.example", "silent.example"), code=451),
    Case(name="SPF is silent", build=_plain("sue@silent.example"), mail_from="sue@silent.example", code=451),
    Case(name="the sealer's key is silent", build=_sealed("hush.example", by="lists"), code=451),
]

SPOOFS: Mapping[str, Sequence[Case]] = {
    "no proof": _NO_PROOF,
    "the From field": _FROM,
    "dkim": _DKIM,
    "spf": _SPF,
    "dmarc": _DMARC,
    "arc": _ARC,
    "authentication_results": _RESULTS,
    "login": _LOGIN,
    "certificate": _CERTIFICATE,
    "a team": _TEAM,
    "key": _KEY,
    "DNS faults": _FAULTS,
}

GENUINE: Sequence[Case] = [
    Case(name=name, code=250, **how)  # type: ignore[arg-type]
    for name, how in {
        "network": {"build": _plain(), "ip": OFFICE},
        "dkim": {"build": _signed()},
        "dkim of the organisation": {"build": _signed(i="@mail.acme.example")},
        "dkim below a list's signature": {
            "build": lambda id_: signing.sign(_signed()(id_), "lists.example", by="lists")
        },
        "dkim, From signed twice": {"build": _signed(h="from:from:to:subject:date")},
        "spf": {"build": _plain("sam@spf.example"), "mail_from": "bounce@spf.example", "ip": LISTED},
        "dmarc by dkim": {"build": _signed("dan@dmarc.example", "dmarc.example", "dmarc")},
        "dmarc by spf": {
            "build": _plain("dan@dmarc.example"),
            "mail_from": "dan@dmarc.example",
            "ip": LISTED,
        },
        "arc": {"build": _sealed()},
        "arc of two": {
            "build": _sealed_twice(("forwarder.example", "forwarder"), ("lists.example", "lists"))
        },
        "authentication_results": {
            "build": _relayed(f"{ID}; {_PASS}", "R", "mx.evil.example; dmarc=fail"),
            "ip": RELAY,
        },
        "two lines of the relay": {
            "build": _relayed(f"{ID}; dkim=none", f"{ID.upper()} 1; {_PASS}", "R"),
            "ip": RELAY,
        },
        "two hops": {
            "build": _relayed(
                "R", f"{ID}; dmarc=pass header.from=two-hops.example", "R", sender="tim@two-hops.example"
            ),
            "ip": RELAY,
        },
        "microsoft_results": {"build": _microsoft(f"{_MS};compauth=pass reason=100", "R"), "ip": MICROSOFT},
        "certificate": {"build": _plain("carl@cert.example"), "certificate": "right"},
        "key": {"build": _plain("kim@key.example"), "rcpt": _keyed("a" * 26), "ip": DESK},
        "key, in capitals": {"build": _plain("kim@key.example"), "rcpt": _keyed("A" * 26), "ip": DESK},
        "key, the second": {"build": _plain("bob@key.example"), "rcpt": _keyed("c" * 26), "ip": DESK},
        "a team": {
            "build": _plain("desk@login.example"),
            "login": "marie@login.example",
            "mail_from": "desk@login.example",
        },
        "login": {
            "build": _plain("marie@login.example"),
            "login": "marie@login.example",
            "mail_from": "marie@login.example",
        },
    }.items()
]
