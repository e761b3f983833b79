# ruff: noqa: N802  # aiosmtpd finds its hooks by these names
"""The mailer, against a real SMTP server: envelopes, replies, connections that are kept and lost."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from pydantic import ValidationError

from mail2sms.errors import BadOption, DeliveryFailed
from mail2sms.mailer import Mailer, SmarthostOptions

MAIL = b"From: <a@sms.acme.example>\r\nSubject: x\r\n\r\n.one dot\r\n"


class Inbox:
    """An SMTP handler that keeps mails, counts connections, and answers as told."""

    def __init__(self, **replies: str) -> None:
        self.replies = replies
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.helo: list[str] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.options: list[list[str]] = []
        self.drop_after: str = ""

    async def handle_EHLO(
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.helo.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_MAIL(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        self.options.append(options)
        return self._reply(server, "MAIL", "250 OK")

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self._reply(server, "RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return self._reply(server, "DATA", "250 taken")

    def login(self, server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Take one password."""
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)

    def _reply(self, server: SMTP, verb: str, good: str) -> str:
        if self.drop_after == verb:
            server.transport.abort()
        return self.replies.get(verb, good)


@contextlib.asynccontextmanager
async def serving(inbox: Inbox, **settings: Any) -> AsyncIterator[int]:
    """An SMTP server on this machine; gives its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, loop=loop, **settings), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def mailing(port: int, **options: str) -> AsyncIterator[Mailer]:
    """A mailer to that port."""
    read = SmarthostOptions.model_validate({"address": f"127.0.0.1:{port}", **options})
    mailer = Mailer(read, hello="sms.acme.example")
    try:
        yield mailer
    finally:
        await mailer.close()


async def failure(mailer: Mailer, to: str = "marie@acme.example") -> DeliveryFailed:
    """Return how a mail fails."""
    with pytest.raises(DeliveryFailed) as e:
        await mailer.deliver(MAIL, "", to)
    return e.value


async def test_a_mail_arrives_with_its_envelope_and_every_byte() -> None:
    """The reply address as envelope sender; a dot in front of a line survives."""
    inbox = Inbox()
    async with serving(inbox) as port, mailing(port) as mailer:
        await mailer.deliver(MAIL, "33639981234+rabc@sms.acme.example", "marie@acme.example")
    assert inbox.mails == [("33639981234+rabc@sms.acme.example", ["marie@acme.example"], MAIL)]
    assert inbox.helo == ["sms.acme.example"]


async def test_a_notice_has_the_null_sender() -> None:
    """MAIL FROM:<>: nobody bounces it back."""
    inbox = Inbox()
    async with serving(inbox) as port, mailing(port) as mailer:
        await mailer.deliver(MAIL, "", "marie@acme.example")
    assert inbox.mails[0][0] == "<>"  # as aiosmtpd says it


async def test_an_address_beyond_ascii_goes_to_who_takes_it() -> None:
    """RFC 6531: MAIL says so, and the mail's header may be UTF-8; other mails of the connection say nothing."""
    inbox, mail = Inbox(), MAIL.replace(b"x", "é".encode(), 1)
    async with serving(inbox, enable_SMTPUTF8=True) as port, mailing(port) as mailer:
        await mailer.deliver(mail, "", "zoé@xn--exmple-cua.fr")
        await mailer.deliver(MAIL, "", "marie@acme.example")
    assert inbox.mails[0][1:] == (["zoé@xn--exmple-cua.fr"], mail)
    assert inbox.options == [["SMTPUTF8", "BODY=8BITMIME"], []]
    assert len(inbox.helo) == 1


async def test_a_smarthost_that_knows_only_ascii_is_not_asked() -> None:
    """It never will: told at once. The connection serves the next mail."""
    inbox = Inbox()
    async with serving(inbox) as port, mailing(port) as mailer:
        failed = await failure(mailer, "zoé@acme.example")
        assert (failed.is_final, "SMTPUTF8" in failed.detail, "zo" in failed.detail) == (True, True, False)
        await mailer.deliver(MAIL, "", "marie@acme.example")
    assert [to for _, to, _ in inbox.mails] == [["marie@acme.example"]]


async def test_a_burst_uses_one_connection_and_never_more_than_two() -> None:
    """One after the other: one; many at once: two."""
    inbox = Inbox()
    async with serving(inbox) as port, mailing(port) as mailer:
        for _ in range(5):
            await mailer.deliver(MAIL, "", "marie@acme.example")
        assert len(inbox.helo) == 1
        await asyncio.gather(*(mailer.deliver(MAIL, "", "marie@acme.example") for _ in range(20)))
    assert len(inbox.mails) == 25
    assert len(inbox.helo) == 2


async def test_a_connection_that_went_stale_is_replaced() -> None:
    """The server closed it while it was idle, noticed or not."""
    inbox = Inbox()
    async with serving(inbox) as port, mailing(port) as mailer:
        await mailer.deliver(MAIL, "", "marie@acme.example")
        inbox.drop_after = "MAIL"
        second = asyncio.create_task(mailer.deliver(MAIL, "", "marie@acme.example"))
        while len(inbox.helo) < 2:  # the kept connection broke at MAIL; a new one says hello
            await asyncio.sleep(0)
        inbox.drop_after = ""
        await second
    assert len(inbox.mails) == 2


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("reply", "is_final"),
    [
        ("550 5.1.1 no mailbox", True),
        ("552 5.2.2 full for ever", True),
        ("452 4.2.2 full", False),
        ("421 4.3.2 going down", False),
        ("530 5.7.0 log in first", False),
        ("535 5.7.8 who are you", False),
        ("554 5.7.1 spam", True),
    ],
)
async def test_a_5xx_about_the_mail_is_final_and_the_rest_is_not(
    verb: str, reply: str, is_final: bool
) -> None:
    """The server's words are kept for the operator."""
    async with serving(Inbox(**{verb: reply})) as port, mailing(port) as mailer:
        failed = await failure(mailer)
    assert failed.is_final is is_final
    assert reply in failed.detail


async def test_the_detail_names_nobody() -> None:
    """Servers repeat the address; it must not reach a log."""
    async with (
        serving(Inbox(RCPT="550 5.1.1 <marie@acme.example>: unknown")) as port,
        mailing(port) as mailer,
    ):
        failed = await failure(mailer)
    assert failed.detail == "550 5.1.1 <<address>>: unknown"
    assert failed.__suppress_context__


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
async def test_a_connection_lost_under_way_is_tried_again_later(verb: str) -> None:
    """Even after DATA: the copy has the same Message-ID."""
    inbox = Inbox()
    inbox.drop_after = verb
    async with serving(inbox) as port, mailing(port) as mailer:
        assert not (await failure(mailer)).is_final
        inbox.drop_after = ""
        await mailer.deliver(MAIL, "", "marie@acme.example")
    assert inbox.mails[-1][1] == ["marie@acme.example"]


async def test_a_smarthost_that_is_down_is_tried_again_later() -> None:
    """Refused connections and broken greetings say nothing about the mail."""
    async with mailing(1) as mailer:
        assert not (await failure(mailer)).is_final

    async def unwelcoming(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 5.3.2 not today\r\n")
        writer.close()

    server = await asyncio.start_server(unwelcoming, "127.0.0.1", 0)
    async with mailing(server.sockets[0].getsockname()[1]) as mailer:
        assert not (await failure(mailer)).is_final
    server.close()


@pytest.mark.parametrize(
    "to", ["émile@acme.example", "a\r\nRCPT TO:<b@c>@acme.example", "a b@\x00", "b@c (d)", "b@c, d@e"]
)
async def test_an_address_that_no_command_can_hold_is_final(to: str) -> None:
    """Nothing of it reaches the server."""
    inbox = Inbox()
    async with serving(inbox) as port, mailing(port) as mailer:
        assert (await failure(mailer, to)).is_final
    assert inbox.mails == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_login(tmp_path: Path) -> None:
    """A wrong password is the operator's to mend: the mail waits."""
    secret = tmp_path / "password"
    secret.write_text("right\n")
    inbox = Inbox()
    settings = {"authenticator": inbox.login, "auth_required": True, "auth_require_tls": False}
    async with serving(inbox, **settings) as port:
        async with mailing(port, login="sms", password=f"file:{secret}") as mailer:
            await mailer.deliver(MAIL, "", "marie@acme.example")
        async with mailing(port, login="sms", password="wrong") as mailer:
            assert not (await failure(mailer)).is_final
        async with mailing(port) as mailer:
            assert not (await failure(mailer)).is_final
    assert inbox.logins[0] == (b"sms", b"right")
    assert len(inbox.mails) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that only we trust, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_starttls_is_asked_for_and_the_certificate_checked(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An untrusted certificate, or no TLS at all, keeps the mail here."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    inbox = Inbox()
    async with serving(inbox, tls_context=context, require_starttls=True) as port:
        async with mailing(port, tls="starttls") as mailer:
            failed = await failure(mailer)
            assert not failed.is_final
            assert failed.detail == f"smarthost 127.0.0.1:{port}: its certificate is not accepted here"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        async with mailing(port, tls="starttls") as mailer:
            await mailer.deliver(MAIL, "", "marie@acme.example")
    async with serving(inbox) as port, mailing(port, tls="starttls") as mailer:
        failed = await failure(mailer)
        assert not failed.is_final
        assert "does not offer the TLS" in failed.detail
    assert len(inbox.mails) == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"login": "sms"}, "together"),
        ({"password": "x"}, "together"),
        ({"login": "sms", "password": "x", "tls": "off"}, "starttls"),
        ({"tls": "maybe"}, "off"),
        ({"adress": "x"}, "adress"),
    ],
)
def test_options_that_cannot_be(options: dict[str, str], why: str) -> None:
    """A password never travels in the clear."""
    with pytest.raises(ValidationError, match=why):
        SmarthostOptions.model_validate({"address": "smtp.acme.example:587", **options})


def test_a_password_that_cannot_be_read_is_told_at_start(tmp_path: Path) -> None:
    """Not with the first mail."""
    options = SmarthostOptions.model_validate(
        {"address": "127.0.0.1:25", "login": "sms", "password": f"file:{tmp_path}/none"}
    )
    with pytest.raises(BadOption):
        Mailer(options)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ConnectionRefusedError(111, "x"), "nothing_listens"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] x"), "nothing_listens"),
        (OSError(113, "No route to host"), "unreached"),
        (socket.gaierror(-2, "Name or service not known"), "name_unknown"),
        (TimeoutError(), "no_answer"),
        (ssl.SSLCertVerificationError(1, "self-signed"), "certificate"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "tls"),
        (aiosmtplib.SMTPServerDisconnected("marie@acme.example"), "hung_up"),
    ],
)
async def test_why_a_smarthost_is_not_reached(
    error: Exception, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has a word for each, the operator a sentence of its own."""

    async def fail(*_: object) -> None:
        raise aiosmtplib.SMTPConnectError("x") from error

    monkeypatch.setattr(aiosmtplib.SMTP, "connect", fail)
    async with mailing(25) as mailer:
        failed = await failure(mailer)
    assert (failed.word, failed.is_final) == (word, False)
    assert failed.detail.startswith("smarthost 127.0.0.1:25: ")
    assert "marie" not in failed.detail


async def test_nothing_listens_there() -> None:
    """A port that was just closed, and a name that nobody has."""
    async with serving(Inbox()) as port:
        pass
    for host, word in (("localhost", "nothing_listens"), ("nobody.invalid", "name_unknown")):
        async with mailing(port, address=f"{host}:{port}", tls="off") as mailer:
            assert (await failure(mailer)).word == word
