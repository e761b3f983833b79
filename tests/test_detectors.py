"""What looks like fraud waits: tables without a store, then a house whose store remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from mail2sms import accept as accepting
from mail2sms.accept import Accept
from mail2sms.model import Msisdn, MtMessage, Proof
from mail2sms.options import Rate
from mail2sms.routing import Route
from mail2sms.rules import detectors
from mail2sms.rules._base import Facts, Policy
from mail2sms.rules._limits import Detectors, Limit, Quotas, span
from mail2sms.store import NoticeClaim, Store, answers, views
from mail2sms.store.approvals import REFUSED, RELEASED, Decision, read_open
from tests.fakes import ACCOUNT, NOW, PHONE, mt, submission, writer

DAY = 86_400_000
BLOCK = "+3363998"
OURS = Msisdn("+33639980001")


def policy(mode: str = "live", **watch: object) -> Policy:
    """Return a policy whose detectors look at what is named."""
    quotas = Quotas(detectors=Detectors(**watch), approvers=("it@acme.example",))  # type: ignore[arg-type]
    return Policy(
        mode=mode,
        quotas=quotas,
        countries=frozenset({"FR", "DE"}),
        sender_ids={"default": "ACME"},
        ours=frozenset({OURS}),
    )


def key(what: str, kind: str, of: str, days_ago: int) -> str:
    """Name the counter of a day."""
    return f"{what} {ACCOUNT} {kind} {of} {span('day', NOW - days_ago * DAY, 'UTC').start}"


def sent(**past: dict[int, int]) -> dict[str, int]:
    """Return counters: of FR, of Marie, of all, by days ago."""
    of = {"FR": ("country", "FR"), "marie": ("writer", "marie@acme.example"), "all": ("all", "")}
    return {
        key("tally", *of[name], ago): amount for name, days in past.items() for ago, amount in days.items()
    }


def phones(count: int, first: int = 1000) -> list[MtMessage]:
    """Return messages to so many numbers of one block."""
    return [mt(f"m-{n}", msisdn=Msisdn(f"{BLOCK}{first + n:04}")) for n in range(count)]


def reached(count: int) -> dict[str, frozenset[Msisdn]]:
    """Return so many other phones of the block that were written to lately."""
    return {BLOCK: frozenset(Msisdn(f"{BLOCK}{5000 + n}") for n in range(count))}


KNOWN = sent(FR={9: 1})
THREE = Rate(3, 3600)


@pytest.mark.parametrize(
    ("messages", "before", "counters", "held"),
    [
        (3, 0, KNOWN, 0),
        (4, 0, KNOWN, 4),
        (1, 2, KNOWN, 0),
        (1, 3, KNOWN, 1),
        (1, 3, {}, 0),  # the first message to a country never waits
        (5, 0, {}, 4),
        (1, 3, {**KNOWN, key("trust", "sequential", BLOCK, 0): 1}, 0),  # released today
        (1, 3, {**KNOWN, key("trust", "sequential", BLOCK, 2): 1}, 0),
        (1, 3, {**KNOWN, key("trust", "sequential", BLOCK, 3): 1}, 1),  # too long ago
        (1, 3, {**KNOWN, key("trust", "sequential", "+3363999", 0): 1}, 1),  # another block
    ],
)
def test_numbers_one_after_another(messages: int, before: int, counters: dict[str, int], held: int) -> None:
    """Different phones of one block count; those of this mail too."""
    facts = Facts(tallies=counters, blocks=reached(before))
    found = detectors.judge(phones(messages), writer(), policy(sequential=THREE), facts)
    assert len(found) == held
    assert {hold.reason for hold in found.values()} == ({"held.sequential"} if held else set())


@pytest.mark.parametrize(
    ("messages", "counters", "held"),
    [
        (1, {}, 0),
        (2, {}, 0),
        (3, {}, 2),  # all but the first, which is never held
        (1, sent(FR={0: 1}), 0),
        (1, sent(FR={0: 2}), 1),
        (1, sent(FR={1: 1, 0: 1}), 1),  # midnight makes nothing new
        (1, sent(FR={2: 1, 0: 50}), 0),  # known since the day before yesterday
        (9, sent(FR={30: 1}), 0),
        (3, sent(FR={31: 1}), 2),  # forgotten
        (9, {**sent(FR={0: 9}), key("trust", "new_country", "FR", 1): 1}, 0),
    ],
)
def test_a_burst_into_a_new_country(messages: int, counters: dict[str, int], held: int) -> None:
    """A country is new for two days, since a day ends when an attacker likes."""
    found = detectors.judge(phones(messages), writer(), policy(new_country=2), Facts(tallies=counters))
    assert len(found) == held


WEEK = dict.fromkeys(range(1, 8), 10)


@pytest.mark.parametrize(
    ("messages", "counters", "held"),
    [
        (60, sent(FR={9: 1}), 0),  # a house without a past has no usual day
        (50, sent(FR={9: 1}, all=WEEK), 0),  # who never wrote may write 50
        (51, sent(FR={9: 1}, all=WEEK), 51),
        (100, sent(FR={9: 1}, all=WEEK, marie=WEEK), 0),
        (101, sent(FR={9: 1}, all=WEEK, marie=WEEK), 101),
        (1, sent(FR={9: 1}, all=WEEK, marie={**WEEK, 0: 100}), 1),
        (1, sent(FR={9: 1}, all=WEEK, marie={**WEEK, 8: 9999, 0: 100}), 1),  # that was another week
        (
            1,
            {**sent(FR={9: 1}, all=WEEK, marie={0: 99}), key("trust", "unusual", "marie@acme.example", 0): 1},
            0,
        ),
    ],
)
def test_far_more_than_usual(messages: int, counters: dict[str, int], held: int) -> None:
    """Ten times the mean day of the week before, and more than fifty."""
    found = detectors.judge(phones(messages), writer(), policy(unusual=10), Facts(tallies=counters))
    assert len(found) == held


@pytest.mark.parametrize("mode", ["simulate", "trial"])
def test_they_act_in_live_mode_alone(mode: str) -> None:
    """Elsewhere nothing costs money."""
    facts = Facts(tallies=KNOWN, blocks=reached(9))
    watch = policy(mode, sequential=THREE, new_country=1, unusual=2)
    assert detectors.judge(phones(9), writer(), watch, facts) == {}
    assert not detectors.questions(writer(), [PHONE], NOW, watch).keys


def test_neither_the_operator_nor_our_own_phones() -> None:
    """Who releases is not held; an alarm to those on call leaves however many there were."""
    watch, facts = (
        policy(sequential=Rate(1, 60), new_country=1, unusual=2),
        Facts(tallies=KNOWN, blocks=reached(9)),
    )
    assert detectors.judge(phones(9), writer(proof=Proof.OPERATOR), watch, facts) == {}
    assert detectors.judge([mt(msisdn=OURS)], writer(), watch, facts) == {}
    assert detectors.tallies(mt(msisdn=OURS), writer(), watch) == ()


def test_all_reasons_are_told_and_remembered() -> None:
    """The first is the reason; a release trusts for each."""
    watch = policy(sequential=THREE, new_country=2)
    found = detectors.judge(phones(4), writer(), watch, Facts(tallies=sent(FR={0: 1})))
    hold = found["m-0"]
    assert hold.reason == "held.sequential" and "which is new" in hold.detail
    assert [wish.key.split()[2] for wish in hold.then] == ["sequential", "new_country"]


def test_every_key_that_is_read_is_asked_for() -> None:
    """And what a message leaves behind is one of them."""
    watch = policy(sequential=THREE, new_country=2, unusual=10)
    asked = detectors.questions(writer(), [m.msisdn for m in phones(3)], NOW, watch)
    assert {wish.key for wish in detectors.tallies(mt(), writer(), watch)} < set(asked.keys)
    assert key("trust", "sequential", BLOCK, 2) in asked.keys and asked.blocks == (BLOCK,)
    assert (asked.since, asked.most) == (NOW - 3_600_000, 5)


# With a store


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands."""
    monkeypatch.setattr(accepting, "now_ms", lambda: NOW)


def door(store: Store, **watch: object) -> Accept:
    """Return the door."""
    return Accept(store, policy(**watch), [Route(to=("any",), via=("sim",))], 3_600_000)


async def send(door: Accept, number: int, at: int = NOW) -> str:
    """Send to one number of the block; return why it waits."""
    phone = Msisdn(f"+3361234{number:04}")
    receipt = await door.accept([submission(f"m-{number}", recipients=(phone,), created_at=at)])
    return receipt.messages[0].reason


async def test_the_fourth_number_waits_until_it_is_released(store: Store) -> None:
    """Then the block is trusted; others are not, and a refusal teaches nothing."""
    here = door(store, sequential=THREE)
    assert [await send(here, n) for n in (1000, 1001, 1002)] == ["", "", ""]
    assert [await send(here, n) for n in (1002, 1003, 1004)] == ["", "approval", "approval"]
    first, second = await store.read(read_open, ACCOUNT, 10)
    assert first.reason == "held.sequential" and first.detail.startswith("more than 3/hour")
    await store.decide(Decision(account=ACCOUNT, id=first.id, status=REFUSED, by="it", now=NOW))
    assert await send(here, 1005) == "approval"
    await store.decide(Decision(account=ACCOUNT, id=second.id, status=RELEASED, by="it", now=NOW))
    assert await send(here, 1006) == ""
    view = await store.read(views.read_one, ACCOUNT, "m-1004")
    assert view is not None and view.status == "queued" and not view.reason


async def test_an_hour_later_the_block_is_free(store: Store) -> None:
    """Only what was lately counts; the same phone again is no other phone."""
    here = door(store, sequential=THREE)
    for n in (2000, 2001, 2002):
        assert await send(here, n) == ""
    assert await send(here, 2003, NOW + 3_600_001) == ""


async def test_what_waits_is_no_usual_day_until_it_is_released(store: Store) -> None:
    """A fraud that was refused makes the next one no more usual; of a released one all is counted."""
    here = door(store, new_country=2)
    recipients = tuple(Msisdn(f"+3361{n}23456") for n in range(100, 104))
    await here.accept([submission("m-9", recipients=recipients)])
    asked = detectors.questions(writer(), recipients, NOW, here.policy)
    assert (await store.read(answers.read, ACCOUNT, recipients, asked)).tallies[
        key("tally", "country", "FR", 0)
    ] == 1
    (view,) = await store.read(read_open, ACCOUNT, 10)
    assert view.waiting == 3
    await store.decide(Decision(account=ACCOUNT, id=view.id, status=RELEASED, by="it", now=NOW))
    found = await store.read(answers.read, ACCOUNT, recipients, asked)
    assert found.tallies[key("tally", "country", "FR", 0)] == 4


async def test_an_approver_hears_of_it_once_an_hour(store: Store) -> None:
    """The writer hears of every mail."""
    here = door(store, sequential=Rate(1, 3600))
    for n in range(3000, 3012):
        await send(here, n)
    wanted = NoticeClaim(channel="email", owner="node", now=NOW, lease_ms=60_000, limit=100)
    told = [notice.kind for notice in await store.claim_notices(wanted)]
    assert sorted(told) == ["approval", *["held"] * 11]


async def test_with_approval_above_one_approval_is_asked_for_both(store: Store) -> None:
    """Its email is the one of `approval_above`; releasing it trusts as well."""
    both = policy(sequential=THREE)
    quotas = replace(both.quotas, approval_above=(Limit(2, "messages", "mail"),))
    here = Accept(store, replace(both, quotas=quotas), [Route(to=("any",), via=("sim",))], 3_600_000)
    recipients = tuple(Msisdn(f"+3361234{n}") for n in range(4000, 4005))
    await here.accept([submission("m-7", recipients=recipients)])
    (view,) = await store.read(read_open, ACCOUNT, 10)
    assert (view.reason, view.waiting) == ("held.approval", 5)
    assert view.detail.startswith("5 messages, more than 2")


@pytest.mark.parametrize(
    ("watch", "reads"), [({}, 0), ({"sequential": THREE, "new_country": 10, "unusual": 10}, 1)]
)
async def test_what_a_mail_costs(tmp_path: Path, watch: dict[str, object], reads: int) -> None:
    """Without a detector one transaction, and nothing is read first; with any of them one look more, however many."""
    store = await Store.open(f"sqlite:///{tmp_path}/x.db")
    door = Accept(store, policy(mode="live", **watch), [Route(to=("any",), via=("sim",))], DAY)
    begun: list[str] = []

    def begins(connection: Connection) -> None:
        begun.append(type(connection.engine.pool).__name__)

    event.listen(Engine, "begin", begins)
    try:
        await door.accept([submission(recipients=(Msisdn("+33612345678"),))])
    finally:
        event.remove(Engine, "begin", begins)
    assert (begun.count("QueuePool"), begun.count("NullPool")) == (reads, 1)
    await store.close()
