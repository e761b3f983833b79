"""The demo page as people use it: a real Chromium, a real demo, and the whole loop by mouse and keyboard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

# Never playwright's sync API: it leaves its event loop running, and pytest-asyncio's tests fail after it.
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from tests.servers import program

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 30_000  # the machine may be busy; nothing waits that long by plan
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SWITCHES += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a running demo."""
    folder = tmp_path_factory.mktemp("demo")
    ports = ["--smtp", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, "-m", "mail2sms", "demo", "--no-browser", *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(folder), "HOME": str(folder)},
    ) as child:
        assert child.stdout is not None
        try:
            first = child.stdout.readline()
            assert first, child.communicate()[1]
            yield json.loads(first)["page"]
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=30)
            assert (child.returncode, said) == (0, "Stopped; nothing was kept.\n")
        finally:
            child.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """Debian's Chromium, with a home of its own."""
    expect.set_options(timeout=PATIENCE_MS)
    path, home = program("chromium", "chromium"), str(tmp_path_factory.mktemp("home"))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=SWITCHES, env={**os.environ, "HOME": home}, timeout=2 * PATIENCE_MS
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def opened(browser: Browser, address: str, width: int) -> AsyncIterator[Page]:
    """The page in a window; at the end, nothing may have gone wrong in it or gone out to another host."""
    page = await browser.new_page(viewport={"width": width, "height": 900}, locale="en-GB")
    page.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    ours = address.removesuffix("demo")
    page.on("request", lambda asked: None if asked.url.startswith(ours) else wrong.append(asked.url))
    await page.goto(address)
    yield page
    await page.close()
    assert wrong == []


def phone(page: Page) -> Locator:
    """The texts on the phone."""
    return page.get_by_label("Messages on the phone").get_by_role("listitem")


def cards(page: Page, title: str) -> Locator:
    """What mail2sms did with the emails of a subject."""
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=f"“{title}”"))


def inbox(page: Page, subject: str) -> Locator:
    """The emails of a subject."""
    return page.get_by_role("list", name="Inbox").get_by_role("button").filter(has_text=subject)


async def test_email_goes_to_the_phone_and_its_answer_comes_back_to_be_answered(
    browser: Browser, address: str
) -> None:
    """The first minute of everybody who tries it: press Send, write back, answer the email."""
    async with opened(browser, address, 1400) as page:
        await page.get_by_role("button", name="Send email").click()
        text = "Hello, your appointment is on Tuesday at 14:30. Does that suit you?"
        await expect(phone(page).filter(has_text=text)).not_to_contain_text("Marie")
        card = cards(page, "Your appointment")
        await expect(card).to_contain_text("Signature left out")
        await expect(card.locator("del")).to_have_text("Marie Dubois, ACME\n12 rue de la Paix, Paris")
        await expect(card).to_contain_text("Delivered after")

        await page.get_by_label("Write an SMS back").fill("Oui, merci !")
        await page.get_by_role("button", name="Send the SMS").click()
        await expect(card).to_contain_text("Reply from +33 6 39 98 12 34")
        await inbox(page, "Re: Your appointment").click()
        mail = page.get_by_role("article", name="Open email")
        await expect(mail).to_contain_text("Oui, merci !")

        await mail.get_by_label("Reply by email").fill("À mardi.")
        await mail.get_by_role("button", name="Send reply").click()
        answer = phone(page).filter(has_text="À mardi.")
        await expect(answer).not_to_contain_text("Oui")
        await expect(cards(page, "Re: Your appointment")).to_contain_text(
            "Signature and quoted email left out"
        )


async def test_mistake_comes_back_with_its_place_and_one_click_sends_the_corrected_email(
    browser: Browser, address: str
) -> None:
    """The refusal shows the line with a caret below what is wrong."""
    async with opened(browser, address, 1400) as page:
        await page.get_by_role("button", name="A mistake").click()
        await page.get_by_role("button", name="Send email").click()
        refused = cards(page, "Delivery").filter(has_text="No SMS sent")
        await refused.get_by_role("button", name="Open it").click()
        mail = page.get_by_role("article", name="Open email")
        await expect(mail).to_contain_text("   2 | Expirs: 2h\n     | ^^^^^^ There is no field “Expirs”.")
        await expect(mail).to_contain_text("Did you mean “Expires”?")
        await mail.get_by_role("button", name="Send the corrected email").click()
        await expect(phone(page).filter(has_text="Your parcel has arrived.")).not_to_contain_text("##")
        await expect(cards(page, "Delivery").filter(has_text="Delivered after")).to_be_visible()


async def test_narrow_window_has_nothing_beside_it(browser: Browser, address: str) -> None:
    """At 360 pixels, with everything open and a word that is wider, nobody has to scroll sideways."""
    async with opened(browser, address, 360) as page:
        await page.get_by_label("To", exact=True).fill("0639980404@sms.demo.example")  # as written in France
        await page.get_by_label("Subject").fill("Wide" * 30)
        await page.get_by_role("button", name="Send email").click()
        await page.get_by_text("Show the raw email").click()
        await cards(page, "Wide" * 30).get_by_role("button", name="Open it").click()
        mail = page.get_by_role("article", name="Open email")
        await expect(mail).to_contain_text("The number does not exist")
        await expect(page.get_by_text("No phone has this number.")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
