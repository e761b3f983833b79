"""The one form of an email address: so it is compared, stored and written to. Pure; the only importer of idna.

An address may hold letters of any script (RFC 6531), in more than one form: composed or not, its domain as it is read
or as DNS has it. What only looks like another letter makes no address here: U+212A is "k" to who ignores case, and a
Cyrillic letter in a Latin word is there to deceive.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# RFC 5322 section 3.4.1 has "_" in domains too, which are found where people name their machines so.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9._-]{1,253}")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_LETTERS = frozenset("LMN")  # categories: letters, their marks, digits


def canonical(address: str) -> str:
    """Return an address, or a pattern of some, in lower case and NFC, its domain in ASCII; "" when it has no such form.

    What is ASCII is not judged further: see `shape`.
    """
    if address.isascii():
        return address.lower()
    text = unicodedata.normalize("NFC", address)
    if not all(map(_is_plain, address)) or unicodedata.normalize("NFKC", text) != text:
        return ""
    local, _, domain = text.lower().rpartition("@")
    if not all(map(_is_of_one_script, (local, *domain.split(".")))):
        return ""
    import idna  # its tables are large, and most mail does without

    try:
        labels = [
            label if label.isascii() else idna.alabel(label).decode("ascii") for label in domain.split(".")
        ]
    except idna.IDNAError:
        return ""
    return f"{local}@{'.'.join(labels)}"


def is_address(text: str) -> bool:
    """Whether this is one address as mail can be written to it: in its one form, safe in a header, not too long."""
    return _ADDRESS.fullmatch(shape(text)) is not None and (text.isascii() or canonical(text) == text)


def matches(pattern: str, address: str) -> bool:
    """Whether an address in its one form is one of those that a pattern means: `*` is anything but an @."""
    return pattern == "*" or _expression(pattern).fullmatch(address) is not None


@lru_cache(4096)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("[^@]*".join(re.escape(piece) for piece in canonical(pattern).split("*")))


def shape(text: str) -> str:
    """Return a text in ASCII of the same form, with an x for every other character: for patterns that know ASCII."""
    return _BEYOND_ASCII.sub("x", text)


def _is_plain(character: str) -> bool:
    """Whether it is ASCII, or a letter that neither composition nor lower case makes ASCII."""
    return character.isascii() or (
        unicodedata.category(character)[0] in _LETTERS
        and not unicodedata.normalize("NFC", character).isascii()
        and not character.lower().isascii()
    )


def _is_of_one_script(part: str) -> bool:
    """Whether Latin letters stand among Latin letters only."""
    letters = [character for character in part if character.isalpha()]
    return len({unicodedata.name(letter, "").startswith("LATIN ") for letter in letters}) < 2
