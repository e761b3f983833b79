"""One of several processes that reserve on one PostgreSQL: each has a store of its own, and many tasks that put.

Run as a module with a JSON object of `Work`: says that it is ready, begins when it is told to by a line, and prints
how often each answer came.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, update
from sqlalchemy.dialects.postgresql import insert

from mail2sms.errors import StoreUnavailable
from mail2sms.store import Bundle, Reservation, Store, counters, put, schema
from tests.fakes import NOW, bundle

counter = schema.counter

_TASKS = 40
_AGAIN_S = 0.2
_LOOKING_S = 0.005
_UNTIL = NOW + 10**12
EVERYBODY = "zz-everybody"  # locked last: keys are locked in their order


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What one process puts: `count` submissions of users chosen by chance, of 1 to `widest` messages each.

    Every user has `limit` messages, and all together `limit_of_all`.
    """

    url: str
    name: str
    count: int
    users: int = 1
    widest: int = 1
    limit: int
    limit_of_all: int
    pause_s: float = 0.0  # at most, before each
    is_broken: bool = False

    def command(self) -> list[str]:
        """The words that start the process."""
        return [sys.executable, "-m", "tests.proofs._reserving", json.dumps(asdict(self))]


def submission(work: Work, user: str, id_: str, width: int, repeat: str) -> Bundle:
    """Return one email of this user's to so many phones."""
    first = bundle(id_)
    new = first.messages[0]
    ids = [id_, *(f"{id_}-{n}" for n in range(2, width + 1))]
    messages = [
        replace(new, mt=replace(new.mt, id=mt, submission=id_), repeat_key=f"{repeat} {n}")
        for n, mt in enumerate(ids)
    ]
    limits = {user: work.limit, EVERYBODY: work.limit_of_all}
    wishes = [Reservation(key=k, amount=width, limit=limit, until=_UNTIL) for k, limit in limits.items()]
    return replace(first, messages=tuple(messages), reservations=tuple(wishes))


async def submit(store: Store, work: Work, number: int) -> str:
    """Put one, again and again while the database is away: with a new id, as the writer's mail server would."""
    chance = random.Random(f"{work.name} {number}")
    user, width = f"user{chance.randrange(work.users)}", chance.randint(1, work.widest)
    await asyncio.sleep(chance.uniform(0, work.pause_s))
    for attempt in range(1000):
        id_ = f"m-{user}-{work.name}-{number}-{attempt}"
        try:
            stored = await store.put(submission(work, user, id_, width, f"{work.name} {number}"))
        except StoreUnavailable:
            await asyncio.sleep(_AGAIN_S)
            continue
        if stored.exceeded is not None:
            return "refused"
        return "stored, as found when it came again" if stored.repeated else "stored"
    return "given up"


class Careless(counters.Ledger):
    """The control: look first, lock nothing, write then, as if nobody else could be in between."""

    @classmethod
    def lock(cls, connection: Connection, wishes: Iterable[Reservation]) -> Careless:
        """Make the counters that are missing, and read all."""
        untils = {wish.key: wish.until for wish in wishes}
        for key, until in untils.items():
            new = insert(counter).values(key=key, amount=0, until=until)
            connection.execute(new.on_conflict_do_nothing())
        return cls(counters.taken(connection, list(untils)))

    def write(self, connection: Connection) -> None:
        """Write what it should be now."""
        time.sleep(_LOOKING_S)
        for key, amount in self._amounts.items():
            connection.execute(update(counter).where(counter.c.key == key).values(amount=amount))


async def put_all(work: Work) -> Counter[str]:
    """Put everything, a few dozen at a time."""
    store = await Store.open(work.url)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    numbers = iter(range(work.count))

    async def task() -> list[str]:
        return [await submit(store, work, number) for number in numbers]

    answers = await asyncio.gather(*(task() for _ in range(_TASKS)))
    await store.close()
    return Counter(answer for each in answers for answer in each)


if __name__ == "__main__":
    given: dict[str, Any] = json.loads(sys.argv[1])
    if given["is_broken"]:
        vars(put)["Ledger"] = Careless
    print(json.dumps(asyncio.run(put_all(Work(**given)))))  # the last line: the log has those before
