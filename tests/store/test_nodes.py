"""Two nodes on one PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from mail2sms.lifecycle import Change
from mail2sms.model import DeliveryReport, Status
from mail2sms.store import Claim, Intent, PartOutcome, Settlement, Store, views
from tests.fakes import ACCOUNT, NOW, bundle
from tests.store.test_store import part

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
