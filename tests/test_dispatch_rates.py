"""The loop out at rates: what leaves when, through one node and through several."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.dispatch import Dispatch
from mail2sms.model import MessageClass, Part, SenderId, Taken
from mail2sms.options import Rate
from mail2sms.rates import ANY, Rates
from mail2sms.store import Recovery, Store, views
from tests.fakes import ACCOUNT, OURS, bundle
from tests.test_dispatch import until

HOUR = 3_600_000
_EARLY_S = 0.02  # the two clocks are read one after the other


class Timed(Carrier):
    """Takes everything, and knows when it was given it."""

    def __init__(self, name: str, rates: Rates, given: list[tuple[float, Part]] | None = None) -> None:
        super().__init__(name)
        self.rates = rates
        self.given: list[tuple[float, Part]] = [] if given is None else given

    async def send(self, part: Part) -> Taken:
        self.given.append((time.monotonic(), part))
        return Taken(carrier_message_id=part.attempt_id)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def queue(store: Store, count: int, *, first: int = 0, **changes: object) -> None:
    """Queue so many messages that are due now."""
    now = now_ms()
    times = {"created_at": now, "due_at": now, "expires_at": now + HOUR, "route": ("sim-a",)}
    ids = [f"m-{first + n:05}" for n in range(count)]
    await asyncio.gather(*(store.put(bundle(id_, **{**times, **changes})) for id_ in ids))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def dispatching(
    store: Store, *carriers: Carrier, owner: str = "node"
) -> AsyncIterator[asyncio.Task[None]]:
    """Dispatch, and stop in the end."""
    dispatch = Dispatch(store, {c.name: c for c in carriers}, owner, "hold", ACCOUNT)
    running = asyncio.create_task(dispatch.run())
    try:
        yield running
    finally:
        dispatch.stop()
        async with asyncio.timeout(20):
            await asyncio.gather(running, return_exceptions=True)


async def given(carrier: Timed, count: int) -> list[Part]:
    """Wait until a carrier was given so many."""
    async with asyncio.timeout(30):
        while len(carrier.given) < count:
            await asyncio.sleep(0.01)
    return [part for _, part in carrier.given]


async def test_a_rate_is_kept_and_used(store: Store) -> None:
    """Each at its place or later; those that come while nothing may go need no bell."""
    await queue(store, 30)
    carrier = Timed("sim-a", Rates(whole=Rate(20, 1)))
    began_s = time.monotonic()
    async with dispatching(store, carrier):
        await given(carrier, 30)
    assert all(at_s >= began_s + n / 20 - _EARLY_S for n, (at_s, _) in enumerate(carrier.given))


async def test_numbers_wait_for_themselves_alone(store: Store) -> None:
    """A bulk of one stands before a few of another: those go first; an alarm goes before its own bulk."""
    other = SenderId("ACME")
    await queue(store, 250, sender_id=OURS)
    await queue(store, 20, first=300, sender_id=other)
    carrier = Timed("sim-a", Rates(senders={ANY: Rate(50, 1), OURS.lower(): Rate(2, 1)}))
    async with dispatching(store, carrier):
        await given(carrier, 21)
        early = [part.message for _, part in carrier.given]
        await queue(store, 1, first=900, sender_id=OURS, class_=MessageClass.ALARM)
        seen = sum(part.sender_id == OURS for _, part in carrier.given)
        await until(store, "enroute", id_="m-00900")
    assert sum(id_ >= "m-00300" for id_ in early) >= 12
    ours = [part.message for _, part in carrier.given if part.sender_id == OURS]
    assert ours.index("m-00900") <= seen + 1


async def test_what_waits_for_its_place_was_certainly_not_sent(store: Store) -> None:
    """The node dies before that: no intent was committed, and another sends it."""
    await queue(store, 5)
    carrier = Timed("sim-a", Rates(whole=Rate(2, 1)))
    async with dispatching(store, carrier) as running:
        await given(carrier, 1)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    await store.recover(Recovery(now=now_ms(), on_unknown="hold", is_first=True))
    found = await store.read(views.find, ACCOUNT, views.Search(limit=10))
    assert sorted(view.status for view in found if view.id != "m-00000") == ["queued"] * 4


async def test_after_standing_still_a_node_is_no_faster(store: Store) -> None:
    """Its places have passed meanwhile: those that waited for them leave one after the other, not at once."""

    class Halting(Timed):
        async def send(self, part: Part) -> Taken:
            if len(self.given) == 2:
                time.sleep(0.6)  # the whole loop stands still
            return await super().send(part)

    await queue(store, 30)
    carrier = Halting("sim-a", Rates(whole=Rate(20, 1)))
    async with dispatching(store, carrier):
        await given(carrier, 30)
    # A database that is slow may have had those before in hand; the first may be late, and the last not.
    times = [at_s for at_s, _ in carrier.given][6:]
    assert times[-1] - times[0] >= (len(times) - 1) / 20 - 0.2


@contextlib.contextmanager
def asked(words: str) -> Iterator[list[str]]:
    """Collect the statements that have these words in them."""
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if words in statement:
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(("rates", "is_asked"), [(Rates(), False), (Rates(whole=Rate(900, 1)), True)])
async def test_without_a_rate_nothing_is_asked_of_meters(
    database_url: str, rates: Rates, is_asked: bool
) -> None:
    """None of what is done for a message; the control: with one, there is."""
    carrier = Timed("sim-a", rates)
    with asked("FROM meter") as seen:  # a connection that was opened before would not be listened to
        store = await Store.open(database_url)
        await queue(store, 40)
        async with dispatching(store, carrier):
            await given(carrier, 40)
        await store.close()
    assert bool([one for one in seen if one.startswith("SELECT")]) is is_asked


@pytest.mark.servers
async def test_nodes_share_a_rate_and_one_that_dies_leaves_it_to_the_other(postgresql_url: str) -> None:
    """Three nodes, of which one ends without a word: never more than agreed, and the others use it all."""
    nodes = [await Store.open(postgresql_url) for _ in range(3)]
    await queue(nodes[0], 90)
    together: list[tuple[float, Part]] = []
    rates = Rates(whole=Rate(20, 1))
    carriers = [Timed("sim-a", rates, together) for _ in nodes]
    began_s = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        runs = [
            await stack.enter_async_context(dispatching(node, carrier, owner=f"n{number}"))
            for number, (node, carrier) in enumerate(zip(nodes, carriers, strict=True))
        ]
        await given(carriers[0], 20)
        runs[0].cancel()
        await given(carriers[0], 70)
        spent_s = time.monotonic() - began_s
    assert len({part.message for _, part in together}) == len(together), "none twice"
    assert all(at_s >= began_s + n / 20 - 0.1 for n, (at_s, _) in enumerate(together))
    assert spent_s < 3 * 70 / 20
    for node in nodes:
        await node.close()


async def test_a_carrier_that_is_down_dissolves_its_lines(tmp_path: Path) -> None:
    """What would wait an hour for its number goes by another carrier at once."""
    from mail2sms.errors import Unavailable

    class Down(Timed):
        async def send(self, part: Part) -> Taken:
            self.given.append((time.monotonic(), part))
            raise Unavailable("connect", same_carrier=False)

    opened = await Store.open(f"sqlite:///{tmp_path}/x.db")
    down, well = Down("sim-a", Rates(senders={OURS.lower(): Rate(1, 60)})), Timed("sim-b", Rates())
    await queue(opened, 20, route=("sim-a", "sim-b"))
    await queue(opened, 5, first=100, route=("sim-a", "sim-b"), sender_id=SenderId("ACME"))
    async with dispatching(opened, down, well):
        await given(well, 25)
    await opened.close()
    assert len({part.message for _, part in well.given}) == 25
