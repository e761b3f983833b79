"""The daemon's command line with one named point at which the process dies, as in a power cut of its own.

MAIL2SMS_CRASH_AT names the point. The product has no such points: they are wrapped around its functions here.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from mail2sms import mailer
from mail2sms.carriers.simulated import Phones, Simulated
from mail2sms.cli.main import main
from mail2sms.intake import receive
from mail2sms.store import Store, mos, outcomes, put, queue

AT = os.environ.get("MAIL2SMS_CRASH_AT", "")


def here(point: str) -> None:
    """Die if this is the point."""
    if AT and point == AT:
        os._exit(137)


def around(owner: Any, name: str, before: str = "", after: str = "") -> None:
    """Make a function or coroutine function of `owner` pass these points."""
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    async def waited(*args: Any, **kwargs: Any) -> Any:
        here(before)
        result = await original(*args, **kwargs)
        if result != [] and getattr(result, "claimed", True):  # a claim that found nothing passes no point
            here(after)
        return result

    setattr(owner, name, waited)


def inside(verb: Any, before: str, after: str) -> None:
    """Make a store verb pass these points in its transaction, before its COMMIT."""
    original = verb.write

    def write(connection: Any, items: Any) -> Any:
        here(before)
        results = original(connection, items)
        here(after)
        return results

    object.__setattr__(verb, "write", write)


def shown(original: Callable[..., None]) -> Callable[..., None]:
    """The phone shows the text, and the carrier's answer is not heard."""

    def append(self: Phones, line: dict[str, Any]) -> None:
        original(self, line)
        if "shown" in line:
            here("before-answer")

    return append


inside(put.PUT, "before-insert", "after-insert")
inside(queue.INTEND, "before-intent", "after-intent-insert")
inside(outcomes.SETTLE, "before-outcome", "after-outcome-insert")
inside(mos.RECORD_MO, "before-mo", "after-mo-insert")
around(Store, "put", after="after-commit")
around(receive.Receiver, "mail", after="before-250")
around(Store, "claim", after="after-intent")
around(Store, "claim_at_rate", after="after-claim-at-rate")
around(Store, "intend", after="after-intent-at-rate")
around(Simulated, "send", before="before-send", after="after-answer")
around(Store, "settle", after="after-outcome")
around(Store, "record_mo", after="after-mo")
around(mailer.Mailer, "deliver", before="before-email", after="after-email")
around(Store, "settle_notice", after="after-email-mark")
Phones.append = shown(Phones.append)  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.argv[0] = "mail2sms"
    main()
