"""One HTTP connection: uvicorn's, bounded against clients that are many, slow or wordy. It knows no application.

uvicorn alone parses all that it read in one turn of the event loop, and waits for ever for the head of a request
and for a client to read its answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

_CONNECTIONS = 500
_PER_PEER = 50
_ROOM = 50  # one in so many is cut off when it is full
_SLICE_BYTES = 2048  # parsed in one turn: 4 ms of CPU where each byte is a chunk (measured), 0.1 ms else
_CHUNK_LINES = 2000  # line ends in a chunked body; h11 takes 8 µs for a chunk, which has two
_NEXT_S = 0.002  # for each connection: all that send requests without waiting for answers are 500 a second
_HEAD_S = 15.0  # for the first byte of a request to its last header
_UNREAD_S, _READ_BYTES = 20.0, 16_384  # in so long a client must take so much of what it was answered, or all


class Connection(H11Protocol):
    """One connection. `peer` is who counts as one client, if anybody; `since_s` when it came or was last answered."""

    peer = ""
    is_exempt: Callable[[str], bool]
    since_s = 0.0
    _read_s = 0.0
    _unread = 0
    _lines = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the client in; where there are too many, the one that has idled longest makes room."""
        super().connection_made(transport)
        self.since_s = self._read_s = self.loop.time()
        if self.client and not self.is_exempt(self.client[0]):
            self.peer = peer_of(self.client[0])
        others = cast("set[Connection]", self.connections)
        own = [each for each in others if each.peer == self.peer] if self.peer else []
        if len(own) > _PER_PEER:
            self._make_room(own)
        elif len(others) > _CONNECTIONS:
            ((most, _),) = Counter(each.peer for each in others).most_common(1)
            self._make_room([each for each in others if each.peer == most])

    def data_received(self, data: bytes) -> None:
        """Parse a slice."""
        if self._is_in_chunks():
            self._lines += data.count(b"\n")
            if self._lines > _CHUNK_LINES:
                self._cut()
                return
        super().data_received(data)

    def resume_writing(self) -> None:
        """Go on: the client has read most of it."""
        self._read_s = self.loop.time()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Wait for the next request; one that did not wait for this answer has to wait a little."""
        self.since_s = self.loop.time()
        self._lines = 0
        go_on = super().on_response_complete
        if self.conn.trailing_data[0]:
            self.loop.call_later(_NEXT_S * len(self.connections), go_on)
        else:
            go_on()

    def expire(self, now_s: float) -> None:
        """Close if the head of a request is overdue, or if the client does not read what it asked for."""
        unread = self.transport.get_write_buffer_size()
        if not unread or unread <= self._unread - _READ_BYTES:
            self._unread, self._read_s = unread, now_s
        self._unread = max(self._unread, unread)  # more to read is no progress
        is_idle = self.cycle is None or self.cycle.response_complete
        is_head_late = is_idle and not unread and now_s - self.since_s > _HEAD_S
        if is_head_late or now_s - self._read_s > _UNREAD_S:
            self._cut()

    def _waits(self) -> bool:
        """Whether it is the client's turn: to ask, to go on with its body, or to read."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body or self.flow.write_paused

    def _is_in_chunks(self) -> bool:
        cycle = self.cycle
        is_in_body = cycle is not None and cycle.more_body
        return is_in_body and any(name == b"transfer-encoding" for name, _ in self.headers)

    def _make_room(self, crowd: Sequence[Connection]) -> None:
        """Cut off who has idled longest, some at once: looking for them costs 0.1 ms. If nobody idles, the newcomer."""
        idle = sorted((each for each in crowd if each._waits()), key=lambda each: each.since_s)
        for each in idle[: 1 + len(crowd) // _ROOM] or [self]:
            each._cut()

    def _cut(self) -> None:
        self.connections.discard(self)  # uvicorn does it only once the loop comes round
        self.transport.abort()


class Sliced(asyncio.BufferedProtocol):
    """Reads little at a time for a `Connection`, so that what one client sends never holds up the others."""

    def __init__(self, exempt: Callable[[str], bool], **given: Any) -> None:
        self._connection = Connection(**given)
        self._connection.is_exempt = exempt
        self._buffer = memoryview(bytearray(_SLICE_BYTES))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Pass it on."""
        self._connection.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._connection.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next slice goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse a slice; a full one is followed by a pause: libuv would read 32 times in one turn."""
        self._connection.data_received(bytes(self._buffer[:nbytes]))
        if nbytes == _SLICE_BYTES:
            self._connection.transport.pause_reading()
            self._connection.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        connection = self._connection
        if not (connection.flow.read_paused or connection.transport.is_closing()):
            connection.transport.resume_reading()

    def pause_writing(self) -> None:
        """Pass it on."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._connection.resume_writing()


def peer_of(host: str) -> str:
    """Return who counts as one client: an address, or the /64 of an IPv6 customer; nobody for this machine."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:  # a proxy brings everybody
        return ""
    return str(address) if address.version == 4 else f"{int(address) >> 64:x}::/64"
