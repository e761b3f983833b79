"""The list of opt-outs: what changes it, and that nothing is sent to who is on it; on both databases."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mail2sms.consent import Said, Word
from mail2sms.heard import LateAnswer
from mail2sms.ids import conversation_of
from mail2sms.model import DeliveryReport, MessageClass, MoMessage, Msisdn, SenderId, Status
from mail2sms.store import (
    Blocking,
    Bundle,
    Change,
    Claim,
    Claimed,
    Intent,
    Lifting,
    NewMo,
    NoticeClaim,
    PartOutcome,
    RecordedMo,
    Settlement,
    Store,
    facts,
    opt_outs,
    views,
)
from tests import fakes
from tests.fakes import ACCOUNT, NOW, OURS, PHONE
from tests.store.test_store import intend, part

OTHER, NAME = SenderId("+33639980100"), SenderId("ACME")
NEIGHBOUR = Msisdn("+33639981235")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url, {"hook-0": ("failed",)})
    yield opened
    await opened.close()


def bundle(id_: str = "m-1", sender_id: SenderId = OURS, **changes: object) -> Bundle:
    """Return a message to the phone."""
    conversation = conversation_of(ACCOUNT, sender_id, PHONE)
    return fakes.bundle(id_, sender_id=sender_id, conversation=conversation, **changes)


async def claim(store: Store) -> list[Claimed]:
    """Claim what is due."""
    return await store.claim(Claim(carrier="sim-a", owner="node", now=NOW, lease_ms=60_000, limit=200))


async def status_of(store: Store, id_: str = "m-1") -> str:
    """Return a message's status and why."""
    view = await store.read(views.read_one, ACCOUNT, id_)
    assert view is not None
    return f"{view.status} {view.reason}".strip()


_events = itertools.count()


async def says(
    store: Store, word: Word, *, to: str = OURS, is_everywhere: bool = False, answered: Bundle | None = None
) -> RecordedMo:
    """Let the phone say a word."""
    mo = MoMessage(
        carrier="sim-a", event_id=f"e-{next(_events)}", msisdn=PHONE, to=to, at=NOW, text=word.upper()
    )
    new = NewMo(
        mo=mo,
        account=ACCOUNT,
        conversation=conversation_of(ACCOUNT, to, PHONE),
        reply_key="abcdefghij",
        now=NOW,
        window_ms=1000,
        fallback="desk@acme.example",
        said=Said(word=word, keyword=word.upper(), is_everywhere=is_everywhere),
        answered=answered,
    )
    return await store.record_mo(new)


def answer(id_: str = "m-answer") -> Bundle:
    """Return what the phone is answered."""
    return bundle(id_, class_=MessageClass.CONSENT)


async def listed(store: Store) -> list[str]:
    """Return who is blocked from where, and by what."""
    found = await store.read(opt_outs.listed, ACCOUNT, None, 100)
    return [f"{one.msisdn} {one.our_address or 'all'} {one.source}" for one in found]


def blocking(**changes: object) -> Blocking:
    """Return an operator's block."""
    values = {"account": ACCOUNT, "msisdn": PHONE, "now": NOW, "source": "operator", "who": "anna"}
    return Blocking(**{**values, **changes})  # type: ignore[arg-type]


def lifting(**changes: object) -> Lifting:
    """Return an operator's change of mind."""
    return Lifting(**{"account": ACCOUNT, "msisdn": PHONE, "now": NOW, "who": "anna", **changes})  # type: ignore[arg-type]


async def test_stop_ends_what_waits_and_what_was_claimed(store: Store) -> None:
    """The pair's messages are cancelled; a claim from before gets no intent; others go on."""
    await store.put(bundle("m-waits"))
    await store.put(bundle("m-other", sender_id=OTHER))
    claimed = next(one.mt for one in await claim(store) if one.mt.id == "m-waits")
    await store.put(bundle("m-later"))
    recorded = await says(store, Word.STOP)
    assert recorded.cancelled == 2
    assert not await intend(store, claimed)
    assert [await status_of(store, id_) for id_ in ("m-waits", "m-later")] == ["cancelled optout"] * 2
    assert await status_of(store, "m-other") == "queued"


async def test_the_list_is_looked_at_again_before_the_first_byte(store: Store) -> None:
    """What was judged before the STOP and stored after it is found by its intent, which is refused."""
    await says(store, Word.STOP)
    await store.put(bundle())
    claimed = (await claim(store))[0].mt
    assert not await intend(store, claimed)
    assert await status_of(store) == "cancelled optout"
    assert await claim(store) == []


async def test_a_name_is_known_whatever_its_capitals(store: Store) -> None:
    """Acme and ACME are one sender on a phone."""
    await store.put(bundle(sender_id=NAME))
    await store.block(blocking(our_address="Acme"))
    assert await status_of(store) == "cancelled optout"


async def test_a_block_of_all_numbers(store: Store) -> None:
    """Whatever the phone would show."""
    await store.put(bundle("m-1", sender_id=OTHER))
    await says(store, Word.STOP, is_everywhere=True)
    await store.put(bundle("m-2", sender_id=NAME))
    for claimed in await claim(store):
        assert not await intend(store, claimed.mt)
    assert [await status_of(store, id_) for id_ in ("m-1", "m-2")] == ["cancelled optout"] * 2


async def test_what_may_have_been_sent_is_not_called_cancelled(store: Store) -> None:
    """It was to be sent again, and is not; whether it arrived nobody knows."""
    await store.put(bundle())
    claimed = (await claim(store))[0].mt
    assert await intend(store, claimed)
    again = Change(status=Status.QUEUED, reason="resend", due_at=NOW, position=0)
    lost = PartOutcome(attempt_id="a-1", outcome="uncertain")
    await store.settle(Settlement(mt=claimed, outcomes=(lost,), change=again, now=NOW))
    await says(store, Word.STOP)
    assert await status_of(store) == "unknown carrier.unknown"


async def notices(store: Store, channel: str = "email") -> list[tuple[str, str, str]]:
    """Claim the due notices of a channel: kind, reason, address."""
    wanted = NoticeClaim(channel=channel, owner="node", now=NOW + 1, lease_ms=60_000, limit=50)
    return sorted((n.kind, n.reason, n.address) for n in await store.claim_notices(wanted))


async def test_writers_are_told_once_each_and_hooks_of_every_message(store: Store) -> None:
    """Three messages of Marie's waited: one email tells of all, and one of the STOP itself."""
    for number in range(3):
        await store.put(bundle(f"m-{number}"))
    await says(store, Word.STOP)
    marie = "marie@acme.example"
    assert await notices(store) == [("reply", "optout.stop", marie), ("undelivered", "optout", marie)]
    assert len(await notices(store, "hook-0")) == 3


async def test_the_answer_is_sent_though_the_phone_is_blocked(store: Store) -> None:
    """One confirmation, even when STOP comes twice; it is no message that STOP cancels."""
    await says(store, Word.STOP, answered=answer())
    await says(store, Word.STOP, answered=answer("m-second"))
    found = await claim(store)
    assert [one.mt.id for one in found] == ["m-answer"]
    assert await intend(store, found[0].mt)


async def test_help_is_answered_and_changes_nothing(store: Store) -> None:
    """A blocked phone may ask who wrote."""
    await store.block(blocking())
    await says(store, Word.HELP, answered=answer())
    assert [await intend(store, one.mt) for one in await claim(store)] == [True]
    assert len(await listed(store)) == 1


@pytest.mark.parametrize(
    ("source", "left"),
    [("keyword", []), ("operator", ["operator"]), ("carrier", ["carrier"]), ("import", ["import"])],
)
async def test_start_lifts_only_what_the_phone_blocked(store: Store, source: str, left: list[str]) -> None:
    """Not what a person or a carrier did; the answer says so by not coming."""
    await store.block(blocking(source=source, our_address=OURS))
    await says(store, Word.START, answered=answer())
    assert await listed(store) == [f"{PHONE} {OURS} {source}" for source in left]
    assert len(await claim(store)) == (not left)
    reasons = [reason for _, reason, _ in await notices(store)]
    assert reasons == ["" if left else "optout.start"]


async def test_start_lifts_what_stop_blocked_everywhere(store: Store) -> None:
    """And not what it blocked of another number."""
    await says(store, Word.STOP, is_everywhere=True)
    await says(store, Word.STOP, to=OTHER)
    await says(store, Word.START)
    assert await listed(store) == [f"{PHONE} {OTHER} keyword"]


async def test_a_persons_block_is_stronger_than_the_phones(store: Store) -> None:
    """In whichever order they come."""
    await says(store, Word.STOP)
    assert (await store.block(blocking(our_address=OURS))).is_new
    await says(store, Word.STOP)
    assert not (await store.block(blocking(our_address=OURS, source="import"))).is_new
    assert await listed(store) == [f"{PHONE} {OURS} operator"]


async def test_an_operator_lifts_all_or_one(store: Store) -> None:
    """And every change is written down, with who made it."""
    for ours in ("", OURS, OTHER):
        await store.block(blocking(our_address=ours))
    assert not await store.lift(lifting(our_address=OURS, is_keyword=True))
    assert await store.lift(lifting(our_address=OURS))
    assert await listed(store) == [f"{PHONE} {OTHER} operator"]
    assert await store.lift(lifting())
    assert not await store.lift(lifting())
    history = await store.read(opt_outs.history, ACCOUNT, PHONE)
    assert [(one.did, one.who) for one in history] == [
        *[("opt_out.add", "anna")] * 3,
        *[("opt_out.remove", "anna")] * 3,
    ]


async def test_facts_are_of_the_phones_asked_for(store: Store) -> None:
    """What `accept` is told."""
    await store.block(blocking(our_address=OURS, source="carrier", who="twilio"))
    known = await store.read(facts.facts, ACCOUNT, [NEIGHBOUR, PHONE])
    assert [(one.msisdn, one.our_address, one.source) for one in known.opt_outs] == [(PHONE, OURS, "carrier")]
    assert (await store.read(facts.facts, "other.example", [PHONE])).opt_outs == ()


async def test_what_was_judged_blindly_is_stored_unless_there_was_something_to_see(store: Store) -> None:
    """And leaves nothing behind: when it comes again, judged with open eyes, it is new."""
    await store.block(blocking())
    seen = [
        replace(bundle("m-1", repeat_key="a" * 64), is_blind=True),
        replace(bundle("m-2", msisdn=NEIGHBOUR), is_blind=True),
        bundle("m-3"),
    ]
    stored = await asyncio.gather(*map(store.put, seen))
    assert [one.is_unjudged for one in stored] == [True, False, False]
    assert await store.read(views.read_one, ACCOUNT, "m-1") is None
    assert [await status_of(store, id_) for id_ in ("m-2", "m-3")] == ["queued", "queued"]
    assert (await store.put(replace(seen[0], is_blind=False))).repeated == {}
    assert await status_of(store) == "queued"


async def test_a_block_outlives_its_number(store: Store) -> None:
    """Erased, the phone is only a keyed hash, and still not written to."""
    await store.block(blocking())
    assert await store.erase_opted_out(ACCOUNT, PHONE)
    assert not await store.erase_opted_out(ACCOUNT, NEIGHBOUR)
    found = (await listed(store))[0]
    assert found.startswith("#")
    assert PHONE.removeprefix("+") not in found
    await store.put(bundle())
    assert [await intend(store, one.mt) for one in await claim(store)] == [False]
    assert (await store.read(facts.facts, ACCOUNT, [PHONE])).opt_outs[0].msisdn == PHONE


async def test_the_list_is_read_page_by_page(store: Store) -> None:
    """Those of one moment too."""
    phones = [Msisdn(f"+3363998{number:04}") for number in range(7)]
    for number, phone in enumerate(phones):
        await store.block(blocking(msisdn=phone, now=NOW + number // 3))
    found: list[str] = []
    after = None
    while page := await store.read(opt_outs.listed, ACCOUNT, after, 2):
        found += [one.msisdn for one in page]
        after = (page[-1].at, page[-1].msisdn)
    assert found == phones


async def test_no_intent_follows_a_stop(store: Store) -> None:
    """A hundred messages wait; the STOP comes while they are being sent. (`./run prove optout` is the large one.)"""
    for number in range(100):
        await store.put(bundle(f"m-{number}"))
    claimed = [one.mt for one in await claim(store)]
    stopped = asyncio.Event()
    late: list[str] = []

    async def send() -> None:
        for mt in claimed:
            was_stopped = stopped.is_set()
            agreed = await store.intend(Intent(mt=mt, parts=(part(mt, f"a-{mt.id}"),), now=NOW))
            if was_stopped and agreed:
                late.append(mt.id)

    async def stop() -> None:
        while (await store.read(views.counts))["sending"] < 10:
            pass
        await says(store, Word.STOP)
        stopped.set()

    await asyncio.gather(send(), stop())
    assert late == []
    assert stopped.is_set()
    assert {await status_of(store, mt.id) for mt in claimed} == {"sending", "cancelled optout"}


async def test_a_stop_waits_for_a_message_that_is_being_stored(store: Store) -> None:
    """Between the judging of a mail and its storing, STOP is committed: the intent finds it, whatever the order."""
    await asyncio.gather(store.put(bundle("m-late")), says(store, Word.STOP), store.put(bundle("m-next")))
    assert [await intend(store, one.mt) for one in await claim(store)] in ([], [False], [False, False])


def told(**changes: object) -> DeliveryReport:
    """Return a report that the phone has opted out with the carrier."""
    values = {"carrier": "sim-a", "carrier_message_id": "cid", "status": Status.REJECTED, "at": NOW}
    return DeliveryReport(**{**values, "event_id": "e", "is_opt_out": True, **changes})  # type: ignore[arg-type]


async def test_who_opted_out_with_the_carrier_is_on_the_list(store: Store) -> None:
    """For the sender that it was written by; what waits is cancelled, and nothing new is sent."""
    for id_ in ("m-1", "m-2"):
        await store.put(bundle(id_))
    message = (await claim(store))[0].mt
    await intend(store, message)
    taken = PartOutcome(attempt_id="a-1", outcome="taken", carrier_message_id="cid")
    change = Change(status=Status.ENROUTE)
    await store.settle(Settlement(mt=message, outcomes=(taken,), change=change, now=NOW))
    moved = await store.record_report(told())
    assert moved is not None
    assert moved.status is Status.REJECTED
    other = "m-2" if message.id == "m-1" else "m-1"
    assert (await status_of(store, other)).startswith("cancelled")
    # The same report comes again after the phone was let in again: it changes nothing.
    await store.lift(Lifting(account=ACCOUNT, msisdn=PHONE, now=NOW, who="it"))
    assert await store.record_report(told()) is None
    await store.put(bundle("m-3"))
    (claimed,) = await claim(store)
    assert await store.intend(Intent(mt=claimed.mt, parts=(part(claimed.mt, "a-3"),), now=NOW))


@pytest.mark.parametrize("is_answer", [False, True])
async def test_who_opted_out_before_the_outcome_was_written_is_on_the_list(
    store: Store, is_answer: bool
) -> None:
    """The report is kept until its message is known by the carrier's id: from the answer, even a late one."""
    await store.put(bundle())
    message = (await claim(store))[0].mt
    await intend(store, message)
    assert await store.record_report(told()) is None
    if is_answer:
        answer = LateAnswer(
            carrier="sim-a", attempt_id="a-1", outcome="taken", at=NOW, carrier_message_id="cid"
        )
        await store.record_answer(answer)
    else:
        taken = PartOutcome(attempt_id="a-1", outcome="taken", carrier_message_id="cid")
        change = Change(status=Status.ENROUTE)
        await store.settle(Settlement(mt=message, outcomes=(taken,), change=change, now=NOW))
    assert (await status_of(store, "m-1")).startswith("rejected")
    await store.put(bundle("m-2"))
    (claimed,) = await claim(store)
    assert not await store.intend(Intent(mt=claimed.mt, parts=(part(claimed.mt, "a-2"),), now=NOW))


async def test_a_report_of_nothing_blocks_nobody(store: Store) -> None:
    """Whose message it is nobody knows."""
    assert await store.record_report(told(carrier_message_id="another's")) is None
    await store.put(bundle())
    (claimed,) = await claim(store)
    assert await store.intend(Intent(mt=claimed.mt, parts=(part(claimed.mt),), now=NOW))
