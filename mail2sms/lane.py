"""A lane: takes due work while there is room, does it at the same time, and sleeps when there is none.

Dispatch has one per carrier, the relay one per channel, so that whoever stands still keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from mail2sms.errors import StoreUnavailable

Work = TypeVar("Work")

_POLL_S = 1.0  # a bell may be lost, and nobody rings when a time has come
_CLOSED_S = 0.1  # where there is no room at all, nobody rings when there is again
_PAUSE_S = 1.0
# Where there is room for more than there is, what comes meanwhile is claimed, and then written, together: so long for
# each piece of the last claim.
_PACE_S, _LONGEST_PACE_S = 0.001, 0.03


class Lane(Generic[Work]):
    """At most `room()` pieces of work under way. `claim(free)` gets new ones, `do` does one and raises nothing.

    `bell` is set whenever there may be work.
    """

    def __init__(
        self,
        bell: asyncio.Event,
        room: Callable[[], int],
        claim: Callable[[int], Awaitable[Sequence[Work]]],
        do: Callable[[Work], Awaitable[None]],
    ) -> None:
        self._bell = bell
        self._room = room
        self._claim = claim
        self._do = do
        self.turned_s = time.monotonic()  # when it last looked for work, or found all its places taken
        self._is_stopping = False
        self._next_claim_s = 0.0  # not before
        self._wake_s = float("inf")  # by the loop's clock
        self._under_way: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Claim nothing more."""
        self._is_stopping = True
        self._bell.set()

    def wake(self, in_s: float) -> None:
        """Look for work again by then, whether the bell rings or not. Said by `claim`, for once."""
        self._wake_s = asyncio.get_running_loop().time() + in_s

    async def run(self) -> None:
        """Work until `stop`; returns when what is under way is done."""
        while not self._is_stopping:
            self.turned_s = time.monotonic()
            self._bell.clear()
            free = max(0, self._room() - len(self._under_way))
            taken = await self._take(free) if free else []
            for one in taken:
                task = asyncio.ensure_future(self._do(one))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            if not free:
                await self._wait_for_room()
            elif len(taken) < free and not self._is_stopping:
                await self._rest()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _wait_for_room(self) -> None:
        if not self._room():
            await asyncio.sleep(_CLOSED_S)
        elif self._under_way:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait(self._under_way, timeout=_POLL_S, return_when=first)

    async def _rest(self) -> None:
        until_s = min(asyncio.get_running_loop().time() + _POLL_S, self._wake_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._bell.wait()

    async def _take(self, free: int) -> Sequence[Work]:
        loop = asyncio.get_running_loop()
        if (early_s := self._next_claim_s - loop.time()) > 0:
            await asyncio.sleep(early_s)
            self._bell.clear()
        self._wake_s = float("inf")
        try:
            taken = await self._claim(free)
        except StoreUnavailable:
            await asyncio.sleep(_PAUSE_S)
            return []
        if len(taken) < free:
            self._next_claim_s = loop.time() + min(_PACE_S * len(taken), _LONGEST_PACE_S)
        return taken
