"""Where a mail went wrong, shown: the lines around each fault, numbered, with a caret and a sentence. Pure.

A caret says nothing to whoever hears the mail instead of seeing it: `Told.shown` is the line at fault, for a sentence.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mail2sms.errors import Problem
from mail2sms.relay import wire
from mail2sms.render import Render

_LINES_AROUND: Final = 2
_SHOWN_WIDTH, _CARET_WIDTH = 76, 90  # columns: of a line, and with a sentence behind its caret


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A problem in the reader's words. `shown` is its line, as far as it is shown; `line` 0 is no place."""

    line: int
    column: int
    width: int
    sentence: str
    shown: str = ""


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
    line, column = _plain(source[problem.line - 1]) if has_place else "", max(problem.column, 1)
    start = _crop([column], len(line))
    sentence = render.reason_text(problem.reason, language, known)
    return Told(
        line=problem.line if has_place else 0,
        column=column,
        width=max(problem.width, 1),
        sentence=f"{known['to']} – {sentence}" if "to" in known else sentence,
        shown=line[start : start + _SHOWN_WIDTH].strip(),
    )


def rows(source: Sequence[str], placed: Sequence[Told]) -> list[str]:
    """Return the numbered lines around each fault, with a caret line under each."""
    shown: list[str] = []
    last = 0
    for number, line in enumerate(source, 1):
        if not any(abs(number - one.line) <= _LINES_AROUND for one in placed):
            continue
        if last and number != last + 1:
            shown.append("   … |")
        last = number
        here = [one for one in placed if one.line == number]
        plain = _plain(line)
        start = _crop([one.column for one in here], len(plain))
        shown.append(f"{number:>4} | {plain[start : start + _SHOWN_WIDTH]}".rstrip())
        shown += [row for one in here for row in _caret(plain[start:], one.column - 1 - start, one)]
    return shown


def _plain(line: str) -> str:
    """One row: every character in its own place."""
    return wire.clean_text(line).replace("\t", " ").replace("\n", " ")


def _crop(columns: Sequence[int], length: int) -> int:
    """Where to begin to show a line, so that its first fault is in sight."""
    first = min((min(column - 1, length) for column in columns), default=0)
    return 0 if first < _SHOWN_WIDTH - 20 else first - 20


def _caret(line: str, column: int, one: Told) -> list[str]:
    before = line[: min(max(column, 0), _SHOWN_WIDTH)]
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in before)
    under = "^" * min(one.width, max(len(line) - len(before), 1), _SHOWN_WIDTH)
    row = f"     | {' ' * (len(before) + wide)}{under}"
    if len(row) + len(one.sentence) < _CARET_WIDTH:
        return [f"{row} {one.sentence}"]
    return [row, f"     | {one.sentence}"]
