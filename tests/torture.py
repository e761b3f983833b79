"""Inputs made to cost much, each with a name: fixed, so that what one of them once cost is never forgotten.

By kind, as the proof `inputs` takes them: mails are bytes, the rest is text. Those of `fuzz_mails.HOSTILE` belong to
the mails. Data, not tests.
"""

from __future__ import annotations

from tests.fuzz_mails import HOSTILE

LARGEST = 65_536  # characters of a text
_HEAD = (
    b"From: marie@acme.example\r\nTo: sms@sms.acme.example\r\nSubject: x\r\nMessage-ID: <1@acme.example>\r\n"
)


def _field(name: bytes, unit: bytes, size: int, head: bytes = b"") -> bytes:
    """Return a mail with one field of `size` bytes, folded."""
    body = (head + unit * (size // len(unit) + 1))[:size]
    folded = b"\r\n ".join(body[at : at + 900] for at in range(0, size, 900))
    return _HEAD + name + b": " + folded + b"\r\n\r\nTo: 06 39 98 12 34\r\n\r\nBonjour\r\n"


def _plain(text: str | bytes, charset: str = "utf-8", encoding: bytes = b"8bit") -> bytes:
    body = (
        text
        if isinstance(text, bytes)
        else text.encode(charset, "surrogatepass" if "16" in charset else "replace")
    )
    kind = b"Content-Type: text/plain; charset=" + charset.encode()
    return _HEAD + kind + b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body + b"\r\n"


def _html(unit: str, size: int = 200_000, tail: str = "") -> bytes:
    body = (unit * (size // len(unit) + 1))[:size] + tail
    return (
        _HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + body.encode("utf-8", "replace") + b"\r\n"
    )


def _parts(*parts: bytes, kind: bytes = b"mixed") -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return _HEAD + b"Content-Type: multipart/" + kind + b"; boundary=b\r\n\r\n" + body + b"--b--\r\n"


def _template(unit: str, head: str = "", tail: str = "\n\nBonjour") -> str:
    return (head + unit * (LARGEST // len(unit)))[: LARGEST - len(tail)] + tail


def _text(unit: str) -> str:
    return (unit * (LARGEST // len(unit) + 1))[:LARGEST]


_CONTENT_TYPE = b"Content-Type: text/plain" + b';\r\n aaaaaaaaaaaaaa="bbbbbbb\\"bbb"' * 120
_OVERLONG = {
    "semicolons": b";",
    "quotes": b'"',
    "escaped quotes": b'\\"',
    "opened parameters": b';a="',
    "encoded parameters": b";a*0*=%41",
    "opened comments": b"(",
    "closed comments": b")",
    "colons": b":",
    "angles": b"<",
    "commas": b"a@b,",
    "dots": b"a.",
    "encoded words": b"=?utf-8?q?=41?= ",
    "half encoded words": b"=?a?b?",
    "high bytes": b"\xc3\xa9",
    "blanks": b" ",
}
_FIELD_NAMES: tuple[bytes, ...] = (
    b"From",
    b"To",
    b"Subject",
    b"Content-Type",
    b"Content-Disposition",
    b"References",
    b"In-Reply-To",
)
_FIELD_NAMES += (b"Content-Transfer-Encoding", b"Auto-Submitted", b"Thread-Index", b"Date", b"Received")

MAILS: dict[str, bytes] = {
    **{f"hostile: {name}": raw for name, raw in HOSTILE.items()},
    **{
        f"{name.decode()} of {size} bytes of {what}": _field(name, unit, size)
        for name in _FIELD_NAMES
        for what, unit in _OVERLONG.items()
        for size in (1000, 4000)
    },
    "seven Content-Type fields of 4 kB": _HEAD + (_CONTENT_TYPE + b"\r\n") * 7 + b"\r\nx",
    "fifteen Content-Type fields of 4 kB": _HEAD + (_CONTENT_TYPE + b"\r\n") * 15 + b"\r\nx",
    "fifteen parts with 4 kB Content-Type fields": _parts(*[_CONTENT_TYPE + b"\r\n\r\nx"] * 15),
    "fifteen parts of 4 kB of semicolons": _parts(
        *[b"Content-Type: text/plain" + b";" * 3900 + b"\r\n\r\nx"] * 15
    ),
    "two hundred fields": _HEAD + b"X: y\r\n" * 190 + b"\r\nx",
    "5,000 addresses": _field(b"Cc", b"a@acme.example, ", 15_900),
    "5,000 numbers": _plain("To: " + ", ".join(f"06 39 98 {n // 100:02} {n % 100:02}" for n in range(3000))),
    "base64 on one line": _plain(b"QUJD" * 200_000, encoding=b"base64"),
    "quoted-printable on one line": _plain(b"=41" * 300_000, encoding=b"quoted-printable"),
    "quoted-printable soft breaks": _plain(b"=\r\n" * 300_000, encoding=b"quoted-printable"),
    "one line": _plain("a" * 900_000),
    "quoted lines": _plain("> a\r\n" * 20_000),
    "attributions": _plain("On 12:30 a@b wrote:\r\n" * 3000),
    "Outlook heads": _plain("From: a\r\nSent: b\r\nTo: c\r\nSubject: d\r\n" * 1500),
    "rulers": _plain("-----Original Message\r\n" * 3000),
    "combining characters": _plain("e" + "\u0301" * 32_000),
    "combining characters in lines": _plain(("e" + "\u0301" * 20 + "\r\n") * 1500),
    "right to left": _plain("\u202e\u2066a\u2069" * 6000),
    "emoji": _plain("👩\u200d👩\u200d👧\u200d👦" * 2500),
    "zero width": _plain("\u200b\u200d\ufeff" * 7000),
    "utf-7": _plain(b"+AKA-" * 12_000, charset="utf-7"),
    "utf-7 of surrogates": _plain(b"+" + b"2ADYANgA" * 8000 + b"-", charset="utf-7"),
    "utf-16": _plain("\ud83d\n" * 8000, charset="utf-16"),
    "html: <a": _html("<a "),
    "html: <!--": _html("<!--"),
    "html: <": _html("<"),
    "html: &": _html("&"),
    "html: entities": _html("&#x41;&amp;&nbsp;"),
    "html: tables": _html("<table><tr><td>"),
    "html: closed tables": _html("<table><tr><td>x</td></tr></table>"),
    "html: blockquotes": _html("<blockquote>"),
    "html: attributes": _html("<p a=b " + "c=d " * 20_000, tail=">x"),
    "html: styles": _html('<p style="display:none;margin:0 0 0 0;border:none">x</p>'),
    "html: spans": _html("<span>x</span>"),
    "html: quotes that begin with a control character": _html("<blockquote>\x1bx</blockquote>"),
    "html: signatures that begin with a control character": _html("<div class=signature>\x0bx</div>"),
    "html: bold": _html("<b>"),
    "html: lists": _html("<ul><li>x"),
    "html: preformatted": _html("<pre>\n\n  x"),
    "html: blanks": _html("<p> &nbsp; </p>"),
    "html: scripts": _html("<script>x</script>"),
    "html: colspans": _html('<table><tr><td colspan="1000000000" rowspan="1000000000">x</td></tr></table>'),
    "html beside an empty text": _parts(
        b"Content-Type: text/plain\r\n\r\n",
        b"Content-Type: text/html\r\n\r\n" + b"<p>x</p>" * 20_000,
        kind=b"alternative",
    ),
}

_NUMBER = "06 39 98 12 34"
TEMPLATES: dict[str, str] = {
    "10,000 labels": _template("Colour: red\n"),
    "10,000 near labels": _template("Tel: 06\n"),
    "10,000 labels of To": _template(f"To: {_NUMBER}\n"),
    "numbers": _template("06 39 98 12 35, ", "To: "),
    "different numbers": "To: "
    + ", ".join(f"06 39 {n // 10_000:02} {n // 100 % 100:02} {n % 100:02}" for n in range(3500)),
    "150 different numbers": "To: " + ", ".join(f"0639{n:06}" for n in range(150)) + "\n\nBonjour",
    "150 wrong numbers": "To: " + ", ".join(f"0739{n:06}9" for n in range(150)) + "\n\nBonjour",
    "150 numbers with letters": "To: " + ", ".join(f"06x{n:06}" for n in range(150)) + "\n\nBonjour",
    "150 numbers of anywhere": "To: " + ", ".join(f"+{n + 100}39981234" for n in range(150)) + "\n\nBonjour",
    "150 numbers on lines of their own": "To: "
    + ",\n".join(f"0639{n:06}" for n in range(150))
    + "\n\nBonjour",
    "numbers broken over lines": _template("06 39\n98 12 35,", "To: "),
    "teams": _template("@oncal, ", "To: "),
    "commas": _template(",", "To: "),
    "brackets": _template("(", "To: "),
    "names with angles": _template("Marie <06 39 98 12 34>, ", "To: "),
    "a number of 10,000 digits": "To: " + "9" * 10_000 + "\n\nBonjour",
    "a number with 60,000 dots": "To: 06" + "." * 60_000 + "39981234\n\nBonjour",
    "a time of 60,000 digits": f"To: {_NUMBER}\nAt: {'9' * 60_000}\n\nBonjour",
    "a time of many words": _template("1h ", f"To: {_NUMBER}\nAt: "),
    "a time of many colons": _template("1:", f"To: {_NUMBER}\nAt: "),
    "a validity of many parts": _template("1h 2m ", f"To: {_NUMBER}\nExpires: "),
    "a validity of 60,000 digits": f"To: {_NUMBER}\nExpires: {'9' * 60_000}h\n\nBonjour",
    "a reference of 60,000 characters": f"To: {_NUMBER}\nRef: {'x' * 60_000}\n\nBonjour",
    "a sender of 60,000 characters": f"To: {_NUMBER}\nFrom: {'é' * 60_000}\n\nBonjour",
    "labels without a colon": _template("To 06 39 98 12 34\n"),
    "equals instead of colons": _template("To = 06 39 98 12 34\n"),
    "lines of blanks": _template(" \n", f"To: {_NUMBER}\n"),
    "blank lines": _template("\n"),
    "one line of blanks": _template(" ", f"To: {_NUMBER}\n"),
    "end markers that are none": _template("## x\n", f"To: {_NUMBER}\n\n"),
    "signs": _template("##", f"To: {_NUMBER}\n\n"),
    "signatures": _template("-- \n", f"To: {_NUMBER}\n\n"),
    "quoted lines": _template("> x\n", f"To: {_NUMBER}\n\n"),
    "labels with marks": _template("T\u0301\u0301\u0301o: 1\n"),
    "labels of ligatures": _template("ﷺ: 1\n"),
    "labels of dotted letters": _template("İ: 1\n"),
    "labels that are nearly one": _template("Expirez: 2h\n"),
    "values that look like times": _template("x: 12/05/2026 14:30\n"),
    "wide colons": _template("To：06 39 98 12 34\n"),
    "direction marks": _template("\u202aTo\u202c: 06\n"),
}

NUMBERS: dict[str, str] = {
    "10,000 digits": "9" * 10_000,
    "1,000,000 digits": "9" * 1_000_000,
    "a plus and 10,000 digits": "+" + "3" * 10_000,
    "pluses": "+" * 10_000,
    "brackets": "(" * 10_000,
    "blanks around": " " * 30_000 + "0639981234" + " " * 30_000,
    "dots between": "0" + "." * 30_000 + "639981234",
    "zeros": "0" * 10_000,
    "Arabic digits": "٠" * 10_000,
    "full-width digits": "６" * 10_000,
    "letters": "a" * 10_000,
    "a vanity number": "1-800-" + "FLOWERS" * 1000,
    "extensions": "0639981234;ext=" * 1000,
    "tel": "tel:" * 1000,
    "marks": "\u0301" * 10_000,
    "forty characters": "+33 (0) 6.39-98 12 34 / 06 39 98 12 34 5",
    "quoted": '"' * 10_000,
    "surrogates": "\ud83d" * 1000,
    **{
        f"the country +{code}": f"+{code}39981234"
        for code in (1, 7, 39, 44, 49, 86, 91, 262, 379, 599, 800, 881, 979)
    },
}

TEXTS: dict[str, str] = {
    "combining characters": _text("\u0301"),
    "letters with a mark": _text("e\u0301"),
    "letters with thirty marks": _text("e" + "\u0301" * 30),
    "letters with marks of two kinds": _text("e" + "\u0301\u0316" * 15),
    "letters with forty marks of two kinds": _text("e" + "\u0316\u0301" * 20),
    "Hangul": _text("\u1100\u1161\u11a8"),
    "ligatures": _text("ﷺ"),
    "right to left": _text("\u202e\u2066\u05d0\u2069\u202c"),
    "emoji": _text("👍🏿"),
    "families": _text("👩\u200d👩\u200d👧\u200d👦"),
    "flags": _text("🇫🇷"),
    "one flag without end": _text("🇫"),
    "tags": _text("\U0001f3f4" + "\U000e0067" * 20),
    "joiners": _text("\u200d"),
    "variation selectors": _text("\ufe0f"),
    "keycaps": _text("1\ufe0f\u20e3"),
    "zero width": _text("\u200b"),
    "soft hyphens": _text("a\u00ad"),
    "euros": _text("€"),
    "brackets": _text("[]"),
    "typography": _text("“…”’—"),
    "typography and one letter": "中" + _text("“…”’—")[1:],
    "escapes": _text("\x1b"),
    "C1 controls": _text("\x80\x9f"),
    "line ends": _text("\r\n"),
    "carriage returns": _text("\r"),
    "blank lines": _text(" \n"),
    "blanks": _text(" "),
    "tabs": _text("\t"),
    "separators": _text("\u2028\u2029\x85"),
    "surrogates": _text("\ud83d"),
    "noncharacters": _text("\ufdd0\ufffe"),
    "one line": _text("a"),
    "words": _text("Bonjour à tous. "),
    "quoted lines": _text("> > a\n"),
    "attributions": _text("On 12 May 2026 at 09:41, a@b wrote:\n"),
    "half attributions": _text("On 12:30 <a@b> \n"),
    "Outlook heads": _text("From: a\nSent: b\nTo: c\nSubject: d\n"),
    "rulers": _text("-----\n"),
    "original messages": _text("---- Original Message ----\n"),
    "sent from": _text("Sent from my iPhone\n"),
    "disclaimers": _text("This message is confidential and intended for the addressee only; delete it.\n\n"),
    "links": _text("<https://acme.example/>"),
    "angles": _text("<"),
    "signs": _text("-- \n"),
}

_LONG_PATH, _LONG_FIELD = 980, 4090
PATHS: dict[str, str] = {
    f"{head}{unit!r} x n{tail}": (head + unit * _LONG_PATH)[: _LONG_PATH - len(tail)] + tail
    for head in ("FROM:<", "FROM:<a@", 'FROM:<"', "FROM:<a@b>")
    for unit in ("a.", "a", '\\"', "@", "-", "a@", " ", "\u0301", "é.", "[", ",@a", "9")
    for tail in ("", ">", '"@b>', "@b>")
}
AUTHORS: dict[str, str] = {
    f"{head}{unit!r} x n{tail}": (head + unit * _LONG_FIELD)[: _LONG_FIELD - len(tail)] + tail
    for head in ("", '"', "(", "a <")
    for unit in (
        "(",
        ")",
        "()",
        "(a)",
        '"',
        '\\"',
        '""',
        ":",
        ";",
        "<",
        ">",
        "<>",
        ",",
        "a@b,",
        "a.",
        "=?",
        "=?a?b?",
        " ",
    )
    for tail in ("", "<marie@acme.example>")
} | {
    f"{unit!r} x n": unit * (_LONG_FIELD // len(unit))
    for unit in ("\t", "é", "\x00", "[", "a b ", "a<b@c>,", '"a"<b@c>,')
}
