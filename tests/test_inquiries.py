"""Asking carriers what became of what they did not report: whom, how often, and what stands still meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.dispatch import Dispatch, inquiries
from mail2sms.dispatch.inquiries import Inquiries
from mail2sms.errors import Unavailable
from mail2sms.heard import Sent
from mail2sms.inbound import Inbound
from mail2sms.model import DeliveryReport, Part, Status, Taken
from mail2sms.store import NewMessage, Store
from tests.fakes import ACCOUNT, bundle, mt

MINUTE = 60_000
MANY = 250  # more than are read at once


class Askable(Carrier):
    """Takes all, reports nothing, and remembers what it was asked; `stands` while it gives no answer."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asks_after_ms = MINUTE
        self.asked: list[str] = []
        self.stands: BaseException | None = None

    async def send(self, part: Part) -> Taken:
        """Take it."""
        return Taken(carrier_message_id=part.attempt_id)

    async def ask(self, sent: Sent) -> None:
        """Remember."""
        if self.stands is not None:
            raise self.stands
        self.asked.append(sent.carrier_message_id)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/x.db")
    yield opened
    await opened.close()


class Clock:
    """The time as the inquiries see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_ms = 0
        monkeypatch.setattr(inquiries, "now_ms", lambda: now_ms() + self.ahead_ms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Now, until a test says otherwise."""
    return Clock(monkeypatch)


async def sent_by(store: Store, *carriers: Carrier, count: int = 1) -> None:
    """Send messages of one moment by each of these, and stop."""
    now = now_ms()
    times = {"created_at": now, "due_at": now, "expires_at": now + 60 * MINUTE}
    for carrier in carriers:
        ids = [f"m-{carrier.name}-{number}" for number in range(count)]
        made = [mt(id_, submission=ids[0], route=(carrier.name,), **times) for id_ in ids]
        messages = tuple(NewMessage(mt=one, reply_key=f"k{one.id}") for one in made)
        await store.put(replace(bundle(ids[0]), messages=messages))
    dispatch = Dispatch(store, {c.name: c for c in carriers}, "node", "hold", ACCOUNT)
    running = asyncio.create_task(dispatch.run())
    async with asyncio.timeout(20):
        while dispatch.attempts.sent < count * len(carriers):
            await asyncio.sleep(0.01)
    dispatch.stop()
    await running


async def report(store: Store, id_: str, status: Status) -> None:
    """Hear of one part."""
    heard = DeliveryReport(
        carrier="a", carrier_message_id=id_, status=status, at=now_ms(), event_id=f"{id_}/{status}"
    )
    await Inbound(store, ACCOUNT, {}, "", 60 * MINUTE).record(heard)


async def test_each_is_asked_about_in_its_time_and_then_ever_more_rarely(store: Store, clock: Clock) -> None:
    """Not before a minute; then after one, two and four more."""
    carrier = Askable("a")
    await sent_by(store, carrier)
    asking = Inquiries(store, ACCOUNT, [carrier])
    counts = []
    for minutes in (0.5, 1.1, 1.6, 2.2, 3.0, 4.3, 6.0, 8.4):
        clock.ahead_ms = int(minutes * MINUTE)
        await asking.look()
        counts.append(len(carrier.asked))
    assert counts == [0, 1, 1, 2, 2, 3, 3, 4]


async def test_none_of_many_is_left_out(store: Store, clock: Clock) -> None:
    """All of one moment, a hundred at a time, the same number of times each."""
    carrier = Askable("a")
    await sent_by(store, carrier, count=MANY)
    clock.ahead_ms = 2 * MINUTE
    asking = Inquiries(store, ACCOUNT, [carrier])
    for wanted in (100, 200, MANY, MANY):
        await asking.look()
        assert len(set(carrier.asked)) == len(carrier.asked) == wanted
    clock.ahead_ms = 6 * MINUTE
    for _ in range(3):
        await asking.look()
    assert set(Counter(carrier.asked).values()) == {2}


async def test_what_is_on_its_way_is_not_the_last_word(store: Store, clock: Clock) -> None:
    """One that was reported so is asked about; one that arrived, not."""
    carrier = Askable("a")
    await sent_by(store, carrier, count=3)
    clock.ahead_ms = 2 * MINUTE
    asking = Inquiries(store, ACCOUNT, [carrier])
    await asking.look()
    delivered, enroute, silent = carrier.asked
    await report(store, delivered, Status.DELIVERED)
    await report(store, enroute, Status.ENROUTE)
    carrier.asked.clear()
    clock.ahead_ms = 5 * MINUTE
    await asking.look()
    assert sorted(carrier.asked) == sorted([enroute, silent])


@pytest.mark.parametrize("what", [Unavailable("429", "too many"), RuntimeError("a fault")])
async def test_who_gives_no_answer_holds_up_nobody_and_is_asked_again(
    store: Store, clock: Clock, what: Exception
) -> None:
    """It is asked once in a look, and goes on where it stood. Nor does a fault of ours end more than that."""
    down, well = Askable("a"), Askable("b")
    await sent_by(store, down, well, count=2)
    clock.ahead_ms = 2 * MINUTE
    down.stands = what
    asking = Inquiries(store, ACCOUNT, [down, well])
    await asking.look()
    assert (len(down.asked), len(well.asked)) == (0, 2)
    down.stands = None
    await asking.look()
    assert (len(down.asked), len(well.asked)) == (2, 2)


async def test_who_can_not_be_asked_is_not(store: Store, clock: Clock) -> None:
    """Nor about what another took."""
    silent, carrier = Askable("a"), Askable("b")
    silent.asks_after_ms = 0
    await sent_by(store, silent, carrier)
    clock.ahead_ms = 2 * MINUTE
    await Inquiries(store, ACCOUNT, [silent, carrier]).look()
    assert (silent.asked, len(carrier.asked)) == ([], 1)
