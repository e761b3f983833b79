"""Which carriers are down, as one node and the others found, and what then becomes of what waits for them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from dataclasses import replace

from mail2sms import breaker
from mail2sms.breaker import Breaker
from mail2sms.clock import now_ms
from mail2sms.errors import StoreUnavailable
from mail2sms.lifecycle import Outcome
from mail2sms.log import log
from mail2sms.store import Diverting, Outage, Regathering, Store, Warned
from mail2sms.store.outages import down

_LONG_MS = 300_000  # an outage that somebody is told of: shorter ones come and go


class Outages:
    """Which carriers are down, as this node and the others found; `carriers` are the names there are."""

    def __init__(self, store: Store, account: str, carriers: Sequence[str]) -> None:
        self._store, self._account = store, account
        self._breakers = dict.fromkeys(carriers, Breaker())
        self._untold: set[str] = set()  # what the store does not know yet
        self._tried: set[str] = set()  # those down that one message tries right now
        self._seen: dict[str, tuple[frozenset[str], tuple[int, str]]] = {}

    async def room(self, name: str, free: int) -> int:
        """Return how many messages a carrier may get now; while it gets none, they go another way."""
        how = self._breakers[name]
        if not how.is_down:
            return free
        if how.may_try(now_ms()) and name not in self._tried:
            return 1
        await self._divert(name)
        return 0

    def try_now(self, name: str) -> None:
        """Let a carrier that is down be tried before its pause is over: its connection has come back."""
        if self._breakers[name].is_down:
            self._breakers[name] = replace(self._breakers[name], until=now_ms())
            self._untold.add(name)  # else the pause that the store knows would hold again

    def tries(self, name: str, is_trying: bool) -> None:
        """Note whether a message is under way to a carrier that is down."""
        if is_trying and self._breakers[name].is_down:
            self._tried.add(name)
        else:
            self._tried.discard(name)

    def note(self, name: str, outcomes: Sequence[Outcome]) -> bool:
        """Note how attempts ended; returns whether there is something for `tell`."""
        was, now = self._breakers[name], now_ms()
        for outcome in outcomes:
            chance = random.random()  # noqa: S311  # spreads the pauses of nodes
            self._breakers[name] = breaker.after(self._breakers[name], outcome, now, chance)
        found = self._breakers[name]
        if (found.is_down, found.until) == (was.is_down, was.until):
            return False
        self._log(name, was)
        self._untold.add(name)
        return True

    async def tell(self) -> None:
        """Tell the other nodes; `look` does it again should that fail."""
        with contextlib.suppress(StoreUnavailable):
            await self._tell()

    async def look(self) -> None:
        """Tell the other nodes what they do not know yet, and see what they found. Raises StoreUnavailable."""
        await self._tell()
        before = dict(self._breakers)
        found = await self._store.read(down, self._account)
        for name, was in self._breakers.items():
            theirs = found.get(name, Breaker())
            if name in self._untold or was is not before[name]:
                continue  # what we found meanwhile is news to them
            if theirs.is_down != was.is_down or theirs.until > was.until:
                self._breakers[name] = theirs
                self._log(name, was)

    async def _tell(self) -> None:
        for name in tuple(self._untold):
            told = self._breakers[name]
            await self._store.mark(Outage(account=self._account, carrier=name, breaker=told, now=now_ms()))
            if self._breakers[name] == told:
                self._untold.discard(name)

    def _log(self, name: str, was: Breaker) -> None:
        is_down = self._breakers[name].is_down
        if is_down and not was.is_down:
            log.error("carrier_down", carrier=name, count=self._breakers[name].failures)
        elif was.is_down and not is_down:
            log.warning("carrier_up", carrier=name)

    async def warn(self, to: tuple[str, ...]) -> None:
        """Tell these people of carriers that are down for long, once of each outage. Raises StoreUnavailable."""
        before = now_ms() - _LONG_MS
        if to and any(how.is_down and (how.down_since or 0) <= before for how in self._breakers.values()):
            await self._store.warn(Warned(account=self._account, to=to, before=before, now=now_ms()))

    async def regather(self, name: str) -> None:
        """Let what stepped aside be due now. Raises StoreUnavailable."""
        while await self._store.regather(Regathering(account=self._account, carrier=name, now=now_ms())):
            pass

    async def _divert(self, name: str) -> None:
        """Let what may go by another, once: what comes later stands behind it in the queue."""
        up = frozenset(other for other, how in self._breakers.items() if not how.is_down)
        seen_by, place = self._seen.get(name, (None, (0, "")))
        if seen_by != up:  # there may be ways now that there were not
            place = (0, "")
            await self.regather(name)
            self._seen[name] = (up, place)
        while up:
            wanted = Diverting(carrier=name, up=up, after=place, now=now_ms())
            done = await self._store.divert(wanted)
            if done.count:
                log.info("mt_diverted", carrier=name, count=done.count)
            self._seen[name] = (up, done.last)
            if done.last == place:
                return
            place = done.last
