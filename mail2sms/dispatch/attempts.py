"""One attempt of a message: intent -> carrier.send -> outcome, and what the node has under way meanwhile.

A message's place in its lane is free as soon as its answer is there; what then is written of it is its end, which the
lane does not wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from mail2sms import lifecycle
from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.dispatch.attempt import part_outcome, parts_of, tell
from mail2sms.dispatch.outages import Outages
from mail2sms.errors import OptedOut, SendFailed, StoreUnavailable, Unavailable, Uncertain, Unsuited
from mail2sms.lifecycle import Change, Outcome
from mail2sms.log import log, where
from mail2sms.media import MMS, Links
from mail2sms.model import MtMessage, Part, Status, Taken
from mail2sms.rates import period_us
from mail2sms.rules import quiet_hours
from mail2sms.rules._base import Policy
from mail2sms.store import Blocking, Claim, Claimed, Intent, Postponement, Settlement, Store

T = TypeVar("T")

_NEARLY = 0.9  # of the time that each takes: clocks and loops are not exact, and must not add up
# At the end: how long an outcome is tried again. Each try may take as long as the writer's patience.
_PATIENCE_S = 20.0
_NOT_INTENDED = Unavailable("intent", "the database did not answer", retry_after_s=1.0, same_carrier=True)


class Attempts:
    """Makes attempts, and knows which are under way."""

    def __init__(self, store: Store, outages: Outages, on_unknown: str, lease_ms: int) -> None:
        self._store, self._outages, self._lease_ms = store, outages, lease_ms
        self.on_unknown = on_unknown
        self.policy = Policy()  # whose quiet hours count
        self.links: Links | None = None  # by which carriers fetch pictures
        self.sent = 0  # messages that a carrier took, since the start
        self.spent = Counter[tuple[str, str]]()  # what these cost: carrier, currency -> millionths
        self._free_s: dict[str, float] = {}  # by carrier: when the next that is rated may leave this node
        self._held: set[tuple[str, int]] = set()  # by claim: one that was lost may end beside its successor
        self._ending: dict[str, set[asyncio.Task[None]]] = {}  # by carrier
        self._is_stopping = False

    @property
    def held(self) -> tuple[str, ...]:
        """The messages that are under way."""
        return tuple(id_ for id_, _ in self._held)

    def room(self, carrier: Carrier) -> int:
        """Return how many messages may be under way at a carrier.

        Should we die, all that has no outcome on disk is in doubt: no more than two windows of it.
        """
        most = carrier.room()
        return max(0, min(most, 2 * most - len(self._ending.get(carrier.name, ()))))

    def is_late(self, asked_s: float) -> bool:
        """Whether what the store was asked for then, by the loop's clock, may be taken back from us any moment.

        Sent all the same, it could be sent twice.
        """
        return asyncio.get_running_loop().time() - asked_s > self._lease_ms / 2000

    async def ended(self) -> None:
        """Wait until all that has its answer is written, as far as that is possible within a time."""
        self._is_stopping = True
        while ending := set[asyncio.Task[None]]().union(*self._ending.values()):
            await asyncio.wait(ending)

    def at_once(self, carrier: Carrier, claimed: Claimed) -> tuple[Part, ...] | None:
        """Return what of a message leaves with its claim; None where something else comes first, or is wrong."""
        try:
            return None if self._till_morning(claimed.mt, now_ms()) else self._parts(carrier, claimed)
        except Exception:  # found again where it is told, and fails this message alone
            return None

    async def send(self, carrier: Carrier, claimed: Claimed) -> None:
        """Make one attempt, whose end is written afterwards.

        Whatever fails here, the lease runs out: unsent is free again, in doubt is `unknown`.
        """
        claim = (claimed.mt.id, claimed.mt.fence)
        self._held.add(claim)
        end = None
        with _failing(claimed.mt):
            end = await self._attempt(carrier, claimed)
        if end is None:
            self._held.discard(claim)
        else:
            self._begin(carrier, self._last(claimed.mt, end))

    def give_back(self, carrier: Carrier, claim: Claim) -> None:
        """Take care of what a claim got whose answer was lost, or late: nothing left, so it must not become doubt."""
        self._begin(carrier, self._give_back(carrier, claim))

    def _begin(self, carrier: Carrier, end: Coroutine[None, None, None]) -> None:
        task, ending = asyncio.create_task(end), self._ending.setdefault(carrier.name, set())
        ending.add(task)
        task.add_done_callback(ending.discard)

    async def _last(self, mt: MtMessage, end: Coroutine[None, None, None]) -> None:
        with _failing(mt):
            await end
        self._held.discard((mt.id, mt.fence))

    async def _give_back(self, carrier: Carrier, claim: Claim) -> None:
        try:
            standing = await self._persist(lambda: self._store.stands(claim))
        except StoreUnavailable:
            log.error("store_failed", where="claim")
            return
        for claimed in standing:
            parts = claimed.intended or ()
            end = self._end(carrier, claimed, parts, [_NOT_INTENDED] * len(parts))
            self._held.add((claimed.mt.id, claimed.mt.fence))
            self._begin(carrier, self._last(claimed.mt, end))

    def _parts(self, carrier: Carrier, claimed: Claimed) -> tuple[Part, ...]:
        parts = parts_of(claimed.mt, carrier, self.links)
        return tuple(part for part in parts if part.index not in claimed.taken)

    async def _attempt(self, carrier: Carrier, claimed: Claimed) -> Coroutine[None, None, None] | None:
        """Send a message; return what writes how that ended, None if it was not sent."""
        mt, parts = claimed.mt, claimed.intended
        if parts is None:
            if carrier.rates:  # before the intent: what dies here was certainly not sent
                await self._await_place(carrier, claimed.wait_ms / 1000)
            if await self._postpone(mt):
                return None
            parts = self._parts(carrier, claimed)
            is_agreed = await self._intend(mt, parts)
            if is_agreed is None:  # the intent may stand all the same: that nothing left must be known
                return self._end(carrier, claimed, parts, [_NOT_INTENDED] * len(parts))
            parts = parts if is_agreed else ()
        if not parts:
            log.info("mt_stale", mt=mt.id)
            return None
        outcomes = await _send_parts(carrier, parts, mt.media)
        is_news = self._outages.note(mt.carrier, outcomes)
        return self._end(carrier, claimed, parts, outcomes, is_news=is_news)

    async def _intend(self, mt: MtMessage, parts: tuple[Part, ...]) -> bool | None:
        """Return whether the parts may leave; None: nobody knows, or not in time."""
        asked_s = asyncio.get_running_loop().time()
        try:
            is_agreed = await self._store.intend(Intent(mt=mt, parts=parts, now=now_ms()))
        except StoreUnavailable:
            return None
        return None if is_agreed and self.is_late(asked_s) else is_agreed

    async def _end(
        self,
        carrier: Carrier,
        claimed: Claimed,
        parts: Sequence[Part],
        outcomes: Sequence[Outcome],
        *,
        is_news: bool = False,
    ) -> None:
        mt = claimed.mt
        earlier: list[Outcome] = [Taken(carrier_message_id="")] * len(claimed.taken)
        tried = replace(mt, attempts=mt.attempts + 1)
        chance = random.random()  # noqa: S311  # spreads retries
        change = lifecycle.after_attempt(tried, [*earlier, *outcomes], now_ms(), chance, self.on_unknown)
        ended = tuple(part_outcome(p, o) for p, o in zip(parts, outcomes, strict=True))
        settlement = Settlement(
            mt=mt, outcomes=ended, change=change, now=now_ms(), is_reported=carrier.reports
        )
        await self._persist(lambda: self._store.settle(settlement))
        if is_news:
            await self._outages.tell()
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
        change = self._till_morning(mt, now)
        if change is None:
            return False
        await self._store.postpone(Postponement(mt=mt, change=change, now=now))
        log.info("mt_queued", mt=mt.id, carrier=mt.carrier, reason=quiet_hours.REASON)
        return True

    def _till_morning(self, mt: MtMessage, now: int) -> Change | None:
        as_it_is = Change(status=Status.QUEUED, reason=mt.reason, detail=mt.detail, due_at=now)
        return quiet_hours.held_till_morning(mt, as_it_is, self.policy)

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

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write what is known until it is written: forgotten, it would be doubt, and doubt may send twice."""
        waited_s = 0.0
        while True:
            try:
                return await write()
            except StoreUnavailable:
                if self._is_stopping and waited_s >= _PATIENCE_S:
                    raise
            await asyncio.sleep(1.0)
            waited_s += 1.0


@contextlib.contextmanager
def _failing(mt: MtMessage) -> Iterator[None]:
    try:
        yield
    except StoreUnavailable:
        log.error("dispatch_failed", mt=mt.id)
    except Exception as e:
        log.error("dispatch_failed", mt=mt.id, error=where(e))


async def _send_parts(carrier: Carrier, parts: Sequence[Part], media: str) -> Sequence[Outcome]:
    if len(parts) == 1:  # nearly always: a task less
        return [await _send_part(carrier, parts[0], media)]
    return await asyncio.gather(*(_send_part(carrier, part, media) for part in parts))


async def _send_part(carrier: Carrier, part: Part, media: str) -> Outcome:
    if media == MMS and not (part.media and carrier.abilities.mms):  # both were there when it was accepted
        return Unsuited("media", "its pictures cannot be sent")
    try:
        return await carrier.send(part)
    except SendFailed as failure:
        return failure
    except Exception as e:  # nobody can say how far it got
        log.error("dispatch_failed", mt=part.message, error=where(e))
        return Uncertain("error", "the carrier's module failed")
