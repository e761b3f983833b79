"""STOP, START and HELP, in the words that phones send them in: whole messages, never sentences. Pure.

The words are templates/sms/keywords.txt, with their sources and their date. Knows no number, only its country.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

_MOST = 40  # characters of a keyword with all that may stand around it: longer is a sentence
_BEHIND = 2  # words behind STOP
_SENTENCES = 2000  # characters
_LETTERS = str.maketrans({"Æ": "AE", "Ø": "O", "Ł": "L", "Đ": "D"})  # those that have no accent to drop


class Word(StrEnum):
    """What a keyword asks for."""

    STOP = "stop"
    START = "start"
    HELP = "help"


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyword:
    """A word that was found, as folded, and the language it belongs to (empty: the operator's own)."""

    word: Word
    text: str
    language: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Keywords:
    """All words, by their folded text and country (empty: any)."""

    known: Mapping[tuple[str, str], Keyword]
    after: frozenset[str]
    spoken: Mapping[str, str]
    heads: frozenset[str] = field(default=frozenset({"STOP", "STOPP"}))
    perhaps: tuple[str, ...] = ()

    def find(self, text: str, region: str) -> Keyword | None:
        """Return what a whole message of a phone of this country says; None for all that is no keyword."""
        folded = fold(text)
        if not folded or len(folded) > _MOST:
            return None
        found = self.known.get((folded, region)) or self.known.get((folded, ""))
        head, *behind = folded.split()
        is_followed = 0 < len(behind) <= _BEHIND and all(w in self.after or w.isdigit() for w in behind)
        if found is None and head in self.heads and is_followed:
            return self.known.get((head, ""))
        return found

    def may_mean_stop(self, text: str) -> bool:
        """Whether a person should read it as a wish for no more SMS: never enough to act upon."""
        folded = f" {fold(text, _SENTENCES)} "
        return any(f" {phrase} " in folded for phrase in self.perhaps)

    def language(self, keyword: Keyword, region: str) -> str:
        """Return the language to answer in: that of the word, if it tells; else that of the country."""
        return keyword.language if keyword.language not in {"", "en"} else self.spoken.get(region, "en")

    def with_stop(self, words: Iterable[str]) -> Keywords:
        """Return these with an operator's words for STOP, understood from any phone."""
        own = {(fold(w), ""): Keyword(word=Word.STOP, text=fold(w), language="") for w in words}
        return replace(self, known={**own, **self.known})


def fold(text: str, most: int = 4 * _MOST) -> str:
    """Return a text as keywords are compared: capitals without accents; all but letters and digits is a blank."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text[:most]).upper())
    plain = "".join(c for c in plain if unicodedata.category(c) not in {"Mn", "Cf"})
    return " ".join("".join(c if c.isalnum() else " " for c in plain.translate(_LETTERS)).split())


def read(lines: Iterable[str]) -> Keywords:
    """Read the file of words. Raises ValueError for a line that is none."""
    known: dict[tuple[str, str], Keyword] = {}
    after: set[str] = set()
    spoken: dict[str, str] = {}
    perhaps: list[str] = []
    for line in lines:
        head, colon, tail = line.partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        kind, language, *countries = head.split()
        if not colon:
            raise ValueError(f"no colon: {head}")
        if kind == "speaks":
            spoken |= dict.fromkeys(tail.split(), language)
            continue
        words = [fold(word) for word in tail.split(",")]
        if kind == "perhaps":
            perhaps += words
            continue
        if kind == "after":
            after.update(words)
            continue
        for text in words:
            keyword = Keyword(word=Word(kind), text=text, language=language)
            known |= dict.fromkeys([(text, country) for country in countries or ("",)], keyword)
    return Keywords(known=known, after=frozenset(after), spoken=spoken, perhaps=tuple(perhaps))
