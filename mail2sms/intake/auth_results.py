"""What an Authentication-Results field says (RFC 8601), Microsoft's too, which names no server. Pure, linear.

Read strictly: a field of which any piece can't be read says nothing at all. Values may hold what a stranger wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PIECE = re.compile(
    r"""(?P<blank>[ \t]+)|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<open>\()|(?P<end>;)|(?P<word>=|[^ \t()";=]+)""",
    re.DOTALL,
)
_COMMENT = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?:/[0-9]+)?\Z")
_VERSION = re.compile(r"[0-9]+\Z")
_MOST_PIECES = 2000  # of one field


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One result, in lower case: `dmarc=pass header.from=acme.example`."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a property."""
        return tuple(value for known, value in self.properties if known == name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """All that one field says. `server` is its authserv-id, empty where it names none."""

    server: str
    results: tuple[Result, ...]


def read(value: str) -> Results | None:
    """Return what an unfolded field says, None when it can't be read for certain."""
    groups = _groups(value)
    if not groups or not groups[0]:
        return None
    server, first = "", groups[0]
    if len(first) in (1, 2) and "=" not in first and all(map(_VERSION.match, first[1:])):
        server, groups = first[0].lower(), groups[1:]
    if groups and not groups[-1]:
        groups.pop()
    if groups == [["none"]]:
        groups = []
    results = [_result(group) for group in groups]
    known = tuple(result for result in results if result is not None)
    return Results(server=server, results=known) if len(known) == len(results) else None


def _groups(value: str) -> list[list[str]] | None:
    """Return the words between semicolons, without comments. `=` is a word; a quoted one keeps its first quote."""
    groups: list[list[str]] = [[]]
    depth = at = 0
    for _ in range(_MOST_PIECES):
        if at == len(value):
            return None if depth else groups
        found = (_COMMENT if depth else _PIECE).match(value, at)
        if found is None:
            return None
        at = found.end()
        if found[0] in ("(", ")"):
            depth += 1 if found[0] == "(" else -1
        elif depth or found["blank"]:
            continue
        elif found["end"]:
            groups.append([])
        else:
            groups[-1].append(found["word"] or f'"{found["quoted"]}')
    return None


def _result(words: list[str]) -> Result | None:
    """Read `method = result name = value ...`: three words each."""
    if not words or len(words) % 3 or set(words[1::3]) != {"="} or "=" in words[0::3] + words[2::3]:
        return None
    names = words[0::3]
    if not all(map(_NAME.match, names)) or words[2].startswith('"'):
        return None
    values = [word.removeprefix('"').lower() for word in words[2::3]]
    method = names[0].partition("/")[0].lower()
    properties = tuple(zip(map(str.lower, names[1:]), values[1:], strict=True))
    return Result(method=method, result=values[0], properties=properties)
