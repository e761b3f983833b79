"""One SMTP session: replies and errors, TLS, login, and the mail that goes to the `Handler`.

What aiosmtpd does per connection and per line (inspecting itself, parsing addresses with the email package, a write
per line, a task that wakes up for each) costs several times the rest: here commands are answered as they arrive, and
only a login, a handshake and the handler's verdict are tasks. Knows nothing of numbers, templates or the store.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.smtp_commands import COMMANDS, IDLE, LMTP_COMMANDS
from mail2sms.intake.smtp_login import UNVERIFIED, Login, Transaction
from mail2sms.intake.smtp_syntax import Collector, CommandRefused, too_large
from mail2sms.intake.smtp_wire import NEVER, certificate_names, peer_ip
from mail2sms.log import log, where
from mail2sms.model import NO_DSN, Dsn

if TYPE_CHECKING:
    from mail2sms.intake.listener import Listener

_LINE = re.compile(rb"[^\x00-\x1f\x7f]*\r\n")
_COMMAND_BYTES = 1000
_COMMANDS_PER_MAIL = 1000
_IDLE_COMMANDS = 20  # such as NOOP, that bring no mail nearer; more of them are errors
_COSTLY, _CHEAP = 10, 1  # commands, in shares of a turn
_TLS_CLOSING_S = 5
_TROUBLE = "451 4.3.0 our fault; try again later"
_GOODBYE = "421 4.3.2 shutting down"
_LOG_IN_AGAIN = "421 4.7.0 the password was changed; log in again"


class Session(Login):
    """One connection and its mails, one after the other.

    `ip` is whom a load balancer brings, empty when it does not say; without it the peer is the client.
    """

    envelope: Transaction

    def __init__(self, listener: Listener, ip: str | None = None) -> None:
        super().__init__(listener)
        self.handler = listener.handler
        self.mails = 0
        self._ip = ip
        self._limits = listener.budget.limits
        self._known_commands = LMTP_COMMANDS if listener.options.is_lmtp else COMMANDS
        self._handler_coroutine = None
        self._collector: Collector | None = None
        self._data_since_s = 0.0
        self._errors = self._commands = self._idle_commands = 0
        self._is_admitted = self._is_judging = self._has_left = self._is_dismissed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or say at once that there is no room."""
        self.link = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        ip = peer_ip(self.link) if self._ip is None else self._ip
        self._restart(ip)
        self.is_exempt = self.is_trusted = self.listener.is_exempt(ip)
        refusal = self.listener.admit(self)
        if refusal:
            self.expel(refusal)
            return
        self._is_admitted = True
        if self.listener.options.tls == "implicit":
            self.link.pause_reading()  # what comes is for the handshake
            self._start(self._secure())
        else:
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
        asyncio.StreamReaderProtocol.connection_lost(self, error)

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
        self.dsn = NO_DSN
        self.dsns: list[Dsn] = []

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
        if self.listener.options.is_lenient:
            line = line.rstrip(b"\r\n") + b"\r\n"
        verb, _, argument = line[:-2].partition(b" ")
        verb = verb.upper()
        command = self._known_commands.get(verb)
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

    def add_recipient(self, address: str, dsn: Dsn, refusal: str | None) -> str:
        """Return the reply to RCPT."""
        if refusal:
            return refusal
        self.envelope.rcpt_tos.append(address)
        self.dsns.append(dsn)
        return "250 2.1.5 OK"

    def await_verdict(self, address: str, dsn: Dsn, verdict: Awaitable[str | None]) -> None:
        """Reply to RCPT when the handler knows; the commands after it wait."""

        async def ask() -> str:
            return self.add_recipient(address, dsn, await verdict)

        self._start(ask())

    def collect(self) -> None:
        """From now on the client sends a mail."""
        is_lenient = self.listener.options.is_lenient
        self._collector = Collector(self.listener.budget, is_trusted=self.is_trusted, is_lenient=is_lenient)
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
            self._answer_each(self._mail(b"").each(too_large(self._limits.size_bytes)))
            self.close()

    def _mail(self, content: bytes) -> Envelope:
        transaction = self.envelope
        return Envelope(
            client=self.client,
            mail_from=transaction.mail_from or "",
            rcpts=tuple(transaction.rcpt_tos),
            content=content,
            is_smtputf8=transaction.smtp_utf8,
            dsns=tuple(self.dsns) if any(dsn is not NO_DSN for dsn in self.dsns) else (),
            has_reply_each=self.listener.options.is_lmtp,
            has_left=lambda: self._has_left or self.is_lost,
        )

    def _submit(self, collector: Collector) -> None:
        try:
            mail = self._mail(collector.content())
        except CommandRefused as e:
            replies = self._mail(b"").each(str(e))
            collector.release()
            self.restart_mail()
            self.renew()
            self._answer_each(replies)
            return
        self.restart_mail()
        self._is_judging = True
        self._start(self._judge(mail, collector), *mail.each(_TROUBLE))

    async def _judge(self, mail: Envelope, collector: Collector) -> Sequence[str]:
        try:
            replies = await self.handler.mail(mail)
        finally:
            collector.release()
        self.mails += 1
        if any(reply.startswith("2") for reply in replies):
            self._errors = self._commands = self._idle_commands = 0
        return replies

    def _answer_each(self, replies: Sequence[str]) -> None:
        for reply in replies:
            self.answer(reply)

    # What runs as a task

    def _start(self, work: Coroutine[Any, Any, str | Sequence[str]], *trouble: str) -> None:
        self.deadline_s = NEVER
        self._handler_coroutine = self.loop.create_task(self._attend(work, trouble or (_TROUBLE,)))

    async def _attend(self, work: Coroutine[Any, Any, str | Sequence[str]], trouble: Sequence[str]) -> None:
        try:
            said = await work
            replies = (said,) if isinstance(said, str) else said
        except Exception as e:  # the top of this stage, for what takes time
            log.warning("smtp_error", peer=self.client.ip, where=where(e))
            replies = trouble
        finally:
            was_judging, self._is_judging = self._is_judging, False
            self._handler_coroutine = self._challenged = None
            if self.is_lost and was_judging:
                self.listener.forget(self)
        if self.is_lost:
            return
        self.renew()
        self._answer_each([reply for reply in replies if reply])
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
        if self.unread:
            self.expel("554 5.5.0 nothing may follow STARTTLS before the handshake")
            return ""
        self.link.write(b"220 2.0.0 ready to start TLS\r\n")
        await self._shake_hands()
        return ""

    async def _secure(self) -> str:
        """TLS comes before the greeting."""
        if await self._shake_hands():
            self.greet_soon(self.listener.greeting)
        return ""

    async def _shake_hands(self) -> bool:
        link, reason = cast(asyncio.Transport | None, None), "closed"
        try:
            link = await self._handshake()
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
        return link is not None

    async def _handshake(self) -> asyncio.Transport | None:
        context, early = self.listener.options.context, self.unread.take_all()
        assert context is not None
        beginning = self.loop.start_tls(
            self.link,
            self,
            context,
            server_side=True,
            ssl_handshake_timeout=self._limits.command_s,
            ssl_shutdown_timeout=_TLS_CLOSING_S,
        )
        if not early:
            return await beginning
        # uvloop reads before it can be stopped in `connection_made`: the handshake gets what came.
        self.link.pause_reading()
        begun = self.loop.create_task(beginning)
        for _ in range(2):  # until TLS has taken the connection over, and before it reads more
            await asyncio.sleep(0)
        taking = cast(asyncio.BufferedProtocol, self.link.get_protocol())
        memoryview(taking.get_buffer(len(early)))[: len(early)] = early
        taking.buffer_updated(len(early))
        return await begun

    def begin_login(self, mechanism: str, words: list[str]) -> None:
        """Let the client log in; `words` are the argument of AUTH."""
        self._start(self.log_in(mechanism, words), UNVERIFIED)
