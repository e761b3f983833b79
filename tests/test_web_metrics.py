"""What monitoring sees."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from mail2sms.breaker import Breaker
from mail2sms.money import Money
from mail2sms.store import Asking, Bundle, Left, NewNotice, NoticeClaim, NoticeOutcome, Outage, Store
from mail2sms.store.outages import down
from mail2sms.web import service
from tests.web_fakes import World, world


async def test_metrics_are_numbers_by_route_and_status(tmp_path: Path) -> None:
    """Route templates, never paths: those hold numbers."""
    async with world(tmp_path) as here:
        body = {"to": "+33639981234", "text": "x", "at": "2199-01-01T00:00Z"}
        await here.http.post("/api/v1/messages", json=body, headers=here.keyed())
        here.dispatch.attempts.spent.update({("sim", "EUR"): 45_000, ("b", "USD"): 2 * 8_300})
        await here.http.get("/sim/phones/+33639981234")
        await here.http.get("/nothing/+33639981234?to=+33639981234")
        async with here.http.get("/metrics") as answer:
            text = await answer.text()
        assert answer.content_type == "text/plain"
    assert "3363998" not in text
    for line in (
        'mail2sms_queue{status="queued"} 0.0',
        'mail2sms_queue{status="unknown"} 0.0',
        "mail2sms_notices 0.0",
        'mail2sms_cost_total{carrier="sim",currency="EUR"} 0.045',
        'mail2sms_cost_total{carrier="b",currency="USD"} 0.0166',
        "mail2sms_store_up 1.0",
        'mail2sms_http_requests_total{code="422",route="/api/v1/messages"} 1.0',
        'mail2sms_http_requests_total{code="200",route="/sim/phones/{msisdn}"} 1.0',
        'mail2sms_http_requests_total{code="404",route="other"} 1.0',
    ):
        assert f"\n{line}\n" in text
    assert re.search(r"^process_resident_memory_bytes \d", text, re.MULTILINE)
    assert re.search(r"^process_cpu_seconds_total \d", text, re.MULTILINE)


async def test_health(tmp_path: Path) -> None:
    """200 while the database answers and every part goes on; else 503 and which part does not."""
    failing: dict[str, str] = {}
    async with world(tmp_path, health=lambda: failing) as here:
        async with here.http.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok", "mode": "simulate"})
        failing["dispatch"] = "stalled"
        async with here.http.get("/healthz") as answer:
            assert answer.status == 503
            assert await answer.json() == {"status": "failing", "failing": {"dispatch": "stalled"}}


async def test_a_carrier_that_is_down_is_seen(tmp_path: Path) -> None:
    """Since when, until when it gets nothing, and why; it is the carrier's failure: a restart would not help."""
    how = Breaker(failures=5, down_since=1_778_571_660_000, until=1_778_571_665_000, why="connect refused")
    async with world(tmp_path) as here:
        account = here.context.account
        await here.context.store.mark(Outage(account=account, carrier="sim", breaker=how, now=how.until))
        async with here.http.get("/healthz") as answer:
            assert answer.status == 200
        async with here.http.get("/api/v1/health", headers=here.keyed()) as answer:
            health = await answer.json()
        assert health["status"] == "failing"
        assert health["parts"]["carrier sim"] == (
            "down since 2026-05-12T07:41:00.000Z, tried again at 2026-05-12T07:41:05.000Z: connect refused"
        )
        async with here.http.get("/metrics") as answer:
            assert 'mail2sms_carrier_up{carrier="sim"} 0.0' in await answer.text()


async def test_what_is_left_at_carriers_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those whose balance is watched; little is no failure yet."""
    monkeypatch.setattr(service, "_KEPT_S", 0.0)
    at = 1_778_571_660_000
    async with world(tmp_path) as here:
        account, carrier = here.context.account, here.context.carriers["sim"]
        await here.context.store.may_ask_balance(Asking(account=account, carrier="sim", every_ms=1))
        left = Left(account=account, carrier="sim", left=Money(18_200_000, "EUR"), at=at)
        await here.context.store.note_balance(left)
        for below, seen in (
            (None, None),
            (Money(20_000_000, "EUR"), True),
            (Money(18_200_000, "EUR"), False),
        ):
            carrier.balance_below = below
            async with here.http.get("/api/v1/health", headers=here.keyed()) as answer:
                health = await answer.json()
            assert health["status"] == "ok"
            told = {
                "left": "18.20 EUR",
                "below": str(below),
                "is_low": seen,
                "at": "2026-05-12T07:41:00.000Z",
            }
            assert health["balances"] == ({} if below is None else {"sim": told})
        async with here.http.get("/metrics") as answer:
            assert 'mail2sms_carrier_balance{carrier="sim",currency="EUR"} 18.2' in await answer.text()


async def test_emails_that_do_not_leave_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many failed so far, since when and why; what was never tried is no failure. A restart would not help."""
    monkeypatch.setattr(service, "_KEPT_S", 0.0)
    at, detail = 1_778_571_660_000, "smarthost 127.0.0.1:25: nothing listens there"
    async with world(tmp_path) as here:
        owed = [
            _owed(n, here.context.account, channel, at)
            for n, channel in enumerate(["email"] * 3 + ["hook-1"])
        ]
        await here.context.store.put(Bundle(id="n-0", at=at, notices=tuple(owed)))
        assert (await _told(here))["parts"]["relay"] == "ok"
        for channel, limit in (("email", 2), ("hook-1", 1)):
            claim = NoticeClaim(channel=channel, owner="node", now=at, lease_ms=9000, limit=limit)
            for notice in await here.context.store.claim_notices(claim):
                why = detail if channel == "email" else "the hook did not answer"
                failed = NoticeOutcome(notice=notice, status="queued", now=at, detail=why, due_at=at)
                assert await here.context.store.settle_notice(failed)
        claim = NoticeClaim(channel="email", owner="node", now=at, lease_ms=9000, limit=1)
        assert len(await here.context.store.claim_notices(claim)) == 1  # one is being tried again
        told = await _told(here)
        assert (told["status"], told["parts"]["relay"]) == (
            "failing",
            f"2 emails wait after failed tries, since 2026-05-12T07:41:00.000Z: {detail}; "
            "1 chat post waits after failed tries, since 2026-05-12T07:41:00.000Z: the hook did not answer",
        )
        async with here.http.get("/healthz") as answer:
            assert answer.status == 200


def _owed(number: int, account: str, channel: str, at: int) -> NewNotice:
    return NewNotice(
        id=f"n-{number}",
        account=account,
        kind="reply",
        channel=channel,
        address="marie@acme.example",
        created_at=at,
        due_at=at,
        expires_at=at * 2,
    )


async def test_asking_for_health_costs_the_database_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe every second reads nothing; who looks closer shares a look; a database that hangs shows at once."""
    reads: list[object] = []
    read = Store.read

    async def seen(self: Store, query: Any, *args: Any, **kwargs: Any) -> Any:
        if query is not down:  # what dispatch looks for now and then
            reads.append(query)
        return await read(self, query, *args, **kwargs)

    monkeypatch.setattr(Store, "read", seen)
    async with world(tmp_path) as here:
        for _ in range(5):
            async with here.http.get("/healthz") as answer:
                assert answer.status == 200
        assert reads == []
        asked = [_told(here) for _ in range(5)]
        assert {told["queue"] for told in await asyncio.gather(*asked)} == {0}
        assert len(reads) == 1
        monkeypatch.setattr(Store, "is_answering", False)
        async with here.http.get("/healthz") as answer:
            assert (answer.status, (await answer.json())["failing"]) == (503, {"store": "does not answer"})
        told = await _told(here)
        assert (told["status"], told["parts"]["store"]) == ("failing", "does not answer")
        async with here.http.get("/metrics") as answer:
            assert "mail2sms_store_up 0.0" in await answer.text()
        assert len(reads) == 1


async def _told(here: World) -> Any:
    async with here.control.get("/api/v1/health") as answer:
        return await answer.json()
