"""A key in an address proves its writer where nothing else can: 33639981234+kKEY@sms.acme.example. Pure.

A key is 130 bits of chance in base32; known of it is its SHA-256, which needs no salt at such a length. It travels in
clear and stays in mail programs, so it must never get into what we write: logs, emails, the store.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from mail2sms.ids import base32

LENGTH = 26  # characters
CHANCE_BYTES = 20
HASHED = "sha256:"
_KEYED = re.compile(r"(?P<rest>.*)\+k(?P<key>[a-z0-9]*)", re.DOTALL | re.IGNORECASE)
_KEY = re.compile(rf"[a-z2-7]{{{LENGTH}}}")
_SEEN = re.compile(rf"\+k[a-z2-7]{{{LENGTH}}}(?=@)", re.IGNORECASE)
_SEEN_IN_MAIL = re.compile(_SEEN.pattern.encode(), re.IGNORECASE)


class KeyCut(ValueError):
    """An address holds what is no whole key."""


def make(chance: bytes) -> str:
    """Return a key of so much chance."""
    return base32(chance, LENGTH)


def fingerprint(key: str) -> str:
    """Return what the configuration knows of a key."""
    return HASHED + hashlib.sha256(key.encode()).hexdigest()


def split(local: str) -> tuple[str, str]:
    """Return a local part without its key, and the key; "" where there is none. Raises KeyCut."""
    found = _KEYED.fullmatch(local)
    if found is None or not found["rest"]:
        return local, ""
    key = found["key"].lower()
    if not _KEY.fullmatch(key):
        raise KeyCut
    return found["rest"], key


def without(text: str) -> str:
    """Return a text without the keys of the addresses in it."""
    return _SEEN.sub("", text) if "+" in text else text


def without_in(mail: bytes) -> bytes:
    """Return what is given back of a mail without the keys of the addresses in it."""
    return _SEEN_IN_MAIL.sub(b"", mail)


def holds(keys: Iterable[str], known: Iterable[str]) -> bool:
    """Whether one of the keys is one of the known: however many there are, and whichever it is, it takes as long."""
    asked = [fingerprint(key) for key in keys]
    return sum(hmac.compare_digest(one, other) for one in asked for other in known) > 0
