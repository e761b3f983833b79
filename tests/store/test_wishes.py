"""Holding, releasing and trying again, on both databases; and the log of events as it is followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from mail2sms.lifecycle import Change, Denial, Wish
from mail2sms.model import MoMessage, MtMessage, Status
from mail2sms.store import (
    Bundle,
    Granted,
    MessageView,
    NewMo,
    NewNotice,
    NoticeClaim,
    NoticeOutcome,
    Rerouting,
    Store,
    Wished,
    events,
    views,
)
from mail2sms.store.notice_views import NoticeSearch, find_notices, read_notice
from tests.fakes import ACCOUNT, NOW, OURS, PHONE, bundle, submission, writer
from tests.store.test_store import claim, enroute, intend, notices, report, settlement, status_of

HOUR = 3_600_000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def wish(store: Store, what: Wish, id_: str = "m-1", **more: object) -> Granted | None:
    """Wish something of a message of ours."""
    values: dict[str, object] = {"account": ACCOUNT, "id": id_, "wish": what, "now": NOW}
    return await store.wish(Wished(**{**values, **more}))  # type: ignore[arg-type]


async def seen(store: Store, id_: str = "m-1") -> MessageView:
    """Return a message as everybody sees it."""
    view = await store.read(views.read_one, ACCOUNT, id_)
    assert view is not None
    return view


async def unknown(store: Store) -> MtMessage:
    """Bring a new message to unknown."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    assert await intend(store, message)
    await store.settle(
        settlement(message, "uncertain", Change(status=Status.UNKNOWN, reason="carrier.unknown"))
    )
    return message


async def test_a_held_message_is_not_claimed_until_it_is_released(store: Store) -> None:
    """Whatever the clock says meanwhile; then it goes, and each step is an event."""
    await store.put(bundle())
    held = await wish(store, Wish.HOLD)
    assert held == Granted(status=Status.QUEUED, reason="held", due_at=NOW)
    assert await claim(store, now=NOW + HOUR - 1) == []
    assert (await seen(store)).due_at == NOW
    freed = await wish(store, Wish.RELEASE, now=NOW + 5)
    assert freed == Granted(status=Status.QUEUED, reason="", due_at=NOW)
    assert [claimed.mt.id for claimed in await claim(store)] == ["m-1"]
    assert [(e.status, e.reason, e.detail) for e in (await seen(store)).events] == [
        ("queued", "", ""),
        ("queued", "held", "by the operator"),
        ("queued", "", "by the operator"),
    ]


async def test_a_held_message_stays_held_when_the_daemon_starts_anew(database_url: str) -> None:
    """It is the database that knows."""
    store = await Store.open(database_url)
    await store.put(bundle())
    await wish(store, Wish.HOLD)
    await store.close()
    store = await Store.open(database_url)
    assert await claim(store) == []
    assert (await seen(store)).reason == "held"
    await store.close()


async def test_a_held_message_expires_and_can_be_cancelled(store: Store) -> None:
    """Holding is no way to live longer."""
    for id_ in ("m-1", "m-2"):
        await store.put(bundle(id_))
        await wish(store, Wish.HOLD, id_)
    assert await store.cancel(ACCOUNT, "m-2", NOW) is Status.CANCELLED
    await store.expire(NOW + HOUR)
    assert [await status_of(store, id_) for id_ in ("m-1", "m-2")] == ["expired", "cancelled"]
    assert (await seen(store)).due_at == NOW


async def test_released_it_waits_for_what_it_waited_for(store: Store) -> None:
    """A scheduled message keeps its time; one in doubt is known to be in doubt."""
    await store.put(bundle("m-1", due_at=NOW + 1000, reason="schedule"))
    await wish(store, Wish.HOLD)
    assert await wish(store, Wish.RELEASE) == Granted(
        status=Status.QUEUED, reason="schedule", due_at=NOW + 1000
    )
    await store.put(bundle("m-2"))
    message = (await claim(store))[0].mt
    assert await intend(store, message)
    again = Change(status=Status.QUEUED, reason="resend", detail="lost", due_at=NOW + 1000)
    await store.settle(settlement(message, "uncertain", again))
    await wish(store, Wish.HOLD, "m-2")
    await wish(store, Wish.RELEASE, "m-2")
    view = await seen(store, "m-2")
    assert (view.reason, view.detail, view.due_at) == ("resend", "lost", NOW + 1000)


async def test_holding_twice_is_one_event_and_one_email(store: Store) -> None:
    """What holds already is no change."""
    await store.put(bundle())
    first, second = await wish(store, Wish.HOLD), await wish(store, Wish.HOLD, now=NOW + 1)
    assert first == second
    assert len((await seen(store)).events) == 2
    assert await notices(store) == ["held held.operator"]


async def test_the_writer_is_told_of_a_hold(store: Store) -> None:
    """By an email about the message, unless it was to be quiet or the writer has no address."""
    await store.put(bundle("m-1"))
    await store.put(bundle("m-2"))
    nobody = submission("m-3", writer=writer(address="api-key"))
    await store.put(replace(bundle("m-3"), submissions=(nobody,)))
    await wish(store, Wish.HOLD, "m-1")
    await wish(store, Wish.HOLD, "m-2", is_quiet=True)
    await wish(store, Wish.HOLD, "m-3")
    wanted = NoticeClaim(channel="email", owner="node", now=NOW, lease_ms=60_000, limit=10)
    (told,) = await store.claim_notices(wanted)
    assert (told.kind, told.reason, told.message, told.address, told.payload) == (
        "held",
        "held.operator",
        "m-1",
        "marie@acme.example",
        None,
    )


async def test_what_was_claimed_may_still_be_held(store: Store) -> None:
    """Nothing left yet: the dispatcher is told no, and no claim finds it again."""
    await store.put(bundle())
    claimed = (await claim(store))[0].mt
    granted = await wish(store, Wish.HOLD)
    assert granted is not None
    assert granted.denial is None
    assert not await intend(store, claimed)
    assert await claim(store) == []


@pytest.mark.parametrize("what", list(Wish))
async def test_what_is_being_sent_is_with_the_carrier(store: Store, what: Wish) -> None:
    """From the intent on nothing can be wished; an event would tell of what did not happen."""
    await store.put(bundle())
    assert await intend(store, (await claim(store))[0].mt)
    granted = await wish(store, what, is_again=True)
    assert granted is not None
    assert (granted.status, granted.denial) == (Status.SENDING, Denial.WITH_CARRIER)
    assert [event.status for event in (await seen(store)).events] == ["queued", "sending"]


async def test_a_hold_and_an_intent_at_once_have_one_winner(store: Store) -> None:
    """Either it is held and did not leave, or it left and is not held."""
    ids = [f"m-{number}" for number in range(8)]
    for id_ in ids:
        await store.put(bundle(id_))
    claimed = [found.mt for found in await claim(store)]
    left, granted = await asyncio.gather(
        asyncio.gather(*(intend(store, mt, f"a-{mt.id}") for mt in claimed)),
        asyncio.gather(*(wish(store, Wish.HOLD, mt.id) for mt in claimed)),
    )
    for mt, is_out, grant in zip(claimed, left, granted, strict=True):
        assert grant is not None
        assert is_out == (grant.denial is Denial.WITH_CARRIER), mt.id


async def test_a_waiting_message_is_tried_now(store: Store) -> None:
    """Its turn is brought forward."""
    await store.put(bundle(due_at=NOW + 1000, reason="schedule"))
    assert await claim(store) == []
    assert await wish(store, Wish.RETRY) == Granted(status=Status.QUEUED, reason="", due_at=NOW)
    assert [claimed.mt.id for claimed in await claim(store)] == ["m-1"]


async def test_an_unknown_message_goes_again_only_when_that_is_meant(store: Store) -> None:
    """And once more for certain not when its report comes first."""
    await unknown(store)
    refused = await wish(store, Wish.RETRY)
    assert refused is not None
    assert refused.denial is Denial.IN_DOUBT
    await wish(store, Wish.RETRY, is_again=True)
    again = (await claim(store))[0].mt
    assert (again.reason, again.attempts) == ("resend", 1)
    await store.record_report(report(Status.DELIVERED, cid="late", attempt_id="a-1"))
    assert not await intend(store, again, "a-2")
    assert await status_of(store) == "delivered"


async def test_nobody_wishes_for_another_account(store: Store) -> None:
    """There is no such message."""
    await store.put(bundle())
    assert await wish(store, Wish.HOLD, account="other.example") is None
    assert await wish(store, Wish.HOLD, "m-0") is None
    assert (await seen(store)).reason == ""


async def test_a_held_message_whose_carrier_is_gone_stays_held(store: Store) -> None:
    """It takes the next of its route, and waits."""
    await store.put(bundle())
    await wish(store, Wish.HOLD)
    assert await store.reroute(Rerouting(carriers=("sim-b",), now=NOW)) == 1
    view = await seen(store)
    assert (view.carrier, view.reason) == ("sim-b", "held")
    assert await claim(store, "sim-b") == []


# The log


async def follow(store: Store, after: int = 0, **more: object) -> list[tuple[int, str, str]]:
    """Return what happened after an event."""
    end = await store.read(events.horizon)
    wanted = events.Following(after=after, last=end.last, **more)  # type: ignore[arg-type]
    found = await store.read(events.follow, ACCOUNT, wanted)
    return [(one.id, one.about, one.status) for one in found.items]


async def test_the_log_is_followed_in_its_order(store: Store) -> None:
    """From any place in it, by recipient and by writer; another account's is not seen."""
    await enroute(store, "m-1")
    await store.put(bundle("m-2", msisdn="+33639985678"))
    whole = await follow(store)
    assert [(id_, status) for _, id_, status in whole] == [
        ("m-1", "queued"),
        ("m-1", "sending"),
        ("m-1", "enroute"),
        ("m-2", "queued"),
    ]
    assert await follow(store, whole[1][0]) == whole[2:]
    assert await follow(store, limit=2) == whole[:2]
    two = events.Following(after=0, last=whole[-1][0], to="+33639985678", limit=2)
    page = await store.read(events.follow, ACCOUNT, two)
    assert (page.items, page.next) == ((), whole[1][0])  # only so many are looked at
    assert await follow(store, to=PHONE) == whole[:3]
    assert await follow(store, writer="marie@acme.example") == whole
    assert await follow(store, writer="paul@acme.example") == []
    nothing = events.Following(after=0, last=99)
    assert await store.read(events.follow, "other.example", nothing) == events.Followed(items=(), next=99)


async def test_the_log_holds_what_phones_write_and_what_people_are_told(store: Store) -> None:
    """Each change of a notice with the change itself, found by the person and by the phone that it is about."""
    await enroute(store, "m-1")
    mo = MoMessage(carrier="sim-a", event_id="e", msisdn=PHONE, to=OURS, at=NOW, text="Oui")
    new = NewMo(mo=mo, account=ACCOUNT, conversation="c-1", reply_key="abcdefghij", now=NOW, window_ms=1)
    recorded = await store.record_mo(new)
    await store.record_mo(new)
    asked = NoticeClaim(channel="email", owner="node", now=NOW, lease_ms=60_000, limit=1)
    (told,) = await store.claim_notices(asked)
    assert not await store.settle_notice(NoticeOutcome(notice=replace(told, fence=9), status="sent", now=NOW))
    await store.settle_notice(NoticeOutcome(notice=told, status="queued", now=NOW, detail="down", due_at=NOW))
    await store.expire(told.expires_at)
    end = await store.read(events.horizon)
    since = events.Following(after=3, last=end.last)
    found = (await store.read(events.follow, ACCOUNT, since)).items
    assert [(one.kind, one.about, one.to, one.writer, one.told, one.status, one.detail) for one in found] == [
        ("mo", recorded.id, OURS, PHONE, "", "received", ""),
        ("notice", told.id, "marie@acme.example", "", "reply", "queued", ""),
        ("notice", told.id, "marie@acme.example", "", "reply", "queued", "down"),
        ("notice", told.id, "marie@acme.example", "", "reply", "failed", "not told in time"),
    ]
    for more, expected in (
        ({"to": PHONE}, found),
        ({"to": "+33639985678"}, ()),
        ({"writer": "marie@acme.example"}, found[1:]),
    ):
        wanted = replace(since, **more)  # type: ignore[arg-type]
        assert (await store.read(events.follow, ACCOUNT, wanted)).items == expected


async def test_notices_are_found_by_what_is_known_of_them(store: Store) -> None:
    """Kind, address, status, time, what they are about; the newest first. Another account's are not seen."""
    mo = MoMessage(carrier="sim-a", event_id="e", msisdn=PHONE, to=OURS, at=NOW, text="Oui")
    new = NewMo(
        mo=mo, account=ACCOUNT, conversation="c-1", reply_key="a", now=NOW, window_ms=1, owner="a@x.example"
    )
    recorded = await store.record_mo(new)
    refused = NewNotice(
        id="n-1",
        account=ACCOUNT,
        kind="refused",
        channel="email",
        address="Marie@acme.example",
        reason="text.empty",
        payload=b"{}",
        created_at=NOW + 1,
        due_at=NOW + 1,
        expires_at=NOW + 99,
    )
    await store.put(Bundle(id="n-1", at=NOW, notices=(refused,)))

    async def ids(account: str = ACCOUNT, **search: object) -> list[str]:
        wanted = NoticeSearch(**search)  # type: ignore[arg-type]
        return [view.kind for view in await store.read(find_notices, account, wanted)]

    assert await ids() == ["refused", "reply"]
    assert await ids(limit=1) == ["refused"]
    assert await ids(kind="reply") == await ids(about=recorded.id) == await ids(until=NOW + 1) == ["reply"]
    assert await ids(address="marie@acme.example") == await ids(since=NOW + 1) == ["refused"]
    assert await ids(status="sent") == await ids(about="m-1") == await ids("other.example") == []
    assert await store.read(read_notice, "other.example", "n-1") is None
    view = await store.read(read_notice, ACCOUNT, "n-1")
    assert (view.payload, view.reason, view.status) == (b"{}", "text.empty", "queued")  # type: ignore[union-attr]


@pytest.mark.servers
async def test_a_transaction_that_is_open_keeps_the_log_from_being_read_too_far(postgresql_url: str) -> None:
    """Its events may have smaller ids than those seen: until it is over, it is the oldest writer."""
    store = await Store.open(postgresql_url)
    with store._write_engine.connect() as other, other.begin():
        other.execute(text("INSERT INTO setting VALUES ('x', 'y')"))
        await store.put(bundle())
        end = await store.read(events.horizon)
        assert await store.read(events.oldest_writer) < end.transaction
    assert await store.read(events.oldest_writer) >= end.transaction
    await store.close()
