"""What administrators are told of carriers, from what the dispatcher finds to the words of the email."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from mail2sms import breaker, dispatch
from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.dispatch import Dispatch
from mail2sms.errors import Unavailable
from mail2sms.model import Part, Taken
from mail2sms.money import Money, read
from mail2sms.relay.house import House
from mail2sms.relay.letters import Letters
from mail2sms.render import Render
from mail2sms.store import Notice, NoticeClaim, Store, balances
from tests.fakes import ACCOUNT, bundle

IT = "it@acme.example"
HOUSE = House(domain=ACCOUNT, country="FR", template_mailbox="sms", language="en", zone="Europe/Paris")
HOUR = 3_600_000


class Ailing(Carrier):
    """Takes nothing until it is `well`; says what is left, or nothing."""

    is_well = False
    left: Money | None = None
    asked = 0
    silence: Exception = Unavailable("500", "no answer that says what is left")

    async def send(self, part: Part) -> Taken:
        if not self.is_well:
            raise Unavailable("503", "not available")
        return Taken(carrier_message_id=part.attempt_id)

    async def balance(self) -> Money:
        self.asked += 1
        if self.left is None:
            raise self.silence
        return self.left


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/x.db")
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def dispatching(store: Store, carrier: Carrier) -> AsyncIterator[None]:
    """Dispatch, with somebody to tell."""
    loop = Dispatch(store, {carrier.name: carrier}, "node", "hold", ACCOUNT)
    loop.attempts.policy = replace(
        loop.attempts.policy, quotas=replace(loop.attempts.policy.quotas, approvers=(IT,))
    )
    running = asyncio.create_task(loop.run())
    yield
    loop.stop()
    await running


async def told(store: Store, is_it: Callable[[Notice], bool]) -> tuple[str, str]:
    """Wait for a notice; return subject and text of its email."""
    letters = Letters(store, HOUSE, Render())
    async with asyncio.timeout(20):
        while True:
            claim = NoticeClaim(channel="email", owner="n", now=now_ms(), lease_ms=HOUR, limit=10)
            for notice in await store.claim_notices(claim):
                if is_it(notice):
                    letter = await letters.email(notice)
                    assert letter is not None
                    assert letter.to == IT
                    mail = message_from_bytes(letter.content, policy=policy.default)
                    body = mail.get_body(("plain",))
                    assert body is not None
                    return mail["Subject"], body.get_content()
            await asyncio.sleep(0.02)


async def test_an_outage_and_its_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why it is down, then that it is up again."""
    monkeypatch.setattr(breaker, "_FIRST_PAUSE_MS", 300)
    monkeypatch.setattr(dispatch.outages, "_LONG_MS", 0)
    monkeypatch.setattr(dispatch, "_RENEW_S", 0.05)
    now = now_ms()
    times = {"created_at": now, "due_at": now, "expires_at": now + HOUR}
    for number in range(8):
        await store.put(bundle(f"m-{number}", route=("orange",), **times))  # type: ignore[arg-type]
    carrier = Ailing("orange")
    async with dispatching(store, carrier):
        subject, text = await told(store, lambda notice: notice.kind == "down")
        assert "orange is down since" in subject
        assert "503 not available" in text
        carrier.is_well = True
        await store.put(bundle("m-9", route=("orange",), **times))  # type: ignore[arg-type]
        subject, text = await told(store, lambda notice: notice.kind == "up")
    assert subject == "SMS carrier orange works again"
    assert "It was down since" in text


async def test_little_left(store: Store) -> None:
    """It is asked for once in its time, whatever else there is to do; the amount is told."""
    carrier = Ailing("orange")
    carrier.left, carrier.balance_below = read("18.20 EUR"), read("20 EUR")
    async with dispatching(store, carrier):
        subject, text = await told(store, lambda notice: notice.kind == "balance")
    assert subject == "SMS carrier orange: 18.20 EUR left"
    assert "less than 20" in text
    assert carrier.asked == 1


@pytest.mark.parametrize("silence", [Ailing.silence, RuntimeError("a fault")])
@pytest.mark.parametrize("is_watched", [True, False])
async def test_who_says_nothing_is_not_asked_again_at_once(
    store: Store, is_watched: bool, silence: Exception
) -> None:
    """Not even where the fault is ours. And who is not watched, never."""
    carrier = Ailing("orange")
    carrier.silence = silence
    carrier.balance_below = read("20 EUR") if is_watched else None
    for _ in range(3):
        await dispatch.balances.look(store, ACCOUNT, [carrier], (IT,))
    assert carrier.asked == int(is_watched)
    assert await store.read(balances.read_balances, ACCOUNT) == {}
