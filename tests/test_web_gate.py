"""Who is refused by the head of a request, and which bodies are read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.web_fakes import BOTH, World, ask, world

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY = f"Authorization: Bearer {BOTH}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
ORDER = '{"to": "+33639981234", "text": "x"}'
IN_CHUNKS = f"{len(ORDER):x}\r\n{ORDER}\r\n0\r\n\r\n"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A served bridge."""
    async with world(tmp_path_factory.mktemp("gate")) as served:
        yield served


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("POST /api/v1/messages", "", 401),
        ("POST /api/v1/nothing", "", 401),
        ("POST /api/v1/messages", KEY.replace("every", "some"), 401),
        ("POST /api/v1/messages", KEY + "Content-Length: 8000001\r\n", 413),
        ("POST /events/sim", "Content-Length: 64001\r\n", 413),
        ("POST /api/v1/messages", KEY + CHUNKED, 411),
        ("POST /healthz", CHUNKED, 411),
        ("POST /events/nobody", CHUNKED, 404),
    ],
)
async def test_who_may_not_is_told_before_the_body(here: World, head: str, body: str, status: int) -> None:
    """The answer comes although nothing of the body has."""
    length = "" if "Content-Length" in body or CHUNKED in body else "Content-Length: 9\r\n"
    request = f"{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{body}{length}\r\n"
    async with asyncio.timeout(10):
        answer = await ask(here.web, request.encode())
    assert answer.startswith(f"HTTP/1.1 {status}".encode())
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("path", ["/api/v1/messages", "/events/nobody"])
async def test_chunks_that_nobody_reads_end_the_connection(here: World, path: str) -> None:
    """Or reading on to the next request would cost what reading them costs."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\n{CHUNKED}\r\n{IN_CHUNKS}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    async with asyncio.timeout(10):
        answer = await ask(here.web, request.encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in answer


async def test_a_connection_outlives_a_refused_body(here: World) -> None:
    """A body whose length is known costs little to pass over."""
    refused = f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ORDER)}\r\n\r\n{ORDER}"
    fine = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(10):
        answer = await ask(here.web, (refused + fine).encode())
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"401", b"200"]


async def test_the_description_and_the_control_socket_need_no_key(here: World) -> None:
    """Who can open the socket is the operator."""
    async with here.http.get("/api/v1/openapi.json") as answer:
        assert answer.status == 200
    async with here.control.get("/api/v1/queue") as answer:
        assert answer.status == 200


async def test_who_leaves_in_the_middle_is_no_failure_of_ours(
    here: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is logged: strangers would fill the log."""
    _, writer = await asyncio.open_connection(here.web.host, here.web.port)
    writer.write(b"POST /events/sim HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
    await writer.drain()
    writer.close()

    async def counted() -> bool:
        async with here.http.get("/metrics") as answer:
            return b'code="400",route="/events/{carrier}"' in await answer.read()

    async with asyncio.timeout(10):
        while not await counted():
            await asyncio.sleep(0.01)
    assert "api_failed" not in "".join(capfd.readouterr())
