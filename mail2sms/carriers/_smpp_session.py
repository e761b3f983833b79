"""One SMPP session, the ESME's end: requests and their answers, timers, what comes from the SMSC. asyncio, thin."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, cast

from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers._smpp_events import COMMANDS, Deliver, Events
from mail2sms.carriers._smpp_pdu import RESPONSE, Command
from mail2sms.carriers._smpp_window import Late, Response, Terms, Unsent, Window

_LAST_SEQUENCE: Final = 0x7FFF_FFFF
_MOST_UNWRITTEN: Final = 20_000  # PDUs: who reads none of them gets no more
_UNBIND_S: Final = 5.0
_LAST_ANSWERS_S: Final = 8.0  # of a session that ends; what waits for the next one goes elsewhere after ten
_MISSES: Final = 2  # enquire_link without an answer
_SUBMITTED: Final = Command.SUBMIT_SM | RESPONSE
_NO_RESPONSE: Final = frozenset({Command.ALERT_NOTIFICATION, Command.OUTBIND})


class Session(asyncio.Protocol):
    """`left` is done when nothing more can be submitted, and says why; `closed` when the connection has ended."""

    def __init__(self, terms: Terms, deliver: Deliver, late: Late) -> None:
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        self.left: asyncio.Future[str] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._has_worked = False
        self._transport: asyncio.Transport | None = None
        self._window = Window(terms, self._submit, late)
        self._events = Events(deliver, self, self._write)
        self._asked: dict[int, asyncio.Future[Response]] = {}
        self._sequence = 0
        self._frames = wire.Frames()
        self._out: list[bytes] = []
        self._is_writing = self._is_paused = self._is_ending = False
        self._why = ""
        self._ending: asyncio.Task[None] | None = None
        self.heard_s = self._enquired_s = self._loop.time()
        self._misses = 0
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether something can be submitted."""
        return self._transport is not None and not self._is_ending

    @property
    def has_worked(self) -> bool:
        """Whether something that was submitted or delivered was answered."""
        return self._has_worked or self._events.has_worked

    @property
    def load(self) -> int:
        """How many submits are under way or wait for the window."""
        return len(self._window)

    def submit(self, body: bytes, tag: str) -> asyncio.Future[Response]:
        """Send a submit_sm when the window has room; see `Window` for how it ends. Raises Unsent."""
        if self._transport is None or self._is_ending:
            raise Unsent
        return self._window.submit(body, tag)

    def _submit(self, body: bytes) -> int:
        sequence = self._next()
        self._write(wire.pdu(Command.SUBMIT_SM, sequence, body))
        return sequence

    async def ask(self, command: int, body: bytes, within_s: float) -> Response:
        """Send a request that is no submit; return its answer. Raises ConnectionError or TimeoutError."""
        sequence = self._next()
        answered: asyncio.Future[Response] = self._loop.create_future()
        self._asked[sequence] = answered
        try:
            if self._transport is None:
                raise ConnectionResetError(self._why)
            self._write(wire.pdu(command, sequence, body))
            async with asyncio.timeout(within_s):
                return await answered
        finally:
            del self._asked[sequence]

    def _next(self) -> int:
        self._sequence = self._sequence % _LAST_SEQUENCE + 1
        return self._sequence

    def _write(self, octets: bytes) -> None:
        """Write it together with whatever else this turn of the loop brings."""
        self._out.append(octets)
        if not self._is_writing and not self._is_paused:
            self._is_writing = True
            self._loop.call_soon(self._flush)
        if len(self._out) > _MOST_UNWRITTEN:
            self.give_up("it does not read")

    def _flush(self) -> None:
        self._is_writing = False
        if self._transport is None or self._is_paused or self._transport.is_closing():
            return
        self._transport.write(b"".join(self._out))
        self._out.clear()
        self._window.wrote()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there; nobody is bound."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class
        self._tick()

    def pause_writing(self) -> None:
        """The SMSC reads too slowly."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take every PDU that is whole."""
        self.heard_s, self._misses = self._loop.time(), 0
        try:
            for command, status, sequence, body in self._frames.feed(data):
                if command & RESPONSE:
                    self._answered(command, sequence, Response(status, body))
                else:
                    self._requested(command, sequence, body)
        except wire.OutOfStep:
            self._write(wire.pdu(Command.GENERIC_NACK, 0, status=wire.INVALID_COMMAND_LENGTH))
            self._end("what it sends is no SMPP")

    def _answered(self, command: int, sequence: int, response: Response) -> None:
        if command == Command.GENERIC_NACK and response.status == wire.OK:
            return  # it says neither that the submit was taken nor that it was not
        is_submitted = command in (_SUBMITTED, Command.GENERIC_NACK)
        if is_submitted and self._window.answered(sequence, response):
            self._has_worked = True
        elif (answered := self._asked.get(sequence)) is not None and not answered.done():
            answered.set_result(response)

    def _requested(self, command: int, sequence: int, body: bytes) -> None:
        if command == Command.ENQUIRE_LINK:
            self._write(wire.answer(command, sequence, wire.OK))
        elif command in COMMANDS:
            self._events.take(command, sequence, body)
        elif command == Command.UNBIND:
            self.leave("it ended the session", wire.answer(command, sequence, wire.OK))
        elif command not in _NO_RESPONSE:
            self._write(wire.pdu(Command.GENERIC_NACK, sequence, status=wire.INVALID_COMMAND))

    def leave(self, why: str, farewell: bytes = b"") -> None:
        """Submit nothing more, and end when what was submitted is answered: each answer may say that it was taken."""
        self._ending = self._ending or self._loop.create_task(self._left(why, farewell))

    async def _left(self, why: str, farewell: bytes) -> None:
        self._is_ending = True
        self._tell(why)
        self._window.drop_waiting()
        await self._settled(_LAST_ANSWERS_S)
        self._write(farewell)
        self._end(why)

    async def _settled(self, within_s: float) -> None:
        """Wait until every submit is answered and every event, or the time is over."""
        waited: list[asyncio.Future[Any]] = [*self._window.unanswered(), *self._events.unanswered()]
        if waited:
            await asyncio.wait(waited, timeout=within_s)

    def _tick(self) -> None:
        """Look for what has no answer; ask an idle SMSC whether it lives."""
        terms, now_s = self._terms, self._loop.time()
        self._window.expire(now_s)
        if self._window.is_silent:
            self.give_up("it does not answer what is submitted")
            return
        is_idle = now_s - self.heard_s >= terms.enquire_s
        if is_idle and (not self._misses or now_s - self._enquired_s >= terms.enquire_answer_s):
            if self._misses >= _MISSES:
                self.give_up("it does not answer enquire_link")
                return
            self._misses, self._enquired_s = self._misses + 1, now_s
            self._write(wire.pdu(Command.ENQUIRE_LINK, self._next()))
        every_s = min(1.0, terms.answer_s / 4, terms.enquire_s / 4, terms.enquire_answer_s / 2)
        self._ticking = self._loop.call_later(every_s, self._tick)

    def connection_lost(self, exc: Exception | None) -> None:
        """End all that waits for something."""
        self._transport, self._is_ending = None, True
        if self._ticking is not None:
            self._ticking.cancel()
        self._window.lose()
        why = self._why or ("the link broke" if exc else "it closed the link")
        for answered in self._asked.values():
            if not answered.done():
                answered.set_exception(ConnectionResetError(why))
        self._tell(why)
        if not self.closed.done():
            self.closed.set_result(None)

    def _tell(self, why: str) -> None:
        if not self.left.done():
            self.left.set_result(why)

    def _end(self, why: str) -> None:
        """Close when what is to be written is out."""
        self._why, self._is_ending = self._why or why, True
        self._tell(why)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def give_up(self, why: str) -> None:
        """Close at once: this session is of no use."""
        self._why, self._is_ending = self._why or why, True
        self._tell(why)
        if self._transport is not None:
            self._transport.abort()

    async def close(self, within_s: float) -> None:
        """End in good order: answers first, then unbind. What is not over by then is cut."""
        self._is_ending = True
        self._window.drop_waiting()
        await self._settled(within_s)
        with contextlib.suppress(OSError, TimeoutError):  # many SMSCs close instead of an answer
            await self.ask(Command.UNBIND, b"", min(within_s, _UNBIND_S))
        self._end("we ended the session")
        await asyncio.wait([self.closed], timeout=1.0)
        self.give_up("")
