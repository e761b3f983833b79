"""No statement of the store gets dearer while history grows: counted in the databases' own steps, never timed."""

from __future__ import annotations

import asyncio
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import pytest
from sqlalchemy import text as sql

from mail2sms import store as package
from mail2sms.store import (
    Store,
    approvals,
    counters,
    days,
    earlier,
    events,
    mo_views,
    notice_views,
    sending,
    sent,
    views,
)
from mail2sms.store.writer import Verb, Writer
from tests.fakes import NOW
from tests.proofs import _statements
from tests.proofs._history import History, opened
from tests.servers.postgresql import PostgreSQL

SMALL = frozenset({"setting", "outage", "meter", "balance", "media"})
"""Tables of a few rows, which PostgreSQL rightly reads whole."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def urls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two empty databases of one kind."""
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        return server.create_database(), server.create_database()
    folder = tmp_path_factory.mktemp("plans")
    return f"sqlite:///{folder}/short.db", f"sqlite:///{folder}/long.db"


def break_(url: str, statements: Sequence[str]) -> None:
    """Change a database behind its owner's back."""
    engine = opened(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sql(statement))
    engine.dispose()


def compare(urls: tuple[str, str], *lengths: tuple[int, int], broken: Sequence[str] = ()) -> list[str]:
    """Return what reads a table whole, or costs more in the second of two databases.

    `lengths`: of the history and of the queue of each.
    """
    seen = []
    for url, (count, queued) in zip(urls, lengths, strict=True):
        history = History(count=count, queued=queued, until=NOW)
        history.fill(url)
        break_(url, [f"DROP INDEX {name}" for name in broken])
        seen.append(asyncio.run(_statements.observe(url, NOW + 5_000, history.old(count // 2))))
    less, more = seen
    # A deeper index is a block more for each row of a page of a hundred, from each of three tables.
    return [
        f"{less[key].cost} -> {cost}"
        for key, cost in more.items()
        if key in less and (cost.scans - SMALL or cost.cost > 1.5 * less[key].cost + 400)
    ]


def test_nothing_gets_dearer_while_history_grows(urls: tuple[str, str]) -> None:
    """What is for each message, for every few seconds, or for somebody who looks."""
    found = compare(urls, (10_000, 0), (50_000, 0))
    assert not found, "\n".join(found)


def test_no_verb_gets_dearer_while_the_queue_grows(urls: tuple[str, str]) -> None:
    """Five times as many wait. Views may: who asks how many wait lets them be counted."""
    found = compare(urls, (50_000, 2_000), (50_000, 10_000))
    names = {name.lower() for name, _ in _all_verbs()}
    assert not [one for one in found if one.split()[2].rstrip(":") in names], "\n".join(found)


_QUEUE = ("ix_message_waiting", "ix_message_counted", "ix_message_expiring", "ix_message_status")


def test_a_missing_index_is_found(urls: tuple[str, str]) -> None:
    """The negative control. Without the index for claims, each of the others over the queue takes its place."""
    found = compare(urls, (10_000, 0), (50_000, 0), broken=_QUEUE)
    assert any("-> claim:" in one for one in found), found


def _all_verbs() -> Iterator[tuple[str, Verb[Any, Any]]]:
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not module.ispkg:
            found = vars(import_module(module.name))
            yield from ((name, verb) for name, verb in found.items() if isinstance(verb, Verb))


def test_every_verb_and_view_is_looked_at(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one belongs into `Work`."""
    seen: set[object] = set()
    run, read = Writer.run, Store.read

    async def run_seen(self: Writer, verb: Any, item: Any, *, bulk: bool = False) -> Any:
        seen.add(verb)
        return await run(self, verb, item, bulk=bulk)

    async def read_seen(self: Store, query: Any, *args: Any, **kwargs: Any) -> Any:
        seen.add(query)
        return await read(self, query, *args, **kwargs)

    monkeypatch.setattr(Writer, "run", run_seen)
    monkeypatch.setattr(Store, "read", read_seen)
    url = f"sqlite:///{tmp_path}/x.db"
    history = History(count=200, until=NOW)
    history.fill(url)
    asyncio.run(_statements.observe(url, NOW + 5_000, history.old(100)))
    wanted: dict[str, object] = dict(_all_verbs())
    modules = (approvals, counters, days, earlier, events, mo_views, notice_views, sending, sent, views)
    for module in modules:
        for name, view in inspect.getmembers(module, inspect.isfunction):
            if view.__module__ == module.__name__ and not name.startswith("_"):
                wanted[name] = view
    assert [name for name, one in wanted.items() if one not in seen] == []
