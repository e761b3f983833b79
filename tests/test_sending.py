"""The switch that stops all sending, as the operator and others see it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.web_fakes import MARIE, READER, World, until, world

PHONE = "+33639981234"


async def order(here: World, text: str) -> tuple[int, dict[str, Any]]:
    """Ask for one message, as Marie."""
    body = {"to": PHONE, "text": text, "as": MARIE.address}
    async with here.control.post("/api/v1/messages", json=body) as answer:
        return answer.status, await answer.json()


async def switch(here: World, word: str, **more: bool) -> dict[str, Any]:
    """Turn it."""
    async with here.control.post(f"/api/v1/sending/{word}", json=more) as answer:
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())


async def test_mail_is_taken_and_waits_until_it_goes_on(tmp_path: Path) -> None:
    """Nothing reaches a phone; health, events and metrics say why; then all goes out."""
    async with world(tmp_path) as here:
        stopped = await switch(here, "stop")
        assert (stopped["is_stopped"], stopped["refuses"]) == (True, False)
        assert (await order(here, "waits"))[0] == 202
        for _ in range(10):
            await asyncio.sleep(0)
        async with here.http.get("/api/v1/health", headers=here.keyed(READER)) as answer:
            health = await answer.json()
        assert (health["status"], health["stopped_at"]) == ("ok", stopped["since"])
        async with here.http.get("/api/v1/events", headers=here.keyed(READER)) as answer:
            assert (await answer.json())["is_stopped"]
        async with here.http.get("/metrics") as answer:
            assert "\nmail2sms_sending_stopped 1.0\n" in await answer.text()
        assert here.sim.phones.shown(PHONE) == []
        await switch(here, "resume")
        await until(lambda: _shown(here))
        async with here.http.get("/api/v1/sending", headers=here.keyed(READER)) as answer:
            assert await answer.json() == {"is_stopped": False, "since": None, "refuses": False}


async def _shown(here: World) -> bool:
    return bool(here.sim.phones.shown(PHONE))


async def test_mail_is_refused_where_that_is_wanted(tmp_path: Path) -> None:
    """With the reason, and the same order is taken afterwards."""
    async with world(tmp_path) as here:
        await switch(here, "stop", refuse=True)
        status, answer = await order(here, "later")
        assert (status, answer["type"]) == (422, "sending.stopped")
        await switch(here, "resume")
        assert (await order(here, "later"))[0] == 202


async def test_only_the_operator_turns_it(tmp_path: Path) -> None:
    """A key that may send may not stop everybody."""
    async with (
        world(tmp_path) as here,
        here.http.post("/api/v1/sending/stop", json={}, headers=here.keyed()) as answer,
    ):
        assert answer.status == 403
