"""The demo's history: the same for the same number, over before it is stored, and shown like everything else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from mail2sms import numbers
from mail2sms.carriers.simulated import MISBEHAVIOUR
from mail2sms.cli.demo_history import DAYS, House, history
from mail2sms.model import Msisdn, SenderId, Status, User
from mail2sms.money import Money, read
from mail2sms.store import Claim, NoticeClaim, Search, Store
from mail2sms.store.mo_views import read_mo
from mail2sms.store.notices import EMAIL
from mail2sms.store.past import Past, mo_id
from mail2sms.store.views import counts, find, read_one

DOMAIN = "sms.demo.example"
NOW = 1_780_000_000_000
_DAY_MS = 86_400_000
HOUSE = House(
    account=DOMAIN,
    users={
        f"{name}@{DOMAIN}": User(address=f"{name}@{DOMAIN}", number=Msisdn(number))
        for name, number in (("marie", "+33639980101"), ("paul", "+33639980102"), ("zoe", "+447700900103"))
    },
    oncall=(Msisdn("+33639981234"), Msisdn("+33639985678")),
    default_sender=SenderId("+33639980100"),
    secret=b"secret",
    prices={"sim-a": {"any": read("0.045 EUR")}, "sim-b": {"any": read("0.08 EUR")}},
)


@pytest.fixture(scope="module")
def past() -> Past:
    """A history of 300 messages."""
    return history(300, NOW, HOUSE)


def test_same_number_gives_the_same_history(past: Past) -> None:
    """And another number another one, of just so many messages."""
    assert history(300, NOW, HOUSE) == past
    assert len(past.messages) == 300
    assert history(299, NOW, HOUSE).messages[:5] != past.messages[:5]
    assert len(history(1, NOW, HOUSE).messages) == 1


def test_history_is_of_all_kinds(past: Past) -> None:
    """Several users and machines, countries, parts, replies, and failures in measure."""
    assert len({each.writer.address for each in past.submissions}) == 5
    assert len({each.mt.region for each in past.messages}) >= 4
    assert {each.mt.segments for each in past.messages} >= {1, 2}
    assert len(past.mos) > 20
    ends = Counter(each.mt.status for each in past.messages)
    assert 0.8 < ends[Status.DELIVERED] / 300 < 0.99
    assert ends[Status.UNDELIVERABLE]


def test_history_costs_what_its_carriers_took(past: Past) -> None:
    """Parts at the price of the carrier, which was the second one now and then; what was rejected cost nothing."""
    paid = Counter((each.mt.carrier, each.mt.status is Status.REJECTED) for each in past.messages)
    assert paid["sim-a", False] > paid["sim-b", False] > 0 < paid["sim-a", True]
    for each in past.messages:
        one = 80_000 if each.mt.carrier == "sim-b" else 45_000
        expected = 0 if each.mt.status is Status.REJECTED else one * each.mt.segments
        assert each.mt.cost == Money(expected, "EUR")


def test_history_is_over(past: Past) -> None:
    """Each step is in the last two weeks, in order, and the last one is the message's status."""
    for each in past.messages:
        times = [change.at for change in each.changes]
        assert times == sorted(times)
        assert NOW - (DAYS + 1) * _DAY_MS < times[0] <= times[-1] < NOW
        assert each.changes[-1].status is each.mt.status
    assert all(each.mo.at < NOW for each in past.mos)


def test_each_person_and_each_conversation_has_one_language(past: Past) -> None:
    """Paul writes French and is answered in French; no phone gets both."""
    writers = {each.id: each.writer for each in past.submissions}
    languages: dict[str, set[str]] = {}
    for each in past.messages:
        languages.setdefault(each.mt.msisdn, set()).add(writers[each.mt.submission].language)
    assert all(len(each) == 1 for each in languages.values())
    assert {each.language for each in writers.values() if each.address.startswith("paul@")} == {"fr"}
    assert {each.language for each in writers.values() if not each.address.startswith("paul@")} == {"en"}
    french = {each.mo.text for each in past.mos if each.address.startswith("paul@")}
    english = {each.mo.text for each in past.mos if not each.address.startswith("paul@")}
    assert "Merci" in french
    assert "Yes" in english
    assert french & english <= {"OK 👍"}


def test_phones_of_the_history_are_nobodys(past: Past) -> None:
    """Fiction numbers, and none that the simulated carrier treats in another way than the history tells."""
    for each in past.messages:
        assert numbers.is_fiction(each.mt.msisdn)
        assert each.mt.msisdn[-4:] not in MISBEHAVIOUR


def test_open_message_is_no_past(past: Past) -> None:
    """What is queued would be sent."""
    waiting = replace(past.messages[0], mt=replace(past.messages[0].mt, status=Status.QUEUED))
    with pytest.raises(ValueError, match="is not over"):
        replace(past, messages=(waiting,))


async def test_stored_history_is_shown_and_never_work(past: Past, database_url: str) -> None:
    """Searches, events and replies find it; dispatch, relay, expiry and counts do not. Twice is once."""
    store = await Store.open(database_url)
    try:
        await store.remember(past)
        await store.remember(past)
        found = await store.read(find, DOMAIN, Search(limit=1000))
        assert len(found) == 300
        last = past.messages[-1]
        view = await store.read(read_one, DOMAIN, last.mt.id)
        assert view is not None
        assert [event.status for event in view.events] == [change.status for change in last.changes]
        assert (view.updated_at, view.text) == (last.changes[-1].at, past.submissions[-1].text)
        assert view.cost == last.mt.cost
        reply = past.mos[0]
        said = await store.read(read_mo, mo_id(DOMAIN, reply.mo), reply.address)
        assert said is not None
        assert said.text == reply.mo.text
        later = NOW + 30 * _DAY_MS
        assert await store.expire(later) == 0
        lease = {"owner": "x", "now": later, "lease_ms": 1000, "limit": 10}
        assert await store.claim(Claim(carrier="sim-a", **lease)) == []
        assert await store.claim_notices(NoticeClaim(channel=EMAIL, **lease)) == []
        assert set((await store.read(counts)).values()) == {0}
    finally:
        await store.close()
