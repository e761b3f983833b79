"""The listener for old devices, TLS from the start, and what is mended there and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import socket
import ssl
import warnings
from pathlib import Path

import pytest
import uvloop

from mail2sms import certificates
from mail2sms.config.schema import TlsOptions
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.smtp_syntax import Collector
from tests.listening import BEGIN, GREETING, MAIL, Place, running

PLAIN = base64.b64encode(b"\0marie@acme.example\0tr0mpette").decode()


def _options(certificate: tuple[Path, Path]) -> TlsOptions:
    return TlsOptions.model_validate({"certificate": str(certificate[0]), "key": str(certificate[1])})


@pytest.fixture
def legacy(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """The devices' side of our TLS."""
    return certificates.load(_options(certificate)).legacy


@pytest.fixture
def old_device() -> ssl.SSLContext:
    """A device that knows nothing newer than TLS 1.0, and verifies nothing."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1
    made.set_ciphers("ALL:@SECLEVEL=0")
    return made


async def test_a_password_in_clear_is_taken_from_devices_only() -> None:
    """AUTH is offered without TLS there; elsewhere it is not even without STARTTLS."""
    async with running(login="optional", is_lenient=True) as place:
        caller = await place.call()
        assert "AUTH PLAIN LOGIN" in await caller.say("EHLO printer")
        assert await caller.say(f"AUTH PLAIN {PLAIN}") == "235 2.7.0 logged in"
        await caller.say(BEGIN.decode().partition("\r\n")[0])
        assert place.desk.begun[0][0].login == "marie@acme.example"
    async with running(login="optional") as place:
        caller = await place.call()
        assert "AUTH" not in await caller.say("EHLO printer")
        assert (await caller.say(f"AUTH PLAIN {PLAIN}"))[:3] == "502"


def _send(place: Place, context: ssl.SSLContext, *, is_implicit: bool) -> str | None:
    client: smtplib.SMTP
    if is_implicit:
        client = smtplib.SMTP_SSL("127.0.0.1", place.port, "ups", timeout=20, context=context)
    else:
        client = smtplib.SMTP("127.0.0.1", place.port, "ups", timeout=20)
        client.starttls(context=context)
    with client:
        client.login("marie@acme.example", "tr0mpette")
        client.sendmail("marie@acme.example", ["33639981234@sms.acme.example"], MAIL)
        assert isinstance(client.sock, ssl.SSLSocket)
        return client.sock.version()


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop])
@pytest.mark.parametrize("tls", ["offered", "implicit"])
def test_old_tls(tls: str, legacy: ssl.SSLContext, old_device: ssl.SSLContext, factory: None) -> None:
    """TLS 1.0, by STARTTLS and from the start, on asyncio's loop and on uvloop; new devices speak what is new."""

    async def talk() -> None:
        async with running(tls=tls, login="required", context=legacy, is_lenient=True) as place:
            new = ssl.create_default_context()
            new.check_hostname, new.verify_mode = False, ssl.CERT_NONE
            is_implicit = tls == "implicit"
            assert await asyncio.to_thread(_send, place, old_device, is_implicit=is_implicit) == "TLSv1"
            assert await asyncio.to_thread(_send, place, new, is_implicit=is_implicit) == "TLSv1.3"
            assert [mail.client.login for mail in place.desk.mails] == ["marie@acme.example"] * 2

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(talk())


@pytest.mark.parametrize("tls", ["required", "implicit"])
async def test_old_tls_is_refused_elsewhere(
    tls: str, certificate: tuple[Path, Path], old_device: ssl.SSLContext
) -> None:
    """The other listeners of the same daemon have another context."""
    modern = certificates.load(_options(certificate)).modern
    async with running(tls=tls, context=modern) as place:
        with pytest.raises(ssl.SSLError):
            await asyncio.to_thread(_send, place, old_device, is_implicit=tls == "implicit")
        assert place.desk.mails == []


async def test_implicit_tls_is_the_first_thing_said(context: ssl.SSLContext) -> None:
    """Who speaks SMTP at once is no TLS client; nothing of it is heard, and its place is free again."""
    async with running(Limits(connections=2), tls="implicit", login="required", context=context) as place:
        caller = await place.call(greeting="")
        assert (await caller.replies(b"EHLO me\r\n" + BEGIN)) == []
        assert place.listener.budget.connections == 0
        assert place.desk.begun == []


async def test_implicit_tls_has_all_of_the_session(
    context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Greeting, no STARTTLS, a login; who talks in it before the greeting is refused as without TLS."""
    async with running(tls="implicit", login="required", context=context) as place:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", place.port, ssl=client_context, server_hostname="localhost"
        )
        assert (await reader.readline()).decode() == f"{GREETING}\r\n"
        writer.write(b"EHLO me\r\nMAIL FROM:<a@b.example>\r\nSTARTTLS\r\nQUIT\r\n")
        said = (await reader.read()).decode()
        assert "AUTH PLAIN LOGIN" in said
        assert "250-STARTTLS" not in said
        assert said.splitlines()[-3:] == [
            "530 5.7.0 log in first",
            "502 5.5.1 TLS is not available",
            "221 2.0.0 bye",
        ]
        writer.close()


async def test_a_full_house_is_told_before_the_handshake(context: ssl.SSLContext) -> None:
    """A handshake costs; what it would cost for nothing is not begun."""
    async with running(Limits(per_ip=1), tls="implicit", context=context) as place:
        await place.call(greeting="")
        second = await place.call(greeting="")
        assert (await second.reply()).startswith("421 4.7.0 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"From: a@b.example\nSubject: x\n\nBonjour\n.hidden\n\r\n",
        b"From: a@b.example\r\r\nSubject: x\r\r\n\r\r\nBonjour\r\r\n.hidden\r\r\n\r\n",
        b"From: a@b.example\rSubject: x\r\rBonjour\r.hidden\r\r\n",
        b"From: a@b.example\r\nSubject: x\0\r\n\r\nBon\0jour\r\n..hidden\r\n\r\n",
    ],
    ids=repr,
)
async def test_line_ends_of_devices_are_mended(sent: bytes) -> None:
    """Whatever ends a line becomes CRLF, NUL goes, and a dot that was doubled is single again."""
    expected = b"From: a@b.example\r\nSubject: x\r\n\r\nBonjour\r\n"
    async with running(is_lenient=True) as place:
        caller = await place.call()
        await caller.start_mail()
        assert (await caller.say(sent + b".\r\n"))[:3] == "250"
        (mail,) = place.desk.mails
        assert mail.content.startswith(expected)
        assert mail.content[len(expected) :].strip(b"\r\n") in {b"hidden", b".hidden"}
    async with running() as place:
        caller = await place.call()
        await caller.start_mail()
        assert (await caller.say(sent + b".\r\n")).startswith("554 5.5.2 ")
        assert place.desk.mails == []


async def test_commands_of_devices_may_end_with_lf() -> None:
    """Or with a CR too many; control characters within are refused there as well."""
    async with running(is_lenient=True) as place:
        caller = await place.call()
        assert (await caller.say(b"EHLO ups\n"))[:3] == "250"
        assert (await caller.say(b"NOOP\r\r\n"))[:3] == "250"
        for line in (b"NO\rOP\r\n", b"NOOP\0\n", b"MAIL FROM:<a\rRSET@b.example>\n"):
            assert (await caller.say(line)).startswith("500 5.5.2"), line


def test_a_mail_of_line_ends_is_mended() -> None:
    """A megabyte of line ends, each alone."""
    mended = Collector(Budget(Limits()), is_trusted=True, is_lenient=True)
    assert mended.feed(b"\n" * 500_000 + b"\r" * 400_000 + b"x\r\n.\r\n")
    assert mended.content() == b"\r\n" * 900_000 + b"x\r\n"


def test_a_unix_socket_is_of_this_machine(tmp_path: Path) -> None:
    """Who comes by it has the address of this machine, for the networks of `senders`."""
    from mail2sms.endpoint import Endpoint
    from mail2sms.intake.envelope import ListenerOptions
    from mail2sms.intake.listener import listen
    from tests.listening import HOST, Desk

    async def talk(path: str) -> None:
        desk = Desk()
        listener = await listen(
            Endpoint(path, 0),
            ListenerOptions(hostname=HOST, is_lmtp=True),
            Budget(Limits()),
            desk,
            lambda ip: False,
        )
        assert str(listener.addresses[0]) == f"unix:{path}"
        assert Path(path).stat().st_mode & 0o777 == 0o666
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, path)
            said = await loop.sock_recv(client, 1000)
            assert said.decode() == f"220 {HOST} LMTP mail2sms\r\n"
            await loop.sock_sendall(client, b"LHLO me\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n")
            while b"221" not in said:
                said += await loop.sock_recv(client, 1000)
        assert [client.ip for client, _ in desk.begun] == ["127.0.0.1"]
        await listener.stop(1)

    for number, factory in enumerate((None, uvloop.new_event_loop)):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(talk(f"{tmp_path}/{number}"))
