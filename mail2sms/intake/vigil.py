"""The loop that notices devices of which nothing is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mail2sms.clock import now_ms
from mail2sms.errors import StoreUnavailable
from mail2sms.log import log
from mail2sms.store import Store, Vigil

_EVERY_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """A device that must be heard of every `silent_ms`; else `to` is told."""

    name: str
    silent_ms: int
    to: str


class Vigils:
    """Looks at the devices that are `watched`; a reload changes them."""

    def __init__(self, store: Store, account: str, watched: Sequence[Watched]) -> None:
        self._store = store
        self._account = account
        self.watched = tuple(watched)

    async def run(self) -> None:
        """Look at them until cancelled."""
        while True:
            try:
                await self.look(now_ms())
            except StoreUnavailable:
                log.error("store_failed", where="vigil")
            await asyncio.sleep(_EVERY_S)

    async def look(self, now: int) -> None:
        """Look at each once."""
        for each in self.watched:
            vigil = Vigil(
                account=self._account,
                name=each.name,
                silent_ms=each.silent_ms,
                to=each.to,
                now=now,
                most_ms=int(2 * _EVERY_S * 1000),
            )
            if await self._store.watch(vigil):
                log.warning("device_silent", where=each.name)
