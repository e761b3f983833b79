"""Sockets, and what is told when something fails."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from fastapi import FastAPI, Request

from mail2sms.web.app import build
from mail2sms.web.server import WebServer
from tests.web_fakes import LOOPBACK, ask, world


async def test_an_address_in_use_is_an_error() -> None:
    """OSError, and nothing is left open."""
    first = WebServer(FastAPI(), endpoint=LOOPBACK)
    await first.start()
    with pytest.raises(OSError, match="in use"):
        await WebServer(FastAPI(), endpoint=first.addresses[0]).start()
    await first.stop()
    again = WebServer(FastAPI(), endpoint=first.addresses[0])
    await again.start()
    await again.stop()


async def test_the_control_socket(tmp_path: Path) -> None:
    """A stale one is replaced, one in use is not, another file is left alone, and stopping removes it."""
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    first = WebServer(FastAPI(), path=path)
    await first.start()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        await WebServer(FastAPI(), path=path).start()
    await first.stop()
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        await WebServer(FastAPI(), path=path).start()
    assert path.read_text() == "mine"


async def test_the_description_is_ready() -> None:
    """OpenAPI's text is made before anybody can ask for it: it takes longer than one turn of the loop may."""
    app = FastAPI()
    web = WebServer(app, endpoint=LOOPBACK)
    await web.start()
    assert app.openapi_schema is not None
    await web.stop()


async def test_a_failure_of_ours_shows_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """500 as a problem; neither the answer nor the log holds what the exception said or the query."""
    async with world(tmp_path) as here:
        app = build(here.context)

        async def fail(request: Request) -> None:
            raise RuntimeError(f"about +33639981234 {request.url.query}")

        app.add_api_route("/fail", fail)
        web = WebServer(app, endpoint=LOOPBACK)
        await web.start()
        request = b"GET /fail?to=secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await ask(web.addresses[0], request)
        await web.stop()
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"application/problem+json" in answer
    assert b"system.error" in answer
    shown = "".join(capfd.readouterr()).replace("\n", " ")
    assert "api_failed" in shown
    for hidden in ("+33639981234", "secret"):
        assert hidden not in answer.decode() + shown


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000,
    ],
)
async def test_what_is_no_http_is_answered_and_closed(request_: bytes) -> None:
    """400, and the end."""
    web = WebServer(FastAPI(), endpoint=LOOPBACK)
    await web.start()
    async with asyncio.timeout(5):
        assert (await ask(web.addresses[0], request_)).startswith(b"HTTP/1.1 400")
    await web.stop()


async def test_a_request_under_way_is_finished() -> None:
    """Stopping waits for the answer."""
    app, begun, go_on = FastAPI(), asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    app.add_api_route("/slow", slow)
    web = WebServer(app, endpoint=LOOPBACK)
    await web.start()
    answer = asyncio.create_task(ask(web.addresses[0], b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"))
    await begun.wait()
    stopping = asyncio.create_task(web.stop())
    await asyncio.sleep(0)
    go_on.set()
    assert (await answer).endswith(b'"done"')
    await stopping
