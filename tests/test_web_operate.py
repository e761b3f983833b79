"""The operator's part of the API, over real sockets: wishes for many messages, the log of events, filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.web_fakes import MARIE, READER, SENDER, World, until, world

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES, EVENTS = "/api/v1/messages", "/api/v1/events"
PHONE, OTHER = "+33639981234", "+33639985678"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A served bridge."""
    async with world(tmp_path_factory.mktemp("operate")) as served:
        yield served


async def ordered(here: World, **order: object) -> str:
    """Send tomorrow, as Marie; return the id."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"to": PHONE, "text": "Bonjour", "at": tomorrow, "as": MARIE.address, **order}
    wanted = {name: value for name, value in body.items() if value is not None}
    async with here.control.post(MESSAGES, json=wanted) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["id"])


async def wish(here: World, word: str, *ids: str, **more: bool) -> list[dict[str, Any]]:
    """Wish something of messages; return the answers."""
    async with here.control.post(f"/api/v1/queue/{word}", json={"ids": ids, **more}) as answer:
        assert answer.status == 200, await answer.text()
        return list((await answer.json())["items"])


async def get(here: World, path: str, **query: str) -> dict[str, Any]:
    """Ask the control socket."""
    async with here.control.get(path, params=query) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def test_each_message_is_answered_for_itself(here: World) -> None:
    """Held, released, tried, cancelled; and what can't be is said in a word and a sentence."""
    first, second = await ordered(here), await ordered(here)
    held, nobody = await wish(here, "hold", first, "m-0")
    assert (held["status"], held["reason"], held["problem"]) == ("queued", "held", None)
    assert (nobody["problem"], nobody["detail"]) == ("not_found", "there is no such message")
    assert (await wish(here, "retry", first))[0]["detail"] == "it is held; release it first"
    released = (await wish(here, "release", first))[0]
    assert (released["reason"], released["due_at"]) == (
        "schedule",
        (await get(here, f"{MESSAGES}/{first}"))["due_at"],
    )
    assert [one["status"] for one in await wish(here, "cancel", first, first)] == ["cancelled", "cancelled"]
    assert (await wish(here, "hold", first))[0]["detail"] == "it is cancelled already"
    assert (await wish(here, "retry", second))[0]["problem"] is None

    async def delivered() -> bool:
        return bool((await get(here, f"{MESSAGES}/{second}"))["status"] == "delivered")

    await until(delivered)
    assert (await wish(here, "cancel", second))[0]["problem"] == "over"


async def test_a_message_in_doubt_is_sent_again_only_when_that_is_meant(here: World) -> None:
    """The carrier lost the answer; the phone shows it twice afterwards, as was said."""
    lost = "+33639980000"
    id_ = await ordered(here, to=lost, at=None)

    async def unknown() -> bool:
        return bool((await get(here, f"{MESSAGES}/{id_}"))["status"] == "unknown")

    await until(unknown)
    (refused,) = await wish(here, "retry", id_)
    assert (refused["problem"], refused["status"]) == ("in_doubt", "unknown")
    await wish(here, "retry", id_, again=True)

    async def shown_twice() -> bool:
        return len(here.sim.phones.shown(lost)) == 2

    await until(shown_twice)


@pytest.mark.parametrize("word", ["hold", "release", "retry", "cancel"])
async def test_only_the_operator_works_on_the_queue(here: World, word: str) -> None:
    """No API key may, whatever it may else."""
    for key in (SENDER, READER):
        headers = here.keyed(key)
        async with here.http.post(f"/api/v1/queue/{word}", json={"ids": ["m-0"]}, headers=headers) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/queue/hold", {"ids": []}, "ids"),
        ("/api/v1/queue/hold", {"ids": ["m"] * 501}, "ids"),
        ("/api/v1/queue/hold", {"ids": ["m"], "force": True}, "force"),
        ("/api/v1/queue/burn", {"ids": ["m"]}, "wish"),
    ],
)
async def test_bad_wishes_name_the_field(here: World, path: str, body: object, field: str) -> None:
    """400."""
    async with here.control.post(path, json=body) as answer:
        assert (answer.status, (await answer.json(content_type=None))["field"]) == (400, field)


async def test_what_happens_is_followed_from_a_place_in_the_log(here: World) -> None:
    """Without a place only its end is told; then nothing is missing and nothing comes twice."""
    start = await get(here, EVENTS)
    assert start["items"] == []
    first, second = await ordered(here), await ordered(here, to=OTHER)
    await wish(here, "hold", first, second)
    page = await get(here, EVENTS, after=str(start["next"]), limit="3")
    rest = await get(here, EVENTS, after=str(page["next"]))
    seen = [(one["message"], one["status"], one["reason"]) for one in page["items"] + rest["items"]]
    assert seen == [
        (first, "queued", "schedule"),
        (second, "queued", "schedule"),
        (first, "queued", "held"),
        (second, "queued", "held"),
    ]
    assert await get(here, EVENTS, after=str(rest["next"])) == {"items": [], "next": rest["next"]}
    theirs = await get(here, EVENTS, after=str(start["next"]), to=OTHER, user=MARIE.address.upper())
    assert {one["message"] for one in theirs["items"]} == {second}
    assert theirs["next"] == rest["next"]
    nobody = await get(here, EVENTS, after=str(start["next"]), user="paul@acme.example")
    assert nobody == {"items": [], "next": rest["next"]}


async def test_a_place_that_the_log_never_reached(here: World) -> None:
    """Another database stands there now: the reader goes on from its end."""
    end = await get(here, EVENTS)
    assert await get(here, EVENTS, after=str(end["next"] + 1000)) == end


async def test_messages_are_filtered_by_all_that_is_known(here: World) -> None:
    """Writer, reason, carrier and the time before which."""
    id_ = await ordered(here, to=OTHER)
    await wish(here, "hold", id_)
    created_at = (await get(here, f"{MESSAGES}/{id_}"))["created_at"]

    async def ids(**query: str) -> list[str]:
        return [one["id"] for one in (await get(here, MESSAGES, **query))["items"]]

    assert id_ in await ids(**{"from": MARIE.address.upper(), "reason": "held", "carrier": "sim"})
    assert await ids(**{"from": "paul@acme.example"}) == []
    assert await ids(carrier="another") == []
    assert id_ not in await ids(until=created_at)
    assert id_ in await ids(since=created_at)
