"""The PROXY protocol: whom a load balancer brings is the client, and nobody else is believed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from ipaddress import ip_network

import pytest
import uvloop

from mail2sms.intake.limits import Limits
from mail2sms.intake.proxy import NotIntroduced, client_ip, missing_bytes
from tests.listening import GREETING, MAIL, Caller, Place, running

BALANCER = "127.0.0.2"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(source: str, *, command: int = 0x21, more: bytes = b"") -> bytes:
    """A header of version 2 for a TCP client."""
    family, kind = (socket.AF_INET6, 0x21) if ":" in source else (socket.AF_INET, 0x11)
    address = socket.inet_pton(family, source)
    rest = address + address + (1234).to_bytes(2, "big") + (25).to_bytes(2, "big") + more
    return V2 + bytes([command, kind]) + len(rest).to_bytes(2, "big") + rest


@pytest.mark.parametrize(
    ("head", "ip"),
    [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 5000 25\r\n", "203.0.113.9"),
        (b"PROXY TCP6 2001:DB8::9 2001:db8::1 5000 25\r\n", "2001:db8::9"),
        (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 5000 25\r\n", "203.0.113.9"),
        (b"PROXY UNKNOWN\r\n", ""),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff 65535 65535\r\n", ""),
        (v2("203.0.113.9"), "203.0.113.9"),
        (v2("2001:db8::9"), "2001:db8::9"),
        (v2("::ffff:203.0.113.9"), "203.0.113.9"),
        (v2("203.0.113.9", more=b"\x04\0\x05hello" * 100), "203.0.113.9"),
        (V2 + b"\x20\0\0\0", ""),
    ],
)
def test_headers(head: bytes, ip: str) -> None:
    """Read to the last byte, never further, wherever it is cut."""
    for cut in range(len(head)):
        assert 0 < missing_bytes(head[:cut]) <= len(head) - cut, cut
    assert missing_bytes(head) == 0
    assert client_ip(head) == ip


@pytest.mark.parametrize(
    "head",
    [
        b"EHLO me\r\n",
        b"PROXY\r\n",
        b"proxy TCP4 203.0.113.9 10.0.0.1 5000 25\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 5000 25\n",
        b"PROXY TCP4 203.0.113.9\r\n",
        b"PROXY TCP4 203.0.113.900 10.0.0.1 5000 25\r\n",
        b"PROXY TCP4 2001:db8::9 10.0.0.1 5000 25\r\n",
        b"PROXY TCP6 203.0.113.9 10.0.0.1 5000 25\r\n",
        b"PROXY TCP4  203.0.113.9 10.0.0.1 5000 25\r\n",
        b"PROXY UDP4 203.0.113.9 10.0.0.1 5000 25\r\n",
        b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
        V2[:-1] + b"x",
        V2 + b"\x21\x11\0\x04abcd",
        V2 + b"\x21\x31" + (216).to_bytes(2, "big") + b"/" * 216,
        V2 + b"\x21\x12" + (12).to_bytes(2, "big") + b"x" * 12,
        V2 + b"\x21\0\0\0",
        V2 + b"\x31\x11" + (12).to_bytes(2, "big") + b"x" * 12,
        V2 + b"\x21\x11\xff\xff",
    ],
    ids=repr,
)
def test_what_is_no_header(head: bytes) -> None:
    """Another protocol, a missing or a bad address, what is no TCP."""
    with pytest.raises(NotIntroduced):
        if not missing_bytes(head[:6]) or not missing_bytes(head):
            client_ip(head)


async def introduced(place: Place, header: bytes, ip: str = BALANCER) -> Caller:
    """Come through a load balancer, and hear the greeting."""
    caller = await place.call(ip, greeting="")
    caller.writer.write(header)
    assert await caller.reply() == GREETING
    return caller


PROXIES = (ip_network(BALANCER),)


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop])
@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.9 10.0.0.1 5000 25\r\n", v2("203.0.113.9")])
def test_the_client_is_who_is_brought(header: bytes, factory: None) -> None:
    """For the handler, the exemption, and the limit of one address; whatever came with the header is not lost."""

    async def talk() -> None:
        asked: list[str] = []

        def is_exempt(ip: str) -> bool:
            asked.append(ip)
            return False

        async with running(Limits(per_ip=2), is_exempt, proxies=PROXIES) as place:
            first, _ = [await introduced(place, header) for _ in range(2)]
            third = await place.call(BALANCER, greeting="")
            assert (await third.say(header)).startswith("421 4.7.0 ")
            other = await introduced(
                place, header.replace(b"113.9", b"113.8").replace(b"\x71\x09", b"\x71\x08")
            )
            assert (await other.say("NOOP"))[:3] == "250"
            await first.start_mail()
            await first.say(MAIL + b".\r\n")
            assert place.desk.mails[0].client.ip == "203.0.113.9"
            assert set(asked) == {"203.0.113.9", "203.0.113.8"}

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(talk())


async def test_a_header_may_come_in_pieces() -> None:
    """Byte by byte; what is in the same packet after it came before the greeting."""
    async with running(proxies=PROXIES) as place:
        caller = await place.call(BALANCER, greeting="")
        for byte in v2("203.0.113.9"):
            caller.writer.write(bytes([byte]))
            await caller.writer.drain()
        assert await caller.reply() == GREETING
        early = await place.call(BALANCER, greeting="")
        assert (await early.say(v2("203.0.113.9") + b"EHLO me\r\n")).startswith("554 5.5.0 ")


async def test_nobody_else_is_believed() -> None:
    """A header from elsewhere is early talk, or no command; whoever is believed must have one."""
    async with running(proxies=PROXIES) as place:
        liar = await place.call(greeting="")
        said = await liar.replies(v2("10.0.0.1") + b"\r\nQUIT\r\n")
        assert {reply[:3] for reply in said} in ({"554"}, {"220", "500", "221"}), said
        later = await place.call()
        assert (await later.say("PROXY TCP4 10.0.0.1 10.0.0.1 5000 25")).startswith("500 5.5.1")
        await later.start_mail()
        await later.say(MAIL + b".\r\n")
        assert place.desk.mails[0].client.ip == "127.0.0.1"
        plain = await place.call(BALANCER, greeting="")
        with contextlib.suppress(ConnectionResetError):  # cut off, with what it said unread
            assert await plain.replies(b"EHLO me\r\n") == []
        assert len(place.desk.begun) == 1
    async with running() as place:
        liar = await place.call(BALANCER, greeting="")
        assert [r[:3] for r in await liar.replies(v2("10.0.0.1") + b"\r\nQUIT\r\n")][-1] in {"554", "221"}
        assert [client for client, _ in place.desk.begun] == []


async def test_a_balancer_that_names_nobody_proves_nothing() -> None:
    """Its own health checks are greeted, but its address counts for no network of `senders`."""
    async with running(exempt=lambda ip: ip == BALANCER, proxies=PROXIES) as place:
        for header in (b"PROXY UNKNOWN\r\n", V2 + b"\x20\0\0\0"):
            caller = await introduced(place, header)
            await caller.start_mail()
            await caller.say(MAIL + b".\r\n")
        assert [mail.client.ip for mail in place.desk.mails] == ["", ""]
        assert not any(session.is_exempt for session in place.listener._sessions)


async def test_connections_that_bring_nobody_are_counted_and_end() -> None:
    """They take of the total while they are silent, and give it back."""
    async with running(Limits(connections=2), proxies=PROXIES) as place:
        silent = [await place.call(BALANCER, greeting="") for _ in range(2)]
        third = await place.call(BALANCER, greeting="")
        assert await third.reply() == ""
        assert place.listener.budget.connections == 2
        for caller in silent:
            caller.writer.close()
        async with asyncio.timeout(5):
            while place.listener.budget.connections:
                await asyncio.sleep(0)
        waiting = await place.call(BALANCER, greeting="")
        await place.listener.stop(1)
        assert await waiting.reply() == ""


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop])
def test_implicit_tls_behind_a_balancer(
    context: ssl.SSLContext, client_context: ssl.SSLContext, factory: None
) -> None:
    """The handshake may come in the same packet as the header."""

    async def talk() -> None:
        async with running(tls="implicit", context=context, proxies=PROXIES) as place:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            hello = client_context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                hello.do_handshake()
            caller = await place.call(BALANCER, greeting="")
            caller.writer.write(v2("203.0.113.9") + outgoing.read())
            said = b""
            while not said:
                incoming.write(await caller.reader.read(4096))
                try:
                    hello.do_handshake()
                    caller.writer.write(outgoing.read())
                    said = hello.read(1000)
                except ssl.SSLWantReadError:
                    caller.writer.write(outgoing.read())
            assert said.decode() == f"{GREETING}\r\n"

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(talk())
