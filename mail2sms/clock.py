"""The time and chance: where everything that is not pure gets them."""

from __future__ import annotations

import random
import time

from mail2sms.ids import make_id


def now_ms() -> int:
    """Return the time, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str, now: int) -> str:
    """Return a fresh id. Ids tell things apart and open nothing: chance need not be secret."""
    return make_id(prefix, now, random.getrandbits(40))  # a system call less
