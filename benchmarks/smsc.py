"""An SMSC that takes every submit and does nothing else: what it costs must not show. Prints its port.

For each line on its standard input it prints how many submits it has taken, and when the last one came (the machine's
monotonic clock).
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import sys
import time

import uvloop

_HEADER = struct.Struct(">IIII")
_RESPONSE = 0x8000_0000
_SUBMIT, _UNBIND, _BINDS = 0x04, 0x06, (0x01, 0x02, 0x09)
_ANSWER = struct.Struct(">IIII8sB")


class Smsc(asyncio.Protocol):
    """One connection."""

    _ids = itertools.count(1)
    taken, last_s = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport, self._rest = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer all that is whole at once."""
        buffer, at, out, submits = self._rest + data, 0, [], 0
        while len(buffer) - at >= 16:
            length, command, _, sequence = _HEADER.unpack_from(buffer, at)
            if len(buffer) - at < length:
                break
            at += length
            if command == _SUBMIT:
                submits += 1
                id_ = b"%08X" % (next(self._ids) & 0xFFFFFFFF)
                out.append(_ANSWER.pack(25, _SUBMIT | _RESPONSE, 0, sequence, id_, 0))
            elif command in _BINDS:
                out.append(_HEADER.pack(21, command | _RESPONSE, 0, sequence) + b"SMSC\0")
            elif not command & _RESPONSE:
                out.append(_HEADER.pack(16, command | _RESPONSE, 0, sequence))
        self._rest = buffer[at:]
        if submits:
            Smsc.taken, Smsc.last_s = Smsc.taken + submits, time.monotonic()
        if out:
            self._transport.write(b"".join(out))  # type: ignore[attr-defined]


def _tell() -> None:
    if sys.stdin.readline():
        print(Smsc.taken, Smsc.last_s, flush=True)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Smsc, "127.0.0.1", 0)
    loop.add_reader(sys.stdin.fileno(), _tell)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
