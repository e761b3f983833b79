"""What an SMSC brings by one session: each event is answered after `deliver` said how."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers._smpp_pdu import Command, Short
from mail2sms.carriers._smpp_read import Malformed, read_data, read_short
from mail2sms.log import log, where

_MOST: Final = 1000  # being recorded at once; the SMSC brings the others again
_READ: Final = {Command.DELIVER_SM: read_short, Command.DATA_SM: read_data}
COMMANDS: Final = frozenset(_READ)

Deliver = Callable[[Short, Any], Awaitable[int]]
"""Takes an event of the SMSC's and the session it came by; returns the status of the answer."""


class Events:
    """The events of the session `link`, whose answers go by `write`. `has_worked`: one was answered."""

    def __init__(self, deliver: Deliver, link: Any, write: Callable[[bytes], None]) -> None:
        self._deliver, self._link, self._write = deliver, link, write
        self._recording: set[asyncio.Future[int]] = set()
        self.has_worked = False

    def unanswered(self) -> list[asyncio.Future[int]]:
        """Return what is being recorded."""
        return list(self._recording)

    def take(self, command: int, sequence: int, body: bytes) -> None:
        """Begin with one; what can't be read is answered at once."""
        try:
            short = _READ[Command(command)](body)
        except Malformed as e:
            self._write(wire.answer(command, sequence, e.status))
            return
        if len(self._recording) >= _MOST:
            self._write(wire.answer(command, sequence, wire.TRY_AGAIN))
            return
        task = asyncio.ensure_future(self._deliver(short, self._link))
        self._recording.add(task)
        task.add_done_callback(lambda done: self._recorded(done, command, sequence))

    def _recorded(self, task: asyncio.Future[int], command: int, sequence: int) -> None:
        self._recording.discard(task)
        status = wire.TRY_AGAIN
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("carrier_event_failed", error=where(error))
        elif not task.cancelled():
            status, self.has_worked = task.result(), True
        self._write(wire.answer(command, sequence, status, b"\0"))
