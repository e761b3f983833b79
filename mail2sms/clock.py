"""The time and chance: where everything that is not pure gets them."""

from __future__ import annotations

import secrets
import time

from mail2sms.model import make_id


def now_ms() -> int:
    """Return the time, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str, now: int) -> str:
    """Return a fresh id."""
    return make_id(prefix, now, secrets.randbits(40))
