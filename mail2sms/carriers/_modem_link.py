"""Keeps one modem open: starts its process again when that ends, reads what has come, and lets who sends take turns."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from mail2sms.carriers import _modem_open as modems
from mail2sms.carriers._modem_line import GONE, Line, OrderFailed
from mail2sms.carriers._modem_memory import Memory
from mail2sms.carriers._modem_open import Seen
from mail2sms.carriers._modem_options import Options
from mail2sms.carriers._modem_reader import Reader
from mail2sms.errors import Misconfigured, SendFailed, Unavailable
from mail2sms.log import log

_READ_S, _DELETE_S = 120.0, 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S, _MENDING_S = 1.0, 60.0, 300.0
_PLUGGED_S: Final = 1.0  # how often we look whether the device has come back
_GRACE_S: Final = 15.0  # so long messages wait for it before they look for another carrier
_DEADLY, _UNREAD_S = 3, 600.0  # reads that failed one after the other, and how long it is then only sent to


class Link:
    """The modem of the carrier `name`. `turn` is held by whoever gives orders to `line`."""

    def __init__(self, name: str, options: Options, pin: str, memory: Memory, reader: Reader) -> None:
        self._name, self._options, self._pin = name, options, pin
        self._memory, self._reader = memory, reader
        self.turn = asyncio.Lock()
        self.line: Line | None = None
        self.seen: Seen | None = None
        self.is_trusted = False  # traces can be read
        self.why: SendFailed = Unavailable("starting", "the modem is not ready yet")
        self.unread_until_s = 0.0
        self._is_back = False
        self._down_since_s = asyncio.get_running_loop().time()
        self._failed_reads = 0
        self._keeping = asyncio.create_task(self._keep())

    @property
    def is_returning(self) -> bool:
        """Whether nothing can be sent, and waiting a little is better than looking elsewhere."""
        if self.line is not None or isinstance(self.why, Misconfigured):
            return False
        return asyncio.get_running_loop().time() - self._down_since_s < _GRACE_S

    def is_back(self) -> bool:
        """Return whether it has been opened since this was asked last."""
        was, self._is_back = self._is_back, False
        return was

    async def drop(self, line: Line, why: SendFailed) -> None:
        """Let go of a process, whose turn is the caller's; another is started. Nothing that it still does is needed."""
        if self.line is line:
            self.line, self._down_since_s = None, asyncio.get_running_loop().time()
            self._note(Unavailable(why.code, why.detail))
        await line.close()

    async def stop(self) -> None:
        """End the process."""
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        if self.line is not None:
            await self.line.close()

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                await self._open()
            except SendFailed as e:
                self._note(e)
                failures += 1
                await self._wait_after(e, failures)
                continue
            failures = 0
            while self.line is not None:
                await self._look_in(self.line)

    async def _open(self) -> None:
        if not self._options.device.exists():
            raise modems.failure("absent")
        line, seen = await modems.opened(self._options, self._pin, self._memory)
        self.is_trusted = line.trace().is_readable
        if not self.is_trusted:
            log.warning("modem_untraced", carrier=self._name)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._memory.note, line.pid, str(seen))
        self.seen, self.line, self._is_back = seen, line, True
        log.info("modem_up", carrier=self._name, status=str(seen))

    def _note(self, why: SendFailed) -> None:
        if why.code != self.why.code:
            log.warning("modem_down", carrier=self._name, code=why.code, reason=why.detail)
        self.why = why

    async def _wait_after(self, why: SendFailed, failures: int) -> None:
        if why.code == "absent":
            await asyncio.sleep(_PLUGGED_S)
        elif isinstance(why, Misconfigured):
            await asyncio.sleep(_MENDING_S)
        else:
            await asyncio.sleep(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(failures - 1, 10)))

    async def _look_in(self, line: Line) -> None:
        """Read, unless that failed too often; then rest."""
        if not line.is_gone and asyncio.get_running_loop().time() >= self.unread_until_s:
            try:
                async with self.turn:
                    await self._read(line)
            except OrderFailed as e:
                self._not_read(e.word)
                await self._let_go(line, e.word)
                return
        await line.rest(self._options.read / 1000)
        if line.is_gone:
            await self._let_go(line, GONE)

    async def _read(self, line: Line) -> None:
        """Read what has come, store it, delete it there."""
        if self.line is not line:
            return
        told = await line.ask("read", _READ_S)
        self._failed_reads = 0
        if stored := await self._reader.take(told):
            await line.ask("delete", _DELETE_S, places=stored)

    async def _let_go(self, line: Line, word: str) -> None:
        async with self.turn:  # whoever sends by it must see how far that got
            await self.drop(line, modems.failure(word))

    def _not_read(self, word: str) -> None:
        """What cannot be read each time, such as a PDU that gammu stumbles over, must not stop sending."""
        self._failed_reads += self._options.device.exists()
        if self._failed_reads >= _DEADLY:
            self._failed_reads, self.unread_until_s = 0, asyncio.get_running_loop().time() + _UNREAD_S
            log.error("modem_unread", carrier=self._name, code=word)
