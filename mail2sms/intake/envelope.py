"""What passes between the SMTP listeners and whoever decides about a mail: client, envelope, handler. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mail2sms.model import Dsn
from mail2sms.options import Network

Tls = Literal["off", "offered", "required", "implicit"]
"""Whether STARTTLS is there, or must come first, or TLS comes before all else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """Who speaks to us, as far as known now. `login` is the name that was proven by a password.

    `names` are those of the client's certificate, in lower case: none unless one of our authorities signed it.
    """

    ip: str
    helo: str = ""
    is_tls: bool = False
    login: str | None = None
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """One whole mail as it came. `mail_from` is empty for `<>`; quoted local parts keep their quotes.

    `dsns` are what is to be reported of each recipient, as many as `rcpts` or none. With `has_reply_each` (LMTP) each
    recipient gets a reply of its own. `has_left` is asked before a mail that had to wait costs anything: nobody may be
    there any more to hear the reply.
    """

    client: Client
    mail_from: str
    rcpts: tuple[str, ...]
    content: bytes = field(repr=False)
    is_smtputf8: bool = False
    dsns: tuple[Dsn, ...] = ()
    has_reply_each: bool = False
    has_left: Callable[[], bool] = field(default=lambda: False, compare=False, repr=False)

    def each(self, reply: str) -> tuple[str, ...]:
        """Return one reply as often as it is to be given."""
        return (reply,) * (len(self.rcpts) if self.has_reply_each else 1)


class Handler(Protocol):
    """Who decides. Replies are whole SMTP replies of one line: `550 5.1.1 no such address`."""

    def begin(self, client: Client, *, offers_login: bool) -> str | None:
        """Return a refusal for who can prove nothing, or None. Asked at MAIL, before anything of theirs is read.

        `offers_login`: the client could still log in where it is.
        """

    def rcpt(self, client: Client, address: str) -> str | Awaitable[str | None] | None:
        """Return a refusal, or None to accept. To be awaited only where the store must be asked: a task costs more."""

    async def login(self, client: Client, name: str, password: str) -> bool:
        """Whether the password is right. An exception means that it can't be known now (454)."""

    async def mail(self, envelope: Envelope) -> tuple[str, ...]:
        """Return the final reply, or with `has_reply_each` that of each recipient in order; 250 means durable.

        Not cancelled because the client went away.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenerOptions:
    """How one listener speaks. A login needs TLS, unless `is_lenient`: then passwords may come in clear.

    `is_lenient` is for old devices in a private network; bare CR, LF and NUL are mended there instead of refused.
    Clients in `proxies` are load balancers, which say first whom they bring (the PROXY protocol).
    """

    hostname: str
    tls: Tls = "off"
    login: Literal["no", "optional", "required"] = "no"
    context: ssl.SSLContext | None = None
    is_lmtp: bool = False
    is_lenient: bool = False
    has_dsn: bool = False
    proxies: tuple[Network, ...] = ()

    @property
    def offers_tls(self) -> bool:
        """Whether STARTTLS is there to be used."""
        return self.tls in {"offered", "required"} and self.context is not None

    @property
    def offers_login(self) -> bool:
        """Whether AUTH is there to be used, now or once TLS is on."""
        return self.login != "no" and (self.is_lenient or self.offers_tls or self.tls == "implicit")

    def takes_login(self, *, is_tls: bool) -> bool:
        """Whether AUTH is taken on this connection as it is."""
        return self.offers_login and (is_tls or self.is_lenient)
