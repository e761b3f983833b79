"""A real phone in the network: one browser, by one key, sees one page, and nothing else of the demo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from mail2sms.endpoint import Endpoint
from mail2sms.web.demo_lan import Pairing, build
from mail2sms.web.server import WebServer
from tests.servers import free_port
from tests.web_fakes import DOMAIN, MARIE, World, until, world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lan:
    """The demo, its page for the network, and a browser without and one with the cookie."""

    here: World
    page: str
    base: str
    stranger: aiohttp.ClientSession
    phone: aiohttp.ClientSession


def browser() -> aiohttp.ClientSession:
    """A browser that keeps cookies, of hosts without a name too."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


@pytest_asyncio.fixture(loop_scope="module")
async def lan(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lan]:
    """A demo in a network, with a phone."""
    async with world(tmp_path_factory.mktemp("lan"), is_demo=True) as here:
        place = Endpoint("127.0.0.1", free_port())
        pairing = Pairing(place)
        page = pairing.page
        server = WebServer(build(here.context, pairing), endpoint=place)
        await server.start()
        async with browser() as stranger, browser() as phone:
            async with phone.get(page) as answer:
                assert answer.status == 200
                assert (
                    str(answer.url) == f"http://{place}/demo/phone"
                )  # the key is not in the address any more
            yield Lan(here=here, page=page, base=f"http://{place}", stranger=stranger, phone=phone)
        await server.stop()


async def test_key_is_good_once(lan: Lan) -> None:
    """The second who scans the code is told so; a wrong key and none say nothing else."""
    for url in (lan.page, f"{lan.base}/demo/phone?key=x", f"{lan.base}/demo/phone?key=\u00e9"):
        async with lan.stranger.get(url) as answer:
            assert answer.status == 403
    async with lan.phone.get(f"{lan.base}/demo/phone") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/demo",
            "/demo/inbox",
            "/demo/inbox/1",
            "/demo/state",
            "/demo/events",
            "/sim/phones/33639981234",
        ),
        *(
            "/api/v1/messages",
            "/api/v1/openapi.json",
            "/openapi.json",
            "/docs",
            "/metrics",
            "/healthz",
            "/events/sim",
        ),
    ],
)
async def test_nothing_else_is_there(lan: Lan, path: str) -> None:
    """For the paired phone there is no such page; a stranger does not even learn that."""
    async with lan.phone.get(lan.base + path) as answer:
        assert answer.status in (403, 404)
    async with lan.stranger.get(lan.base + path) as answer:
        assert answer.status == 403


async def test_phone_reads_and_answers(lan: Lan) -> None:
    """Only the one phone: the form's number is not believed."""
    draft = {"from": MARIE.address, "to": f"33639981234@{DOMAIN}", "text": "Bonjour"}
    async with lan.here.http.post("/demo/send", json=draft) as answer:
        assert answer.status == 200

    async def shown() -> bool:
        async with lan.phone.get(f"{lan.base}/demo/phone") as answer:
            return "Bonjour" in await answer.text()

    await until(shown)
    form = {"phone": "+33639980606", "to": str(MARIE.number), "text": "Oui"}
    async with lan.phone.post(f"{lan.base}/demo/phone", data=form) as answer:
        assert answer.status == 200

    async def told() -> list[str]:
        async with lan.here.http.get("/demo/state") as answer:
            return [one["from"] for one in (await answer.json())["said"]]

    assert await until(told) == ["+33639981234"]


@pytest.mark.parametrize("header", [{"Origin": "http://evil.example"}, {"Host": "rebound.example"}])
async def test_other_pages_cannot_use_the_phone(lan: Lan, header: dict[str, str]) -> None:
    """Neither a form of somebody else's page nor DNS rebinding."""
    async with lan.phone.post(f"{lan.base}/demo/phone", data={"text": "x"}, headers=header) as answer:
        assert answer.status == 403
