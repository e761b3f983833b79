"""Mails around generated texts, as mail programs pack them: charsets, alternatives, HTML. Data, not tests."""

from __future__ import annotations

import base64
import binascii
import random

from tests import fuzz_templates, fuzz_texts

_CHARSETS = (
    "utf-8",
    "utf-8",
    "utf-8",
    "iso-8859-1",
    "windows-1252",
    "utf-16",
    "utf-7",
    "iso-2022-jp",
    "koi8-r",
    "big5",
)
_NAMES = (
    "utf-8",
    "UTF8",
    '"utf-8"',
    "us-ascii",
    "x-unknown",
    "idna",
    "unicode_escape",
    "",
    "utf-8;charset=x",
)
_ENCODINGS = ("7bit", "8bit", "base64", "quoted-printable", "Quoted-Printable", "uuencode", "x", '"base64"')
_FROMS = ("marie@acme.example", "Marie Dubois <marie@acme.example>", '"Dubois, Marie" <marie@acme.example>')
_SUBJECTS = ("x", "06 39 98 12 34", "=?utf-8?q?R=C3=A9sum=C3=A9?=", "=?utf-8?b?8J+YgA==?=", "Re: " * 50, "")
_TAGS = (
    *(
        "<p>",
        "</p>",
        "<div>",
        "</div>",
        "<br>",
        "<b>",
        "<table><tr><td>",
        "</td></tr></table>",
        "<ul><li>",
        "</ul>",
    ),
    *(
        "<blockquote>",
        "</blockquote>",
        "<pre>",
        "</pre>",
        "<a href='x'>",
        "</a>",
        "<!--",
        "-->",
        "<style>",
        "</style>",
    ),
    *(
        "<script>",
        "</script>",
        "<p style='display:none'>",
        "<div class=gmail_quote>",
        "<div class=gmail_signature>",
    ),
    *(
        "<img src=x>",
        "&nbsp;",
        "&#x1f600;",
        "&amp;",
        "&",
        "<",
        ">",
        "<![CDATA[",
        "<?x",
        "<o:p>",
        "<td colspan=1000000>",
    ),
    *(
        "<p style='margin:0 0 0 99999px'>",
        "<hr>",
        "<h1>",
        "<svg>",
        "<select>",
        "<p dir=rtl>",
        "\x00",
        "\ue000",
        "\n  ",
    ),
)


def mail(chance: random.Random) -> bytes:
    """Return a mail of Marie's with one generated text in it, or several."""
    head = f"From: {chance.choice(_FROMS)}\r\nSubject: {chance.choice(_SUBJECTS)}\r\nMIME-Version: 1.0\r\n"
    shape = chance.random()
    if shape < 0.6:
        return head.encode() + _plain(chance)
    if shape < 0.7:
        return head.encode() + _rich(chance)
    parts = [
        _plain(chance) if chance.random() < 0.6 else _rich(chance)
        for _ in range(chance.choice((1, 2, 2, 3, 25)))
    ]
    kind = chance.choice((b"alternative", b"alternative", b"mixed", b"related", b"signed", b"digest"))
    body = b"".join(b"--=_b\r\n" + part + b"\r\n" for part in parts)
    return (
        head.encode()
        + b"Content-Type: multipart/"
        + kind
        + b'; boundary="=_b"\r\n\r\n'
        + body
        + b"--=_b--\r\n"
    )


def _plain(chance: random.Random) -> bytes:
    text = fuzz_templates.mail(chance) if chance.random() < 0.7 else fuzz_texts.text(chance)
    flowed = chance.choice(("", "", "", "; format=flowed", "; format=flowed; delsp=yes"))
    return _part(chance, f"text/plain{flowed}", text)


def _rich(chance: random.Random) -> bytes:
    pieces = chance.choices(_TAGS, k=chance.choice((5, 40, 400)))
    words = ["To: 06 39 98 12 34", "Bonjour", "x" * 50, "-- ", "Le 12 mai 2026 à 09:41, a@b a écrit :", ""]
    text = "".join(piece + chance.choice(words) for piece in pieces) * chance.choice((1, 1, 1, 1, 30))
    return _part(chance, "text/html", text)


def _part(chance: random.Random, kind: str, text: str) -> bytes:
    charset, encoding = chance.choice(_CHARSETS), chance.choice(_ENCODINGS)
    data = text.encode(charset, "replace") if charset != "utf-8" else text.encode("utf-8", "surrogatepass")
    if "base64" in encoding:
        data = base64.encodebytes(data)
    elif encoding.lower() == "quoted-printable":
        data = binascii.b2a_qp(data)
    name = charset if chance.random() < 0.9 else chance.choice(_NAMES)
    head = f"Content-Type: {kind}; charset={name}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
