"""What waits for approval, as its writer, its approver and the operator see it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mail2sms.accept import Accept
from mail2sms.ids import approval_key
from mail2sms.model import Proof
from mail2sms.money import Money
from mail2sms.routing import Route
from mail2sms.rules import approval
from mail2sms.rules._base import Policy
from mail2sms.rules._limits import Limit, Quotas
from tests.fakes import mt, writer
from tests.web_fakes import MARIE, World, until, world

PHONES = ["+33639981234", "+33639985678"]
APPROVER = "it@acme.example"
ABOVE = Quotas(approval_above=(Limit(1, "messages", "mail"),), approvers=(APPROVER,))
EUR = Money(45_000, "EUR")


@pytest.mark.parametrize(
    ("above", "count", "proof", "detail"),
    [
        ((Limit(2, "messages", "mail"),), 2, Proof.NETWORK, None),
        ((Limit(2, "messages", "mail"),), 3, Proof.NETWORK, "3 messages, more than 2"),
        ((Limit(2, "messages", "mail"),), 3, Proof.OPERATOR, None),
        ((Limit(90_000, "EUR", "mail"),), 2, Proof.LOGIN, None),
        (
            (Limit(9, "messages", "mail"), Limit(90_000, "EUR", "mail")),
            3,
            Proof.KEY,
            "0.135 EUR, more than 0.09 EUR",
        ),
    ],
)
def test_what_waits(above: tuple[Limit, ...], count: int, proof: Proof, detail: str | None) -> None:
    """More messages or money than one mail may ask for; the operator could release it himself."""
    messages = [mt(f"m-{n}", costs=(EUR,)) for n in range(count)]
    hold = approval.judge(messages, writer(proof=proof), Quotas(approval_above=above))
    assert (hold.detail if hold else None) == detail


async def order(here: World, to: list[str]) -> dict[str, Any]:
    """Ask for messages with a key."""
    body = {"to": to, "text": "Bonjour <b>", "sender_id": None}
    async with here.http.post("/api/v1/messages", json=body, headers=here.keyed()) as answer:
        assert answer.status == 202, await answer.text()
        return dict(await answer.json())


def guarded(here: World) -> None:
    """Let everything to more than one phone wait, from now on."""
    context = here.context
    policy: Policy = replace(context.accept.policy, quotas=ABOVE)
    door = Accept(context.store, policy, [Route(to=("any",), via=("sim",))], 3_600_000)
    object.__setattr__(context, "accept", door)


def link(here: World, id_: str, address: str = APPROVER) -> str:
    """Return the path of an approver's link."""
    return f"/approve/{id_}.{approval_key(here.context.store.reply_secret, id_, address)}"


async def waiting(here: World) -> list[dict[str, Any]]:
    """Return the open approvals."""
    async with here.control.get("/api/v1/approvals") as answer:
        return list((await answer.json())["items"])


@pytest.mark.parametrize(("word", "status"), [("release", "delivered"), ("refuse", "cancelled")])
async def test_the_link_shows_then_acts_once(tmp_path: Path, word: str, status: str) -> None:
    """GET decides nothing, however often a scanner comes; after a POST the other button does nothing."""
    async with world(tmp_path) as here:
        guarded(here)
        assert (await order(here, PHONES[:1]))["reason"] == ""
        answer = await order(here, PHONES)
        assert [(one["status"], one["reason"]) for one in answer["items"]] == [("queued", "approval")] * 2
        (open_,) = await waiting(here)
        path = link(here, open_["id"])
        for _ in range(3):
            async with here.http.get(path, headers={"Accept-Language": "fr"}) as page:
                text = await page.text()
                assert page.status == 200
        assert "Bonjour &lt;b&gt;" in text
        assert "+33 6 39 98 56 78" in text
        assert re.findall(r'action="([^"]+)"', text) == [f"{path}/release", f"{path}/refuse"]
        assert len(await waiting(here)) == 1
        async with here.http.post(f"{path}/{word}") as page:
            assert page.status == 200
        other = "refuse" if word == "release" else "release"
        async with here.http.post(f"{path}/{other}") as page:
            assert APPROVER in await page.text()
            assert "<form" not in await page.text()

        async def over() -> bool:
            found = []
            for item in answer["items"]:
                async with here.control.get(f"/api/v1/messages/{item['id']}") as message:
                    found.append((await message.json())["status"])
            return found == [status] * 2

        await until(over)


async def test_a_link_that_was_changed_shows_nothing(tmp_path: Path) -> None:
    """Nor that of somebody who approves no more."""
    async with world(tmp_path) as here:
        guarded(here)
        await order(here, PHONES)
        (open_,) = await waiting(here)
        good = link(here, open_["id"])
        for path in (good[:-1], f"{good}x", link(here, "v-none"), link(here, open_["id"], MARIE.address)):
            async with here.http.get(path) as page:
                assert page.status == 404
            async with here.http.post(f"{path}/release") as page:
                assert page.status == 404
        assert len(await waiting(here)) == 1


async def test_the_operator_decides_by_the_api(tmp_path: Path) -> None:
    """Once; a key may not."""
    async with world(tmp_path) as here:
        guarded(here)
        await order(here, PHONES)
        (open_,) = await waiting(here)
        path = f"/api/v1/approvals/{open_['id']}/release"
        async with here.http.post(path, headers=here.keyed()) as answer:
            assert answer.status == 403
        async with here.control.post(path) as answer:
            assert (await answer.json())["status"] == "released"
        async with here.control.post(path) as answer:
            assert answer.status == 409
        assert await waiting(here) == []
