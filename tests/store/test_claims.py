"""Claims that commit the intent with the lease: what they return, and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import Connection

from mail2sms.model import Part
from mail2sms.store import Blocking, Claim, Claimed, Recovery, Renewal, Stop, Store, queue, views
from mail2sms.store.engine import writer_engine
from mail2sms.store.writer import Verb
from tests.fakes import ACCOUNT, NOW, PHONE, bundle
from tests.store.test_store import part


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


def wanting(parts: queue.Leaving | None = None, owner: str = "node") -> Claim:
    """Ask for all that is due, whole messages."""
    numbers = iter(range(100))

    def whole(claimed: Claimed) -> tuple[Part, ...]:
        return (part(claimed.mt, f"a-{claimed.mt.id}-{next(numbers)}"),)

    return Claim(carrier="sim-a", owner=owner, now=NOW, lease_ms=60_000, limit=10, parts=parts or whole)


async def status_of(store: Store, id_: str) -> str:
    """Return a message's status."""
    view = await store.read(views.read_one, ACCOUNT, id_)
    assert view is not None
    return view.status


async def test_a_message_is_being_sent_when_its_claim_is_committed(store: Store) -> None:
    """With its attempt, and an event; nobody else gets it."""
    await store.put(bundle("m-1"))
    (one,) = await store.claim(wanting())
    assert [each.attempt_id for each in one.intended or ()] == ["a-m-1-0"]
    assert await status_of(store, "m-1") == "sending"
    assert [event.status for event in await store.read(views.events_of, "m-1")][-1] == "sending"
    assert await store.claim(wanting(owner="other")) == []


async def test_what_does_not_leave_at_once_is_only_claimed(store: Store) -> None:
    """One waits for something, the other one leaves: in one claim."""
    for number in (1, 2):
        await store.put(bundle(f"m-{number}", due_at=NOW - 10 + number))
    found = await store.claim(
        wanting(lambda claimed: (part(claimed.mt),) if claimed.mt.id == "m-2" else None)
    )
    assert [(one.mt.id, one.intended is None) for one in found] == [("m-1", True), ("m-2", False)]
    assert [await status_of(store, id_) for id_ in ("m-1", "m-2")] == ["queued", "sending"]
    assert await store.intend(queue.Intent(mt=found[0].mt, parts=(part(found[0].mt, "a-x"),), now=NOW))


async def test_who_opted_out_gets_nothing_by_a_claim(store: Store) -> None:
    """The list is asked in the same transaction; the message is cancelled, its writer told."""
    await store.block(Blocking(account=ACCOUNT, msisdn=PHONE, now=NOW, source="api"))
    await store.put(bundle("m-1"))
    bell = store.bell("notice")
    (one,) = await store.claim(wanting())
    assert one.intended == ()
    assert await status_of(store, "m-1") == "cancelled"
    assert bell.is_set()


async def test_what_is_stopped_is_not_claimed(store: Store) -> None:
    """All of it waits."""
    await store.put(bundle("m-1"))
    await store.switch(Stop(at=NOW))
    assert await store.claim(wanting()) == []
    assert await status_of(store, "m-1") == "queued"


async def test_a_claim_that_is_run_again_returns_what_it_got(store: Store) -> None:
    """Its COMMIT was in doubt and did reach the disk: it neither gets more, nor leaves the first to become doubt."""
    for number in (1, 2):
        await store.put(bundle(f"m-{number}", due_at=NOW - 10 + number))
    wanted = wanting()

    def write(connection: Connection, claims: Sequence[Claim]) -> list[list[Claimed]]:
        return [queue.CLAIM.write(connection, [claim])[0] for claim in claims]

    first = await store._write.run(Verb(write), wanted)
    again = await store._write.run(Verb(write), wanted)
    assert [one.mt.id for one in first] == ["m-1", "m-2"]
    assert again == first == await store.stands(wanted)


async def test_what_a_claim_got_and_lost_since_does_not_stand(store: Store) -> None:
    """It was taken for dead; what it still has stays its own."""
    for number in (1, 2):
        await store.put(bundle(f"m-{number}", due_at=NOW - 10 + number))
    wanted = wanting(owner="node")
    await store.claim(wanted)
    await store.renew(Renewal(owner="node", lease_ms=-1, messages=("m-1",)))
    await store.recover(Recovery(now=NOW, on_unknown="hold"))
    await store.renew(Renewal(owner="node", lease_ms=-1, messages=("m-2",)))
    assert [one.mt.id for one in await store.stands(wanted)] == ["m-2"]
    await store.recover(Recovery(now=NOW, on_unknown="hold"))
    assert [await status_of(store, id_) for id_ in ("m-1", "m-2")] == ["unknown", "sending"]


@pytest.mark.parametrize("stands", [True, False])
async def test_a_commit_that_is_under_way_is_waited_for(postgresql_url: str, stands: bool) -> None:
    """A standby keeps it waiting, and we lost the connection that asked for it."""
    store = await Store.open(postgresql_url)
    await store.put(bundle("m-1"))
    wanted = wanting()
    engine = writer_engine(postgresql_url)
    with engine.connect() as connection:
        transaction = connection.begin()
        (found,) = queue.CLAIM.write(connection, [wanted])
        standing = asyncio.create_task(store.stands(wanted))
        await asyncio.sleep(0.3)
        assert not standing.done()
        if stands:
            transaction.commit()
        else:
            transaction.rollback()
    assert await standing == (found if stands else [])
    await store.close()
    engine.dispose()


async def test_a_claim_that_was_rolled_back_stands_for_nothing(store: Store) -> None:
    """Else its settlement could hit the next claim, which has the same fence."""
    await store.put(bundle("m-1"))
    wanted = wanting()

    def write(connection: Connection, claims: Sequence[Claim]) -> list[None]:
        queue.CLAIM.write(connection, claims)
        raise RuntimeError("before the commit")

    with pytest.raises(Exception, match="RuntimeError"):
        await store._write.run(Verb(write), wanted)
    assert wanted.tried
    assert await store.stands(wanted) == []
    (one,) = await store.claim(wanted)
    assert [each.attempt_id for each in one.intended or ()] == ["a-m-1-1"]
