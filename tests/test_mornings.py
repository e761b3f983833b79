"""At night nothing leaves that must not, whatever it waited for: one gate before each intent, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mail2sms import breaker
from mail2sms.clock import now_ms
from mail2sms.dispatch import Dispatch
from mail2sms.errors import Unavailable
from mail2sms.lifecycle import Change, Wish
from mail2sms.model import NO_DSN, Dsn, MessageClass, Origin, Status
from mail2sms.quiet import Quiet, read_period
from mail2sms.rules._base import Hold, Policy
from mail2sms.store import Claim, MessageView, Outage, Settlement, Store, Wished, approvals, views
from mail2sms.store.notice_views import NoticeSearch, find_notices
from tests.fakes import ACCOUNT, bundle, writer
from tests.store.test_store import intend
from tests.test_dispatch import Scripted, until

HOUR = 3_600_000
PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


def night() -> Policy:
    """Return a policy whose night is now, wherever the clock stands: for all but alarms."""
    around = [datetime.now(PARIS) + timedelta(hours=hours) for hours in (-2, 2)]
    period = read_period("-".join(f"{at:%H:%M}" for at in around))
    return Policy(quiet_hours={"FR": Quiet(periods=(period,))}, is_quiet_for_all=True)


async def put(store: Store, hold: Hold | None = None, **changes: object) -> None:
    """Queue a message that was due an hour ago, in the day, and has an hour more."""
    now = now_ms()
    values = {"created_at": now - 2 * HOUR, "due_at": now - HOUR, "expires_at": now + HOUR, **changes}
    new = bundle(**values)  # type: ignore[arg-type]
    await store.put(replace(new, messages=tuple(replace(each, hold=hold) for each in new.messages)))


async def nothing(store: Store, **changes: object) -> None:
    """No daemon was there to send it."""
    await put(store, **changes)


async def retried(store: Store, **changes: object) -> None:
    """It failed in the day and is tried again now."""
    await put(store, **changes)
    now = now_ms()
    (claimed,) = await store.claim(Claim(carrier="sim-a", owner="node", now=now, lease_ms=60_000, limit=1))
    assert await intend(store, claimed.mt, now=now)
    again = Change(status=Status.QUEUED, reason="retry", detail="503 down", due_at=now, position=1)
    await store.settle(Settlement(mt=claimed.mt, outcomes=(), change=again, now=now))


async def released(store: Store, **changes: object) -> None:
    """The operator held it, and lets it go."""
    await put(store, **changes)
    for wish in (Wish.HOLD, Wish.RELEASE):
        await store.wish(Wished(account=ACCOUNT, id="m-1", wish=wish, now=now_ms(), is_quiet=True))


async def approved(store: Store, **changes: object) -> None:
    """Somebody approves it at night."""
    await put(store, Hold(reason="held.approval", detail="2 messages, more than 1"), **changes)
    (waits,) = await store.read(approvals.read_open, ACCOUNT, 10)
    decided = approvals.Decision(
        account=ACCOUNT, id=waits.id, status=approvals.RELEASED, by="it@acme.example", now=now_ms()
    )
    await store.decide(decided)


async def down(store: Store, **changes: object) -> None:
    """Its carrier is down: what waits goes by another, now."""
    await put(store, **changes)
    how = breaker.Breaker(failures=9, down_since=now_ms(), until=now_ms() + HOUR, why="connect")
    await store.mark(Outage(account=ACCOUNT, carrier="sim-a", breaker=how, now=now_ms()))


async def dispatched(store: Store, policy: Policy, *answers: object) -> tuple[MessageView, list[Scripted]]:
    """Let a daemon run until it has sent the message or put it off."""
    carriers = [Scripted("sim-a", *answers), Scripted("sim-b")]
    dispatch = Dispatch(store, {c.name: c for c in carriers}, "node", "hold", ACCOUNT)
    dispatch.attempts.policy = policy
    running = asyncio.create_task(dispatch.run())
    try:
        async with asyncio.timeout(20):
            while True:
                view = await until(store, "queued", "sending", "enroute")
                if view.status == "enroute" or view.reason == "quiet_hours":
                    return view, carriers
                await asyncio.sleep(0.02)
    finally:
        dispatch.stop()
        await running


WAYS: list[Callable[..., Awaitable[None]]] = [nothing, retried, released, approved, down]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("class_", [MessageClass.TRANSACTIONAL, MessageClass.MARKETING])
async def test_what_comes_to_be_due_at_night_waits_for_the_morning(
    store: Store, way: Callable[..., Awaitable[None]], class_: MessageClass
) -> None:
    """No carrier sees it; its hour is still whole then; its writer is told once, until when."""
    await way(store, class_=class_)
    began = now_ms()
    view, carriers = await dispatched(store, night())
    assert [carrier.parts for carrier in carriers] == [[], []]
    assert view.reason == "quiet_hours" and "quiet hours of FR until" in view.detail
    assert view.due_at > began + HOUR
    assert abs(view.expires_at - view.due_at - HOUR) < 60_000, "what it had left"
    told = await store.read(find_notices, ACCOUNT, NoticeSearch(kind="held"))
    assert [(n.reason, n.address) for n in told if n.reason == "held.quiet_hours"] == [
        ("held.quiet_hours", "marie@acme.example")
    ]
    in_the_morning = [
        await store.claim(Claim(carrier=name, owner="n", now=view.due_at, lease_ms=1, limit=1))
        for name in ("sim-a", "sim-b")
    ]
    assert sum(map(len, in_the_morning)) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("class_", [MessageClass.ALARM, MessageClass.CONSENT])
async def test_alarms_and_what_a_phone_asked_for_go_at_night(
    store: Store, way: Callable[..., Awaitable[None]], class_: MessageClass
) -> None:
    """However they came to be due."""
    await way(store, class_=class_)
    view, carriers = await dispatched(store, night())
    assert view.status == "enroute" and sum(len(carrier.parts) for carrier in carriers) == 1


async def test_what_fails_at_night_is_not_tried_by_the_next_carrier(store: Store) -> None:
    """The night began between two tries: failover waits for the morning, and why it failed stays told."""
    await put(store)
    now = now_ms()
    (claimed,) = await store.claim(Claim(carrier="sim-a", owner="node", now=now, lease_ms=60_000, limit=1))
    carriers = {"sim-a": Scripted("sim-a", Unavailable("503", "down")), "sim-b": Scripted("sim-b")}
    dispatch = Dispatch(store, dict(carriers), "node", "hold", ACCOUNT)
    await dispatch.attempts.send(carriers["sim-a"], claimed)
    view, others = await dispatched(store, night())
    assert (view.attempts, [c.parts for c in others]) == (1, [[], []])
    assert view.detail.startswith("503 down; quiet hours of FR until")


@pytest.mark.parametrize(("changes", "dsn"), [
    ({"writer": writer(address="booking")}, NO_DSN),
    ({"origin": Origin(source="api")}, NO_DSN),
    ({}, Dsn(notify=("NEVER",), report_to="")),
])  # fmt: skip
async def test_who_is_not_told_that_it_waits(store: Store, changes: dict[str, object], dsn: Dsn) -> None:
    """Programs, which look; who wants to hear nothing."""
    now = now_ms()
    new = bundle(created_at=now, due_at=now, expires_at=now + HOUR, dsn=dsn)
    asked = tuple(replace(each, **changes) for each in new.submissions)  # type: ignore[arg-type]
    await store.put(replace(new, submissions=asked))
    view, _ = await dispatched(store, night())
    assert view.reason == "quiet_hours"
    assert await store.read(find_notices, ACCOUNT, NoticeSearch(kind="held")) == []


async def test_a_wish_at_night_says_that_it_waits(store: Store) -> None:
    """Release and retry answer when it goes; wished again, its time to live does not grow."""
    await put(store)
    policy, about = night(), {"account": ACCOUNT, "id": "m-1"}
    await store.wish(Wished(wish=Wish.HOLD, now=now_ms(), policy=policy, **about))
    expiries = set()
    for wish in (Wish.RELEASE, Wish.RETRY, Wish.RETRY):
        granted = await store.wish(Wished(wish=wish, now=now_ms(), policy=policy, **about))
        assert granted is not None
        assert (granted.reason, granted.denial) == ("quiet_hours", None) and granted.due_at > now_ms() + HOUR
        view = await store.read(views.read_one, ACCOUNT, "m-1")
        assert view is not None
        expiries.add(view.expires_at)
    assert len(expiries) == 1


async def test_a_claim_that_was_lost_is_not_put_off(store: Store) -> None:
    """Another node has it since: what it does with it stands."""
    await put(store)
    wanted = Claim(carrier="sim-a", owner="node", now=now_ms(), lease_ms=60_000, limit=1)
    (claimed,) = await store.claim(wanted)
    dispatch = Dispatch(store, {}, "node", "hold", ACCOUNT)
    dispatch.attempts.policy = night()
    await store.wish(Wished(account=ACCOUNT, id="m-1", wish=Wish.HOLD, now=now_ms(), is_quiet=True))
    assert await dispatch.attempts._postpone(claimed.mt), "it must not be sent either"
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None and view.reason == "held"
