"""A doubt about a first try, and what later tries say: they fail for certain, and it is none the less a doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mail2sms import lifecycle
from mail2sms.dispatch.attempt import part_outcome
from mail2sms.errors import Refused, SendFailed, Unavailable, Uncertain
from mail2sms.heard import LateAnswer
from mail2sms.http import Answer
from mail2sms.model import DeliveryReport, Status, Taken
from mail2sms.store import Claim, Intent, Settlement, Store, views
from tests.carriers.cases import provider
from tests.fakes import ACCOUNT, NOW, bundle
from tests.store.test_store import part, status_of

HOUR = 3_600_000
LOST = Uncertain("no_answer", "hung up")
NO_CREDIT = [
    Answer(status=402, body=b""),
    Answer(status=200, body=b'{"success":"500","messages":[]}'),
    Answer(status=200, body=b"500"),
]
SAME_TEXT = Answer(status=200, body=b'{"success":"402","messages":[]}')  # refused so soon after the first


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def attempt(store: Store, number: int, carrier: str, outcome: Taken | SendFailed) -> None:
    """Try for the so manieth time, when it is due, with this outcome."""
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None
    now = max(NOW, view.due_at)
    wanted = Claim(carrier=carrier, owner="node", now=now, lease_ms=60_000, limit=1)
    (claimed,) = await store.claim(wanted)
    sent = part(claimed.mt, f"a-{number}")
    assert await store.intend(Intent(mt=claimed.mt, parts=(sent,), now=now))
    tried = replace(claimed.mt, attempts=number)
    change = lifecycle.after_attempt(tried, [outcome], now, 0.5, "resend")
    ended = (part_outcome(sent, outcome),)
    await store.settle(Settlement(mt=claimed.mt, outcomes=ended, change=change, now=now))


async def hear(store: Store, number: int, carrier: str, status: Status) -> None:
    """Record what the carrier says of a try."""
    report = DeliveryReport(
        carrier=carrier,
        carrier_message_id=f"cid-{number}",
        status=status,
        at=NOW,
        event_id="",
        attempt_id=f"a-{number}",
    )
    await store.record_report(report)


def seven_says(answer: Answer, folder: Path) -> SendFailed:
    """Return what an answer of seven's means."""
    with pytest.raises(SendFailed) as caught:
        provider("seven", folder).accepted(answer)
    return caught.value


@pytest.mark.parametrize("answer", [*NO_CREDIT, SAME_TEXT])
@pytest.mark.parametrize("became", [Status.DELIVERED, Status.UNDELIVERABLE])
async def test_without_credit_for_the_second_try_the_first_is_what_it_was(
    store: Store, tmp_path: Path, answer: Answer, became: Status
) -> None:
    """It waits, to be tried once more, and at its end nobody knows; a report of the first says what became of it."""
    await store.put(bundle(route=("sim-a",)))
    await attempt(store, 1, "sim-a", LOST)
    no = seven_says(answer, tmp_path)
    assert isinstance(no, Unavailable)
    await attempt(store, 2, "sim-a", no)
    assert await status_of(store) in ("queued", "unknown")
    await store.expire(NOW + 48 * HOUR)
    assert await status_of(store) == "unknown"
    await hear(store, 1, "sim-a", became)
    assert await status_of(store) == became.value


@pytest.mark.parametrize("last", [Refused("21211"), Uncertain("no_answer")])
@pytest.mark.parametrize("became", [Status.ENROUTE, Status.DELIVERED])
async def test_another_carrier_s_no_is_not_the_first_s(
    store: Store, tmp_path: Path, last: SendFailed, became: Status
) -> None:
    """Without credit it goes to the next, which refuses it; then the first reports."""
    await store.put(bundle())
    await attempt(store, 1, "sim-a", LOST)
    await attempt(store, 2, "sim-a", seven_says(NO_CREDIT[0], tmp_path))
    await attempt(store, 3, "sim-b", last)
    assert await status_of(store) == "unknown"
    await hear(store, 1, "sim-a", became)
    assert await status_of(store) == became.value


@pytest.mark.parametrize("became", [Status.ENROUTE, Status.DELIVERED, Status.UNDELIVERABLE])
async def test_what_the_last_one_took_is_its_to_report(store: Store, tmp_path: Path, became: Status) -> None:
    """Until the first says that it has it."""
    await store.put(bundle())
    await attempt(store, 1, "sim-a", LOST)
    await attempt(store, 2, "sim-a", seven_says(NO_CREDIT[0], tmp_path))
    await attempt(store, 3, "sim-b", Taken(carrier_message_id="cid-3"))
    assert await status_of(store) == "enroute"
    await hear(store, 3, "sim-b", became)
    assert await status_of(store) == became.value


async def test_what_the_first_has_is_not_over_with_the_last_one_s_failure(
    store: Store, tmp_path: Path
) -> None:
    """The phone may well show it."""
    await store.put(bundle())
    await attempt(store, 1, "sim-a", LOST)
    await attempt(store, 2, "sim-a", seven_says(NO_CREDIT[0], tmp_path))
    await attempt(store, 3, "sim-b", Taken(carrier_message_id="cid-3"))
    await hear(store, 1, "sim-a", Status.ENROUTE)
    await hear(store, 3, "sim-b", Status.UNDELIVERABLE)
    assert await status_of(store) == "enroute"
    await hear(store, 1, "sim-a", Status.DELIVERED)
    assert await status_of(store) == "delivered"


@pytest.mark.parametrize(("outcome", "status"), [("refused", "rejected"), ("taken", "enroute")])
async def test_the_doubt_ends_with_the_answer_of_the_first(
    store: Store, tmp_path: Path, outcome: str, status: str
) -> None:
    """Then the other's no counts, or nothing does."""
    await store.put(bundle())
    await attempt(store, 1, "sim-a", LOST)
    await attempt(store, 2, "sim-a", seven_says(NO_CREDIT[0], tmp_path))
    await attempt(store, 3, "sim-b", Refused("21211"))
    answer = LateAnswer(carrier="sim-b", attempt_id="a-3", outcome="refused", at=NOW)
    await store.record_answer(answer)
    assert await status_of(store) == "unknown"
    await store.record_answer(replace(answer, carrier="sim-a", attempt_id="a-1", outcome=outcome))
    assert await status_of(store) == status


ENDS = [Status.UNDELIVERABLE, Status.EXPIRED, Status.REJECTED]


@pytest.mark.parametrize("carriers", [("sim-a", "sim-a"), ("sim-a", "sim-b")], ids=["one", "two"])
@pytest.mark.parametrize(
    ("has_come", "became"),
    [(True, Status.CANCELLED), *((has_come, end) for has_come in (False, True) for end in ENDS)],
)
@pytest.mark.parametrize("is_over", [False, True], ids=["queued", "unknown"])
async def test_the_end_of_what_was_taken_is_not_hidden_by_who_was_not_there(
    store: Store, carriers: tuple[str, ...], became: Status, has_come: bool, is_over: bool
) -> None:
    """The first try was taken after all, and failed; later ones found nobody: it is not for ever on its way."""
    await store.put(bundle(route=("sim-a", "sim-b") if "sim-b" in carriers else ("sim-a",)))
    await attempt(store, 1, "sim-a", LOST)
    await attempt(store, 2, "sim-a", Unavailable("HTTP-503", "not there"))
    if "sim-b" in carriers:
        await attempt(store, 3, "sim-b", Unavailable("HTTP-503", "not there"))
    if is_over:
        await store.expire(NOW + 48 * HOUR)
        assert await status_of(store) == "unknown"
    if has_come:
        await hear(store, 1, "sim-a", Status.ENROUTE)
        assert await status_of(store) == "enroute"
    await hear(store, 1, "sim-a", became)
    assert await status_of(store) == became.value


async def test_segments_of_two_tries_make_no_whole(store: Store) -> None:
    """Both were taken; of each the first segment arrived."""
    await store.put(bundle(route=("sim-a",)))
    await attempt(store, 1, "sim-a", LOST)
    await attempt(store, 2, "sim-a", Taken(carrier_message_id="d-1", others=("d-2",)))
    for number, id_ in ((1, "c-1"), (2, "d-1")):
        report = DeliveryReport(
            carrier="sim-a",
            carrier_message_id=id_,
            status=Status.DELIVERED,
            at=NOW,
            event_id="",
            attempt_id=f"a-{number}",
            segment=id_,
            segments=2,
        )
        await store.record_report(report)
    assert await status_of(store) == "enroute"
    await store.record_report(replace(report, carrier_message_id="d-2", segment="d-2"))
    assert await status_of(store) == "delivered"


@pytest.mark.parametrize("order", [(Status.EXPIRED, Status.ENROUTE), (Status.ENROUTE, Status.EXPIRED)])
async def test_what_expired_is_not_on_its_way_again(store: Store, order: tuple[Status, ...]) -> None:
    """Reports come in any order, and two of them in one batch."""
    await store.put(bundle(route=("sim-a",)))
    await attempt(store, 1, "sim-a", Taken(carrier_message_id="cid-1"))
    await asyncio.gather(*(hear(store, 1, "sim-a", status) for status in order))
    assert await status_of(store) == "expired"


async def test_what_another_carrier_has_half_is_not_over_with_the_first_one_s_end(store: Store) -> None:
    """It waits to finish."""
    await store.put(bundle())
    await attempt(store, 1, "sim-a", LOST)
    await attempt(store, 2, "sim-a", Unavailable("HTTP-503", "not there"))
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None
    wanted = Claim(carrier="sim-b", owner="node", now=view.due_at, lease_ms=60_000, limit=1)
    (claimed,) = await store.claim(wanted)
    halves = tuple(replace(part(claimed.mt, f"b-{index}"), index=index) for index in (0, 1))
    assert await store.intend(Intent(mt=claimed.mt, parts=halves, now=NOW))
    outcomes: list[Taken | SendFailed] = [
        Taken(carrier_message_id="b"),
        Unavailable("throttled", same_carrier=True),
    ]
    ended = tuple(part_outcome(half, outcome) for half, outcome in zip(halves, outcomes, strict=True))
    change = lifecycle.after_attempt(claimed.mt, outcomes, NOW, 0.5, "resend")
    await store.settle(Settlement(mt=claimed.mt, outcomes=ended, change=change, now=NOW))
    assert await status_of(store) == "queued"
    await hear(store, 1, "sim-a", Status.EXPIRED)
    assert await status_of(store) == "queued"


async def test_what_arrived_is_not_over_with_the_end_of_a_second_try(store: Store) -> None:
    """The phone shows it."""
    await store.put(bundle(route=("sim-a",)))
    await attempt(store, 1, "sim-a", LOST)
    await attempt(store, 2, "sim-a", Taken(carrier_message_id="cid-2"))
    await hear(store, 2, "sim-a", Status.EXPIRED)
    await hear(store, 1, "sim-a", Status.DELIVERED)
    assert await status_of(store) == "delivered"
