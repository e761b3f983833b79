"""The daemon's command line with the carrier types of `tests.servers.carriers` beside its own.

Their provider is a test's own and reaches no phone, so it takes numbers that are free for examples. The waits are
shortened by MAIL2SMS_FIRST_WAIT_MS, MAIL2SMS_LONGEST_WAIT_MS and MAIL2SMS_RESEND_AFTER_MS (see `lifecycle`) and by
MAIL2SMS_POLL_MS (see `lane`); the product has no such settings. However often they fail, they are never down: what
becomes of each message is looked at.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mail2sms import breaker, carriers, lane, lifecycle, numbers
from mail2sms.cli.main import main


def prepare() -> None:
    """Make the types known, and shorten the waits that are named."""
    carriers.__path__.append(str(Path(__file__).with_name("carriers")))
    numbers.is_fiction = lambda msisdn: False
    breaker._IN_A_ROW = 1 << 40
    for name in ("_FIRST_WAIT_MS", "_LONGEST_WAIT_MS", "_RESEND_AFTER_MS"):
        setattr(lifecycle, name, _wait_ms(name, getattr(lifecycle, name)))
    lane._POLL_S = _wait_ms("_POLL_MS", int(lane._POLL_S * 1000)) / 1000


def _wait_ms(name: str, own_ms: int) -> int:
    return int(os.environ.get(f"MAIL2SMS{name}", own_ms))


if __name__ == "__main__":
    prepare()
    sys.argv[0] = "mail2sms"
    main()
