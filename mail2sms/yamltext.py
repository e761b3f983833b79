"""mail2sms.yaml as text with places: what was written where. Knows YAML's grammar and no option.

Every scalar stays the text that was written: YAML would read `NO` as false, `+33...` as a number without its plus,
`0123` as octal and `22:00` as 1320, and countries, phone numbers and times are what this file is made of. Duplicate
keys, anchors, aliases, tags, merge keys and further documents are refused. The only importer of yaml.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Steps = tuple[str | int, ...]
"""The way to an option: keys and, in lists, positions from 0."""

MAX_SIZE = 1_000_000  # characters
_MAX_BYTES = 4 * MAX_SIZE  # UTF-8
_MAX_DEPTH = 12
_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # as PyYAML counts lines


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; lines and columns count from 1. Line 0: nowhere in particular."""

    line: int = 0
    column: int = 0
    width: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing to put right in the file. `steps` lead to the option at fault, if one is."""

    message: str
    place: Place
    hint: str = ""
    steps: Steps = ()
    is_warning: bool = False


@dataclass(kw_only=True, slots=True)
class Document:
    """The file as read: `tree` of dicts, lists and text; where each key and value stands; what is wrong so far."""

    lines: tuple[str, ...]
    tree: dict[str, Any] = field(default_factory=dict)
    keys: dict[Steps, Place] = field(default_factory=dict)
    values: dict[Steps, Place] = field(default_factory=dict)
    ends: dict[Steps, int] = field(default_factory=dict)  # last lines of values
    torn_off: list[tuple[Steps, Place]] = field(
        default_factory=list
    )  # a comma cut these off an option's value
    faults: list[Fault] = field(default_factory=list)

    def key_place(self, steps: Steps) -> Place:
        """Return where the key stands, else the nearest thing around it."""
        return self.keys.get(steps) or self.place(steps)

    def place(self, steps: Steps) -> Place:
        """Return where the value stands, else the nearest key or value around it."""
        if steps in self.values:
            return self.values[steps]
        while steps:
            steps = steps[:-1]
            if self.text(steps) is not None:  # one value that stands for a list of one
                return self.values[steps]
            if found := self.keys.get(steps) or self.values.get(steps):
                return found
        return Place(1, 1) if self.lines else Place()

    def place_inside(self, place: Place, text: str, column: int, width: int) -> Place:
        """Return the place inside a value that reads `text`; the whole value's where it is not written as it reads."""
        line = self.lines[place.line - 1] if 0 < place.line <= len(self.lines) else ""
        start = place.column - 1 + (line[place.column - 1 : place.column] in ("'", '"'))
        if not line.startswith(text, start):
            return place
        return Place(place.line, start + column, max(1, min(width, len(text) + 1 - column)))

    def text(self, steps: Steps) -> str | None:
        """Return what was written there, or None when it is no single text."""
        node: Any = self.tree
        for step in steps:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node if isinstance(node, str) else None


class _Stop(Exception):
    """What was read so far can't be read on."""


def read(text: str) -> Document:
    """Read the file's text. Whatever is wrong with it is in `faults`; what could be read is in `tree`."""
    document = Document(lines=tuple(_BREAKS.split(text[:MAX_SIZE])))
    if len(text) > MAX_SIZE:
        document.faults.append(Fault(message="the file is larger than 1 MB", place=Place(1, 1)))
        return document
    try:
        _Builder(document, yaml.parse(text, Loader=yaml.BaseLoader)).build()
    except _Stop:
        pass
    except yaml.reader.ReaderError as e:
        document.faults.append(_unprintable(text, e.position))
    except yaml.MarkedYAMLError as e:
        document.faults.append(_in_words(document, e))
    except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF": PyYAML asks chr() for it
        place = Place(1, 1)
        document.faults.append(Fault(message="an escape in double quotes is no character", place=place))
    return document


def read_file(path: Path) -> Document:
    """Return what a file says, faults among it, that it can't be read too."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError as e:
        return Document(lines=(), faults=[Fault(message=f"cannot be read: {e.strerror}", place=Place())])
    try:
        return read(content.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        before = content[: e.start].decode("utf-8-sig").split("\n")
        fault = Fault(message="this is not UTF-8 text", place=Place(len(before), len(before[-1]) + 1))
        return Document(lines=(), faults=[fault])


class _Builder:
    """Builds the tree from YAML's events, noting places and faults as it goes."""

    def __init__(self, document: Document, events: Iterator[Any]) -> None:
        self._document = document
        self._events = events

    def build(self) -> None:
        root: Any = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._fault("only one document is read: nothing may follow it", _place(event))
                    raise _Stop
                root = self._node(next(self._events), ())
        if root is None:
            self._fault("the file is empty", Place(1, 1), "see the example mail2sms.yaml")
        elif not isinstance(root, dict):
            self._fault('expected options ("name: value")', self._document.place(()))
        else:
            self._document.tree = root

    def _fault(self, message: str, place: Place, hint: str = "", steps: Steps = ()) -> None:
        self._document.faults.append(Fault(message=message, place=place, hint=hint, steps=steps))

    def _node(self, event: Any, steps: Steps) -> Any:
        """Return the value that begins with `event`: a dict, a list or a text."""
        place = _place(event)
        self._document.values[steps] = place
        self._document.ends[steps] = event.end_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            hint = "such text must stand in quotes"
            self._fault("aliases (text that starts with *) are not supported", place, hint, steps)
            return ""
        if event.anchor is not None:
            hint = "such text must stand in quotes"
            self._fault("anchors (text that starts with &) are not supported", place, hint, steps)
        if event.tag is not None:
            hint = "a secret is named by credential:NAME, file:PATH or env:NAME"
            self._fault("tags (text that starts with !) are not supported", place, hint, steps)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, steps, place)
        if len(steps) >= _MAX_DEPTH:
            self._fault("this is nested too deep", place, "", steps)
            raise _Stop
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(steps)
        return self._dict(steps, is_flow=bool(event.flow_style))

    def _scalar(self, event: Any, steps: Steps, place: Place) -> str:
        value = str(event.value)
        if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in value):
            self._fault("a value is one line without control characters", place, "", steps)
        return value

    def _list(self, steps: Steps) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item_steps = (*steps, len(items))
            items.append(self._node(event, item_steps))
            if _is_empty(event):
                self._fault("an item of this list has no value", _place(event), "", item_steps)
        return items

    def _dict(self, steps: Steps, *, is_flow: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = _place(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._fault(
                    "the name of an option must be plain text", place, 'text such as "*" needs quotes'
                )
                raise _Stop
            key, key_steps = str(event.value), (*steps, str(event.value))
            is_new = self._is_new_key(event, key_steps, place)
            if is_new:
                self._document.keys[key_steps] = place
            value_event = next(self._events)
            value = self._node(value_event, key_steps if is_new else (*steps, place.line, key))
            if is_new and _is_empty(value_event):
                before = (*steps, next(reversed(found))) if found and is_flow else ()
                self._without_value(key_steps, place, before)
            elif is_new:
                found[key] = value
        return found

    def _without_value(self, steps: Steps, place: Place, before: Steps) -> None:
        """The name is shown only where it can't be part of a secret: `{password:x}`, `{password: x,y}`."""
        name, colon, _ = str(steps[-1]).partition(":")
        message = f'"{name}" has no value'
        hint = 'put a blank after the ":"' if colon else ""
        if before:
            self._document.torn_off.append((before, place))
            message = "what follows this comma has no value"
            hint = hint or 'text that holds "," must stand in quotes'
        self._fault(message, place, hint, steps)

    def _is_new_key(self, event: Any, steps: Steps, place: Place) -> bool:
        key = steps[-1]
        if key == "<<" and event.style is None:
            self._fault("merge keys (<<) are not supported", place, "write the options out", steps)
            return False
        if event.tag is not None or event.anchor is not None:
            self._fault("the name of an option can have no tag and no anchor", place, "", steps)
        if first := self._document.keys.get(steps):
            message = f'duplicate key "{key}" (first used on line {first.line})'
            self._fault(message, place, "", steps)
            return False
        return True


def _is_empty(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "" and event.style is None


def _place(event: Any) -> Place:
    start, end = event.start_mark, event.end_mark
    is_one_line = end.line == start.line
    return Place(start.line + 1, start.column + 1, max(1, end.column - start.column) if is_one_line else 1)


def _unprintable(text: str, position: int) -> Fault:
    before = _BREAKS.split(text[:position])
    code = ord(text[position])
    return Fault(
        message=f"the character U+{code:04X} cannot stand in this file",
        place=Place(len(before), len(before[-1]) + 1),
    )


_IN_WORDS: tuple[tuple[str, str, str, str], ...] = (
    # in the context of, PyYAML says, we say, hint; {c} is the character at fault, {n} the line it began on
    ("", "found character '\\t'", "a tab cannot be used here", "use blanks"),
    ("", "found character", 'text that starts with "{c}" must stand in quotes', 'write "{c}..."'),
    ("scanning an alias", "", 'text that starts with "{c}" must stand in quotes', 'write "{c}..."'),
    ("scanning an anchor", "", 'text that starts with "{c}" must stand in quotes', 'write "{c}..."'),
    ("quoted scalar", "end of stream", "this quote is never closed", ""),
    ("quoted scalar", "found unexpected document", "this quote is never closed", ""),
    ("quoted scalar", "unknown escape", "a backslash in double quotes starts an escape", "use single quotes"),
    ("flow mapping", "expected ',' or '}'", 'expected "," or "}}": the "{{" of line {n} is not closed', ""),
    ("flow sequence", "expected ',' or ']'", 'expected "," or "]": the "[" of line {n} is not closed', ""),
    ("simple key", "expected ':'", 'expected "name: value"', 'put ":" and a blank after the name'),
    ("", "mapping values are not allowed", 'a second ":" here makes no sense',
     'put text that holds ": " in quotes; options of one section start in the same column'),
    ("block mapping", "found '<scalar>'", "text follows a closing quote", "double a ' inside single quotes"),
    ("block", "expected <block end>", "this line does not start in the column of its section",
     "options of one section start in the same column"),
    ("", "expected '<document start>'", "nothing may follow here", ""),
    ("", "expected the node content", "a value is missing here", ""),
)  # fmt: skip
_AT_ITS_BEGINNING = ("scanning an alias", "scanning an anchor", "quoted scalar", "simple key")


def _in_words(document: Document, error: yaml.MarkedYAMLError) -> Fault:
    """Say a syntax error in words that need no knowledge of YAML's grammar."""
    context, problem = error.context or "", error.problem or ""
    begin = error.context_mark or error.problem_mark
    is_at_beginning = any(words in context for words in _AT_ITS_BEGINNING)
    mark = begin if is_at_beginning and "escape" not in problem else error.problem_mark or begin
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    line = document.lines[place.line - 1] if place.line <= len(document.lines) else ""
    facts = {"c": line[place.column - 1 : place.column], "n": begin.line + 1 if begin else 0}
    for in_context, said, message, hint in _IN_WORDS:
        if in_context in context and said in problem:
            return Fault(message=message.format_map(facts), place=place, hint=hint.format_map(facts))
    return Fault(message=f"cannot be read as YAML: {problem}", place=place)
