"""What administrators hear of carriers: long outages and their ends, and balances that are low; on both databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mail2sms.breaker import Breaker
from mail2sms.money import Money
from mail2sms.store import Asking, Left, NoticeClaim, Outage, Store, Warned, balances
from tests.fakes import ACCOUNT, NOW

IT, BOSS = "it@acme.example", "boss@acme.example"
MINUTE = 60_000
DOWN = Breaker(failures=5, down_since=NOW, until=NOW + 5000, why="503 not available")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def mark(store: Store, breaker: Breaker, now: int = NOW) -> None:
    """Write how a carrier does."""
    await store.mark(Outage(account=ACCOUNT, carrier="orange", breaker=breaker, now=now))


async def warn(store: Store, now: int, *to: str) -> int:
    """Tell these of what is down for five minutes."""
    return await store.warn(Warned(account=ACCOUNT, to=to or (IT, BOSS), before=now - 5 * MINUTE, now=now))


async def told(store: Store) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what is owed, each once."""
    claim = NoticeClaim(channel="email", owner="n", now=NOW + 3_600_000, lease_ms=10**9, limit=100)
    found = await store.claim_notices(claim)
    read = [(one.kind, one.address, json.loads(one.payload or b"{}")) for one in found]
    return sorted(read, key=lambda one: one[:2])


async def test_a_long_outage_is_told_once_and_its_end_to_the_same_people(store: Store) -> None:
    """Not before its time, whoever looks how often; who was told of it hears that it is over."""
    await mark(store, DOWN)
    assert await warn(store, NOW + 4 * MINUTE) == 0
    found = await asyncio.gather(*(warn(store, NOW + 5 * MINUTE) for _ in range(5)))
    assert sum(found) == 1
    said = {"carrier": "orange", "since": NOW, "why": DOWN.why}
    assert await told(store) == [("down", BOSS, said), ("down", IT, said)]
    await mark(store, Breaker(), NOW + 9 * MINUTE)
    await mark(store, Breaker(), NOW + 9 * MINUTE)
    assert await told(store) == [("up", BOSS, said), ("up", IT, said)]


async def test_a_short_outage_is_told_to_nobody(store: Store) -> None:
    """Neither is its end; the next one is another."""
    await mark(store, DOWN)
    await mark(store, Breaker())
    assert await told(store) == []
    again = Breaker(failures=5, down_since=NOW + MINUTE, until=0, why="again")
    await mark(store, again, NOW + MINUTE)
    assert await warn(store, NOW + 6 * MINUTE, IT) == 1
    assert [kind for kind, _, _ in await told(store)] == ["down"]


async def test_a_balance_is_asked_for_by_one(store: Store) -> None:
    """Of all who want to know at once, and not again before its time."""
    asking = Asking(account=ACCOUNT, carrier="orange", every_ms=MINUTE)
    assert sum(await asyncio.gather(*(store.may_ask_balance(asking) for _ in range(5)))) == 1
    assert not await store.may_ask_balance(asking)
    assert await store.may_ask_balance(Asking(account=ACCOUNT, carrier="ovh", every_ms=MINUTE))
    await asyncio.sleep(0.01)
    assert await store.may_ask_balance(Asking(account=ACCOUNT, carrier="orange", every_ms=1))


async def test_little_left_is_told_once_until_there_is_more(store: Store) -> None:
    """The amount and the limit; equal to it is enough."""
    await store.may_ask_balance(Asking(account=ACCOUNT, carrier="orange", every_ms=MINUTE))
    euros = [25, 20, 19, 10, 21, 5]

    async def note(amount: int, at: int) -> bool:
        left, below = Money(amount * 10**6, "EUR"), Money(20 * 10**6, "EUR")
        new = Left(account=ACCOUNT, carrier="orange", left=left, at=at, below=below, to=(IT,))
        return await store.note_balance(new)

    found = [await note(amount, NOW + n) for n, amount in enumerate(euros)]
    assert found == [False, False, True, False, False, True]
    amounts = [said["left"] for _, _, said in await told(store)]
    assert sorted(amounts) == [[5_000_000, "EUR"], [19_000_000, "EUR"]]
    assert await store.read(balances.read_balances, ACCOUNT) == {"orange": (Money(5_000_000, "EUR"), NOW + 5)}


@pytest.mark.parametrize(
    ("below", "to"), [(None, (IT,)), (Money(1, "USD"), (IT,)), (Money(10**9, "EUR"), ())]
)
async def test_what_cannot_be_compared_or_told_is_only_kept(
    store: Store, below: Money | None, to: tuple[str, ...]
) -> None:
    """No limit, another currency, nobody to tell; who is named later is told then."""
    await store.may_ask_balance(Asking(account=ACCOUNT, carrier="orange", every_ms=MINUTE))
    new = Left(account=ACCOUNT, carrier="orange", left=Money(0, "EUR"), at=NOW, below=below, to=to)
    assert not await store.note_balance(new)
    assert await store.read(balances.read_balances, ACCOUNT) == {"orange": (Money(0, "EUR"), NOW)}
    later = Left(
        account=ACCOUNT, carrier="orange", left=Money(0, "EUR"), at=NOW, below=Money(1, "EUR"), to=(IT,)
    )
    assert await store.note_balance(later)
