"""Claims at rates, on SQLite and on PostgreSQL, where two nodes share them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from mail2sms.lifecycle import RESEND
from mail2sms.model import MessageClass, SenderId
from mail2sms.options import Rate
from mail2sms.rates import ANY, Rates
from mail2sms.store import RatedClaim, RatedClaimed, Regathering, Rerouting, Stop, Store, views
from mail2sms.store.engine import reader_engine
from tests.fakes import ACCOUNT, NOW, OURS, bundle

OTHER = SenderId("ACME")
NOBODY = RatedClaimed(again_ms=20, is_closed=True)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def queue(store: Store, count: int, *, first: int = 0, **changes: object) -> None:
    """Queue so many messages; ids tell their order."""
    ids = [f"m-{first + n:05}" for n in range(count)]
    due = {"due_at": NOW - 100_000 + first, **changes}
    await asyncio.gather(*(store.put(bundle(id_, **due)) for id_ in ids))


async def claim(
    store: Store, rates: Rates, *, limit: int = 10, now: int = NOW, owner: str = "n"
) -> RatedClaimed:
    """Claim what the rates allow."""
    wanted = RatedClaim(
        carrier="sim-a", owner=owner, now=now, lease_ms=60_000, limit=limit, account=ACCOUNT, rates=rates
    )
    return await store.claim_at_rate(wanted)


def ids(found: RatedClaimed) -> list[str]:
    """Return the ids of what was claimed, in order."""
    return sorted(one.mt.id for one in found.claimed)


async def test_a_place_is_given_away_once(store: Store) -> None:
    """One a minute: the second is to be asked for when its time has nearly come."""
    await queue(store, 5)
    rates = Rates(whole=Rate(1, 60))
    first, second = await claim(store, rates), await claim(store, rates)
    assert (ids(first), first.claimed[0].wait_ms) == (["m-00000"], 0)
    assert ids(second) == []
    assert second.is_closed
    assert second.again_ms == pytest.approx(58_750, abs=2_000)
    assert await claim(store, replace(rates, whole=Rate(60, 60))) != second, "another rate holds at once"


async def test_places_ahead_are_waited_for(store: Store) -> None:
    """What goes within the next second is claimed, each with its time; its text is with it."""
    await queue(store, 30)
    found = await claim(store, Rates(whole=Rate(10, 1)), limit=30)
    assert [one.wait_ms for one in sorted(found.claimed, key=lambda one: one.mt.id)] == [
        100 * n for n in range(13)
    ]
    assert {one.mt.text for one in found.claimed} == {"Bonjour"}


async def test_who_waits_for_his_number_keeps_nobody_waiting(store: Store) -> None:
    """Hundreds of one number are before those of another, which are claimed at once; theirs stand in line."""
    await queue(store, 300, sender_id=OURS)
    await queue(store, 3, first=300, sender_id=OTHER)
    found = await claim(store, Rates(senders={OURS.lower(): Rate(1, 5)}))
    assert ids(found) == ["m-00000", "m-00300", "m-00301", "m-00302"]
    assert found.again_ms == pytest.approx(5_000, abs=500)
    line = [await store.read(views.read_one, ACCOUNT, f"m-{n:05}") for n in (1, 2, 299)]
    assert [(view.reason, view.due_at - NOW) for view in line if view] == [
        ("rate", pytest.approx(at, abs=500)) for at in (5_000, 10_000, 299 * 5_000)
    ]


async def test_an_alarm_takes_the_next_place_of_its_number(store: Store) -> None:
    """Before those that stand in line."""
    rates = Rates(senders={ANY: Rate(1, 5)})
    await queue(store, 20)
    assert ids(await claim(store, rates)) == ["m-00000"]
    await queue(store, 1, first=500, class_=MessageClass.ALARM, due_at=NOW)
    assert ids(await claim(store, rates)) == []
    alarm = await store.read(views.read_one, ACCOUNT, "m-00500")
    assert alarm is not None
    assert alarm.due_at - NOW == pytest.approx(4_500, abs=500)


async def test_what_may_have_been_sent_still_tells_so(store: Store) -> None:
    """Its reason counts for more than the time that it waits."""
    await queue(store, 1)
    rates = Rates(senders={ANY: Rate(1, 60)})
    await claim(store, rates)
    await queue(store, 1, first=1, reason=RESEND)
    assert ids(await claim(store, rates)) == []
    view = await store.read(views.read_one, ACCOUNT, "m-00001")
    assert view is not None
    assert (view.reason, view.due_at > NOW + 50_000) == (RESEND, True)


async def test_the_line_dissolves_where_another_way_is_to_be_looked_for(store: Store) -> None:
    """All are due again, in chunks; the line begins anew."""
    await queue(store, 700)
    rates = Rates(senders={ANY: Rate(1, 60)})
    await claim(store, rates)
    wanted = Regathering(account=ACCOUNT, carrier="sim-a", now=NOW)
    assert [await store.regather(wanted) for _ in range(2)] == [True, False]
    await store.reroute(Rerouting(carriers=("sim-b",), now=NOW))
    found = await store.read(views.find, ACCOUNT, views.Search(limit=1_000))
    assert {(view.reason, view.due_at <= NOW) for view in found if view.status == "queued"} == {("", True)}


async def test_nothing_is_claimed_while_sending_is_stopped(store: Store) -> None:
    """By the operator; and no place is lost by that."""
    await queue(store, 2)
    rates = Rates(whole=Rate(1, 60))
    await store.switch(Stop(at=NOW))
    assert ids(await claim(store, rates)) == []
    await store.switch(None)
    assert ids(await claim(store, rates)) == ["m-00000"]


async def test_meters_are_forgotten_when_nobody_needs_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of numbers that have long been free; one that still makes somebody wait stays."""
    await queue(store, 1)
    await claim(store, Rates(whole=Rate(1, 60), senders={ANY: Rate(1, 1)}))
    assert await store.forget(NOW) == 0
    monkeypatch.setattr("mail2sms.store.put._METER_MS", -30_000)
    assert await store.forget(NOW) == 1
    assert ids(await claim(store, Rates(whole=Rate(1, 60)))) == []


@pytest.mark.servers
async def test_nodes_share_a_rate(postgresql_url: str) -> None:
    """Whoever asks gets the next places; two get none twice, and there are no more than there were."""
    nodes = [await Store.open(postgresql_url) for _ in range(3)]
    await queue(nodes[0], 200)
    rates = Rates(whole=Rate(100, 1))
    began = asyncio.get_running_loop().time()
    claimed: list[tuple[int, str]] = []

    async def ask(number: int) -> None:
        node = nodes[number % 3]
        for _ in range(20):
            found = await claim(node, rates, limit=3, owner=f"n{number}")
            after_ms = int((asyncio.get_running_loop().time() - began) * 1000)
            claimed.extend((after_ms + one.wait_ms, one.mt.id) for one in found.claimed)
            if not found.claimed:
                await asyncio.sleep(0.02)

    await asyncio.gather(*map(ask, range(6)))
    spent_s = asyncio.get_running_loop().time() - began
    assert len({id_ for _, id_ in claimed}) == len(claimed)
    assert 60 < len(claimed) <= 100 * (spent_s + 1.25) + 2
    for n, (at_ms, _) in enumerate(sorted(claimed)):
        assert at_ms >= 10 * n - 15, "its place was not before"
    for node in nodes:
        await node.close()


@pytest.mark.servers
async def test_a_node_that_dies_takes_no_share_with_it(postgresql_url: str) -> None:
    """The other gets the very next places, at once."""
    one, two = await Store.open(postgresql_url), await Store.open(postgresql_url)
    await queue(one, 40)
    rates = Rates(whole=Rate(20, 1))
    assert len(ids(await claim(one, rates, owner="one"))) == 10
    await one.close()
    found = await claim(two, rates, owner="two")
    assert len(ids(found)) == 10
    assert max(claimed.wait_ms for claimed in found.claimed) <= 50 * 20
    await two.close()


@pytest.mark.servers
async def test_nobody_waits_for_the_node_that_gives_away_places(postgresql_url: str) -> None:
    """It is asked again a moment later: no node holds up another's writer."""
    store = await Store.open(postgresql_url)
    await queue(store, 1)
    engine = reader_engine(postgresql_url)
    with engine.connect() as other:
        key = func.hashtextextended(f"rate/{ACCOUNT}/sim-a", 0)
        other.execute(select(func.pg_advisory_xact_lock(key)))
        assert await claim(store, Rates(whole=Rate(1, 1))) == NOBODY
    assert ids(await claim(store, Rates(whole=Rate(1, 1)))) == ["m-00000"]
    engine.dispose()
    await store.close()
