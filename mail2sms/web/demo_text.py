"""Texts taken apart for the demo page: what of a mail became no SMS; an email's lines and tables. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from mail2sms import segments
from mail2sms.model import LeftOut

_LOOKED = 200  # lines among which a text begins
_SEPARATORS = frozenset({"--", "##"})
_ALIGNED = re.compile(r" *(?:\d+|…)? \|(?: |$)| {2}\S+(?: \S+)* {2,}\S")
"""A numbered line of a mail, the caret below it, or a row of two columns."""
_SAID = re.compile(r" {3,}\| ([^ ^].*)")
"""What is said below such a line."""


def left_out(written: str, text: str) -> list[str]:
    """Return the lines after the text that did not become SMS."""
    return _trimmed(_around(written, text)[1])


def pieces(
    written: str, text: str, parts: Sequence[LeftOut], *, has_fields: bool
) -> Iterator[tuple[LeftOut, list[str]]]:
    """Yield each part that was left out with its lines, as far as they are found.

    With `has_fields` what stands above the text was read. Only the last part's lines are not counted: the end marker
    is part of no count, a signature's `--` of some.
    """
    before, after = _around(written, text)
    lines = [line for line in [*(() if has_fields else before), *after] if line.strip()]
    counted = [part for part in parts if part.lines]
    for part in parts:
        if not part.lines:
            yield part, []
            continue
        count = len(lines) if part is counted[-1] else part.lines
        yield part, [line for line in lines[:count] if line.strip() not in _SEPARATORS]
        lines = lines[count:]


def _around(written: str, text: str) -> tuple[list[str], list[str]]:
    """Return the lines above and below the text, whose typography may be plainer than it was written."""
    lines = segments.clean(written).split("\n")
    height = text.count("\n") + 1
    for at in range(min(len(lines) - height + 1, _LOOKED)):
        if segments.fold("\n".join(lines[at : at + height])) == text:
            return lines[:at], lines[at + height :]
    return [], []


def _trimmed(lines: list[str]) -> list[str]:
    whole = "\n".join(lines).strip("\n")
    return whole.split("\n") if whole else []


def blocks(text: str) -> list[tuple[str, str]]:
    """Return an email's text as blocks, each with its kind.

    In one that is `aligned` columns stand below one another, so its lines must not be wrapped; what is said below a
    caret `says`, and is one paragraph.
    """
    grouped = groupby(map(_kind, text.strip("\n").split("\n")), itemgetter(0))
    return [
        (kind, (" " if kind == "says" else "\n").join(line for _, line in lines)) for kind, lines in grouped
    ]


def _kind(line: str) -> tuple[str, str]:
    said = _SAID.fullmatch(line)
    if said is not None:
        return "says", said[1]
    return "aligned" if _ALIGNED.match(line) else "", line
