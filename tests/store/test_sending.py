"""The switch that stops all sending, on SQLite and on PostgreSQL: after its commit no intent is committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from mail2sms.model import MtMessage
from mail2sms.store import Claim, Intent, Stop, Store, schema
from mail2sms.store.sending import stopped
from tests.fakes import NOW, bundle
from tests.store.test_store import part

STOP, REFUSE = Stop(at=NOW), Stop(at=NOW, refuses=True)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def claim(store: Store, limit: int = 10) -> list[MtMessage]:
    """Claim what is due."""
    wanted = Claim(carrier="sim-a", owner="node", now=NOW, lease_ms=60_000, limit=limit)
    return [claimed.mt for claimed in await store.claim(wanted)]


async def intend(store: Store, mt: MtMessage) -> bool:
    """Commit an intent."""
    return await store.intend(Intent(mt=mt, parts=(part(mt, f"a-{mt.id}"),), now=NOW))


async def test_nothing_is_claimed_or_intended_while_it_is_stopped(store: Store) -> None:
    """What was claimed before is free again; after the switch is turned back it goes."""
    await store.put(bundle("m-1"))
    (mt,) = await claim(store)
    await store.switch(STOP)
    assert not await intend(store, mt)
    await store.put(bundle("m-2"))
    assert await claim(store) == []
    await store.switch(None)
    found = await claim(store)
    assert sorted(mt.id for mt in found) == ["m-1", "m-2"]
    assert all([await intend(store, mt) for mt in found])


async def test_it_outlives_the_process(database_url: str) -> None:
    """It stands in the database."""
    first = await Store.open(database_url)
    await first.switch(STOP)
    await first.close()
    second = await Store.open(database_url)
    assert await second.read(stopped) == STOP
    await second.switch(REFUSE)
    assert await second.read(stopped) == REFUSE
    await second.switch(None)
    assert await second.read(stopped) is None
    await second.close()


async def test_new_mail_is_taken_or_refused_as_was_said(store: Store) -> None:
    """What was taken before is recognised when it comes again; what was refused is new afterwards."""
    await store.switch(STOP)
    assert not (await store.put(bundle("m-1", repeat_key="one"))).is_stopped
    await store.switch(REFUSE)
    again = await store.put(bundle("m-2", repeat_key="one"))
    assert (again.is_stopped, again.repeated) == (False, {"m-2": "m-1"})
    assert (await store.put(bundle("m-3", repeat_key="three"))).is_stopped
    await store.switch(None)
    taken = await store.put(bundle("m-4", repeat_key="three"))
    assert (taken.is_stopped, taken.repeated) == (False, {})


@pytest.mark.servers
async def test_no_node_commits_an_intent_after_the_switch(postgresql_url: str) -> None:
    """However the two fall together: what is intended is intended when the switch's commit is known."""
    stores = [await Store.open(postgresql_url), await Store.open(postgresql_url)]
    await asyncio.gather(*(stores[0].put(bundle(f"m-{n:03}")) for n in range(200)))
    claimed = [await claim(store, 100) for store in stores]
    work = [
        asyncio.ensure_future(intend(store, mt))
        for store, mts in zip(stores, claimed, strict=True)
        for mt in mts
    ]
    await stores[0].switch(STOP)

    def intended() -> int:
        with stores[0]._read_engine.connect() as connection:
            return len(connection.execute(select(schema.attempt.c.id)).all())

    at_commit = await asyncio.to_thread(intended)
    later = [intend(store, mt) for store, mts in zip(stores, claimed, strict=True) for mt in mts]
    agreed = await asyncio.gather(*work, *later)
    assert await asyncio.to_thread(intended) == at_commit == sum(agreed[: len(work)])
    for store in stores:
        await store.close()
