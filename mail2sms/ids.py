"""Ids of things, and keys in addresses: made before the insert, or always the same for the same things. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache

from mail2sms.model import Msisdn

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base32: no I L O U
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_CONVERSATIONS = 4096  # of which the ids are remembered
_SECRETS = 64  # of which the first half of their HMACs is done
_EPOCH_MS = 1_735_689_600_000  # 2025-01-01; 40 bits of milliseconds last until 2059


def make_id(prefix: str, now_ms: int, chance: int) -> str:
    """Return `prefix-` and 16 speakable characters that sort by time: 40 bits of time, 40 of `chance`.

    Made before the insert, so that a commit in doubt can be repeated without storing twice.
    """
    number = ((max(0, now_ms - _EPOCH_MS) & (1 << 40) - 1) << 40) | (chance & (1 << 40) - 1)
    return f"{prefix}-" + "".join(_PAIRS[number >> shift & 1023] for shift in range(70, -10, -10))


def derive_id(prefix: str, *parts: str) -> str:
    """Return an id that is always the same for the same parts, so that a write run twice stores once."""
    return f"{prefix}-" + base32(hashlib.sha256("\0".join(parts).encode()).digest(), 24)


@lru_cache(maxsize=_CONVERSATIONS)
def conversation_of(account: str, our_address: str, msisdn: Msisdn) -> str:
    """Return the id of the conversation between one of our addresses and a phone."""
    return derive_id("c", account, our_address, msisdn)


@lru_cache(maxsize=_CONVERSATIONS)
def reply_key(secret: bytes, conversation: str) -> str:
    """Return the key of a conversation's reply address: 50 bits of an HMAC, in base32."""
    return base32(keyed(secret, conversation.encode()), 10)


def approval_key(secret: bytes, id_: str, address: str) -> str:
    """Return what an approver's link proves itself by: 130 bits of an HMAC, in base32."""
    return base32(keyed(secret, f"approval {id_} {address.lower()}".encode()), 26)


def keyed(secret: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA256.

    Not by `hmac.digest`: it lets go of the GIL for a microsecond's work, and where another thread has some of its own,
    gets it back 190 us later.
    """
    keying = _keying(secret).copy()
    keying.update(message)
    return keying.digest()


@lru_cache(maxsize=_SECRETS)
def _keying(secret: bytes) -> hmac.HMAC:
    return hmac.new(secret, digestmod="sha256")


def base32(digest: bytes, length: int) -> str:
    """Return the first `length` lower-case base32 characters of `digest`, for addresses people may type."""
    needed = -(-length // 8) * 5  # bytes: eight characters are five
    return base64.b32encode(digest[:needed]).decode("ascii").lower()[:length]
