"""A link that breaks after each byte of a submit, of its answer and of the bind; and PDUs with wrong octets."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers import smpp
from mail2sms.carriers._base import CarrierEvent
from mail2sms.carriers._smpp_pdu import RESPONSE, Address, Command, Short, Tag
from mail2sms.carriers._smpp_session import Session
from mail2sms.carriers._smpp_submit import Writer
from mail2sms.carriers._smpp_window import Terms
from mail2sms.errors import SendFailed, Unavailable, Uncertain
from mail2sms.model import Msisdn, Part, SenderId, Taken
from tests.servers.smsc import Smsc, receipt, written

_PART = Part(
    message="m-1",
    index=0,
    count=1,
    attempt_id="a-1",
    attempt=1,
    msisdn=Msisdn("+33639981234"),
    sender_id=SenderId("ACME"),
    encoding="gsm7",
    segments=1,
    text="Bonjour",
)


@dataclass(slots=True)
class Cut:
    """Where the link breaks: after so many bytes of a direction (`up`: ours), counted from the bind's end or start."""

    direction: str
    after: int
    is_in_bind: bool = False

    def __str__(self) -> str:
        return f"{self.direction} {self.after}{' of the bind' if self.is_in_bind else ''}"


class Proxy:
    """Passes bytes on until the cut."""

    def __init__(self, upstream: int, cut: Cut) -> None:
        self._upstream, self._cut = upstream, cut
        self._is_bound = cut.is_in_bind
        self._passed = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        there, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._writers = [writer, upstream]
        await asyncio.gather(self._pass(reader, upstream, "up"), self._pass(there, writer, "down"))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        try:
            while data := await reader.read(65_536):
                if self._is_bound and direction == self._cut.direction:
                    data = data[: self._cut.after - self._passed]
                    self._passed += len(data)
                writer.write(data)
                await writer.drain()
                if self._is_bound and self._passed >= self._cut.after and direction == self._cut.direction:
                    return self._break()
                if direction == "down" and not self._is_bound:
                    self._is_bound = True  # what follows the answer to the bind counts
        except ConnectionError:
            pass
        self._break()
        return None

    def _break(self) -> None:
        for writer in self._writers:
            writer.close()


@dataclass(slots=True)
class Figures:
    """How many cuts ended how; `wrong` are those that are not as they must be."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether each was as it must be."""
        return bool(self.outcomes) and not self.wrong

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return f"{sum(self.outcomes.values())} cuts: {outcomes}; {len(self.wrong)} wrong"


async def _one(cut: Cut) -> tuple[str, int]:
    """Send by a link that breaks there; return the outcome, and how often the SMSC took it."""
    smsc = Smsc(receipts=False)
    async with smsc.started():
        proxy = Proxy(smsc.port, cut)
        server = await asyncio.start_server(proxy.attend, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        options = smpp.Options(
            type="smpp", address=f"127.0.0.1:{port}", system_id="a", password="b", timeout="2s"
        )
        carrier = smpp.build("smpp", options, Path())

        async def forget(_: CarrierEvent) -> None:
            """Take it."""

        await carrier.start(forget)
        if not cut.is_in_bind:
            await smsc.until(lambda: carrier._binds is not None and carrier._binds.sending)
        else:
            await asyncio.sleep(0.02)
        try:
            outcome: Taken | SendFailed = await carrier.send(_PART)
        except SendFailed as failure:
            outcome = failure
        server.close()
        await asyncio.sleep(0)
        taken = len(smsc.taken)
        await carrier.stop()
    return type(outcome).__name__, taken


def _expected(cut: Cut, lengths: dict[str, int]) -> set[tuple[str, int]]:
    if cut.is_in_bind:
        return {(Unavailable.__name__, 0)}
    if cut.direction == "up":
        # Our system had all of it: whatever the way lost, we can't know.
        return {(Uncertain.__name__, int(cut.after >= lengths["up"]))}
    return {(Taken.__name__ if cut.after >= lengths["down"] else Uncertain.__name__, 1)}


def _lengths() -> dict[str, int]:
    options = smpp.Options(type="smpp", address="127.0.0.1:1", system_id="a", password="b")
    body = Writer(options).body(_PART, 0)
    return {"up": 16 + len(body), "down": 16 + len(wire.message_id("00000001"))}


async def _cuts(every: int) -> Figures:
    lengths, figures = _lengths(), Figures()
    cuts = [Cut(way, after) for way in ("up", "down") for after in range(0, lengths[way] + 1, every)]
    bind = 16 + len(wire.bind("a", "b"))
    cuts += [Cut("up", after, is_in_bind=True) for after in range(0, bind, every)]
    cuts += [Cut("down", after, is_in_bind=True) for after in range(0, 21, every)]
    for start in range(0, len(cuts), 20):
        some = cuts[start : start + 20]
        for cut, found in zip(some, await asyncio.gather(*map(_one, some)), strict=True):
            figures.outcomes[found[0]] += 1
            if found not in _expected(cut, lengths):
                figures.wrong.append(f"{cut}: {found}")
    return figures


def run(every: int = 1) -> Figures:
    """Break the link after each byte (or each so many)."""
    return asyncio.run(_cuts(every))


@dataclass(slots=True)
class Mutations:
    """How many PDUs with wrong octets were read, what came of them, and how long the slowest took."""

    count: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether nothing crashed, and nothing took long."""
        return bool(self.count) and not self.crashes and self.slowest_s < 0.05

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return (
            f"{self.count} mutated PDUs: {outcomes}; {len(self.crashes)} crashes; the slowest took "
            f"{self.slowest_s * 1000:.1f} ms of CPU"
        )


class _Transport(asyncio.Transport):
    """Remembers whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += len(data)

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed


def _seeds() -> list[bytes]:
    submitted = Short(source=Address(5, 0, "ACME"), destination=Address(1, 1, "33639981234"), text=b"x")
    bodies = [
        (Command.DELIVER_SM, wire.submit(receipt("1B2C", submitted))),
        (Command.DELIVER_SM, wire.submit(written(b"\5\0\3\7\2\1Hello", esm_class=0x40))),
        (Command.DELIVER_SM, wire.submit(written("Да".encode("utf-16-be"), data_coding=8))),
        (Command.DELIVER_SM, wire.submit(written(b"", tlvs={Tag.MESSAGE_PAYLOAD: b"long " * 100}))),
        (Command.DATA_SM, b"\0\1\1331\0\1\1332\0\0\0\0" + wire.parameters({Tag.MESSAGE_PAYLOAD: b"Hi"})),
        (Command.SUBMIT_SM | RESPONSE, wire.message_id("1B2C")),
        (
            Command.BIND_TRANSCEIVER | RESPONSE,
            b"SMSC\0" + wire.parameters({Tag.SC_INTERFACE_VERSION: b"\x34"}),
        ),
        (Command.UNBIND, b""),
        (Command.ENQUIRE_LINK, b""),
        (Command.GENERIC_NACK, b""),
        (Command.ALERT_NOTIFICATION, b"\1\0001\0\1\0002\0"),
    ]
    return [wire.pdu(command, number, body) for number, (command, body) in enumerate(bodies, 1)]


def _mutate(octets: bytes, chance: random.Random) -> bytes:
    changed = bytearray(octets)
    for _ in range(chance.choice((1, 1, 2, 4))):
        way = chance.randrange(5)
        at = chance.randrange(len(changed)) if changed else 0
        if way == 0 and changed:
            changed[at] = chance.randrange(256)
        elif way == 1:
            del changed[at : at + chance.randrange(1, 9)]
        elif way == 2:
            changed[at:at] = chance.randbytes(chance.randrange(1, 9))
        elif way == 3:
            changed[at:at] = changed[at : at + 8] * chance.randrange(1, 40)
        elif changed:
            changed[at] ^= 1 << chance.randrange(8)
    if chance.random() < 0.7 and len(changed) >= 4:  # the frame is right, and what is inside is not
        changed[:4] = len(changed).to_bytes(4, "big")
    return bytes(changed)


async def _mutations(count: int, seed: int) -> Mutations:
    chance, found = random.Random(seed), Mutations(count=count)  # the same every time
    options = smpp.Options(type="smpp", address="127.0.0.1:1", system_id="a", password="b")
    carrier = smpp.build("smpp", options, Path())
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, about: found.crashes.append(str(about)[:300]))
    events: list[CarrierEvent] = []

    async def take(event: CarrierEvent) -> None:
        events.append(event)

    await carrier.start(take)
    assert carrier._binds is not None
    await carrier._binds.stop()
    seeds, session, transport = _seeds(), None, _Transport()
    gc.collect()
    gc.freeze()  # whatever else this process has done is not what a PDU costs
    for _ in range(count):
        if session is None or transport.is_closed:
            transport, session = _Transport(), Session(Terms(), carrier._take, carrier._answered_late)
            session.connection_made(transport)
            session.submit(b"x", "a-1").add_done_callback(lambda done: done.exception())
        begun_s = time.thread_time()
        try:
            session.data_received(_mutate(chance.choice(seeds), chance))
        except Exception as e:  # that is what is looked for
            found.crashes.append(repr(e))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found.slowest_s = max(found.slowest_s, time.thread_time() - begun_s)
        if transport.is_closed:
            found.outcomes["links closed"] += 1
            session.connection_lost(None)
    found.outcomes["events"] = len(events)
    if session is not None:
        session.connection_lost(None)
    gc.unfreeze()
    return found


def mutations(count: int, seed: int = 1) -> Mutations:
    """Read so many PDUs with wrong octets."""
    return asyncio.run(_mutations(count, seed))
