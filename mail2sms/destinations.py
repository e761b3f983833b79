"""What phone networks of each country do with sender IDs, as far as anybody knows, and which names are people's.

The project's own dated data files (data/destinations.csv, data/given_names_it.txt: sources are in them), under what an
operator knows better. Knows no message; what follows for one is decided in `rules`.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

_SURE = frozenset({"high", "medium", "operator"})
_JOINT = re.compile(r"[ ._&-]+|(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """One country. `names`: a name as sender is shown (yes), replaced on the way, lost (no), or unknown.

    `registration`: yes, optional (some networks or traffic), no, unknown; `certainty`: high, medium, low, none, or
    operator for what the configuration says.
    """

    region: str
    names: str = "unknown"
    registration: str = "unknown"
    two_way: str = "unknown"
    mms: str = "unknown"
    certainty: str = "none"
    read: str = ""
    source: str = ""

    @property
    def loses_names(self) -> bool:
        """Whether a message under a name would not arrive, as far as is known for sure."""
        return self.names == "no" and self.certainty in _SURE


@lru_cache(maxsize=1)
def shipped() -> Mapping[str, Destination]:
    """Return what the data file knows, by region."""
    lines = (line for line in _lines("destinations.csv"))
    return {row["region"]: Destination(**row) for row in csv.DictReader(lines)}


@lru_cache(maxsize=1)
def _given_names() -> Mapping[str, bool]:
    """Return Italian given names, folded; True for those that are other words as well."""
    return {line.removesuffix(" ?"): line.endswith(" ?") for line in _lines("given_names_it.txt")}


def _lines(name: str) -> list[str]:
    text = (resources.files("mail2sms") / "data" / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def given_name(name: str, region: str) -> str:
    """Return `sure` when a sender ID is nothing but a person's given name, `maybe` when it is another word too.

    The whole name counts, never a part: "MarinaMarket" is none. Only Italy has such a rule.
    """
    if region != "IT":
        return ""
    known = _given_names()
    parts = [_folded(part) for part in _JOINT.split(name) if part]
    found = [known[part] for part in parts if part in known]
    if _folded(name) in known:
        found, parts = [known[_folded(name)]], [name]
    if not parts or len(found) < len(parts):
        return ""
    return "maybe" if all(found) else "sure"


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return "".join(c for c in plain.lower() if c.isalnum())


_LIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "3": "e", "4": "a", "5": "s", "6": "g", "8": "b"})


def looks_like(name: str, other: str) -> bool:
    """Whether people may take one sender ID for the other: P0STE for Poste, rn for m, in any case."""
    return _shape(name) == _shape(other)


def _shape(name: str) -> str:
    return _folded(name).translate(_LIKE).replace("rn", "m").replace("vv", "w")
