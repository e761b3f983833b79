"""Generated texts for numbers and segments: whatever is thrown at them, only their own refusals come out."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from mail2sms import numbers, segments
from mail2sms.errors import BadNumber

_PIECES = (
    *("+33639981234", "06 39 98 12 34", "0033", "(0)", "٠٦", "+", "1-800-FLOWERS", ";ext=", "tel:", "9" * 30),
    *(
        "\u202e",
        "\u00a0",
        "é",
        "€",
        "[",
        "\x1b",
        "😀",
        "👩\u200d👩\u200d👧",
        "e\u0301",
        "\ud83d",
        "œ",
        "…",
        "🇫🇷",
    ),
    *("\r\n", "\t", "\x00", "“", "中", "a" * 160, "\u200b", "ﬁ", "\ufe0f"),
)
_COUNTRIES = ("FR", "US", "IT", "GB", "DK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was tried and what it cost at most, in seconds of CPU."""

    runs: int
    refusals: int
    max_cpu_s: float


def fuzz(count: int, seed: int) -> Figures:
    """Read and segment `count` generated texts. Raises whatever is no refusal, or an AssertionError."""
    chance = random.Random(seed)
    refusals, slowest = 0, 0.0
    for _ in range(count):
        generated = text(chance)
        began = time.process_time()
        refusals += _read(generated, chance.choice(_COUNTRIES))
        check_segments(generated)
        slowest = max(slowest, time.process_time() - began)
    return Figures(runs=count, refusals=refusals, max_cpu_s=slowest)


def text(chance: random.Random) -> str:
    """Return a text of odd pieces."""
    pieces = chance.choices(_PIECES, k=chance.randint(0, chance.choice((3, 10, 200))))
    return "".join(pieces) + "".join(chr(chance.randrange(0x11000)) for _ in range(chance.randint(0, 5)))


_UNITS = (
    *(
        "a",
        "é",
        "€",
        "[",
        "\u0301",
        "e\u0301",
        "\u0316\u0301",
        "👍🏿",
        "👩\u200d👧",
        "🇫🇷",
        "\u200d",
        "\ufe0f",
        "ﷺ",
        "ﬁ",
        "…",
    ),
    *(
        "\r\n",
        "\r",
        "\n",
        " ",
        "\t",
        "\x1b",
        "\x85",
        "\u2028",
        "\ud83d",
        "\ufdd0",
        "\u202e",
        "\u1100\u1161\u11a8",
        "> ",
        "-",
    ),
    *(
        "On 12:30 <a@b> wrote:\n",
        "From: a\nSent: b\n",
        "-- \n",
        "---- Original Message ----\n",
        "Sent from my iPhone\n",
    ),
    *(
        "Bonjour ",
        "<https://a.example> ",
        "This message is confidential; delete it.\n\n",
        "De : x\nÀ : y\n",
        "\u00ad",
    ),
)


def long_text(chance: random.Random, largest: int = 65_536) -> str:
    """Return a text of up to the largest size, of a few shapes over and over."""
    unit = "".join(chance.choices(_UNITS, k=chance.choice((1, 1, 2, 3, 8))))
    size = chance.choice((500, 5000, largest))
    return chance.choice(("", "Bonjour\n", "e")) + (unit * (size // len(unit) + 1))[:size]


_DIGITS = ("0123456789", "0123456789", "0123456789", "٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９", "0123456789abcdef")
_SEPARATORS = ("", "", " ", "-", ".", "/", "\u00a0", "(", ")", "\u202a", "\u2011", "x", ";ext=", ",", "+")
_STARTS = (
    "+",
    "+33",
    "0033",
    "06",
    "0",
    "+1",
    "+44",
    "+39",
    "+881",
    "+882",
    "+7",
    "1",
    "(0)",
    "tel:+",
    "TEL:",
    "+33 (0)",
    "",
)


_NATIONAL = (
    "639981234",
    "639980101",
    "123456789",
    "800123456",
    "7700900123",
    "17640690123",
    "2025550123",
    "33312345",
)


def number(chance: random.Random) -> str:
    """Return what may be meant for a number."""
    shape = chance.random()
    if shape < 0.1:
        return text(chance)
    digits = "".join(
        chance.choices(chance.choice(_DIGITS), k=chance.choice((3, 6, 8, 9, 10, 11, 15, 40, 3000)))
    )
    if shape < 0.7:
        digits = chance.choice(_NATIONAL)
        at = chance.randrange(len(digits) + 1)
        digits = (
            digits[:at] + chance.choice(("", "", "", "0", "99")) + digits[at + chance.choice((0, 0, 1, 2)) :]
        )
    size, separator = chance.choice((1, 2, 3, 4, 40)), chance.choice(_SEPARATORS)
    groups = [digits[at : at + size] for at in range(0, len(digits), size)]
    written = chance.choice(_STARTS) + separator.join(groups)
    if chance.random() < 0.2:
        at = chance.randrange(len(written) + 1)
        written = written[:at] + chance.choice(_PIECES) + written[at:]
    return written


def _read(text: str, country: str) -> int:
    refused = 0
    for read in (numbers.read, numbers.from_local_part, numbers.read_sender_id):
        try:
            found = read(text, country)
        except BadNumber:
            refused += 1
        else:
            assert found is None or len(found) <= 16
    return refused


def check_segments(text: str) -> None:
    """Its segments are the text, none is too long, and there are as many as were counted."""
    ready = segments.fold(segments.clean(text))
    segments.unsendable(ready)
    parts = segments.split(ready)
    limit = {"gsm7": (160, 153), "ucs2": (70, 67)}[segments.encoding(ready)][len(parts) > 1]
    assert "".join(part.text for part in parts) == ready
    assert all(part.units <= limit for part in parts)
    counted = segments.count(ready)
    assert len(parts) == counted or len(parts) >= counted > 255  # beyond it is only known not to be too many
