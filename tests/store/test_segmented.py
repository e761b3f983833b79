"""Reports about segments that a carrier made of a part, before and after its answer, told to be so many or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any

import pytest

from mail2sms.lifecycle import RESEND
from mail2sms.model import DeliveryReport, Status
from mail2sms.store import Change, PartOutcome, Settlement, Store
from tests.fakes import NOW, bundle
from tests.store.test_store import claim, intend, report, status_of

UNKNOWN = Change(status=Status.UNKNOWN, reason="carrier.unknown")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def sending(store: Store, counted: int, *ids: str) -> Settlement:
    """Intend to send a text of so many segments; return that the carrier took it, by these ids."""
    await store.put(bundle(segments=counted))
    message = (await claim(store))[0].mt
    assert await intend(store, message)
    ended = PartOutcome(attempt_id="a-1", outcome="taken", carrier_message_id=ids[0], others=ids[1:])
    return Settlement(mt=message, outcomes=(ended,), change=Change(status=Status.ENROUTE), now=NOW)


def of(number: int, status: Status = Status.DELIVERED, count: int = 3, **more: Any) -> DeliveryReport:
    """Return a report by the message's id, about one of its segments."""
    return report(status, segment=f"cid/{number}", segments=count, attempt_id="a-1", **more)


def by_its_own_id(id_: str, status: Status = Status.DELIVERED) -> DeliveryReport:
    """Return a report by an id of the segment's; the reference is the same for all segments."""
    return report(status, id_, segment=id_, attempt_id="a-1")


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
@pytest.mark.parametrize("early", range(4))
@pytest.mark.parametrize("counted", [1, 3, 4])
async def test_a_message_is_delivered_when_all_its_segments_are(
    store: Store, order: tuple[int, ...], early: int, counted: int
) -> None:
    """In any order, each told twice, so many before the answer; the carrier's count holds, not ours."""
    settlement = await sending(store, counted, "cid")
    for place, number in enumerate(order):
        if place == early:
            await store.settle(settlement)
        assert await status_of(store) == ("enroute" if place or not early else "sending")
        for _ in range(2):
            await store.record_report(of(number, Status.ENROUTE))
            assert await status_of(store) == "enroute"
        for _ in range(2):
            assert (await store.record_report(of(number)) is None) is (place < 2)
            if place == 2:
                break
    if early == 3:
        await store.settle(settlement)
    await store.record_report(of(order[0]))
    assert await status_of(store) == "delivered"


@pytest.mark.parametrize(("counted", "told", "count"), [(3, 2, 2), (2, 3, 3), (3, 0, 3), (1, 0, 1)])
async def test_how_many_there_are_may_be_told_once_or_never(
    store: Store, counted: int, told: int, count: int
) -> None:
    """When it was sent, if the carrier says so; else there are as many as we counted."""
    await store.settle(await sending(store, counted, "cid"))
    await store.record_report(report(Status.ENROUTE, segments=told))
    for number in range(count):
        assert await status_of(store) == "enroute"
        await store.record_report(of(number, count=0))
    assert await status_of(store) == "delivered"


async def test_a_report_about_the_message_speaks_for_all_segments(store: Store) -> None:
    """As the answer to a question does."""
    await store.settle(await sending(store, 3, "cid"))
    await store.record_report(of(1))
    assert await status_of(store) == "enroute"
    await store.record_report(report(Status.DELIVERED))
    assert await status_of(store) == "delivered"


@pytest.mark.parametrize("failed", [1, 2])
@pytest.mark.parametrize("is_early", [True, False])
async def test_a_segment_that_fails_fails_the_message(store: Store, failed: int, is_early: bool) -> None:
    """Whatever became of the other, and whenever it is told."""
    settlement = await sending(store, 2, "cid")
    if not is_early:
        await store.settle(settlement)
    for number in (1, 2):
        became = Status.UNDELIVERABLE if number == failed else Status.DELIVERED
        await store.record_report(of(number, became, count=2))
    if is_early:
        await store.settle(settlement)
    assert await status_of(store) == "undeliverable"


@pytest.mark.parametrize("order", [("c-1", "c-2"), ("c-2", "c-1")])
@pytest.mark.parametrize("early", range(3))
@pytest.mark.parametrize("counted", [2, 3])
@pytest.mark.parametrize("is_sent_first", [True, False])
async def test_reports_with_ids_of_their_own_and_one_reference(
    store: Store, order: tuple[str, ...], early: int, counted: int, is_sent_first: bool
) -> None:
    """Before the answer nobody knows whose the ids are: none is taken for the whole, and none is lost."""
    settlement = await sending(store, counted, "c-1", "c-2")
    for place, id_ in enumerate(order):
        if place == early:
            await store.settle(settlement)
        assert await status_of(store) != "delivered"
        if is_sent_first:
            await store.record_report(by_its_own_id(id_, Status.ENROUTE))
        await store.record_report(by_its_own_id(id_))
    if early == 2:
        assert await status_of(store) == ("delivered" if counted == 2 else "enroute")
        await store.settle(settlement)
    assert await status_of(store) == "delivered"


@pytest.mark.parametrize("early", range(3))
@pytest.mark.parametrize("became", [Status.UNDELIVERABLE, Status.REJECTED, Status.EXPIRED])
@pytest.mark.parametrize("order", [("c-1", "c-2"), ("c-2", "c-1")])
async def test_one_of_them_fails(store: Store, early: int, became: Status, order: tuple[str, ...]) -> None:
    """It is not hidden by the one that was delivered."""
    settlement = await sending(store, 2, "c-1", "c-2")
    for place, id_ in enumerate(order):
        if place == early:
            await store.settle(settlement)
        await store.record_report(by_its_own_id(id_, became if place else Status.DELIVERED))
    if early == 2:
        await store.settle(settlement)
    assert await status_of(store) == became.value


async def test_there_was_one_segment_where_we_counted_two(store: Store) -> None:
    """The answer says so, and then its report has said all there is."""
    settlement = await sending(store, 2, "c-1")
    await store.record_report(by_its_own_id("c-1"))
    assert await status_of(store) == "enroute"
    await store.settle(settlement)
    assert await status_of(store) == "delivered"


@pytest.mark.parametrize("on_unknown", [UNKNOWN, Change(status=Status.QUEUED, reason=RESEND, due_at=NOW + 1)])
async def test_a_lost_answer_is_settled_by_all_its_segments(store: Store, on_unknown: Change) -> None:
    """The first one says that it was taken, and no more."""
    settlement = await sending(store, 2, "c-1", "c-2")
    doubt = PartOutcome(attempt_id="a-1", outcome="uncertain")
    await store.settle(Settlement(mt=settlement.mt, outcomes=(doubt,), change=on_unknown, now=NOW))
    await store.record_report(by_its_own_id("c-2"))
    assert await status_of(store) == "enroute"
    await store.record_report(by_its_own_id("c-2"))
    assert await status_of(store) == "enroute"
    await store.record_report(by_its_own_id("c-1"))
    assert await status_of(store) == "delivered"


async def test_of_an_attempt_that_is_not_ours_a_segment_says_little(store: Store) -> None:
    """Kept until the id is known, it does not say then that all was delivered."""
    settlement = await sending(store, 2, "cid")
    told = report(Status.DELIVERED, segment="cid/1", segments=2, attempt_id="a-nobody's")
    assert await store.record_report(told) is None
    await store.settle(settlement)
    assert await status_of(store) == "enroute"
