"""What waits for approval, on SQLite and on PostgreSQL: one decision, once, for all of a submission that waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mail2sms.lifecycle import Wish
from mail2sms.rules._base import Hold
from mail2sms.store import Bundle, Claim, NewMessage, NoticeClaim, Store, Wished, views
from mail2sms.store.approvals import REFUSED, RELEASED, ApprovalView, Decision, read_open
from tests.fakes import ACCOUNT, NOW, bundle, mt

APPROVER = "it@acme.example"
WAITS = Hold(reason="held.approval", detail="2 messages, more than 1")
LATER = NOW + 3_600_000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


def mail(due_at: int = NOW) -> Bundle:
    """Return a mail of two messages that wait."""
    messages = [
        NewMessage(
            mt=mt(
                f"m-1-{n}",
                submission="m-1",
                due_at=due_at,
                reason="schedule" if due_at > NOW else "",
                expires_at=due_at + 3_600_000,
            ),
            reply_key="abcdefghij",
            hold=WAITS,
        )
        for n in range(2)
    ]
    return replace(bundle("m-1"), messages=tuple(messages), approvers=(APPROVER,))


async def claimed(store: Store, now: int) -> list[str]:
    """Claim what is due; return the ids."""
    wanted = Claim(carrier="sim-a", owner="node", now=now, lease_ms=60_000, limit=10)
    return [each.mt.id for each in await store.claim(wanted)]


async def told(store: Store, now: int = NOW) -> list[tuple[str, str, str]]:
    """Claim the emails that wait; return to whom, which and why."""
    wanted = NoticeClaim(channel="email", owner="node", now=now, lease_ms=60_000, limit=10)
    return sorted((n.address, n.kind, n.reason) for n in await store.claim_notices(wanted))


async def decide(store: Store, status: str, *, now: int = NOW + 1, by: str = APPROVER) -> ApprovalView:
    """Decide about the approval of m-1."""
    (view,) = await store.read(read_open, ACCOUNT, 10) or [None]
    id_ = view.id if view else "v-none"
    found = await store.decide(Decision(account=ACCOUNT, id=id_, status=status, by=by, now=now))
    assert found is not None
    return found


async def statuses(store: Store) -> list[tuple[str, str, str]]:
    """Return status, reason and the last event's detail of both messages."""
    found = [await store.read(views.read_one, ACCOUNT, f"m-1-{n}") for n in range(2)]
    return [(view.status, view.reason, view.events[-1].detail) for view in found if view]


async def test_it_waits_and_both_are_told_once(store: Store) -> None:
    """However many messages there are."""
    await store.put(mail())
    assert await claimed(store, NOW + 10**10) == []
    assert await told(store) == [
        (APPROVER, "approval", "held.approval"),
        ("marie@acme.example", "held", "held.approval"),
    ]
    (view,) = await store.read(read_open, ACCOUNT, 10)
    assert (view.waiting, view.status, view.writer, view.first) == (2, "open", "marie@acme.example", "m-1-0")


async def test_released_it_goes_at_its_time(store: Store) -> None:
    """What was for later stays for later."""
    await store.put(mail(due_at=LATER))
    view = await decide(store, RELEASED)
    assert (view.status, view.decided_by, view.waiting) == ("released", APPROVER, 0)
    assert await statuses(store) == [("queued", "schedule", f"released by {APPROVER}")] * 2
    assert await claimed(store, LATER - 1) == []
    assert sorted(await claimed(store, LATER)) == ["m-1-0", "m-1-1"]


async def test_refused_it_is_cancelled_and_the_writer_is_told_once(store: Store) -> None:
    """In the same transaction."""
    await store.put(mail())
    await told(store)
    await decide(store, REFUSED)
    assert await statuses(store) == [("cancelled", "approval.refused", f"refused by {APPROVER}")] * 2
    assert await told(store, NOW + 1) == [("marie@acme.example", "undelivered", "approval.refused")]


async def test_the_first_decision_stands(store: Store) -> None:
    """However many come at once, and whatever they say."""
    await store.put(mail())
    (view,) = await store.read(read_open, ACCOUNT, 10)
    both = (RELEASED, REFUSED) * 5
    decisions = [
        Decision(account=ACCOUNT, id=view.id, status=status, by=f"{n}@acme.example", now=NOW)
        for n, status in enumerate(both)
    ]
    found = [view for view in await asyncio.gather(*map(store.decide, decisions)) if view]
    assert len({(view.status, view.decided_by) for view in found}) == 1
    assert len({status for status, _, _ in await statuses(store)}) == 1


async def test_another_account_decides_nothing(store: Store) -> None:
    """Nor a wrong id."""
    await store.put(mail())
    (view,) = await store.read(read_open, ACCOUNT, 10)
    for account, id_ in (("other", view.id), (ACCOUNT, "v-none")):
        decision = Decision(account=account, id=id_, status=RELEASED, by="x", now=NOW)
        assert await store.decide(decision) is None
    assert (await store.read(read_open, ACCOUNT, 10))[0].status == "open"


async def test_what_the_operator_holds_is_not_released_by_the_approver(store: Store) -> None:
    """And the operator releases or cancels single messages, which then wait no more."""
    await store.put(mail())
    for wish in (Wish.RELEASE, Wish.HOLD):
        wished = Wished(account=ACCOUNT, id="m-1-0", wish=wish, now=NOW, is_quiet=True)
        granted = await store.wish(wished)
        assert granted is not None and granted.denial is None
    view = await decide(store, RELEASED)
    assert view.waiting == 0
    assert [reason for _, reason, _ in await statuses(store)] == ["held", ""]


async def test_if_nobody_decides_it_expires_and_the_writer_is_told_once(store: Store) -> None:
    """At its own time."""
    await store.put(mail())
    await told(store)
    await store.expire(NOW + 3_600_000)
    assert [status[:2] for status in await statuses(store)] == [("expired", "approval.expired")] * 2
    assert await told(store, NOW + 3_600_000) == [("marie@acme.example", "undelivered", "approval.expired")]
    assert await store.read(read_open, ACCOUNT, 10) == []
