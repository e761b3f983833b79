"""The daemon's command line, slower where a message moves, with other leases, and broken where a control wants it.

The product has no such switches: they are wrapped around its functions here. MAIL2SMS_HAMPERED is a JSON object of:
`pause_s` (each step of a message waits up to so long), `send_s` (the carrier takes so long), `lease_ms`, `is_apart`
(no claim commits an intent: it follows, as where carriers have rates), and `broken`, a list of what does not work:
`fence`, `bell`, `claims`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, insert, update

from mail2sms import dispatch
from mail2sms.carriers.simulated import Simulated
from mail2sms.cli.main import main
from mail2sms.dispatch import attempts
from mail2sms.model import Status
from mail2sms.relay import loop
from mail2sms.store import Intent, Store, bell, queue, schema
from mail2sms.store.rows import event_row


def slow(owner: Any, name: str, before_s: Callable[[], float], after_s: Callable[[], float]) -> None:
    """Make a coroutine function of `owner` wait before and after its work."""
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    async def waiting(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(before_s())
        result = await original(*args, **kwargs)
        await asyncio.sleep(after_s())
        return result

    setattr(owner, name, waiting)


def lease(lease_ms: int) -> None:
    """Make leases last so long, and be renewed as often as before in their time."""
    dispatch.LEASE_MS = loop._LEASE_MS = lease_ms
    dispatch._RENEW_S = lease_ms / 3000


def intend(connection: Connection, intents: Sequence[Intent]) -> list[bool]:
    """Commit intents for whatever was once claimed: without a look at fence, lease and status."""
    for intent in intents:
        connection.execute(
            update(schema.message).where(schema.message.c.id == intent.mt.id).values(status="sending")
        )
        connection.execute(
            insert(schema.attempt), [queue._attempt_row(intent, part) for part in intent.parts]
        )
        connection.execute(insert(schema.event), [event_row(intent.mt, Status.SENDING, intent.now)])
    return [True] * len(intents)


async def claim_nothing(self: Store, wanted: object) -> list[object]:
    """Leave all work to others."""
    return []


def break_(what: str) -> None:
    """Break one part."""
    if what == "fence":
        object.__setattr__(queue.INTEND, "write", intend)
        attempts.Attempts.is_late = lambda self, asked_s: False  # type: ignore[method-assign]
    elif what == "bell":
        bell.ring = lambda connection, topics: None
    elif what == "claims":
        Store.claim = Store.claim_notices = claim_nothing  # type: ignore[assignment,method-assign]
    else:
        raise ValueError(what)


def hamper(
    pause_s: float = 0.0,
    send_s: float = 0.0,
    lease_ms: int = 0,
    broken: Sequence[str] = (),
    *,
    is_apart: bool = False,
) -> None:
    """Wrap the product's functions."""
    if pause_s or send_s:

        def pause() -> float:
            return random.uniform(0, pause_s)

        slow(Store, "claim", lambda: 0.0, pause)
        slow(Store, "intend", pause, pause)
        slow(Simulated, "send", lambda: pause() + send_s, pause)
    if is_apart:
        attempts.Attempts.at_once = lambda self, carrier, claimed: None  # type: ignore[method-assign]
    if lease_ms:
        lease(lease_ms)
    for what in broken:
        break_(what)


if __name__ == "__main__":
    hamper(**json.loads(os.environ["MAIL2SMS_HAMPERED"]))
    main()
