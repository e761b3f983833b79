"""Clients that are many, slow or wordy: what one of them may cost."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from fastapi import FastAPI, Request

from mail2sms.endpoint import Endpoint
from mail2sms.web import connection, server
from mail2sms.web.connection import peer_of
from mail2sms.web.server import WebServer
from tests.web_fakes import LOOPBACK, ask, until, world

GET = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def served(
    app: FastAPI | None = None, exempt: Callable[[str], bool] = lambda ip: False
) -> AsyncIterator[Endpoint]:
    """Serve an application."""
    web = WebServer(app or FastAPI(), endpoint=LOOPBACK, exempt=exempt)
    await web.start()
    try:
        yield web.addresses[0]
    finally:
        await web.stop()


async def connect(web: Endpoint, source: str = "127.0.0.1") -> Client:
    """Open a connection and have a first request answered, so that it counts."""
    client = await asyncio.open_connection(web.host, web.port, local_addr=(source, 0))
    assert await is_open(client)
    return client


async def is_open(client: Client) -> bool:
    """Whether the server still answers on it."""
    reader, writer = client
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 404")
    except (ConnectionResetError, asyncio.IncompleteReadError):
        return False


async def longest_turn_s(work: Awaitable[object]) -> float:
    """Return the most CPU that one turn of the loop took while `work` was done."""
    task = asyncio.ensure_future(work)
    longest_s, before_s = 0.0, time.thread_time()
    while not task.done():
        await asyncio.sleep(0)
        now_s = time.thread_time()
        longest_s, before_s = max(longest_s, now_s - before_s), now_s
    await task
    return longest_s


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    "request_",
    [
        CHUNKED % b"/api/v1/messages" + b"1\r\nx\r\n" * 200_000,
        CHUNKED % b"/events/sim" + b"1\r\nx\r\n" * 200_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 60_000 + b"\r\n",
    ],
)
def test_no_turn_of_the_loop_is_long(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], request_: bytes
) -> None:
    """Neither chunks nor headers of one byte hold up the others, and soon nobody reads on."""

    async def attack() -> tuple[float, float]:
        async with world(tmp_path) as here, asyncio.timeout(20):
            await ask(here.web, LAST)
            before_s = time.thread_time()
            longest_s = await longest_turn_s(ask(here.web, request_))
            return longest_s, time.thread_time() - before_s

    with asyncio.Runner(loop_factory=loop) as runner:
        longest_s, all_s = runner.run(attack())
    assert longest_s < 0.05
    assert all_s < 0.5


@pytest.mark.parametrize(("chunks", "status"), [(10, b"HTTP/1.1 200"), (900, b"HTTP/1.1 200"), (2000, b"")])
async def test_a_carrier_may_send_some_chunks(chunks: int, status: bytes) -> None:
    """So do some proxies; more than a thousand are an attack."""
    app = FastAPI()

    async def take(request: Request) -> int:
        return len(await request.body())

    app.add_api_route("/events/x", take, methods=["POST"])
    async with served(app) as web, asyncio.timeout(10):
        head = (CHUNKED % b"/events/x").replace(b"Host", b"Connection: close\r\nHost")
        answer = await ask(web, head + b"2\r\nxx\r\n" * chunks + b"0\r\n\r\n")
    assert answer.startswith(status)
    assert not answer or answer.endswith(b"%d" % (2 * chunks))


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("length", [0, 2047, 2048, 2049, 70_000, 250_000])
def test_long_bodies_arrive_whole(loop: Callable[[], asyncio.AbstractEventLoop], length: int) -> None:
    """Slice by slice, however they are cut, and the next request on the connection too."""
    app = FastAPI()

    async def take(request: Request) -> int:
        await asyncio.sleep(0)
        return len(await request.body())

    app.add_api_route("/", take, methods=["POST"])
    request = b"POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" + b"x" * length

    async def post() -> bytes:
        async with served(app) as web, asyncio.timeout(10):
            return await ask(web, request % (b"", length) * 3 + request % (b"Connection: close\r\n", length))

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(post()).count(b"\r\n\r\n%d" % length) == 4


async def test_who_dawdles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a head, or nothing at all, does not hold a connection for ever."""
    monkeypatch.setattr(connection, "_HEAD_S", 0)
    async with served() as web, asyncio.timeout(10):
        for start in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            assert await ask(web, start) == b""


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A thousand requests, and none of the answers is read; stopping has nothing to wait for."""
    monkeypatch.setattr(connection, "_UNREAD_S", 0)

    async def dawdle() -> None:
        async with served() as web:
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, (web.host, web.port))
                client.send(GET * 1000)
                hung_up = select.poll()
                hung_up.register(client, 0)

                async def is_cut() -> bool:
                    return bool(hung_up.poll(0))

                await until(is_cut)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(dawdle())


async def test_a_slow_reader_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads, be it late, gets everything."""
    monkeypatch.setattr(connection, "_HEAD_S", 0)
    monkeypatch.setattr(server, "_KEEP_ALIVE_S", 0)
    app = FastAPI()

    async def long() -> str:
        return "x" * 8_000_000

    app.add_api_route("/long", long)
    async with served(app) as web, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(web.host, web.port, limit=1000)
        writer.write(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(1.5)  # the server looks once a second
        await reader.readuntil(b"\r\n\r\n")
        assert len(await reader.readexactly(8_000_002)) == 8_000_002
        writer.close()


async def test_the_one_that_has_idled_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connect and say nothing, a newcomer is answered."""
    monkeypatch.setattr(connection, "_CONNECTIONS", 3)
    async with served() as web, asyncio.timeout(10):
        clients = [await connect(web) for _ in range(4)]
        assert await is_open(clients[1])  # which makes it the youngest
        silent = [await asyncio.open_connection(web.host, web.port) for _ in range(2)]
        assert [await is_open(client) for client in clients] == [False, True, False, False]
        for _ in range(20):
            silent.append(await asyncio.open_connection(web.host, web.port))
        assert (await ask(web, LAST)).startswith(b"HTTP/1.1 404")
        for _, writer in clients + silent:
            writer.close()


async def test_who_is_being_answered_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all are busy, the newcomer goes; who has not sent all of a body is not busy."""
    monkeypatch.setattr(connection, "_CONNECTIONS", 1)
    app, begun, go_on = FastAPI(), asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> str:
        begun.set()
        await go_on.wait()
        return "done"

    app.add_api_route("/slow", slow, methods=["POST"])
    async with served(app) as web, asyncio.timeout(10):
        half = asyncio.create_task(ask(web, b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nx"))
        await begun.wait()
        begun.clear()
        busy = asyncio.create_task(ask(web, LAST.replace(b"GET / ", b"POST /slow ")))
        await begun.wait()
        assert await half == b""
        assert await ask(web, LAST) == b""
        go_on.set()
        assert (await busy).endswith(b'"done"')


async def test_one_address_has_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many costs an address its own oldest connection, and nobody else's."""
    monkeypatch.setattr(connection, "_PER_PEER", 2)
    monkeypatch.setattr(connection, "peer_of", str)  # without the exemption of loopback
    async with served() as web, asyncio.timeout(10):
        other = await connect(web, "127.0.0.2")
        clients = [await connect(web) for _ in range(3)]
        assert [await is_open(client) for client in (other, *clients)] == [True, False, True, True]
        for _, writer in (other, *clients):
            writer.close()


async def test_networks_of_senders_have_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """A booking system keeps as many connections as it likes, up to the total."""
    monkeypatch.setattr(connection, "_PER_PEER", 2)
    monkeypatch.setattr(connection, "peer_of", str)
    async with served(exempt="127.0.0.1".__eq__) as web, asyncio.timeout(10):
        clients = [await connect(web) for _ in range(4)]
        assert [await is_open(client) for client in clients] == [True] * 4
        for _, writer in clients:
            writer.close()


async def test_the_crowd_makes_room_not_the_single_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all is full, the address with the most connections gives one of its own."""
    monkeypatch.setattr(connection, "_CONNECTIONS", 3)
    monkeypatch.setattr(connection, "peer_of", str)
    async with served() as web, asyncio.timeout(10):
        oldest = await connect(web, "127.0.0.2")
        clients = [await connect(web) for _ in range(3)]
        assert [await is_open(client) for client in (oldest, *clients)] == [True, False, True, True]
        for _, writer in (oldest, *clients):
            writer.close()


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", ""),
        ("127.8.9.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("2001:db8::1", "20010db800000000::/64"),
        ("2001:db8::ffff:1", "20010db800000000::/64"),
        ("2001:db8:0:1::1", "20010db800000001::/64"),
        ("fe80::1%eth0", "fe80000000000000::/64"),
    ],
)
def test_who_counts_as_one_client(host: str, peer: str) -> None:
    """An IPv6 customer has a whole /64; this machine is nobody, for a proxy brings everybody."""
    assert peer_of(host) == peer
