"""Generated and hostile addresses: what clients write in MAIL and RCPT, and what mails say in From. Data, not tests."""

from __future__ import annotations

import random

COMMAND_CHARACTERS = 990  # of an argument: the listener takes lines of 1,000 bytes
FIELD_BYTES = 4096  # of a From field: longer ones are refused unread

_LOCALS = (
    *(
        "33639981234",
        "+33639981234",
        "0033639981234",
        "0639981234",
        '"06 39 98 12 34"',
        "06.39.98.12.34",
        "sms",
    ),
    *(
        "33639981234+rabcdefghij",
        "33639981234+RABCDEFGHIJ",
        "33639981234+r1",
        "oncall",
        "881612345678",
        "18764567890",
    ),
    *(
        '"a b"',
        '"a\\"b"',
        '"\\',
        '""',
        "a.b",
        ".a",
        "a.",
        "a..b",
        "é",
        "a" * 64,
        "a" * 65,
        "9" * 64,
        "+",
        "+" * 60,
    ),
    *(
        "a%b",
        "a!b",
        "a@b",
        "a\u202eb",
        "\ud800",
        "\u212a",
        "ａ",
        "０６３９９８１２３４",
        "٠٦٣٩٩٨١٢٣٤",
        "=?utf-8?q?a?=",
        "{to}",
    ),
)
_DOMAINS = (
    *(
        "sms.acme.example",
        "SMS.ACME.EXAMPLE",
        "acme.example",
        "acme.example.",
        ".acme.example",
        "a..b",
        "a_b.example",
    ),
    *(
        "[127.0.0.1]",
        "[IPv6:::1]",
        "[]",
        "[" + "1" * 61 + "]",
        "xn--a",
        "exa\u212aple",
        "é.example",
        "",
        "a" * 255,
    ),
    *(
        "a." * 126 + "a",
        "a." * 130,
        "-a.example",
        "127.0.0.1",
        "acme.example\x00",
        "acme.example\r\nRSET",
        "a b",
    ),
)
_AROUND = (("<", ">"),) * 12 + (
    *(("", ""), ("<", ""), ("", ">"), ("<<", ">>"), ("<@a,@b:", ">"), (" <", ">"), ("<", "> "), ("< ", " >")),
    *(("<", ">>"), ("\t<", ">"), ("<", ">\x00"), ("<", ">SIZE=1")),
)
_PARAMETERS = (
    *(
        "",
        "",
        "",
        "",
        " SIZE=1",
        " SIZE=99999999999999999999",
        " SIZE=" + "9" * 900,
        " SIZE=-1",
        " SIZE=٣",
        " BODY=8BITMIME",
    ),
    *(
        " BODY=x",
        " SMTPUTF8",
        " SMTPUTF8=1",
        " AUTH=<>",
        " AUTH=",
        " RET=HDRS",
        " NOTIFY=NEVER",
        " X" * 400,
        " =" * 400,
    ),
)
_KEYWORDS = ("FROM:", "FROM:", "FROM:", "from:", "TO:", "FROM", "FROM :", "")
_UNITS: tuple[str, ...] = (
    "a.",
    ".",
    "@",
    "<",
    ">",
    '"',
    "\\",
    '\\"',
    "(",
    ")",
    ",",
    ":",
    ";",
    "[",
    "]",
    "é",
    "\u0301",
    " ",
    "\t",
    "a@b,",
)
_UNITS += (
    "=?a?b?",
    "=?utf-8?q?=41?= ",
    "a<b@c>,",
    '"a" <',
    "(a)",
    "9",
    "-",
    "\u202e",
    "İ",
    "ﷺ",
    "\x00",
    "(\\",
    "::",
    "<a@",
)
_PIECES = (
    *(
        "marie@acme.example",
        "<marie@acme.example>",
        "Marie Dubois",
        '"Dubois, Marie"',
        "(her)",
        "=?utf-8?q?Marie?=",
        ",",
    ),
    *(
        "<",
        ">",
        '"',
        "(",
        ")",
        "\\",
        ":",
        ";",
        "@",
        " ",
        "\t",
        "[",
        "]",
        "é",
        "\u0430cme.example",
        "<@a:b@c>",
        "a b@c",
    ),
    *(
        "undisclosed: ;",
        "group: a@b, c@d;",
        "marie@acme.example <evil@x.example>",
        "\x00",
        "\x85",
        "\u2028",
        "\u202e",
    ),
)

_AUTHORS = (
    *(
        "marie@acme.example",
        "Marie Dubois <marie@acme.example>",
        '"Dubois, Marie" <marie@acme.example>',
        "<m@a.example>",
    ),
    *(
        "=?utf-8?q?=C3=89lodie?= <elodie@acme.example>",
        "marie@acme.example (Marie)",
        '"marie@acme.example" <marie@acme.example>',
    ),
)


def path(chance: random.Random) -> str:
    """Return the argument of a MAIL or RCPT command."""
    shape = chance.random()
    if shape < 0.02:
        return _repeated(chance, COMMAND_CHARACTERS, chance.choice(("FROM:<", "FROM:", "TO:<", "FROM:<a@")))
    if shape < 0.4:
        words = f"TO:<{chance.choice(_LOCALS)}@sms.acme.example>"
        return _mutated(chance, words) if shape < 0.2 else words
    before, after = chance.choice(_AROUND)
    address = _mutated(chance, f"{chance.choice(_LOCALS)}@{chance.choice(_DOMAINS)}")
    whole = chance.choice(_KEYWORDS) + before + address + after + chance.choice(_PARAMETERS)
    return whole[:COMMAND_CHARACTERS]


def author(chance: random.Random) -> str:
    """Return the value of a From field, in characters that each are one byte."""
    shape = chance.random()
    if shape < 0.02:
        text = _repeated(chance, FIELD_BYTES, chance.choice(("", '"', "(", "Marie <", "a@", "a <b@c> ")))
    elif shape < 0.4:
        text = _mutated(chance, chance.choice(_AUTHORS))
    else:
        text = _mutated(
            chance, "".join(chance.choices(_PIECES, k=chance.randint(0, chance.choice((2, 4, 30)))))
        )
    return text.encode("utf-8", "surrogatepass")[:FIELD_BYTES].decode("latin-1")


def _repeated(chance: random.Random, size: int, head: str) -> str:
    """Return one shape as long as may be."""
    unit = "".join(chance.choices(_UNITS, k=chance.choice((1, 1, 2, 3))))
    tail = chance.choice(("", ">", '"', ")", "@acme.example>", "<marie@acme.example>"))
    return (head + unit * size)[: size - len(tail)] + tail


def _mutated(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        at, size = chance.randrange(len(text) + 1), chance.choice((0, 1, 1, 5))
        piece = chance.choice((*_UNITS, chr(chance.randrange(1, 0x300)), chr(chance.randrange(1, 0x11000))))
        text = text[:at] + piece * chance.choice((1, 1, 2, 70)) + text[at + size :]
    return text
