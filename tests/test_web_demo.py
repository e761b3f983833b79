"""The demo: what its page is given, through the real listener, relay and mailbox."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mail2sms.web.demo import DemoInbox, left_out
from tests.web_fakes import DOMAIN, MARIE, World, until, world

pytestmark = pytest.mark.asyncio(loop_scope="module")
STATIC = Path(__file__).parent.parent / "mail2sms" / "web" / "static"
TO = f"33639981234@{DOMAIN}"
SIGNED = "Bonjour\n\n-- \nMarie Dubois\nACME"


@pytest_asyncio.fixture(loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A served demo."""
    async with world(tmp_path_factory.mktemp("demo"), is_demo=True) as served:
        yield served


async def send(here: World, to: str, text: str, **more: str) -> dict[str, Any]:
    """Send an email from the page."""
    draft = {"from": MARIE.address, "to": to, "subject": "Rendez-vous", "text": text, **more}
    async with here.http.post("/demo/send", json=draft) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
    return found


async def state(here: World, phone: str = "33639981234") -> dict[str, Any]:
    """Return what the page shows."""
    async with here.http.get("/demo/state", params={"phone": phone}) as answer:
        found: dict[str, Any] = await answer.json()
    return found


async def test_there_and_back_and_there_again(here: World) -> None:
    """An email becomes an SMS, its answer an email, and the answer to that an SMS, in one thread."""
    sent = await send(here, TO, SIGNED)
    assert sent["code"] == 250
    assert "-- \r\nMarie" in sent["raw"]

    async def delivered() -> dict[str, Any] | None:
        found = await state(here)
        return found if found["messages"][0]["status"] == "delivered" else None

    shown = await until(delivered)
    (message,) = shown["messages"]
    assert (message["text"], message["message_id"]) == ("Bonjour", sent["message_id"])
    assert message["left_out"] == ["--", "Marie Dubois", "ACME"]
    assert [text["text"] for text in shown["phone"]] == ["Bonjour"]
    body = {"text": "Oui", "to": shown["phone"][0]["from"]}
    async with here.http.post("/sim/phones/+33639981234", json=body) as answer:
        assert answer.status == 202

    async def answered() -> dict[str, Any] | None:
        found = await state(here)
        return found if found["said"] else None

    shown = await until(answered)
    (mail,) = shown["inbox"]
    assert (mail["kind"], mail["subject"], mail["in_reply_to"]) == (
        "reply",
        "Re: Rendez-vous",
        sent["message_id"],
    )
    assert [(one["text"], one["mail"]) for one in shown["said"]] == [("Oui", mail["n"])]
    again = await send(here, mail["reply_to"], "Merci", in_reply_to=mail["message_id"])
    assert again["code"] == 250

    async def thanked() -> bool:
        return [text["text"] for text in (await state(here))["phone"]] == ["Bonjour", "Merci"]

    await until(thanked)
    async with here.http.get(f"/demo/inbox/{mail['n']}") as answer:
        assert answer.content_type == "text/plain"
        assert "In-Reply-To: " + sent["message_id"] in await answer.text()
    async with here.http.get("/demo/inbox") as answer:
        assert [one["n"] for one in await answer.json()] == [1]


async def test_a_mistake_comes_back_with_the_corrected_mail(here: World) -> None:
    """The refusal's email answers the mail, and the page can load what to send instead."""
    sent = await send(here, f"sms@{DOMAIN}", "To: 06 39 98 12 34\nExpirs: 2h\n\nBonjour")

    async def told() -> dict[str, Any] | None:
        found = (await state(here))["inbox"]
        return found[0] if found else None

    mail = await until(told)
    assert (mail["kind"], mail["in_reply_to"], mail["is_automatic"]) == ("refused", sent["message_id"], True)
    assert mail["corrected"]["to"] == f"sms@{DOMAIN}"
    assert "Expires: 2h" in mail["corrected"]["text"]
    assert (await send(here, mail["corrected"]["to"], mail["corrected"]["text"]))["reply"].startswith(
        "2.0.0 m-"
    )


async def test_a_photo_can_be_seen(here: World) -> None:
    """The picture of a reply is served as a picture."""
    await send(here, f"33639980606@{DOMAIN}", "Photo ?")

    async def arrived() -> list[Any] | None:
        return (await state(here))["inbox"] or None

    (mail,) = await until(arrived)
    async with here.http.get(f"/demo/inbox/{mail['n']}/photos/0") as answer:
        assert (answer.status, answer.content_type) == (200, "image/png")
        assert (await answer.read()).startswith(b"\x89PNG")
    for path in (f"/demo/inbox/{mail['n']}/photos/1", "/demo/inbox/99/photos/0", "/demo/inbox/99"):
        async with here.http.get(path) as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        ({"to": f"0123@{DOMAIN}"}, 550),
        ({"to": "33639981234@elsewhere.example"}, 550),
        ({"to": f"33639981234@{DOMAIN}\r\nBcc: x@x.example"}, None),
        ({"to": f"<33639981234@{DOMAIN}>"}, None),
        ({"subject": "a\r\nX-Own: b"}, None),
        ({"references": "a\nb"}, None),
        ({"unknown": "x"}, None),
    ],
)
async def test_what_the_listener_or_the_page_refuses(
    here: World, draft: dict[str, str], code: int | None
) -> None:
    """The listener's 550 is shown; headers can't be smuggled in."""
    whole = {"from": MARIE.address, "to": TO, "text": "x", **draft}
    async with here.http.post("/demo/send", json=whole) as answer:
        assert answer.status == (200 if code else 400)
        assert (await answer.json()).get("code") == code
    assert (await state(here))["messages"] == []


async def test_forms_work_without_a_script(here: World) -> None:
    """Each action answers with the address of the page that shows what became of it."""
    form = {"from": MARIE.address, "to": TO, "subject": "Plain", "text": SIGNED, "phone": "", "try": "emoji"}
    async with here.http.post("/demo/send", data=form) as answer:
        page = await answer.text()
        assert (answer.status, answer.url.path, answer.url.query["try"]) == (200, "/demo", "emoji")
    assert "250 2.0.0 m-" in page
    assert "Subject: Plain" in page  # the raw email

    async def shown() -> dict[str, Any] | None:
        found = await state(here)
        return found if found["phone"] else None

    said = {"phone": "+33639981234", "to": (await until(shown))["phone"][0]["from"], "text": "<b>Oui</b>"}
    async with here.http.post("/demo/phone", data=said, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/demo#phone")

    async def came() -> list[Any] | None:
        return (await state(here))["inbox"] or None

    (mail,) = await until(came)
    async with here.http.get("/demo") as answer:
        page = await answer.text()
        assert "&lt;b&gt;Oui" in page
        assert "<b>Oui" not in page
    async with here.http.post(f"/demo/reply/{mail['n']}", data={"text": "Merci"}) as answer:
        assert answer.status == 200

    async def thanked() -> bool:
        return [text["text"] for text in (await state(here))["phone"]] == ["Bonjour", "Merci"]

    await until(thanked)


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/demo/send", b"to=x", 400),
        ("/demo/send", b"text=%FF", 400),
        ("/demo/send", b"&".join(b"a%d=" % n for n in range(50)), 400),
        ("/demo/reply/99", b"text=x", 404),
        ("/demo/phone", b"phone=abc&text=x&to=x", 422),
        ("/demo/phone", b"phone=&text=x&to=ACME", 400),
    ],
)
async def test_form_that_cannot_be(here: World, path: str, form: bytes, status: int) -> None:
    """It is told, not a failure of ours."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with here.http.post(path, data=form, headers=headers) as answer:
        assert answer.status == status


@pytest.mark.parametrize("query", ["phone=abc", "mail=-1", "mail=x", "mail=99999999999999999999"])
async def test_address_of_the_page_that_cannot_be(here: World, query: str) -> None:
    """A 400, not a 500."""
    async with here.http.get(f"/demo?{query}") as answer:
        assert 400 <= answer.status < 500


async def test_the_page_asks_nobody_else(here: World) -> None:
    """Own files only, no inline script or style, and a policy that says so."""
    async with here.http.get("/", allow_redirects=True) as answer:
        page = await answer.text()
        assert answer.url.path == "/demo"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    for found in re.findall(r'(?:src|href)="([^"]+)"', page):
        async with here.http.get(found) as answer:
            assert answer.status == 200
    assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=", page)
    for path in (path for path in STATIC.iterdir() if path.suffix != ".png"):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"(?:https?:)?//[\w.]+", text), path.name


async def test_only_this_machine_sees_the_demo(here: World) -> None:
    """Texts are on it."""
    for path in ("/demo", "/demo/inbox", "/demo/state", "/"):
        async with here.http.get(path, headers={"Host": "rebound.example"}) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("written", "text", "gone"),
    [
        ("Bonjour", "Bonjour", []),
        ("Bonjour\r\n\r\n-- \r\nMarie\r\n", "Bonjour", ["--", "Marie"]),
        ("Bonjour\n\n-- \nMarie\n\n> Oui", "Bonjour", ["--", "Marie", "", "> Oui"]),
        ("To: 1\n\nBonjour\n##\nMarie", "Bonjour", ["##", "Marie"]),
        ("A", "B", []),
        ("A", "", []),
    ],
)
async def test_what_was_left_out(written: str, text: str, gone: list[str]) -> None:
    """The lines after the text."""
    assert left_out(written, text) == gone


async def test_an_inbox_in_a_folder_survives(tmp_path: Path) -> None:
    """`--keep`: the mails are there again, under their numbers."""
    first = DemoInbox(tmp_path / "inbox")
    for n in (1, 2):
        assert first.add(f"From: a@b.example\r\nSubject: {n}\r\n\r\nx".encode()) == n
    again = DemoInbox(tmp_path / "inbox")
    assert [(mail.n, mail.subject) for mail in again] == [(1, "1"), (2, "2")]
    assert again.add(b"Subject: \xff\r\nContent-Type: text/plain; charset=x-none\r\n\r\n\xff") == 3
