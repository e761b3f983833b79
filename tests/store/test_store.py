"""Every verb of the store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from sqlalchemy import inspect

from mail2sms.errors import StoreUnavailable
from mail2sms.model import DeliveryReport, Dsn, MoMessage, MtMessage, Part, Photo, Status
from mail2sms.store import (
    Bundle,
    Change,
    Claim,
    Claimed,
    Intent,
    Moved,
    NewMo,
    NewNotice,
    NoticeClaim,
    NoticeOutcome,
    PartOutcome,
    Recovery,
    Renewal,
    Repeat,
    Rerouting,
    Reservation,
    Search,
    Settlement,
    Store,
    earlier,
    mo_views,
    views,
)
from mail2sms.store.columns import metadata
from tests.fakes import ACCOUNT, NOW, OURS, PHONE, bundle

DAY = 86_400_000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store with one hook that wants everything."""
    opened = await Store.open(database_url, {"hook-0": ("reply", "failed")})
    yield opened
    await opened.close()


async def claim(
    store: Store, carrier: str = "sim-a", now: int = NOW, lease_ms: int = 60_000
) -> list[Claimed]:
    """Claim what is due."""
    return await store.claim(Claim(carrier=carrier, owner="node", now=now, lease_ms=lease_ms, limit=10))


def part(message: MtMessage, attempt_id: str = "a-1") -> Part:
    """Return the whole message as a part."""
    return Part(
        message=message.id,
        index=0,
        count=1,
        attempt_id=attempt_id,
        attempt=message.attempts + 1,
        msisdn=message.msisdn,
        sender_id=message.sender_id,
        encoding="gsm7",
        segments=1,
        text=message.text,
    )


async def intend(store: Store, message: MtMessage, attempt_id: str = "a-1", now: int = NOW) -> bool:
    """Commit an intent for the whole message."""
    return await store.intend(Intent(mt=message, parts=(part(message, attempt_id),), now=now))


def settlement(message: MtMessage, outcome: str, change: Change, cid: str | None = None) -> Settlement:
    """Return the end of attempt a-1."""
    ended = PartOutcome(attempt_id="a-1", outcome=outcome, carrier_message_id=cid)
    return Settlement(mt=message, outcomes=(ended,), change=change, now=NOW + 10)


def report(status: Status, cid: str = "cid", **more: object) -> DeliveryReport:
    """Return what sim-a says about a part."""
    values = {
        "carrier": "sim-a",
        "carrier_message_id": cid,
        "status": status,
        "at": NOW + 20,
        "event_id": cid,
    }
    return DeliveryReport(**{**values, **more})  # type: ignore[arg-type]


async def status_of(store: Store, id_: str = "m-1") -> str:
    """Return a message's status."""
    view = await store.read(views.read_one, ACCOUNT, id_)
    assert view is not None
    return view.status


async def enroute(store: Store, id_: str = "m-1", cid: str = "cid") -> MtMessage:
    """Bring a new message to enroute."""
    await store.put(bundle(id_))
    message = (await claim(store))[0].mt
    assert await intend(store, message)
    await store.settle(settlement(message, "taken", Change(status=Status.ENROUTE), cid))
    return message


async def notices(store: Store, channel: str = "email", now: int = NOW + DAY) -> list[str]:
    """Claim the due notices of a channel; return their kinds and reasons."""
    found = await store.claim_notices(
        NoticeClaim(channel=channel, owner="node", now=now, lease_ms=60_000, limit=10)
    )
    return [f"{n.kind} {n.reason}".strip() for n in found]


async def test_the_migrations_make_the_schema(store: Store) -> None:
    """What Alembic builds is what the tables say, on both databases."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store._write_engine.connect() as connection:
        assert inspect(connection).has_table("message")
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


@pytest.mark.usefixtures("by_alembic")
async def test_stores_may_be_opened_at_once(tmp_path: Path) -> None:
    """By one process; Alembic itself does one thing at a time."""
    opened = await asyncio.gather(*(Store.open(f"sqlite:///{tmp_path}/{n}.db") for n in range(4)))
    for each in opened:
        await each.put(bundle())
        await each.close()


async def test_what_is_put_can_be_read_with_its_first_event(store: Store) -> None:
    """One message, its words, its event."""
    await store.put(bundle())
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None
    assert (view.to, view.text, view.status, view.parts) == (PHONE, "Bonjour", "queued", 1)
    assert [event.status for event in view.events] == ["queued"]


async def test_another_account_sees_nothing(store: Store) -> None:
    """Everything belongs to an account."""
    await store.put(bundle())
    assert await store.read(views.read_one, "other.example", "m-1") is None
    assert await store.read(views.find, "other.example", Search()) == []
    assert await store.cancel("other.example", "m-1", NOW) is None


async def test_a_repeat_within_a_day_is_known_by_its_first_id(store: Store) -> None:
    """The same key: nothing is stored twice."""
    await store.put(bundle("m-1", repeat_key="k"))
    stored = await store.put(bundle("m-2", repeat_key="k"))
    assert stored.repeated == {"m-2": "m-1"}
    assert await store.read(views.read_one, ACCOUNT, "m-2") is None


async def test_a_call_is_known_by_its_own_key(store: Store) -> None:
    """Whatever its messages are: what came first is told, with its answer, and nothing is stored."""
    call = replace(bundle("m-1"), repeat_key="k", fingerprint="a", answer="first")
    assert (await store.put(call)).before is None
    again = replace(bundle("m-2"), repeat_key="k", fingerprint="b", answer="second", at=NOW + 1)
    first = Repeat(id="m-1", at=NOW, fingerprint="a", answer="first")
    assert (await store.put(again)).before == first
    assert await store.read(views.read_one, ACCOUNT, "m-2") is None
    assert await store.read(earlier.repeat_of, "k", NOW + DAY) == first
    assert await store.read(earlier.repeat_of, "k", NOW + DAY + 1) is None
    assert (await store.put(replace(again, at=NOW + DAY + 1))).before is None
    assert await store.read(earlier.repeat_of, "k", NOW + DAY + 1) == Repeat(
        id="m-2", at=NOW + DAY + 1, fingerprint="b", answer="second"
    )


async def test_a_repeat_after_a_day_is_new(store: Store) -> None:
    """24 hours, not more."""
    await store.put(bundle("m-1", repeat_key="k"))
    late = replace(bundle("m-2", repeat_key="k"), at=NOW + DAY + 1)
    assert (await store.put(late)).repeated == {}


async def test_the_same_mail_twice_at_once_is_stored_once(store: Store) -> None:
    """Two connections, one batch."""
    both = await asyncio.gather(*(store.put(bundle(f"m-{n}", repeat_key="k")) for n in range(20)))
    assert sum(1 for stored in both if not stored.repeated) == 1
    assert len(await store.read(views.find, ACCOUNT, Search())) == 1


async def test_a_reservation_is_kept_exactly_under_load(store: Store) -> None:
    """50 at once for 7 places; the refused leave nothing behind and take nothing."""
    place = Reservation(key="cap", amount=1, limit=7, until=NOW + DAY)
    results = await asyncio.gather(
        *(store.put(replace(bundle(f"m-{n}"), reservations=(place,))) for n in range(50))
    )
    assert sum(1 for stored in results if stored.exceeded is None) == 7
    assert len(await store.read(views.find, ACCOUNT, Search())) == 7


async def test_an_exceeded_reservation_gives_back_the_others_and_the_repeat_key(store: Store) -> None:
    """All or nothing."""
    roomy = Reservation(key="a", amount=1, limit=1, until=NOW + DAY)
    full = Reservation(key="b", amount=1, limit=0, until=NOW + DAY)
    refused = await store.put(replace(bundle("m-1", repeat_key="k"), reservations=(roomy, full)))
    assert refused.exceeded == full
    stored = await store.put(replace(bundle("m-2", repeat_key="k"), reservations=(roomy,)))
    assert (stored.exceeded, stored.repeated) == (None, {})


async def test_a_claimed_message_is_claimed_once(store: Store) -> None:
    """Ten at once; and a message not due, or of another carrier, is not claimed."""
    await store.put(bundle("m-1"))
    await store.put(bundle("m-later", due_at=NOW + 1))
    await store.put(bundle("m-other", route=("sim-b",)))
    claims = await asyncio.gather(*(claim(store) for _ in range(10)))
    assert [one.mt.id for found in claims for one in found] == ["m-1"]


async def test_no_intent_after_the_lease_was_taken_back(store: Store) -> None:
    """The fence: who was declared dead may not send."""
    await store.put(bundle())
    first = (await claim(store))[0].mt
    await store.recover(Recovery(now=NOW, on_unknown="hold", is_first=True))
    assert not await intend(store, first)
    second = (await claim(store))[0].mt
    assert second.fence > first.fence
    assert not await intend(store, first)
    assert await intend(store, second)


@pytest.mark.parametrize("late", [0, 1])
async def test_no_intent_after_expiry(store: Store, late: int) -> None:
    """The last moment is still good; the next is not."""
    await store.put(bundle(expires_at=NOW + 1))
    message = (await claim(store))[0].mt
    assert await intend(store, message, now=NOW + late) is (late == 0)


async def test_no_intent_after_cancelling(store: Store) -> None:
    """Cancelled is certain."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    assert await store.cancel(ACCOUNT, "m-1", NOW) is Status.CANCELLED
    assert not await intend(store, message)
    assert await status_of(store) == "cancelled"


async def test_a_whole_life_is_in_its_events(store: Store) -> None:
    """Each status change and its event are one transaction."""
    await enroute(store)
    assert await store.record_report(report(Status.DELIVERED)) == Moved(
        message="m-1", status=Status.DELIVERED
    )
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None
    assert [event.status for event in view.events] == ["queued", "sending", "enroute", "delivered"]


async def test_the_same_report_again_changes_nothing(store: Store) -> None:
    """Carriers repeat themselves."""
    await enroute(store)
    await store.record_report(report(Status.DELIVERED))
    assert await store.record_report(report(Status.DELIVERED)) is None
    assert await store.record_report(report(Status.UNDELIVERABLE)) is None
    assert await status_of(store) == "delivered"


async def test_a_report_that_comes_before_the_answer_is_not_lost(store: Store) -> None:
    """Some carriers report faster than they answer."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    await intend(store, message)
    assert await store.record_report(report(Status.DELIVERED)) is None
    await store.settle(settlement(message, "taken", Change(status=Status.ENROUTE), "cid"))
    assert await status_of(store) == "delivered"


def segment(id_: str, status: Status = Status.DELIVERED, attempt_id: str | None = None) -> DeliveryReport:
    """Return the report of one segment."""
    return replace(report(status, id_), attempt_id=attempt_id)


@pytest.mark.parametrize("order", list(permutations(("c-1", "c-2", "c-3"))))
@pytest.mark.parametrize("early", range(4))
async def test_a_part_that_the_carrier_cut_is_delivered_when_all_its_segments_are(
    store: Store, order: tuple[str, ...], early: int
) -> None:
    """In any order; so many before the answer, which name the attempt."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    await intend(store, message)
    for id_ in order[:early]:
        await store.record_report(segment(id_, attempt_id="a-1" if id_ == order[0] else None))
    ended = PartOutcome(attempt_id="a-1", outcome="taken", carrier_message_id="c-1", others=("c-2", "c-3"))
    change = Change(status=Status.ENROUTE)
    await store.settle(Settlement(mt=message, outcomes=(ended,), change=change, now=NOW))
    for id_ in order[early:]:
        assert await status_of(store) != "delivered" or early
        await store.record_report(segment(id_))
    assert await status_of(store) == "delivered"


async def test_a_segment_that_fails_fails_the_message(store: Store) -> None:
    """Whatever becomes of the others."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    await intend(store, message)
    ended = PartOutcome(attempt_id="a-1", outcome="taken", carrier_message_id="c-1", others=("c-2",))
    change = Change(status=Status.ENROUTE)
    await store.settle(Settlement(mt=message, outcomes=(ended,), change=change, now=NOW))
    await store.record_report(segment("c-2", Status.UNDELIVERABLE))
    await store.record_report(segment("c-1"))
    assert await status_of(store) == "undeliverable"


async def test_a_claim_without_intent_is_free_again_after_a_crash(store: Store) -> None:
    """Nothing had left."""
    await store.put(bundle())
    await claim(store)
    await store.recover(Recovery(now=NOW, on_unknown="hold", is_first=True))
    assert [one.mt.id for one in await claim(store)] == ["m-1"]


@pytest.mark.parametrize(("on_unknown", "status"), [("hold", "unknown"), ("resend", "queued")])
async def test_an_intent_without_outcome_is_in_doubt_after_a_crash(
    store: Store, on_unknown: str, status: str
) -> None:
    """It may have been sent; whether it is sent again is the configuration's to say."""
    await store.put(bundle())
    await intend(store, (await claim(store))[0].mt)
    await store.recover(Recovery(now=NOW, on_unknown=on_unknown, is_first=True))
    assert await status_of(store) == status
    assert bool(await claim(store, now=NOW + 100_000)) is (on_unknown == "resend")


async def test_leases_that_are_renewed_are_not_taken_back(store: Store) -> None:
    """What a node has under way stays its own; what it does not name, or a silent node's, is taken back."""
    await store.put(bundle("m-1"))
    await store.put(bundle("m-2"))
    await claim(store, lease_ms=-1)
    await store.renew(Renewal(owner="node", lease_ms=60_000, messages=("m-1",)))
    await store.recover(Recovery(now=NOW, on_unknown="hold"))
    assert [one.mt.id for one in await claim(store)] == ["m-2"]
    await store.renew(Renewal(owner="node", lease_ms=-1, messages=("m-1",)))
    await store.recover(Recovery(now=NOW, on_unknown="hold"))
    assert [one.mt.id for one in await claim(store)] == ["m-1"]


async def test_what_expired_while_nobody_sent_is_found_and_told(store: Store) -> None:
    """Not claimed, not held by a claim that came too late, expired by the next sweep."""
    await store.put(bundle("m-1", expires_at=NOW + 5))
    assert await claim(store, now=NOW + 5) == []
    message = (await claim(store, now=NOW + 4))[0].mt
    assert not await intend(store, message, now=NOW + 6)
    assert await store.expire(NOW + 6) == 1
    assert await status_of(store) == "expired"
    assert await notices(store) == ["undelivered carrier.expired"]


async def test_what_may_have_been_sent_is_neither_cancelled_nor_expired(store: Store) -> None:
    """It is unknown, whatever it waits for."""
    await store.put(bundle(expires_at=NOW + 1000))
    await intend(store, (await claim(store))[0].mt)
    await store.recover(Recovery(now=NOW, on_unknown="resend", is_first=True))
    assert await status_of(store) == "queued"
    assert await store.cancel(ACCOUNT, "m-1", NOW) is Status.UNKNOWN
    await store.expire(NOW + 2000)
    assert await status_of(store) == "unknown"


async def test_word_of_a_first_sending_stops_the_second(store: Store) -> None:
    """The report comes between the claim and the intent of the resend."""
    await store.put(bundle())
    first = (await claim(store))[0].mt
    await intend(store, first)
    await store.recover(Recovery(now=NOW, on_unknown="resend", is_first=True))
    again = await claim(store, now=NOW + 100_000)
    await store.settle(settlement(first, "taken", Change(status=Status.ENROUTE), "cid"))
    assert not await intend(store, again[0].mt, "a-2", NOW + 100_000)


@pytest.mark.parametrize(
    ("route", "carriers", "status", "carrier"),
    [
        (("old", "sim"), ("sim",), "queued", "sim"),
        (("old",), ("sim",), "rejected", "old"),
        (("sim",), ("sim", "x"), "queued", "sim"),
    ],
)
async def test_a_carrier_that_is_gone_strands_nothing(
    store: Store, route: tuple[str, ...], carriers: tuple[str, ...], status: str, carrier: str
) -> None:
    """The next of the route takes over; with none left, the writer is told."""
    await store.put(bundle(route=route))
    await store.reroute(Rerouting(carriers=carriers, now=NOW))
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None
    assert (view.status, view.carrier) == (status, carrier)


async def test_reports_that_overtake_one_another_in_a_batch_do_no_harm(store: Store) -> None:
    """Delivered, then enroute, at once."""
    await enroute(store)
    await asyncio.gather(
        store.record_report(report(Status.DELIVERED)), store.record_report(report(Status.ENROUTE))
    )
    assert await status_of(store) == "delivered"


async def test_many_reports_at_once_are_one_batch(store: Store) -> None:
    """A batch that is halved is work done several times over."""
    for n in range(8):
        await store.put(bundle(f"m-{n}"))
        message = (await claim(store))[0].mt
        assert await intend(store, message, f"a-{n}")
        ended = PartOutcome(attempt_id=f"a-{n}", outcome="taken", carrier_message_id=f"cid-{n}")
        change = Change(status=Status.ENROUTE)
        await store.settle(Settlement(mt=message, outcomes=(ended,), change=change, now=NOW))
    reported = [store.record_report(report(Status.DELIVERED, f"cid-{n}")) for n in range(8)]
    assert all(await asyncio.gather(*reported))
    assert store._write.halved == 0


async def test_a_long_code_of_a_carrier_is_kept(store: Store) -> None:
    """Free text has no length."""
    await enroute(store, cid="c" * 300)
    await store.record_report(report(Status.UNDELIVERABLE, "c" * 300, code="x" * 500))
    assert await status_of(store) == "undeliverable"


async def test_the_other_part_is_sent_when_one_parts_fate_is_known(store: Store) -> None:
    """Two parts: one in doubt, one certainly not taken; then the first is reported delivered."""
    await store.put(bundle(segments=2))
    message = (await claim(store))[0].mt
    parts = (part(message), replace(part(message, "a-2"), index=1, count=2))
    await store.intend(Intent(mt=message, parts=parts, now=NOW))
    outcomes = (
        PartOutcome(attempt_id="a-1", outcome="uncertain"),
        PartOutcome(attempt_id="a-2", outcome="unavailable"),
    )
    change = Change(status=Status.UNKNOWN, reason="carrier.unknown")
    await store.settle(Settlement(mt=message, outcomes=outcomes, change=change, now=NOW))
    await store.record_report(report(Status.DELIVERED, "cid", attempt_id="a-1"))
    again = await claim(store, now=NOW + 100)
    assert [one.taken for one in again] == [frozenset({0})]


async def test_a_key_given_back_by_a_refused_bundle_is_the_next_ones(store: Store) -> None:
    """Two in one batch: the first over its limit, the second not; nobody is told of an id that is not stored."""
    full = Reservation(key="b", amount=1, limit=0, until=NOW + DAY)
    first, second = await asyncio.gather(
        store.put(replace(bundle("m-1", repeat_key="k"), reservations=(full,))),
        store.put(bundle("m-2", repeat_key="k")),
    )
    assert (first.exceeded, second.repeated) == (full, {})
    assert await status_of(store, "m-2") == "queued"


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.QUEUED])
async def test_that_the_carrier_has_it_is_believed_even_late(store: Store, status: Status) -> None:
    """A node declared dead comes back with an answer: no second sending."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    await intend(store, message)
    on_unknown = "hold" if status is Status.UNKNOWN else "resend"
    await store.recover(Recovery(now=NOW, on_unknown=on_unknown, is_first=True))
    await store.settle(settlement(message, "taken", Change(status=Status.ENROUTE), "cid"))
    assert await status_of(store) == "enroute"
    assert await claim(store, now=NOW + DAY) == []


async def test_that_the_carrier_did_not_take_it_is_believed_even_late(store: Store) -> None:
    """A node declared dead comes back with a certain no: it is as if nothing had been in doubt."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    await intend(store, message)
    await store.recover(Recovery(now=NOW, on_unknown="hold", is_first=True))
    change = Change(status=Status.QUEUED, due_at=NOW, position=1)
    await store.settle(settlement(message, "unavailable", change))
    assert await status_of(store) == "queued"
    assert [one.mt.attempts for one in await claim(store, now=NOW + 10)] == [1]


async def test_the_end_of_what_is_forgotten_is_no_fault(store: Store) -> None:
    """Its outcome could not be written for so long. Else it would be tried for ever."""
    await store.put(bundle())
    message = replace((await claim(store))[0].mt, id="m-gone")
    change = Change(status=Status.QUEUED, due_at=NOW, position=1)
    assert await store.settle(settlement(message, "unavailable", change)) is Status.QUEUED


async def test_a_late_no_says_nothing_of_what_was_sent_since(store: Store) -> None:
    """The second try is under way, or over."""
    await store.put(bundle())
    first = (await claim(store))[0].mt
    await intend(store, first)
    await store.recover(Recovery(now=NOW, on_unknown="resend", is_first=True))
    second = (await claim(store, now=NOW + 60_000))[0].mt
    assert await intend(store, second, "a-2", NOW + 60_000)
    change = Change(status=Status.QUEUED, due_at=NOW, position=1)
    await store.settle(settlement(first, "unavailable", change))
    assert await status_of(store) == "sending"
    doubt = PartOutcome(attempt_id="a-2", outcome="uncertain")
    unknown = Change(status=Status.UNKNOWN, reason="carrier.unknown")
    await store.settle(Settlement(mt=second, outcomes=(doubt,), change=unknown, now=NOW + 60_010))
    await store.settle(settlement(first, "unavailable", change))
    assert await status_of(store) == "unknown"


async def test_a_retry_goes_to_the_next_carrier_and_knows_the_parts_that_were_taken(store: Store) -> None:
    """Only parts that were certainly not taken are tried again."""
    await store.put(bundle(segments=2))
    message = (await claim(store))[0].mt
    second = replace(part(message, "a-2"), index=1, count=2)
    await store.intend(Intent(mt=message, parts=(part(message), second), now=NOW))
    outcomes = (
        PartOutcome(attempt_id="a-1", outcome="taken", carrier_message_id="cid"),
        PartOutcome(attempt_id="a-2", outcome="unavailable", code="503"),
    )
    change = Change(status=Status.QUEUED, reason="retry", due_at=NOW + 5, position=1)
    await store.settle(Settlement(mt=message, outcomes=outcomes, change=change, now=NOW))
    assert await claim(store, "sim-a", NOW + 5) == []
    again = (await claim(store, "sim-b", NOW + 5))[0]
    assert (again.taken, again.mt.attempts, again.mt.carrier) == (frozenset({0}), 1, "sim-b")


async def test_a_message_of_two_parts_is_delivered_when_both_are(store: Store) -> None:
    """Folded from its parts."""
    await store.put(bundle(segments=2))
    message = (await claim(store))[0].mt
    parts = (part(message), replace(part(message, "a-2"), index=1, count=2))
    await store.intend(Intent(mt=message, parts=parts, now=NOW))
    outcomes = tuple(
        PartOutcome(attempt_id=f"a-{n}", outcome="taken", carrier_message_id=f"cid-{n}") for n in (1, 2)
    )
    change = Change(status=Status.ENROUTE)
    await store.settle(Settlement(mt=message, outcomes=outcomes, change=change, now=NOW))
    assert await store.record_report(report(Status.DELIVERED, "cid-1")) is None
    assert await store.record_report(report(Status.DELIVERED, "cid-2")) is not None
    assert await status_of(store) == "delivered"


async def test_a_failure_is_told_to_the_writer_and_the_hook_once(store: Store) -> None:
    """In the transaction that writes the status."""
    await enroute(store)
    await store.record_report(report(Status.UNDELIVERABLE, code="unknown_subscriber"))
    await store.record_report(report(Status.UNDELIVERABLE, code="unknown_subscriber"))
    assert await notices(store) == ["undelivered carrier.unknown_number"]
    assert await notices(store, "hook-0") == ["undelivered carrier.unknown_number"]
    assert await notices(store) == []


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ((), ["undelivered carrier.expired"]),
        (("NEVER",), []),
        (("SUCCESS", "DELAY"), []),
        (("SUCCESS", "FAILURE"), ["undelivered carrier.expired"]),
    ],
)
async def test_who_wants_no_report_of_a_failure_gets_no_email(
    store: Store, notify: tuple[str, ...], told: list[str]
) -> None:
    """RFC 3461, section 4.1; a hook is the operator's, and hears of it all the same. What was asked is kept."""
    dsn = Dsn(notify=notify, original="rfc822;a@b.example", envelope_id="QQ 1", ret="HDRS")
    await store.put(bundle(dsn=dsn, expires_at=NOW + 5))
    await store.expire(NOW + 5)
    assert await notices(store) == told
    assert await notices(store, "hook-0") == ["undelivered carrier.expired"]
    await store.put(bundle("m-2", dsn=dsn))
    assert (await claim(store))[0].mt.dsn == dsn


async def test_what_waits_too_long_expires_and_is_told(store: Store) -> None:
    """Never taken by a carrier."""
    await store.put(bundle(expires_at=NOW + 5))
    await store.expire(NOW + 4)
    assert await status_of(store) == "queued"
    await store.expire(NOW + 5)
    assert await status_of(store) == "expired"
    assert await notices(store) == ["undelivered carrier.expired"]


def new_mo(event_id: str = "e-1", **changes: object) -> NewMo:
    """Return what the phone writes back."""
    photo = Photo(name="a.png", media_type="image/png", content=b"\x89PNG")
    mo = MoMessage(
        carrier="sim-a", event_id=event_id, msisdn=PHONE, to=OURS, at=NOW, text="Oui", photos=(photo,)
    )
    values = {
        "mo": mo,
        "account": ACCOUNT,
        "conversation": "c-1",
        "reply_key": "abcdefghij",
        "now": NOW + 100,
        "window_ms": 1000,
        "owner": "",
        "fallback": "desk@acme.example",
    }
    return NewMo(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrote", "now", "owner", "address"),
    [
        (True, NOW + 100, "", "marie@acme.example"),
        (True, NOW + 100, "owner@acme.example", "marie@acme.example"),
        (True, NOW + 1001, "owner@acme.example", "owner@acme.example"),
        (True, NOW + 1001, "", "marie@acme.example"),
        (False, NOW, "owner@acme.example", "owner@acme.example"),
        (False, NOW, "", "desk@acme.example"),
    ],
)
async def test_a_reply_finds_its_reader(
    store: Store, wrote: bool, now: int, owner: str, address: str
) -> None:
    """Whoever waits for it; else the number's owner; else whoever ever wrote; else the default mailbox."""
    if wrote:
        await store.put(bundle())
    recorded = await store.record_mo(new_mo(now=now, owner=owner))
    assert (recorded.is_repeat, recorded.address) == (False, address)


async def test_the_same_event_again_is_told_to_nobody(store: Store) -> None:
    """Carriers repeat webhooks; two at once are one."""
    await store.put(bundle())
    both = await asyncio.gather(*(store.record_mo(new_mo()) for _ in range(5)))
    assert sum(1 for one in both if not one.is_repeat) == 1
    assert await notices(store) == ["reply"]
    assert await notices(store, "hook-0") == ["reply"]


async def test_a_reply_is_read_with_its_photo_and_the_mail_it_answers(store: Store) -> None:
    """What compose needs, in one read."""
    await store.put(bundle())
    recorded = await store.record_mo(new_mo())
    mo = await store.read(mo_views.read_mo, recorded.id, "marie@acme.example")
    assert mo is not None
    assert mo.last is not None
    assert (mo.text, mo.photos[0].content, mo.last.message_id) == ("Oui", b"\x89PNG", "<m-1@acme.example>")
    found = await store.read(views.conversation_by_key, ACCOUNT, PHONE, "abcdefghij")
    assert found is not None
    assert found.our_address == OURS
    assert await store.read(views.conversation_by_key, ACCOUNT, PHONE, "abcdefghik") is None


async def test_a_notice_that_failed_comes_again_when_it_is_due(store: Store) -> None:
    """And its payload with it."""
    notice = NewNotice(
        id="n-1",
        account=ACCOUNT,
        kind="refused",
        channel="email",
        address="marie@acme.example",
        created_at=NOW,
        due_at=NOW,
        expires_at=NOW + DAY,
        payload=b"{}",
    )
    await store.put(Bundle(id="n-1", at=NOW, notices=(notice,)))
    ask = NoticeClaim(channel="email", owner="node", now=NOW, lease_ms=1000, limit=10)
    first = (await store.claim_notices(ask))[0]
    assert first.payload == b"{}"
    assert await store.settle_notice(NoticeOutcome(notice=first, status="queued", now=NOW, due_at=NOW + 9))
    assert await store.claim_notices(ask) == []
    second = (await store.claim_notices(replace(ask, now=NOW + 9)))[0]
    assert second.attempts == 2
    assert not await store.settle_notice(NoticeOutcome(notice=first, status="sent", now=NOW))
    assert await store.settle_notice(NoticeOutcome(notice=second, status="sent", now=NOW))


async def test_an_item_that_cannot_be_stored_fails_alone(store: Store) -> None:
    """The rest of its batch is committed."""
    broken = replace(bundle("m-bad"), submissions=())  # its message points to no submission
    results = await asyncio.gather(
        *(store.put(bundle(f"m-{n}")) for n in range(5)),
        store.put(broken),
        *(store.put(bundle(f"m-{n}")) for n in range(5, 10)),
        return_exceptions=True,
    )
    assert [isinstance(r, StoreUnavailable) for r in results].count(True) == 1
    assert len(await store.read(views.find, ACCOUNT, Search())) == 10


async def test_the_reply_secret_survives(database_url: str) -> None:
    """Reply addresses stay valid over restarts."""
    first = await Store.open(database_url)
    secret = first.reply_secret
    await first.close()
    second = await Store.open(database_url)
    assert second.reply_secret == secret
    await second.close()


async def test_a_sqlite_file_has_one_daemon(tmp_path: object) -> None:
    """A second one is told so."""
    url = f"sqlite:///{tmp_path}/x.db"
    first = await Store.open(url)
    with pytest.raises(StoreUnavailable, match="in use"):
        await Store.open(url)
    await first.close()


async def test_messages_are_found_by_what_is_asked(store: Store) -> None:
    """All conditions together, newest first."""
    await store.put(bundle("m-1", created_at=NOW))
    await store.put(bundle("m-2", created_at=NOW + 1, msisdn="+33639985555", conversation="c-2"))

    async def ids(**wanted: object) -> list[str]:
        return [m.id for m in await store.read(views.find, ACCOUNT, Search(**wanted))]  # type: ignore[arg-type]

    assert await ids() == ["m-2", "m-1"]
    assert await ids(to=PHONE) == ["m-1"]
    assert await ids(status="queued", since=NOW + 1) == ["m-2"]
    assert await ids(status="delivered") == []
    assert await ids(limit=1) == ["m-2"]
    assert await ids(before="m-2") == ["m-1"]
    assert await store.read(views.counts) == {"queued": 2, "sending": 0, "unknown": 0, "notices": 0}


async def test_old_keys_and_counters_are_forgotten(store: Store) -> None:
    """Some days later than they count: a clock that ran ahead is set back in time."""
    cap = Reservation(key="cap", amount=1, limit=1, until=NOW + 5)
    await store.put(replace(bundle("m-1", repeat_key="k"), reservations=(cap,)))
    assert await store.forget(NOW + 2 * DAY) == 0
    assert await store.forget(NOW + 30 * DAY) == 2
