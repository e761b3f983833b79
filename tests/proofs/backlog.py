"""A long queue starts quickly, in little memory and in order; and work costs the same after ten million messages.

Usage: backlog [sqlite|postgresql] [QUEUED] [HISTORY]. First so many messages wait, all due: start to ready, memory, the
order on the phones. Then a database with so much history beside one with ten thousand messages, in turns: put, claim
(with intents and outcomes between, as dispatch does), what is done every few seconds, what the API asks for; and no
statement may read a table whole. Control that must fail: the indexes over the queue dropped. Needs 25 GB for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text as sql

from mail2sms.lifecycle import Change
from mail2sms.model import Status
from mail2sms.store import Recovery, Renewal, Rerouting, Search, Store, views
from tests.fakes import ACCOUNT
from tests.proofs import _statements
from tests.proofs._history import History, opened
from tests.proofs._statements import Watch, Work
from tests.servers._server import wait_until
from tests.servers.daemon import Daemon
from tests.servers.postgresql import PostgreSQL

QUEUED, HISTORY, LITTLE = 100_000, 10_000_000, 10_000
START_S, RSS_MB, RATIO = 10.0, 250.0, 1.25
WINDOW = 10  # of the simulated carrier
ROUNDS, _PUTS, _CLAIMS = 40, 40, 4
OVER_THE_QUEUE = ("ix_message_waiting", "ix_message_counted", "ix_message_expiring", "ix_message_status")
_SMALL = {"setting", "outage", "meter", "balance", "media"}  # tables that PostgreSQL rightly reads whole
_NEEDED_GB = 25
_SERVER = "shared_buffers = 1GB\nmax_wal_size = 16GB\ncheckpoint_timeout = 30min\n"


@dataclass(slots=True)
class Queue:
    """How a daemon dealt with a long queue."""

    queued: int
    start_s: float = 0.0
    rss_mb: float = 0.0
    shown: int = 0
    twice: int = 0
    furthest: int = 0
    rate: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether each message is on a phone once, and none overtook more than are under way at once."""
        return (self.shown, self.twice) == (self.queued, 0) and self.furthest <= 2 * WINDOW

    @property
    def is_kept(self) -> bool:
        """Whether it was also quick and small."""
        return self.is_whole and self.start_s < START_S and self.rss_mb < RSS_MB

    def __str__(self) -> str:
        return (
            f"{self.queued} queued: start to ready {self.start_s:.1f} s, RSS at most {self.rss_mb:.0f} MB, "
            f"{self.shown} on the phones, {self.twice} twice, at most {self.furthest} places out of the order of "
            f"due times; {self.rate:.0f} messages/s"
        )


class _Memory(threading.Thread):
    """Looks again and again how much memory a daemon and its helpers have."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon=True)
        self.highest_mb = 0.0
        self.is_over = threading.Event()
        self._daemon = daemon

    def run(self) -> None:
        """Look until it is over."""
        while not self.is_over.wait(0.05):
            with contextlib.suppress(Exception):  # before its start, or one of its helpers just ended
                self.highest_mb = max(self.highest_mb, self._daemon.rss_mb())


def drain(queued: int, database: str = "", *, broken: str = "") -> Queue:
    """Let a daemon start with so many messages that are due, and send them all. `broken` is SQL run before."""
    daemon = Daemon(database=database)
    history = History(count=0, queued=queued, until=time.time_ns() // 1_000_000)
    history.fill(daemon.database)
    if broken:
        change(daemon.database, [broken])
    memory, found = _Memory(daemon), Queue(queued)
    memory.start()
    with daemon:
        began = time.monotonic()
        phones = daemon.folder / "phones.jsonl"
        wait_until(lambda: _count(phones) >= queued, 60 + queued / 50, every_s=0.2)
        found.rate = queued / (time.monotonic() - began + daemon.started_in_s)
        found.start_s = daemon.started_in_s
        memory.is_over.set()
        memory.join()
        lines = [json.loads(line) for line in phones.read_bytes().splitlines()]
    ids = [line["shown"]["id"] for line in lines if "shown" in line]
    rank = {id_: place for place, id_ in enumerate(history.queue_in_order())}
    found.rss_mb, found.shown, found.twice = memory.highest_mb, len(set(ids)), len(ids) - len(set(ids))
    found.furthest = max(abs(rank[id_] - place) for place, id_ in enumerate(dict.fromkeys(ids)))
    return found


_seen: dict[Path, tuple[int, int]] = {}


def _count(phones: Path) -> int:
    """Return how many texts the phones show: a file that grows is read on."""
    if not phones.exists():
        return 0
    read, count = _seen.get(phones, (0, 0))
    with phones.open("rb") as file:
        file.seek(read)
        new = file.read()
    whole = new[: new.rfind(b"\n") + 1]
    _seen[phones] = (read + len(whole), count + whole.count(b'{"shown"'))
    return _seen[phones][1]


def change(url: str, statements: Sequence[str]) -> None:
    """Change a database behind its owner's back."""
    engine = opened(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sql(statement))
    engine.dispose()


@dataclass(slots=True)
class Side:
    """One of two databases that are compared, and how long what took in it, in ms."""

    url: str
    history: History
    times: dict[str, list[float]] = field(default_factory=dict)

    def median(self, what: str) -> float:
        """Return the median of all but the first round."""
        times = self.times[what]
        return statistics.median(times[len(times) // ROUNDS :])

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note how long it takes."""
        began = time.perf_counter()
        yield
        self.times.setdefault(what, []).append((time.perf_counter() - began) * 1000)


async def compare(sides: Sequence[Side], rounds: int) -> None:
    """Work in the databases in turns."""
    chance = random.Random(1)
    async with contextlib.AsyncExitStack() as opened_:
        stores = [await opened_.enter_async_context(_open(side.url)) for side in sides]
        for number in range(rounds):
            for side, store in zip(sides, stores, strict=True):
                await _round(side, store, number, chance)


@contextlib.asynccontextmanager
async def _open(url: str) -> AsyncIterator[Store]:
    store = await Store.open(url)
    try:
        yield store
    finally:
        await store.close()


async def _round(side: Side, store: Store, number: int, chance: random.Random) -> None:
    def work() -> Work:
        old = side.history.old(chance.randint(1, side.history.count))
        return Work(store, Watch(), side.history.until + 5_000 + number, old)

    for one in range(_PUTS):
        new = work()
        with side.timed("put"):
            await new.put(f"m-round-{number}-{one}")
    for _ in range(_CLAIMS):
        sender = work()
        with side.timed("claim"):
            claimed = await sender.claim(WINDOW)
        assert len(claimed) == WINDOW, len(claimed)
        await asyncio.gather(*(sender.intend(mt) for mt in claimed))
        enroute = Change(status=Status.ENROUTE)
        await asyncio.gather(*(sender.settle(mt, "taken", enroute) for mt in claimed))
        await asyncio.gather(*(sender.report(mt, Status.DELIVERED) for mt in claimed))
    await _upkeep(side, store, work().now)
    await _ask(side, store, work())


async def _upkeep(side: Side, store: Store, now: int) -> None:
    """What is done every few seconds."""
    steps: dict[str, Awaitable[object]] = {
        "renew": store.renew(Renewal(owner="node", lease_ms=60_000, messages=("m-none",))),
        "recover": store.recover(Recovery(now=now, on_unknown="hold")),
        "bring_forward": store.bring_forward(now),
        "expire": store.expire(now),
        "reroute": store.reroute(Rerouting(carriers=("sim",), now=now)),
        "forget": store.forget(now),
    }
    for name, step in steps.items():
        with side.timed(name):
            await step


async def _ask(side: Side, store: Store, work: Work) -> None:
    """What the API and the metrics ask for."""
    with side.timed("one message"):
        assert await store.read(views.read_one, ACCOUNT, work.old.id)
    searches = {
        "list": Search(),
        "list of a phone": Search(to=work.old.msisdn),
        "list of failures": Search(status="undeliverable"),
        "list, a page in the middle": Search(before=work.old.id),
    }
    for name, search in searches.items():
        with side.timed(name):
            await store.read(views.find, ACCOUNT, search)
    with side.timed("queue"):
        await store.read(views.waiting, ACCOUNT, 100)
    with side.timed("counts"):
        await store.read(views.counts)


def scans(side: Side) -> list[str]:
    """Return the statements that read a table whole, of all that the store has."""
    now, old = side.history.until + 60_000, side.history.old(side.history.count // 2)
    seen = asyncio.run(_statements.observe(side.url, now, old))
    return [str(cost) for cost in seen.values() if cost.scans - _SMALL]


def _claim_without_indexes(side: Side) -> float:
    change(side.url, [f"DROP INDEX {name}" for name in OVER_THE_QUEUE])
    broken = Side(side.url, side.history)

    async def claim() -> None:
        async with _open(side.url) as store:
            work = Work(store, Watch(), side.history.until + 90_000, side.history.old(1))
            for number in range(3):
                await work.put(f"m-control-{number}")
                with broken.timed("claim"):
                    await work.claim(WINDOW)

    asyncio.run(claim())
    return statistics.median(broken.times["claim"])


def _prove_queue(kind: str, queued: int) -> bool:
    with PostgreSQL() if kind == "postgresql" else contextlib.nullcontext() as server:
        found = drain(queued, server.create_database() if server else "")
    print(f"{kind}: {found}{'' if found.is_kept else ': NOT AS IT MUST BE'}", flush=True)
    return found.is_kept


def _prove_history(kind: str, count: int) -> bool:
    now = time.time_ns() // 1_000_000
    with contextlib.ExitStack() as opened_:
        server = opened_.enter_context(PostgreSQL(settings=_SERVER)) if kind == "postgresql" else None
        folder = server.folder if server else Path(opened_.enter_context(tempfile.TemporaryDirectory()))
        free_gb = shutil.disk_usage(folder).free / 1e9
        if free_gb < _NEEDED_GB * count / HISTORY:
            print(
                f"{kind}: {free_gb:.0f} GB free, {_NEEDED_GB * count / HISTORY:.0f} needed: not run",
                flush=True,
            )
            return False
        sides = []
        for number, much in enumerate((LITTLE, count)):
            url = server.create_database() if server else f"sqlite:///{folder}/{number}.db"
            sides.append(Side(url, History(count=much, until=now)))
            began = time.monotonic()
            sides[-1].history.fill(url)
        print(f"{kind}: {count} messages of history written in {time.monotonic() - began:.0f} s", flush=True)
        asyncio.run(compare(sides, ROUNDS))
        return _tell(kind, *sides)


def _tell(kind: str, little: Side, much: Side) -> bool:
    for what in much.times:
        few, many = little.median(what), much.median(what)
        print(
            f"  {what}: {few:.2f} ms with {little.history.count}, {many:.2f} ms with {much.history.count}: "
            f"{many / few:.2f}x",
            flush=True,
        )
    found = scans(much)
    print(f"  {len(found)} statements read a table whole", *found, sep="\n    ", flush=True)
    ratio = much.median("claim") / little.median("claim")
    broken_ms = _claim_without_indexes(much)
    is_found = broken_ms > RATIO * little.median("claim")
    is_kept = ratio <= RATIO and not found
    print(
        f"{kind}: claim p50 {ratio:.2f}x (at most {RATIO}x){'' if is_kept else ': NOT AS IT MUST BE'}; "
        f"control: without the indexes over the queue {broken_ms:.0f} ms"
        f"{'' if is_found else ': NOT AS IT MUST BE'}",
        flush=True,
    )
    return is_kept and is_found


def main(argv: list[str]) -> int:
    """Run both parts on the databases asked for; 0 when all is within the bounds and only the control was not."""
    kinds = [word for word in argv if not word.isdigit()] or ["sqlite", "postgresql"]
    numbers = [int(word) for word in argv if word.isdigit()]
    queued, history = (*numbers, *(QUEUED, HISTORY)[len(numbers) :])
    is_proven = True
    for kind in kinds:
        is_proven &= _prove_queue(kind, queued)
        is_proven &= _prove_history(kind, history)
    return 0 if is_proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
