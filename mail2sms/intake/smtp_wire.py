"""The wire of an SMTP session: lines in, replies out, backpressure and deadlines, without knowing any command.

Replies to commands that came together leave together (RFC 2920), and no task is needed to read the next line.
"""

from __future__ import annotations

import asyncio
import math
import socket
from abc import abstractmethod

from mail2sms.intake.smtp_syntax import Lines

LINE_BYTES = 12_288  # RFC 4954 section 4; other commands are shorter
NEVER = math.inf
_TURN = 50  # so much is done for one session, then others have their turn
_PAUSE_BYTES = 65_536
_CLOSING_S = 5


class Wire(asyncio.Protocol):
    """One connection. `take_next` of the session reads what has come."""

    link: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, command_s: float) -> None:
        self.loop = loop
        self.unread = Lines(LINE_BYTES)
        self.is_closing = self.is_lost = False
        self.deadline_s = NEVER
        self._command_s = command_s
        self._replies: list[bytes] = []
        self._is_greeted = self._is_choked = self._is_paused = False

    @abstractmethod
    def take_next(self) -> int:
        """Take one command, or all there is of a mail; return how much of a turn that was, 0 to stop here."""

    def greet_soon(self, greeting: bytes) -> None:
        """Greet two turns later: what the client sent before our greeting has then arrived."""
        self.loop.call_soon(self.loop.call_soon, self._greet, greeting)

    def _greet(self, greeting: bytes) -> None:
        self._is_greeted = True
        if self.unread:
            self.expel("554 5.5.0 you spoke before the greeting")
        elif not self.is_closing:
            self.link.write(greeting)
            self.renew()

    def data_received(self, data: bytes) -> None:
        """Answer what can be answered now; keep the rest."""
        if self.is_closing:
            return
        self.unread.feed(data)
        self.advance()
        if len(self.unread) > _PAUSE_BYTES and not self._is_paused and not self.is_closing:
            self._is_paused = True
            self.link.pause_reading()

    def pause_writing(self) -> None:
        """The client doesn't read what we answer."""
        self._is_choked = True

    def resume_writing(self) -> None:
        """It does again."""
        self._is_choked = False
        self.advance()

    def advance(self) -> None:
        """Read on, as far as may be now."""
        left = _TURN
        while left > 0:
            idle = not self.unread or self.is_closing or self._is_choked or not self._is_greeted
            if idle or not (taken := self.take_next()):
                break
            left -= taken
        else:
            self.loop.call_soon(self.advance)
        self.flush()
        if self._is_paused and len(self.unread) <= _PAUSE_BYTES and not self.is_closing:
            self._is_paused = False
            self.link.resume_reading()

    def send(self, reply: bytes) -> None:
        """Add lines to what goes out next."""
        self._replies.append(reply)

    def flush(self) -> None:
        """Let it go out."""
        if self._replies and not self.is_closing:
            self.link.write(b"".join(self._replies))
        self._replies.clear()

    def expel(self, reply: str) -> None:
        """Send one whole reply and close."""
        self.send(reply.encode() + b"\r\n")
        self.close()

    def close(self) -> None:
        """Close when all is sent; a client that doesn't read it is cut off soon."""
        self.flush()
        if not self.is_closing:
            self.is_closing = True
            self.deadline_s = self.loop.time() + _CLOSING_S
            self.link.close()

    def renew(self) -> None:
        """Give the client the time of one command, from now on."""
        self.deadline_s = self.loop.time() + self._command_s

    def expire(self, now_s: float) -> None:
        """Close when the client's time is over. The listener calls it again and again."""
        if now_s < self.deadline_s:
            return
        if self.is_closing:
            self.link.abort()
        else:
            self.expel("421 4.4.2 timeout")


def certificate_names(transport: asyncio.Transport) -> frozenset[str]:
    """Return the names of the peer's certificate, in lower case: DNS and mail, else the common name; none without one.

    The handshake has verified it, or there is none.
    """
    found = transport.get_extra_info("peercert") or {}
    names = {value for kind, value in found.get("subjectAltName", ()) if kind in {"DNS", "email"}}
    common = {value for part in found.get("subject", ()) for kind, value in part if kind == "commonName"}
    return frozenset(name.lower() for name in names or common)


def peer_ip(transport: asyncio.Transport) -> str:
    """Return the peer's address in one spelling; who comes by a unix socket is on this machine."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):  # None: it is gone already, and must not pass for one of ours
        return "127.0.0.1" if transport.get_extra_info("socket").family == socket.AF_UNIX else ""
    ip: str = peer[0].partition("%")[0]
    return ip.removeprefix("::ffff:") if "." in ip else ip
