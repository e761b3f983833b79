"""How a text becomes SMS segments, and so what it costs; how it is cleaned and folded before. Pure.

Alphabet: 3GPP TS 23.038 section 6.2.1 and its extension table, section 6.2.1.1; no national tables. Sizes:
140 octets of user data, less 6 for the concatenation header with an 8-bit reference (3GPP TS 23.040 section
9.2.3.24.1). Knows nothing of limits, prices, carriers or mail.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class Encoding(StrEnum):
    """How the characters of a message travel: one encoding for all its segments."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One unit as billed. `units` are septets in GSM-7, UTF-16 code units in UCS-2."""

    text: str
    units: int


# In the order of the codes, less 0x1B: a text that brought its own escape could make other characters than
# those that were read and counted.
GSM_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
GSM_EXTENSION = "\f^{}\\[~]|€"  # two septets each

_NOT_GSM = re.compile(f"[^{re.escape(GSM_ALPHABET + GSM_EXTENSION)}]")


def _septets(text: str) -> int:
    return len(text) + sum(map(text.count, GSM_EXTENSION))


def _utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """Units a message has alone, units of each segment of several, and how they are counted: 1 or 2 a character."""

    alone: int
    joined: int
    units: Callable[[str], int]


_LAYOUTS = {
    Encoding.GSM7: _Layout(alone=160, joined=153, units=_septets),
    Encoding.UCS2: _Layout(alone=70, joined=67, units=_utf16_units),
}
_LONG_HEADER = {Encoding.GSM7: 152, Encoding.UCS2: 66}  # units beside a header with a 16-bit reference


_MOST = 255  # segments of one message: an octet counts them, 3GPP TS 23.040 section 9.2.3.24.1
_MOST_CHARACTERS = _MOST * _LAYOUTS[Encoding.GSM7].joined


def encoding(text: str) -> Encoding:
    """Return GSM-7 if it holds every character, else UCS-2."""
    return Encoding.UCS2 if _NOT_GSM.search(text) else Encoding.GSM7


def count(text: str) -> int:
    """Return the number of segments; an empty text is one.

    It is the fewest the standard allows, whatever `split` keeps together. Beyond 255, which no message can have, it
    is only known not to be too many.
    """
    layout = _LAYOUTS[encoding(text)]
    if len(text) * 2 <= layout.alone:
        return 1
    units = layout.units(text)
    if units <= layout.alone:
        return 1
    if units == len(text) or units > _MOST * layout.joined:
        return -(-units // layout.joined)
    return len(_ends(text, layout, keeps_clusters=False))


def room(text: str) -> tuple[int, int]:
    """Return how many units a text has, and how many its segments hold."""
    return _LAYOUTS[encoding(text)].units(text), capacity(text, count(text))


def capacity(text: str, parts: int) -> int:
    """Return how many units so many segments hold, in the encoding of `text`."""
    layout = _LAYOUTS[encoding(text)]
    return layout.alone if parts == 1 else parts * layout.joined


def not_gsm(text: str) -> tuple[str, ...]:
    """Return the characters that GSM-7 does not hold, each once, in their order: they make a text Unicode."""
    return tuple(_NOT_GSM.findall("".join(dict.fromkeys(text))))


def split(
    text: str, *, encoded: Encoding | None = None, has_long_header: bool = False
) -> tuple[Segment, ...]:
    """Return the segments, in order; joined they are the text.

    `encoded`: not as `encoding` would. With `has_long_header` each leaves room for a 16-bit reference.

    No extension character and no surrogate pair is cut. What shows as one character (an emoji with its
    joiners, a letter with its marks) is kept whole too, if that costs no further segment: a phone that waits
    for a segment shows the others as they are. Nobody looks for that in a text that is too long for a message.
    """
    encoded = encoded or encoding(text)
    layout = _LAYOUTS[encoded]
    units = layout.units(text)
    if units <= layout.alone:
        return (Segment(text=text, units=units),)
    if has_long_header:
        layout = replace(layout, joined=_LONG_HEADER[encoded])
    ends = _ends(text, layout, keeps_clusters=False)
    if units <= _MOST * layout.joined:
        whole = _ends(text, layout, keeps_clusters=True)
        ends = ends if len(ends) < len(whole) else whole
    texts = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return tuple(Segment(text=each, units=layout.units(each)) for each in texts)


def _ends(text: str, layout: _Layout, *, keeps_clusters: bool) -> list[int]:
    """Return where each segment of a text of several ends, filling each as far as it goes."""
    ends: list[int] = []
    start = 0
    while start < len(text):
        end = start + _fitting(text[start : start + layout.joined], layout)
        if keeps_clusters and end < len(text):
            end = _before_cluster(text, start, end)
        ends.append(end)
        start = end
    return ends


def _fitting(text: str, layout: _Layout) -> int:
    """Return how many characters of `text` one segment of several holds."""
    fitting = len(text)
    while (excess := layout.units(text[:fitting]) - layout.joined) > 0:
        fitting -= (excess + 1) // 2  # never too many: one character less is two units less at most
    return fitting


def shorten(text: str, most: int) -> str:
    """Return at most so many characters of a text; what was longer ends with three dots, if there is room for them."""
    if len(text) <= most:
        return text
    kept = max(0, most - len(_ELLIPSIS))
    place = _before_cluster(text, 0, kept) if kept else 0
    return text[:place].rstrip() + _ELLIPSIS[:most]


def cut(text: str, parts: int, after: str = "") -> str:
    """Return as much of a text as so many segments hold; what was longer ends with three dots behind a word.

    What shows as one character is not cut. There is room for `after`, which the caller puts behind it.
    """
    text = text[: parts * _LAYOUTS[Encoding.GSM7].alone + 1]  # no segment holds more characters than that
    if count(text + after) <= parts:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[:middle] + _ELLIPSIS + after) <= parts else (low, middle - 1)
    place = _before_cluster(text, 0, low) if low else 0
    kept = text[:place]
    blank = max(kept.rfind(" "), kept.rfind("\n"))
    if not text[place : place + 1].isspace() and blank > place - _WORD:
        kept = kept[:blank]
    return kept.rstrip() + _ELLIPSIS


_ELLIPSIS = "..."  # in GSM-7, as "…" is not
_WORD = 20  # characters at most that are given up for the end of a word
_CLUSTER = 20  # characters; the longest emoji sequence of Unicode 16 has 10
_JOINER = "\u200d"
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # two make a flag
_MARKS = frozenset({"Mn", "Mc", "Me"})  # accents, vowel signs, variation selectors, keycaps


def _before_cluster(text: str, start: int, end: int) -> int:
    """Return the last place up to `end` that is inside no cluster; `end` if there is none near."""
    for place in range(end, max(start, end - _CLUSTER), -1):
        if not _joins(text, start, place):
            return place
    return end


def _joins(text: str, start: int, place: int) -> bool:
    """Whether the character at `place` shows as one with those before it."""
    before, here = text[place - 1], text[place]
    if here < "\u0300":
        return before == "\r" and here == "\n"
    if _JOINER in (before, here) or unicodedata.category(here) in _MARKS:
        return True
    if "\U0001f3fb" <= here <= "\U0001f3ff" or "\U000e0020" <= here <= "\U000e007f":  # skin tones, tags
        return True
    if here not in _FLAG_LETTERS:
        return False
    run = text[start:place]
    return (len(run) - len(run.rstrip(_FLAG_LETTERS))) % 2 == 1


# What a word processor puts for what people type. Accents are not in it: they are spelling.
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′‵‹›ʼ`´", "'"),
        **dict.fromkeys("“”„‟″‶«»", '"'),
        **dict.fromkeys("‐‑‒–—―−•", "-"),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", " "),
        **dict.fromkeys("\u202f\u205f\u3000", " "),
        **{"…": "...", "œ": "oe", "Œ": "OE", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"},
    }
)
_INVISIBLE = dict.fromkeys([0x00AD, 0x200B, 0x2060, 0xFEFF])  # soft hyphen, zero-width spaces
# Joiners and directions: emoji, Arabic and the like need them; a text that GSM-7 holds without them does not.
_JOINERS = dict.fromkeys([0x061C, *range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_FOLD = {**_TYPOGRAPHY, **_INVISIBLE, **_JOINERS}


def plain(text: str) -> str:
    """Return the text with plain typography, whatever that saves."""
    return text.translate(_FOLD)


def fold(text: str) -> str:
    """Return the text with plain typography, if that saves a segment; else the text as it is.

    All or nothing: quotes, dashes, dots, spaces and ligatures are folded if GSM-7 then holds the whole text;
    where it never will, only invisible characters go. Letters with accents are never touched. A text of more
    characters than a message holds is left as it is.
    """
    if len(text) > _MOST_CHARACTERS or encoding(text) is Encoding.GSM7 or count(text) == 1:
        return text
    folded = plain(text)
    if encoding(folded) is Encoding.UCS2:
        folded = text.translate(_INVISIBLE)
    return folded if count(folded) < count(text) else text


# A mail that says Latin-1 and means Windows-1252 brings its quotes and dashes as C1 controls.
_NO_WINDOWS_1252 = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
_REPAIRS = {
    **{code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0) if code not in _NO_WINDOWS_1252},
    **dict.fromkeys(map(ord, "\r\v\f\u2028\u2029"), "\n"),
    ord("\t"): " ",
}
_UNCLEAN = re.compile("[\t\r\v\f\x80-\x9f\u2028\u2029]")
_MAY_COMPOSE = re.compile("[\u0300-\U0010ffff]")
_STREAM_SAFE = 30  # marks in a row, Unicode Standard Annex 15 section 13


def clean(text: str) -> str:
    """Return the text in NFC, lines ended by LF, without blanks at their ends and without blank lines around.

    Tabs become spaces, other line and page separators LF, misread Windows-1252 what it meant.
    """
    if _UNCLEAN.search(text):
        text = text.replace("\r\n", "\n").translate(_REPAIRS)
    text = _composed(text)
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def _composed(text: str) -> str:
    if not _MAY_COMPOSE.search(text):
        return text
    marks = bytes(map(bool, map(unicodedata.combining, text)))
    if b"\1" * (_STREAM_SAFE + 1) in marks:  # no writing has that; CPython sorts such a run in quadratic time
        return text
    return unicodedata.normalize("NFC", text)


# Ranges of what may be sent, for speed: a set of the others, astral ones too, is searched one by one.
_ASTRAL = "".join(f"{chr(plane << 16)}-{chr(plane << 16 | 0xFFFD)}" for plane in range(1, 17))
_UNSENDABLE = re.compile(f"[^\n -~\u00a0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd{_ASTRAL}]")


def unsendable(text: str) -> tuple[str, ...]:
    """Return the control characters but LF, lone surrogates and noncharacters of a cleaned text, each once."""
    return tuple(_UNSENDABLE.findall("".join(dict.fromkeys(text))))
