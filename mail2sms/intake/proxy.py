"""Whom a load balancer brings: the PROXY protocol, versions 1 and 2, before anything else is said.

https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 and 2.2. Knows no SMTP command.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from typing import Protocol, cast

from mail2sms.intake.smtp_wire import peer_ip

_V1, _V1_BYTES = b"PROXY ", 107
_V1_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) [0-9A-Fa-f.:]+ [0-9]{1,5} [0-9]{1,5}\r\n")
_V1_OWN = re.compile(rb"PROXY UNKNOWN(?: [ -~]*)?\r\n")
_V2, _V2_BYTES = b"\r\n\r\n\0\r\nQUIT\n", 16
_V2_REST_BYTES = 2048  # addresses, and what a balancer adds to them
_V2_LOCAL, _V2_PROXY = 0x20, 0x21
_V2_ADDRESS_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4 and IPv6; source and destination, then two ports
_PATIENCE_S = 5.0


class NotIntroduced(ValueError):
    """What came is no header of this protocol, or one that names no TCP client."""


def missing_bytes(head: bytes) -> int:
    """Return how many bytes more are the header's for sure, 0 when it is whole. Raises NotIntroduced."""
    if head[: len(_V2)] == _V2[: len(head)]:
        if len(head) < _V2_BYTES:
            return _V2_BYTES - len(head) if head else len(_V1)
        rest_bytes = int.from_bytes(head[14:16], "big")
        if rest_bytes > _V2_REST_BYTES:
            raise NotIntroduced("too long")
        return _V2_BYTES + rest_bytes - len(head)
    if head[: len(_V1)] != _V1[: len(head)] or len(head) > _V1_BYTES:
        raise NotIntroduced("neither version")
    if len(head) < len(_V1):
        return len(_V1) - len(head)
    if head.endswith(b"\r\n"):
        return 0
    if b"\n" in head:
        raise NotIntroduced("no CRLF")
    return 1 if head.endswith(b"\r") else 2


def client_ip(head: bytes) -> str:
    """Return the address in a whole header; empty when the balancer names nobody. Raises NotIntroduced."""
    return _v2(head) if head.startswith(_V2) else _v1(head)


def _v1(head: bytes) -> str:
    if _V1_OWN.fullmatch(head):
        return ""
    found = _V1_LINE.fullmatch(head)
    if found is None:
        raise NotIntroduced("not understood")
    kind = ipaddress.IPv4Address if found[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        return _one_spelling(kind(found[2].decode()))
    except ValueError as e:
        raise NotIntroduced("no address") from e


def _v2(head: bytes) -> str:
    command, family = head[12], head[13]
    if command == _V2_LOCAL:
        return ""
    size = _V2_ADDRESS_BYTES.get(family, 0)
    if command != _V2_PROXY or not size or len(head) < _V2_BYTES + 2 * size + 4:
        raise NotIntroduced("no TCP client")
    return _one_spelling(ipaddress.ip_address(head[_V2_BYTES : _V2_BYTES + size]))


def _one_spelling(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


class Host(Protocol):
    """Who lets them in."""

    def expect(self, introduction: Introduction) -> asyncio.Protocol | None:
        """Return the protocol of who is no load balancer, None when the header is to be read; or drop it."""

    def introduced(self, introduction: Introduction, ip: str) -> asyncio.Protocol:
        """Return the protocol that goes on, for a client at this address; empty for one that proves nothing by it."""

    def dropped(self, introduction: Introduction, reason: str) -> None:
        """It came to nothing."""


class Introduction(asyncio.BufferedProtocol):
    """Reads the header to its last byte and no further, then hands the connection over as if it began now."""

    ip: str
    """The peer's own address."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._head = b""
        self._buffer = bytearray()
        self._link = cast(asyncio.Transport, None)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the header, not for long."""
        self._link = cast(asyncio.Transport, transport)
        self.ip = peer_ip(self._link)
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self.drop, "nothing came")
        protocol = self._host.expect(self)
        if protocol is not None:
            self._hand_over(protocol)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Give room for what is certainly the header's."""
        self._buffer = bytearray(missing_bytes(self._head))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Look at what has come."""
        self._head += self._buffer[:nbytes]
        try:
            if missing_bytes(self._head):
                return
            ip = client_ip(self._head)
        except NotIntroduced as e:
            self.drop(str(e))
            return
        self._hand_over(self._host.introduced(self, ip))

    def connection_lost(self, error: Exception | None) -> None:
        """They left without a word."""
        self.drop("nothing came")

    def drop(self, reason: str) -> None:
        """Cut the connection."""
        self._stop_waiting()
        self._host.dropped(self, reason)
        self._link.abort()

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        self._stop_waiting()
        self._link.pause_reading()  # so that the next bytes go to whom we set
        self._link.set_protocol(protocol)
        self._link.resume_reading()
        protocol.connection_made(self._link)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
