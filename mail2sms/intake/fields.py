"""What people write in the fields of a template: numbers, teams, sender IDs, references. Pure.

It knows no template and no mail: a value comes with its place, and what can't be read is told by reason, place and
hint. Times are read by `moments`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

from mail2sms import numbers
from mail2sms.errors import BadNumber, Problem
from mail2sms.model import Msisdn

MAX_PROBLEMS = 100  # more help nobody, and finding them costs CPU
MAX_RECIPIENTS = 150  # a number costs up to 0.14 ms to read; how many are allowed is the business of accept
_MAX_WRONG = 30  # recipients: one that can't be read costs up to 0.3 ms
MAX_VALUE = 100  # characters: longer is no number and no time
_MAX_TEAMS, _SHOWN_TEAMS = 50, 10  # compared with a wrong name; told
_MAX_REFERENCE = 64  # characters
_SHOWN = 80  # characters of a wrong value that are shown

EXAMPLES = {"send_at": "14:30", "validity": "2h", "reference": "A-1042", "sender_id": "ACME"}
"""A value that is always good, for each field but `to`."""

# Numbers that no phone has (see numbers), as they are written where they belong.
_EXAMPLE_NUMBERS = {
    **{"FR": "06 39 98 12 34", "GB": "07700 900123", "DE": "0176 040690 12", "SE": "070-174 06 12"},
    **{"AU": "0491 570 006", "US": "(202) 555-0123", "CA": "(613) 555-0123"},
}

_INVISIBLE = dict.fromkeys(
    [
        0xAD,
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2065),
        *range(0x2066, 0x206A),
        0xFEFF,
    ]
)  # address books wrap numbers in direction marks
_BLANKS = "".join(c for c in map(chr, range(0x3001)) if c.isspace()) + "".join(map(chr, _INVISIBLE))
_VISIBLE = re.compile(f"[^{_BLANKS}]")
_FOLDED = 120  # characters: one ligature may become 18


class BadValue(ValueError):
    """A value that can't be read. `reason`, `hint` and `facts` as in `errors.Problem`."""

    def __init__(self, reason: str, hint: str = "", **facts: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.facts = facts


class UnclearValue(BadValue):
    """A value that may mean several things: something in the hint is not the writer's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Characters of the mail and where they begin, from 1; line and column 0 are the Subject header."""

    text: str
    line: int
    column: int

    def problem(self, reason: str, hint: str = "", **facts: str) -> Problem:
        """Return the problem that all these characters are."""
        return Problem(
            reason=reason,
            value=shown(self.text),
            hint=hint,
            line=self.line,
            column=self.column,
            width=max(1, len(self.text)),
            facts=facts,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipients:
    """What stands in a To field; `corrected` is what to write instead, "" when not all of it was read.

    A problem with the fact `example` has that number in its place there, which is none of the writer's.
    """

    numbers: tuple[Msisdn, ...]
    problems: tuple[Problem, ...]
    corrected: str

    @property
    def has_example(self) -> bool:
        """Whether a number in `corrected` is none of the writer's."""
        return any("example" in problem.facts for problem in self.problems)


def fold(text: str) -> str:
    """Return `text` without case, accents, marks that can't be seen and repeated blanks: how labels compare."""
    if not text.isascii():
        plain = unicodedata.normalize("NFKD", text.translate(_INVISIBLE))[:_FOLDED]
        text = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(text.casefold().split())


def bare(text: str) -> str:
    """Return `text` without blanks and characters that can't be seen around it."""
    return text.strip(_BLANKS)


def is_blank(text: str) -> bool:
    """Whether nothing of `text` can be seen."""
    return _VISIBLE.search(text) is None


def trim(text: str) -> str:
    """Return `text` without the blank lines around it."""
    first = _VISIBLE.search(text)
    if first is None:
        return ""
    end = text.find("\n", len(text.rstrip(_BLANKS)))
    return text[text.rfind("\n", 0, first.start()) + 1 : end if end >= 0 else None]


def next_filled(lines: Sequence[str], at: int) -> int:
    """Return the first line from `at` that is not blank, else how many lines there are."""
    text = "\n".join(islice(lines, at, None))
    first = _VISIBLE.search(text)
    return at + text.count("\n", 0, first.start()) if first else len(lines)


def shown(text: str) -> str:
    """Return what of `text` is shown as the value at fault."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def example_number(country: str) -> str:
    """Return a number that no phone has, in the style of `country` where there is such a one."""
    return _EXAMPLE_NUMBERS.get(country.upper(), "+33 6 39 98 12 34")


# --- To

_ITEM = re.compile(r"[^,;，；、\s][^,;，；、]*")
_INNER_NUMBER = re.compile(r"\+?\(?\d[\d ().\-/]{4,30}\d")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    piece: Piece
    begins_line: bool
    ends_line: bool  # no comma follows: the next line may go on with it


def read_recipients(
    pieces: Sequence[Piece],
    country: str,
    teams: Mapping[str, tuple[Msisdn, ...]],
    limit: int = MAX_RECIPIENTS,
) -> Recipients:
    """Read numbers and `@team` names, separated by commas, semicolons and ends of lines.

    A number that a mail program has broken over two lines is put together if only that makes sense. `limit` is how
    many are allowed, for who wrote more than can be read.
    """
    written = list(islice(_items(pieces), MAX_RECIPIENTS + 1))
    if len(written) > MAX_RECIPIENTS:
        count = sum(len(_ITEM.findall(piece.text)) for piece in pieces)
        facts = {"count": str(count), "limit": str(min(limit, MAX_RECIPIENTS))}
        return Recipients(
            numbers=(), problems=(pieces[0].problem("recipients.too_many", **facts),), corrected=""
        )
    items: list[_Item] = list({item.piece.text: item for item in reversed(written)}.values())[::-1]
    found: dict[Msisdn, None] = {}
    problems: list[Problem] = []
    corrected: dict[str, None] = {}
    following = iter([*items[1:], None])
    for item in (walk := iter(items)):
        text, after = item.piece.text, next(following)
        try:
            found.update(dict.fromkeys(_phones(text, country, teams)))
        except BadValue as e:
            joined = _across_lines(item, after, country)
            if joined:
                found[joined] = None
                next(walk), next(following)
                text = joined
            else:
                is_meant = _is_readable(e.hint, country, teams)
                text = e.hint if is_meant else example_number(country)
                facts = e.facts if is_meant else {**e.facts, "example": text}
                problems.append(item.piece.problem(e.reason, e.hint, **facts))
        corrected[text] = None
        if len(problems) == _MAX_WRONG:
            return Recipients(numbers=(), problems=tuple(problems), corrected="")
    return Recipients(numbers=tuple(found), problems=tuple(problems), corrected=", ".join(corrected))


def _items(pieces: Sequence[Piece]) -> Iterator[_Item]:
    """Split into numbers and names."""
    for piece in pieces:
        begins = True
        for match in _ITEM.finditer(piece.text):
            column = piece.column + match.start() if piece.line else 0
            where = Piece(text=match[0].rstrip(), line=piece.line, column=column)
            yield _Item(piece=where, begins_line=begins, ends_line=match.end() == len(piece.text))
            begins = False


def _phones(text: str, country: str, teams: Mapping[str, tuple[Msisdn, ...]]) -> tuple[Msisdn, ...]:
    name = bare(text)
    if not name.startswith("@"):
        return (_number(name, country, teams),)
    phones = teams.get(name[1:].strip().lower(), ())
    if phones:
        return phones
    alike = [each for each in teams if each[:1] == name[1:2].lower() and teams[each]][:_MAX_TEAMS]
    near = get_close_matches(name[1:MAX_VALUE].lower(), alike, n=1)
    facts = {"teams": ", ".join(f"@{each}" for each in sorted(teams)[:_SHOWN_TEAMS])} if teams else {}
    raise BadValue("template.unknown_team", "@" + near[0] if near else "", **facts)


def _number(text: str, country: str, teams: Mapping[str, tuple[Msisdn, ...]]) -> Msisdn:
    try:
        return numbers.read(text, country)
    except BadNumber as e:
        hint = e.hint
        if not hint and text.lower() in teams:
            hint = "@" + text.lower()
        inner = None if hint else _INNER_NUMBER.search(text[:MAX_VALUE])
        if inner and inner[0] != text and _is_readable(inner[0], country, {}):
            hint = inner[0]
        reason = "template.bad_number" if e.reason == "number.invalid" else e.reason
        raise BadValue(reason, hint, **{"country": country, **e.facts}) from e


def _across_lines(item: _Item, after: _Item | None, country: str) -> Msisdn | None:
    """Return the number that `item` and the beginning of the next line are together."""
    if after is None or not (item.ends_line and after.begins_line):
        return None
    text = f"{item.piece.text} {after.piece.text}"
    if len(text) > MAX_VALUE:
        return None
    try:
        return numbers.read(bare(text), country)
    except BadNumber:
        return None


def _is_readable(text: str, country: str, teams: Mapping[str, tuple[Msisdn, ...]]) -> bool:
    if not text:
        return False
    try:
        return bool(numbers.read(text, country) if text[0] != "@" else teams[text[1:]])
    except (BadNumber, KeyError):
        return False


# --- From and Ref


def read_sender_id(text: str, country: str, usable: Sequence[str]) -> str:
    """Return a number, short code or name as sender: one of `usable`, what the writer may send as."""
    facts = {"yours": ", ".join(numbers.display(Msisdn(each)) for each in usable)} if usable else {}
    try:
        wanted = numbers.read_sender_id(bare(text), country)
    except BadNumber as e:
        raise BadValue(e.reason, _meant_sender(text, usable), **facts, **e.facts) from e
    if wanted.casefold() in map(str.casefold, usable):
        return wanted
    raise BadValue("sender_id.not_yours", _meant_sender(wanted, usable), **facts)


def _meant_sender(text: str, usable: Sequence[str]) -> str:
    """Return the nearest of `usable`; "" when none is near."""
    wanted = fold(text[:MAX_VALUE])
    near = {fold(each): each for each in usable}
    alike = [each for each in near if wanted.startswith(each)] or get_close_matches(
        wanted, near, n=1, cutoff=0.7
    )
    return near[alike[0]] if alike else ""


def read_reference(text: str) -> str:
    """Return at most 64 characters that can be printed."""
    if len(text) <= _MAX_REFERENCE and text.isprintable():
        return text
    clean = "".join(c for c in text[: 2 * _MAX_REFERENCE] if c.isprintable())[:_MAX_REFERENCE].strip()
    if len(text) > _MAX_REFERENCE:
        facts = {"length": str(len(text)), "limit": str(_MAX_REFERENCE)}
        raise UnclearValue("template.bad_reference", clean, **facts)
    unseen = ", ".join(dict.fromkeys(f"U+{ord(c):04X}" for c in text if not c.isprintable()))
    raise BadValue("template.bad_reference", clean, unseen=unseen)


_NUMBERS_ONLY = re.compile(r"[\s\d+().,;/\-]+")


def seems_number(text: str) -> bool:
    """Whether a number or team is meant."""
    start = text[:MAX_VALUE]
    return start[:1] == "@" or (sum(c.isdigit() for c in start) >= 6 and has_only_numbers(start))


def has_only_numbers(text: str) -> bool:
    """Whether nothing but digits, what stands between them, and commas is in it."""
    return _NUMBERS_ONLY.fullmatch(text) is not None
