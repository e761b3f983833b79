"""Keeps the binds of a carrier up: connects, binds, and after a loss again, without knocking too often."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers import _smpp_status as statuses
from mail2sms.carriers._smpp_pdu import Command
from mail2sms.carriers._smpp_read import Malformed, Reader
from mail2sms.carriers._smpp_session import Session
from mail2sms.carriers._smpp_status import Kind
from mail2sms.carriers._smpp_window import Response
from mail2sms.endpoint import Endpoint
from mail2sms.errors import Refused, SendFailed, Unavailable
from mail2sms.log import log

_CONNECT_S: Final = 10.0
_BIND_S: Final = 30.0
_HEALTHY_S: Final = 5.0  # a session that lasted so long meant it
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 60.0
_LOST_WAIT_S: Final = 4.0  # at most, for an SMSC that takes our binds and ends them
_MENDING_S: Final = 300.0  # accounts get locked by wrong passwords
_GRACE_S: Final = 10.0  # a link may be gone so long before its messages look for another carrier
_LONGEST_AWAY_S: Final = 300.0
_CLOSE_S: Final = 2.0


class Role(IntEnum):
    """What a bind is for; its command_id."""

    RECEIVER = Command.BIND_RECEIVER
    TRANSMITTER = Command.BIND_TRANSMITTER
    TRANSCEIVER = Command.BIND_TRANSCEIVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Where to bind, and as whom. `tls` None: in clear."""

    address: Endpoint
    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    tls: ssl.SSLContext | None = None
    tls_name: str = ""


class Unreachable(Exception):
    """There is no connection; the text says why."""


async def open_session(account: Account, role: Role, make: Callable[[], Session]) -> tuple[Session, str]:
    """Connect and bind; return the session and what the SMSC calls itself.

    Raises Refused (the operator must mend it), Unavailable (it says no for now) or Unreachable.
    """
    session = await _connect(account, make)
    body = wire.bind(account.system_id, account.password, account.system_type)
    try:
        response = await session.ask(role, body, _BIND_S)
    except TimeoutError:
        session.give_up("it does not answer the bind")
        raise Unreachable("it takes the connection and does not answer the bind") from None
    except OSError as e:
        raise Unreachable(f"during the bind {e}") from None
    except BaseException:
        session.give_up("we were stopped")
        raise
    if response.status != wire.OK:
        session.give_up("it refuses the bind")
        failed = Refused if statuses.kind(response.status) is Kind.CONFIG else Unavailable
        raise failed(statuses.code(response.status), statuses.meaning(response.status))
    with contextlib.suppress(Malformed):
        return session, Reader(response.body).string()
    return session, ""


async def _connect(account: Account, make: Callable[[], Session]) -> Session:
    loop = asyncio.get_running_loop()
    name = (account.tls_name or account.address.host) if account.tls else None
    try:
        async with asyncio.timeout(_CONNECT_S):
            host, port = account.address.host, account.address.port
            _, session = await loop.create_connection(make, host, port, ssl=account.tls, server_hostname=name)
    except TimeoutError:
        raise Unreachable("it does not answer") from None
    except ssl.SSLCertVerificationError as e:
        raise Unreachable(f"its certificate is not accepted here: {e.verify_message}") from None
    except ssl.SSLError as e:
        raise Unreachable(f"TLS failed: {e.reason or 'no TLS there'}") from None
    except socket.gaierror:
        raise Unreachable("no DNS knows this name") from None
    except OSError as e:
        hung_up = "it hangs up: does this port speak TLS?" if account.tls else "it hangs up"
        raise Unreachable(f"it cannot be reached: {os.strerror(e.errno)}" if e.errno else hung_up) from None
    return session


class Binds:
    """So many sessions of each role. `make` makes a session's protocol."""

    def __init__(
        self,
        name: str,
        account: Account,
        roles: tuple[Role, ...],
        make: Callable[[], Session],
    ) -> None:
        self._name, self._account, self._roles = name, account, roles
        self._make = make
        self._sessions: dict[int, Session] = {}  # by place in `roles`
        self._tasks: list[asyncio.Task[None]] = []
        self._is_back = False
        self._down_since_s = asyncio.get_running_loop().time()
        self._why: SendFailed = Unavailable("unbound", "it is not bound yet")

    def start(self) -> None:
        """Begin; returns at once."""
        self._tasks = [asyncio.create_task(self._keep(place)) for place in range(len(self._roles))]

    @property
    def sending(self) -> list[Session]:
        """The sessions that can submit."""
        return [
            self._sessions[place]
            for place in sorted(self._sessions)
            if self._roles[place] is not Role.RECEIVER and self._sessions[place].is_open
        ]

    @property
    def is_returning(self) -> bool:
        """Whether nothing can be submitted, and waiting a little is better than looking elsewhere."""
        return not self.sending and self._away_s() < _GRACE_S and not isinstance(self._why, Refused)

    def is_back(self) -> bool:
        """Return whether a bind has come up since this was asked last."""
        was, self._is_back = self._is_back, False
        return was

    def pick(self, message: str) -> Session:
        """Return the session for a message: the parts of one go by one bind, in order. Raises Unavailable."""
        sessions = self.sending
        if not sessions:
            wait_s = min(max(1.0, self._away_s() / 2), _LONGEST_AWAY_S)
            stays = self.is_returning
            raise Unavailable(self._why.code, self._why.detail, retry_after_s=wait_s, same_carrier=stays)
        return sessions[zlib.crc32(message.encode()) % len(sessions)]

    async def ask(self, command: Command, body: bytes, within_s: float) -> Response:
        """Send a request that is no submit. Raises Unavailable when there is no answer."""
        try:
            return await self.pick("").ask(command, body, within_s)
        except (OSError, TimeoutError):
            raise Unavailable("unanswered", "it did not answer") from None

    def _away_s(self) -> float:
        return asyncio.get_running_loop().time() - self._down_since_s

    async def _keep(self, place: int) -> None:
        failures = 0
        while True:
            wait_s, longest_s = 0.0, _LONGEST_WAIT_S
            try:
                session, _ = await open_session(self._account, self._roles[place], self._make)
            except Refused as e:
                self._note(e)
                wait_s = _MENDING_S
            except Unavailable as e:
                self._note(e)
            except Unreachable as e:
                self._note(Unavailable("unbound", str(e)))
            else:
                failures = 0 if await self._last(place, session) else failures
                longest_s = _LOST_WAIT_S
            failures += 1
            backoff_s = min(longest_s, _FIRST_WAIT_S * 2 ** min(failures - 1, 16))
            spread = random.uniform(0.5, 1.0)  # noqa: S311  # so that nodes do not come together
            await asyncio.sleep(wait_s or backoff_s * spread)

    async def _last(self, place: int, session: Session) -> bool:
        """Use the session until it ends; return whether it was a good one."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self._sessions[place], self._is_back = session, True
        log.info("bind_up", carrier=self._name, count=len(self._sessions))
        try:
            why = await asyncio.shield(session.left)
            is_good = session.has_worked or loop.time() - began_s >= _HEALTHY_S
            if is_good and not self.sending:  # one that ends each session soon is as good as away
                self._down_since_s = loop.time()
            self._note(Unavailable("unbound", why))
            await asyncio.shield(session.closed)  # what it was given is being answered
        finally:
            del self._sessions[place]
        return session.has_worked or loop.time() - began_s >= _HEALTHY_S

    def _note(self, why: SendFailed) -> None:
        self._why = why
        log.warning("bind_down", carrier=self._name, code=why.code, reason=why.detail)

    async def stop(self) -> None:
        """Unbind everywhere."""
        sessions = list(self._sessions.values())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(session.close(_CLOSE_S) for session in sessions))
