"""The demo's ends of SMTP: who listens in on the daemon's listener, and the mailbox that its emails go to."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from mail2sms.clock import now_ms
from mail2sms.errors import Refusal
from mail2sms.intake import headers
from mail2sms.intake.envelope import Client, Envelope, Handler
from mail2sms.intake.sandbox import Sandbox, read_letter
from mail2sms.web import demo_mail
from mail2sms.web.inbox import DemoInbox
from mail2sms.web.sent import SentMail


class Front:
    """Stands before the daemon's handler and keeps what is handed over, so that the page can show how it was read.

    The page's own mails are left to the page, which knows what became of them before they were a mail.
    """

    def __init__(self, behind: Handler, inbox: DemoInbox, sandbox: Sandbox) -> None:
        self._behind = behind
        self._inbox = inbox
        self._sandbox = sandbox

    def begin(self, client: Client, *, offers_login: bool) -> str | None:
        """As the handler says."""
        return self._behind.begin(client, offers_login=offers_login)

    def rcpt(self, client: Client, address: str) -> str | Awaitable[str | None] | None:
        """As the handler says; a refusal is kept."""
        said = self._behind.rcpt(client, address)
        if isinstance(said, Awaitable):
            return self._awaited(client, address, said)
        self._keep_refusal(client, address, said)
        return said

    async def _awaited(self, client: Client, address: str, saying: Awaitable[str | None]) -> str | None:
        said = await saying
        self._keep_refusal(client, address, said)
        return said

    def _keep_refusal(self, client: Client, address: str, said: str | None) -> None:
        if said is not None and client.helo != demo_mail.HELO:
            code, _, reply = said.partition(" ")
            self._inbox.sent.add(SentMail(at=now_ms(), rcpts=(address,), code=int(code), reply=reply))

    async def login(self, client: Client, name: str, password: str) -> bool:
        """As the handler says."""
        return await self._behind.login(client, name, password)

    async def mail(self, envelope: Envelope) -> tuple[str, ...]:
        """As the handler says; the mail is kept."""
        at = now_ms()
        said = await self._behind.mail(envelope)
        if envelope.client.helo != demo_mail.HELO:
            code, _, reply = said[0].partition(" ")
            mail = SentMail(
                at=at,
                rcpts=envelope.rcpts,
                code=int(code),
                reply=reply,
                sender=envelope.mail_from,
                raw=envelope.content,
            )
            self._inbox.sent.add(await self._read(mail, envelope))
        return said

    async def _read(self, mail: SentMail, envelope: Envelope) -> SentMail:
        content = envelope.content
        try:
            head = headers.split(content, 0, len(content))
            letter = await read_letter(content, head, self._sandbox, mail.sender, envelope.has_left)
        except Refusal:
            return mail
        return replace(
            mail,
            sender=next(iter(letter.from_addresses), mail.sender),
            message_id=letter.message_id or "",
            subject=letter.subject,
            is_reply=bool(letter.in_reply_to),
            text=letter.text,
        )


class Mailbox:
    """Takes every mail into the demo inbox; see `envelope.Handler`."""

    def __init__(self, inbox: DemoInbox) -> None:
        self._inbox = inbox

    def begin(self, client: Client, *, offers_login: bool) -> None:
        """Anybody may write here."""

    def rcpt(self, client: Client, address: str) -> None:
        """Anybody has a mailbox here."""

    async def login(self, client: Client, name: str, password: str) -> bool:
        """Nobody needs to log in."""
        return False

    async def mail(self, envelope: Envelope) -> tuple[str, ...]:
        """Keep the mail."""
        return (f"250 2.0.0 kept as {self._inbox.add(envelope.content)}",)
