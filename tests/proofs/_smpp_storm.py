"""Many messages by dispatcher, store and SMPP carrier to an SMSC with bad days; texts from phones the other way."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from mail2sms import breaker, lifecycle
from mail2sms.carriers import _pace, smpp
from mail2sms.carriers import _smpp_text as texts
from mail2sms.carriers._base import CarrierEvent
from mail2sms.carriers._smpp_pdu import Command
from mail2sms.clock import now_ms
from mail2sms.dispatch import Dispatch
from mail2sms.errors import SendFailed, StoreUnavailable
from mail2sms.inbound import Inbound
from mail2sms.model import Msisdn, Part
from mail2sms.store import Store, schema, views
from mail2sms.store.views import MessageView
from tests.fakes import ACCOUNT, OURS, PHONE, bundle
from tests.servers.smsc import FAULTS, Smsc, written

_HOUR_MS = 3_600_000
_DROPS_S = (0.2, 1.0)  # between two sessions that end
_FAULTY = 0.25  # of the submits
_BROKEN_BEFORE, _BROKEN_AFTER = 0.05, 0.03  # of what is stored: refused, or stored all the same
_ENDS_WITHIN_S = 90.0
_USED = 0.8  # of the sessions that are to end
_PART = Part(
    message="m-1",
    index=0,
    count=1,
    attempt_id="a-1",
    attempt=1,
    msisdn=PHONE,
    sender_id=OURS,
    encoding="gsm7",
    segments=1,
    text="Bonjour",
)
_OPEN = frozenset({"queued", "sending", "enroute"})


@dataclass(slots=True)
class Figures:
    """What came of it. `lost`: said to be taken, and was not; `twice`: parts that phones have twice; MOs likewise."""

    messages: int = 0
    parts: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    drops: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    texts: int = 0
    texts_lost: list[str] = field(default_factory=list)
    texts_twice: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether nothing is lost, twice or stuck."""
        wrong = (self.lost, self.twice, self.stuck, self.texts_lost, self.texts_twice)
        return bool(self.messages) and not any(wrong)

    def __str__(self) -> str:
        statuses = ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())
        return (
            f"{self.messages} messages ({self.parts} parts), {sum(self.faults.values())} faults of "
            f"{len(self.faults)} kinds and {self.drops} sessions ended: {statuses}; {len(self.lost)} lost, "
            f"{len(self.twice)} parts twice, {len(self.stuck)} stuck; {self.texts} texts from phones: "
            f"{len(self.texts_lost)} lost, {len(self.texts_twice)} twice"
        )


@contextlib.contextmanager
def quick_retries() -> Iterator[None]:
    """Waits of milliseconds, where the product has seconds."""
    waits: list[tuple[object, str, float]] = [
        (lifecycle, "_FIRST_WAIT_MS", 50),
        (lifecycle, "_LONGEST_WAIT_MS", 500),
    ]
    waits += [(breaker, "_FIRST_PAUSE_MS", 50), (breaker, "_LONGEST_PAUSE_MS", 200)]
    waits += [(_pace, "PAUSE_S", 0.05), (smpp, "PAUSE_S", 0.05), (_pace, "_CALM_S", 0.2)]
    with contextlib.ExitStack() as stack:
        for module, name, value in waits:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def phone(number: int) -> Msisdn:
    """Return the phone of a message."""
    return Msisdn(f"+3363{number:07}")


async def put(store: Store, count: int, chance: random.Random) -> int:
    """Queue messages of one to three parts, one for each phone; return how many parts."""
    now, parts = now_ms(), 0
    for number in range(count):
        segments = chance.choice((1, 1, 1, 2, 3))
        parts += segments
        words = {"created_at": now, "due_at": now, "expires_at": now + _HOUR_MS}
        text = "a" * (100 if segments == 1 else 153 * segments - 20)
        await store.put(
            bundle(
                f"m-{number}",
                msisdn=phone(number),
                text=text,
                segments=segments,
                route=("smpp",),
                conversation=f"c-{number}",
                **words,  # type: ignore[arg-type]
            )
        )
    return parts


def failing(
    record: Callable[[CarrierEvent], object], chance: random.Random
) -> Callable[[CarrierEvent], object]:
    """Let the database fail now and then, before it stores something and after."""

    async def maybe(event: CarrierEvent) -> None:
        if chance.random() < _BROKEN_BEFORE:
            raise StoreUnavailable("before")
        await record(event)
        if chance.random() < _BROKEN_AFTER:
            raise StoreUnavailable("after")

    return maybe


@contextlib.asynccontextmanager
async def running(store: Store, smsc: Smsc, chance: random.Random) -> AsyncIterator[smpp.Smpp]:
    """Dispatch by two binds to the SMSC."""
    options = smpp.Options(
        type="smpp", address=f"127.0.0.1:{smsc.port}", system_id="a", password="b", timeout="400ms", binds="2"
    )
    carrier = smpp.build("smpp", options, Path())
    inbound = Inbound(store, ACCOUNT, {}, "desk@acme.example", _HOUR_MS)
    await carrier.start(failing(inbound.record, chance))  # type: ignore[arg-type]
    dispatch = Dispatch(store, {"smpp": carrier}, "node", "hold", ACCOUNT)
    task = asyncio.create_task(dispatch.run())
    try:
        yield carrier
    finally:
        dispatch.stop()
        await task
        await carrier.stop()


async def _drop(smsc: Smsc, figures: Figures, chance: random.Random) -> None:
    """End sessions at any moment, hard or by unbind."""
    while True:
        await asyncio.sleep(chance.uniform(*_DROPS_S))
        bound = [peer for peer in smsc.peers if peer.command]
        if not bound:
            continue
        peer = chance.choice(bound)
        figures.drops += 1
        if chance.random() < 0.5:
            peer.cut()
        else:
            await peer.ask(Command.UNBIND, b"", 1.0)
            peer.cut()


async def _write(smsc: Smsc, text: str) -> None:
    """A phone writes; the SMSC brings it until it is acknowledged."""
    told = written(text.encode(), phone="33639991234")
    while True:
        peers = [peer for peer in smsc.peers if peer.command]
        if peers and await smsc.deliver(told, peers[-1]) == 0:
            return
        await asyncio.sleep(0.02)


async def _statuses(store: Store, count: int) -> dict[str, MessageView]:
    found: dict[str, MessageView] = {}
    for start in range(0, count, 200):
        views_ = await asyncio.gather(
            *(store.read(views.read_one, ACCOUNT, f"m-{n}") for n in range(start, min(count, start + 200)))
        )
        found |= {view.id: view for view in views_ if view is not None}
    return found


def _waiting(connection: object) -> int:
    waits = schema.message.c.status.in_(("queued", "sending"))
    return len(connection.execute(schema.message.select().where(waits)).all())  # type: ignore[attr-defined]


def _texts(connection: object) -> list[str]:
    of_mos = schema.content.c.owner.in_(schema.mo.select().with_only_columns(schema.mo.c.id))
    rows = connection.execute(schema.content.select().where(of_mos))  # type: ignore[attr-defined]
    return [bytes(row.data).decode() for row in rows]


async def _run(folder: str, count: int, seed: int) -> Figures:
    chance = random.Random(seed)  # the same every time
    figures = Figures(messages=count, texts=count // 4)
    smsc = Smsc(late_s=0.6)
    store = await Store.open(f"sqlite:///{folder}/x.db")
    figures.parts = await put(store, count, chance)
    faults = [chance.choice(FAULTS) if chance.random() < _FAULTY else "" for _ in range(figures.parts * 2)]
    smsc.faults.extend(faults)
    async with smsc.started(), running(store, smsc, chance):
        dropping = asyncio.create_task(_drop(smsc, figures, chance))
        writing = [asyncio.create_task(_write(smsc, f"text {n}")) for n in range(figures.texts)]
        async with asyncio.timeout(_ENDS_WITHIN_S + count / 10):
            while await store.read(_waiting) > count // 20:
                await asyncio.sleep(0.05)
            dropping.cancel()
            used = faults[: len(faults) - len(smsc.faults)]
            smsc.faults.clear()
            await asyncio.gather(*writing)
        found = await _settled(store, count)
    figures.faults = Counter(filter(None, used))
    _compare(figures, found, smsc)
    had = Counter(await store.read(_texts))
    figures.texts_lost = [f"text {n}" for n in range(figures.texts) if not had[f"text {n}"]]
    figures.texts_twice = [text for text, times in had.items() if times > 1]
    await store.close()
    return figures


async def _settled(store: Store, count: int) -> dict[str, MessageView]:
    """Wait until nothing is open any more, or for long."""
    found: dict[str, MessageView] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDS_WITHIN_S):
            while not found or any(view.status in _OPEN for view in found.values()):
                await asyncio.sleep(0.2)
                found = await _statuses(store, count)
    return found


def _compare(figures: Figures, found: dict[str, MessageView], smsc: Smsc) -> None:
    taken = Counter[tuple[str, int]]()
    for each in smsc.taken:
        segment = texts.read(each.short, texts.Alphabet.GSM).segment
        taken[each.short.destination.digits, segment.number if segment else 1] += 1
    figures.statuses = Counter(view.status for view in found.values())
    figures.twice = [f"{to} {part}" for (to, part), times in taken.items() if times > 1]
    for id_, view in found.items():
        digits = view.to.removeprefix("+")
        has_all = all(taken[digits, part] for part in range(1, view.parts + 1))
        if view.status == "delivered" and not has_all:
            figures.lost.append(id_)
        elif view.status not in ("delivered", "unknown", "rejected"):
            figures.stuck.append(f"{id_} {view.status}")


def run(count: int, seed: int = 1) -> Figures:
    """Let so many messages through a storm."""
    with tempfile.TemporaryDirectory() as folder, quick_retries():
        return asyncio.run(_run(folder, count, seed))


async def _rebind(count: int, seed: int) -> list[float]:
    chance = random.Random(seed)  # the same every time
    smsc, waits = Smsc(), list[float]()
    loop = asyncio.get_running_loop()

    async def forget(_: CarrierEvent) -> None:
        """Take it."""

    async with smsc.started():
        options = smpp.Options(type="smpp", address=f"127.0.0.1:{smsc.port}", system_id="a", password="b")
        carrier = smpp.build("smpp", options, Path())
        await carrier.start(forget)
        for number in range(count):
            await smsc.until(lambda bound=number: smsc.binds > bound and carrier.room(), 60.0)
            await asyncio.sleep(chance.uniform(0, 0.05))
            if chance.random() < _USED:
                with contextlib.suppress(SendFailed):
                    await carrier.send(_PART)
            await _end(smsc, chance)
            begun_s = loop.time()
            await smsc.until(lambda bound=number: smsc.binds > bound + 1, 60.0)
            waits.append(loop.time() - begun_s)
        await carrier.stop()
    return waits


async def _end(smsc: Smsc, chance: random.Random) -> None:
    """End the session in one of four ways."""
    peer = smsc.peers[-1]
    way = chance.randrange(4)
    if way == 0:
        peer.cut()
    elif way == 1:
        peer.writer.close()
    elif way == 2:
        await peer.ask(Command.UNBIND, b"", 1.0)
        peer.cut()
    else:
        await smsc.close()
        await asyncio.sleep(chance.uniform(0, 0.5))
        await smsc.open()


def rebind(count: int, seed: int = 1) -> list[float]:
    """End so many sessions; return how long each took to come back, in seconds."""
    return asyncio.run(_rebind(count, seed))
