"""The field lines of a mail, before its text: which line is which field, and what was meant where none is. Pure.

It knows the template's labels, not what values mean: only what they look like, to suggest a field.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from mail2sms.errors import Problem
from mail2sms.intake import fields, moments
from mail2sms.intake.fields import Piece, fold, is_blank, next_filled, shown
from mail2sms.intake.grammar import MAX_LABEL, Field, Grammar, label_end

_MAX_GUESSES = 50  # lines of one mail
_MAX_ROWS = 400  # lines before the first blank one: a recipient each, and more


@dataclass(kw_only=True, slots=True)
class Faults:
    """What is wrong with a mail, so far."""

    problems: list[Problem] = field(default_factory=list)
    more: int = 0  # beyond MAX_PROBLEMS

    def add(self, problem: Problem) -> None:
        """Note a problem; beyond MAX_PROBLEMS they are only counted."""
        if len(self.problems) < fields.MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self.more += 1

    def sorted(self) -> list[Problem]:
        """Return them in the order of the mail, those without a place last; fact `more` of the last counts the rest."""
        found = sorted(self.problems, key=lambda each: (not each.line, each.line, each.column))
        if self.more:
            found[-1] = replace(found[-1], facts={**found[-1].facts, "more": str(self.more)})
        return found


@dataclass(kw_only=True, slots=True)
class Entry:
    """A field that the mail has: where it stands first, and all its values."""

    label: Piece
    pieces: list[Piece]


@dataclass(kw_only=True, slots=True)
class Head:
    """What stands before the text."""

    entries: dict[str, Entry] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    stray: list[str] = field(default_factory=list)  # lines among the fields that may belong to the text
    language: int = 0  # which of a field's labels the writer mostly used
    end: int = 0  # index of the line that the text begins with


@dataclass(kw_only=True, slots=True)
class _Row:
    """A line, taken apart. Without label it is no field line."""

    raw: str
    value: Piece
    label: Piece | None = None
    field: Field | None = None

    @property
    def whole(self) -> Piece:
        """The line without the blanks around it."""
        return _piece(self.raw, self.value.line, 0)


def read_head(grammar: Grammar, lines: Sequence[str], language: str, zone: str, now_ms: int) -> Head:
    """Read the field lines. Unknown and doubled labels, and lines that are no fields, are noted as faults.

    `language` is the writer's, for labels that are proposed to who has used none.
    """
    start = next_filled(lines, 0)
    reading = _Reading(grammar, zone, now_ms)
    reading.head.language = grammar.spoken(language)
    if reading.begins_with_fields(lines, start):
        reading.read(lines, start)
    else:
        reading.head.end = start
    return reading.head


class _Reading:
    def __init__(self, grammar: Grammar, zone: str, now_ms: int) -> None:
        self.grammar, self.zone, self.now_ms = grammar, zone, now_ms
        self.head = Head()
        self.guesses = _MAX_GUESSES

    def begins_with_fields(self, lines: Sequence[str], start: int) -> bool:
        """Whether fields are to be expected: where all are optional, a mail may begin with the text."""
        if start == len(lines) or not self.grammar.by_label:
            return False
        row = self._row(lines, start)
        return (
            row.field is not None
            or any(not each.is_optional for each in self.grammar.by_label.values())
            or (row.label is not None and self._near(row.label.text) is not None)
        )

    def read(self, lines: Sequence[str], start: int) -> None:
        """Fill `head` from the lines up to the first blank one."""
        end, most = start, min(len(lines), start + _MAX_ROWS + 1)
        while end < most and not is_blank(lines[end]) and not self._is_marker(lines[end]):
            end += 1
        rows = [self._row(lines, at) for at in range(start, min(end, start + _MAX_ROWS))]
        if known := [row for row in rows if row.field]:
            self.head.language = _language(known[:_MAX_GUESSES])
        unread, after = self._assign(rows)
        text_at = self._text_at(rows, unread, after, self._has_text(lines, end))
        for at in unread:
            if at < text_at:
                may_be_text = at >= after and (not after or text_at < len(rows))
                self._unread(rows[at], may_be_text)
        if 0 < text_at < len(rows):  # at 0 there are no fields at all: that they are missing is enough
            self.head.faults.add(rows[text_at].whole.problem("template.bad_line"))
        elif text_at == len(rows) < end - start:  # more lines than fields have
            self.head.faults.add(rows[-1].whole.problem("template.bad_line"))
        self.head.end = start + text_at

    def _is_marker(self, line: str) -> bool:
        return bool(self.grammar.marker) and line.strip() == self.grammar.marker

    def _has_text(self, lines: Sequence[str], end: int) -> bool:
        at = next_filled(lines, end)
        return at < len(lines) and not self._is_marker(lines[at])

    def _row(self, lines: Sequence[str], at: int) -> _Row:
        raw, line = lines[at], at + 1
        colon = label_end(raw)
        if colon is None:
            return _Row(raw=raw, value=_piece(raw, line, 0))
        label, value = _piece(raw[:colon], line, 0), _piece(raw[colon + 1 :], line, colon + 1)
        return _Row(raw=raw, value=value, label=label, field=self.grammar.by_label.get(fold(label.text)))

    def _assign(self, rows: list[_Row]) -> tuple[list[int], int]:
        """Give each row to its field; return the rows that have none, and where the last one that has ends."""
        given = {row.field.name for row in rows if row.field}
        unread: list[int] = []
        goes_on, after = False, 0
        for at, row in enumerate(rows):
            if goes_on and row.label is None and _continues(row.raw):
                self.head.entries["to"].pieces.append(row.whole)
                after = at + 1
                continue
            meant = row.field or self._guess(row, given, not unread)
            goes_on = meant is not None and meant.name == "to"
            if meant is None:
                unread.append(at)
                continue
            self._give(row, meant)
            after = at + 1
        return unread, after

    def _give(self, row: _Row, meant: Field) -> None:
        label = row.label or row.whole
        entry = self.head.entries.get(meant.name)
        if entry is None:
            self.head.entries[meant.name] = Entry(label=label, pieces=[row.value])
            return
        if row.field:
            first_line = str(entry.label.line)
            self.head.faults.add(label.problem("template.duplicate_field", first_line=first_line))
        entry.pieces.append(
            row.value
        )  # each is read: nobody is forgotten in the corrected mail, nor a mistake

    def _text_at(self, rows: list[_Row], unread: list[int], after: int, has_text: bool) -> int:
        """Return the row that the text begins with, no blank line being before it; else the number of rows."""
        last = [at for at in unread if at >= after]
        plain = next((at for at in last if rows[at].label is None), None)
        if plain is not None:
            return plain
        return len(rows) if has_text or not last else last[0]

    def _unread(self, row: _Row, may_be_text: bool) -> None:
        if row.label is None or may_be_text:
            self.head.stray.append(row.raw)
        if row.label is None:
            self.head.faults.add(row.whole.problem("template.bad_line"))
            return
        labels = dict.fromkeys(each.label(self.head.language) for each in self.grammar.by_label.values())
        self.head.faults.add(row.label.problem("template.unknown_field", fields=", ".join(labels)))

    # --- what may be meant

    def _guess(self, row: _Row, given: set[str], follows_fields: bool) -> Field | None:
        """Return the field that an unknown label or a missing colon may stand for, and report it so."""
        if self.guesses == 0:
            return None
        self.guesses -= 1
        if row.label is None:
            return self._without_colon(row) if follows_fields else None
        meant = self._near(row.label.text)
        if meant is None:
            name = self._looks_like(row.value.text)
            meant = next((each for each in self.grammar.by_label.values() if each.name == name), None)
            if meant is None or meant.name in given:
                return None
        given.add(meant.name)
        hint = meant.label(self.head.language)
        self.head.faults.add(row.label.problem("template.unknown_field", hint))
        return meant

    def _near(self, label: str) -> Field | None:
        folded = fold(label)[:MAX_LABEL]
        near = get_close_matches(folded, self.grammar.by_label, n=1, cutoff=0.7)
        near += [each for each in self.grammar.by_label if len(each) > 2 and folded.startswith(each)]
        return self.grammar.by_label[near[0]] if near else None

    def _without_colon(self, row: _Row) -> Field | None:
        found = _NO_COLON.fullmatch(row.whole.text)
        if found is None or len(found["label"]) > MAX_LABEL:
            return None
        meant, value = self.grammar.by_label.get(fold(found["label"])), found["value"]
        if meant is None or ("=" not in found["between"] and self._looks_like(value) != meant.name):
            return None  # "Le", "An" and "A" begin sentences too
        whole = row.whole
        row.value = replace(whole, text=value, column=whole.column + found.start("value"))
        hint = f"{meant.label(self.head.language)}: {shown(value)}"
        self.head.faults.add(whole.problem("template.no_colon", hint))
        return meant

    def _looks_like(self, value: str) -> str | None:
        """Return the field whose value this seems to be."""
        if moments.seems_length(value):
            return "validity"
        if moments.seems_moment(value, self.zone, self.now_ms):
            return "send_at"
        return "to" if fields.seems_number(value) else None


_NO_COLON = re.compile(r"(?P<label>[^\s=]+)(?P<between>\s*[=\s]\s*)(?P<value>\S.*)")


def _piece(text: str, line: int, offset: int) -> Piece:
    """Return `text`, which begins `offset` characters into the line, without the blanks around it."""
    start = text.lstrip()
    return Piece(text=start.rstrip(), line=line, column=offset + len(text) - len(start) + 1)


def _continues(raw: str) -> bool:
    """Whether a line goes on with the numbers of the line before: indented, a team, or numbers and commas only."""
    text = raw.lstrip()
    is_indented = text != raw and any(c.isdigit() for c in text[:MAX_LABEL])
    return is_indented or text.startswith("@") or fields.has_only_numbers(raw)


def _language(rows: list[_Row]) -> int:
    """Return which of their labels the writer mostly used: an index into the list of labels."""
    votes: Counter[int] = Counter()
    for row in rows:
        labels = row.field.labels if row.field else ()
        written = row.label.text if row.label else ""
        exact = [at for at, label in enumerate(labels) if label.casefold() == written.casefold()]
        votes.update(exact or [at for at, label in enumerate(labels) if fold(label) == fold(written)])
    return min(votes, key=lambda at: (-votes[at], at), default=0)
