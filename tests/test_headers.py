"""Header fields are read exactly, or not at all."""

from __future__ import annotations

import pytest

from mail2sms.errors import Refusal
from mail2sms.intake import headers


@pytest.mark.parametrize(
    ("value", "addresses", "name"),
    [
        ("marie@acme.example", ["marie@acme.example"], ""),
        ("Marie Dubois <Marie@ACME.Example>", ["Marie@acme.example"], "Marie Dubois"),
        ('"Dubois, Marie" <marie@acme.example>', ["marie@acme.example"], "Dubois, Marie"),
        ('"Marie \\"M\\" Dubois" <marie@acme.example>', ["marie@acme.example"], 'Marie "M" Dubois'),
        ("=?utf-8?q?=C3=89lodie?= <e@acme.example>", ["e@acme.example"], "Élodie"),
        ('"=?utf-8?q?=C3=89lodie?=" <e@acme.example>', ["e@acme.example"], "Élodie"),
        ("<marie@acme.example>", ["marie@acme.example"], ""),
        ("root@ups-1 (UPS in room 3)", ["root@ups-1"], "UPS in room 3"),
        ("<a@acme.example> (Marie)", ["a@acme.example"], ""),
        ("a@acme.example <a@acme.example>", ["a@acme.example"], "a@acme.example"),
        ("John Q. Public <j@acme.example>", ["j@acme.example"], "John Q. Public"),
        ("o'neil+x=y@acme.example", ["o'neil+x=y@acme.example"], ""),
        # two authors are two entries
        ("a@acme.example, b@acme.example", ["a@acme.example", "b@acme.example"], ""),
        # whatever two readers could take differently is an empty entry
        ("", [""], ""),
        ("ups", [""], ""),
        ("a@acme.example,", ["a@acme.example", ""], ""),
        ("b@evil.example <a@acme.example>", [""], ""),
        ("<b@evil.example> <a@acme.example>", [""], ""),
        ("a@acme.example b@evil.example", [""], ""),
        ("<a@acme.example> b@evil.example", [""], ""),
        ("Friends: a@acme.example, b@acme.example;", ["", ""], ""),
        ("<@evil.example:a@acme.example>", [""], ""),
        ("=?utf-8?q?a=40acme.example?=", [""], ""),
        ("<=?utf-8?q?a?=@acme.example>", [""], ""),
        ('"a b"@acme.example', [""], ""),
        ("a@b@acme.example", [""], ""),
        ("a..b@acme.example", [""], ""),
        (".a@acme.example", [""], ""),
        ("a@acme.example.", [""], ""),
        ("a@-acme.example", [""], ""),
        ("a@[192.0.2.1]", [""], ""),
        ("nic\u212a@acme.example", [""], ""),  # KELVIN SIGN: "nick" in lower case
        ("nick@acme.e\u212aample", [""], ""),
        ("Nic\u212a <nick@acme.example>", ["nick@acme.example"], "Nic\u212a"),
        ("Élodie <Élodie@acme.example>", ["élodie@acme.example"], "Élodie"),
        ("e\u0301lodie@exämple.example", ["élodie@xn--exmple-cua.example"], ""),
        ("élodie@acme.example, b@acme.example", ["élodie@acme.example", "b@acme.example"], ""),
        ("élo\u200bdie@acme.example", [""], ""),
        ("é" * 33 + "@acme.example", [""], ""),  # more than 64 octets
        ("a@acme.example\u00a0", [""], ""),
        ("\u3000a@acme.example", [""], ""),
        ("<a@acme.example>\u00a0", [""], ""),
        ("a\x00@acme.example", [""], ""),
        ("a@acme.example\rFrom: b@evil.example", [""], ""),
        ("Marie <a@acme.example", [""], ""),
        ('"Marie <a@acme.example>', [""], ""),
        ("(a@acme.example", [""], ""),
        ("x" * 64 + "@acme.example", ["x" * 64 + "@acme.example"], ""),
        ("x" * 65 + "@acme.example", [""], ""),
    ],
)
def test_authors(value: str, addresses: list[str], name: str) -> None:
    """One plain mailbox gives one address; anything odd gives an empty one, so that "exactly one" refuses it."""
    found, found_name = headers.authors([value.encode().decode("latin-1")])
    assert list(found) == addresses
    if "" not in addresses:
        assert found_name == name


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("\xc9lodie <a@acme.example>", ("a@acme.example", "Élodie")),
        ("\xe9lodie@acme.example", ("", "")),
        ("a@ex\xe4mple.example", ("", "")),
    ],
)
def test_an_address_beyond_ascii_is_utf8(value: str, found: tuple[str, str]) -> None:
    """RFC 6532; in Latin-1 others may read another one. A name may be in anything."""
    addresses, name = headers.authors([value])
    assert (addresses[0], name) == found


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\xc2\x85", "\xa0", "\x00", "\x7f"])
def test_a_final_control_character_is_not_stripped(end: str) -> None:
    """What Python takes for a blank is a part of the address to others."""
    raw = f"From: marie@acme.example{end}\r\n\r\n".encode("latin-1")
    fields, _ = headers.split(raw, 0, len(raw))
    assert headers.authors(fields.all("from"))[0] == ("",)


@pytest.mark.parametrize("subject", ["voilà", "à la plage à", "Å", "naïve… Å"])
def test_raw_utf8_keeps_its_last_byte(subject: str) -> None:
    """C3 A0 and C3 85 end in what is blank in Latin-1."""
    raw = f"Subject: {subject} \t\r\nX: y\r\nThread-Topic: {subject}".encode()
    fields, _ = headers.split(raw, 0, len(raw))
    assert [headers.words(fields.first(name)) for name in ("subject", "thread-topic")] == [subject] * 2


def test_every_from_field_counts() -> None:
    """A second From field is a second author."""
    assert headers.authors(["a@acme.example", "b@acme.example"])[0] == ("a@acme.example", "b@acme.example")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?Rendez-vous_d=C3=A9plac=C3=A9?=", "Rendez-vous déplacé"),
        ("=?UTF-8?B?w6k=?= =?utf-8?b?w6k=?=", "éé"),
        ("=?utf-8?b?w6k=?= a =?utf-8?b?w6k=?=", "é a é"),
        ("=?utf-8?b?w?= =?utf-8?b?6k=?=", "�"),  # cut inside a base64 group: lost
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),  # cut inside a character, as many mailers do
        ("=?iso-8859-1?q?=E9?= =?utf-8?q?=C3=A9?=", "éé"),
        ("=?utf-8*fr?q?=C3=A9?=", "é"),
        ("=?iso-8859-1?q?=80?=", "€"),
        ("=?x-unknown?q?=E9t=E9?=", "été"),
        ("=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "=?utf-8?q?a?="),  # decoded once
        ("=?utf-8?q?a=0D=0ABcc=3A_x?=", "a Bcc: x"),
        ("Ã©tÃ©", "été"),  # bytes of UTF-8, carried as Latin-1
        ("\xe9t\xe9", "été"),
        ("a\x00b\x07c", "a b c"),
        ("x" * 300, "x" * 200),
    ],
)
def test_words(value: str, text: str) -> None:
    """Encoded words become one line of text, whatever they hold."""
    assert headers.words(value) == text


@pytest.mark.parametrize(
    ("value", "main", "found"),
    [
        ("text/plain", "text/plain", {}),
        (
            'Text/Plain; Charset="utf-8"; format=flowed',
            "text/plain",
            {"charset": "utf-8", "format": "flowed"},
        ),
        ('a/b; boundary="a;b\\"c"; x=1', "a/b", {"boundary": 'a;b"c', "x": "1"}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ('a/b; x="open', "a/b", {"x": "open"}),
        ("a/b; =1; ; x", "a/b", {"": "1"}),
        ("attachment; filename*=utf-8''a%20b", "attachment", {"filename": "a b"}),
        ("a; f*1=c; f*0*=utf-8''%C3%A9", "a", {"f": "Ã©c"}),  # UTF-8 bytes, carried as Latin-1
        ("a; f*=iso-8859-1'fr'%E9", "a", {"f": "Ã©"}),
        ("a; f*=%zz", "a", {"f": "%zz"}),
    ],
)
def test_parameters(value: str, main: str, found: dict[str, str]) -> None:
    """RFC 2045 and RFC 2231; the first of two equal names wins."""
    assert headers.parameters(value) == (main, found)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("<a@b>", "<a@b>"),
        ("<" + "a" * 248 + ">", "<" + "a" * 248 + ">"),
        ("<" + "a" * 249 + ">", None),
        ("a@b", None),
        ("<a b>", None),
        ("<a@b> <c@d>", None),
        ("<é@b>", None),
    ],
)
def test_message_id(value: str, found: str | None) -> None:
    """An id that we put into other headers later is printable ASCII in angle brackets, or it is none."""
    assert headers.message_id(value) == found


def test_the_last_references_are_kept() -> None:
    """Long threads are cut at the front, and blanks and junk between ids are skipped."""
    value = " x ".join(f"<{n}@acme.example>" for n in range(30))
    assert headers.message_ids(value) == tuple(f"<{n}@acme.example>" for n in range(10, 30))


@pytest.mark.parametrize(
    ("raw", "names", "body"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nx", {"a": ["1"], "b": ["2"]}, b"x"),
        (b"A: 1\nB: 2\n\nx", {"a": ["1"], "b": ["2"]}, b"x"),
        (b"A: 1\r\n 2\r\n\t3\r\nA: 4\r\n\r\n", {"a": ["1 2\t3", "4"]}, b""),
        (b"From mbox line\nA: 1\n\nx", {"a": ["1"]}, b"x"),
        (b"\r\nx", {}, b"x"),
        (b"no header at all\r\n\r\nx", {}, b"no header at all\r\n\r\nx"),
        (b"A: 1\r\nno field\r\nB: 2\r\n\r\nx", {"a": ["1"]}, b"no field\r\nB: 2\r\n\r\nx"),
        (b"A: 1", {"a": ["1"]}, b""),
        (b"Subject : 1\r\n\r\n", {"subject": ["1"]}, b""),
        (
            b"From : a@b\r\n\r\n",
            {"from": ["\x00 a@b"]},
            b"",
        ),  # only some readers see it: refused by `authors`
    ],
)
def test_split(raw: bytes, names: dict[str, list[str]], body: bytes) -> None:
    """The header ends at a blank line or at the first line that is no field."""
    fields, at = headers.split(raw, 0, len(raw))
    assert {name: fields.all(name) for name in names} == names
    assert raw[at:] == body


@pytest.mark.parametrize(
    ("raw", "is_refused"),
    [
        (b"X: y\r\n" * 200 + b"\r\n", False),
        (b"X: y\r\n" * 201 + b"\r\n", True),
        (b"X: y\r\n" + b" z\r\n" * 1998 + b"\r\n", False),
        (b"X: y\r\n" + b" z\r\n" * 1999 + b"\r\n", False),
        (b"X: y\r\n" + b" z\r\n" * 2000 + b"\r\n", True),
        (b"Received: y\r\n" * 50 + b"\r\n", False),
        (b"Received: y\r\n" * 51 + b"\r\n", True),
        (b"Subject:" + b"x" * 4096 + b"\r\n\r\n", False),
        (b"Subject:" + b"x" * 4097 + b"\r\n\r\n", True),
        (b"Subject:" + b"x" * 4000 + b"\r\n" + b" " + b"x" * 96 + b"\r\n\r\n", True),
        (b"DKIM-Signature:" + b"x" * 16_384 + b"\r\n\r\n", False),
        (b"DKIM-Signature:" + b"x" * 16_385 + b"\r\n\r\n", True),
        ((b"X:" + b"x" * 8188 + b"\r\n") * 4 + b"\r\n", False),
        ((b"X:" + b"x" * 8190 + b"\r\n") * 4 + b"Y: z\r\n\r\n", True),
    ],
)
def test_limits_of_a_header(raw: bytes, is_refused: bool) -> None:
    """200 fields, 2,000 lines, 50 Received, 4 kB for what is read, 16 kB for what is not, 32 kB in all."""
    if not is_refused:
        headers.split(raw, 0, len(raw))
        return
    with pytest.raises(Refusal) as caught:
        headers.split(raw, 0, len(raw))
    assert caught.value.problems[0].reason == "mail.too_complex"
