"""The demo: what its page is given, through the real listener, relay and mailbox."""

from __future__ import annotations

import asyncio
import html
import re
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mail2sms.web.demo import DemoInbox
from mail2sms.web.sent import SentMail
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


def handed_over(here: World, content: bytes, to: str = TO) -> tuple[int, str]:
    """Send a mail as any program does; returns the listener's last word."""
    smtp = here.context.demo_smtp
    assert smtp is not None
    with smtplib.SMTP(smtp.host, smtp.port, local_hostname="elsewhere.example") as client:
        client.ehlo()
        client.mail(MARIE.address)
        code, said = client.rcpt(to)
        if code < 400:
            code, said = client.data(content)
    return code, said.decode()


def mail(text: str, subject: str, html: bool = False) -> bytes:
    """Return a mail as a program writes it."""
    written = EmailMessage(policy=SMTP)
    written["From"], written["Subject"], written["Message-ID"] = MARIE.address, subject, f"<{subject}@x>"
    written.set_content(text, subtype="html" if html else "plain")
    return written.as_bytes()


async def steps(here: World, title: str) -> list[str]:
    """Return the card's steps on the page, without ids and numbers that change."""
    async with here.http.get("/demo") as answer:
        page = await answer.text()
    (card,) = [
        each for each in re.findall(r"<article id=\"s-.*?</article>", page, re.DOTALL) if title in each
    ]
    found = re.findall(r"<li id=.*?</li>", card, re.DOTALL)
    shown = (" ".join(re.sub(r"<[^>]+>", " ", each).split()) for each in found)
    return [re.sub(r"[mn]-[0-9A-Z]{16}|[0-9.]+ (?=bytes|m?s\b)", "… ", each) for each in shown]


@pytest.mark.parametrize("text", ["Bonjour\n\n-- \nMarie Dubois\nACME", "It’s 📦"])
async def test_card_is_the_same_by_whatever_door(here: World, text: str) -> None:
    """What was left out and why, size, sender ID and route: for a mail program's mail as for the page's own."""
    await send(here, TO, text, subject="By the page")
    code, _ = await asyncio.to_thread(handed_over, here, mail(text, "By a program"))
    assert code == 250

    async def both() -> bool:
        found = (await state(here))["messages"]
        return [one["status"] for one in found] == ["delivered"] * 2

    await until(both)
    typed, came = await steps(here, "By the page"), await steps(here, "By a program")
    assert typed == came
    assert any("Template simple" in step for step in came)


async def test_html_mail_shows_what_was_left_out_of_it(here: World) -> None:
    """The lines are those that the listener read."""
    html = '<p>Bonjour</p><div class="moz-signature">-- <br>Marie<br>ACME</div>'
    await asyncio.to_thread(handed_over, here, mail(html, "In HTML", html=True))
    assert any("Left out: signature (2 lines) Marie ACME" in step for step in await steps(here, "In HTML"))


async def test_refused_mail_of_another_program_has_its_card(here: World) -> None:
    """By an email that says why; and at once, by its address alone."""
    code, said = await asyncio.to_thread(handed_over, here, mail("To: 1\n\nx", "Wrong"), f"sms@{DOMAIN}")
    assert (code, said[:8]) == (250, "2.0.0 n-")

    async def told() -> list[Any] | None:
        return (await state(here))["inbox"] or None

    await until(told)
    received, refused, explained = await steps(here, "Wrong")
    assert received.startswith(f"↓ Received from {MARIE.address}")
    assert "No SMS sent" in refused
    assert "Open it" in explained
    code, said = await asyncio.to_thread(handed_over, here, b"", f"0123@{DOMAIN}")
    wanted, refused = await steps(here, "Somebody wants to write")
    assert f"0123@{DOMAIN}" in wanted
    assert f"Refused at once {code} {said}" in html.unescape(refused)


@pytest.mark.parametrize(
    ("to", "text", "look", "word"),
    [
        (TO, "Bonjour", "good", "✓ Accepted"),
        (f"sms@{DOMAIN}", "To: 1\n\nx", "bad", "✉ Not sent: an email in the inbox says why"),
        (f"0123@{DOMAIN}", "Bonjour", "bad", "! Refused"),
    ],
)
async def test_refusal_looks_like_one(here: World, to: str, text: str, look: str, word: str) -> None:
    """Though SMTP said 250: by its colour, and by a sign and words for who does not see that."""
    form = {"from": MARIE.address, "to": to, "subject": "", "text": text}
    async with here.http.post("/demo/send", data=form) as answer:
        found = re.search(
            r'<p id="result" class="result (\w+)".*?<b>(.*?)</b>', await answer.text(), re.DOTALL
        )
    assert found is not None
    assert found.groups() == (look, word)


@pytest.mark.parametrize(
    ("wish", "link"),
    [
        ("fr-CH, fr;q=0.9", '/help?lang=fr" lang="fr" hreflang="fr">Des mails qui marchent</a>'),
        ("pt", '/help?lang=en" lang="en" hreflang="en">Mail that works</a>'),
    ],
)
async def test_help_is_a_link_away(here: World, wish: str, link: str) -> None:
    """In the language of who reads."""
    async with here.http.get("/demo", headers={"Accept-Language": wish}) as answer:
        assert link in await answer.text()


async def test_reply_is_signed_by_whose_mailbox_it_is(here: World) -> None:
    """Never by another one; a machine has no signature."""
    for to, signature in ((MARIE.address, "-- \nMarie Dubois, ACME"), ("ups@x.example", None)):
        inbox = here.context.demo_inbox
        assert inbox is not None
        raw = f"From: {TO}\nTo: {to}\nReply-To: {TO}\nMessage-ID: <in.1@x>\n\nOui"
        n = inbox.add(raw.encode())
        async with here.http.post(f"/demo/reply/{n}", data={"text": "Merci"}) as answer:
            assert answer.status == 200
        text = list(inbox.sent)[-1].text
        assert text.startswith(f"Merci\n\n{signature}\n" if signature else "Merci\n\nOn ")


async def test_a_photo_can_be_seen(here: World) -> None:
    """The picture of a reply is served as a picture."""
    await send(here, f"33639980606@{DOMAIN}", "Photo ?")

    async def arrived() -> list[Any] | None:
        return (await state(here))["inbox"] or None

    (mail,) = await until(arrived)
    async with here.http.get(f"/demo/inbox/{mail['n']}/photos/0") as answer:
        assert (answer.status, answer.content_type) == (200, "image/png")
        assert (await answer.read()).startswith(b"\x89PNG")
    async with here.http.get("/demo", params={"phone": "33639980606"}) as answer:
        page = await answer.text()
    assert page.count(f'<a href="/demo/inbox/{mail["n"]}/photos/0" target="_blank"') == 2  # mail and phone
    for path in (f"/demo/inbox/{mail['n']}/photos/1", "/demo/inbox/99/photos/0", "/demo/inbox/99"):
        async with here.http.get(path) as answer:
            assert answer.status == 404


async def test_what_could_act_is_no_picture(here: World) -> None:
    """An SVG can hold a script: it is named, and only there in the raw email."""
    letter = EmailMessage()
    letter.set_content("Oui")
    letter.add_attachment(b"<svg/>", "image", "svg+xml", filename="a.svg")
    letter.add_attachment(b"\x89PNG", "image", "png", filename="b.png")
    assert here.context.demo_inbox is not None
    n = here.context.demo_inbox.add(letter.as_bytes())
    async with here.http.get("/demo") as answer:
        page = await answer.text()
    assert f"/demo/inbox/{n}/photos/0" not in page
    assert "a.svg" in page
    assert f'<img src="/demo/inbox/{n}/photos/1" alt="Photo: b.png">' in page
    async with here.http.get(f"/demo/inbox/{n}/photos/0") as answer:
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


async def test_an_inbox_in_a_folder_survives(tmp_path: Path) -> None:
    """`--keep`: the mails are there again, under their numbers."""
    first = DemoInbox(tmp_path / "inbox")
    for n in (1, 2):
        assert first.add(f"From: a@b.example\r\nSubject: {n}\r\n\r\nx".encode()) == n
    again = DemoInbox(tmp_path / "inbox")
    assert [(mail.n, mail.subject) for mail in again] == [(1, "1"), (2, "2")]
    assert again.seen == {1, 2}
    assert again.add(b"Subject: \xff\r\nContent-Type: text/plain; charset=x-none\r\n\r\n\xff") == 3


async def test_what_was_sent_survives(tmp_path: Path) -> None:
    """Beside the mails, as far as it is shown; a line that was torn is missing alone."""
    first = DemoInbox(tmp_path / "inbox")
    values = {"at": 1, "rcpts": (TO,), "code": 250, "reply": "2.0.0 m-1", "subject": "é"}
    first.sent.add(SentMail(**values, raw=b"\xff" * 100_000, text="x" * 20_000))
    with (tmp_path / "inbox" / "sent.jsonl").open("a") as file:
        file.write('{"at": 2, "rcp\n')
    first.sent.add(SentMail(**{**values, "at": 3}))
    again = DemoInbox(tmp_path / "inbox").sent
    assert [mail.at for mail in again] == [1, 3]
    assert list(again) == list(first.sent)
    kept = next(iter(again))
    assert (kept.size_bytes, len(kept.raw), len(kept.text)) == (100_000, 64_000, 10_000)
