"""Carriers' webhooks: 200 means stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mail2sms.carriers._base import Call, Carrier, CarrierEvent
from mail2sms.clock import now_ms
from mail2sms.model import MoMessage, Msisdn, Part, Taken
from mail2sms.store import NoticeClaim
from tests.web_fakes import MARIE, World, world

pytestmark = pytest.mark.asyncio(loop_scope="module")
OURS = "+33639980101"
CALLS: list[Call] = []


class Hooked(Carrier):
    """A carrier whose webhook is a secret in a header and JSON in the body, or a query."""

    async def send(self, part: Part) -> Taken:
        """Never asked here."""
        raise NotImplementedError

    def events(self, call: Call) -> tuple[CarrierEvent, ...]:
        """One MO per text."""
        CALLS.append(call)
        if call.headers.get("x-secret", call.secret) != "right":
            raise PermissionError("wrong secret")
        texts = json.loads(call.body) if call.body else [call.query]
        return tuple(
            MoMessage(
                carrier="hooked",
                event_id=f"e-{text}",
                msisdn=Msisdn("+33639981234"),
                to=OURS,
                at=1,
                text=text,
            )
            for text in texts
        )


@pytest_asyncio.fixture(loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A served bridge with a carrier that has a webhook."""
    async with world(tmp_path_factory.mktemp("hooks"), carriers={"hooked": Hooked("hooked")}) as served:
        yield served


async def owed(here: World) -> list[str]:
    """Return the addresses of the emails that are owed."""
    claim = NoticeClaim(channel="email", owner="n", now=now_ms() + 1000, lease_ms=60_000, limit=10)
    return [notice.address for notice in await here.context.store.claim_notices(claim)]


@pytest.mark.parametrize("times", [1, 2])
async def test_events_are_stored_once(here: World, times: int) -> None:
    """All of a request, and a repeat changes nothing."""
    for _ in range(times):
        async with here.http.post("/events/hooked", json=["a", "b"], headers={"X-Secret": "right"}) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
    assert await owed(here) == [MARIE.address] * 2


async def test_get_brings_its_query(here: World) -> None:
    """Some providers call with GET."""
    async with here.http.get("/events/hooked?text=x", headers={"x-secret": "right"}) as answer:
        assert answer.status == 200
    assert len(await owed(here)) == 1


async def test_a_secret_may_stand_in_the_path(here: World) -> None:
    """And nowhere else: neither in what is counted nor in what is logged."""
    async with here.http.post("/events/hooked/right", json=["p"]) as answer:
        assert answer.status == 200
    assert len(await owed(here)) == 1
    async with here.http.get("/metrics") as answer:
        assert "right" not in await answer.text()


@pytest.mark.parametrize(
    ("forwarded", "ip"), [("", "127.0.0.1"), ("1.2.3.4, 198.51.100.7", "198.51.100.7"), ("x, y", "127.0.0.1")]
)
async def test_a_proxy_on_this_machine_says_who_calls(here: World, forwarded: str, ip: str) -> None:
    """By the last address, which it wrote itself."""
    async with here.http.post("/events/hooked", json=[], headers={"X-Forwarded-For": forwarded}):
        assert CALLS[-1].ip == ip


async def test_when_a_carrier_told_something_last_is_known(here: World) -> None:
    """Only what proved itself counts."""
    here.context.told_at.clear()
    async with here.http.post("/events/hooked", json=[]):
        assert here.context.told_at == {}
    async with here.http.post("/events/hooked", json=[], headers={"X-Secret": "right"}):
        pass
    async with here.control.get("/api/v1/health") as answer:
        assert set((await answer.json())["webhooks"]) == {"hooked"}


async def test_what_is_not_stored_is_not_200(here: World) -> None:
    """No proof, no such carrier, too long, no database: each has its status."""
    right = {"X-Secret": "right"}
    for path, body, headers, status in (
        ("/events/hooked", b"[]", {}, 401),
        ("/events/nobody", b"[]", right, 404),
        ("/events/hooked", b" " * 64_001, right, 413),
        ("/events/hooked", b"{", right, 400),
        ("/events/hooked/wrong", b"[]", {}, 401),
        ("/events/hooked?step=right", b"[]", {}, 401),
        ("/events/hooked/right/more", b"[]", {}, 404),
    ):
        async with here.http.post(path, data=body, headers=headers) as answer:
            assert answer.status == status
    assert await owed(here) == []
    await here.context.store._write.close()
    async with here.http.post("/events/hooked", json=["c"], headers=right) as answer:
        assert answer.status == 503
