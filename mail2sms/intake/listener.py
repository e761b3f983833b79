"""An SMTP listener: its sockets, its sessions, their deadlines and the end of it.

Knows sockets and limits; what is said in a session is in `smtp`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace

from mail2sms.addresses import canonical
from mail2sms.endpoint import Endpoint
from mail2sms.intake.envelope import Handler, ListenerOptions
from mail2sms.intake.limits import Budget, neighbourhood
from mail2sms.intake.proxy import Introduction
from mail2sms.intake.smtp import Session
from mail2sms.log import log
from mail2sms.sockets import open_sockets

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
        protocol = "LMTP" if options.is_lmtp else "ESMTP"
        self.greeting = f"220 {options.hostname} {protocol} mail2sms\r\n".encode()
        self.ehlo = _ehlos(options, budget)
        self.addresses: tuple[Endpoint, ...] = ()
        self._servers: list[asyncio.Server] = []
        self._is_inherited = False
        self._sessions: set[Session] = set()
        self._expected: set[Introduction] = set()
        self._all_gone: asyncio.Future[None] = self.loop.create_future()
        self._reported_s: dict[str, float] = {}
        self._sweep_s = min(_SWEEP_S, budget.limits.command_s / 4)
        self._sweeper = self.loop.call_later(self._sweep_s, self._sweep)

    async def open(self, sockets: Sequence[socket.socket], *, is_inherited: bool) -> None:
        """Accept connections on bound sockets."""
        self._is_inherited = is_inherited
        for each in sockets:
            kind = self.loop.create_unix_server if each.family == socket.AF_UNIX else self.loop.create_server
            self._servers.append(await kind(self._first, sock=each, backlog=_BACKLOG))
            self.addresses += (_endpoint(each),)

    def _first(self) -> asyncio.BaseProtocol:
        return Introduction(self) if self.options.proxies else Session(self)

    def adopt(
        self,
        handler: Handler,
        exempt: Callable[[str], bool],
        dismissed: frozenset[str],
    ) -> None:
        """Let mails that begin from now on be decided by another handler.

        Who logged in by one of the names in `dismissed` must log in again. What the budget's new
        limits say in EHLO is said from now on, too.
        """
        self.handler, self.is_exempt = handler, exempt
        self.ehlo = _ehlos(self.options, self.budget)
        for session in list(self._sessions):
            if canonical(session.client.login or "") in dismissed:
                session.dismiss()

    def renew(self, context: ssl.SSLContext | None) -> None:
        """Let new handshakes use another certificate; who speaks TLS already goes on with the old one."""
        self.options = replace(self.options, context=context)

    # What a load balancer brings

    def expect(self, introduction: Introduction) -> asyncio.Protocol | None:
        """Let a load balancer say whom it brings, if there is room; return the session of anybody else."""
        if not self._is_proxy(introduction.ip):
            return Session(self)
        limit = "stopping" if self.is_stopping else self.budget.connect(introduction.ip, is_exempt=True)
        if limit:
            self.report(limit, introduction.ip)
            introduction.drop(limit)
        else:
            self._expected.add(introduction)
        return None

    def introduced(self, introduction: Introduction, ip: str) -> asyncio.Protocol:
        """Return the session of the client; its place is its own from now on."""
        self._leave(introduction)
        return Session(self, ip)

    def dropped(self, introduction: Introduction, reason: str) -> None:
        """Forget a connection of a load balancer that brought nobody."""
        if introduction in self._expected:
            self._leave(introduction)
            self.report("proxy", introduction.ip, "proxy_refused", reason=reason)

    def _leave(self, introduction: Introduction) -> None:
        self._expected.discard(introduction)
        self.budget.disconnect(introduction.ip, is_trusted=True)

    def _is_proxy(self, ip: str) -> bool:
        return bool(ip) and any(ipaddress.ip_address(ip) in network for network in self.options.proxies)

    # Sessions

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
        """Say 421 to all and to newcomers, and give the mails that are being judged `grace_s` to be answered.

        Behind an inherited socket newcomers wait instead: whoever keeps it hands them to our successor.
        """
        self.is_stopping = True
        if self._is_inherited:
            self._close()
        for introduction in list(self._expected):
            introduction.drop("stopping")
        judging = [task for session in list(self._sessions) if (task := session.stop()) is not None]
        if judging:
            await asyncio.wait(judging, timeout=grace_s)
        self._close()
        await self._empty(min(grace_s, _GOODBYE_S))
        for session in list(self._sessions):
            session.abort()
        await self._empty(_GOODBYE_S)
        self._sweeper.cancel()

    def _close(self) -> None:
        for server in self._servers:
            server.close()

    async def _empty(self, wait_s: float) -> None:
        if self._sessions:  # closing takes a few turns of the loop
            await asyncio.wait([self._all_gone], timeout=wait_s)

    def _sweep(self) -> None:
        now_s = self.loop.time()
        for session in list(self._sessions):
            session.expire(now_s)
        self._sweeper = self.loop.call_later(self._sweep_s, self._sweep)

    def report(self, kind: str, ip: str, event: str = "limit_reached", **facts: str) -> None:
        """Log that a limit was hit, or another event, once a minute for each client."""
        now_s, key = self.loop.time(), f"{kind} {neighbourhood(ip)}"
        if now_s - self._reported_s.get(key, -_REPORT_S) < _REPORT_S:
            return
        if len(self._reported_s) >= _REPORTED:
            self._reported_s.clear()
        self._reported_s[key] = now_s
        log.warning(event, kind=kind, peer=ip, **facts)


async def listen(
    place: Endpoint | Sequence[socket.socket],
    options: ListenerOptions,
    budget: Budget,
    handler: Handler,
    exempt: Callable[[str], bool],
) -> Listener:
    """Listen on an address, or on bound sockets that were inherited. Raises OSError when that can't be had.

    `exempt` names clients without per-IP limits; what is in `budget` is shared with the daemon's other listeners.
    """
    if options.tls in {"required", "implicit"} and options.context is None:
        raise ValueError(f"tls: {options.tls} needs a certificate")
    listener = Listener(options, budget, handler, exempt)
    is_inherited = not isinstance(place, Endpoint)
    await listener.open(await open_sockets(place), is_inherited=is_inherited)
    return listener


def _endpoint(bound: socket.socket) -> Endpoint:
    name = bound.getsockname()
    return Endpoint(name[0], name[1]) if isinstance(name, tuple) else Endpoint(str(name), 0)


def _ehlos(options: ListenerOptions, budget: Budget) -> dict[bool, bytes]:
    return {is_tls: _ehlo(options, budget.limits.size_bytes, is_tls) for is_tls in (False, True)}


def _ehlo(options: ListenerOptions, size_bytes: int, is_tls: bool) -> bytes:
    """The whole answer to EHLO: one write, because every segment costs."""
    words = [options.hostname, "PIPELINING", f"SIZE {size_bytes}", "8BITMIME", "SMTPUTF8"]
    if options.offers_tls and not is_tls:
        words.append("STARTTLS")
    if options.takes_login(is_tls=is_tls):
        words.append("AUTH PLAIN LOGIN")
    if options.has_dsn:
        words.append("DSN")
    return "".join(f"250-{word}\r\n" for word in words).encode() + b"250 ENHANCEDSTATUSCODES\r\n"
