"""The loop out: claim due messages -> intent -> carrier.send -> outcome. One lane per carrier.

A lane holds at most its carrier's window of messages, so a carrier that stands still keeps nobody else waiting; one
that fails again and again gets nothing for a while, and what waits for it goes by another of its route. What goes out
is first committed as an intent; what was not answered is never sent again unless the configuration says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace

from mail2sms import lifecycle
from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.dispatch import balances
from mail2sms.dispatch.attempt import part_outcome, parts_of, tell
from mail2sms.dispatch.inquiries import Inquiries
from mail2sms.dispatch.outages import Outages
from mail2sms.errors import OptedOut, SendFailed, StoreUnavailable, Unavailable, Uncertain
from mail2sms.lane import Lane
from mail2sms.lifecycle import Change, Outcome
from mail2sms.log import log, where
from mail2sms.media import MMS, Links
from mail2sms.model import MtMessage, Part, Status, Taken
from mail2sms.rates import period_us
from mail2sms.rules import quiet_hours
from mail2sms.rules._base import Policy
from mail2sms.store import (
    Blocking,
    Claim,
    Claimed,
    Intent,
    Postponement,
    RatedClaim,
    Recovery,
    Renewal,
    Rerouting,
    Settlement,
    Store,
)

LEASE_MS = 15_000
_SWEEP_S = 5.0
_RENEW_S = LEASE_MS / 3000
_ASK_S = 60.0
_NEARLY = 0.9  # of the time that each takes: clocks and loops are not exact, and must not add up
_PATIENCE_S = 20.0  # at the end: how long an outcome may take to be written
_NOT_INTENDED = Unavailable("intent", "the database did not answer", retry_after_s=1.0, same_carrier=True)


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
        self._free_s: dict[str, float] = {}  # by carrier: when the next that is rated may leave this node
        self._closed_s: dict[str, float] = {}  # by carrier: until when its rate gives nobody a place
        self.on_unknown = on_unknown
        self.policy = Policy()  # whose quiet hours count
        self.links: Links | None = None  # by which carriers fetch pictures
        self._stopping = asyncio.Event()
        self._held: set[tuple[str, int]] = set()  # by claim: one that was lost may end beside its successor
        self._lanes = [self._lane(carrier) for carrier in carriers.values()]
        self.sent = 0  # messages that a carrier took, since the start
        self.spent = Counter[tuple[str, str]]()  # what these cost: carrier, currency -> millionths

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
                await self._send(carrier, claimed)
            finally:
                self._outages.tries(carrier.name, False)

        lane = Lane(self._store.bell("mt"), carrier.room, claim, send)
        return lane

    async def _claim(self, carrier: Carrier, lane: Lane[Claimed], most: int) -> list[Claimed]:
        wanted = Claim(carrier=carrier.name, owner=self._owner, now=now_ms(), lease_ms=LEASE_MS, limit=most)
        if not carrier.rates:
            return await self._store.claim(wanted)
        clock = asyncio.get_running_loop().time
        if (closed_s := self._closed_s.get(carrier.name, 0.0) - clock()) > 0:
            lane.wake(closed_s)
            return []
        rated = RatedClaim(**asdict(wanted), account=self._account, rates=carrier.rates)
        found = await self._store.claim_at_rate(rated)
        if found.again_ms is not None:
            lane.wake(found.again_ms / 1000)
            self._closed_s[carrier.name] = clock() + found.again_ms / 1000 * found.is_closed
        return found.claimed

    async def _send(self, carrier: Carrier, claimed: Claimed) -> None:
        """Make one attempt. Whatever fails here, the lease runs out: unsent is free again, in doubt is `unknown`."""
        claim = (claimed.mt.id, claimed.mt.fence)
        self._held.add(claim)
        try:
            await self._attempt(carrier, claimed)
        except StoreUnavailable:
            log.error("dispatch_failed", mt=claimed.mt.id)
        except Exception as e:
            log.error("dispatch_failed", mt=claimed.mt.id, error=where(e))
        finally:
            self._held.discard(claim)

    async def _attempt(self, carrier: Carrier, claimed: Claimed) -> None:
        mt = claimed.mt
        if carrier.rates:  # before the intent: what dies here was certainly not sent
            await self._await_place(carrier, claimed.wait_ms / 1000)
        if await self._postpone(mt):
            return
        parts = [part for part in parts_of(mt, carrier, self.links) if part.index not in claimed.taken]
        outcomes: Sequence[Outcome]
        try:
            if not await self._store.intend(Intent(mt=mt, parts=tuple(parts), now=now_ms())):
                log.info("mt_stale", mt=mt.id)
                return
        except StoreUnavailable:  # the intent may stand all the same: that nothing left must be known
            outcomes = [_NOT_INTENDED] * len(parts)
        else:
            outcomes = await asyncio.gather(*(_send_part(carrier, part, mt.media) for part in parts))
        earlier: list[Outcome] = [Taken(carrier_message_id="")] * len(claimed.taken)
        tried = replace(mt, attempts=mt.attempts + 1)
        chance = random.random()  # noqa: S311  # spreads retries
        change = lifecycle.after_attempt(tried, [*earlier, *outcomes], now_ms(), chance, self.on_unknown)
        ended = tuple(part_outcome(p, o) for p, o in zip(parts, outcomes, strict=True))
        settlement = Settlement(
            mt=mt, outcomes=ended, change=change, now=now_ms(), is_reported=carrier.reports
        )
        await self._settle(settlement)
        await self._outages.note(mt.carrier, outcomes)
        if any(isinstance(outcome, OptedOut) for outcome in outcomes):
            await self._block(mt)
        if change.status is Status.ENROUTE:
            self.sent += 1
            if mt.cost is not None:
                self.spent[mt.carrier, mt.cost.currency] += mt.cost.millionths
        tell(mt, change)

    async def _await_place(self, carrier: Carrier, wait_s: float) -> None:
        """Wait for its place. Those whose places have passed while this node stood still go one after the other."""
        clock = asyncio.get_running_loop().time
        wait_s = max(wait_s, self._free_s.get(carrier.name, 0.0) - clock())
        while wait_s > 0:
            await asyncio.sleep(wait_s)
            wait_s = self._free_s.get(carrier.name, 0.0) - clock()
        if carrier.rates.whole is not None:
            self._free_s[carrier.name] = clock() + _NEARLY * period_us(carrier.rates.whole) / 1e6

    async def _postpone(self, mt: MtMessage) -> bool:
        """What came to be due at night, whatever it waited for, waits for the morning. Return whether it does."""
        now = now_ms()
        as_it_is = Change(status=Status.QUEUED, reason=mt.reason, detail=mt.detail, due_at=now)
        change = quiet_hours.held_till_morning(mt, as_it_is, self.policy)
        if change is None:
            return False
        await self._store.postpone(Postponement(mt=mt, change=change, now=now))
        log.info("mt_queued", mt=mt.id, carrier=mt.carrier, reason=quiet_hours.REASON)
        return True

    async def _block(self, mt: MtMessage) -> None:
        """Write to the phone no more, as it told the carrier. Should this be lost, the next message says it again."""
        blocking = Blocking(
            account=mt.account,
            msisdn=mt.msisdn,
            now=now_ms(),
            source="carrier",
            our_address=mt.sender_id,
            who=mt.carrier,
        )
        await self._store.block(blocking)

    async def _settle(self, settlement: Settlement) -> None:
        """Write what is known until it is written: forgotten, it would be doubt, and doubt may send twice."""
        waited_s = 0.0
        while True:
            try:
                await self._store.settle(settlement)
            except StoreUnavailable:
                if self._stopping.is_set() and waited_s >= _PATIENCE_S:
                    raise
            else:
                return
            await asyncio.sleep(1.0)
            waited_s += 1.0

    async def _every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreUnavailable:
                log.error("store_failed", where="sweep")
            await asyncio.sleep(pause_s)

    async def _renew(self) -> None:
        """Keep what is under way, and take back what nobody keeps."""
        messages = tuple(id_ for id_, _ in self._held)
        await self._store.renew(Renewal(owner=self._owner, lease_ms=LEASE_MS, messages=messages))
        await self._store.recover(Recovery(now=now_ms(), on_unknown=self.on_unknown))
        await self._outages.look()
        await self._outages.warn(self.policy.quotas.approvers)

    async def _look_at_balances(self) -> None:
        to = self.policy.quotas.approvers
        await balances.look(self._store, self._account, self._carriers, to)

    async def _sweep(self) -> None:
        """Give up what is too late, help what waits for a time or a carrier that is gone, forget old keys."""
        while await self._store.bring_forward(now_ms()):
            pass
        now = now_ms()
        await self._store.expire(now)
        await self._store.reroute(Rerouting(carriers=self._names, now=now))
        await self._store.forget(now)


async def _send_part(carrier: Carrier, part: Part, media: str) -> Outcome:
    if media == MMS and not (part.media and carrier.abilities.mms):  # both were there when it was accepted
        return Unavailable("media", "its pictures cannot be sent")
    try:
        return await carrier.send(part)
    except SendFailed as failure:
        return failure
    except Exception as e:  # nobody can say how far it got
        log.error("dispatch_failed", mt=part.message, error=where(e))
        return Uncertain("error", "the carrier's module failed")
