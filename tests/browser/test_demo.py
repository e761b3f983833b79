"""The demo page as people use it: a real Chromium, a real demo, and the whole loop by mouse and keyboard."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

# Never playwright's sync API: it leaves its event loop running, and pytest-asyncio's tests fail after it.
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from mail2sms.endpoint import Endpoint
from mail2sms.web.demo_lan import Pairing, build
from mail2sms.web.server import WebServer
from tests.servers import free_port, program
from tests.web_fakes import DOMAIN, MARIE, world

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 30_000  # the machine may be busy; nothing waits that long by plan
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SWITCHES += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A demo that starts while the browser does."""
    folder = tmp_path_factory.mktemp("demo")
    ports = ["--smtp", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, "-m", "mail2sms", "demo", "--no-browser", *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(folder), "HOME": str(folder)},
    ) as child:
        try:
            yield child
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=30)
            assert (child.returncode, said) == (0, "Stopped; nothing was kept.\n")
        finally:
            child.kill()


@pytest.fixture(scope="module")
def address(demo: subprocess.Popen[str]) -> str:
    """The page of the running demo."""
    assert demo.stdout is not None
    first = demo.stdout.readline()
    assert first, demo.communicate()[1]
    return str(json.loads(first)["page"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(
    demo: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Browser]:
    """Debian's Chromium, with a home of its own."""
    expect.set_options(timeout=PATIENCE_MS)
    path, home = program("chromium", "chromium"), str(tmp_path_factory.mktemp("home"))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=SWITCHES, env={**os.environ, "HOME": home}, timeout=2 * PATIENCE_MS
        )
        yield browser
        await browser.close()


# In a picture's own tab its scripts, when they come late, meet the sandbox that is there for others.
_BY_PLAYWRIGHT = re.compile(
    r"Blocked script execution in '\S+/photos/\d+' because the document's frame is sandboxed"
)


@asynccontextmanager
async def opened(browser: Browser, address: str, width: int, **more: Any) -> AsyncIterator[Page]:
    """The page in a window; at the end, nothing may have gone wrong in it or gone out to another host."""
    page = await browser.new_page(
        viewport={"width": width, "height": 900}, locale="en-GB", reduced_motion="reduce", **more
    )
    page.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []
    context = page.context  # what opens from the page, too
    context.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    ours = "/".join(address.split("/")[:3]) + "/"
    context.on("request", lambda asked: None if asked.url.startswith(ours) else wrong.append(asked.url))
    await page.goto(address)
    yield page
    await page.close()
    assert [line for line in wrong if not _BY_PLAYWRIGHT.match(line)] == []


SMALLEST = """(() => {
    const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    const sizes = [];
    while (texts.nextNode()) {
        const around = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !around.checkVisibility()) continue;
        sizes.push(parseFloat(getComputedStyle(around).fontSize));
    }
    return Math.min(...sizes);
})()"""
"""The size of the smallest text, in pixels."""
WRAPPED = """[...document.querySelectorAll(".aligned")].filter((one) =>
    one.clientHeight > one.textContent.trimEnd().split("\\n").length * parseFloat(getComputedStyle(one).lineHeight) + 1
).length"""
"""How many blocks of an email are higher than their lines."""


@cache
def axe() -> str:
    """Deque's axe-core, as a script."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


async def nothing_bars(page: Page) -> None:
    """Nobody is kept out, whatever they read the page with, and in light and dark: axe-core finds nothing."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(axe())
    seen = """async (options) => (await axe.run({...options, resultTypes: ["violations"], preload: false}))
        .violations.map(v => [v.id, v.nodes.map(n => n.html)])"""
    assert await page.evaluate(seen, {"rules": {"target-size": {"enabled": True}}}) == []
    assert await page.evaluate(SMALLEST) >= 14
    await page.emulate_media(color_scheme="dark")
    assert await page.evaluate(seen, {"runOnly": ["color-contrast"]}) == []
    await page.emulate_media(color_scheme="light")


async def no_scrolling_sideways(page: Page) -> None:
    """Everything is as wide as the window."""
    assert await page.evaluate("document.documentElement.scrollWidth") == 360


async def until_shown(page: Page, text: str, where: Locator) -> None:
    """Load the page again until it shows something."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while await where.filter(has_text=text).count() == 0:
            await page.get_by_role("link", name="Show what is new").click()


def phone(page: Page) -> Locator:
    """The texts on the phone."""
    return page.get_by_label("Messages on the phone").get_by_role("listitem")


def cards(page: Page, title: str) -> Locator:
    """What mail2sms did with the emails of a subject."""
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=f"“{title}”"))


async def test_email_goes_to_the_phone_and_its_answer_comes_back_to_be_answered(
    browser: Browser, address: str
) -> None:
    """The first minute of everybody who tries it: press Send, write back, answer the email. Nothing is reloaded."""
    async with opened(browser, address, 1400) as page:
        await nothing_bars(page)
        await page.get_by_role("button", name="Send email").click()
        text = "Hello, your appointment is on Tuesday at 14:30. Does that suit you?"
        await expect(phone(page).filter(has_text=text)).not_to_contain_text("Marie")
        card = cards(page, "Your appointment")
        await expect(card.locator("del")).to_have_text("Marie Dubois, ACME\n12 rue de la Paix, Paris")
        for step in (
            "Received from marie@sms.demo.example",
            "Template simple",
            "Left out: signature",
            "67 characters, GSM-7, 1 part",
            "The phone shows +33 6 39 98 01 01",
            "FR → sim-a, else sim-b",
            "Delivered after",
        ):
            await expect(card).to_contain_text(step)
        await card.get_by_text("why?").first.click()
        await expect(card).to_contain_text("the whole text is the message")
        await page.get_by_text("Show the raw email").click()
        await expect(page.get_by_label("The email as it was sent")).to_contain_text(
            "Subject: Your appointment"
        )

        await page.get_by_label("Write an SMS back").fill("Oui, merci !")
        await page.get_by_role("button", name="Send the SMS").click()
        mail = page.get_by_role("article", name="Open email")
        await expect(mail).to_contain_text("Oui, merci !")
        await expect(card).to_contain_text("Reply from +33 6 39 98 12 34")
        await expect(card).to_contain_text("the whole text is the message")  # what was opened stays open

        await mail.get_by_label("Reply by email").fill("À mardi.")
        await mail.get_by_role("button", name="Send reply").click()
        await expect(phone(page).filter(has_text="À mardi.")).not_to_contain_text("Oui")
        await expect(cards(page, "Re: Your appointment")).to_contain_text("the email that is answered")
        await nothing_bars(page)


async def test_mistake_comes_back_with_its_place_and_the_corrected_message(
    browser: Browser, address: str
) -> None:
    """The refusal shows the line with a caret below what is wrong; its link fills the form."""
    async with opened(browser, address, 1400) as page:
        await page.get_by_role("link", name="A mistake").click()
        await expect(page.get_by_label("Email text")).to_have_value(re.compile("Expirs: 2h"))
        await page.get_by_role("button", name="Send email").click()
        await expect(page.get_by_role("status")).to_contain_text(
            ["", "✉ Not sent: an email in the inbox says why"]
        )
        await expect(cards(page, "Delivery")).to_contain_text("No SMS sent")
        mail = page.get_by_role("article", name="Open email")
        await expect(mail).to_contain_text(" 2 | Expirs: 2h\n   | ^^^^^^")
        await nothing_bars(page)
        await page.set_viewport_size({"width": 360, "height": 900})
        await no_scrolling_sideways(page)
        assert await page.evaluate(WRAPPED) == 0
        await mail.get_by_role("link", name="Send the corrected message").click()
        await expect(page.get_by_label("Email text")).to_have_value(re.compile("Expires: 2h"))
        await page.set_viewport_size({"width": 1400, "height": 900})
        await page.get_by_role("button", name="Send email").click()
        await expect(phone(page).filter(has_text="Your parcel has arrived.")).not_to_contain_text("##")
        sent = cards(page, "Delivery").filter(has_text="Delivered after")
        await expect(sent).to_contain_text("Template strict")


CHIPS = (
    ("Emoji", "Parcel", "📦 is not in the SMS alphabet, so all of it travels as Unicode.", "2 parts"),
    (
        "A number that does not exist",
        "Appointment",
        "Not delivered: the number does not exist",
        "Told marie@",
    ),
    ("STOP", "News", "This phone is written to no more", "Sent to marie@"),
    ("No report", "Reminder", "Waits for the carrier’s report", "sim-a took it"),
    ("Carrier down", "Alarm", "Not taken (503 carrier down): tried again, now by sim-b", "Delivered after"),
    ("A photo", "Damage", "and a photo", "Sent to marie@"),
)
"""What can be tried: the chip, the email's subject, and two steps that show it."""


async def test_each_chip_shows_what_it_says(browser: Browser, address: str) -> None:
    """A click fills the form, a second one sends it; what it is about appears. The photo opens by itself."""
    async with opened(browser, address, 1400) as page:
        for chip, title, *_ in CHIPS:
            await page.get_by_role("link", name=chip, exact=True).click()
            await expect(page.get_by_label("Subject")).to_have_value(title)
            await page.get_by_role("button", name="Send email").click()
            await expect(
                page.get_by_role("status").filter(has_text="✓ Accepted 250 2.0.0 m-")
            ).to_be_visible()
        for _, title, *steps in CHIPS:  # which meanwhile happened
            for step in steps:
                await expect(cards(page, title)).to_contain_text(step)
        mail = page.get_by_role("article", name="Open email")
        for picture in (mail.get_by_role("img", name="Photo: photo.png"), phone(page).get_by_role("img")):
            await expect(picture).to_have_js_property("naturalWidth", 320)
        await nothing_bars(page)
        async with page.expect_popup() as opening:
            await mail.get_by_role("link", name="Photo: photo.png").click()
        popup = await opening.value
        await expect(popup.get_by_role("img")).to_have_js_property("naturalWidth", 320)
        await popup.close()


async def test_narrow_window_has_tabs_and_nothing_beside_it(browser: Browser, address: str) -> None:
    """At 360 pixels, with everything open and a word that is wider, nobody has to scroll sideways."""
    async with opened(browser, address, 360) as page:
        await expect(page.get_by_role("heading", name="The phone")).to_be_hidden()
        await page.get_by_label("To", exact=True).fill("0639980404@sms.demo.example")  # as written in France
        await page.get_by_label("Subject").fill("Wide" * 30)
        await page.get_by_role("button", name="Send email").click()
        await cards(page, "Wide" * 30).get_by_role("link", name="Open it").click()
        mail = page.get_by_role("article", name="Open email")
        await expect(mail).to_contain_text("The number does not exist")
        await page.get_by_text("Show the raw email").click()
        await no_scrolling_sideways(page)
        await page.get_by_role("link", name="3 Phone").click()
        await expect(page.get_by_text("No phone has this number.")).to_be_visible()
        await no_scrolling_sideways(page)
        await nothing_bars(page)


async def test_works_by_the_keyboard_alone(browser: Browser, address: str) -> None:
    """What is reached by Tab shows where the focus is, and Enter sends."""
    async with opened(browser, address, 1400) as page:
        await page.get_by_label("Subject").focus()
        for _ in range(3):  # the text, the photo, the button
            await page.keyboard.press("Tab")
        focused = page.locator(":focus-visible")
        await expect(focused).to_have_text("Send email")
        outline = await focused.evaluate("element => getComputedStyle(element).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status").filter(has_text="250 2.0.0 m-")).to_be_visible()
        await page.get_by_role("link", name="Mail that works").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Mail that works")).to_be_visible()


async def test_without_a_script_one_can_send_see_and_answer(browser: Browser, address: str) -> None:
    """Plain links and forms; the page is loaded again to see what is new."""
    async with opened(browser, address, 1400, java_script_enabled=False) as page:
        await page.get_by_role("link", name="Emoji").click()
        await page.get_by_label("Subject").fill("No script")
        await page.get_by_role("button", name="Send email").click()
        await until_shown(page, "Delivered after", cards(page, "No script"))
        await page.get_by_label("Write an SMS back").fill("Sans script")
        await page.get_by_role("button", name="Send the SMS").click()
        await until_shown(page, "Sans script", page.get_by_role("article", name="Open email"))
        await page.get_by_label("Reply by email").fill("Answered so")
        await page.get_by_role("button", name="Send reply").click()
        await until_shown(page, "Answered so", phone(page).last)


async def test_a_real_phone_is_the_simulated_one(browser: Browser, tmp_path: Path) -> None:
    """The key of the QR code opens the phone once; texts arrive by themselves, and what is typed comes back."""
    async with world(tmp_path, is_demo=True) as here:
        place = Endpoint("127.0.0.1", free_port())
        pairing = Pairing(place)
        server = WebServer(build(here.context, pairing), endpoint=place)
        await server.start()
        async with opened(browser, pairing.page, 360) as page:
            await expect(page.get_by_text("No messages")).to_be_visible()
            draft = {"from": MARIE.address, "to": f"33639981234@{DOMAIN}", "text": "Bonjour"}
            async with here.http.post("/demo/send", json=draft) as answer:
                assert answer.status == 200
            await expect(phone(page)).to_contain_text("Bonjour")
            await page.get_by_label("Write an SMS back").fill("Oui")
            await page.get_by_role("button", name="Send the SMS").click()
            await expect(phone(page).filter(has_text="Oui")).to_be_visible()
            await nothing_bars(page)
            await no_scrolling_sideways(page)
        await server.stop()
