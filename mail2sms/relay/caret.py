"""Where a mail went wrong, shown: the lines around each fault, numbered, with a caret and a sentence. Pure.

A line is cut around its fault: with its number it takes at most 42 columns, which fit into an inbox of 360 pixels.
A caret says nothing to whoever hears the mail instead of seeing it: `Told.shown` is the line at fault, for a sentence.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mail2sms.errors import Problem
from mail2sms.relay import wire
from mail2sms.render import Render

_LINES_AROUND: Final = 2
_COLUMNS, _SENTENCE_COLUMNS = 42, 60  # of a line with its number; of a sentence
_JOINERS: Final = "\u200c\u200d"  # seen in what they join
_INSIDE_NUMBER = re.compile(r"(?<=\d) (?=\d)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A problem in the reader's words. `shown` is its line, as far as it is shown; `line` 0 is no place."""

    line: int
    column: int
    width: int
    sentence: str
    shown: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Excerpt:
    """Rows of the mail up to a fault with its caret, and what is wrong there; after the last fault only rows."""

    rows: tuple[str, ...]
    margin: str  # what a row begins with that has no number
    told: Told | None = None


def tell(
    problem: Problem, source: Sequence[str], facts: Mapping[str, str], language: str, render: Render
) -> Told:
    """Return a problem in the reader's words; without a place when `source` has no such line."""
    known = {
        **facts,
        **problem.facts,
        "value": wire.clean_header(problem.value),
        "hint": wire.clean_header(problem.hint),
    }
    has_place = 0 < problem.line <= len(source)
    column, width = max(problem.column, 1), max(problem.width, 1)
    shown = _around(_plain(source[problem.line - 1]), column - 1, width, _COLUMNS) if has_place else None
    sentence = render.reason_text(problem.reason, language, known)
    return Told(
        line=problem.line if has_place else 0,
        column=column,
        width=width,
        sentence=f"{known['to']} – {sentence}" if "to" in known else sentence,
        shown=shown.text.strip() if shown else "",
    )


def excerpts(source: Sequence[str], placed: Sequence[Told]) -> list[Excerpt]:
    """Return the numbered lines around each fault."""
    by_line: dict[int, list[Told]] = defaultdict(list)
    for one in placed:
        by_line[one.line].append(one)
    reach = range(-_LINES_AROUND, _LINES_AROUND + 1)
    near = sorted({line + by for line in by_line for by in reach if 0 < line + by <= len(source)})
    digits = len(str(near[-1])) if near else 0
    margin = f" {'':{digits}} | "
    found: list[Excerpt] = []
    rows: list[str] = []
    for before, number in zip([0, *near], near, strict=False):
        if before and number > before + 1:
            rows.append(f" {'…':>{digits}} |")
        line = _plain(source[number - 1])
        seen: _Window | None = None
        here: Sequence[Told | None] = by_line.get(number, [None])
        for told in here:
            first, width = (told.column - 1, told.width) if told else (0, 0)
            if seen is None or not seen.holds(first, width):
                seen = _around(line, first, width, _COLUMNS - len(margin))
                rows.append(f" {number:>{digits}} | {seen.text}".rstrip())
            if told:
                rows.append(margin + seen.caret(first, width))
                found.append(Excerpt(rows=tuple(rows), margin=margin, told=told))
                rows = []
    return [*found, Excerpt(rows=tuple(rows), margin=margin)] if rows else found


def printed(shown: Sequence[Excerpt]) -> list[str]:
    """Return the rows of all excerpts with the sentences between them, for a mail without markup."""
    rows: list[str] = []
    for excerpt in shown:
        rows += excerpt.rows
        if excerpt.told:
            rows += [excerpt.margin + piece for piece in _wrapped(excerpt.told.sentence, len(excerpt.margin))]
    return rows


def _wrapped(sentence: str, margin: int) -> list[str]:
    """Return its lines; numbers and times stay whole."""
    whole = _INSIDE_NUMBER.sub("\N{WORD JOINER}", sentence)
    lines = textwrap.wrap(whole, _SENTENCE_COLUMNS - margin, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{WORD JOINER}", " ") for line in lines]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    """line[begin:end], with an ellipsis where it is cut."""

    line: str
    begin: int
    end: int

    @property
    def text(self) -> str:
        return self._cut_off + self.line[self.begin : self.end] + "…" * (self.end < len(self.line))

    @property
    def _cut_off(self) -> str:
        return "…" * (self.begin > 0)

    def holds(self, first: int, width: int) -> bool:
        return self.begin <= first and first + width <= self.end

    def caret(self, first: int, width: int) -> str:
        """What stands under the fault, from the window's edge."""
        under = _columns(self.line[first : min(first + width, self.end)])
        before = _columns(self._cut_off + self.line[self.begin : first])
        return " " * before + "^" * max(under, 1)


def _around(line: str, first: int, width: int, columns: int) -> _Window:
    """Return what of a line is shown, in so many columns: the fault, and as much on either side."""
    end = _reach(line, 0, columns)
    if end == len(line):
        return _Window(line=line, begin=0, end=end)
    columns -= 2  # an ellipsis on either side
    first = min(first, len(line))
    before, under = _columns(line[:first]), min(_columns(line[first : first + width]), columns)
    is_near = before <= columns // 3 or before + under <= columns
    begin = 0 if is_near else _reach_back(line, first, (columns - under) // 2)
    end = _reach(line, begin, columns)
    if end == len(line):
        begin = _reach_back(line, end, columns)
    return _Window(line=line, begin=begin, end=end)


def _reach(line: str, begin: int, columns: int) -> int:
    """Return how far so many columns go from `begin`."""
    at = begin
    while at < len(line) and (columns := columns - _width(line[at])) >= 0:
        at += 1
    return at


def _reach_back(line: str, end: int, columns: int) -> int:
    at = end
    while at > 0 and (columns := columns - _width(line[at - 1])) >= 0:
        at -= 1
    return at


def _columns(text: str) -> int:
    return sum(map(_width, text))


def _width(character: str) -> int:
    if character in _JOINERS or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _plain(line: str) -> str:
    """One row: every character in its own place, what can't be seen as a mark."""
    return "".join(" " if c.isspace() else c if c.isprintable() or c in _JOINERS else "\ufffd" for c in line)
