"""Pictures over the web: for whoever has their URL, as long as it is good; and pictures in API calls."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from mail2sms.accept import Accept
from mail2sms.carriers._picture import sunset
from mail2sms.clock import now_ms
from mail2sms.config import sending
from mail2sms.media import Links, Mms
from mail2sms.model import Photo
from mail2sms.routing import Route
from mail2sms.rules._base import Pictures
from mail2sms.store import Bundle, NewMessage
from tests.fakes import bundle, mt, submission
from tests.web_fakes import READER, World, until, world

US, FR = "+12025550123", "+33639981234"
HOUR = 3_600_000
ROUTES = (Route(to=("any",), via=("sim",)),)
PHOTO = base64.b64encode(sunset()).decode()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[World]:
    """A bridge to France and the US whose phones take MMS; elsewhere the text has a link."""
    links = Links(base="http://127.0.0.1:1", secret=b"s" * 32, valid_ms=14 * 86_400_000)
    async with world(tmp_path, links=links) as found:
        context = found.context
        pictures = Pictures(otherwise="link", carriers={"sim": Mms()}, has_links=True, limit_bytes=600_000)
        policy = replace(
            context.accept.policy,
            countries=frozenset({"FR", "US"}),
            destinations=sending.known({}),
            pictures=pictures,
        )
        accept = Accept(context.store, policy, ROUTES, HOUR, links)
        object.__setattr__(context, "accept", accept)
        found.dispatch.attempts.links = links
        yield found


def mail(count: int) -> Bundle:
    """Return an accepted mail with so many pictures."""
    pictures = tuple(
        Photo(name=f"photo-{n}.png", media_type="image/png", content=sunset()) for n in range(1, count + 1)
    )
    new = NewMessage(mt=mt("m-1ABC", media="link", text="Look"), reply_key="abcdefghij")
    return replace(bundle("m-1ABC"), submissions=(submission("m-1ABC", pictures=pictures),), messages=(new,))


async def stored(served: World, count: int = 1, *, until: int = HOUR) -> str:
    """Store such a mail; return the path of its pictures' page."""
    await served.context.store.put(mail(count))
    assert served.context.links is not None
    return served.context.links.page("m-1ABC", now_ms() + until).removeprefix("http://127.0.0.1:1")


async def test_one_picture_is_shown_as_it_is(served: World) -> None:
    """With its type, its length, and nothing that a browser could make of it."""
    page = await stored(served)
    for path in (page, f"{page}/1.png", f"{page}/1.jpg"):
        async with served.http.get(path) as answer:
            assert (answer.status, await answer.read()) == (200, sunset())
            assert answer.headers["content-type"] == "image/png"
            assert answer.headers["content-length"] == str(len(sunset()))
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in answer.headers["content-security-policy"]
            assert answer.headers["referrer-policy"] == "no-referrer"


async def test_several_are_shown_on_a_page(served: World) -> None:
    """Whose links lead to each of them."""
    page = await stored(served, 3)
    async with served.http.get(page) as answer:
        text = await answer.text()
        assert answer.headers["content-type"].startswith("text/html")
    for number in (1, 2, 3):
        assert f'src="{page}/{number}.png"' in text
        async with served.http.get(f"{page}/{number}.png") as answer:
            assert answer.status == 200


async def test_a_head_is_what_a_carrier_looks_at_first(served: World) -> None:
    """The same without the picture."""
    page = await stored(served)
    async with served.http.head(f"{page}/1.png") as answer:
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(sunset())))


@pytest.mark.parametrize(
    ("wanted", "status", "told", "span"),
    [
        ("bytes=0-9", 206, "bytes 0-9/{n}", slice(0, 10)),
        ("bytes=5-", 206, "bytes 5-{last}/{n}", slice(5, None)),
        ("bytes=-3", 206, "bytes {third}-{last}/{n}", slice(-3, None)),
        ("bytes=0-99999999", 206, "bytes 0-{last}/{n}", slice(None)),
        ("bytes=99999999-", 416, "bytes */{n}", slice(0, 0)),
        ("bytes=-0", 416, "bytes */{n}", slice(0, 0)),
        ("bytes=9-5", 200, "", slice(None)),
        ("bytes=0-1,3-4", 200, "", slice(None)),
        ("bytes=-", 200, "", slice(None)),
        ("lines=1-2", 200, "", slice(None)),
        ("bytes=" + "9" * 400 + "-", 200, "", slice(None)),
    ],
)
async def test_ranges(served: World, wanted: str, status: int, told: str, span: slice) -> None:
    """RFC 9110 section 14: one range, or all of it."""
    page, n = await stored(served), len(sunset())
    async with served.http.get(f"{page}/1.png", headers={"Range": wanted}) as answer:
        assert answer.status == status
        assert answer.headers.get("content-range", "") == told.format(n=n, last=n - 1, third=n - 3)
        assert await answer.read() == sunset()[span]


async def test_what_proves_nothing_is_not_there(served: World) -> None:
    """Changed, over, of another mail, or of none: nobody learns which."""
    page = await stored(served)
    over = await stored(served, until=-HOUR * 2)
    last = "b" if page[-1] != "b" else "c"
    for path in (
        page[:-1] + last,
        over,
        page.replace("1ABC", "1ABD"),
        f"{page}/2.png",
        f"{page}/x.png",
        f"{page}/00001.png",
        f"{page}/-1.png",
        "/p/1ABC",
        "/p/1ABC/",
        "/p/1ABC/x",
        "/p/../../x/y",
        "/p/%00/%ff",
    ):
        async with served.http.get(path) as answer:
            assert answer.status == 404, path
            assert b"PNG" not in await answer.read()


async def test_a_carrier_fetches_what_an_api_call_brought(served: World) -> None:
    """From base64 to the phone: drawn anew, and named by where it can be had."""
    order = {"to": [US, FR], "text": "Look", "pictures": [PHOTO]}
    async with served.http.post("/api/v1/messages", json=order, headers=served.keyed()) as answer:
        told = await answer.json()
        assert answer.status == 202, told
    assert [(item["media"], item["parts"]) for item in told["items"]] == [("mms", 1), ("link", 1)]

    async def shown(phone: str) -> list[dict[str, Any]]:
        async with served.http.get(f"/sim/phones/{phone}") as answer:
            return list(await answer.json())

    (mms,) = await until(lambda: shown(US))
    (linked,) = await until(lambda: shown(FR))
    assert mms["text"] == "Look"
    path = mms["media"][0].removeprefix("http://127.0.0.1:1")
    async with served.http.get(path) as answer:
        assert Image.open(io.BytesIO(await answer.read())).size == (320, 240)
    assert "media" not in linked
    async with served.http.get(linked["text"].split("\n")[1].removeprefix("http://127.0.0.1:1")) as answer:
        assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("pictures", "status", "code"),
    [
        (["%%%"], 422, "media.unreadable"),
        ([base64.b64encode(b"<html>").decode()], 422, "media.unreadable"),
        ([PHOTO] * 11, 400, ""),
        ("x", 400, ""),
    ],
    ids=["no base64", "no picture", "too many", "no list"],
)
async def test_pictures_that_are_none(served: World, pictures: object, status: int, code: str) -> None:
    """Each says what is wrong, and nothing is sent."""
    order = {"to": US, "text": "Look", "pictures": pictures}
    async with served.http.post("/api/v1/messages", json=order, headers=served.keyed()) as answer:
        assert answer.status == status
        assert code in await answer.text()


async def test_the_same_call_with_another_picture_is_another(served: World) -> None:
    """Its key was used for another body."""
    other = base64.b64encode(_grey()).decode()
    for picture, status in ((PHOTO, 202), (PHOTO, 202), (other, 422)):
        order = {"to": US, "text": "Look", "pictures": [picture]}
        headers = {**served.keyed(), "Idempotency-Key": "one"}
        async with served.http.post("/api/v1/messages", json=order, headers=headers) as answer:
            assert answer.status == status


async def test_only_who_may_send_may_bring_megabytes(served: World) -> None:
    """A stranger's are not read, and elsewhere a body stays small."""
    order = {"to": US, "text": "Look", "pictures": ["x" * 1_000_000]}
    async with served.http.post("/api/v1/messages", json=order) as answer:
        assert answer.status == 401
    async with served.http.post("/api/v1/messages", json=order, headers=served.keyed(READER)) as answer:
        assert answer.status == 403
    body = aiohttp.BytesPayload(b"x" * 300_000)
    async with served.http.post("/api/v1/queue", data=body, headers=served.keyed()) as answer:
        assert answer.status in (405, 413)


def _grey() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (9, 9), "grey").save(out, "PNG")
    return out.getvalue()
