"""The mail system of a company in small: Postfix as smarthost, Dovecot behind it, read by IMAP."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

from tests.servers._server import wait_until
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

USER = "marie@acme.example"


class Inbox:
    """Mail sent to `smtp_port` is found in the inbox of its recipient, one of `users`.

    `routes` maps other domains to loopback SMTP ports: the bridge's own, so that people can write to it from here.
    """

    def __init__(self, *users: str, routes: Mapping[str, int] | None = None) -> None:
        self.user = users[0] if users else USER
        self.dovecot = Dovecot(*(users or (USER,)))
        store = f"lmtp:inet:127.0.0.1:{self.dovecot.lmtp_port}"
        try:
            self.postfix = Postfix(routes, default=store)
        except BaseException:
            self.dovecot.close()
            raise
        self.smtp_port, self.imap_port = self.postfix.port, self.dovecot.imap_port
        self._stack = ExitStack()

    def messages(self, user: str = "") -> list[bytes]:
        """What one user (the first, unless said) finds in the INBOX, oldest first."""
        return self.dovecot.messages(user or self.user)

    def wait_for(self, n: int, timeout: float = 30, *, user: str = "") -> list[bytes]:
        """Return the messages once there are at least `n`. Raises TimeoutError with Postfix' log."""
        found: list[bytes] = []

        def is_there() -> bool:
            found[:] = self.messages(user)
            return len(found) >= n

        if not wait_until(is_there, timeout, every_s=0.05):
            log = self.postfix.log()[-3000:]
            raise TimeoutError(f"{len(found)} of {n} mails came within {timeout} s; Postfix says:\n{log}")
        return found

    def clear(self) -> None:
        """Empty every inbox."""
        for user in self.dovecot.users:
            self.dovecot.clear(user)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.dovecot)
            stack.enter_context(self.postfix)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
