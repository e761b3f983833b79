"""The template file: the grammar of a mail and its example at once. Pure.

`Label|Étiquette: {to}` a line, `?` behind optional ones, a blank line, `{text}`, an end marker if wanted. The label
`Subject` is the mail's Subject header. A file of `{text}` alone takes the whole mail as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mail2sms.errors import BadOption
from mail2sms.intake import fields
from mail2sms.intake.fields import fold

HEADER = "Subject"
_LANGUAGES = ("en", "fr", "de", "it")  # the order of a field's labels, where it has four
_TEXTS = {
    "en": "Your appointment is on Tuesday at 14:30.",
    "fr": "Votre rendez-vous est mardi à 14 h 30.",
    "de": "Ihr Termin ist am Dienstag um 14:30 Uhr.",
    "it": "Il Suo appuntamento è martedì alle 14:30.",
}
MAX_LABEL = 40  # characters
_NAMES = ("to", "sender_id", "send_at", "validity", "reference")


class TemplateInvalid(BadOption):
    """A template file that can't be used. `line` counts from 1; 0 is the file as a whole."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line
        self.message = message


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One line of the template."""

    name: str
    labels: tuple[str, ...]
    is_optional: bool

    @property
    def is_header(self) -> bool:
        """Whether it is the Subject header and not a line of the body."""
        return self.labels == (HEADER,)

    def label(self, language: int) -> str:
        """Return the label at this place of the list, else the first."""
        return self.labels[language] if language < len(self.labels) else self.labels[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grammar:
    """A template file, taken apart."""

    name: str
    fields: tuple[Field, ...]
    marker: str
    by_label: Mapping[str, Field] = field(repr=False)  # folded labels of the body

    @property
    def kind(self) -> str:
        """`simple`: no fields; `subject`: one of them is the Subject header; else `fields`."""
        if not self.fields:
            return "simple"
        return "subject" if any(each.is_header for each in self.fields) else "fields"

    def example(self, country: str, language: str = "en") -> str:
        """Return a mail by this template, which anybody may send. In kind `subject` its first line is the header."""
        index, spoken = _index(language), self.spoken(language)
        lines = [
            f"{each.label(spoken)}: {example_value(each.name, country)}"
            for each in self.fields
            if not (each.is_optional and each.name == "sender_id")  # whose would it be?
        ]
        return self.compose(lines, example_text(index))

    def spoken(self, language: str) -> int:
        """Return the place of a language in the lists of labels, where there is one for each; else 0."""
        has_all = all(each.is_header or len(each.labels) == len(_LANGUAGES) for each in self.fields)
        return _index(language) if has_all else 0

    def compose(self, field_lines: Sequence[str], text: str) -> str:
        """Put a mail together."""
        head = [*field_lines, ""] if field_lines else []
        return "\n".join([*head, text, *([self.marker] if self.marker else [])])


def _index(language: str) -> int:
    return _LANGUAGES.index(language[:2]) if language[:2] in _LANGUAGES else 0


_FIELD_LINE = re.compile(r"([^:{}]+):\s*\{(\w+)\}\s*(\??)")


def parse(source: str, name: str) -> Grammar:
    """Read a template file. Raises TemplateInvalid."""
    lines = [line.strip() for line in source.removeprefix("\ufeff").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if "{text}" not in lines:
        raise TemplateInvalid(0, "there is no line {text}")
    at = lines.index("{text}")
    found = [_field(number, line) for number, line in enumerate(lines[:at], start=1) if line]
    head = len(found)
    if any(not line for line in lines[:head]) or (head and at == head):
        raise TemplateInvalid(head + 1, "fields, then a blank line, then {text}")
    if len(lines) > at + 2:
        raise TemplateInvalid(at + 3, "nothing may follow the end marker")
    by_label = _by_label(found)
    marker = lines[at + 1] if len(lines) > at + 1 else ""
    if len(lines) > at + 1 and (not marker or "{" in marker or label_end(marker) is not None):
        raise TemplateInvalid(at + 2, f'"{marker}" cannot be an end marker')
    return Grammar(name=name, fields=tuple(found), marker=marker, by_label=by_label)


def _field(number: int, line: str) -> Field:
    found = _FIELD_LINE.fullmatch(line)
    if not found:
        raise TemplateInvalid(number, f'"{line}" is no field; write for example To: {{to}}')
    labels = tuple(label.strip() for label in found[1].split("|"))
    if found[2] not in _NAMES:
        raise TemplateInvalid(number, f"there is no {{{found[2]}}}; there are {', '.join(_NAMES)}")
    if any(label_end(f"{label}:") != len(label) or not fold(label) for label in labels):
        raise TemplateInvalid(
            number, f"a label is 1 to 4 words, at most {MAX_LABEL} characters, without , ; ! ? @ < >"
        )
    if len(labels) > 1 and any(fold(label) == fold(HEADER) for label in labels):
        raise TemplateInvalid(number, f"{HEADER} is the header of the mail and stands alone")
    if fold(labels[0]) == fold(HEADER):
        labels = (HEADER,)
    if found[2] == "to" and found[3]:
        raise TemplateInvalid(number, "{to} cannot be optional")
    return Field(name=found[2], labels=labels, is_optional=bool(found[3]))


def _by_label(found: Sequence[Field]) -> dict[str, Field]:
    """Index by label. The same label twice in one field (À and A) is one."""
    by_label: dict[str, Field] = {}
    for number, each in enumerate(found, start=1):
        if any(each.name == other.name for other in found[: number - 1]):
            raise TemplateInvalid(number, f"{{{each.name}}} stands twice")
        for label in each.labels:
            if by_label.setdefault(fold(label), each) is not each:
                raise TemplateInvalid(number, f'the label "{label}" stands twice')
    if found and all(each.name != "to" for each in found):
        raise TemplateInvalid(0, "there is no {to}")
    return {label: each for label, each in by_label.items() if not each.is_header}


def example_text(language: int) -> str:
    """Return a text to send, in the language of this place in a list of labels."""
    return _TEXTS[_LANGUAGES[language if language < len(_LANGUAGES) else 0]]


def example_value(name: str, country: str) -> str:
    """Return a value for the field that is always good."""
    return fields.example_number(country) if name == "to" else fields.EXAMPLES[name]


_COLON = re.compile("[:：﹕]")
_NO_LABEL = re.compile(r"[,;!?@<>{}]")


def label_end(line: str) -> int | None:
    """Return where the colon is behind what may be a label: 14:30 and https: are none."""
    found = _COLON.search(line, 0, MAX_LABEL + 20)
    if not found:
        return None
    at = found.start()
    label = line[:at].strip()
    is_clock = line[at - 1 : at].isdigit() and line[at + 1 : at + 2].isdigit()
    if is_clock or line.startswith("//", at + 1) or not any(c.isalpha() for c in label):
        return None
    if len(label) > MAX_LABEL or _NO_LABEL.search(label) or len(label.split()) > 4:
        return None
    return at
