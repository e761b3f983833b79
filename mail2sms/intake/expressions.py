"""What a device's SMS says: a text with fields of its mail in braces, each led through filters. Pure.

A small closed language, `{subject}: {body|with:"Status"|first_line|80}`: its texts are the operator's, and are read
when the configuration is; what stands in a mail is only ever a value. Every filter takes time in proportion to its
text, whatever that is. `{{` and `}}` are braces, `\\n` is a line end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from mail2sms import segments

FIELDS = ("subject", "body", "from", "name", "host", "device", "time")
"""subject, body, from (the address), name (beside it), host (what the client calls itself), device, time (sent)."""

MOST = 64 * 1024  # characters of any value on its way
_PAIRS = {"{{": "{", "}}": "}", "\\n": "\n"}
_BETWEEN = " \n:;,-/|"
_TOKEN = re.compile(
    r"""(?P<blank>[ ]+)|(?P<bar>\|)|(?P<colon>:)|(?P<comma>,)|(?P<number>[0-9]+)|(?P<word>[a-z_]+)"""
    r"""|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<end>\})|(?P<other>.)""",
    re.DOTALL,
)


class ExpressionInvalid(ValueError):
    """The text can't be read. `column` (from 1) and `width` are its place, `hint` what to write instead."""

    def __init__(self, message: str, column: int, width: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.column, self.width, self.hint = column, max(1, width), hint


Argument = str | int


@dataclass(frozen=True, slots=True)
class _Filter:
    """How a filter is written, what it is given, and what it makes of a text."""

    takes: tuple[type, ...]
    apply: Callable[..., str]
    example: str


def _filled(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if not line.isspace() and line]


def _line(text: str, number: int) -> str:
    lines = _filled(text)
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _lines(text: str, count: int) -> str:
    return "\n".join(_filled(text)[:count])


def _with(text: str, wanted: str) -> str:
    return "\n".join(line for line in _filled(text) if wanted.casefold() in line.casefold())


def _without(text: str, unwanted: str) -> str:
    return "\n".join(line for line in _filled(text) if unwanted.casefold() not in line.casefold())


def _after(text: str, mark: str) -> str:
    return text.partition(mark)[2].strip()


def _before(text: str, mark: str) -> str:
    return text.partition(mark)[0].strip()


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new) if old else text


FILTERS: Mapping[str, _Filter] = {
    "first_line": _Filter((), lambda text: _line(text, 1), "first_line"),
    "last_line": _Filter((), lambda text: next(reversed(_filled(text)), ""), "last_line"),
    "line": _Filter((int,), _line, "line:2"),
    "lines": _Filter((int,), _lines, "lines:3"),
    "one_line": _Filter((), lambda text: " ".join(text.split()), "one_line"),
    "with": _Filter((str,), _with, 'with:"Status"'),
    "without": _Filter((str,), _without, 'without:"http"'),
    "after": _Filter((str,), _after, 'after:"Alarm:"'),
    "before": _Filter((str,), _before, 'before:"("'),
    "replace": _Filter((str, str), _replace, 'replace:"Temperature","Temp."'),
    "or": _Filter((str,), lambda text, other: text or other, 'or:"no text"'),
}
"""Lines are those that are not blank. What finds nothing leaves nothing; `or` says what stands there then.

A number alone is the most characters there may be.
"""


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    arguments: tuple[Argument, ...]

    def apply(self, text: str) -> str:
        made = segments.shorten(text, int(self.arguments[0])) if not self.name else self._by_name(text)
        return made[:MOST]

    def _by_name(self, text: str) -> str:
        return FILTERS[self.name].apply(text, *self.arguments)


@dataclass(frozen=True, slots=True)
class _Value:
    field: str
    steps: tuple[_Step, ...] = ()

    def fill(self, facts: Mapping[str, str]) -> str:
        text = facts.get(self.field, "")[:MOST]
        for step in self.steps:
            text = step.apply(text)
        return text


@dataclass(frozen=True, slots=True)
class Expression:
    """A text that was read. `written` is it as it stands in the configuration."""

    written: str
    pieces: tuple[str | _Value, ...]

    def __str__(self) -> str:
        return self.written

    def fill(self, facts: Mapping[str, str]) -> str:
        """Return the text of one mail, without blank lines and blanks around lines; facts are those of FIELDS.

        Where the first or last field says nothing, what stood between it and the others goes too.
        """
        pieces = [piece if isinstance(piece, str) else piece.fill(facts) for piece in self.pieces]
        text = "\n".join(_filled("".join(pieces)[:MOST].replace("\r\n", "\n")))
        text = text.lstrip(_BETWEEN) if not pieces[0].strip() else text
        return text.rstrip(_BETWEEN) if not pieces[-1].strip() else text

    def says(self, facts: Mapping[str, str]) -> bool:
        """Whether any of its fields has something of this mail to say."""
        values = [piece for piece in self.pieces if isinstance(piece, _Value)]
        return not values or any(value.fill(facts).strip() for value in values)


def read(text: str) -> Expression:
    """Return the expression that `text` is. Raises ExpressionInvalid."""
    if not text.strip():
        raise ExpressionInvalid("there is no text", 1, 1, 'such as "{subject}"')
    pieces: list[str | _Value] = []
    at = 0
    while at < len(text):
        pair = text[at : at + 2]
        if pair in _PAIRS:
            pieces.append(_PAIRS[pair])
            at += 2
        elif text[at] == "{":
            value, at = _Reading(text, at + 1).value()
            pieces.append(value)
        elif text[at] == "}":
            raise ExpressionInvalid("this brace closes nothing", at + 1, 1, "write }} for a brace")
        else:
            pieces.append(text[at])
            at += 1
    return Expression(text, tuple(_joined(pieces)))


def _joined(pieces: list[str | _Value]) -> Iterator[str | _Value]:
    literal = ""
    for piece in pieces:
        if isinstance(piece, str):
            literal += piece
            continue
        if literal:
            yield literal
        literal = ""
        yield piece
    if literal:
        yield literal


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int  # index in the expression
    width: int


class _Reading:
    """Reads what stands between two braces."""

    def __init__(self, text: str, start: int) -> None:
        self._opened = start - 1
        self._tokens: list[_Token] = []
        for found in _TOKEN.finditer(text, start):
            kind = found.lastgroup or ""
            if kind != "blank":
                width = found.end() - found.start()
                self._tokens.append(_Token(kind, found[kind], found.start(), width))
            if kind == "end":
                break
        self._next = 0

    def _take(self) -> _Token:
        if self._next >= len(self._tokens):
            raise ExpressionInvalid(
                "this brace is never closed", self._opened + 1, 1, "write {{ for a brace itself"
            )
        self._next += 1
        return self._tokens[self._next - 1]

    def value(self) -> tuple[_Value, int]:
        """Return the value, and the index behind its closing brace."""
        field = self._take()
        if field.kind != "word" or field.text not in FIELDS:
            raise _unknown("field", field, FIELDS)
        steps: list[_Step] = []
        token = self._take()
        while token.kind == "bar":
            step, token = self._step()
            steps.append(step)
        if token.kind != "end":
            raise _unexpected(token, "a | before a filter, or } at the end")
        return _Value(field.text, tuple(steps)), token.at + 1

    def _step(self) -> tuple[_Step, _Token]:
        name = self._take()
        if name.kind == "number":
            return _Step("", (_number(name),)), self._take()
        if name.kind != "word" or name.text not in FILTERS:
            raise _unknown("filter", name, FILTERS)
        arguments: list[Argument] = []
        token = self._take()
        if token.kind == "colon":
            while token.kind in ("colon", "comma"):
                arguments.append(self._argument(name))
                token = self._take()
        wanted = FILTERS[name.text]
        if tuple(map(type, arguments)) != wanted.takes:
            width = token.at - name.at
            raise ExpressionInvalid(f'"{name.text}" is not written so', name.at + 1, width, wanted.example)
        return _Step(name.text, tuple(arguments)), token

    def _argument(self, name: _Token) -> Argument:
        token = self._take()
        if token.kind == "number":
            return _number(token)
        if token.kind not in ("double", "single"):
            raise _unexpected(token, FILTERS[name.text].example)
        return token.text


def _number(token: _Token) -> int:
    if len(token.text) > 5 or int(token.text) == 0:
        raise ExpressionInvalid(f'"{token.text}" is out of range', token.at + 1, token.width, "1 to 99999")
    return int(token.text)


def _unexpected(token: _Token, expected: str) -> ExpressionInvalid:
    return ExpressionInvalid(f'"{token.text}" was not expected here', token.at + 1, token.width, expected)


def _unknown(what: str, token: _Token, known: Mapping[str, object] | tuple[str, ...]) -> ExpressionInvalid:
    near = get_close_matches(token.text, list(known), 1, 0.6)
    hint = f'did you mean "{near[0]}"?' if near else f"one of: {', '.join(known)}"
    shown = "}" if token.kind == "end" else token.text
    return ExpressionInvalid(f'there is no {what} "{shown}"', token.at + 1, token.width, hint)
