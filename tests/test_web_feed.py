"""The demo's events: in order, with ids that a page which was away goes on from, bounded, and ended with the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from mail2sms.endpoint import Endpoint
from mail2sms.web import feed
from mail2sms.web.app import build
from mail2sms.web.server import WebServer
from tests.web_fakes import DOMAIN, MARIE, World, world

pytestmark = pytest.mark.asyncio(loop_scope="module")
Event = dict[str, str]


@pytest_asyncio.fixture(loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A served demo."""
    async with world(tmp_path_factory.mktemp("demo"), is_demo=True) as served:
        yield served


async def send(here: World, text: str) -> None:
    """Send an email from the page."""
    draft = {"from": MARIE.address, "to": f"33639981234@{DOMAIN}", "text": text}
    async with here.http.post("/demo/send", json=draft) as answer:
        assert answer.status == 200


async def read(answer: aiohttp.ClientResponse) -> Event:
    """Return the next event's fields."""
    fields: Event = {}
    async with asyncio.timeout(10):
        while line := (await answer.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
    return fields


async def until(answer: aiohttp.ClientResponse, status: str) -> list[Event]:
    """Return the events up to the message's status."""
    found = [await read(answer)]
    while json.loads(found[-1]["data"]).get("status") != status:
        found.append(await read(answer))
    return found


async def test_events_of_a_message_and_what_was_missed(here: World) -> None:
    """Ids go up by one; who comes back with the last one it has seen gets what came since, and only that."""
    async with here.http.get("/demo/events") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert (await read(answer))["event"] == "hello"
        await send(here, "Bonjour")
        events = await until(answer, "delivered")
    assert {event["event"] for event in events} <= {"message", "sent"}
    ids = [int(event["id"].rpartition("-")[2]) for event in events]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    async with here.http.get("/demo/events", headers={"Last-Event-ID": events[0]["id"]}) as answer:
        assert (await read(answer))["id"] == events[0]["id"]
        assert [await read(answer) for _ in events[1:]] == events[1:]


async def test_refusal_at_once_is_an_event(here: World) -> None:
    """Neither a message nor an email comes of it, but the page has something to show."""
    async with here.http.get("/demo/events") as answer:
        assert (await read(answer))["event"] == "hello"
        draft = {"from": MARIE.address, "to": f"0123@{DOMAIN}", "text": "x"}
        async with here.http.post("/demo/send", json=draft) as sent:
            assert (await sent.json())["code"] == 550
        assert (await read(answer))["event"] == "sent"


@pytest.mark.parametrize("last_id", ["", "x", "-", "an-other", "ffffffff-1", "\u00e9-1"])
async def test_foreign_id_begins_now(here: World, last_id: str) -> None:
    """An id of an earlier start, or no id at all, is no error: the page asks for everything anyway."""
    await send(here, "Bonjour")
    headers = {"Last-Event-ID": last_id}
    async with here.http.get("/demo/events", headers=headers) as answer:
        assert (await read(answer))["event"] == "hello"


async def test_number_of_streams_is_bounded(here: World) -> None:
    """One too many is refused; when one has ended there is room again."""
    streams = [await here.http.get("/demo/events") for _ in range(feed.STREAMS)]
    for stream in streams:
        await read(stream)
    async with here.http.get("/demo/events") as answer:
        assert answer.status == 429
    streams[0].close()
    async with asyncio.timeout(10):
        while True:
            async with here.http.get("/demo/events") as answer:
                if answer.status == 200:
                    break
    for stream in streams:
        stream.close()


async def test_silent_stream_shows_that_it_lives(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment, which no page takes for an event."""
    monkeypatch.setattr(feed, "_COMMENT_S", 0.01)
    async with here.http.get("/demo/events") as answer:
        await read(answer)
        assert await answer.content.readline() == b": still here\n"


async def test_stop_ends_streams(here: World) -> None:
    """The server does not wait for pages that are open: they get a clean end."""
    server = WebServer(build(here.context), endpoint=Endpoint("127.0.0.1", 0))
    await server.start()
    async with here.http.get(f"http://{server.addresses[0]}/demo/events") as answer:
        await read(answer)
        async with asyncio.timeout(5):  # uvicorn alone would wait for ten seconds, and cut them off
            await server.stop()
        assert await answer.content.read() == b""
