"""The loop out: claim due messages -> intent -> carrier.send -> outcome. One lane per carrier.

A lane holds at most its carrier's window of messages, so a carrier that stands still keeps nobody else waiting; one
that fails again and again gets nothing for a while, and what waits for it goes by another of its route. What goes out
is first committed as an intent, with its claim if nothing is to be awaited between; what was not answered is never
sent again unless the configuration says so. A message's place is free when its answer is there: its outcome is
written beside, mostly in one commit with the next claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.dispatch import balances
from mail2sms.dispatch.attempts import Attempts
from mail2sms.dispatch.inquiries import Inquiries
from mail2sms.dispatch.outages import Outages
from mail2sms.errors import StoreUnavailable
from mail2sms.lane import Lane
from mail2sms.log import log
from mail2sms.store import Claim, Claimed, RatedClaim, Recovery, Renewal, Rerouting, Store

LEASE_MS = 15_000
_SWEEP_S = 5.0
_RENEW_S = LEASE_MS / 3000
_ASK_S = 60.0


class Dispatch:
    """Sends what is due through `carriers`, as node `owner`; asks about what is the account's."""

    def __init__(
        self, store: Store, carriers: Mapping[str, Carrier], owner: str, on_unknown: str, account: str
    ) -> None:
        self._store = store
        self._names = tuple(carriers)
        self._carriers = tuple(carriers.values())
        self._outages = Outages(store, account, self._names)
        self._inquiries = Inquiries(store, account, self._carriers)
        self._owner, self._account = owner, account
        self._closed_s: dict[str, float] = {}  # by carrier: until when its rate gives nobody a place
        self.attempts = Attempts(store, self._outages, on_unknown, LEASE_MS)
        self._stopping = asyncio.Event()
        self._lanes = [self._lane(carrier) for carrier in carriers.values()]

    @property
    def progressed_s(self) -> float:
        """By the steady clock, when the lane that is furthest behind last went on."""
        return min((lane.turned_s for lane in self._lanes), default=time.monotonic())

    async def run(self) -> None:
        """Work until `stop`; returns when everything under way has its outcome written."""
        with contextlib.suppress(StoreUnavailable):
            await self._outages.look()
            for name in self._names:
                await self._outages.regather(name)  # at rates that may be others now
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(lane.run()) for lane in self._lanes]
            lanes.append(group.create_task(self._wait_for_stop()))
            upkeep = [
                group.create_task(self._every(_SWEEP_S, self._sweep)),
                group.create_task(self._every(_RENEW_S, self._renew)),
                group.create_task(self._every(_ASK_S, self._inquiries.look)),
                group.create_task(self._every(_ASK_S, self._look_at_balances)),
            ]
            await asyncio.wait(lanes)
            await self.attempts.ended()
            for task in upkeep:  # not before: what is under way must stay ours
                task.cancel()

    async def _wait_for_stop(self) -> None:
        await self._stopping.wait()

    def stop(self) -> None:
        """Claim nothing more."""
        for lane in self._lanes:
            lane.stop()
        self._stopping.set()

    def _lane(self, carrier: Carrier) -> Lane[Claimed]:
        async def claim(free: int) -> list[Claimed]:
            if carrier.is_back():
                self._outages.try_now(carrier.name)
            most = await self._outages.room(carrier.name, free)
            if not most:
                return []
            claimed = await self._claim(carrier, lane, most)
            self._outages.tries(carrier.name, bool(claimed))
            return claimed

        async def send(claimed: Claimed) -> None:
            try:
                await self.attempts.send(carrier, claimed)
            finally:
                self._outages.tries(carrier.name, False)

        lane = Lane(self._store.bell("mt"), partial(self.attempts.room, carrier), claim, send)
        return lane

    async def _claim(self, carrier: Carrier, lane: Lane[Claimed], most: int) -> list[Claimed]:
        clock = asyncio.get_running_loop().time
        if not carrier.rates:
            wanted = Claim(
                carrier=carrier.name,
                owner=self._owner,
                now=now_ms(),
                lease_ms=LEASE_MS,
                limit=most,
                parts=partial(self.attempts.at_once, carrier),
            )
            asked_s = clock()
            try:
                claimed = await self._store.claim(wanted)
            except StoreUnavailable:
                self.attempts.give_back(carrier, wanted)
                raise
            if self.attempts.is_late(asked_s):
                self.attempts.give_back(carrier, wanted)
                return []
            return claimed
        if (closed_s := self._closed_s.get(carrier.name, 0.0) - clock()) > 0:
            lane.wake(closed_s)
            return []
        rated = RatedClaim(
            carrier=carrier.name,
            owner=self._owner,
            now=now_ms(),
            lease_ms=LEASE_MS,
            limit=most,
            account=self._account,
            rates=carrier.rates,
        )
        found = await self._store.claim_at_rate(rated)
        if found.again_ms is not None:
            lane.wake(found.again_ms / 1000)
            self._closed_s[carrier.name] = clock() + found.again_ms / 1000 * found.is_closed
        return found.claimed

    async def _every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreUnavailable:
                log.error("store_failed", where="sweep")
            await asyncio.sleep(pause_s)

    async def _renew(self) -> None:
        """Keep what is under way, and take back what nobody keeps."""
        held = self.attempts.held
        await self._store.renew(Renewal(owner=self._owner, lease_ms=LEASE_MS, messages=held))
        await self._store.recover(Recovery(now=now_ms(), on_unknown=self.attempts.on_unknown))
        await self._outages.look()
        await self._outages.warn(self.attempts.policy.quotas.approvers)

    async def _look_at_balances(self) -> None:
        to = self.attempts.policy.quotas.approvers
        await balances.look(self._store, self._account, self._carriers, to)

    async def _sweep(self) -> None:
        """Give up what is too late, help what waits for a time or a carrier that is gone, forget old keys."""
        while await self._store.bring_forward(now_ms()):
            pass
        now = now_ms()
        await self._store.expire(now)
        await self._store.reroute(Rerouting(carriers=self._names, now=now))
        await self._store.forget(now)
