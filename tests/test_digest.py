"""The daily digest: when it is due on whose clock, what it tells, and that a day has one."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from datetime import datetime, time
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mail2sms import config
from mail2sms.config import derived
from mail2sms.endpoint import Endpoint
from mail2sms.http import Http
from mail2sms.mailer import Mailer, SmarthostOptions
from mail2sms.model import Dsn, Status
from mail2sms.relay import loop
from mail2sms.relay.digest import Subscription, due
from mail2sms.relay.letters import Letters
from mail2sms.render import Render
from mail2sms.store import Bundle, NewMessage, Notice, NoticeClaim, Store, days
from tests.fakes import ACCOUNT, NOW, mt, submission, writer
from tests.servers.daemon import minimal_config
from tests.test_letters import HOUSE

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/mail2sms.db")
    yield opened
    await opened.close()


def at(text: str, zone: str = "Europe/Paris") -> int:
    """Return a moment as that clock shows it; `*`: the second time that it does."""
    local = datetime.fromisoformat(text.rstrip("*")).replace(tzinfo=ZoneInfo(zone), fold=text.endswith("*"))
    return int(local.timestamp() * 1000)


@pytest.mark.parametrize(
    ("hour", "now", "since", "until", "hours"),
    [
        ("08:00", "2026-05-12 08:00", "2026-05-11 08:00", "2026-05-12 08:00", 24),
        ("08:00", "2026-05-12 07:59", "2026-05-10 08:00", "2026-05-11 08:00", 24),
        ("08:00", "2026-05-12 23:59", "2026-05-11 08:00", "2026-05-12 08:00", 24),
        ("08:00", "2026-03-29 08:00", "2026-03-28 08:00", "2026-03-29 08:00", 23),
        ("08:00", "2026-10-25 09:00", "2026-10-24 08:00", "2026-10-25 08:00", 25),
        ("02:30", "2026-03-29 03:30", "2026-03-28 02:30", "2026-03-29 03:30", 24),
        ("02:30", "2026-03-29 03:29", "2026-03-27 02:30", "2026-03-28 02:30", 24),
        ("02:30", "2026-10-25 02:30", "2026-10-24 02:30", "2026-10-25 02:30", 24),
        ("02:30", "2026-10-25 02:30*", "2026-10-24 02:30", "2026-10-25 02:30", 24),
        ("02:30", "2026-10-26 02:30", "2026-10-25 02:30", "2026-10-26 02:30", 25),
        ("00:00", "2026-01-01 00:00", "2025-12-31 00:00", "2026-01-01 00:00", 24),
    ],
)
def test_a_day_lies_between_two_of_its_hours(hour: str, now: str, since: str, until: str, hours: int) -> None:
    """On the reader's clock, also where that jumps; each moment belongs to one day."""
    wanted = Subscription(
        address="a@b.example", at=time.fromisoformat(hour), zone="Europe/Paris", is_all=True
    )
    found = due(wanted, ACCOUNT, at(now))
    assert (found.since, found.until) == (at(since), at(until))
    assert found.until - found.since == hours * HOUR


def test_each_day_has_one_of_each_reader_and_follows_the_last() -> None:
    """Through a year, looked at every seven minutes: no gap, no overlap, no id twice."""
    wanted = Subscription(address="a@b.example", at=time(2, 30), zone="Europe/Paris", is_all=True)
    found = [due(wanted, ACCOUNT, now) for now in range(NOW, NOW + 366 * DAY, 7 * 60_000)]
    spans = list(dict.fromkeys((each.id, each.since, each.until) for each in found))
    assert len({id_ for id_, _, _ in spans}) == len(spans) == 367
    assert all(one[2] == other[1] for one, other in pairwise(spans))


async def put(
    store: Store, id_: str, status: Status, created_at: int, who: str = "marie@acme.example"
) -> None:
    """Store a message that has come so far."""
    mail = submission(id_, writer=writer(address=who), created_at=created_at)
    reason = {Status.REJECTED: "carrier.rejected", Status.UNKNOWN: "carrier.unknown"}.get(status, "")
    message = mt(id_, status=status, reason=reason, created_at=created_at, dsn=Dsn())
    await store.put(
        Bundle(
            id=id_, at=NOW, submissions=(mail,), messages=(NewMessage(mt=message, reply_key="abcdefghij"),)
        )
    )


async def test_a_day_is_of_one_writer_or_of_all(store: Store) -> None:
    """What was accepted in it, by its status now; what was before or after is not in it."""
    for number, (status, created_at, who) in enumerate(
        [
            (Status.DELIVERED, NOW, "marie@acme.example"),
            (Status.REJECTED, NOW + DAY - 1, "Marie@acme.example"),
            (Status.UNKNOWN, NOW + 1, "paul@acme.example"),
            (Status.DELIVERED, NOW - 1, "marie@acme.example"),
            (Status.DELIVERED, NOW + DAY, "marie@acme.example"),
        ]
    ):
        await put(store, f"m-{number}", status, created_at, who)
    span = days.Span(account=ACCOUNT, since=NOW, until=NOW + DAY)
    whole = await store.read(days.read_day, span)
    assert whole.statuses == {"delivered": 1, "rejected": 1, "unknown": 1}
    assert {(each.status, each.writer) for each in whole.failed} == {
        ("rejected", "Marie@acme.example"),
        ("unknown", "paul@acme.example"),
    }
    own = await store.read(
        days.read_day, days.Span(account=ACCOUNT, since=NOW, until=NOW + DAY, writer="marie@acme.example")
    )
    assert own.statuses == {"delivered": 1, "rejected": 1}
    other = await store.read(days.read_day, days.Span(account="other", since=NOW, until=NOW + DAY))
    assert other.statuses == {}


SUBSCRIPTIONS = (
    Subscription(address="marie@acme.example", at=time(8), zone="Europe/Paris", is_all=False),
    Subscription(address="it@acme.example", at=time(8), zone="Europe/Paris", is_all=True),
    Subscription(address="quiet@acme.example", at=time(8), zone="Europe/Paris", is_all=False),
    Subscription(
        address="always@acme.example", at=time(8), zone="Europe/Paris", is_all=False, when_empty=True
    ),
)


async def begin(store: Store, now: int, monkeypatch: pytest.MonkeyPatch, nodes: int = 1) -> None:
    """Let so many nodes look once whether a digest is due."""
    monkeypatch.setattr(loop, "now_ms", lambda: now)
    mailer, http = Mailer(SmarthostOptions(address=Endpoint("127.0.0.1", 1))), Http()
    channels = loop.Channels(mailer=mailer, hooks={}, http=http)
    relays = [loop.Relay(store, Letters(store, HOUSE, Render()), channels, f"node {n}") for n in range(nodes)]
    for relay in relays:
        relay.subscribe(ACCOUNT, SUBSCRIPTIONS)
    looking = [asyncio.create_task(relay._begin_digests()) for relay in relays]
    async with asyncio.timeout(10):
        while not all(relay._begun for relay in relays):
            await asyncio.sleep(0.01)
    for task in looking:
        task.cancel()
    await asyncio.gather(*looking, return_exceptions=True)
    await mailer.close()
    await http.close()


async def queued(store: Store, now: int) -> list[Notice]:
    """Return what is to be told."""
    wanted = NoticeClaim(channel="email", owner="node", now=now, lease_ms=60_000, limit=50)
    return sorted(await store.claim_notices(wanted), key=lambda notice: notice.address)


async def test_nodes_and_restarts_begin_one_a_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes at once, one of them again after a restart, then the next day."""
    morning = at("2026-05-12 08:00")
    await begin(store, morning + 1, monkeypatch, nodes=2)
    assert [notice.address for notice in await queued(store, morning + 1)] == sorted(
        each.address for each in SUBSCRIPTIONS
    )
    await begin(store, morning + 9 * HOUR, monkeypatch)
    assert await queued(store, morning + 9 * HOUR) == []
    await begin(store, morning + DAY, monkeypatch)
    assert len(await queued(store, morning + DAY)) == len(SUBSCRIPTIONS)


async def test_each_reader_gets_what_concerns_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their own, or all; nothing where nothing happened, unless that is wanted, too."""
    morning = at("2026-05-12 08:00")
    await put(store, "m-1", Status.DELIVERED, morning - HOUR)
    await put(store, "m-2", Status.REJECTED, morning - HOUR, "paul@acme.example")
    await begin(store, morning, monkeypatch)
    letters, subjects = Letters(store, HOUSE, Render()), {}
    for notice in await queued(store, morning):
        outgoing = await letters.email(notice)
        if outgoing is not None:
            mail = email.message_from_bytes(outgoing.content, policy=email.policy.default)
            subjects[notice.address] = mail["Subject"]
            assert (mail["Auto-Submitted"], mail["To"], outgoing.envelope_from) == (
                "auto-generated",
                notice.address,
                "",
            )
    assert subjects == {
        "marie@acme.example": "SMS since yesterday: 1 sent, and delivered",
        "it@acme.example": "SMS since yesterday: 1 of 2 not delivered",
        "always@acme.example": "SMS since yesterday: none",
    }


def test_who_is_subscribed_stands_in_the_configuration(tmp_path: Path) -> None:
    """A user by their own clock; who gets all gets no second one."""
    extra = (
        "timezone: Europe/Paris\n"
        'users: {marie@acme.example: {number: "+33639980101", digest: "07:30", timezone: America/New_York},'
        ' it@acme.example: {digest: "9:00"}}\n'
        'relay: {smarthost: {address: "127.0.0.1:25"}, digest: {to: it@acme.example, when_empty: yes}}\n'
    )
    text = minimal_config(database=f"sqlite:///{tmp_path}/x.db", smtp_port=1, web_port=2, extra=extra)
    settings = config.load(tmp_path / "m.yaml", text)  # nothing is written there
    assert derived.digests(settings) == (
        Subscription(address="marie@acme.example", at=time(7, 30), zone="America/New_York", is_all=False),
        Subscription(
            address="it@acme.example", at=time(8), zone="Europe/Paris", is_all=True, when_empty=True
        ),
    )
