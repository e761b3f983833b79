"""What carriers tell beside reports: late answers, parts of long texts, texts that may be repeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import pytest

from mail2sms.clock import now_ms
from mail2sms.heard import LateAnswer, MoPart
from mail2sms.inbound import Inbound
from mail2sms.lifecycle import RESEND, Change
from mail2sms.model import DeliveryReport, MoMessage, Repeats, Status
from mail2sms.store import (
    Claim,
    Intent,
    NewPart,
    NoticeClaim,
    NoticeOutcome,
    PartOutcome,
    Settlement,
    Store,
    mo_parts,
    schema,
    views,
)
from tests.fakes import ACCOUNT, NOW, OURS, PHONE, bundle
from tests.store.test_store import part

UNKNOWN = Change(status=Status.UNKNOWN, reason="carrier.unknown")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def _sending(store: Store, count: int = 1) -> Settlement:
    """Put a message whose parts are under way; return its settlement as a doubt."""
    await store.put(bundle(segments=count))
    wanted = Claim(carrier="sim-a", owner="node", now=NOW, lease_ms=60_000, limit=1)
    (claimed,) = await store.claim(wanted)
    parts = tuple(replace(part(claimed.mt, f"a-{n}"), index=n, count=count) for n in range(count))
    assert await store.intend(Intent(mt=claimed.mt, parts=parts, now=NOW))
    doubts = tuple(PartOutcome(attempt_id=each.attempt_id, outcome="uncertain") for each in parts)
    return Settlement(mt=claimed.mt, outcomes=doubts, change=UNKNOWN, now=NOW)


def _answer(number: int, outcome: str = "taken") -> LateAnswer:
    cid = f"cid-{number}" if outcome == "taken" else None
    return LateAnswer(
        carrier="sim-a",
        attempt_id=f"a-{number}",
        outcome=outcome,
        at=NOW,
        carrier_message_id=cid,
        code="0x0B",
    )


async def _status(store: Store) -> str:
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None
    return str(view.status)


@pytest.mark.parametrize("is_settled", [True, False])
@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["taken"], "enroute"),
        (["refused"], "rejected"),
        (["unavailable"], "queued"),
        (["taken", "taken"], "enroute"),
        (["taken", "unavailable"], "queued"),
        (["taken", "refused"], "rejected"),
    ],
)
async def test_a_late_answer_ends_the_doubt(
    store: Store, outcomes: list[str], status: str, is_settled: bool
) -> None:
    """Whether it comes after the doubt was written, or before."""
    doubt = await _sending(store, len(outcomes))
    if is_settled:
        await store.settle(doubt)
        assert await _status(store) == "unknown"
    for number, outcome in enumerate(outcomes):
        await store.record_answer(_answer(number, outcome))
    if not is_settled:
        await store.settle(doubt)
    assert await _status(store) == status


async def test_one_answer_of_two_leaves_the_doubt(store: Store) -> None:
    """Nobody knows of the other part."""
    doubt = await _sending(store, 2)
    await store.record_answer(_answer(0))
    await store.settle(doubt)
    assert await _status(store) == "unknown"
    assert await store.record_answer(replace(_answer(1), attempt_id="a-nobody's")) is None


@pytest.mark.parametrize("outcome", ["unavailable", "refused"])
async def test_a_late_no_to_the_second_try_leaves_the_doubt_about_the_first(
    store: Store, outcome: str
) -> None:
    """Else there would be a third, or a failure told of what may have arrived."""
    doubt = await _sending(store)
    again = Change(status=Status.QUEUED, reason=RESEND, due_at=NOW)
    await store.settle(replace(doubt, change=again))
    await store.settle(await _again(store))
    assert await store.record_answer(_answer(1, outcome)) is None
    assert await _status(store) == "unknown"
    assert await store.record_answer(_answer(0, outcome)) is not None
    assert await _status(store) == {"unavailable": "queued", "refused": "rejected"}[outcome]


async def test_each_doubt_is_told(store: Store) -> None:
    """The first was ended by a late answer before anybody was told, and its email dropped."""
    for number in range(2):
        doubt = await _sending(store) if not number else await _again(store)
        await store.settle(doubt)
        wanted = NoticeClaim(channel="email", owner="n", now=NOW + 61_000, lease_ms=60_000, limit=9)
        (told,) = await store.claim_notices(wanted)
        await store.settle_notice(NoticeOutcome(notice=told, status="dropped", now=NOW + 61_000))
        assert (told.kind, told.reason) == ("undelivered", "carrier.unknown")
        await store.record_answer(_answer(number, "unavailable"))


async def _again(store: Store) -> Settlement:
    """Send the message once more, by the attempt a-1; return its settlement as a doubt."""
    wanted = Claim(carrier="sim-a", owner="node", now=NOW, lease_ms=60_000, limit=1)
    (claimed,) = await store.claim(wanted)
    assert await store.intend(Intent(mt=claimed.mt, parts=(part(claimed.mt, "a-1"),), now=NOW))
    second = PartOutcome(attempt_id="a-1", outcome="uncertain")
    return Settlement(mt=claimed.mt, outcomes=(second,), change=UNKNOWN, now=NOW)


async def test_a_receipt_before_its_late_answer_waits_for_it(store: Store) -> None:
    """Its id was not known yet."""
    doubt = await _sending(store)
    await store.settle(doubt)
    report = DeliveryReport(
        carrier="sim-a", carrier_message_id="cid-0", status=Status.DELIVERED, at=NOW, event_id="e"
    )
    assert await store.record_report(report) is None
    await store.record_answer(_answer(0))
    assert await _status(store) == "delivered"


async def test_a_late_no_takes_nothing_back(store: Store) -> None:
    """A receipt has proved that it was taken."""
    await store.settle(await _sending(store))
    await store.record_answer(_answer(0))
    await store.record_answer(_answer(0, "refused"))
    assert await _status(store) == "enroute"


def _part(number: int, text: str, **changes: object) -> MoPart:
    given = MoPart(
        carrier="smpp", msisdn=PHONE, to=OURS, at=NOW, reference=7, total=3, number=number, text=text
    )
    return replace(given, **changes)  # type: ignore[arg-type]


async def _texts(store: Store) -> list[str]:
    def read(connection: object) -> list[str]:
        of_mos = schema.content.c.owner.in_(schema.mo.select().with_only_columns(schema.mo.c.id))
        rows = connection.execute(schema.content.select().where(of_mos))  # type: ignore[attr-defined]
        return sorted(bytes(row.data).decode() for row in rows)

    return await store.read(read)  # type: ignore[arg-type, no-any-return]


def _inbound(store: Store) -> Inbound:
    return Inbound(store, ACCOUNT, {}, "desk@acme.example", 1000)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 2, 3, 1, 1, 3)])
async def test_a_long_text_is_whole_when_all_parts_are_there(store: Store, order: tuple[int, ...]) -> None:
    """In any order, parts that come twice too, also after the end; surrogates may be apart."""
    inbound, texts = _inbound(store), {1: "Bon\ud83d", 2: "\ude00jour ", 3: "Marie"}
    for number in order:
        await inbound.record(_part(number, texts[number]))
    assert await _texts(store) == ["Bon😀jour Marie"]
    await inbound.record(_part(2, texts[2]))
    await inbound.join_overdue()
    assert await _texts(store) == ["Bon😀jour Marie"]


async def test_parts_with_another_key_are_of_another_text(store: Store) -> None:
    """Phone, number, reference and count."""
    inbound = _inbound(store)
    for number in (1, 2):
        await inbound.record(_part(number, "a"))
        await inbound.record(_part(number, "b", reference=8))
    await inbound.record(_part(3, "c", to="+33639980102"))
    assert await _texts(store) == []
    await inbound.record(_part(3, "b", reference=8))
    assert await _texts(store) == ["bbb"]


async def test_a_reference_used_anew_ends_the_older_text(store: Store) -> None:
    """What was there of it is told, with a mark for what was not."""
    inbound = _inbound(store)
    await inbound.record(_part(1, "old "))
    await inbound.record(_part(1, "new "))
    assert await _texts(store) == ["old [...]"]
    await inbound.record(_part(2, "text "))
    await inbound.record(_part(3, "is whole"))
    assert await _texts(store) == ["new text is whole", "old [...]"]


@pytest.mark.parametrize("is_lacking", [False, True])
async def test_texts_of_one_reference_in_a_row_stay_apart(store: Store, is_lacking: bool) -> None:
    """Of a burst, all parts may be kept before the first text is recorded; the older one may lack its end."""
    inbound = _inbound(store)
    words = ["one ", "more", "two ", "more "]
    parts = [_part(number, word, total=2) for number, word in zip((1, 2, 1, 2), words, strict=True)]
    if is_lacking:
        del parts[1]
    await asyncio.gather(*(inbound.record(each) for each in parts))
    assert await _texts(store) == sorted(["one [...]" if is_lacking else "one more", "two more "])


async def test_a_text_that_was_given_out_and_not_recorded_is_the_same_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We died between the two: the carrier brings its part again, or we find it by ourselves; and never both."""
    news = [NewPart(part=_part(n, f"{n}", total=2), account=ACCOUNT, now=now_ms()) for n in (1, 2)]
    assert await store.keep_part(news[0]) == ()
    (given,) = await store.keep_part(news[1])
    assert await store.keep_part(news[0]) == (given,)
    later = now_ms() + mo_parts.PATIENCE_MS + 1
    assert await store.give_out_overdue(later) == (given,)
    inbound = _inbound(store)
    monkeypatch.setattr("mail2sms.inbound.now_ms", lambda: later)
    await inbound.join_overdue()
    await inbound.record(news[1].part)
    assert await _texts(store) == ["12"]
    assert await store.give_out_overdue(later) == ()


async def test_what_stays_without_parts_is_told_in_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour after the last that came; one mark for each gap."""
    inbound = _inbound(store)
    await inbound.record(_part(2, "middle", total=5))
    await inbound.record(_part(3, " part", total=5))
    await inbound.join_overdue()
    assert await _texts(store) == []
    later = now_ms() + mo_parts.PATIENCE_MS + 1
    monkeypatch.setattr("mail2sms.inbound.now_ms", lambda: later)
    await inbound.join_overdue()
    await inbound.join_overdue()
    assert await _texts(store) == ["[...]middle part[...]"]
    assert await store.forget(later + 3 * 86_400_000) >= 2


async def _hear(
    store: Store, monkeypatch: pytest.MonkeyPatch, parts: Iterable[MoPart], after_ms: int
) -> None:
    """These parts come so long after the test began."""
    now = NOW + after_ms
    monkeypatch.setattr("mail2sms.inbound.now_ms", lambda: now)
    for each in parts:
        await _inbound(store).record(each)


async def _wait(store: Store, monkeypatch: pytest.MonkeyPatch, after_ms: int) -> None:
    now = NOW + after_ms
    monkeypatch.setattr("mail2sms.inbound.now_ms", lambda: now)
    await _inbound(store).join_overdue()


_ALARM = [_part(1, "Fire, ", total=2), _part(2, "hall 3", total=2)]
_HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("after_ms", "parts", "texts"),
    [
        (60_000, _ALARM, 1),  # the SMSC did not hear us
        (1_000_000, _ALARM, 2),
        (24 * _HOUR_MS, _ALARM, 2),
        (24 * _HOUR_MS, _ALARM[::-1], 2),
        (3 * _HOUR_MS, _ALARM[1:], 1),  # we were away before it heard that we took the last
        (3 * _HOUR_MS, _ALARM[1:] * 2, 1),
        (3 * _HOUR_MS, [_ALARM[1], replace(_ALARM[0], text="Water, "), _ALARM[1]], 2),
        (3 * _HOUR_MS, [replace(_ALARM[0], text="Water, "), _ALARM[1]], 2),
    ],
)
async def test_the_same_long_text_again_is_a_new_one_if_it_comes_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch, after_ms: int, parts: list[MoPart], texts: int
) -> None:
    """A device that counts its references from 0 says the same alarm the next day; a repeat is told to nobody."""
    await _hear(store, monkeypatch, _ALARM, 0)
    await _hear(store, monkeypatch, parts, after_ms)
    await _wait(store, monkeypatch, after_ms + 2 * mo_parts.PATIENCE_MS)
    assert len(await _texts(store)) == texts
    assert await store.forget(NOW + after_ms + 4 * 24 * _HOUR_MS) >= 2
    assert await store.give_out_overdue(NOW + after_ms + 4 * 24 * _HOUR_MS) == ()


async def test_a_part_that_came_again_is_of_no_later_text(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We and the panel had no power: the SMSC brings what we had not answered, and the panel counts anew."""
    await _hear(store, monkeypatch, _ALARM, 0)
    await _hear(store, monkeypatch, _ALARM[1:], _HOUR_MS)
    water = [replace(_ALARM[0], text="Water, "), replace(_ALARM[1], text="hall 4")]
    await _hear(store, monkeypatch, water, _HOUR_MS + 600_000)
    await _wait(store, monkeypatch, 4 * _HOUR_MS)
    assert await _texts(store) == ["Fire, hall 3", "Water, hall 4"]


async def test_a_text_with_a_part_that_recurs_comes_out_right(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its middle was said yesterday, too, and yesterday's first part came again before."""
    old = [_part(number, text) for number, text in ((1, "Fire, "), (2, "Main St, "), (3, "hall 3"))]
    new = [old[1], *(_part(number, text) for number, text in ((1, "Water, "), (3, "hall 4")))]
    await _hear(store, monkeypatch, old, 0)
    await _hear(store, monkeypatch, old[:1], _HOUR_MS)
    await _hear(store, monkeypatch, sorted(new, key=lambda each: each.number), _HOUR_MS + 360_000)
    await _wait(store, monkeypatch, 4 * _HOUR_MS)
    assert await _texts(store) == ["Fire, Main St, hall 3", "Water, Main St, hall 4"]


async def test_of_a_text_said_again_several_parts_are_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is missing; a second alarm must not be silent for that."""
    parts = [_part(number, f"{number} ") for number in (1, 2, 3)]
    await _hear(store, monkeypatch, parts, 0)
    await _hear(store, monkeypatch, parts[1:], _HOUR_MS)
    await _wait(store, monkeypatch, 4 * _HOUR_MS)
    assert await _texts(store) == ["1 2 3 ", "[...]2 3 "]


async def test_a_part_that_says_which_it_is_is_a_repeat_however_late(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SIM that keeps what is to be deleted is read again and again."""
    first, second = ([replace(each, event_id=day) for each in _ALARM] for day in ("26/11/26", "26/11/27"))
    await _hear(store, monkeypatch, first, 0)
    for after_ms in (_HOUR_MS, 2 * _HOUR_MS):
        await _hear(store, monkeypatch, first, after_ms)
    assert await _texts(store) == ["Fire, hall 3"]
    await _hear(store, monkeypatch, second, 60_000)
    assert await _texts(store) == ["Fire, hall 3"] * 2


async def test_the_same_text_after_a_loss_is_the_same_text(store: Store) -> None:
    """A carrier without ids says what it may be a repeat of."""
    inbound, now = _inbound(store), now_ms()
    first = MoMessage(carrier="smpp", event_id="abc-1", msisdn=PHONE, to=OURS, at=NOW, text="Oui")
    await inbound.record(first)
    again = Repeats(prefix="abc-", since=now - 1000, until=now + 1000)
    await inbound.record(replace(first, event_id="abc-2", repeats=again))
    assert await _texts(store) == ["Oui"]
    await inbound.record(replace(first, event_id="abc-3"))
    await inbound.record(replace(first, event_id="abd-4", repeats=replace(again, prefix="abd-")))
    old = replace(again, since=now - 2000, until=now - 1000)
    await inbound.record(replace(first, event_id="abc-5", repeats=old))
    assert await _texts(store) == ["Oui"] * 4
