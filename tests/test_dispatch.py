"""The loop out, with the simulated carrier and with carriers that misbehave in ways it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mail2sms import breaker, segments
from mail2sms import dispatch as dispatch_package
from mail2sms.carriers._base import Abilities, Carrier
from mail2sms.carriers.simulated import Options, Simulated, build
from mail2sms.clock import now_ms
from mail2sms.dispatch import Dispatch
from mail2sms.errors import Refused, StoreUnavailable, Unavailable, Uncertain
from mail2sms.inbound import Inbound
from mail2sms.media import Links, Mms
from mail2sms.model import Part, Photo, Status, Taken
from mail2sms.money import read
from mail2sms.options import Rate
from mail2sms.rates import Rates
from mail2sms.store import (
    Claim,
    MessageView,
    NewMessage,
    Outage,
    Recovery,
    Settlement,
    Store,
    outages,
    views,
)
from tests.fakes import ACCOUNT, bundle, mt, submission

HOUR = 3_600_000


class Scripted(Carrier):
    """Answers as told, in order, and remembers what it was given."""

    def __init__(self, name: str, *answers: object, splits: bool = True) -> None:
        super().__init__(name)
        self.answers = list(answers)
        self._splits = splits
        self.parts: list[Part] = []

    def split(self, text: str) -> tuple[str, ...]:
        """Whole, or in segments."""
        return (text,) if self._splits else tuple(segment.text for segment in segments.split(text))

    async def send(self, part: Part) -> Taken:
        """Raise or return the next answer."""
        self.parts.append(part)
        answer = self.answers.pop(0) if self.answers else Taken(carrier_message_id=part.attempt_id)
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Taken)
        return answer


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/x.db")
    yield opened
    await opened.close()


async def until(store: Store, *statuses: str, id_: str = "m-1") -> MessageView:
    """Wait until a message has one of these statuses."""
    async with asyncio.timeout(10):
        while True:
            view = await store.read(views.read_one, ACCOUNT, id_)
            if view is not None and view.status in statuses:
                return view
            await asyncio.sleep(0.01)


async def dispatching(
    store: Store, carriers: list[Carrier], look: Callable[[], Awaitable[MessageView]], **changes: object
) -> MessageView:
    """Queue a message, dispatch until `look` is content, and stop."""
    now = now_ms()
    times = {"created_at": now, "due_at": now, "expires_at": now + HOUR}
    await store.put(bundle(**{**times, **changes}))  # type: ignore[arg-type]
    inbound = Inbound(store, ACCOUNT, {}, "", HOUR)
    for carrier in carriers:
        await carrier.start(inbound.record)
    dispatch = Dispatch(store, {c.name: c for c in carriers}, "node", "hold", ACCOUNT)
    running = asyncio.create_task(dispatch.run())
    try:
        return await look()
    finally:
        dispatch.stop()
        async with asyncio.timeout(10):
            await running
        for carrier in carriers:
            await carrier.stop()


def simulated(folder: Path) -> list[Carrier]:
    """Return two simulated carriers with quick phones."""
    options = Options(type="simulated", delay=10)
    return [build("sim-a", options, folder), build("sim-b", options, folder)]


@pytest.mark.parametrize(
    ("ending", "status", "carrier", "shown"),
    [
        ("1234", "delivered", "sim-a", 1),
        ("0404", "undeliverable", "sim-a", 0),
        ("0503", "delivered", "sim-b", 1),
        ("0429", "delivered", "sim-a", 1),
        ("0408", "enroute", "sim-a", 1),
        ("0000", "unknown", "sim-a", 1),
        ("7867", "delivered", "sim-a", 1),
    ],
)
async def test_numbers_that_misbehave(
    store: Store, tmp_path: Path, ending: str, status: str, carrier: str, shown: int
) -> None:
    """By their last four digits."""
    carriers = simulated(tmp_path)
    phone = f"+3363998{ending}"
    view = await dispatching(store, carriers, lambda: until(store, status), msisdn=phone)
    assert view.carrier == carrier
    assert isinstance(carriers[0], Simulated)
    assert len(carriers[0].phones.shown(phone)) == shown


async def test_phones_survive_and_owed_reports_come_after_a_restart(store: Store, tmp_path: Path) -> None:
    """The daemon dies before the phone reports; the next one hears of it."""
    slow = [build("sim-a", Options(type="simulated", delay=60_000), tmp_path)]
    await dispatching(store, list(slow), lambda: until(store, "enroute"))
    again = build("sim-a", Options(type="simulated", delay=1), tmp_path)
    await again.start(Inbound(store, ACCOUNT, {}, "", HOUR).record)
    view = await until(store, "delivered")
    await again.stop()
    assert [line["text"] for line in again.phones.shown(view.to)] == ["Bonjour"]


@pytest.mark.parametrize(
    ("answer", "status", "attempts"),
    [
        (Refused("27", "no such number"), "rejected", 1),
        (Uncertain("closed"), "unknown", 1),
        (RuntimeError("a bug in a carrier's module"), "unknown", 1),
        (Unavailable("503"), "enroute", 2),
    ],
)
async def test_the_three_kinds_of_failure(
    store: Store, answer: Exception, status: str, attempts: int
) -> None:
    """Refused is final, doubt is kept, trouble goes to the next carrier."""
    carriers: list[Carrier] = [Scripted("sim-a", answer), Scripted("sim-b")]
    view = await dispatching(store, carriers, lambda: until(store, status))
    assert view.attempts == attempts


async def test_what_carriers_took_is_added_up(store: Store) -> None:
    """By the carrier that took it, at its price: the first one did not."""
    taken = Scripted("sim-b")
    now = now_ms()
    times = {"created_at": now, "due_at": now, "expires_at": now + HOUR}
    for id_, costs in (("m-1", ("0.045 EUR", "0.08 EUR")), ("m-2", ("0.045 EUR", "0.16 EUR")), ("m-3", ())):
        await store.put(bundle(id_, costs=tuple(map(read, costs)), **times))
    down = Unavailable("503")
    dispatch = Dispatch(
        store, {"sim-a": Scripted("sim-a", down, down, down), "sim-b": taken}, "node", "hold", ACCOUNT
    )
    running = asyncio.create_task(dispatch.run())
    for number in (1, 2, 3):
        await until(store, "enroute", id_=f"m-{number}")
    dispatch.stop()
    await running
    assert (dispatch.attempts.sent, dispatch.attempts.spent) == (3, {("sim-b", "EUR"): 240_000})


async def test_a_carrier_that_is_down_gets_nothing_and_the_others_get_its_work(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then one message tries it: it is up again, and what can only go there does."""
    monkeypatch.setattr(breaker, "_FIRST_PAUSE_MS", 600)
    sick, well = Scripted("sim-a", *[Unavailable("connect")] * 5), Scripted("sim-b")
    sick.window = 1
    now = now_ms()
    times = {"created_at": now, "due_at": now, "expires_at": now + HOUR}
    for number in range(12):
        await store.put(bundle(f"m-{number:02}", route=("sim-a", "sim-b"), **times))
    dispatch = Dispatch(store, {"sim-a": sick, "sim-b": well}, "node", "hold", ACCOUNT)
    running = asyncio.create_task(dispatch.run())
    await until(store, "enroute", id_="m-11")
    assert (len(sick.parts), len(well.parts)) == (5, 12)
    assert (await store.read(outages.down, ACCOUNT))["sim-a"].why == "connect"
    await store.put(bundle("m-20", route=("sim-a",), **times))
    view = await until(store, "enroute", id_="m-20")
    assert (view.carrier, view.attempts) == ("sim-a", 1)
    async with asyncio.timeout(5):
        while await store.read(outages.down, ACCOUNT):
            await asyncio.sleep(0.01)
    dispatch.stop()
    await running


async def test_a_carrier_whose_connection_is_back_is_tried_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its pause was to be; and all hear that it is up."""
    monkeypatch.setattr("mail2sms.lane._POLL_S", 0.05)

    class Returned(Scripted):
        asked = 0

        def is_back(self) -> bool:
            self.asked += 1
            return self.asked == 10  # when the store has been looked at

    how = breaker.Breaker(failures=9, down_since=now_ms(), until=now_ms() + HOUR, why="connect")
    await store.mark(Outage(account=ACCOUNT, carrier="sim-a", breaker=how, now=now_ms()))

    async def look() -> MessageView:
        view = await until(store, "enroute")
        async with asyncio.timeout(10):
            while await store.read(outages.down, ACCOUNT):
                await asyncio.sleep(0.01)
        return view

    view = await dispatching(store, [Returned("sim-a")], look, route=("sim-a",))
    assert view.carrier == "sim-a"


async def test_a_node_that_starts_knows_who_is_down(store: Store) -> None:
    """Another found it, or it was so before."""
    how = breaker.Breaker(failures=5, down_since=now_ms(), until=now_ms() + HOUR, why="connect")
    await store.mark(Outage(account=ACCOUNT, carrier="sim-a", breaker=how, now=now_ms()))
    sick = Scripted("sim-a")
    view = await dispatching(store, [sick, Scripted("sim-b")], lambda: until(store, "enroute"))
    assert (view.carrier, sick.parts) == ("sim-b", [])


@pytest.mark.parametrize("is_lost", [True, False])
@pytest.mark.parametrize(("verb", "rates"), [("claim", Rates()), ("intend", Rates(whole=Rate(9, 1)))])
async def test_an_intent_whose_answer_is_lost_or_late_is_no_doubt(
    store: Store, monkeypatch: pytest.MonkeyPatch, verb: str, rates: Rates, is_lost: bool
) -> None:
    """It was committed, but nothing was sent: it is tried again, and nobody has to look into it.

    Sent although it came late, when others may take us for dead, it could be on the phone twice.
    """
    original, failing = getattr(store, verb), [True]

    async def fail_once(wanted: Any) -> Any:
        answer = await original(wanted)
        if answer and failing:
            failing.clear()
            if is_lost:
                raise StoreUnavailable("the answer was lost")
            await asyncio.sleep(0.3)
        return answer

    if not is_lost:
        monkeypatch.setattr(dispatch_package, "LEASE_MS", 500)
    monkeypatch.setattr(store, verb, fail_once)
    carrier = Scripted("sim-a")
    carrier.rates = rates
    view = await dispatching(store, [carrier], lambda: until(store, "enroute", "unknown"))
    assert (view.status, view.attempts, len(carrier.parts)) == ("enroute", 2, 1)


class Stalling:
    """Keeps outcomes from being written until `go` is set."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.waiting = asyncio.Event(), 0
        self._settle = store.settle
        monkeypatch.setattr(store, "settle", self._wait)

    async def _wait(self, settlement: Settlement) -> Status:
        self.waiting += 1
        await self.go.wait()
        return await self._settle(settlement)


async def test_a_place_is_free_when_the_answer_is_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes are written beside; but where that takes long, no more goes out than two windows: all of it is doubt."""
    stalling, carrier = Stalling(store, monkeypatch), Scripted("sim-a")
    carrier.window = 3
    for number in range(2, 21):
        await store.put(bundle(f"m-{number}", due_at=now_ms(), expires_at=now_ms() + HOUR))

    async def look() -> MessageView:
        async with asyncio.timeout(10):
            while stalling.waiting < 6:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert (len(carrier.parts), stalling.waiting) == (6, 6)
        stalling.go.set()
        async with asyncio.timeout(10):
            while len(carrier.parts) < 20:
                await asyncio.sleep(0.01)
        return await until(store, "enroute", id_="m-20")

    await dispatching(store, [carrier], look)
    assert len({part.message for part in carrier.parts}) == 20


async def test_stopping_waits_for_what_is_known_to_be_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that are there are not forgotten: they would be doubt."""
    stalling, carrier = Stalling(store, monkeypatch), Scripted("sim-a")

    async def look() -> MessageView:
        async with asyncio.timeout(10):
            while not stalling.waiting:
                await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.2, stalling.go.set)
        return await until(store, "sending")

    await dispatching(store, [carrier], look)
    assert (await until(store, "enroute", "sending")).status == "enroute"


async def test_a_message_that_cannot_be_made_fails_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in one text stops no other one, though a claim takes both."""
    carrier, split = Scripted("sim-a"), Scripted.split

    def failing(self: Scripted, text: str) -> tuple[str, ...]:
        if text == "odd":
            raise RuntimeError("a fault")
        return split(self, text)

    monkeypatch.setattr(Scripted, "split", failing)
    now = now_ms()
    await store.put(bundle("m-2", text="odd", due_at=now - 1000, expires_at=now + HOUR))
    await dispatching(store, [carrier], lambda: until(store, "enroute"))
    assert [part.message for part in carrier.parts] == ["m-1"]
    assert (await until(store, "queued", id_="m-2")).status == "queued"


async def test_a_segmenting_carrier_gets_parts_and_only_the_missing_ones_again(store: Store) -> None:
    """Same reference, same carrier; what was taken is not sent again."""
    taken = Taken(carrier_message_id="x-1")
    carrier = Scripted("sim-a", taken, Unavailable("500", retry_after_s=0.01), splits=False)
    text = "a" * 200
    await dispatching(
        store, [carrier], lambda: until(store, "enroute"), text=text, segments=2, route=("sim-a",)
    )
    assert [(p.index, p.count, p.attempt) for p in carrier.parts] == [(0, 2, 1), (1, 2, 1), (1, 2, 2)]
    assert len({p.reference for p in carrier.parts}) == 1


async def test_a_carrier_that_stands_still_keeps_nobody_else_waiting(store: Store) -> None:
    """One lane per carrier."""

    class Standing(Scripted):
        async def send(self, part: Part) -> Taken:
            await asyncio.Event().wait()
            raise AssertionError

    standing, moving = Standing("sim-a"), Scripted("sim-b")
    standing.window = 1
    now = now_ms()
    for number in range(5):
        await store.put(bundle(f"m-a{number}", created_at=now, due_at=now, expires_at=now + HOUR))
    await store.put(bundle("m-b", created_at=now, due_at=now, expires_at=now + HOUR, route=("sim-b",)))
    dispatch = Dispatch(store, {"sim-a": standing, "sim-b": moving}, "node", "hold", ACCOUNT)
    running = asyncio.create_task(dispatch.run())
    await until(store, "enroute", id_="m-b")
    assert (await until(store, "queued", id_="m-a4")).attempts == 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_claim_that_was_lost_does_not_end_its_successors_lease(store: Store) -> None:
    """A node that stood still has both; what it is still sending stays its own."""

    class Standing(Scripted):
        async def send(self, part: Part) -> Taken:
            await super().send(part)
            await asyncio.Event().wait()
            raise AssertionError

    carrier, now = Standing("sim-a"), now_ms()
    await store.put(bundle(created_at=now, due_at=now, expires_at=now + HOUR))
    wanted = Claim(carrier="sim-a", owner="node", now=now, lease_ms=-1, limit=1)
    lost = await store.claim(wanted)
    await store.recover(Recovery(now=now, on_unknown="hold"))
    had_again = await store.claim(wanted)
    dispatch = Dispatch(store, {"sim-a": carrier}, "node", "hold", ACCOUNT)
    sending = asyncio.create_task(dispatch.attempts.send(carrier, had_again[0]))
    async with asyncio.timeout(10):
        while not carrier.parts:
            await asyncio.sleep(0.01)
    await dispatch.attempts.send(carrier, lost[0])
    await dispatch._renew()
    assert (await until(store, "sending", "unknown")).status == "sending"
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


@pytest.mark.parametrize(
    ("takes_mms", "has_links", "urls"),
    [
        (True, True, ["https://sms.acme.example/p/1/", "https://sms.acme.example/p/1/"]),
        (False, True, []),
        (True, False, []),
    ],
)
async def test_an_mms_never_leaves_without_its_pictures(
    store: Store, takes_mms: bool, has_links: bool, urls: list[str]
) -> None:
    """A configuration may have changed since it was accepted: then it waits, and the text does not go alone."""
    carrier = Scripted("sim-a")
    carrier.abilities = Abilities(title="scripted", mms=Mms() if takes_mms else None)  # type: ignore[misc]
    photos = tuple(Photo(name=f"photo-{n}.jpg", media_type="image/jpeg", content=b"x") for n in (1, 2))
    now = now_ms()
    message = mt(media="mms", route=("sim-a",), created_at=now, due_at=now, expires_at=now + HOUR)
    new = NewMessage(mt=message, reply_key="abcdefghij")
    await store.put(replace(bundle(), submissions=(submission(pictures=photos),), messages=(new,)))
    dispatch = Dispatch(store, {"sim-a": carrier}, "node", "hold", ACCOUNT)
    if has_links:
        dispatch.attempts.links = Links(base="https://sms.acme.example", secret=b"s", valid_ms=HOUR)
    running = asyncio.create_task(dispatch.run())
    tried = ("enroute",) if urls else ("queued",)
    async with asyncio.timeout(10):
        while (await until(store, *tried)).attempts < 1:
            await asyncio.sleep(0.01)
    dispatch.stop()
    await running
    assert [media.url[: len(urls[0])] for part in carrier.parts for media in part.media] == urls
    assert len(carrier.parts) == (1 if urls else 0)
