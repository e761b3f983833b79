"""After the commit of a STOP no intent for that phone follows: SQLite, and PostgreSQL with several nodes.

    ./run prove optout [sqlite|postgresql|controls]

A hundred messages wait for a phone, more are being stored all the time (judged before, as a mail under way is), and
every node sends as fast as it can; in the middle the phone says STOP to one of them. The databases themselves tell what
was committed after it: PostgreSQL by the times of its commits, SQLite by a trigger that numbers what is written.
Controls: a daemon that looks at the list only when it queues, and one that cancels what waits but never looks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from sqlalchemy import create_engine
from sqlalchemy import text as sql

from mail2sms.consent import Said, Word
from mail2sms.ids import conversation_of
from mail2sms.model import MoMessage, Msisdn, MtMessage, Part
from mail2sms.store import Claim, Intent, NewMo, Store, opt_outs
from tests import fakes
from tests.fakes import ACCOUNT, NOW, OURS
from tests.proofs import is_unknown
from tests.servers.postgresql import PostgreSQL

SETTINGS = "track_commit_timestamp = on\n"
_WAITING, _LATER = 100, 100  # messages to a phone: before its STOP, and while it comes
_INTENTS_FIRST = 20
_AT_ONCE = 5
_NUMBERED = """
CREATE TABLE numbered (n INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, msisdn TEXT NOT NULL);
CREATE TRIGGER attempts AFTER INSERT ON attempt BEGIN
  INSERT INTO numbered (what, msisdn) SELECT 'intent', msisdn FROM message WHERE id = NEW.message; END;
CREATE TRIGGER stops AFTER INSERT ON opt_out BEGIN
  INSERT INTO numbered (what, msisdn) VALUES ('stop', NEW.msisdn); END;
"""
_LATE = {
    "sqlite": """
        SELECT i.n > s.n, count(*) FROM numbered i JOIN numbered s ON s.msisdn = i.msisdn AND s.what = 'stop'
        WHERE i.what = 'intent' GROUP BY 1""",
    "postgresql": """
        SELECT pg_xact_commit_timestamp(a.xmin) > pg_xact_commit_timestamp(s.xmin), count(*)
        FROM attempt a JOIN message m ON m.id = a.message JOIN opt_out s ON s.msisdn = m.msisdn GROUP BY 1""",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the database says of all rounds: intents before and `after` the commit of the STOP."""

    rounds: int
    nodes: int
    before: int
    after: int
    cancelled: int
    left: int

    @property
    def is_kept(self) -> bool:
        """No intent came after, each round had both, and nothing waits for ever."""
        is_tried = self.before >= self.rounds * _INTENTS_FIRST and self.cancelled > self.rounds
        return self.after == 0 and self.left == 0 and is_tried

    def __str__(self) -> str:
        return (
            f"{self.rounds} STOPs, {self.nodes} node{'s' * (self.nodes > 1)}: {self.before} intents before their "
            f"commits, {self.after} after; {self.cancelled} messages cancelled, {self.left} left waiting"
        )


class Round:
    """One phone that says STOP in the middle of its messages."""

    def __init__(self, stores: list[Store], number: int) -> None:
        self._stores = stores
        self._number = number
        self._phone = Msisdn(f"+3363998{number:04}")
        self._conversation = conversation_of(ACCOUNT, OURS, self._phone)
        self._agreed = asyncio.Semaphore(0)
        self._is_over = False

    async def run(self) -> None:
        """Return when all that was put is over."""
        await asyncio.gather(*(self._put(n) for n in range(_WAITING)))
        async with asyncio.TaskGroup() as group:
            for at, store in enumerate(self._stores):
                group.create_task(self._send(store, f"node-{at}"))
            group.create_task(self._put_more())
            group.create_task(self._stop())

    async def _put(self, number: int) -> None:
        id_ = f"m-{self._number}-{number}"
        new = fakes.bundle(id_, msisdn=self._phone, conversation=self._conversation)
        await self._stores[number % len(self._stores)].put(new)

    async def _put_more(self) -> None:
        for number in range(_WAITING, _WAITING + _LATER):
            await self._put(number)
        self._is_over = True

    async def _stop(self) -> None:
        for _ in range(_INTENTS_FIRST):
            await self._agreed.acquire()
        mo = MoMessage(
            carrier="sim-a", event_id=self._phone, msisdn=self._phone, to=OURS, at=NOW, text="STOP"
        )
        new = NewMo(
            mo=mo,
            account=ACCOUNT,
            conversation=self._conversation,
            reply_key="abcdefghij",
            now=NOW,
            window_ms=1000,
            said=Said(word=Word.STOP, keyword="STOP", is_everywhere=self._number % 2 == 1),
        )
        await self._stores[-1].record_mo(new)

    async def _send(self, store: Store, owner: str) -> None:
        while True:
            was_over = self._is_over
            wanted = Claim(carrier="sim-a", owner=owner, now=NOW, lease_ms=600_000, limit=_AT_ONCE)
            if self._number % 4 < 2:  # each kind of STOP, with each way to come by an intent
                wanted = replace(wanted, parts=lambda one: (_part(one.mt),))
            claimed = await store.claim(wanted)
            for one in claimed:
                if one.intended:
                    self._agreed.release()
            await asyncio.gather(*(self._intend(store, one.mt) for one in claimed if one.intended is None))
            if was_over and not claimed:
                return

    async def _intend(self, store: Store, mt: MtMessage) -> None:
        if await store.intend(Intent(mt=mt, parts=(_part(mt),), now=NOW)):
            self._agreed.release()


def _part(mt: MtMessage) -> Part:
    return Part(
        message=mt.id,
        index=0,
        count=1,
        attempt_id=f"a-{mt.id}",
        attempt=1,
        msisdn=mt.msisdn,
        sender_id=mt.sender_id,
        encoding="gsm7",
        segments=1,
        text=mt.text,
    )


async def rounds(url: str, count: int, nodes: int = 1) -> Figures:
    """Let so many phones say STOP, one after the other; return what the database says of it."""
    stores = [await Store.open(url) for _ in range(nodes)]
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.connection.driver_connection.executescript(_NUMBERED)  # type: ignore[union-attr]
    try:
        for number in range(count):
            await Round(stores, number).run()
    finally:
        for store in stores:
            await store.close()
    with engine.begin() as connection:
        found = {bool(late): n for late, n in connection.execute(sql(_LATE[engine.dialect.name]))}
        counted = "SELECT status, count(*) FROM message GROUP BY 1"
        statuses: dict[str, int] = dict(connection.execute(sql(counted)).all())
    engine.dispose()
    return Figures(
        rounds=count,
        nodes=nodes,
        before=found.get(False, 0),
        after=found.get(True, 0),
        cancelled=statuses.get("cancelled", 0),
        left=statuses.get("queued", 0),
    )


@contextlib.contextmanager
def looking_only_when_queueing() -> Iterator[None]:
    """Break it: what waits is not cancelled, and an intent looks at nothing."""
    with never_looking_again(), mock.patch.object(opt_outs, "cancel", lambda *_: []):
        yield


@contextlib.contextmanager
def never_looking_again() -> Iterator[None]:
    """Break it: what waits is cancelled, but an intent does not look at the list."""
    with mock.patch.object(opt_outs, "opted_out", lambda *_: set()):
        yield


CONTROLS = {"only when queueing": looking_only_when_queueing, "never again": never_looking_again}


def on_sqlite(count: int) -> Figures:
    """The rounds on SQLite: one node, since it has one writer."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(rounds(f"sqlite:///{folder}/x.db", count))


def on_postgresql(server: PostgreSQL, count: int, nodes: int) -> Figures:
    """The rounds on a PostgreSQL that keeps the times of commits (SETTINGS)."""
    return asyncio.run(rounds(server.create_database(), count, nodes))


def _prove_sqlite() -> bool:
    return _tell("SQLite", on_sqlite(50))


def _prove_postgresql() -> bool:
    with PostgreSQL(settings=SETTINGS) as server:
        return all(_tell("PostgreSQL", on_postgresql(server, 20, nodes)) for nodes in (1, 2, 4))


def _prove_controls() -> bool:
    found = []
    with PostgreSQL(settings=SETTINGS) as server:
        for name, broken in CONTROLS.items():
            with broken():
                found += [on_sqlite(5), on_postgresql(server, 5, 2)]
            print(
                f"  control, looks {name}: {found[-2].after} and {found[-1].after} intents after", flush=True
            )
    return all(figures.after > 0 for figures in found)


def _tell(what: str, figures: Figures) -> bool:
    print(f"{what}: {figures}{'' if figures.is_kept else ': NOT AS IT MUST BE'}", flush=True)
    return figures.is_kept


PARTS: dict[str, Callable[[], bool]] = {
    "sqlite": _prove_sqlite,
    "postgresql": _prove_postgresql,
    "controls": _prove_controls,
}


def main(argv: list[str]) -> int:
    """Run the parts asked for; 0 when each found what it must."""
    if is_unknown(argv, PARTS):
        return 64
    wrong: list[Any] = [name for name in argv or PARTS if not PARTS[name]()]
    print(f"not as it must be: {', '.join(wrong)}" if wrong else "all as it must be")
    return 1 if wrong else 0
