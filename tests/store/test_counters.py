"""Limits as reservations of messages, on SQLite and on PostgreSQL: kept exactly, and apart for each destination."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mail2sms.model import Msisdn
from mail2sms.store import Bundle, NewMessage, Reservation, Search, Store, counters, views
from tests.fakes import ACCOUNT, NOW, bundle, mt

DAY = 86_400_000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


def wish(key: str, limit: int, amount: int = 1, *, is_shared: bool = False) -> Reservation:
    """Return so much of a limit for today."""
    return Reservation(key=key, amount=amount, limit=limit, until=NOW + DAY, is_shared=is_shared)


def mail(id_: str, *wishes: tuple[Reservation, ...], repeat: str = "") -> Bundle:
    """Return one mail with a message for each of `wishes`."""
    messages = [
        NewMessage(
            mt=mt(f"{id_}-{n}", submission=id_, msisdn=Msisdn(f"+3363998{n:04}")),
            reply_key="abcdefghij",
            repeat_key=f"{repeat}-{n}" if repeat else None,
            reservations=each,
        )
        for n, each in enumerate(wishes)
    ]
    return replace(bundle(id_), messages=tuple(messages))


async def stored(store: Store) -> list[str]:
    """Return the ids of all messages, in their order."""
    return sorted(view.id for view in await store.read(views.find, ACCOUNT, Search(limit=1000)))


async def test_twenty_at_once_never_exceed_a_limit(store: Store) -> None:
    """Mails of three parts for a limit that is no multiple of it: what is left over stays free."""
    each = (wish("all", 100, 3, is_shared=True),)
    for n in range(5):
        await asyncio.gather(*(store.put(mail(f"m-{n}-{i}", each)) for i in range(20)))
    assert len(await stored(store)) == 33
    assert await store.read(counters.taken, ["all", "other"]) == {"all": 99, "other": 0}


async def test_a_destination_over_its_limit_is_left_out_alone(store: Store) -> None:
    """And what is shared is taken for the others only; the answer says of which limit how much was taken."""
    total = wish("total", 2, is_shared=True)
    one = mail("m-1", (wish("a", 1), total), (wish("b", 0), total), (wish("c", 1), total))
    answer = await store.put(one)
    assert {id_: (e.reservation.key, e.used) for id_, e in answer.refused.items()} == {"m-1-1": ("b", 0)}
    assert await stored(store) == ["m-1-0", "m-1-2"]
    assert await store.read(counters.taken, ["a", "b", "c", "total"]) == {"a": 1, "b": 0, "c": 1, "total": 2}


async def test_of_a_shared_limit_a_mail_gets_all_or_nothing(store: Store) -> None:
    """What its destinations had taken meanwhile is given back, in the same batch already."""
    total = wish("total", 2, is_shared=True)
    wide = mail("m-1", *(((wish(f"phone {n}", 1), total)) for n in range(3)))
    narrow = mail("m-2", (wish("phone 0", 1), total), (wish("phone 1", 1), total))
    refused, taken = await asyncio.gather(store.put(wide), store.put(narrow))
    assert {e.reservation.amount for e in refused.refused.values()} == {3}
    assert not taken.refused
    assert await stored(store) == ["m-2-0", "m-2-1"]


async def test_of_several_limits_the_one_that_ends_last_is_told(store: Store) -> None:
    """Nothing fits before."""
    hour, day = replace(wish("hour", 0), until=NOW + 1), wish("day", 0)
    answer = await store.put(mail("m-1", (day, hour)))
    assert [e.reservation.key for e in answer.refused.values()] == ["day"]


async def test_what_comes_again_takes_nothing_more(store: Store) -> None:
    """Of a mail that was taken in part, the rest is new each time; what was taken is known by its first id."""
    small = wish("small", 1)
    await store.put(mail("m-1", (small,), (small,), repeat="k"))
    again = await store.put(mail("m-2", (small,), (small,), repeat="k"))
    assert again.repeated == {"m-2-0": "m-1-0"}
    assert again.refused.keys() == {"m-2-1"}
    wider = replace(small, limit=2)
    third = await store.put(mail("m-3", (wider,), (wider,), repeat="k"))
    assert (third.repeated, third.refused) == ({"m-3-0": "m-1-0"}, {})
    assert await stored(store) == ["m-1-0", "m-3-1"]
    assert await store.read(counters.taken, ["small"]) == {"small": 2}


@pytest.mark.servers
async def test_a_batch_that_is_run_again_counts_once(postgresql_url: str) -> None:
    """A COMMIT in doubt, which SQLite never has: the same mail with the same ids."""
    store = await Store.open(postgresql_url)
    one = mail("m-1", (wish("k", 1),), (wish("k", 1),))
    first, second = await store.put(one), await store.put(one)
    assert first.refused.keys() == second.refused.keys() == {"m-1-1"}
    assert await store.read(counters.taken, ["k"]) == {"k": 1}
    await store.close()
