"""Reports of carriers whose ids come again: modems know a part by 256 references and the phone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mail2sms.model import DeliveryReport, MtMessage, Status
from mail2sms.store import Change, Claim, Intent, PartOutcome, Settlement, Store, views
from tests.fakes import ACCOUNT, NOW, bundle
from tests.store.test_store import part

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url, {})
    yield opened
    await opened.close()


async def intended(store: Store, id_: str, at: int) -> MtMessage:
    """Bring a new message to a carrier, at this time."""
    await store.put(bundle(id_, due_at=at, expires_at=at + HOUR))
    (claimed,) = await store.claim(Claim(carrier="sim-a", owner="node", now=at, lease_ms=60_000, limit=10))
    assert await store.intend(Intent(mt=claimed.mt, parts=(part(claimed.mt, f"a-{id_}"),), now=at))
    return claimed.mt


async def settled(store: Store, message: MtMessage, at: int, outcome: str = "taken") -> None:
    """Write how its attempt ended: with an id that others have, too."""
    is_taken = outcome == "taken"
    cid = "7-abcd" if is_taken else None
    ended = PartOutcome(attempt_id=f"a-{message.id}", outcome=outcome, carrier_message_id=cid)
    change = Change(status=Status.ENROUTE if is_taken else Status.UNKNOWN)
    await store.settle(Settlement(mt=message, outcomes=(ended,), change=change, now=at))


async def reported(store: Store, sent_at: int | None, at: int, attempt_id: str | None = None) -> None:
    """Record that the part of this time was delivered."""
    await store.record_report(
        DeliveryReport(
            carrier="sim-a",
            carrier_message_id="7-abcd",
            status=Status.DELIVERED,
            at=at,
            event_id="",
            attempt_id=attempt_id,
            sent_at=sent_at,
        )
    )


async def statuses(store: Store, *ids: str) -> list[str]:
    """Return messages' statuses."""
    views_ = [await store.read(views.read_one, ACCOUNT, id_) for id_ in ids]
    return [view.status for view in views_ if view is not None]


async def test_a_report_is_of_the_part_of_its_time(store: Store) -> None:
    """The older one may still be under way when the newer one leaves; without a time the newest is it."""
    for id_, at in (("m-1", NOW), ("m-2", NOW + HOUR), ("m-3", NOW + 2 * HOUR)):
        await settled(store, await intended(store, id_, at), at)
    await reported(store, NOW + 5000, NOW + 3 * HOUR)
    assert await statuses(store, "m-1", "m-2", "m-3") == ["delivered", "enroute", "enroute"]
    await reported(store, NOW + HOUR + 5000, NOW + 3 * HOUR)
    assert await statuses(store, "m-1", "m-2", "m-3") == ["delivered", "delivered", "enroute"]
    await reported(store, None, NOW + 3 * HOUR)
    assert await statuses(store, "m-3") == ["delivered"]


async def test_a_report_of_a_part_that_is_none_of_ours(store: Store) -> None:
    """Weeks away from the only part of its id: sent from that SIM by others, or before this database."""
    await settled(store, await intended(store, "m-1", NOW), NOW)
    await reported(store, NOW - 20 * DAY, NOW + 1000)
    assert await statuses(store, "m-1") == ["enroute"]


async def test_an_early_report_is_not_of_a_later_part(store: Store) -> None:
    """One that came before its answer was written is applied; one from before the part was handed over is not."""
    await reported(store, NOW - 2 * DAY, NOW - 2 * DAY)
    message = await intended(store, "m-1", NOW)
    await settled(store, message, NOW)
    assert await statuses(store, "m-1") == ["enroute"]


async def test_an_early_report_is_of_the_part_of_its_time(store: Store) -> None:
    """It came before the answer was written."""
    message = await intended(store, "m-1", NOW)
    await reported(store, NOW + 100, NOW + 200)
    await settled(store, message, NOW + 300)
    assert await statuses(store, "m-1") == ["delivered"]


async def test_a_doubt_is_settled_by_the_report_of_its_time(store: Store) -> None:
    """An older part has the id, too: it is the doubt's if that is of its time, and of nobody's day else."""
    await settled(store, await intended(store, "m-1", NOW), NOW)
    await settled(store, await intended(store, "m-2", NOW + 3 * DAY), NOW + 3 * DAY, "uncertain")
    await reported(store, NOW + 9 * DAY, NOW + 9 * DAY, attempt_id="a-m-2")
    assert await statuses(store, "m-1", "m-2") == ["enroute", "unknown"]
    await reported(store, NOW + 3 * DAY + 9000, NOW + 3 * DAY + 20_000, attempt_id="a-m-2")
    assert await statuses(store, "m-1", "m-2") == ["enroute", "delivered"]
