"""An SMTP listener: its sockets, its sessions, their deadlines and the end of it.

Knows sockets and limits; what is said in a session is in `smtp`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from mail2sms.intake.envelope import Handler, ListenerOptions
from mail2sms.intake.limits import Budget, neighbourhood
from mail2sms.intake.smtp import Session
from mail2sms.log import log
from mail2sms.options import Endpoint
from mail2sms.sockets import bind

_BACKLOG = 512
_SWEEP_S = 1.0
_REPORT_S = 60  # what one client causes again and again is logged once a minute
_REPORTED = 1000
_GOODBYE_S = 1.0


class Listener:
    """One listening address (or several, for a name) and its sessions. Made by `listen`."""

    def __init__(
        self, options: ListenerOptions, budget: Budget, handler: Handler, exempt: Callable[[str], bool]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.options = options
        self.budget = budget
        self.handler = handler
        self.is_exempt = exempt
        self.is_stopping = False
        self.greeting = f"220 {options.hostname} ESMTP mail2sms\r\n".encode()
        self.ehlo = {is_tls: _ehlo(options, budget.limits.size_bytes, is_tls) for is_tls in (False, True)}
        self.addresses: tuple[Endpoint, ...] = ()
        self._servers: list[asyncio.Server] = []
        self._sessions: set[Session] = set()
        self._all_gone: asyncio.Future[None] = self.loop.create_future()
        self._reported_s: dict[str, float] = {}
        self._sweep_s = min(_SWEEP_S, budget.limits.command_s / 4)
        self._sweeper = self.loop.call_later(self._sweep_s, self._sweep)

    async def open(self, sockets: list[socket.socket]) -> None:
        """Accept connections on bound sockets."""
        for each in sockets:
            self._servers.append(
                await self.loop.create_server(lambda: Session(self), sock=each, backlog=_BACKLOG)
            )
            self.addresses += (_endpoint(each),)

    def admit(self, session: Session) -> str:
        """Count the session in; return a refusal when there is no room."""
        if self.is_stopping:
            return "421 4.3.2 shutting down"
        limit = self.budget.connect(session.client.ip, is_exempt=session.is_exempt)
        if limit:
            self.report(limit, session.client.ip)
            return "421 4.7.0 too many connections; try again later"
        self._sessions.add(session)
        return ""

    def forget(self, session: Session) -> None:
        """The session is over, and so is its last mail."""
        self._sessions.discard(session)
        self.budget.disconnect(session.client.ip, is_trusted=session.is_trusted)
        if self.is_stopping and not self._sessions and not self._all_gone.done():
            self._all_gone.set_result(None)

    async def stop(self, grace_s: float) -> None:
        """Accept no more, say 421 to all, and give the mails that are being judged `grace_s` to be answered."""
        self.is_stopping = True
        for server in self._servers:
            server.close()
        judging = [task for session in list(self._sessions) if (task := session.stop()) is not None]
        if judging:
            await asyncio.wait(judging, timeout=grace_s)
        await self._empty(min(grace_s, _GOODBYE_S))
        for session in list(self._sessions):
            session.abort()
        await self._empty(_GOODBYE_S)
        self._sweeper.cancel()

    async def _empty(self, wait_s: float) -> None:
        if self._sessions:  # closing takes a few turns of the loop
            await asyncio.wait([self._all_gone], timeout=wait_s)

    def _sweep(self) -> None:
        now_s = self.loop.time()
        for session in list(self._sessions):
            session.expire(now_s)
        self._sweeper = self.loop.call_later(self._sweep_s, self._sweep)

    def report(self, kind: str, ip: str, event: str = "limit_reached") -> None:
        """Log that a limit was hit, or another event, once a minute for each client."""
        now_s, key = self.loop.time(), f"{kind} {neighbourhood(ip)}"
        if now_s - self._reported_s.get(key, -_REPORT_S) < _REPORT_S:
            return
        if len(self._reported_s) >= _REPORTED:
            self._reported_s.clear()
        self._reported_s[key] = now_s
        log.warning(event, kind=kind, peer=ip)


async def listen(
    place: Endpoint | socket.socket,
    options: ListenerOptions,
    budget: Budget,
    handler: Handler,
    exempt: Callable[[str], bool],
) -> Listener:
    """Listen on an address, or on a bound socket that was inherited. Raises OSError when that can't be had.

    `exempt` names clients without per-IP limits; what is in `budget` is shared with the daemon's other listeners.
    """
    if options.tls == "required" and options.context is None:
        raise ValueError("tls: required needs a certificate")
    listener = Listener(options, budget, handler, exempt)
    # An inherited socket is looked at anew: with proto=0 asyncio would not set TCP_NODELAY.
    sockets = await bind(place) if isinstance(place, Endpoint) else [socket.socket(fileno=place.detach())]
    await listener.open(sockets)
    return listener


def _endpoint(bound: socket.socket) -> Endpoint:
    name = bound.getsockname()
    return Endpoint(name[0], name[1]) if isinstance(name, tuple) else Endpoint(str(name), 0)


def _ehlo(options: ListenerOptions, size_bytes: int, is_tls: bool) -> bytes:
    """The whole answer to EHLO: one write, because every segment costs."""
    words = [options.hostname, "PIPELINING", f"SIZE {size_bytes}", "8BITMIME", "SMTPUTF8"]
    if options.offers_tls and not is_tls:
        words.append("STARTTLS")
    if options.offers_tls and is_tls and options.login != "no":
        words.append("AUTH PLAIN LOGIN")
    return "".join(f"250-{word}\r\n" for word in words).encode() + b"250 ENHANCEDSTATUSCODES\r\n"
