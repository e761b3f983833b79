"""The daemon's command line on a machine whose clock jumps, with a carrier that takes its time to answer.

MAIL2SMS_CLOCK names a file of three numbers: how far the clock is off, in ms, how far it will be off from the moment
between a renewal of the leases and the look for those that ran out (the worst one for a lease that follows the wall),
and how often the queues were swept.
The product has no such switch: Python's own reading of the wall clock is wrapped here, before anything asks for it.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LAYOUT = struct.Struct("=qqq")
_JUMP, _SWEEPS = (
    struct.Struct("=qq"),
    struct.Struct("=q"),
)  # its parts: the proof writes one, the daemon the other
_ANSWER_S, _WINDOW = 0.05, 8
_UPKEEP_S = 0.25


class Clock:
    """How far the wall clock of a daemon is off; it and the proof share the file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _LAYOUT.size)

    @property
    def offset_ms(self) -> int:
        """What is added to the time now."""
        return int(_LAYOUT.unpack_from(self._shared)[0])

    @property
    def is_pending(self) -> bool:
        """Whether a jump waits for its moment."""
        offset_ms, wanted_ms, _ = _LAYOUT.unpack_from(self._shared)
        return bool(offset_ms != wanted_ms)

    @property
    def sweeps(self) -> int:
        """How often the daemon has swept its queues."""
        return int(_LAYOUT.unpack_from(self._shared)[2])

    def jump(self, offset_ms: int, *, is_at_worst: bool = False) -> None:
        """Be off by so much: at once, or at the worst moment."""
        _JUMP.pack_into(self._shared, 0, self.offset_ms if is_at_worst else offset_ms, offset_ms)

    def take(self) -> None:
        """The worst moment has come."""
        wanted_ms = _LAYOUT.unpack_from(self._shared)[1]
        _JUMP.pack_into(self._shared, 0, wanted_ms, wanted_ms)

    def count_sweep(self) -> None:
        """The queues were swept."""
        _SWEEPS.pack_into(self._shared, _JUMP.size, self.sweeps + 1)


def ahead(read: Callable[[], Any], unit_per_ms: float, clock: Clock) -> Callable[[], Any]:
    """Return a reading of the time that is off."""
    kind = type(read())
    return lambda: kind(read() + clock.offset_ms * unit_per_ms)


def wrap(clock: Clock) -> None:
    """Let everything in this process that reads the wall clock see `clock`; tend leases and queues more often."""
    from mail2sms import dispatch
    from mail2sms.carriers.simulated import Simulated
    from mail2sms.store import Store

    send, recover, forget = Simulated.send, Store.recover, Store.forget

    async def answer_late(self: Simulated, part: Any) -> Any:
        await asyncio.sleep(_ANSWER_S / 2)
        taken = await send(self, part)
        await asyncio.sleep(_ANSWER_S / 2)
        return taken

    async def recover_after_jump(self: Store, recovery: Any) -> int:
        clock.take()
        return await recover(self, recovery)

    async def forget_and_count(self: Store, now: int) -> int:
        forgotten = await forget(self, now)
        clock.count_sweep()
        return forgotten

    Simulated.window = _WINDOW
    Store.forget = forget_and_count  # type: ignore[method-assign]
    Simulated.send, Store.recover = answer_late, recover_after_jump  # type: ignore[method-assign]
    dispatch._RENEW_S = dispatch._SWEEP_S = _UPKEEP_S


if __name__ == "__main__":
    shared = Clock(Path(os.environ["MAIL2SMS_CLOCK"]))
    time.time_ns = ahead(time.time_ns, 1_000_000, shared)
    time.time = ahead(time.time, 0.001, shared)

    from mail2sms.cli.main import main

    wrap(shared)
    main()
