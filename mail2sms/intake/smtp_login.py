"""The login of an SMTP session: name and password asked for, verified, and counted when they are wrong.

The only importer of aiosmtpd, whose class gives the session's state and the AUTH mechanisms.
"""

from __future__ import annotations

import asyncio
import binascii
from abc import abstractmethod
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, LoginPassword
from aiosmtpd.smtp import Envelope as Transaction

from mail2sms.intake.envelope import Client
from mail2sms.intake.limits import Attempt
from mail2sms.intake.smtp_wire import NEVER, Wire
from mail2sms.log import log

if TYPE_CHECKING:
    from mail2sms.intake.listener import Listener

__all__ = ["Login", "Transaction"]

_FAILED_LOGINS = 3
UNVERIFIED = "454 4.7.0 can't verify now; try again later"


class Login(Wire, SMTP):
    """What of a session is about who the client is."""

    AuthLoginUsernameChallenge = "Username:"  # what old devices compare with
    AuthLoginPasswordChallenge = "Password:"
    listener: Listener
    client: Client

    def __init__(self, listener: Listener) -> None:
        # Not SMTP.__init__: it inspects all its members, 272 us per connection.
        asyncio.StreamReaderProtocol.__init__(self, None, loop=listener.loop)  # type: ignore[arg-type]
        Wire.__init__(self, listener.loop, listener.budget.limits.command_s)
        self.listener = listener
        self.is_tls = self.is_exempt = self.is_trusted = False
        self._challenged: asyncio.Future[bytes] | None = None  # waits for the client's answer to a challenge
        self._failed_logins = 0

    @abstractmethod
    def answer(self, reply: str) -> None:
        """Send one whole reply."""

    async def log_in(self, mechanism: str, words: list[str]) -> str:
        """Ask for what is missing of name and password, verify them, and return the reply.

        `words` are the argument of AUTH. Raises whatever the handler does, when they can't be verified now.
        """
        found = await (self.auth_PLAIN if mechanism == "PLAIN" else self.auth_LOGIN)(self, words)
        if not isinstance(found.auth_data, LoginPassword):
            return ""  # aiosmtpd has answered
        self.deadline_s = NEVER
        name, password = (each.decode("utf-8", "replace") for each in found.auth_data)
        ip, lockout = self.client.ip, self.listener.budget.lockout
        attempt = Attempt(ip=ip, name=name, is_shared=self.is_exempt)
        locked = lockout.why(attempt, self.loop.time())
        if locked:
            self.listener.report(locked, ip)
            return "421 4.7.0 too many wrong passwords; try again later"
        handler = self.listener.handler
        is_right = await handler.login(self.client, name, password)
        if handler is not self.listener.handler:  # what was right when it began may be no password any more
            return UNVERIFIED
        if is_right:
            lockout.succeeded(attempt)
            self.client = replace(self.client, login=name)
            self._trust()
            return "235 2.7.0 logged in"
        self._failed_logins += 1
        lockout.failed(attempt, self.loop.time())
        log.warning("login_failed", peer=ip)
        if self._failed_logins >= _FAILED_LOGINS:
            return "421 4.7.0 too many wrong passwords"
        return "535 5.7.8 wrong name or password"

    def _trust(self) -> None:
        if not (self.is_trusted or self.is_lost):
            self.is_trusted = True
            self.listener.budget.trust()

    # What aiosmtpd's AUTH mechanisms call

    def _authenticate(self, mechanism: str, auth_data: Any) -> AuthResult:
        """Pass the credentials on: `log_in` verifies them, because a hash takes time."""
        return AuthResult(success=True, auth_data=auth_data)

    async def push(self, status: str | bytes) -> None:
        """Send a reply."""
        self.answer(status if isinstance(status, str) else status.decode())
        self.flush()

    async def challenge_auth(
        self, challenge: str | bytes, encode_to_b64: bool = True, log_client_response: bool = False
    ) -> Any:
        """Return the client's answer, or MISSING when it gave up (and was answered)."""
        text = challenge if isinstance(challenge, bytes) else challenge.encode()
        self._challenged = answered = self.loop.create_future()
        self.renew()
        await self.push(b"334 " + b64encode(text))
        self.advance()
        line = (await answered).strip()
        if line == b"*":
            await self.push("501 5.7.0 login given up")
            return MISSING
        try:
            return b64decode(line, validate=True)
        except binascii.Error:
            await self.push("501 5.5.2 not base64")
            return MISSING
