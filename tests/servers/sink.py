"""A quick inbox in this process: an SMTP server that keeps every mail as it came."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.servers._server import free_port


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """One mail as it arrived, with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


class MailSink:
    """Collects mails on `port`. Set `reply` to refuse or to put off what comes next ("451 4.3.0 later")."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.reply = "250 2.0.0 taken"
        self.mails: list[Mail] = []
        self._arrived = threading.Condition()
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, data_size_limit=50_000_000, enable_SMTPUTF8=True
        )

    @property
    def messages(self) -> list[bytes]:
        """The contents alone, in the order of arrival."""
        with self._arrived:
            return [mail.content for mail in self.mails]

    def wait_for(self, n: int, timeout: float = 20) -> list[bytes]:
        """Return the messages once there are at least `n`. Raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.mails) >= n, timeout):
                raise TimeoutError(f"{len(self.mails)} of {n} mails came within {timeout} s")
        return self.messages

    def clear(self) -> None:
        """Forget what came."""
        with self._arrived:
            self.mails.clear()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the mail, unless `reply` is a refusal. Called by aiosmtpd."""
        if not self.reply.startswith("2"):
            return self.reply
        assert isinstance(envelope.content, bytes)
        mail = Mail(
            sender=envelope.mail_from or "", recipients=tuple(envelope.rcpt_tos), content=envelope.content
        )
        with self._arrived:
            self.mails.append(mail)
            self._arrived.notify_all()
        return self.reply

    def start(self) -> None:
        """Listen."""
        self._controller.start()

    def stop(self) -> None:
        """Close the port; what came stays readable."""
        self._controller.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
