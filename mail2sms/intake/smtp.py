"""One SMTP session: replies and errors, TLS, login, and the mail that goes to the `Handler`.

The only importer of aiosmtpd, whose class gives the session's state and the AUTH mechanisms. What it does per
connection and per line (inspecting itself, parsing addresses with the email package, a write per line, a task that
wakes up for each) costs several times the rest: here commands are answered as they arrive, and only a login, a
handshake and the handler's verdict are tasks. Knows nothing of numbers, templates or the store.
"""

from __future__ import annotations

import asyncio
import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, LoginPassword
from aiosmtpd.smtp import Envelope as Transaction

from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.limits import Attempt
from mail2sms.intake.smtp_commands import COMMANDS, IDLE
from mail2sms.intake.smtp_syntax import Collector, CommandRefused, too_large
from mail2sms.intake.smtp_wire import NEVER, Wire, certificate_names, peer_ip
from mail2sms.log import log, where

if TYPE_CHECKING:
    from mail2sms.intake.listener import Listener

_LINE = re.compile(rb"[^\x00-\x1f\x7f]*\r\n")
_COMMAND_BYTES = 1000
_COMMANDS_PER_MAIL = 1000
_IDLE_COMMANDS = 20  # such as NOOP, that bring no mail nearer; more of them are errors
_COSTLY, _CHEAP = 10, 1  # commands, in shares of a turn
_FAILED_LOGINS = 3
_TLS_CLOSING_S = 5
_TROUBLE = "451 4.3.0 our fault; try again later"
_UNVERIFIED = "454 4.7.0 can't verify now; try again later"
_GOODBYE = "421 4.3.2 shutting down"
_LOG_IN_AGAIN = "421 4.7.0 the password was changed; log in again"


class Session(Wire, SMTP):
    """One connection and its mails, one after the other."""

    AuthLoginUsernameChallenge = "Username:"  # what old devices compare with
    AuthLoginPasswordChallenge = "Password:"
    envelope: Transaction
    client: Client

    def __init__(self, listener: Listener) -> None:
        # Not SMTP.__init__: it inspects all its members, 272 us per connection.
        asyncio.StreamReaderProtocol.__init__(self, None, loop=listener.loop)  # type: ignore[arg-type]
        Wire.__init__(self, listener.loop, listener.budget.limits.command_s)
        self.listener = listener
        self.handler = listener.handler
        self.mails = 0
        self.is_tls = self.is_exempt = self.is_trusted = False
        self._limits = listener.budget.limits
        self._handler_coroutine = None
        self._collector: Collector | None = None
        self._data_since_s = 0.0
        self._challenged: asyncio.Future[bytes] | None = None  # waits for the client's answer to a challenge
        self._errors = self._commands = self._idle_commands = self._failed_logins = 0
        self._is_admitted = self._is_judging = self._has_left = self._is_dismissed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or say at once that there is no room."""
        self.link = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        ip = peer_ip(self.link)
        self._restart(ip)
        self.is_exempt = self.is_trusted = self.listener.is_exempt(ip)
        refusal = self.listener.admit(self)
        if refusal:
            self.expel(refusal)
            return
        self._is_admitted = True
        self.greet_soon(self.listener.greeting)

    def eof_received(self) -> bool:
        """Keep the way back open while a mail is judged: its sender may still read the verdict."""
        self._has_left = True
        if self._is_judging and not self.is_tls:
            return True
        self.close()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Give everything back; a mail that is being judged goes on, since it may be stored already."""
        if self.is_lost:
            return
        self.is_lost = self.is_closing = True
        if self._collector is not None:
            self._collector.release()
        if not self._is_judging:
            self._cancel()
        if self._is_admitted and not self._is_judging:
            self.listener.forget(self)
        super(SMTP, self).connection_lost(error)

    def stop(self) -> asyncio.Task[None] | None:
        """Say goodbye; while a mail is being judged, return the task that is to be waited for."""
        if self._is_judging:
            return self._handler_coroutine
        if self._handler_coroutine is not None:
            self.abort()
        else:
            self.expel(_GOODBYE)
        return None

    def dismiss(self) -> None:
        """Say goodbye to who logged in with what is no password any more, after the mail that is being judged."""
        self._is_dismissed = True
        if self._handler_coroutine is None:
            self.expel(_LOG_IN_AGAIN)

    def abort(self) -> None:
        """Cut the connection and whatever still runs."""
        self._cancel()
        self.link.abort()

    def _cancel(self) -> None:
        if self._handler_coroutine is not None:  # a turn later: what never began could not tidy up
            self.loop.call_soon(self._handler_coroutine.cancel)

    def _restart(self, ip: str) -> None:
        # RFC 3207 section 4.2: after the handshake nothing is known of the client.
        names = certificate_names(self.link) if self.is_tls else frozenset[str]()
        self.client = Client(ip=ip, is_tls=self.is_tls, names=names)
        self.restart_mail()

    def restart_mail(self) -> None:
        """Forget the mail that was begun."""
        self.envelope = self._create_envelope()

    # Commands and replies

    def take_next(self) -> int:
        """Take one command, or all there is of a mail; return how much of a turn that was, 0 to stop here."""
        if self._handler_coroutine is not None and self._challenged is None:
            return 0
        if self._collector is not None:
            self._collect(self._collector)
            return _CHEAP
        line = self.unread.take_line()
        if not line:
            return 0
        if self._challenged is None:
            return self._obey(line)
        self._challenged.set_result(line)
        self._challenged = None
        return _CHEAP

    def _obey(self, line: bytes) -> int:
        self.renew()
        self._commands += 1
        verb, _, argument = line[:-2].partition(b" ")
        verb = verb.upper()
        command = COMMANDS.get(verb)
        if not _LINE.fullmatch(line):
            self.answer("500 5.5.2 lines end with CRLF and hold no control characters")
        elif command is None:
            self.answer("500 5.5.1 command not recognized")
        elif len(line) > _COMMAND_BYTES and verb != b"AUTH":
            self.answer("500 5.5.2 line too long")
        elif self._commands > _COMMANDS_PER_MAIL and not self.is_exempt:
            self.expel("421 4.7.0 too many commands")
        else:
            self._call(command, argument)
            if verb in IDLE and not self.is_trusted:
                self._idle_commands += 1
                self._errors += self._idle_commands > _IDLE_COMMANDS
                self._check_errors()
        return _COSTLY if verb == b"RCPT" else _CHEAP

    def _call(self, command: Callable[[Session, str], str], argument: bytes) -> None:
        try:
            reply = command(self, argument.decode().strip(" "))
        except UnicodeDecodeError:
            reply = "500 5.5.2 not UTF-8"
        except CommandRefused as e:
            reply = str(e)
        except Exception as e:  # the top of this stage, for what is answered at once
            log.warning("smtp_error", peer=self.client.ip, where=where(e))
            reply = _TROUBLE
        if reply:
            self.answer(reply)

    def answer(self, reply: str) -> None:
        """Send one whole reply, and close when it is a goodbye."""
        if not reply.isprintable():
            reply = "".join(c if c.isprintable() else "?" for c in reply)
        self.send(reply.encode("ascii", "replace") + b"\r\n")
        if reply.startswith(("221", "421")):
            self.close()
        elif reply.startswith("5"):
            self._errors += 1
            self._check_errors()

    def _check_errors(self) -> None:
        if self._errors > self._limits.errors and not self.is_trusted and not self.is_closing:
            self.expel("421 4.7.0 too many errors")

    # A mail

    def add_recipient(self, address: str, refusal: str | None) -> str:
        """Return the reply to RCPT."""
        if refusal:
            return refusal
        self.envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    def await_verdict(self, address: str, verdict: Awaitable[str | None]) -> None:
        """Reply to RCPT when the handler knows; the commands after it wait."""

        async def ask() -> str:
            return self.add_recipient(address, await verdict)

        self._start(ask())

    def collect(self) -> None:
        """From now on the client sends a mail."""
        self._collector = Collector(self.listener.budget, is_trusted=self.is_trusted)
        self._data_since_s = self.loop.time()

    def _collect(self, collector: Collector) -> None:
        if collector.feed(self.unread.take_all()):
            self.unread.feed(collector.rest)
            self._collector = None
            self._submit(collector)
            return
        earned_s = collector.received_bytes / self._limits.min_bytes_per_s
        self.deadline_s = self._data_since_s + min(self._limits.data_s, self._limits.command_s + earned_s)
        if collector.is_hopeless:
            self.expel(too_large(self._limits.size_bytes))

    def _submit(self, collector: Collector) -> None:
        transaction = self.envelope
        self.restart_mail()
        try:
            content = collector.content()
        except CommandRefused as e:
            collector.release()
            self.renew()
            self.answer(str(e))
            return
        mail = Envelope(
            client=self.client,
            mail_from=transaction.mail_from or "",
            rcpts=tuple(transaction.rcpt_tos),
            content=content,
            is_smtputf8=transaction.smtp_utf8,
            has_left=lambda: self._has_left or self.is_lost,
        )
        self._is_judging = True
        self._start(self._judge(mail, collector))

    async def _judge(self, mail: Envelope, collector: Collector) -> str:
        try:
            reply = await self.handler.mail(mail)
        finally:
            collector.release()
        self.mails += 1
        if reply.startswith("2"):
            self._errors = self._commands = self._idle_commands = 0
        return reply

    # What runs as a task

    def _start(self, work: Coroutine[Any, Any, str], trouble: str = _TROUBLE) -> None:
        self.deadline_s = NEVER
        self._handler_coroutine = self.loop.create_task(self._attend(work, trouble))

    async def _attend(self, work: Coroutine[Any, Any, str], trouble: str) -> None:
        try:
            reply = await work
        except Exception as e:  # the top of this stage, for what takes time
            log.warning("smtp_error", peer=self.client.ip, where=where(e))
            reply = trouble
        finally:
            was_judging, self._is_judging = self._is_judging, False
            self._handler_coroutine = self._challenged = None
            if self.is_lost and was_judging:
                self.listener.forget(self)
        if self.is_lost:
            return
        self.renew()
        if reply:
            self.answer(reply)
        if self.listener.is_stopping:
            self.expel(_GOODBYE)
        elif self._is_dismissed:
            self.expel(_LOG_IN_AGAIN)
        self.advance()
        if self._has_left and not self._is_judging:
            self.close()

    def upgrade(self) -> None:
        """Start the TLS handshake."""
        self._start(self._upgrade())

    async def _upgrade(self) -> str:
        context = self.listener.options.context
        assert context is not None
        if self.unread:
            self.expel("554 5.5.0 nothing may follow STARTTLS before the handshake")
            return ""
        self.link.write(b"220 2.0.0 ready to start TLS\r\n")
        link, reason = cast(asyncio.Transport | None, None), "closed"
        try:
            link = await self.loop.start_tls(
                self.link,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._limits.command_s,
                ssl_shutdown_timeout=_TLS_CLOSING_S,
            )
        except OSError as e:  # ssl.SSLError and time-outs are OSErrors
            reason = getattr(e, "reason", None) or type(e).__name__
        finally:
            if link is None:  # the connection is closed, and nobody else may tell us
                log.warning("tls_failed", peer=self.client.ip, reason=reason)
                self._handler_coroutine = None
                self.connection_lost(None)
        if link is not None:
            self.link, self.is_tls = link, True
            self._restart(self.client.ip)
        return ""

    def log_in(self, mechanism: str, words: list[str]) -> None:
        """Ask for what is missing of name and password, and verify them. `words` are the argument of AUTH."""
        self._start(self._log_in(mechanism, words), _UNVERIFIED)

    async def _log_in(self, mechanism: str, words: list[str]) -> str:
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
            return _UNVERIFIED
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
        """Pass the credentials on: `_log_in` verifies them, because a hash takes time."""
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
