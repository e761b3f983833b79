"""The line to the process that speaks with a modem: orders out, answers in, each within its time.

A process that does not answer in time is killed, since nobody could tell to which order a late answer belongs.
"""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any, Final

from mail2sms import workers
from mail2sms.carriers import _modem_trace as traces

_WORKER: Final = Path(__file__).with_name("_modem_worker.py")
_LONGEST_TRACE: Final = 1024 * 1024
TIMEOUT, GONE = "timeout", "gone"


class OrderFailed(Exception):
    """An order that was not done. `word`: gammu's name of the error, one of the worker's, `timeout` or `gone`."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class Line:
    """One process, and what gammu writes there: `trace` is an open file without a name, ours."""

    def __init__(self, process: Process, trace: int) -> None:
        self._process, self._trace = process, trace

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended."""
        return workers.is_gone(self._process)

    async def ask(self, order: str, within_s: float, **values: Any) -> dict[str, Any]:
        """Give an order; return its answer. One at a time. Raises OrderFailed."""
        try:
            async with asyncio.timeout(within_s):
                answer = await self._exchange({"order": order, **values})
        except TimeoutError:
            await workers.kill(self._process)
            raise OrderFailed(TIMEOUT) from None
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await workers.kill(self._process)
            raise OrderFailed(GONE) from None
        except asyncio.CancelledError:
            await workers.kill(self._process)
            raise
        if "done" in answer:
            done: dict[str, Any] = answer["done"]
            return done
        raise OrderFailed(str(answer.get("failed", "error")))

    async def _exchange(self, order: dict[str, Any]) -> dict[str, Any]:
        pipe, answers = self._process.stdin, self._process.stdout
        if pipe is None or answers is None:
            raise ConnectionError("the process has no pipes")
        os.ftruncate(self._trace, 0)  # it shows one order
        pipe.write(json.dumps(order).encode() + b"\n")
        await pipe.drain()
        answer: dict[str, Any] = json.loads(await answers.readuntil())
        return answer

    def trace(self) -> traces.Trace:
        """Return how far the last order got, as long as the line is not closed: the process may be dead."""
        if self._trace < 0:
            return traces.Trace(may_have_left=True)
        try:
            start = os.lseek(self._trace, 0, os.SEEK_DATA)
        except OSError:  # nothing was written
            return traces.Trace()
        written = os.pread(self._trace, _LONGEST_TRACE, start)
        if len(written) == _LONGEST_TRACE:  # what left may stand behind it
            return traces.Trace(may_have_left=True)
        return traces.read(written.decode("latin-1"))

    async def rest(self, for_s: float) -> None:
        """Wait so long, or until the process ends."""
        ended = asyncio.ensure_future(self._process.wait())
        await asyncio.wait((ended,), timeout=for_s)
        ended.cancel()

    async def close(self) -> None:
        """End the process."""
        await workers.kill(self._process)
        if self._trace >= 0:
            os.close(self._trace)
            self._trace = -1


async def start(python: Path) -> Line:
    """Start the process with this Python. Raises OrderFailed."""
    trace = os.memfd_create("modem-trace")
    program = (str(python), "-I", "-X", "utf8", str(_WORKER), str(trace))
    try:
        return Line(await workers.start(program, pass_fds=(trace,)), trace)
    except OSError:
        os.close(trace)
        raise OrderFailed("no_python") from None
