"""What is found, and in which order, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mail2sms.lifecycle import Change
from mail2sms.model import Status
from mail2sms.store import NewNotice, NoticeClaim, Search, Store, views
from tests.fakes import ACCOUNT, NOW, bundle
from tests.store.test_store import claim, enroute, intend, report, settlement


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def found(store: Store, **search: object) -> list[str]:
    """Return the ids of what is found, in its order."""
    return [view.id for view in await store.read(views.find, ACCOUNT, Search(**search))]  # type: ignore[arg-type]


async def test_pages_follow_one_another_whatever_the_times(store: Store) -> None:
    """Newest first, of one time by their ids; a page begins after the last one seen."""
    for id_, at in (("m-3", NOW), ("m-1", NOW + 1), ("m-2", NOW + 1), ("m-5", NOW + 1), ("m-4", NOW + 2)):
        await store.put(bundle(id_, created_at=at))
    whole = ["m-4", "m-5", "m-2", "m-1", "m-3"]
    assert await found(store) == whole
    pages = [await found(store, limit=2)]
    while len(pages[-1]) == 2:
        pages.append(await found(store, limit=2, before=pages[-1][-1]))
    assert [id_ for page in pages for id_ in page] == whole
    assert await found(store, before="m-of-nobody") == []


@pytest.mark.parametrize("status", list(Status))
async def test_each_status_is_found_by_its_name(store: Store, status: Status) -> None:
    """And nothing else, by the list of its account alone."""
    messages = {}
    for other in Status:
        await store.put(bundle(f"m-{other.value}"))
        messages[other] = (await claim(store))[0].mt
    for other, message in messages.items():
        if other is Status.QUEUED:
            continue
        assert await intend(store, message, f"a-{other.value}")
        if other is not Status.SENDING:
            change = Change(status=other, reason="of a test")
            await store.settle(replace(settlement(message, "taken", change), outcomes=()))
    assert await found(store, status=status.value) == [f"m-{status.value}"]
    assert await found(store, status=status.value, submission=f"m-{status.value}") == [f"m-{status.value}"]
    assert await store.read(views.find, "other.example", Search(status=status.value)) == []


async def test_what_is_open_is_counted_and_listed(store: Store) -> None:
    """Queued, sending, unknown; and notices, the one that is being told too."""
    await enroute(store, "m-0")
    await store.record_report(report(Status.DELIVERED))
    for number in (1, 2):
        await store.put(bundle(f"m-{number}", created_at=NOW + number))
    assert await intend(store, (await claim(store))[0].mt)
    for name in ("n-1", "n-2"):
        new = NewNotice(
            id=name,
            account=ACCOUNT,
            kind="refused",
            channel="email",
            address="marie@acme.example",
            created_at=NOW,
            due_at=NOW,
            expires_at=NOW + 1000,
        )
        await store.put(replace(bundle(name), submissions=(), messages=(), notices=(new,)))
    await store.claim_notices(NoticeClaim(channel="email", owner="node", now=NOW, lease_ms=60_000, limit=1))
    counted = await store.read(views.counts)
    assert counted == {"queued": 1, "sending": 1, "unknown": 0, "notices": 2}
    assert [view.id for view in await store.read(views.waiting, ACCOUNT, 10)] == ["m-1", "m-2"]
