"""A dead or slow carrier never delays another's messages: their p99, alone and beside every kind of trouble.

Usage: roads [ROUNDS [SECONDS]] [sqlite|postgresql] (15 rounds of 2 s for each way, both). 30 messages a second go to
one that answers at once, and 30 to another, which hangs, refuses connections, says 503, answers after a second, or
whose name no DNS answers. Beside that, in the same process and at the same time, runs the same with another that is
well: what the machine does meanwhile hits both. The ways take turns. Measured from the moment a message is on disk to
the moment the first carrier has it. For each way: the medians over the rounds of both p99, and the median of their
ratios, which must be at most 1.2.
Control that must fail: a dispatcher with one lane for all carriers.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mail2sms import numbers
from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.dispatch import Dispatch
from mail2sms.lane import Lane
from mail2sms.store import Claimed, Store
from tests.fakes import ACCOUNT, bundle
from tests.servers.carriers import provided
from tests.servers.postgresql import PostgreSQL

RATE = 30  # messages a second, to each
MOST = 1.2
_TIMEOUT_MS, _PATIENT_MS, _SLOW_S, _NAMELESS_S = 1_500, 120_000, 1.0, 3.0
_NAMELESS = "nameless.example"
_HOUR_MS, _PATIENCE_S = 3_600_000, 30.0


@dataclass(frozen=True, slots=True)
class Way:
    """How the other carrier is: it answers with `status` after `wait_s` (None: never), or has no port, or no name."""

    name: str
    wait_s: float | None = 0.0
    status: int = 202
    host: str = "localhost"
    is_open: bool = True


WELL = Way("well")
ALONE = Way("nobody")
TROUBLE = (
    Way("hanging", wait_s=None),
    Way("refusing", is_open=False),
    Way("failing", status=503),
    Way("slow", wait_s=_SLOW_S),
    Way("nameless", host=_NAMELESS),
)


class OneLane(Dispatch):
    """The control: all carriers share one lane, and its places."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        by_name = {carrier.name: carrier for carrier in self._carriers}

        async def claim(free: int) -> list[Claimed]:
            found: list[Claimed] = []
            for carrier in self._carriers:
                if free > len(found):
                    found += await self._claim(carrier, lane, free - len(found))
            return found

        async def send(claimed: Claimed) -> None:
            await self.attempts.send(by_name[claimed.mt.carrier], claimed)

        lane = Lane(self._store.bell("mt"), partial(self.attempts.room, self._carriers[0]), claim, send)
        self._lanes = [lane]


@dataclass(slots=True)
class Provider:
    """An HTTP provider; `came` is when it had each message."""

    way: Way
    port: int = 0
    came: dict[str, float] = field(default_factory=dict)
    _links: list[asyncio.StreamWriter] = field(default_factory=list)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Provider]:
        """Listen; or know a port where nobody does."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        if not self.way.is_open:
            server.close()
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            if self._tasks:
                await asyncio.wait(self._tasks)

    def hang_up(self) -> None:
        """Let nobody wait for an answer any more."""
        for link in self._links:
            link.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
                message = json.loads(await reader.readexactly(length))["message"]
                self.came.setdefault(message, time.monotonic())
                if self.way.wait_s is None:
                    await reader.read()
                    return
                await asyncio.sleep(self.way.wait_s)
                body = json.dumps({"id": f"p-{message}"}).encode()
                said = f"HTTP/1.1 {self.way.status} Said\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(said.encode() + body)

    def carrier(self, name: str, folder: Path) -> Carrier:
        """Return a carrier that sends here."""
        timeout_ms = _PATIENT_MS if self.way in (WELL, ALONE) else _TIMEOUT_MS
        options = {"api": f"http://localhost:{self.port}/length", "timeout": timeout_ms}
        built = provided.build(name, provided.Options(type="provided", **options), folder)
        built.api, built._is_local = f"http://{self.way.host}:{self.port}/length", True
        return built


@contextlib.contextmanager
def names() -> Iterator[None]:
    """One name is not answered for seconds; the phones of examples may be written to."""
    resolve, is_fiction = socket.getaddrinfo, numbers.is_fiction

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in (_NAMELESS, _NAMELESS.encode()):
            time.sleep(_NAMELESS_S)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return resolve(host, *args, **kwargs)

    socket.getaddrinfo, numbers.is_fiction = look_up, lambda msisdn: False
    try:
        yield
    finally:
        socket.getaddrinfo, numbers.is_fiction = resolve, is_fiction


def _quiet() -> contextlib.AbstractContextManager[io.StringIO]:
    """Keep the log to itself: it tells each message."""
    return contextlib.redirect_stdout(io.StringIO())


async def measure(
    database: str, way: Way, seconds: float, kind: type[Dispatch] = Dispatch, patience_s: float = _PATIENCE_S
) -> list[float]:
    """Return how long each message of the healthy carrier took, in seconds; what never came took for ever.

    The last ones are waited for so long.
    """
    return await _measure(await Store.open(database), way, seconds, kind, patience_s)


async def _measure(
    store: Store, way: Way, seconds: float, kind: type[Dispatch] = Dispatch, patience_s: float = _PATIENCE_S
) -> list[float]:
    well, other = Provider(WELL), Provider(way)
    async with well.serving(), other.serving():
        with tempfile.TemporaryDirectory() as folder:
            carriers = [other.carrier("sim-a", Path(folder)), well.carrier("sim-b", Path(folder))]
            dispatch = kind(store, {c.name: c for c in carriers}, "node", "hold", ACCOUNT)
            running = asyncio.create_task(dispatch.run())
            stored = await _load(store, seconds, is_alone=way is ALONE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    while not well.came.keys() >= stored.keys():
                        await asyncio.sleep(0.02)
            dispatch.stop()
            other.hang_up()
            await running
            for carrier in carriers:
                await carrier.stop()
    await store.close()
    return [well.came.get(id_, float("inf")) - at for id_, at in stored.items()]


async def _load(store: Store, seconds: float, *, is_alone: bool) -> dict[str, float]:
    """Put messages for both, evenly, the troubled one's first; return when those of the healthy one were on disk."""
    stored: dict[str, float] = {}

    async def put(id_: str, carrier: str) -> None:
        now = now_ms()
        times = {"created_at": now, "due_at": now, "expires_at": now + _HOUR_MS}
        await store.put(bundle(id_, route=(carrier,), **times))  # type: ignore[arg-type]
        if carrier == "sim-b":
            stored[id_] = time.monotonic()

    began, puts = time.monotonic(), []
    for number in range(int(seconds * RATE)):
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        names = ("sim-b",) if is_alone else ("sim-a", "sim-b")
        puts += [asyncio.create_task(put(f"m-{number:06}-{name}", name)) for name in names]
    await asyncio.gather(*puts)
    return stored


def p99(waits: Sequence[float]) -> float:
    """Return the p99 in milliseconds."""
    return sorted(waits)[int(len(waits) * 0.99)] * 1000


@dataclass(slots=True)
class Figures:
    """The p99 of each round in milliseconds, by how the other carrier is: beside that, and beside one that is well."""

    p99_ms: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    is_complete: bool = True

    def ratio(self, way: Way) -> float:
        """Return the median of the rounds' ratios."""
        return statistics.median(beside / well for beside, well in self.p99_ms[way.name])

    @property
    def is_kept(self) -> bool:
        """Whether all came, and no trouble of the other made it later."""
        return self.is_complete and all(self.ratio(way) <= MOST for way in TROUBLE)

    def __str__(self) -> str:
        return "\n".join(
            f"{way.name:>9}: p99 {_median(beside for beside, _ in self.p99_ms[way.name]):6.1f} ms, at the same time"
            f" beside one that is well {_median(well for _, well in self.p99_ms[way.name]):6.1f} ms;"
            f" ratio {self.ratio(way):.2f} ({len(self.p99_ms[way.name])} rounds)"
            for way in (ALONE, *TROUBLE)
        )


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


async def _pair(databases: Iterator[str], way: Way, seconds: float) -> tuple[list[float], list[float]]:
    one, two = await Store.open(next(databases)), await Store.open(next(databases))
    return await asyncio.gather(_measure(one, way, seconds), _measure(two, WELL, seconds))


def run(databases: Iterator[str], rounds: int, seconds: float) -> Figures:
    """Measure each way in each round."""
    figures = Figures()
    with names(), _quiet():
        for _ in range(rounds):
            for way in (ALONE, *TROUBLE):
                pair = asyncio.run(_pair(databases, way, seconds))
                figures.is_complete &= max(map(max, pair)) < float("inf")
                figures.p99_ms.setdefault(way.name, []).append((p99(pair[0]), p99(pair[1])))
    return figures


def control(database: str, way: Way, seconds: float, patience_s: float) -> float:
    """Return the share of messages that came through one lane for both carriers, the other of which is like this."""
    with names(), _quiet():
        waits = asyncio.run(measure(database, way, seconds, OneLane, patience_s))
    return sum(wait < float("inf") for wait in waits) / len(waits)


def _prove(databases: Iterator[str], rounds: int, seconds: float, kind: str) -> bool:
    found = run(databases, rounds, seconds)
    print(f"{kind}:\n{found}{'' if found.is_kept else '   NOT AS IT MUST BE'}", flush=True)
    in_time = control(next(databases), TROUBLE[0], seconds, _SLOW_S)
    beside_well = control(next(databases), WELL, seconds, _PATIENCE_S)
    is_found = in_time < 0.5 and beside_well == 1
    print(
        f"control: through one lane {in_time:.0%} come past one that hangs, {beside_well:.0%} beside one that is well: "
        f"{'found' if is_found else 'NOT FOUND'}",
        flush=True,
    )
    return found.is_kept and is_found


def _files(folder: str) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"sqlite:///{folder}/{number}.db"


def _databases(server: PostgreSQL) -> Iterator[str]:
    while True:
        yield server.create_database()


def main(argv: Sequence[str]) -> int:
    """Print the figures; 0 when no trouble of one carrier made another's messages later."""
    counts = [each for each in argv if each.replace(".", "").isdigit()]
    rounds, seconds = int(counts[0]) if counts else 15, float(counts[1]) if counts[1:] else 2.0
    is_proven = True
    if "postgresql" not in argv:
        with tempfile.TemporaryDirectory() as folder:
            is_proven &= _prove(_files(folder), rounds, seconds, "sqlite")
    if "sqlite" not in argv:
        with PostgreSQL() as server:
            is_proven &= _prove(_databases(server), rounds, seconds, "postgresql")
    return 0 if is_proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
