"""Headers by which mail programs keep a conversation in one thread. Pure; knows no texts, people or delivery.

RFC 5322 section 3.6.4 for most programs; Thread-Index (MS-OXOMSG section 2.2.1.3) for Outlook; for Gmail the
unchanged subject.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from typing import Final

from mail2sms.ids import base32

_NAMESPACE: Final = uuid.UUID("5f0c3c6e-2f63-5d3a-9d5d-6d61696c3273")
_FILETIME_EPOCH_MS: Final = 11_644_473_600_000  # 1601-01-01 to 1970-01-01
_HEAD_BYTES, _CHILD_BYTES, _CHILDREN = 22, 5, 50
_REFERENCES: Final = 20

# What programs put before a subject that they answer: English, German, French, Swedish, Dutch, Italian.
_PREFIX = re.compile(r"\s*(?:re|aw|tr|rép|sv|antw|rif)(?:\[\d{1,3}\])?[ \u00a0\u202f]?:\s*", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")


def thread_index(conversation_key: str, started_at: int, replies: int) -> str:
    """Return the Thread-Index of a thread's reply number `replies`; 0 is the first mail, at `started_at`."""
    guid = uuid.uuid5(_NAMESPACE, conversation_key).bytes
    children = (_child(0, reply) for reply in range(min(max(replies, 0), _CHILDREN)))
    return base64.b64encode(b"\x01" + _filetime(started_at) + guid + b"".join(children)).decode("ascii")


def extend(index: str, at: int) -> str:
    """Return the Thread-Index of an answer, at `at`, to the mail with `index`; empty when that is malformed.

    After 50 answers it stays as it is: Outlook groups by the first 22 bytes.
    """
    try:
        theirs = base64.b64decode("".join(index[:1000].split()), validate=True)
    except (binascii.Error, ValueError):
        return ""
    children, odd = divmod(len(theirs) - _HEAD_BYTES, _CHILD_BYTES)
    if children < 0 or odd or children > _CHILDREN or theirs[0] != 1:
        return ""
    if children < _CHILDREN:
        began = int.from_bytes(theirs[1:6]) << 16 | 1 << 56
        theirs += _child(_ticks(at) - began, children)
    return base64.b64encode(theirs).decode("ascii")


def conversation_message_id(conversation_id: str, domain: str) -> str:
    """Return the id of a mail that never was: all mails of the conversation refer to it, deleted or not."""
    return f"<conv.{base32(hashlib.sha256(conversation_id.encode()).digest(), 20)}@{domain}>"


def message_id(text: str | None) -> str:
    """Return the first well-formed message id in `text`, else nothing: it comes from somebody's header."""
    found = _MESSAGE_ID.search(text or "")
    return found[0] if found else ""


def references(root: str, earlier: tuple[str, ...], parent: str) -> str:
    """Return the References value: `root` first, the parent last; of many, the oldest in between give way."""
    ids = [root]
    for candidate in (*earlier[-_REFERENCES:], parent):
        known = message_id(candidate)
        if known and known != root:
            ids = [one for one in ids if one != known] + [known]
    return " ".join(ids[:1] + ids[1:][-_REFERENCES:])


def bare_subject(subject: str) -> str:
    """Return the subject without any `Re:`, `AW:`, `TR:` in front."""
    bare = subject
    while found := _PREFIX.match(bare):
        bare = bare[found.end() :]
    return bare.strip()


def reply_subject(subject: str) -> str:
    """Return `Re: ` and exactly the first subject: Gmail starts a new thread when it changes."""
    return f"Re: {bare_subject(subject)}".strip()


def _ticks(at: int) -> int:
    return (at + _FILETIME_EPOCH_MS) * 10_000


def _filetime(at: int) -> bytes:
    """Bits 55 to 16 of the FILETIME; bits 63 to 56 are the 0x01 before them, from 1829 to 2057."""
    return (_ticks(at) >> 16 & (1 << 40) - 1).to_bytes(5)


def _child(ticks: int, number: int) -> bytes:
    """Five bytes: one bit scale, 31 bits of time since the first mail, one byte to tell siblings apart.

    Up to 1.7 years the 31 bits stand for bits 48 to 18, beyond it for bits 53 to 23.
    """
    ticks = min(max(ticks, 0), (1 << 54) - 1)
    block = ticks >> 18 if ticks < 1 << 49 else 1 << 31 | ticks >> 23
    return (block << 8 | number & 0xFF).to_bytes(5)
