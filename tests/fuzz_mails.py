"""Generated mails, mutated and hostile: what reading them costs, and that nothing but Refusal comes out.

`fuzz(count, seed)` is what both the test (a small count) and the proof (a big one) call. Data, not tests.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mail2sms.errors import Refusal
from mail2sms.intake import mime, quotes

MAILS = Path(__file__).parent / "mails"

_PLAIN = b"From: a@acme.example\r\nSubject: x\r\n"
_FOLD = b"\r\n "


def _folded(head: bytes, unit: bytes, size: int) -> bytes:
    """One header field of `size` bytes, folded so that no line is longer than 900."""
    body = (unit * (size // len(unit) + 1))[:size]
    return head + _FOLD.join(body[at : at + 900] for at in range(0, size, 900)) + b"\r\n"


def _nested(depth: int) -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)
    )
    return _PLAIN + opened + b"\r\nx\r\n"


def _multipart(body: bytes) -> bytes:
    return _PLAIN + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body


def _text(body: bytes, encoding: bytes = b"8bit", parameters: bytes = b"") -> bytes:
    head = b"Content-Type: text/plain" + parameters + b"\r\nContent-Transfer-Encoding: " + encoding
    return _PLAIN + head + b"\r\n\r\n" + body


def _mixed(parts: list[bytes], kind: bytes = b"mixed", boundary: bytes = b"b") -> bytes:
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts)
    return b"Content-Type: multipart/%s; boundary=%s\r\n\r\n%s--%s--\r\n" % (kind, boundary, body, boundary)


def _deep(depth: int, inner: bytes, kind: bytes = b"alternative") -> bytes:
    for level in range(depth):
        inner = _mixed([inner], kind, b"n%d" % level)
    return _PLAIN + inner


def _part(body: bytes, parameters: bytes = b"") -> bytes:
    return b"Content-Type: text/plain" + parameters + b"\r\n\r\n" + body


_UNKNOWN_WORDS = b" ".join(b"=?x%d?q?=80=81=82=83=84=85?=" % n for n in range(130))

HOSTILE: dict[str, bytes] = {
    **{
        f"{name} {size}": _folded(head, unit, size) + b"\r\nx"
        for size in (1000, 3900, 15_000, 100_000)
        for name, head, unit in (
            ("content-type ;;;;", b"Content-Type: text/plain", b";"),
            ('content-type s=";;', b'Content-Type: text/plain; s="', b";"),
            ('content-type ;a="', b"Content-Type: text/plain", b';a="'),
            ('content-type ;a="\\', b"Content-Type: text/plain", b';a="\\'),
            ("content-type ;a*0=", b"Content-Type: text/plain", b";a*0*=%41"),
            ("content-type blanks", b"Content-Type: text/plain;", b" "),
            ("disposition", b"Content-Disposition: attachment", b"; filename*1*=a'"),
            ("from ((((", b"From: ", b"("),
            ("from ::::", b"From: ", b":"),
            ("from <<<<", b"From: ", b"<"),
            ('from """"', b"From: ", b'"'),
            ('from \\"\\"', b'From: "', b'\\"'),
            ("from dots", b"From: ", b"a."),
            ("from commas", b"From: ", b"a@b,"),
            ("from blanks", b"From: a", b" "),
            ("from labels", b"From: a@", b"a-"),
            ("to list", b"To: ", b"a.b.c@acme.example, "),
            ("references <", b"References: ", b"<"),
            ("references <a", b"References: ", b"<a "),
            ("subject =?", b"Subject: ", b"=?"),
            ("subject =?a?b?", b"Subject: ", b"=?a?b?"),
            ("subject words", b"Subject: ", b"=?utf-8?q?=41?= "),
            ("subject charsets", b"Subject: ", b"=?idna?q?xn--a?= =?unicode_escape?q?=5Cx?= "),
            ("date", b"Date: ", b"1 "),
        )
    },
    "multipart nested 19": _nested(19),
    "multipart nested 1000": _nested(1000),
    "message nested 1000": _PLAIN + b"Content-Type: message/rfc822\r\n\r\n" * 1000,
    "digest": _PLAIN + b"Content-Type: multipart/digest; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 5000,
    "10,000 parts": _multipart(b"--b\r\n\r\nx\r\n" * 10_000),
    "boundaries that are none": _multipart(b"--bb\r\n" * 100_000),
    "boundaries of boundaries": _PLAIN
    + b"".join(
        b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n" % (b"b" * n, b"b" * n)
        for n in range(1, 19)
    )
    + (b"--" + b"b" * 30 + b"\r\n") * 20_000,
    "empty multiparts": _multipart(b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n" * 5000),
    "boundary and a long line": _multipart(b"--b" + b" " * 500_000 + b"x\r\n" + b"\r\n--b" * 100_000),
    "almost boundaries": _multipart(b"\r\n--" * 200_000),
    "parts without an end": _multipart(b"--b\r\n" + b"X: y\r\n" * 100 + b"\r\n" + b"x" * 900_000),
    "300 fields": b"X: y\r\n" * 300 + b"\r\n",
    "60 Received": b"Received: from a\r\n" * 60 + b"\r\n",
    "no header end": b"X: y" + b"z" * 900_000,
    "newlines": _text(b"\r\n" * 400_000),
    "flowed": _text(b"a \r\n" * 30_000, parameters=b"; format=flowed"),
    "flowed short": _text(b" \r\n" * 4900, parameters=b"; format=flowed; delsp=yes"),
    "quotes": _text(b">" * 65_000),
    "soft breaks": _text(b"=\r\n" * 30_000, b"quoted-printable"),
    "equals": _text(b"=" * 65_000, b"quoted-printable"),
    "bad base64": _text(b"A=B==C===" * 7000, b"base64"),
    "high bytes": _text(bytes(range(128, 256)) * 500),
    "iso-2022": _text(b"\x1b$B" * 20_000, parameters=b"; charset=iso-2022-jp"),
    "hz": _text(b"~{" * 30_000, parameters=b"; charset=hz-gb-2312"),
    "utf-7": _text(b"+AAA-" * 12_000, parameters=b"; charset=utf-7"),
    "attributions": _text(b"On 12:30 a@b wrote\r\nLe 1:\r\n" * 2500),
    "labels": _text(b"From: a@b\r\nTo: c\r\n" * 3000),
    # What is asked again at each level, and what no single part has too much of.
    "alternatives of flowed": _deep(18, _mixed([_part(b" \r\n" * 5000, b"; format=flowed")] * 19)),
    "few alternatives of flowed": _deep(4, _mixed([_part(b" \r\n" * 2000, b"; format=flowed")] * 19)),
    "alternatives of blanks": _deep(18, _mixed([_part(b" " * 15_000)] * 19)),
    "alternatives of utf-7": _deep(18, _mixed([_part(b"+AKA-" * 3000, b"; charset=utf-7")] * 19)),
    "folded headers of 30 parts": _PLAIN + _mixed([b"X:\r\n" + b" \r\n" * 10_800 + b"\r\n"] * 30),
    "fields of 19 parts": _PLAIN + _mixed([b"X: y\r\n" * 100 + b"\r\nx"] * 19),
    "parameters of 98 parts": _PLAIN
    + _mixed([_part(b"x", b";a*=%80%81%82%83%84%85" * 40 + b"\r\n " + b";a*0*=%41" * 90)] * 98),
    "20 levels of almost boundaries": _deep(20, b"\r\n" + b"\n--" * 330_000, b"mixed"),
    "2 levels of almost boundaries": _deep(2, b"\r\n" + b"\n--" * 330_000, b"mixed"),
    "20 levels of newlines": _deep(20, b"\r\n" + b"\n" * 990_000, b"mixed"),
    "newlines beside text": _PLAIN
    + _mixed([_part(b"x"), b"Content-Type: text/html\r\n\r\n" + b"\n" * 980_000], b"alternative"),
    "words of unknown charsets": b"Subject: "
    + _UNKNOWN_WORDS
    + b"\r\nThread-Topic: "
    + _UNKNOWN_WORDS
    + b"\r\n\r\nx",
    "64 kB of commas": _text(b"To: " + b"1," * 32_000),
    "15 parts of commas": _PLAIN + _mixed([_part(b"To: " + b"1," * 32_000)] * 15),
    "short lines": _PLAIN + _mixed([_part(b"a\r\n" * 21_600)] * 15),
    "fields": _PLAIN + _mixed([_part(b"a: b\r\n" * 10_600)] * 15),
    "emoji": _PLAIN + _mixed([_part("😀".encode() * 16_000, b"; charset=utf-8")] * 15),
    "empty": b"",
    "nul": b"\x00" * 1000,
}

_TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\x00",
        b"--",
        b'"',
        b"\\",
        b";",
        b"=",
        b":",
        b"<",
        b">",
        b"(",
        b"@",
        b"%",
    ),
    *(
        b"=?utf-8?b?",
        b"=?x?q?",
        b"?=",
        b"\xff\xfe",
        b"\xc3",
        b"\x1b$B",
        b"*0*=",
        b"''",
        b"boundary=",
        b"charset=",
    ),
    *(
        b"\r\nFrom: x@acme.example",
        b"\r\nContent-Type: multipart/mixed; boundary=a\r\n",
        b"\r\n--a\r\n",
        b"\r\n--a--\r\n",
    ),
    *(
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"utf-16",
        b"utf-7",
    ),
    *(
        b"text/html",
        b"text/plain",
        b"message/rfc822",
        b"format=flowed",
        b"\r\n ",
        b"\t",
        b"99999999999999999999",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FuzzFigures:
    """What came of `mails` mails. `failures` are other exceptions than Refusal, with the number of the mail.

    `slowest` is the mail that cost the event loop most: those for the sandbox only cost it a look.
    """

    mails: int
    letters: int
    refusals: tuple[tuple[str, int], ...]
    failures: tuple[str, ...]
    slowest_s: float
    slowest: bytes


def loop_s(raw: bytes) -> float:
    """Return the seconds of CPU that this mail costs the event loop, until its text is known."""
    started = time.process_time()
    try:
        if not mime.bounds(raw).needs_sandbox:
            quotes.strip(mime.read(raw, html=None).text)
    except Refusal as e:
        assert e.problems[0].reason in {"mail.too_complex", "mail.no_text", "mail.unreadable"}
    return time.process_time() - started


def mutant(chance: random.Random) -> bytes:
    """Return one mutated mail, a real one or a hostile one."""
    whole, seeds = _seeds()
    return _mutated(chance.choice(seeds), whole, chance)


@cache
def _seeds() -> tuple[list[bytes], list[bytes]]:
    whole = [path.read_bytes() for path in sorted(MAILS.glob("*.eml"))]
    return whole, [*whole * 4, *HOSTILE.values()]


def fuzz(count: int, seed: int) -> FuzzFigures:
    """Read `count` mutated mails, the hostile ones among them, and strip their quotes."""
    chance = random.Random(seed)
    reasons: Counter[str] = Counter()
    failures: list[str] = []
    letters, slowest_s, slowest = 0, 0.0, b""
    for number in range(count):
        raw = mutant(chance)
        spent = 0.0
        try:
            spent = loop_s(raw)
            quotes.strip(mime.read(raw, html=str).text)
            letters += 1
        except Refusal as e:
            reasons[e.problems[0].reason] += 1
        except Exception as e:
            failures.append(f"mail {number} of seed {seed}: {e!r}")
        if spent > slowest_s:
            slowest_s, slowest = spent, raw
    return FuzzFigures(
        mails=count,
        letters=letters,
        refusals=tuple(sorted(reasons.items())),
        failures=tuple(failures),
        slowest_s=slowest_s,
        slowest=slowest,
    )


def _mutated(raw: bytes, whole: list[bytes], chance: random.Random) -> bytes:
    for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 8, 20))):
        at = (
            chance.randrange(len(raw) + 1)
            if chance.random() < 0.5
            else chance.randrange(min(len(raw), 1500) + 1)
        )
        end = min(len(raw), at + chance.choice((1, 1, 2, 5, 20, 200)))
        kind = chance.randrange(7)
        if kind == 0:
            piece = bytes([chance.randrange(256)])
        elif kind == 1:
            piece = b""
        elif kind == 2:
            piece = raw[at:end] * 2
        elif kind == 3:
            piece = chance.choice(_TOKENS) * chance.choice((1, 1, 1, 50, 2000))
        elif kind == 4:
            other = chance.choice(whole)
            start = chance.randrange(len(other))
            piece = other[start : start + chance.choice((10, 100, 1000))]
        elif kind == 5:
            piece = chance.choice(_TOKENS) + raw[at:end]
        else:
            piece, end = b"", len(raw) if chance.random() < 0.1 else end
        raw = raw[:at] + piece + raw[end:]
    return raw
