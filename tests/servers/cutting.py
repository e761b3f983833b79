"""A TCP proxy that breaks what passes through it: at a byte, before the first one, or in the ways that servers break.

Each fault is for one connection: the next that comes, or, where connections are kept open, from the next word of the
client. Without a fault everything passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.servers._background import Background
from tests.servers._server import free_port

Side = Literal["client", "server"]
How = Literal["close", "reset"]
"""How a connection ends for the client: by FIN, as a program that closes it, or by RST, as one that dies."""

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER without a wait: the kernel sends RST


@dataclass(frozen=True, slots=True)
class Cut:
    """The end comes once `after` bytes of one side have passed; with 0 at the first one, which does not pass."""

    side: Side
    after: int
    how: How


@dataclass(frozen=True, slots=True)
class AtOnce:
    """The end comes as soon as there is a connection."""

    how: How


@dataclass(frozen=True, slots=True)
class Silence:
    """What the client says is swallowed."""


@dataclass(frozen=True, slots=True)
class Says:
    """The client's first word is answered by these bytes and does not pass; then comes the end, or nothing."""

    data: bytes
    how: How | None = "close"


@dataclass(frozen=True, slots=True)
class Floods:
    """The client's first word is answered by this and then by zeros without end."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Leads:
    """The connection leads to another port of this machine."""

    port: int


@dataclass(frozen=True, slots=True)
class Slows:
    """The server's bytes pass one by one, with a pause before each."""

    pause_s: float


Fault = Cut | AtOnce | Silence | Says | Floods | Leads | Slows


@dataclass(slots=True)
class Link:
    """One connection, and what went through it. `said` came from the client, `passed` went on to the server, and
    `heard` went to the client.
    """

    writer: asyncio.StreamWriter
    said: bytearray = field(default_factory=bytearray)
    passed: bytearray = field(default_factory=bytearray)
    heard: bytearray = field(default_factory=bytearray)
    fault: Fault | None = None
    is_cut: bool = False
    last_said_s: float = 0.0
    counted: dict[Side, int] = field(default_factory=dict)

    def suffer(self, fault: Fault | None) -> None:
        """From now on this is its fault."""
        self.fault = fault
        self.counted = {"client": 0, "server": 0}


class _Ended(Exception):
    """The connection was cut."""


class Proxy:
    """Listens on `port` and leads to `upstream`. `is_kept`: connections that are open suffer faults too."""

    def __init__(self, background: Background, upstream: int, *, is_kept: bool = True) -> None:
        self.port = free_port()
        self.is_kept = is_kept
        self.upstream = upstream
        self.faults: deque[Fault | None] = deque()
        self.links: list[Link] = []
        self._background = background
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._full: list[socket.socket] = []
        self.listen()

    def arm(self, *faults: Fault | None) -> None:
        """Let these happen next, one after the other; None: nothing happens."""
        self.faults = deque(faults)

    def listen(self) -> None:
        """Take connections, again after `refuse` or `ignore`."""
        for each in self._full:
            each.close()
        self._full = []
        self._server = self._background.listen(self._begin, self.port)

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        assert self._server is not None
        self._background.loop.call_soon_threadsafe(self._server.close)
        self._background.run(asyncio.sleep(0.01))
        self._server = None

    def ignore(self) -> None:
        """Leave new connections without an answer: a full backlog, for which the kernel drops what asks."""
        self.refuse()
        full = socket.socket()
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind(("127.0.0.1", self.port))
        full.listen(0)
        self._full = [full]
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._full.append(filler)

    def call(self, act: Callable[[], None]) -> None:
        """Do this now in the proxy's thread: to its connections nothing may be done elsewhere."""
        self._background.loop.call_soon_threadsafe(act)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine function: one would start a turn of the loop later, and AtOnce means at once.
        link = Link(writer)
        link.suffer(self.faults.popleft() if self.faults else None)
        self.links.append(link)
        if isinstance(link.fault, AtOnce):
            link.is_cut = True
            ends(link, link.fault.how)
            return
        task = asyncio.get_running_loop().create_task(self._serve(link, reader))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, link: Link, reader: asyncio.StreamReader) -> None:
        port = link.fault.port if isinstance(link.fault, Leads) else self.upstream
        try:
            theirs, upstream = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            ends(link, "reset")
            return
        pumps = [
            asyncio.ensure_future(self._pump_client(link, reader, upstream)),
            asyncio.ensure_future(self._pump_server(link, theirs)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            link.writer.close()
            upstream.close()

    async def _pump_client(
        self, link: Link, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                link.said += data
                link.last_said_s = time.monotonic()
                # Else a late goodbye on the connection before would take what is meant for the next.
                if self.is_kept and link.fault is None and self.faults:
                    link.suffer(self.faults.popleft())
                if not await self._swallow(link):
                    data, is_end = _until_cut(link, "client", data)
                    link.passed += data
                    upstream.write(data)
                    await upstream.drain()
                    if is_end:
                        return _cut(link)
        return None

    async def _swallow(self, link: Link) -> bool:
        """Answer in the server's place, if that is the fault."""
        fault = link.fault
        if isinstance(fault, Says):
            link.writer.write(fault.data)
            link.heard += fault.data
            if fault.how is not None:
                await link.writer.drain()
                _cut(link)
        elif isinstance(fault, Floods):
            link.writer.write(fault.data)
            while True:
                link.writer.write(bytes(_CHUNK))
                await link.writer.drain()
        return isinstance(fault, Says | Silence)

    async def _pump_server(self, link: Link, theirs: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await theirs.read(_CHUNK):
                data, is_end = _until_cut(link, "server", data)
                await _give(link, data)
                if is_end:
                    return _cut(link)
        return None


async def _give(link: Link, data: bytes) -> None:
    if isinstance(link.fault, Slows):
        for at in range(len(data)):
            link.writer.write(data[at : at + 1])
            link.heard += data[at : at + 1]
            await asyncio.sleep(link.fault.pause_s)
        return
    link.writer.write(data)
    link.heard += data
    await link.writer.drain()


def _until_cut(link: Link, side: Side, data: bytes) -> tuple[bytes, bool]:
    """Return what of `data` passes, and whether the end comes then."""
    fault = link.fault
    if not isinstance(fault, Cut) or fault.side != side:
        return data, False
    room = fault.after - link.counted[side]
    link.counted[side] += len(data)
    return data[:room], len(data) >= room


def _cut(link: Link) -> None:
    link.is_cut = True
    fault = link.fault
    ends(link, fault.how if isinstance(fault, Cut | Says) and fault.how else "close")


def ends(link: Link, how: How) -> None:
    """End a connection for the client, if it has not ended. What was written to it before still arrives."""
    if link.writer.is_closing():
        return
    if how == "reset":
        link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        link.writer.transport.abort()
    else:
        link.writer.close()
