"""Hands an email to the smarthost: the only importer of aiosmtplib. Knows envelopes, not what a mail says.

A mail whose final answer was lost is handed over again: the same Message-ID lets mailboxes drop the copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from email.utils import parseaddr
from typing import Final, Literal, Self

import aiosmtplib
from pydantic import model_validator

from mail2sms import options
from mail2sms.errors import DeliveryFailed

_TIMEOUT_S: Final = 30.0
_IDLE_S: Final = 5.0
_CONNECTIONS: Final = 2

# RFC 4954 section 6 and RFC 3207 section 4: our login or TLS is wrong, not this mail; the operator mends it.
_OURS_TO_MEND: Final = frozenset({530, 534, 535, 538})
_ADDRESS = re.compile(r"[^\s<>:,;]+@[^\s<>:,;]+")
_INTERNATIONAL: Final = ("SMTPUTF8", "BODY=8BITMIME")  # RFC 6531 section 3.1; the To header is UTF-8 too


_NO_ANSWER: Final = ("no_answer", "it does not answer in time")
_HUNG_UP: Final = ("hung_up", "it hung up")
_UNREACHED: Final[dict[type[BaseException], tuple[str, str]]] = {
    aiosmtplib.SMTPTimeoutError: _NO_ANSWER,
    TimeoutError: _NO_ANSWER,
    ssl.SSLCertVerificationError: ("certificate", "its certificate is not accepted here"),
    ssl.SSLError: ("tls", "no TLS can be begun with it: tls: on is for port 465, starttls for 587 and 25"),
    socket.gaierror: ("name_unknown", "its name is not known to the DNS"),
    ConnectionRefusedError: ("nothing_listens", "nothing listens there, or a firewall refuses"),
    ConnectionError: _HUNG_UP,
    aiosmtplib.SMTPServerDisconnected: _HUNG_UP,
    OSError: ("unreached", "no way leads there"),
    aiosmtplib.SMTPException: ("not_offered", "it does not offer the TLS or the login that is asked for"),
}
"""Why no mail could be handed over: a word for the log, and words. In this order: most of them are OSErrors too."""
_EACH_ERRNO = re.compile(r"\[Errno (\d+)\]")


class SmarthostOptions(options.Options):
    """Where our emails leave. `tls` unset: off on this machine, else starttls."""

    address: options.EndpointOption
    """Where it takes mail. Example: smtp.acme.example:587"""
    login: str | None = None
    """The name to log in with; `password` belongs to it. Example: sms"""
    password: options.SecretOption | None = None
    """The password to log in with. Example: credential:smarthost"""
    tls: Literal["off", "starttls", "on"] | None = None
    """How the connection is secured; by default off on this machine, else starttls. Example: on"""

    @model_validator(mode="after")
    def _password_is_safe(self) -> Self:
        if (self.login is None) != (self.password is None):
            raise ValueError("login and password belong together")
        if self.login and self.tls == "off" and not self.address.is_loopback:
            raise ValueError("a password needs tls: starttls or on")
        return self


class Mailer:
    """At most two connections, kept open for five seconds. Lives in one event loop; `close` it at the end."""

    def __init__(self, smarthost: SmarthostOptions, *, hello: str = "localhost") -> None:
        """`hello` is our name in EHLO: the domain. Reads the password, or raises BadOption."""
        self._smarthost = smarthost
        self._hello = hello
        self._password = smarthost.password.reveal() if smarthost.password else None
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._idle: list[tuple[aiosmtplib.SMTP, asyncio.TimerHandle]] = []

    async def deliver(self, content: bytes, envelope_from: str, to: str) -> None:
        """Return when the smarthost took responsibility. An empty `envelope_from` is the null sender.

        Raises DeliveryFailed, final for a 5xx about this mail.
        """
        async with self._slots:
            try:
                await self._deliver(content, envelope_from, to)
            except aiosmtplib.SMTPResponseException as e:
                is_final = 500 <= e.code < 600 and e.code not in _OURS_TO_MEND
                raise DeliveryFailed(_said(e), is_final=is_final) from None  # the cause names people
            except (aiosmtplib.SMTPException, OSError) as e:
                raise self._unreached(e) from None
            except ValueError:
                detail = "the address cannot be written to"
                raise DeliveryFailed(detail, word="address", is_final=True) from None

    async def probe(self, envelope_from: str, to: str) -> None:
        """Ask whether the smarthost would take mail from us to `to`: all but the mail itself. Raises DeliveryFailed."""
        try:
            smtp = await _begin(await self._connect(), envelope_from, to)
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await smtp.rset()
                await smtp.quit()
            smtp.close()
        except aiosmtplib.SMTPResponseException as e:
            raise DeliveryFailed(_said(e), is_final=500 <= e.code < 600) from None
        except (aiosmtplib.SMTPException, OSError, _Stale) as e:
            raise DeliveryFailed(_unreached(e)[1]) from None

    async def close(self) -> None:
        """Close idle connections; those in use close when their mail is through."""
        while self._idle:
            smtp, timer = self._idle.pop()
            timer.cancel()
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit(timeout=1)
            smtp.close()

    async def _deliver(self, content: bytes, envelope_from: str, to: str) -> None:
        if any(parseaddr(address)[1] != address for address in (envelope_from, to)):
            raise ValueError("aiosmtplib would send to what parseaddr reads in it")
        smtp = await self._envelope(envelope_from, to)
        try:
            await smtp.data(content)
        except BaseException:  # also when cancelled: an unfinished transaction is of no further use
            smtp.close()
            raise
        self._keep(smtp)

    async def _envelope(self, envelope_from: str, to: str) -> aiosmtplib.SMTP:
        """Return a connection that waits for DATA; one that went stale while idle is replaced once."""
        kept = self._take()
        if kept is not None:
            with contextlib.suppress(_Stale):
                return await _begin(kept, envelope_from, to)
        smtp = await self._connect()
        try:
            return await _begin(smtp, envelope_from, to)
        except _Stale as e:
            raise DeliveryFailed(str(e), word="hung_up") from None

    def _unreached(self, error: Exception) -> DeliveryFailed:
        word, words = _unreached(error)
        return DeliveryFailed(f"smarthost {self._smarthost.address}: {words}", word=word)

    def _take(self) -> aiosmtplib.SMTP | None:
        while self._idle:
            smtp, timer = self._idle.pop()
            timer.cancel()
            if smtp.is_connected:
                return smtp
        return None

    def _keep(self, smtp: aiosmtplib.SMTP) -> None:
        timer = asyncio.get_running_loop().call_later(_IDLE_S, self._drop, smtp)
        self._idle.append((smtp, timer))

    def _drop(self, smtp: aiosmtplib.SMTP) -> None:
        self._idle = [(kept, timer) for kept, timer in self._idle if kept is not smtp]
        smtp.close()

    async def _connect(self) -> aiosmtplib.SMTP:
        """Connect, secure and log in. What fails here says nothing about the mail: never final."""
        address = self._smarthost.address
        tls = self._smarthost.tls or ("off" if address.is_loopback else "starttls")
        smtp = aiosmtplib.SMTP(
            hostname=address.host,
            port=address.port,
            username=self._smarthost.login,
            password=self._password,
            local_hostname=self._hello,  # else aiosmtplib asks DNS for our name
            timeout=_TIMEOUT_S,
            use_tls=tls == "on",
            start_tls=tls == "starttls",
        )
        try:
            await smtp.connect()
        except aiosmtplib.SMTPResponseException as e:
            raise DeliveryFailed(f"smarthost: {_said(e)}") from None
        return smtp


class _Stale(Exception):
    """The server left before it took the envelope: nothing was handed over."""


async def _begin(smtp: aiosmtplib.SMTP, envelope_from: str, to: str) -> aiosmtplib.SMTP:
    """Send MAIL and RCPT. On any failure the connection is closed."""
    try:
        options = () if (envelope_from + to).isascii() else await _international(smtp)
        await smtp.mail(envelope_from, options=options, encoding="utf-8")
        await smtp.rcpt(to, encoding="utf-8")
    except aiosmtplib.SMTPServerDisconnected as e:
        smtp.close()
        raise _Stale(str(e)) from None
    except aiosmtplib.SMTPResponseException as e:
        smtp.close()
        if e.code == 421:  # RFC 5321 section 3.8: it is closing, often because we were idle
            raise _Stale(_said(e)) from None
        raise
    except BaseException:
        smtp.close()
        raise
    return smtp


def _unreached(error: Exception) -> tuple[str, str]:
    """Say why a smarthost did not answer. A server's own words may name people, and are left out."""
    cause = error.__cause__ if isinstance(error, aiosmtplib.SMTPConnectError) else error
    if (
        isinstance(cause, OSError) and cause.errno is None
    ):  # several addresses, and asyncio's sentence about all
        each = [int(number) for number in _EACH_ERRNO.findall(str(cause))]
        cause = OSError(each[0], "") if each else cause  # the class is made of the number
    return next((told for kind, told in _UNREACHED.items() if isinstance(cause, kind)), _HUNG_UP)


async def _international(smtp: aiosmtplib.SMTP) -> tuple[str, ...]:
    """Return what MAIL says for an address beyond ASCII. Raises DeliveryFailed where there can be none."""
    if smtp.is_ehlo_or_helo_needed:
        await smtp.ehlo()
    if not smtp.supports_extension("smtputf8"):
        raise DeliveryFailed("the smarthost takes no address beyond ASCII (SMTPUTF8)", is_final=True)
    return _INTERNATIONAL


def _said(e: aiosmtplib.SMTPResponseException) -> str:
    """The server's words without the addresses that they often repeat, on one line."""
    return " ".join(_ADDRESS.sub("<address>", f"{e.code} {e.message}").split())[:300]
