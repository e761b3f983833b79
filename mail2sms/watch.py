"""Telling systemd how it goes: the watchdog is fed by real progress alone, the state says what a person asks first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from mail2sms.clock import now_ms
from mail2sms.errors import StoreUnavailable
from mail2sms.log import log
from mail2sms.store import Store
from mail2sms.store.backlog import Backlog, backlog
from mail2sms.systemd import is_watched, notify, watchdog_s

_STATUS_S = 30.0
_PATIENCE_S = 5.0
_UNREACHABLE = "the database does not answer"


class Watch:
    """Reports until it is cancelled. `health` says what stalls, `sent` how many messages carriers took."""

    def __init__(
        self, store: Store, health: Callable[[], Mapping[str, str]], sent: Callable[[], int]
    ) -> None:
        self._store = store
        self._health = health
        self._sent = sent
        self._stalled: frozenset[str] = frozenset()
        self._told_s = -_STATUS_S

    async def run(self) -> None:
        """Report at half of the watchdog's time; return at once where nobody listens."""
        if not is_watched():
            return
        pause_s = min((watchdog_s() or _STATUS_S) / 2, _STATUS_S)
        while True:
            await self.report()
            await asyncio.sleep(pause_s)

    async def report(self) -> None:
        """Feed the watchdog if all goes on: this very turn of the loop, and each stage."""
        stalled = self._health()
        if not stalled:
            notify("WATCHDOG=1")
        elif stalled.keys() - self._stalled:
            log.error("daemon_stalled", where=" ".join(sorted(stalled)))
        self._stalled = frozenset(stalled)
        if stalled:
            notify(f"STATUS=stalled: {', '.join(sorted(stalled))}")
            self._told_s = -_STATUS_S  # what is true again is said at once
        elif time.monotonic() - self._told_s >= _STATUS_S:
            self._told_s = time.monotonic()
            notify(f"STATUS={await self._state()}")

    async def _state(self) -> str:
        now = now_ms()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found = await self._store.read(backlog, now)
        except (StoreUnavailable, TimeoutError):
            return _UNREACHABLE
        return state(found, now, self._sent())


def state(found: Backlog, now: int, sent: int) -> str:
    """Return the state in a line."""
    waiting = "queue empty"
    if found.count:
        age_s = max(0, now - (found.oldest or now)) // 1000
        waiting = f"queue {found.count}, oldest {age_s} s"
    return f"{waiting}, {sent} sent since the start"
