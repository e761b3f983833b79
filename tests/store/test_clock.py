"""What the store does when the wall clock is set: the times it is given jump, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mail2sms.lifecycle import Change
from mail2sms.model import Status
from mail2sms.store import (
    NewNotice,
    NoticeClaim,
    NoticeOutcome,
    Recovery,
    Reservation,
    Settlement,
    Store,
    rescue,
)
from tests.fakes import ACCOUNT, NOW, bundle
from tests.store.test_store import claim, intend, settlement

SECOND, DAY = 1_000, 86_400_000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def claimed(store: Store, now: int) -> list[str]:
    """Claim what is due; return the ids in their order."""
    return [one.mt.id for one in await claim(store, now=now)]


def retry(due_at: int) -> Change:
    """Return what follows when a carrier could not be reached."""
    return Change(status=Status.QUEUED, reason="retry", due_at=due_at, position=0)


@pytest.mark.parametrize("back_ms", [DAY, 3_600_000, 1])
async def test_a_retry_waits_no_longer_when_the_clock_is_set_back(store: Store, back_ms: int) -> None:
    """Due in two seconds, it is due in two seconds, however long ago that is called now."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    assert await intend(store, message)
    failed: Settlement = settlement(message, "unavailable", retry(NOW + 10 + 2 * SECOND))
    await store.settle(failed)  # at NOW + 10
    now = NOW + 10 - back_ms
    assert await claimed(store, now + 2 * SECOND) == []
    assert not await store.bring_forward(now)
    assert await claimed(store, now + 2 * SECOND - 1) == []
    assert await claimed(store, now + 2 * SECOND) == ["m-1"]


async def test_what_is_new_goes_at_once_and_in_its_order_when_the_clock_is_set_back(store: Store) -> None:
    """Nothing had sent it yet; and what was written before the time that it is now is left alone."""
    for number, at in enumerate((NOW, NOW + DAY, NOW + DAY + 1, NOW + DAY + 3)):
        await store.put(bundle(f"m-{3 - number}", created_at=at, due_at=at, expires_at=at + 2 * DAY))
    await store.bring_forward(NOW + 4)
    assert await claimed(store, NOW) == ["m-3"]
    assert await claimed(store, NOW + 2) == ["m-2", "m-1"]
    assert await claimed(store, NOW + 4) == ["m-0"]


async def test_a_steady_clock_moves_nothing(store: Store) -> None:
    """Whatever waits."""
    await store.put(bundle(due_at=NOW + SECOND))
    await store.bring_forward(NOW)
    assert await claimed(store, NOW + SECOND - 1) == []
    assert await claimed(store, NOW + SECOND) == ["m-1"]


async def test_what_a_person_scheduled_keeps_its_time_when_the_clock_is_set_back(store: Store) -> None:
    """Half past eight is half past eight."""
    await store.put(bundle(created_at=NOW, due_at=NOW + SECOND, reason="schedule", expires_at=NOW + DAY))
    await store.bring_forward(NOW - DAY)
    assert await claimed(store, NOW + SECOND - 1) == []
    assert await claimed(store, NOW + SECOND) == ["m-1"]


async def test_more_than_one_piece_of_work_stays_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told that there is more, and goes on, while time goes on too."""
    monkeypatch.setattr(rescue, "_CHUNK", 2)
    for number in range(5):
        at = NOW + number
        await store.put(bundle(f"m-{5 - number}", created_at=at, due_at=at, expires_at=at + 2 * DAY))
    told = [await store.bring_forward(NOW - DAY + number) for number in range(3)]
    assert told == [True, True, False]
    assert await claimed(store, NOW - DAY + 10) == ["m-5", "m-4", "m-3", "m-2", "m-1"]


async def test_a_notice_waits_no_longer_when_the_clock_is_set_back(store: Store) -> None:
    """A new one, and one whose mail server asked for it again later."""
    for name in ("n-1", "n-2"):
        new = NewNotice(
            id=name,
            account=ACCOUNT,
            kind="refused",
            channel="email",
            address="marie@acme.example",
            created_at=NOW,
            due_at=NOW,
            expires_at=NOW + 5 * DAY,
        )
        await store.put(replace(bundle(name), submissions=(), messages=(), notices=(new,)))

    async def tell(now: int, limit: int = 10) -> list[str]:
        wanted = NoticeClaim(channel="email", owner="node", now=now, lease_ms=60_000, limit=limit)
        told = await store.claim_notices(wanted)
        for one in told:
            await store.settle_notice(
                NoticeOutcome(notice=one, status="queued", now=now, due_at=now + 9 * SECOND)
            )
        return [one.id for one in told]

    assert await tell(NOW, limit=1) == ["n-1"]
    back = NOW - DAY
    assert await tell(back + 9 * SECOND) == []
    await store.bring_forward(back)
    assert await tell(back) == ["n-2"]
    assert await tell(back + 9 * SECOND - 1) == []
    assert sorted(await tell(back + 9 * SECOND)) == ["n-1", "n-2"]


@pytest.mark.parametrize("ahead_ms", [3_600_000, DAY, 2 * DAY])
async def test_a_clock_that_was_ahead_makes_nothing_be_forgotten(store: Store, ahead_ms: int) -> None:
    """An allowance that was used up, and a mail that comes again."""
    once = Reservation(key="today", amount=1, limit=1, until=NOW + SECOND)
    await store.put(replace(bundle("m-1", repeat_key="k"), reservations=(once,)))
    await store.forget(NOW + ahead_ms)
    assert (await store.put(replace(bundle("m-2"), reservations=(once,)))).exceeded == once
    assert (await store.put(bundle("m-3", repeat_key="k"))).repeated == {"m-3": "m-1"}


async def test_old_counters_and_repeat_keys_are_forgotten(store: Store) -> None:
    """After days, not for ever."""
    once = Reservation(key="today", amount=1, limit=1, until=NOW)
    await store.put(replace(bundle("m-1", repeat_key="k"), reservations=(once,)))
    assert await store.forget(NOW + 3 * DAY) == 0
    assert await store.forget(NOW + 5 * DAY) == 2


async def test_leases_do_not_follow_the_wall(store: Store) -> None:
    """A day later by the wall and no time later by the clock that leases are measured by."""
    await store.put(bundle(expires_at=NOW + 9 * DAY))
    message = (await claim(store))[0].mt
    await store.recover(Recovery(now=NOW + DAY, on_unknown="hold"))
    assert await claimed(store, NOW + DAY) == []
    assert await intend(store, message, now=NOW + DAY)
