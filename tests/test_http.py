"""The HTTP client: sends once, and knows whether the request may have arrived."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mail2sms.http import BODY_LIMIT, Answer, Http, NoAnswer, NotSent

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.close()


@contextlib.asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[str]:
    """A server on this machine; gives its base URL."""
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def answering(answer: bytes, seen: list[bytes], times: int = 1) -> Peer:
    """Reads a request and writes `answer`, `times` times on a connection, then closes it."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            for _ in range(times):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                seen.append(head + await reader.readexactly(length))
                writer.write(answer)
                await writer.drain()
        writer.close()

    return peer


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def test_the_answer_is_returned_whatever_its_status(http: Http) -> None:
    """Statuses are for the caller to judge; header names come in lower case."""
    seen: list[bytes] = []
    raw = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno"
    async with serving(answering(raw, seen)) as url:
        answer = await http.post(f"{url}/a?key=1", body=b"hello", headers={"X-One": "1"})
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, b"no", "7")
    assert answer.retry_after_s == 7
    assert seen[0].startswith(b"POST /a?key=1 HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\nhello")
    assert b"X-One: 1" in seen[0]


async def test_a_redirect_is_an_answer(http: Http) -> None:
    """We go nowhere that the configuration does not name."""
    seen: list[bytes] = []
    raw = b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(raw, seen, times=2)) as url:
        assert (await http.post(url, body=b"")).status == 307
    assert len(seen) == 1


async def test_a_long_answer_is_cut(http: Http) -> None:
    """A server can't fill our memory."""
    raw = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_LIMIT * 3)
    async with serving(answering(raw, [])) as url:
        assert len((await http.post(url, body=b"")).body) == BODY_LIMIT


async def test_connections_are_used_again_in_a_burst(http: Http) -> None:
    """Two requests, one connection."""
    opened: list[object] = []
    reply = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [], times=2)

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        await reply(reader, writer)

    async with serving(peer) as url:
        await http.post(url, body=b"")
        await http.post(url, body=b"")
    assert len(opened) == 1


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "answer",
    [
        b"",  # closed after the request
        b"HTTP/1.1 200 OK\r\n",  # inside the header
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",  # inside the body
        b"\x16\x03\x01 not HTTP at all\r\n\r\n",
    ],
)
async def test_a_lost_answer_is_no_answer_and_never_a_second_request(
    http: Http, method: str, answer: bytes
) -> None:
    """aiohttp repeats idempotent requests by itself; we must not."""
    seen: list[bytes] = []
    async with serving(answering(answer, seen)) as url:
        with pytest.raises(NoAnswer):
            await http.request(method, url, body=b"x")
    assert len(seen) == 1


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_kept_connection_that_breaks_is_no_answer(http: Http, method: str) -> None:
    """The second request may have arrived before the server closed."""
    seen: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", seen)(reader, NeverClosed(writer))
        seen.append(await reader.read(1))
        writer.close()

    async with serving(peer) as url:
        await http.post(url, body=b"")
        with pytest.raises(NoAnswer):
            await http.request(method, url, body=b"x")
    assert len(seen) == 2


class NeverClosed:
    """A writer that `answering` may close without effect."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.write, self.drain = writer.write, writer.drain

    def close(self) -> None:
        """Leave it open."""


async def test_silence_is_no_answer(http: Http) -> None:
    """The total time is bounded."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(peer) as url:
        with pytest.raises(NoAnswer):
            await http.post(url, body=b"", timeout_s=0.05)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/?key=secret",  # refused
        "https://127.0.0.1:{port}/?key=secret",
        "http://192.0.2.1/?key=secret",  # plain http leaves this machine
        "http://127.1/?key=secret",  # nor by a name that only looks like it
        "ftp://127.0.0.1/?key=secret",
        "http:///?key=secret",
        "http://[::1/?key=secret",
        "http://127.0.0.1:99999/?key=secret",
        "https://" + "a" * 64 + ".example/?key=secret",
        "https://a..b/?key=secret",
        "?key=secret",
        "",
    ],
)
async def test_what_never_left_says_so_without_the_url(http: Http, url: str) -> None:
    """The text names the host at most: paths and queries hold keys and numbers."""
    with pytest.raises(NotSent) as e:
        await http.post(url.format(port=free_port()), body=b"")
    assert "secret" not in str(e.value)
    assert e.value.__cause__ is None
    assert e.value.__suppress_context__ or e.value.__context__ is None


async def test_a_server_without_tls_gets_nothing(http: Http) -> None:
    """The handshake fails before the request."""
    seen: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(5))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with serving(peer) as url:
        with pytest.raises(NotSent):
            await http.post(url.replace("http:", "https:"), body=b"x")
    assert [first[:1] for first in seen] == [b"\x16"]  # a TLS handshake


async def test_a_handshake_without_an_answer_is_no_doubt(http: Http) -> None:
    """However little time there is in all: nothing was sent."""
    seen: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(5))
        await reader.read()
        writer.close()

    async with serving(peer) as url:
        with pytest.raises(NotSent):
            await http.post(url.replace("http:", "https:"), body=b"x", timeout_s=0.4)
    assert [first[:1] for first in seen] == [b"\x16"]


async def test_a_header_with_a_line_break_is_not_sent(http: Http) -> None:
    """Whatever a carrier's code puts there."""
    with pytest.raises(NotSent):
        await http.post("http://127.0.0.1:1/", body=b"", headers={"X-One": "1\r\nX-Two: 2"})


async def test_plain_http_elsewhere_only_when_allowed(http: Http) -> None:
    """Refused before a connection; allowed, it is tried."""
    with pytest.raises(NotSent, match="plain http"):
        await http.post("http://printer.example:1/", body=b"")
    with pytest.raises(NotSent, match="connection"):
        await http.post(f"http://127.0.0.1:{free_port()}/", body=b"", allow_plain=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 3 ", 3),
        ("999999999", 86_400),
        ("9" * 40, None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("Tue, 12 May 2026 07:41:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    """RFC 9110 section 10.2.3; a date is not worth a clock here."""
    assert Answer(status=429, headers={"retry-after": value}).retry_after_s == seconds
