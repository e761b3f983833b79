"""An SMSC for tests: takes binds and submits, answers, sends receipts and texts, and misbehaves as it is told.

`taken` is the truth: what would reach phones. Faults are used up one for each submit, in the order of their coming.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers._smpp_pdu import RESPONSE, Address, Command, Short, Tag
from mail2sms.carriers._smpp_read import Malformed, Reader, read_short

BINDS = frozenset({Command.BIND_RECEIVER, Command.BIND_TRANSMITTER, Command.BIND_TRANSCEIVER})
THROTTLED, QUEUE_FULL = 0x58, 0x14
RECEIPT = 0x04
FAULTS = (
    "drop before taking",
    "drop before answer",
    "drop after answer",
    "no answer",
    "late",
    "unknown sequence",
    "throttle",
    "queue full",
    "unbind",
    "unbind before answer",
    "split",
    "nack",
    "garbage",
    "two receipts",
    "receipt first",
    "receipt elsewhere",
)


@dataclass(slots=True)
class Taken:
    """A submit that was taken, with the id it got."""

    id: str
    short: Short = field(repr=False)

    @property
    def text(self) -> bytes:
        """Its octets, a header with them."""
        return self.short.text


class Peer:
    """One connection of an ESME."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.command = 0  # of its bind
        self.sequence = itertools.count(1)
        self.answers: dict[int, asyncio.Future[int]] = {}

    def write(self, octets: bytes) -> None:
        """Send it."""
        if not self.writer.is_closing():
            self.writer.write(octets)

    def cut(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()

    async def ask(self, command: int, body: bytes, within_s: float = 5.0) -> int | None:
        """Send a request; return the status of its answer, None when there is none."""
        sequence = next(self.sequence)
        answered = self.answers[sequence] = asyncio.get_running_loop().create_future()
        self.write(wire.pdu(command, sequence, body))
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(within_s):
                return int(await answered)
        return None


@dataclass(eq=False)
class Smsc:
    """Listens on 127.0.0.1. `password` empty: any; `receipts`: whether each taken submit is reported delivered."""

    system_id: str = "SMSC"
    password: str = ""
    bind_status: int = 0
    receipts: bool = True
    late_s: float = 0.6
    tls: ssl.SSLContext | None = None
    status: Callable[[Short], int] = lambda short: 0
    taken: list[Taken] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)
    peers: list[Peer] = field(default_factory=list)
    binds: int = 0
    requests: list[tuple[int, int, bytes]] = field(default_factory=list)
    refused: list[tuple[str, int | None]] = field(default_factory=list)
    port: int = 0
    _ids: Iterable[int] = field(default_factory=lambda: itertools.count(1))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[Smsc]:
        """Listen until the end of the block."""
        await self.open()
        try:
            yield self
        finally:
            await self.close()

    async def open(self) -> None:
        """Listen, on the port it had before."""
        self._server = await asyncio.start_server(self._attend, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Break everything."""
        assert self._server is not None
        self._server.close()
        for peer in list(self.peers):
            peer.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, condition: Callable[[], object], within_s: float = 10.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.002)

    async def deliver(self, short: Short, peer: Peer | None = None) -> int | None:
        """Bring a text or a receipt; return the status of its answer."""
        peer = peer or self.peers[-1]
        return await peer.ask(Command.DELIVER_SM, wire.submit(short))

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer, frames = Peer(reader, writer), wire.Frames()
        self.peers.append(peer)
        try:
            while data := await reader.read(65_536):
                for command, status, sequence, body in frames.feed(data):
                    self._take(peer, command, status, sequence, body)
        except (OSError, wire.OutOfStep):
            pass
        finally:
            self.peers.remove(peer)
            for answered in peer.answers.values():
                if not answered.done():
                    answered.set_exception(ConnectionResetError())
                    answered.exception()
            writer.close()

    def _take(self, peer: Peer, command: int, status: int, sequence: int, body: bytes) -> None:
        if command & RESPONSE:
            answered = peer.answers.pop(sequence, None)
            if answered is not None and not answered.done():
                answered.set_result(status)
            return
        self.requests.append((command, sequence, body))
        if command in BINDS:
            self._bind(peer, command, sequence, body)
        elif command == Command.SUBMIT_SM:
            self._spawn(self._submitted(peer, sequence, body))
        elif command == Command.UNBIND:
            peer.write(wire.answer(command, sequence, 0))
            peer.writer.close()
        elif command == Command.ENQUIRE_LINK:
            peer.write(wire.answer(command, sequence, 0))
        elif command in (Command.QUERY_SM, Command.CANCEL_SM):
            self._about(peer, command, sequence, body)
        else:
            peer.write(wire.pdu(Command.GENERIC_NACK, sequence, status=wire.INVALID_COMMAND))

    def _about(self, peer: Peer, command: int, sequence: int, body: bytes) -> None:
        """Tell the state of a message, or take it back; it must be called as it was when it was taken."""
        read = Reader(body)
        if command == Command.CANCEL_SM:
            read.string()
        id_ = read.string()
        known = next((taken for taken in self.taken if taken.id == id_), None)
        told = wire.message_id(id_) + b"\0\2\0" if command == Command.QUERY_SM else b""
        peer.write(wire.answer(command, sequence, 0 if known else 0x0C, told))
        if known and command == Command.CANCEL_SM:
            self.taken.remove(known)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _bind(self, peer: Peer, command: int, sequence: int, body: bytes) -> None:
        read = Reader(body)
        read.string()
        status = self.bind_status or (0x0E if self.password and read.string() != self.password else 0)
        peer.write(wire.answer(command, sequence, status, f"{self.system_id}\0".encode()))
        if status == 0:
            peer.command = command
            self.binds += 1

    async def _submitted(self, peer: Peer, sequence: int, body: bytes) -> None:
        fault = self.faults.popleft() if self.faults else ""
        try:
            short = read_short(body)
        except Malformed as e:
            return peer.write(wire.answer(Command.SUBMIT_SM, sequence, e.status))
        status = self._status(short, fault)
        if status:
            self.refused.append((short.destination.digits, status))
            return peer.write(wire.answer(Command.SUBMIT_SM, sequence, status))
        if fault == "drop before taking":
            return peer.cut()
        if fault == "nack":
            return peer.write(wire.pdu(Command.GENERIC_NACK, sequence, status=wire.SYSTEM_ERROR))
        taken = Taken(f"{next(iter(self._ids)):08X}", short)
        self.taken.append(taken)
        await self._answer(peer, sequence, taken, fault)
        return None

    def _status(self, short: Short, fault: str) -> int:
        return {"throttle": THROTTLED, "queue full": QUEUE_FULL}.get(fault) or self.status(short)

    async def _answer(self, peer: Peer, sequence: int, taken: Taken, fault: str) -> None:
        answer = wire.answer(Command.SUBMIT_SM, sequence, 0, wire.message_id(taken.id))
        if fault == "receipt first":
            await self.report(taken, peer)
        if fault == "unbind before answer":
            await peer.ask(Command.UNBIND, b"", 3.0)
            return peer.cut()
        if fault == "drop before answer":
            return peer.cut()
        if fault == "late":
            await asyncio.sleep(self.late_s)
        if fault == "unknown sequence":
            peer.write(wire.answer(Command.SUBMIT_SM, sequence + 100_000, 0, wire.message_id("nobody's")))
        if fault == "garbage":
            peer.write(wire.pdu(0x7777, 4711, b"\xff" * 30) + wire.pdu(Command.DELIVER_SM, 4712, b"\1"))
        if fault == "split":
            for octet in answer:
                peer.write(bytes((octet,)))
                await asyncio.sleep(0)
        elif fault != "no answer":
            peer.write(answer)
        if fault == "drop after answer":
            peer.writer.close()
        if fault == "unbind":
            await peer.ask(Command.UNBIND, b"", 3.0)
            peer.cut()
        if self.receipts and fault not in ("no answer", "receipt first"):
            others = [other for other in self.peers if other is not peer and other.command]
            await self.report(taken, others[0] if fault == "receipt elsewhere" and others else peer)
            if fault == "two receipts":
                await self.report(taken, peer)
        return None

    async def report(self, taken: Taken, peer: Peer | None = None, stat: str = "DELIVRD") -> int | None:
        """Send a receipt, again and on whatever bind there is, until it is acknowledged."""
        told = receipt(taken.id, taken.short, stat)
        for _ in range(200):
            if peer is not None and not peer.writer.is_closing() and peer.command:
                status = await self.deliver(told, peer)
                if status == 0:
                    return status
            await asyncio.sleep(0.02)
            able = [
                other for other in self.peers if other.command and other.command != Command.BIND_TRANSMITTER
            ]
            peer = able[-1] if able else None
        return None


def receipt(id_: str, short: Short, stat: str = "DELIVRD", **changes: object) -> Short:
    """Return the receipt of a submit, as most SMSCs write it."""
    text = f"id:{id_} sub:001 dlvrd:001 submit date:2601020304 done date:2601020305 stat:{stat} err:000 text:Hello"
    told = Short(
        source=short.destination,
        destination=short.source,
        text=text.encode(),
        esm_class=RECEIPT,
        tlvs={Tag.RECEIPTED_MESSAGE_ID: id_.encode() + b"\0"},
    )
    return replace(told, **changes)  # type: ignore[arg-type]


def written(text: bytes, phone: str = "33639981234", to: str = "33639980101", **changes: object) -> Short:
    """Return a text from a phone."""
    told = Short(source=Address(1, 1, phone), destination=Address(1, 1, to), text=text)
    return replace(told, **changes)  # type: ignore[arg-type]
