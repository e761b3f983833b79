"""The loop that keeps what the configuration says and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from mail2sms.clock import now_ms
from mail2sms.errors import StoreUnavailable
from mail2sms.log import log
from mail2sms.store import Store
from mail2sms.store.retention import KINDS, Sweep

_EVERY_S = 60.0


class Retention:
    """Sweeps until it is cancelled. `kept_ms` says how long each of KINDS is kept; a reload may change it."""

    def __init__(self, store: Store, account: str, kept_ms: Callable[[], Mapping[str, int]]) -> None:
        self._store = store
        self._account = account
        self._kept_ms = kept_ms

    async def run(self) -> None:
        """Look once a minute, and go on while there is more."""
        while True:
            try:
                await self.sweep(now_ms())
            except StoreUnavailable:
                log.error("store_failed", where="retention")
            await asyncio.sleep(_EVERY_S)

    async def sweep(self, now: int) -> None:
        """Erase all that is too old now, in small pieces. Raises StoreUnavailable."""
        kept_ms = self._kept_ms()
        for kind in KINDS:
            wanted = Sweep(account=self._account, kind=kind, before=now - kept_ms[kind], now=now)
            while await self._store.sweep(wanted):
                pass
