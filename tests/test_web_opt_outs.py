"""The list of opt-outs over the API and on the command line, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mail2sms.cli import console
from tests.web_fakes import MARIE, READER, SENDER, World, world

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPTOUTS = "/api/v1/optouts"
PHONE, OTHER, THIRD = "+33639981234", "+33639985678", "+33639981111"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A served bridge."""
    async with world(tmp_path_factory.mktemp("optouts")) as served:
        yield served


async def post(here: World, word: str, **body: object) -> dict[str, Any]:
    """Change the list as the operator."""
    async with here.control.post(f"{OPTOUTS}{word}", json=body) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def get(here: World, path: str = "", **query: str) -> dict[str, Any]:
    """Look at it."""
    async with here.control.get(f"{OPTOUTS}{path}", params=query) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def clear(here: World) -> None:
    """Take everybody off the list."""
    listed = (await get(here))["items"]
    if listed:
        await post(here, "/remove", to=[one["to"] for one in listed])


async def test_who_is_on_the_list_is_not_written_to(here: World) -> None:
    """The call is refused with the reason and what may be done; a dry run too; with others, they go."""
    added = await post(here, "", to=["06 39 98 12 34", "12"], by="anna")
    assert added["items"] == [{"to": PHONE, "changed": True, "cancelled": 0}]
    assert [(one["to"], one["type"]) for one in added["refused"]] == [("12", "number.invalid")]
    order = {"to": PHONE, "text": "Bonjour", "as": MARIE.address}
    for query in ("", "?dry_run=1"):
        async with here.control.post(f"/api/v1/messages{query}", json=order) as answer:
            assert answer.status == 422
            told = await answer.json()
        assert told["type"] == "optout"
        assert "your administrator can take the phone off the list" in told["detail"]
    async with here.control.post("/api/v1/messages", json={**order, "to": [OTHER, PHONE]}) as answer:
        accepted = await answer.json()
    assert [one["to"] for one in accepted["items"]] == [OTHER]
    assert [(one["to"], one["type"]) for one in accepted["refused"]] == [(PHONE, "optout")]
    await clear(here)


async def test_what_is_known_of_a_phone(here: World) -> None:
    """Who put it there and took it off, and when."""
    await post(here, "", to=THIRD, sender_id="ACME", by="anna")
    known = await get(here, "/lookup", to=THIRD)
    assert [(one["sender_id"], one["source"], one["by"]) for one in known["items"]] == [
        ("acme", "operator", "anna")
    ]
    await post(here, "/remove", to=THIRD, by="boris")
    known = await get(here, "/lookup", to=THIRD)
    assert known["items"] == []
    assert [(one["by"], one["did"]) for one in known["history"]] == [
        ("anna", "opt_out.add"),
        ("boris", "opt_out.remove"),
    ]


async def test_pages_of_the_list(here: World) -> None:
    """All of it, whatever a page holds; a number that was forgotten is a hash."""
    await post(here, "", to=[PHONE, OTHER, THIRD], imported=True)
    assert (await post(here, "/forget", to=OTHER))["items"][0]["changed"]
    found, after = [], {}
    while True:
        page = await get(here, "", limit="1", **after)
        found += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert len(found) == 3
    assert {one["to"] for one in found if one["to"].startswith("+")} == {PHONE, THIRD}
    assert {one["source"] for one in found} == {"import"}
    await post(here, "/remove", to=OTHER)
    await clear(here)


async def test_who_may_what(here: World) -> None:
    """A program that sends may add; only the operator takes off, and only a program that reads looks."""
    cases = [
        ("POST", "", SENDER, {"to": PHONE}, 200),
        ("POST", "", READER, {"to": PHONE}, 403),
        ("POST", "/remove", SENDER, {"to": PHONE}, 403),
        ("POST", "/forget", SENDER, {"to": PHONE}, 403),
        ("GET", "", READER, None, 200),
        ("GET", "", SENDER, None, 403),
        ("GET", "?after=x", READER, None, 400),
        ("POST", "", SENDER, {"to": PHONE, "sender_id": "a name that is too long"}, 422),
    ]
    for method, path, key, body, status in cases:
        async with here.http.request(
            method, f"{OPTOUTS}{path}", json=body, headers={"authorization": f"Bearer {key}"}
        ) as answer:
            assert answer.status == status, (path, await answer.text())
    assert [(one["source"], one["by"]) for one in (await get(here))["items"]] == [("api", "sender")]
    await clear(here)


async def test_a_class_is_what_the_order_or_the_key_says(here: World) -> None:
    """It is shown with the message."""
    order = {"to": THIRD, "text": "Soldes", "as": MARIE.address, "class": "marketing"}
    async with here.control.post("/api/v1/messages", json=order) as answer:
        id_ = (await answer.json())["id"]
    async with here.control.get(f"/api/v1/messages/{id_}") as answer:
        assert (await answer.json())["class"] == "marketing"


def run(here: World, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Type a verb; return its exit code and what it printed."""
    code = console.run(["optout", *words, "--socket", str(here.socket)])
    printed = capfd.readouterr().out.splitlines(keepends=True)
    return code, "".join(line for line in printed if "[info " not in line)  # the server's log


async def typed(here: World, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The same, beside the server."""
    return await asyncio.to_thread(run, here, capfd, *words)


async def test_the_command_line(here: World, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Add, look, export, take off, and import what was exported."""
    assert await typed(here, capfd, "add", PHONE, OTHER) == (0, "2 phones added\n")
    assert await typed(here, capfd, "add", PHONE) == (0, "0 phones added, 1 phone as before\n")
    code, shown = await typed(here, capfd, "lookup", PHONE)
    assert code == 0
    assert "+33 6 39 98 12 34 must not be written to\n  from all of ours: operator, by " in shown
    code, shown = await typed(here, capfd, "list")
    assert shown.count("+33 6 39 98") == 2
    code, exported = await typed(here, capfd, "export")
    assert exported.startswith("\ufeffto;sender_id;source;keyword;by;at\r\n33639981234;;operator;;")
    assert await typed(here, capfd, "remove", PHONE, OTHER, "--yes") == (0, "2 phones removed\n")
    assert (await typed(here, capfd, "lookup", PHONE))[0] == 0
    file = tmp_path / "list.csv"
    for text in (exported, "33639981234\n06 39 98 56 78\n", "name,phone\nA,+33639981234\nB,+33639985678\n"):
        file.write_text(text, encoding="utf-8", newline="")
        assert await typed(here, capfd, "import", str(file)) == (0, "2 phones added\n")
        assert await typed(here, capfd, "remove", PHONE, OTHER, "--yes") == (0, "2 phones removed\n")
