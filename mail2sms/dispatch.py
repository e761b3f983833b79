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
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from mail2sms import breaker, lifecycle
from mail2sms.breaker import Breaker
from mail2sms.carriers._base import Carrier
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import OptedOut, Refused, SendFailed, StoreUnavailable, Unavailable, Uncertain
from mail2sms.heard import Sent
from mail2sms.lane import Lane
from mail2sms.lifecycle import Change, Outcome
from mail2sms.log import log, where
from mail2sms.model import MtMessage, Part, Status, Taken
from mail2sms.money import shown
from mail2sms.rules import quiet_hours
from mail2sms.rules._base import Policy
from mail2sms.store import (
    Blocking,
    Claim,
    Claimed,
    Diverting,
    Intent,
    Outage,
    PartOutcome,
    Postponement,
    Recovery,
    Renewal,
    Rerouting,
    Settlement,
    Store,
)
from mail2sms.store.outages import down
from mail2sms.store.sent import read_unreported

LEASE_MS = 15_000
_SWEEP_S = 5.0
_RENEW_S = LEASE_MS / 3000
_ASK_S = 60.0
_FORGET_ASKED_MS = 7 * 86_400_000
_PATIENCE_S = 20.0  # at the end: how long an outcome may take to be written
_NOT_INTENDED = Unavailable("intent", "the database did not answer", retry_after_s=1.0, same_carrier=True)
_KINDS = {Taken: "taken", Unavailable: "unavailable", Refused: "refused", Uncertain: "uncertain"}
_EVENTS = {
    Status.ENROUTE: "mt_enroute",
    Status.QUEUED: "mt_queued",
    Status.UNKNOWN: "mt_unknown",
    Status.EXPIRED: "mt_expired",
    Status.REJECTED: "mt_failed",
}


class Dispatch:
    """Sends what is due through `carriers`, as node `owner`; asks about what is the account's."""

    def __init__(
        self, store: Store, carriers: Mapping[str, Carrier], owner: str, on_unknown: str, account: str
    ) -> None:
        self._store = store
        self._names = tuple(carriers)
        self._carriers = tuple(carriers.values())
        self._outages = _Outages(store, account, self._names)
        self._owner, self._account = owner, account
        self._asked: dict[Sent, int] = {}  # when
        self.on_unknown = on_unknown
        self.policy = Policy()  # whose quiet hours count
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
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(lane.run()) for lane in self._lanes]
            lanes.append(group.create_task(self._wait_for_stop()))
            upkeep = [
                group.create_task(self._every(_SWEEP_S, self._sweep)),
                group.create_task(self._every(_RENEW_S, self._renew)),
                group.create_task(self._every(_ASK_S, self._ask)),
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
            now, most = now_ms(), await self._outages.room(carrier.name, free)
            if not most:
                return []
            wanted = Claim(carrier=carrier.name, owner=self._owner, now=now, lease_ms=LEASE_MS, limit=most)
            claimed = await self._store.claim(wanted)
            self._outages.tries(carrier.name, bool(claimed))
            return claimed

        async def send(claimed: Claimed) -> None:
            try:
                await self._send(carrier, claimed)
            finally:
                self._outages.tries(carrier.name, False)

        return Lane(self._store.bell("mt"), carrier.room, claim, send)

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
        if await self._postpone(mt):
            return
        parts = [part for part in _parts(mt, carrier) if part.index not in claimed.taken]
        outcomes: Sequence[Outcome]
        try:
            if not await self._store.intend(Intent(mt=mt, parts=tuple(parts), now=now_ms())):
                log.info("mt_stale", mt=mt.id)
                return
        except StoreUnavailable:  # the intent may stand all the same: that nothing left must be known
            outcomes = [_NOT_INTENDED] * len(parts)
        else:
            outcomes = await asyncio.gather(*(_send_part(carrier, part) for part in parts))
        earlier: list[Outcome] = [Taken(carrier_message_id="")] * len(claimed.taken)
        tried = replace(mt, attempts=mt.attempts + 1)
        chance = random.random()  # noqa: S311  # spreads retries
        change = lifecycle.after_attempt(tried, [*earlier, *outcomes], now_ms(), chance, self.on_unknown)
        ended = tuple(_part_outcome(p, o) for p, o in zip(parts, outcomes, strict=True))
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
        _log(mt, change)

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

    async def _ask(self) -> None:
        """Ask the carriers that can be asked about what they have not reported, each part once in a while."""
        now = now_ms()
        for carrier in self._carriers:
            if not carrier.asks_after_ms:
                continue
            about = (self._account, carrier.name, now, carrier.asks_after_ms)
            for part in await self._store.read(read_unreported, *about):
                if now - self._asked.get(part, 0) < carrier.asks_after_ms:
                    continue
                self._asked[part] = now
                with contextlib.suppress(SendFailed):
                    await carrier.ask(part)
        self._asked = {part: at for part, at in self._asked.items() if now - at < _FORGET_ASKED_MS}

    async def _sweep(self) -> None:
        """Give up what is too late, help what waits for a time or a carrier that is gone, forget old keys."""
        while await self._store.bring_forward(now_ms()):
            pass
        now = now_ms()
        await self._store.expire(now)
        await self._store.reroute(Rerouting(carriers=self._names, now=now))
        await self._store.forget(now)


class _Outages:
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

    async def note(self, name: str, outcomes: Sequence[Outcome]) -> None:
        """Note how attempts ended."""
        was, now = self._breakers[name], now_ms()
        for outcome in outcomes:
            chance = random.random()  # noqa: S311  # spreads the pauses of nodes
            self._breakers[name] = breaker.after(self._breakers[name], outcome, now, chance)
        found = self._breakers[name]
        if (found.is_down, found.until) == (was.is_down, was.until):
            return
        self._log(name, was)
        self._untold.add(name)
        with contextlib.suppress(StoreUnavailable):  # `look` tells it again
            await self._tell()

    async def look(self) -> None:
        """Tell the other nodes what they do not know yet, and see what they found. Raises StoreUnavailable."""
        await self._tell()
        found = await self._store.read(down, self._account)
        for name, was in self._breakers.items():
            theirs = found.get(name, Breaker())
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

    async def _divert(self, name: str) -> None:
        """Let what may go by another, once: what comes later stands behind it in the queue."""
        up = frozenset(other for other, how in self._breakers.items() if not how.is_down)
        seen_by, place = self._seen.get(name, (up, (0, "")))
        if seen_by != up:  # there may be ways now that there were not
            place = (0, "")
        while up:
            wanted = Diverting(carrier=name, up=up, after=place, now=now_ms())
            done = await self._store.divert(wanted)
            if done.count:
                log.info("mt_diverted", carrier=name, count=done.count)
            self._seen[name] = (up, done.last)
            if done.last == place:
                return
            place = done.last


async def _send_part(carrier: Carrier, part: Part) -> Outcome:
    try:
        return await carrier.send(part)
    except SendFailed as failure:
        return failure
    except Exception as e:  # nobody can say how far it got
        log.error("dispatch_failed", mt=part.message, error=where(e))
        return Uncertain("error", "the carrier's module failed")


def _parts(mt: MtMessage, carrier: Carrier) -> list[Part]:
    """Return what goes to the carrier, as it splits texts. The reference is the same every time."""
    texts = carrier.split(mt.text)
    now = now_ms()
    return [
        Part(
            message=mt.id,
            index=index,
            count=len(texts),
            attempt_id=new_id("a", now),
            attempt=mt.attempts + 1,
            msisdn=mt.msisdn,
            sender_id=mt.sender_id,
            encoding=mt.encoding,
            segments=mt.segments if len(texts) == 1 else 1,
            text=text,
            reference=zlib.crc32(mt.id.encode()) & 0xFFFF,
            expires_at=mt.expires_at,
        )
        for index, text in enumerate(texts)
    ]


def _part_outcome(part: Part, outcome: Outcome) -> PartOutcome:
    if isinstance(outcome, Taken):
        return PartOutcome(
            attempt_id=part.attempt_id,
            outcome="taken",
            carrier_message_id=outcome.carrier_message_id,
            others=outcome.others,
        )
    kind = next(word for kind, word in _KINDS.items() if isinstance(outcome, kind))
    return PartOutcome(attempt_id=part.attempt_id, outcome=kind, code=outcome.code)


def _log(mt: MtMessage, change: Change) -> None:
    fields = {"mt": mt.id, "carrier": mt.carrier, "segments": mt.segments, "attempt": mt.attempts + 1}
    fields |= {"cost": shown(mt.cost)}
    if change.status in (Status.ENROUTE, Status.QUEUED):
        log.info(_EVENTS[change.status], **fields)
    else:
        log.warning(_EVENTS[change.status], **fields, reason=change.reason)
