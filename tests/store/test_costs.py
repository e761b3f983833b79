"""What is kept of a message's cost while it moves and when it ends, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mail2sms.lifecycle import Change
from mail2sms.model import Status
from mail2sms.money import read
from mail2sms.store import Rerouting, Store, views
from tests.fakes import ACCOUNT, NOW, bundle
from tests.store.test_store import claim, intend, report, settlement

COSTS = (read("0.045 EUR"), read("0.08 EUR"))
DAY = 86_400_000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def cost(store: Store) -> str | None:
    """Return what the message costs as it stands."""
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None
    return None if view.cost is None else str(view.cost)


async def attempt(store: Store, carrier: str, outcome: str, change: Change, number: int) -> None:
    """Claim, intend and settle one attempt."""
    (claimed,) = await claim(store, carrier, NOW + number)
    assert await intend(store, claimed.mt, "a-1" if number == 1 else f"a-{number}", NOW + number)
    await store.settle(settlement(claimed.mt, outcome, change, "cid"))


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        (COSTS, ["0.045 EUR", "0.08 EUR", "0.045 EUR"]),
        ((COSTS[0], None), ["0.045 EUR", None, "0.045 EUR"]),
        ((None, COSTS[1]), [None, "0.08 EUR", None]),
        ((read("0 EUR"), COSTS[1]), ["0 EUR", "0.08 EUR", "0 EUR"]),
        ((), [None, None, None]),
    ],
)
async def test_the_cost_follows_the_carrier(
    store: Store, costs: tuple[object, ...], expected: list[str | None]
) -> None:
    """To the next of the route and back, as it was when the message was accepted; unknown is never nothing."""
    await store.put(bundle(costs=costs))
    found = [await cost(store)]
    for number, (carrier, position) in enumerate((("sim-a", 1), ("sim-b", 0)), start=1):
        again = Change(status=Status.QUEUED, reason="retry", due_at=NOW, position=position)
        await attempt(store, carrier, "unavailable", again, number)
        found.append(await cost(store))
    assert found == expected
    (claimed,) = await claim(store, "sim-a", NOW + 5)
    assert claimed.mt.costs == (costs or (None, None))


async def test_the_cost_follows_when_the_carrier_is_gone(store: Store) -> None:
    """The next one that there is takes over, at its price."""
    await store.put(bundle(costs=COSTS))
    await store.reroute(Rerouting(carriers=("sim-b",), now=NOW))
    assert await cost(store) == "0.08 EUR"


TAKEN = Change(status=Status.ENROUTE)
ENDS = [
    # outcome of the attempt, what followed, the carrier's report, what it cost
    ("taken", TAKEN, None, "0.045 EUR"),
    ("taken", TAKEN, Status.DELIVERED, "0.045 EUR"),
    ("taken", TAKEN, Status.UNDELIVERABLE, "0.045 EUR"),
    ("taken", TAKEN, Status.EXPIRED, "0.045 EUR"),
    ("taken", TAKEN, Status.REJECTED, "0 EUR"),
    ("uncertain", Change(status=Status.UNKNOWN, reason="carrier.unknown"), None, "0.045 EUR"),
    ("uncertain", Change(status=Status.EXPIRED, reason="carrier.expired"), None, "0.045 EUR"),
    ("refused", Change(status=Status.REJECTED, reason="carrier.rejected"), None, "0 EUR"),
    ("unavailable", Change(status=Status.EXPIRED, reason="carrier.expired"), None, "0 EUR"),
]


@pytest.mark.parametrize(("outcome", "change", "said", "expected"), ENDS)
@pytest.mark.parametrize("is_known", [True, False])
async def test_what_no_carrier_took_costs_nothing(
    store: Store, outcome: str, change: Change, said: Status | None, expected: str, is_known: bool
) -> None:
    """What one has or may have costs its price; what is rejected does not. An unknown cost stays unknown."""
    await store.put(bundle(costs=COSTS if is_known else ()))
    await attempt(store, "sim-a", outcome, change, 1)
    if said is not None:
        await store.record_report(report(said))
    assert await cost(store) == (expected if is_known else None)


async def test_what_was_cancelled_or_never_tried_costs_nothing(store: Store) -> None:
    """By a person, or by its time."""
    await store.put(bundle(costs=COSTS))
    await store.cancel(ACCOUNT, "m-1", NOW)
    assert await cost(store) == "0 EUR"
    await store.put(bundle("m-2", costs=COSTS, expires_at=NOW + 1))
    await store.expire(NOW + DAY)
    (late,) = await store.read(views.find, ACCOUNT, views.Search(status="expired"))
    assert str(late.cost) == "0 EUR"
