"""The strict template: what a mail asks for, or all that is wrong with it and the mail to send instead. Pure.

The template's file is read by `grammar`, the lines of a mail by `head`, values by `fields` and `moments`. Who writes
and what is allowed is judged elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import TypeVar

from mail2sms.errors import Problem, Refusal
from mail2sms.intake import fields, grammar, moments
from mail2sms.intake.fields import BadValue, Piece, UnclearValue, bare, shown, trim
from mail2sms.intake.grammar import TemplateInvalid
from mail2sms.intake.head import Entry, read_head
from mail2sms.model import LeftOut, Msisdn

__all__ = ["Context", "Late", "Order", "Template", "TemplateInvalid", "compile_template"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a mail is read by. `language` and `zone` are the writer's; `teams` have lower-case names.

    `strip` returns a text without quotes and signature, and what it left out. `sender_ids` are what the writer may
    send as, `recipients` is how many phones a mail may have; `also_to` are further phones and teams, as To names them.
    """

    country: str
    zone: str
    now_ms: int
    teams: Mapping[str, tuple[Msisdn, ...]]
    strip: Callable[[str], tuple[str, tuple[LeftOut, ...]]]
    language: str = "en"
    sender_ids: tuple[str, ...] = ()
    recipients: int = fields.MAX_RECIPIENTS
    also_to: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a mail asks for. `validity_ms` counts from `send_at` if there is one, else from now."""

    text: str
    to: tuple[Msisdn, ...] = ()
    sender_id: str | None = None
    send_at: int | None = None
    validity_ms: int | None = None
    reference: str | None = None
    left_out: tuple[LeftOut, ...] = ()


class Late(Refusal):
    """Nothing is wrong with a mail but that its time is over: `order` is what it asks, or has asked for."""

    def __init__(self, refusal: Refusal, order: Order) -> None:
        super().__init__(
            *refusal.problems,
            corrected=refusal.corrected,
            is_example=refusal.is_example,
            source=refusal.source,
            text=refusal.text,
        )
        self.order = order


@dataclass(frozen=True, kw_only=True, slots=True)
class Template(grammar.Grammar):
    """A template file that mails are read by."""

    def read(self, text: str, context: Context, subject: str = "") -> Order:
        """Read a mail. Raises Refusal with all that is wrong, and the corrected mail (see `example` for its form)."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if self.fields:
            return _Reading(self, lines, context).order(subject)
        body, left_out = cut(lines, self.marker, context)
        if not body:
            raise Refusal(_no_text("text.empty", left_out), source=source(lines))
        return Order(text=body, left_out=left_out)


def compile_template(source: str, name: str) -> Template:
    """Read a template file. Raises TemplateInvalid."""
    found = grammar.parse(source, name)
    return Template(name=name, fields=found.fields, marker=found.marker, by_label=found.by_label)


_SOURCE_LINES, _SOURCE, _CORRECTED = 200, 16_384, 16_384  # lines, characters, characters


def source(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the lines that a refusal carries: whole ones from the first, so that places in them stay right."""
    sizes = accumulate(len(line) + 1 for line in islice(lines, _SOURCE_LINES))
    return tuple(line for line, size in zip(lines, sizes, strict=False) if size <= _SOURCE)


# --- the text


_SIGNATURE = re.compile("^--[ \u00a0]$", re.MULTILINE)  # RFC 3676 section 4.3


def cut(lines: Sequence[str], marker: str, context: Context) -> tuple[str, tuple[LeftOut, ...]]:
    """Return the text up to the end marker, else without quotes and up to the `-- ` line; and what was left out."""
    for at, line in enumerate(lines):
        if marker and marker in line and line.strip() == marker:
            return trim("\n".join(lines[:at])), _left_out("after_marker", "\n".join(lines[at + 1 :]))
    text, left_out = context.strip("\n".join(lines))
    found = _SIGNATURE.search(text)
    if found:
        return trim(text[: found.start()]), (*left_out, *_left_out("signature", text[found.end() :]))
    return trim(text), left_out


def _left_out(kind: str, text: str) -> tuple[LeftOut, ...]:
    trimmed = trim(text)
    if not trimmed:
        return ()
    sample = shown(trimmed.partition("\n")[0].strip())
    return (LeftOut(kind=kind, lines=1 + trimmed.count("\n"), sample=sample),)


def _no_text(reason: str, left_out: tuple[LeftOut, ...]) -> Problem:
    """Return the problem, with what all there is begins with."""
    return Problem(reason=reason, facts={"left_out": left_out[0].sample} if left_out else {})


_NOWHERE = Piece(text="", line=0, column=0)
_MOST_VALUES = 10  # of one field that are read; more help nobody, and cost CPU
_T = TypeVar("_T")


class _Reading:
    """One mail on its way to an Order: what is wrong so far, and what the corrected mail says."""

    def __init__(self, template: Template, lines: list[str], context: Context) -> None:
        self.template, self.lines, self.context = template, lines, context
        self.head = read_head(template, lines, context.language, context.zone, context.now_ms)
        self.faults = self.head.faults
        self.corrected: dict[str, str] = {}  # values by field; "" if there is nothing to propose
        self.is_example = False  # something in it is not the writer's

    def order(self, subject: str) -> Order:
        """Return what is asked for, or raise Refusal."""
        for each in self.template.fields:
            if each.is_header:
                header = replace(_NOWHERE, text=subject.strip())
                label = replace(header, text=grammar.HEADER)
                self.head.entries[each.name] = Entry(label=label, pieces=[header])
        text, left_out = cut(self.lines[self.head.end :], self.template.marker, self.context)
        country, zone, now_ms = self.context.country, self.context.zone, self.context.now_ms
        to = self._recipients()
        usable = self.context.sender_ids
        sender_id = self._value("sender_id", lambda value: fields.read_sender_id(value, country, usable))
        send_at = self._value("send_at", lambda value: moments.read_moment(value, zone, now_ms))
        start_ms = send_at or now_ms
        validity_ms = self._value(
            "validity", lambda value: moments.read_validity(value, zone, now_ms, start_ms)
        )
        reference = self._value("reference", fields.read_reference)
        if not text:
            self.faults.add(_no_text("template.no_text", left_out))
        order = Order(
            text=text,
            to=to,
            sender_id=sender_id,
            send_at=send_at,
            validity_ms=validity_ms,
            reference=reference,
            left_out=left_out,
        )
        if not self.faults.problems:
            return order
        refusal = self._refusal(text)
        is_late = all(problem.reason == "template.past_time" for problem in refusal.problems)
        raise Late(refusal, order) if is_late else refusal

    def _given(self, name: str) -> list[Piece]:
        """Return what the mail says for a field; an optional one without value is as if it were not there."""
        entry = self.head.entries.get(name)
        pieces = [piece for piece in entry.pieces if bare(piece.text).strip(",;")] if entry else []
        asked = next((each for each in self.template.fields if each.name == name), None)
        if pieces or asked is None or asked.is_optional:
            return pieces
        where, reason = (entry.label, "empty_field") if entry else (_NOWHERE, "missing_field")
        label, example = asked.label(self.head.language), grammar.example_value(name, self.context.country)
        problem = where.problem(f"template.{reason}", example=example)  # the corrected mail shows it
        self.faults.add(replace(problem, value=label))
        self._offer(name, example, is_example=True)
        return []

    def _offer(self, name: str, value: str, *, is_example: bool = False) -> None:
        """Put a value into the corrected mail."""
        self.corrected[name] = value
        self.is_example = self.is_example or is_example

    def _recipients(self) -> tuple[Msisdn, ...]:
        also = [replace(_NOWHERE, text=each) for each in self.context.also_to]
        if also:
            self.head.entries.setdefault("to", Entry(label=_NOWHERE, pieces=[])).pieces.extend(also)
        pieces = self._given("to")
        if not pieces:
            return ()
        country, teams = self.context.country, self.context.teams
        found = fields.read_recipients(pieces, country, teams, self.context.recipients)
        for problem in found.problems:
            self.faults.add(problem)
        self._offer("to", found.corrected, is_example=found.has_example)
        return found.numbers

    def _value(self, name: str, read: Callable[[str], _T]) -> _T | None:
        """Return what the field says; of several values each is read, and the first good one is kept."""
        good: list[tuple[Piece, _T]] = []
        wrong: list[BadValue] = []
        for piece in self._given(name)[:_MOST_VALUES]:
            try:
                good.append((piece, read(bare(piece.text))))
            except BadValue as e:
                self.faults.add(piece.problem(e.reason, e.hint, **e.facts))
                wrong.append(e)
        if good:
            piece, value = good[0]
            self._offer(name, piece.text)
            return value
        if wrong:
            self._instead(name, wrong, read)
        return None

    def _instead(self, name: str, wrong: Sequence[BadValue], read: Callable[[str], object]) -> None:
        """Offer what was meant, else an example. Whose sender ID is meant nobody knows: without one it is their own."""
        meant = next((e for e in wrong if e.hint and _is_readable(e.hint, read)), None)
        if meant is not None:
            self._offer(name, meant.hint, is_example=isinstance(meant, UnclearValue))
        elif name != "sender_id":  # the same example that the sentence about it gives
            example = wrong[0].facts.get("example") or grammar.example_value(name, self.context.country)
            self._offer(name, example, is_example=True)
        elif not self.context.sender_ids:
            self._offer(name, "")

    def _correct_validity(self) -> None:
        """Let the corrected mail not expire before the time of sending that it proposes."""
        if not {"send_at", "validity"} <= self.corrected.keys():
            return
        zone, now_ms = self.context.zone, self.context.now_ms
        start_ms = moments.read_moment(bare(self.corrected["send_at"]), zone, now_ms)
        if not _is_readable(
            bare(self.corrected["validity"]),
            lambda value: moments.read_validity(value, zone, now_ms, start_ms),
        ):
            self._offer("validity", fields.EXAMPLES["validity"], is_example=True)

    def _refusal(self, text: str) -> Refusal:
        problems, seen = self.faults.sorted(), source(self.lines)
        if not all(self.corrected.values()):
            return Refusal(*problems, source=seen, text=text)
        self._correct_validity()
        field_lines = [
            f"{each.label(self.head.language)}: {self.corrected[each.name]}"
            for each in self.template.fields
            if each.name in self.corrected
        ]
        body = trim("\n".join([*self.head.stray, "", text]))
        is_example = self.is_example or not body
        corrected = self.template.compose(field_lines, body or grammar.example_text(self.head.language))
        if len(corrected) > _CORRECTED:
            return Refusal(*problems, source=seen, text=text)
        return Refusal(*problems, corrected=corrected, is_example=is_example, source=seen)


def _is_readable(value: str, read: Callable[[str], object]) -> bool:
    try:
        read(value)
    except BadValue:
        return False
    return True
