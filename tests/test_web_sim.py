"""The simulated phones over HTTP, and who may touch them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mail2sms.web.app import build
from tests.web_fakes import World, ask, until, world

pytestmark = pytest.mark.asyncio(loop_scope="module")
PHONE = "/sim/phones/+33639981234"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A served bridge."""
    async with world(tmp_path_factory.mktemp("sim")) as served:
        yield served


async def test_the_phone_shows_what_was_sent_and_writes_back(here: World) -> None:
    """However its number is written; the answer is stored when 202 comes."""
    body = {"to": "+33639981234", "text": "Bonjour"}
    async with here.http.post("/api/v1/messages", json=body, headers=here.keyed()) as answer:
        id_ = (await answer.json())["id"]

    async def shown() -> list[dict[str, object]] | None:
        async with here.http.get(PHONE) as answer:
            found: list[dict[str, object]] = await answer.json()
        return found or None

    (text,) = await until(shown)
    assert set(text) == {"id", "text", "from", "to", "parts", "at"}
    assert (text["id"], text["text"], text["parts"]) == (id_, "Bonjour", 1)
    for way in ("%2B33639981234", "33639981234", "0639981234"):
        async with here.http.get(f"http://{here.web}/sim/phones/{way}") as answer:
            assert await answer.json() == [text]
    async with here.http.post(PHONE, json={"text": "Oui", "to": str(text["from"])}) as answer:
        assert (answer.status, set(await answer.json())) == (202, {"id"})


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/sim/phones/0123", {"text": "x", "to": "+33639980000"}, 422),
        ("/sim/phones/anna", {"text": "x", "to": "+33639980000"}, 422),
        (PHONE, {"text": "x", "to": "ACME"}, 400),
        (PHONE, {"text": "x", "to": "+33"}, 422),
        (PHONE, {"text": "", "to": "+33639980000"}, 400),
        (PHONE, {"text": "x"}, 400),
    ],
)
async def test_what_no_phone_can_write(here: World, path: str, body: dict[str, str], status: int) -> None:
    """Numbers that are none, names that can't be answered, no text."""
    async with here.http.post(path, json=body) as answer:
        assert answer.status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8025"}, 200),
        ({"Host": "[::1]:8025"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "127.0.0.1.rebound.example"}, 403),
        ({"Host": "localhost:8025", "Origin": "http://localhost:8025"}, 200),
        ({"Origin": "https://somewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"X-Forwarded-For": "127.0.0.1"}, 403),
        ({"X-Forwarded-Host": "sms.acme.example"}, 403),
        ({"X-Real-IP": "127.0.0.1"}, 403),
        ({"Forwarded": "for=127.0.0.1"}, 403),
        ({"Via": "1.1 proxy"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:x"}, 200),
        ({"Origin": "http://[x"}, 403),
    ],
)
async def test_only_this_machine(here: World, headers: dict[str, str], status: int) -> None:
    """No page of somebody else's, no rebound name, nothing that a proxy forwards."""
    async with here.http.get(PHONE, headers=headers) as answer:
        assert answer.status == status
    async with here.control.get(PHONE) as answer:
        assert answer.status == 200


async def test_a_stranger_is_refused_before_the_body(here: World) -> None:
    """The rest of the request is not waited for."""
    request = (
        f"POST {PHONE} HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"
    )
    async with asyncio.timeout(10):
        assert (await ask(here.web, request.encode())).startswith(b"HTTP/1.1 403")


async def test_a_real_bridge_has_no_simulated_phones(tmp_path: Path) -> None:
    """The routes exist in `mode: simulate` only."""
    async with world(tmp_path, mode="live") as real, real.http.get(PHONE) as answer:
        assert answer.status == 404


async def test_other_machines_are_refused(here: World) -> None:
    """A client whose address is not a loopback one."""
    app = build(here.context)
    sent: list[dict[str, object]] = []
    scope = {
        "type": "http", "method": "GET", "path": PHONE, "raw_path": PHONE.encode(), "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")], "client": ("192.0.2.7", 1), "server": ("x", 1), "scheme": "http",
        "root_path": "", "http_version": "1.1",
    }  # fmt: skip

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 403
