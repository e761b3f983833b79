"""Whose turn it is at something that serves one at a time. Knows keys, and not what is done in a turn.

Fair by time, not by count: next is the key that has had the least, and who comes new starts level with the others
(start-time fair queueing, Goyal, Vin and Cheng, SIGCOMM 1996). So costly turns of one key, however many, keep another
waiting for one of them only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class TurnLost(Exception):
    """Too many wait already, or who waited has left."""


class Turns:
    """The queues, one for each key. Belongs to one event loop."""

    def __init__(self, *, per_key: int, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_key, self._total = per_key, total
        self._clock = clock
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._had_s: dict[str, float] = {}
        self._level_s = 0.0  # what the one whose turn it is had before
        self._is_taken = False

    @asynccontextmanager
    async def turn(self, key: str, has_left: Callable[[], bool]) -> AsyncIterator[None]:
        """Have a turn. Raises TurnLost; `has_left` is asked when there was a wait."""
        is_lost = False
        if self._is_taken:
            await self._wait(key)
            is_lost = has_left()
        self._is_taken = True
        self._level_s, began_s = self._had(key), self._clock()
        try:
            if is_lost:
                raise TurnLost
            yield
        finally:
            self._had_s[key] = self._level_s + self._clock() - began_s
            self._pass_on()

    def _had(self, key: str) -> float:
        return max(self._level_s, self._had_s.get(key, 0.0))

    async def _wait(self, key: str) -> None:
        queue = self._queues.get(key, deque())
        if len(queue) >= self._per_key or sum(map(len, self._queues.values())) >= self._total:
            raise TurnLost
        self._queues[key] = queue
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._pass_on()  # it had just become ours
            elif mine in queue:  # else its turn came before we ran, and was passed on
                queue.remove(mine)
                self._forget_if_empty(key)
            raise

    def _pass_on(self) -> None:
        while self._queues:
            key = min(self._queues, key=self._had)
            first = self._queues[key].popleft()
            self._forget_if_empty(key)
            if not first.done():  # cancelled, and its task has not run since
                first.set_result(None)
                break
        else:
            self._is_taken = False
        self._had_s = {key: had_s for key, had_s in self._had_s.items() if had_s > self._level_s}

    def _forget_if_empty(self, key: str) -> None:
        if not self._queues[key]:
            del self._queues[key]
