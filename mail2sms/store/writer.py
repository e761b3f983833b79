"""Group commit: one thread writes, and every write that waits shares one durable transaction.

Callers await `run(verb, item)`; the thread takes all that waits, gives each verb its items in one call, commits once
and wakes everybody: what waits at the same time is written by its verbs, not in its own order. When a batch fails for
what one item holds, it is rolled back and redone by halves, so that one bad item fails alone. A COMMIT whose answer was
lost (PostgreSQL) is in doubt: verbs are written so that running them again does no harm (ids are made before the
insert), and the batch is run again.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, exc

from mail2sms.errors import StoreUnavailable
from mail2sms.log import log, where

Item = TypeVar("Item")
Result = TypeVar("Result")

_BATCH = 500
_TRIES = 6
_WAIT_S = 0.5
_PATIENCE_S = 20.0  # then the caller is told "try again", and the write may stand
_HUNG_S = 3.0  # a batch takes milliseconds
_WATCH_S = 1.0
_CLOSE_S = 15.0
_QUIET_TURNS, _GATHER_S = 6, 0.02
# Deadlock, serialization failure, lock not available; we stood still too long, shutdown, crash of the server.
_ROLLED_BACK = frozenset({"40P01", "40001", "55P03", "25P03", "57P01", "57P02"})


def _nobody(_item: object, _result: object) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, eq=False, slots=True)
class Verb(Generic[Item, Result]):
    """A write: `write(connection, items)` returns one result per item, in order, and can be run again harmlessly.

    `wakes(item, result)` names the loops that have new work after the commit. `locks(connection)` comes before all that
    its transaction writes. `is_alone`: on a database with other writers, in a transaction of its own. Both so that rows
    and names are locked in one order on all nodes.
    """

    write: Callable[[Connection, Sequence[Item]], Sequence[Result]]
    wakes: Callable[[Item, Result], tuple[str, ...]] = _nobody
    locks: Callable[[Connection], None] | None = None
    is_alone: bool = False


@dataclass(slots=True)
class _Waiting:
    verb: Verb[Any, Any]
    item: Any
    future: asyncio.Future[Any]
    since_s: float
    result: Any = None
    error: BaseException | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether the caller was told that it failed, and may have begun to undo it."""
        return self.future.done() and not self.future.cancelled()


def _topics(written: Iterable[_Waiting]) -> set[str]:
    return {topic for w in written for topic in w.verb.wakes(w.item, w.result)}


class Writer:
    """The one writer of this process. `announce(connection, topics)` runs inside each transaction that wakes others."""

    def __init__(
        self,
        engine: Engine,
        wake: Callable[[str], None],
        announce: Callable[[Connection, Sequence[str]], None] | None = None,
    ) -> None:
        self._engine = engine
        self._wake = wake
        self._announce = announce
        self._loop = asyncio.get_running_loop()
        self._urgent: deque[_Waiting] = deque()
        self._bulk: deque[_Waiting] = deque()
        self._batch: list[_Waiting] = []  # that is being written
        self._ready = threading.Condition()
        self._watch: asyncio.TimerHandle | None = None
        self._is_closed = self._is_gathering = False
        self._began_s: float | None = None  # when the batch was begun that is being written
        self._has_failed = False
        self.halved = 0  # how often a batch failed for what one item held
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def is_answering(self) -> bool:
        """Whether the database does what it is told: what was tried last did not fail, and nothing hangs.

        Known without asking it, since the loops write something every second.
        """
        began_s = self._began_s
        return not self._has_failed and (began_s is None or time.monotonic() - began_s < _HUNG_S)

    async def run(self, verb: Verb[Item, Result], item: Item, *, bulk: bool = False) -> Result:
        """Write one item; return after the commit is on disk.

        Raises StoreUnavailable when nobody knows that it is; what is asked for then comes after it, if it is written.
        """
        waiting = _Waiting(verb, item, self._loop.create_future(), self._loop.time())
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        (self._bulk if bulk else self._urgent).append(waiting)
        if not self._is_gathering:
            self._is_gathering = True
            self._loop.call_soon(self._gather, 0, 0, self._loop.time() + _GATHER_S)
        if self._watch is None:  # one for all that wait: a timer for each costs more than it is worth
            self._watch = self._loop.call_later(_WATCH_S, self._give_up)
        return cast(Result, await waiting.future)

    def _gather(self, seen: int, turns: int, until_s: float) -> None:
        """Ring for the thread when a few turns of the loop brought nothing more to write.

        What comes together shares a commit; and while the loop has other work, the thread would only take its GIL.
        """
        waiting = len(self._urgent) + len(self._bulk)
        turns = turns + 1 if waiting == seen else 0
        if turns < _QUIET_TURNS and self._loop.time() < until_s:
            self._loop.call_soon(self._gather, waiting, turns, until_s)
            return
        self._is_gathering = False
        with self._ready:
            self._ready.notify()

    def _give_up(self) -> None:
        """Tell those who waited too long."""
        with self._ready:
            waiting = [w for w in (*self._batch, *self._urgent, *self._bulk) if not w.future.done()]
        for late in waiting:
            if late.since_s < self._loop.time() - _PATIENCE_S:
                late.future.set_exception(StoreUnavailable("the database does not answer"))
        self._watch = self._loop.call_later(_WATCH_S, self._give_up) if waiting else None

    async def close(self) -> None:
        """Write what waits, then stop."""
        with self._ready:
            self._is_closed = True
            self._ready.notify()
        await self._loop.run_in_executor(None, self._thread.join, _CLOSE_S)

    def _work(self) -> None:
        while batch := self._take():
            self._began_s = time.monotonic()
            self._write(batch)
            self._began_s = None
            topics = _topics(w for w in batch if w.error is None)
            self._loop.call_soon_threadsafe(self._tell, batch, topics)
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> list[_Waiting]:
        with self._ready:
            self._batch = []
            while not self._batch:
                while not (self._urgent or self._bulk or self._is_closed):
                    self._ready.wait()
                if not (self._urgent or self._bulk):
                    break
                urgent = [self._urgent.popleft() for _ in range(min(_BATCH, len(self._urgent)))]
                # One piece of bulk work rides with every batch: it waits for nobody for ever.
                waiting = urgent + ([self._bulk.popleft()] if self._bulk else [])
                # Written together with what undoes it, it could be written after that.
                self._batch = [one for one in waiting if not one.is_given_up]
            return self._batch

    def _tell(self, batch: list[_Waiting], topics: set[str]) -> None:
        for waiting in batch:
            if waiting.future.done():  # the caller gave up; the write stands
                continue
            if waiting.error is not None:
                waiting.future.set_exception(waiting.error)
            else:
                waiting.future.set_result(waiting.result)
        for topic in topics:
            self._wake(topic)

    def _write(self, batch: list[_Waiting]) -> None:
        is_shared = self._announce is not None
        alone = [w for w in batch if w.verb.is_alone and is_shared]
        rest = [w for w in batch if not (w.verb.is_alone and is_shared)]
        for group in (rest, alone):
            if group:
                self._write_together(group)

    def _write_together(self, batch: list[_Waiting]) -> None:
        for attempt in range(_TRIES):
            try:
                self._transact(batch)
            except exc.DBAPIError as e:
                if attempt + 1 < _TRIES and self._may_try_again(e):
                    self._forget()
                    time.sleep(_WAIT_S * attempt + random.random() * 0.05)  # noqa: S311  # so two nodes part ways
                    continue
                self._fail(batch, e)
            except Exception as e:  # the thread must outlive any item
                self._fail(batch, e)
            return

    def _may_try_again(self, error: exc.DBAPIError) -> bool:
        """The server went away, can't be reached yet, or rolled back for a reason that passes."""
        is_gone = error.connection_invalidated or self._connection is None
        return is_gone or getattr(error.orig, "sqlstate", None) in _ROLLED_BACK

    def _transact(self, batch: list[_Waiting]) -> None:
        if self._connection is None:
            self._connection = self._engine.connect()
        groups: dict[Verb[Any, Any], list[_Waiting]] = {}
        for waiting in batch:
            groups.setdefault(waiting.verb, []).append(waiting)
        with self._connection.begin():
            for lock in {verb.locks: None for verb in groups if verb.locks is not None}:
                lock(self._connection)
            for verb, group in groups.items():
                results = verb.write(self._connection, [w.item for w in group])
                for waiting, result in zip(group, results, strict=True):
                    waiting.result = result
            topics = _topics(batch)
            if self._announce is not None and topics:
                self._announce(self._connection, sorted(topics))
        self._has_failed = False

    def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        self._forget()
        is_ours = isinstance(error, exc.OperationalError | exc.InternalError | exc.InterfaceError)
        if not is_ours and len(batch) > 1:
            half = len(batch) // 2
            self.halved += 1
            log.warning("store_halved", error=where(error.__cause__ or error), count=len(batch))
            self._write_together(batch[:half])
            self._write_together(batch[half:])
            return
        log.error("store_failed", error=where(error.__cause__ or error), count=len(batch))
        self._has_failed = is_ours
        for waiting in batch:
            waiting.error = StoreUnavailable(type(error).__name__)
            waiting.error.__cause__ = error

    def _forget(self) -> None:
        """Begin anew with a fresh connection: after a failure nobody knows what state the old one is in."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
