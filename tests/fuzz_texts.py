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
        text = _text(chance)
        began = time.process_time()
        refusals += _read(text, chance.choice(_COUNTRIES))
        _segment(text)
        slowest = max(slowest, time.process_time() - began)
    return Figures(runs=count, refusals=refusals, max_cpu_s=slowest)


def _text(chance: random.Random) -> str:
    pieces = chance.choices(_PIECES, k=chance.randint(0, chance.choice((3, 10, 200))))
    return "".join(pieces) + "".join(chr(chance.randrange(0x11000)) for _ in range(chance.randint(0, 5)))


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


def _segment(text: str) -> None:
    ready = segments.fold(segments.clean(text))
    segments.unsendable(ready)
    parts = segments.split(ready)
    limit = {"gsm7": (160, 153), "ucs2": (70, 67)}[segments.encoding(ready)][len(parts) > 1]
    assert "".join(part.text for part in parts) == ready
    assert all(part.units <= limit for part in parts)
    assert len(parts) == segments.count(ready)
