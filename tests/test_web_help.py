"""The help page: every language, every example and code, for anybody, and nothing from elsewhere."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mail2sms import wording
from mail2sms.reasons import REASONS
from mail2sms.web import help
from tests.web_fakes import DOMAIN, World, world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A served bridge whose template is shown as its language."""
    changes = {"language": "it", "template_example": "A: 06 in {}".format}
    async with world(tmp_path_factory.mktemp("help"), **changes) as served:
        yield served


@pytest.mark.parametrize("language", help.LANGUAGES)
async def test_a_page_shows_mails_texts_and_reasons(here: World, language: str) -> None:
    """All examples with our domain, all codes that people are told, the template, the other languages."""
    async with here.http.get("/help", params={"lang": language}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        page = await answer.text()
    assert f'<html lang="{language}">' in page
    readable = html.unescape(re.sub(r"<[^>]+>", "", page))
    for name in help.EXAMPLES:
        shown = help.example(name, language)
        assert shown.text in readable
        assert shown.mail.replace(help.DOMAIN, DOMAIN) in readable
    told = {code for code, reason in REASONS.items() if reason.tell != "nobody"}
    codes = re.findall(r'<dt id="([^"]+)"><code>\1</code>', page)
    assert (set(codes), len(codes)) == (told, len(told))
    kinds = re.findall(r'<details id="codes-(\w+)">\n<summary><h3>([^<]+)</h3>', page)
    assert [kind for kind, title in kinds if title.strip()] in (
        list(help._KINDS),
        [*help._KINDS, help._OTHER],
    )
    for listed in re.findall(r"<dl>(.*?)</dl>", page, re.DOTALL):
        assert not re.search(r"\?|\{|\}|\[|\]|None", listed)
    assert f"A: 06 in {language}" in readable
    assert all(f'href="/help?lang={other}"' in page for other in help.LANGUAGES if other != language)
    assert "http" not in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("asked", "accepted", "chosen"),
    [
        ("de", "fr", "de"),
        ("", "fr-CH, en;q=0.8", "fr"),
        ("", "pt-BR, IT;q=0.9, de", "it"),
        ("xx", "", "it"),
        ("../..", "*", "it"),
        ("", "", "it"),
    ],
)
async def test_the_language(asked: str, accepted: str, chosen: str) -> None:
    """What was asked for, what the browser prefers, what the bridge is set to."""
    assert help.choose(asked, accepted, "it") == chosen


async def test_it_speaks_every_language_of_the_emails() -> None:
    """A new one is noticed here."""
    assert set(help.LANGUAGES) == set(wording.LANGUAGES)


async def test_a_language_that_is_not_there_falls_back() -> None:
    """English is always there."""
    assert help.choose("", "", "pt") == "en"


async def test_its_style_sheet_is_ours(here: World) -> None:
    """And so is everything else that a page needs."""
    async with here.http.get("/static/help.css") as answer:
        assert (answer.status, answer.content_type) == (200, "text/css")
