"""Carriers that are down: what all nodes see of it, and which messages go another way; on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mail2sms.breaker import Breaker
from mail2sms.lifecycle import Change
from mail2sms.model import Part, Status
from mail2sms.store import (
    Claim,
    Diverting,
    Intent,
    Outage,
    PartOutcome,
    Settlement,
    Store,
    events,
    outages,
    views,
)
from mail2sms.store.events import Following
from tests.fakes import ACCOUNT, NOW, bundle

DOWN = Breaker(failures=5, down_since=NOW, until=NOW + 5000, why="connect connection refused")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def mark(store: Store, breaker: Breaker, carrier: str = "sim-a", account: str = ACCOUNT) -> None:
    """Write how a carrier does."""
    await store.mark(Outage(account=account, carrier=carrier, breaker=breaker, now=NOW))


async def way_of(store: Store, id_: str) -> str:
    """Return the carrier that a message waits for."""
    view = await store.read(views.read_one, ACCOUNT, id_)
    assert view is not None
    return view.carrier


async def test_all_see_it_and_hear_of_it_once(store: Store) -> None:
    """However many nodes find it, and however long it lasts."""
    later = replace(DOWN, failures=6, until=NOW + 15_000)
    for breaker in (DOWN, DOWN, later):
        await mark(store, breaker)
    await mark(store, DOWN, "sim-b", "other.example")
    assert await store.read(outages.down, ACCOUNT) == {"sim-a": later}
    for _ in range(2):
        await mark(store, Breaker())
    assert await store.read(outages.down, ACCOUNT) == {}
    happened = await store.read(events.follow, ACCOUNT, Following(after=0, last=1 << 40))
    assert [(one.kind, one.carrier, one.status, one.detail) for one in happened.items] == [
        ("carrier", "sim-a", "down", DOWN.why),
        ("carrier", "sim-a", "up", ""),
    ]
    about_phone = Following(after=0, last=1 << 40, to="+33639981234")
    assert (await store.read(events.follow, ACCOUNT, about_phone)).items == ()


def diverting(*up: str, after: tuple[int, str] = (0, ""), now: int = NOW) -> Diverting:
    """Return the wish that what waits for sim-a goes another way."""
    return Diverting(carrier="sim-a", up=frozenset(up), after=after, now=now)


async def test_what_has_another_way_takes_it(store: Store) -> None:
    """In the order of its route; what is not due yet, or has no other, stays."""
    await store.put(bundle("m-1", route=("sim-a", "sim-b", "sim-c")))
    await store.put(bundle("m-2", route=("sim-a",)))
    await store.put(bundle("m-3", route=("sim-a", "sim-d")))
    await store.put(bundle("m-4", route=("sim-a", "sim-b"), due_at=NOW + 1))
    done = await store.divert(diverting("sim-b", "sim-c"))
    assert (done.count, done.last) == (1, (NOW, "m-3"))
    assert [await way_of(store, f"m-{n}") for n in (1, 2, 3, 4)] == ["sim-b", "sim-a", "sim-a", "sim-a"]
    assert (await store.divert(diverting("sim-b", "sim-c", after=done.last))).count == 0
    assert (await store.divert(diverting("sim-b", after=done.last, now=NOW + 1))).count == 1


async def test_a_long_queue_is_gone_through_piece_by_piece(store: Store) -> None:
    """What stays does not hide what is behind it."""
    for number in range(600):
        route = ("sim-a",) if number < 590 else ("sim-a", "sim-b")
        await store.put(bundle(f"m-{number:03}", route=route))
    first = await store.divert(diverting("sim-b"))
    assert (first.count, first.last) == (0, (NOW, "m-499"))
    assert (await store.divert(diverting("sim-b", after=first.last))).count == 10


async def test_what_has_begun_at_a_carrier_stays_there(store: Store) -> None:
    """Of a message in parts one was taken."""
    await store.put(bundle(route=("sim-a", "sim-b"), segments=2, expires_at=NOW + 60_000))
    (claimed,) = await store.claim(Claim(carrier="sim-a", owner="n", now=NOW, lease_ms=60_000, limit=9))
    parts = tuple(_part(claimed.mt.id, index) for index in (0, 1))
    assert await store.intend(Intent(mt=claimed.mt, parts=parts, now=NOW))
    outcomes = (
        PartOutcome(attempt_id="a-0", outcome="taken", carrier_message_id="x"),
        PartOutcome(attempt_id="a-1", outcome="unavailable", code="503"),
    )
    waits = Change(status=Status.QUEUED, reason="retry", due_at=NOW, position=0)
    await store.settle(Settlement(mt=claimed.mt, outcomes=outcomes, change=waits, now=NOW))
    assert (await store.divert(diverting("sim-b"))).count == 0
    assert await way_of(store, "m-1") == "sim-a"


def _part(message: str, index: int) -> Part:
    return Part(
        message=message,
        index=index,
        count=2,
        attempt_id=f"a-{index}",
        attempt=1,
        msisdn=bundle().messages[0].mt.msisdn,
        sender_id=bundle().messages[0].mt.sender_id,
        encoding="gsm7",
        segments=1,
        text="x",
        reference=1,
        expires_at=NOW + 60_000,
    )
