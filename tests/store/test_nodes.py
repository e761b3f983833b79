"""Two nodes on one PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Connection, event, func, select
from sqlalchemy.dialects.postgresql import insert

from mail2sms.heard import MoPart
from mail2sms.lifecycle import Change
from mail2sms.model import DeliveryReport, Status
from mail2sms.store import (
    Bundle,
    Claim,
    Intent,
    NewPart,
    PartOutcome,
    Recovery,
    Reservation,
    Settlement,
    Store,
    engine,
    migrate,
    queue,
    schema,
    views,
)
from mail2sms.store.writer import Verb
from tests.fakes import ACCOUNT, NOW, OURS, PHONE, bundle
from tests.servers.postgresql import PostgreSQL
from tests.store.test_store import DAY, part

pytestmark = pytest.mark.servers


async def test_outcomes_on_one_node_and_their_reports_on_the_other_meet(postgresql_url: str) -> None:
    """In any order, many at once: nothing is lost to a deadlock, everything ends delivered."""
    count = 200
    one, two = await Store.open(postgresql_url), await Store.open(postgresql_url)
    await asyncio.gather(*(one.put(bundle(f"m-{n:03}")) for n in range(count)))
    wanted = Claim(carrier="sim-a", owner="one", now=NOW, lease_ms=60_000, limit=count)
    messages = [claimed.mt for claimed in await one.claim(wanted)]

    async def settle(number: int) -> None:
        mt = messages[number]
        ended = PartOutcome(attempt_id=f"a-{mt.id}", outcome="taken", carrier_message_id=f"c-{mt.id}")
        await one.intend(Intent(mt=mt, parts=(part(mt, f"a-{mt.id}"),), now=NOW))
        await one.settle(Settlement(mt=mt, outcomes=(ended,), change=Change(status=Status.ENROUTE), now=NOW))

    async def report(number: int) -> None:
        cid = f"c-{messages[count - 1 - number].id}"
        fields = {"carrier": "sim-a", "carrier_message_id": cid, "at": NOW, "event_id": cid}
        await two.record_report(DeliveryReport(status=Status.DELIVERED, **fields))  # type: ignore[arg-type]

    await asyncio.gather(*(work(n) for n in range(count) for work in (settle, report)))
    found = await one.read(views.find, ACCOUNT, views.Search(limit=count))
    assert {view.status for view in found} == {"delivered"}
    await one.close()
    await two.close()


async def test_a_message_is_claimed_by_one_of_two_nodes(postgresql_url: str) -> None:
    """Work is shared, not doubled."""
    stores = [await Store.open(postgresql_url), await Store.open(postgresql_url)]
    await asyncio.gather(*(stores[0].put(bundle(f"m-{n:03}")) for n in range(100)))
    claims = [
        store.claim(Claim(carrier="sim-a", owner=f"n{i}", now=NOW, lease_ms=60_000, limit=10))
        for i in range(10)
        for store in stores
    ]
    ids = [claimed.mt.id for found in await asyncio.gather(*claims) for claimed in found]
    assert (len(ids), len(set(ids))) == (100, 100)
    for store in stores:
        await store.close()


async def test_nodes_that_count_for_the_same_writers_do_not_lock_each_other_out(
    postgresql: PostgreSQL, postgresql_url: str
) -> None:
    """Whatever the order in which their mails came: a deadlock costs everybody a second."""
    deadlocks = postgresql.log().count("deadlock detected")
    stores = [await Store.open(postgresql_url), await Store.open(postgresql_url)]

    def counted(node: int, number: int) -> Bundle:
        wish = Reservation(key=f"k-{number}", amount=1, limit=10, until=NOW + DAY)
        return replace(bundle(f"m-{node}-{number}"), reservations=(wish,))

    orders = [range(150), range(149, -1, -1)]
    puts = [stores[node].put(counted(node, n)) for node in (0, 1) for n in orders[node]]
    assert not any(stored.exceeded for stored in await asyncio.gather(*puts))
    for store in stores:
        await store.close()
    assert postgresql.log().count("deadlock detected") == deadlocks


async def test_a_batch_in_doubt_counts_once(postgresql_url: str) -> None:
    """Also for a mail of which some recipients were written to before, so that not all its ids are stored."""
    store = await Store.open(postgresql_url)
    await store.put(bundle("m-1", repeat_key="first"))
    one, two = (bundle("m-2", repeat_key=key).messages[0] for key in ("first", "second"))
    both = (one, replace(two, mt=replace(two.mt, id="m-2-2")))
    wish = Reservation(key="k", amount=2, limit=3, until=NOW + DAY)
    mail = replace(bundle("m-2"), messages=both, reservations=(wish,))
    assert [(await store.put(mail)).exceeded for _ in range(2)] == [None, None]
    await store.close()


async def test_a_node_that_stands_still_in_a_write_does_not_stop_the_others(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine may be paused or gone: the database ends its transaction. When it goes on, it writes again."""
    other = await Store.open(postgresql_url)
    monkeypatch.setattr(engine, "STILL_MS", 300)
    still = await Store.open(postgresql_url)
    began, ended, runs = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def stand_still(connection: Connection, items: Sequence[str]) -> Sequence[str]:
        runs.append(items)
        new = insert(schema.repeat).values(key="k", id="m-1", at=NOW).on_conflict_do_nothing()
        connection.execute(new)
        loop.call_soon_threadsafe(began.set)
        ended.wait(10)
        connection.execute(select(schema.repeat))
        return items

    writing = asyncio.ensure_future(still._write.run(Verb(stand_still), "x"))
    await began.wait()
    assert not (await other.put(bundle("m-2", repeat_key="k"))).repeated
    ended.set()
    assert await writing == "x"
    assert len(runs) > 1
    await still.close()
    await other.close()


def test_a_slow_migration_is_not_cut_off(postgresql_url: str) -> None:
    """Neither a slow statement nor a slow machine between two: what bounds every other write does not apply."""
    writer = engine.writer_engine(postgresql_url)
    seen: set[tuple[str, str]] = set()

    @event.listens_for(writer, "before_cursor_execute")
    def look(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith("CREATE"):
            names = ("statement_timeout", "idle_in_transaction_session_timeout")
            query = select(*(func.current_setting(name) for name in names))
            seen.add(tuple(connection.execute(query).one()))

    migrate.upgrade(writer)
    assert seen == {("0", "1min")}
    with writer.connect() as connection:
        assert connection.scalar(select(func.current_setting("statement_timeout"))) == "15s"
    writer.dispose()


async def test_who_lost_a_message_and_claimed_it_again_sends_it_once(postgresql_url: str) -> None:
    """A node that stood still goes on with its first claim, makes a second, and asks for both in one batch."""
    store = await Store.open(postgresql_url)
    await store.put(bundle("m-1"))
    claims = []
    for _ in range(2):
        wanted = Claim(carrier="sim-a", owner="one", now=NOW, lease_ms=-1, limit=10)
        claims += [claimed.mt for claimed in await store.claim(wanted)]
        await store.recover(Recovery(now=NOW, on_unknown="hold"))
    wanted = Claim(carrier="sim-a", owner="one", now=NOW, lease_ms=60_000, limit=10)
    claims += [claimed.mt for claimed in await store.claim(wanted)]
    intents = [Intent(mt=mt, parts=(part(mt, f"a-{mt.fence}"),), now=NOW) for mt in claims]

    def write(connection: Connection, batches: Sequence[Sequence[Intent]]) -> list[Sequence[bool]]:
        return [queue.INTEND.write(connection, batch) for batch in batches]

    in_one_batch = Verb(write)
    assert await store._write.run(in_one_batch, intents) == [False, False, True]
    assert await store._write.run(in_one_batch, intents) == [False, False, True], "run again"
    await store.close()


async def test_parts_of_a_text_that_come_to_two_nodes_are_joined(postgresql_url: str) -> None:
    """Each node sees the other's part, however close they come: one of them has them all."""
    nodes = [await Store.open(postgresql_url), await Store.open(postgresql_url)]

    async def keep(reference: int, number: int) -> int:
        new = MoPart(
            carrier="smpp",
            msisdn=PHONE,
            to=OURS,
            at=NOW,
            reference=reference,
            total=2,
            number=number,
            text="x",
        )
        return len(await nodes[number - 1].keep_part(NewPart(part=new, account=ACCOUNT, now=NOW)))

    for reference in range(50):
        assert sum(await asyncio.gather(keep(reference, 1), keep(reference, 2))) >= 1
    for node in nodes:
        await node.close()
