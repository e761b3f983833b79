"""Where clocks change, on SQLite and on PostgreSQL: a day is as long as it is on the wall, and `At:` is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from mail2sms import accept as accepting
from mail2sms.accept import Accept, NothingGoes
from mail2sms.intake.moments import read_moment
from mail2sms.model import Msisdn
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.rules._limits import Limit, Quotas
from mail2sms.store import Claim, Store, views
from tests.fakes import ACCOUNT, submission

PARIS, NEW_YORK, LORD_HOWE = "Europe/Paris", "America/New_York", "Australia/Lord_Howe"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


def ms(text: str) -> int:
    """Return a moment that is written with its offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


# fmt: off
DAYS = [  # zone, moments, and whether each is the third of its day
    (PARIS, [("2026-03-28T23:59:59+01:00", True), ("2026-03-29T00:00:00+01:00", True),  # 23 hours
             ("2026-03-29T01:59:59+01:00", True), ("2026-03-29T03:00:00+02:00", False),
             ("2026-03-29T23:59:59+02:00", False), ("2026-03-30T00:00:00+02:00", True)]),
    (PARIS, [("2026-10-25T00:00:00+02:00", True), ("2026-10-25T02:30:00+02:00", True),  # 25 hours
             ("2026-10-25T02:30:00+01:00", False), ("2026-10-25T23:59:59+01:00", False),
             ("2026-10-26T00:00:00+01:00", True)]),
    (NEW_YORK, [("2026-11-01T00:30:00-04:00", True), ("2026-11-01T01:30:00-05:00", True),
                ("2026-11-01T23:30:00-05:00", False), ("2026-11-02T00:00:00-05:00", True)]),
    (LORD_HOWE, [("2026-04-05T00:00:00+11:00", True), ("2026-04-05T01:45:00+11:00", True),  # half an hour
                 ("2026-04-05T01:45:00+10:30", False), ("2026-04-06T00:00:00+10:30", True)]),
]
WISHES = [  # zone, written at, what stands in At, when it goes
    (PARIS, "2026-03-28T20:00:00+01:00", "2026-03-29 02:30", "2026-03-29T03:00:00+02:00"),  # there is no 02:30
    (PARIS, "2026-03-29T00:30:00+01:00", "03:30", "2026-03-29T03:30:00+02:00"),
    (PARIS, "2026-10-24T20:00:00+02:00", "2026-10-25 02:30", "2026-10-25T02:30:00+02:00"),  # the first of two
    (PARIS, "2026-10-24T20:00:00+02:00", "2026-10-25T02:30+01:00", "2026-10-25T02:30:00+01:00"),  # the second
    (NEW_YORK, "2026-03-07T20:00:00-05:00", "2026-03-08 02:15", "2026-03-08T03:00:00-04:00"),
    (NEW_YORK, "2026-11-01T00:30:00-04:00", "08:00", "2026-11-01T08:00:00-05:00"),
]
# fmt: on


def door(store: Store, quotas: Quotas | None = None) -> Accept:
    """Return the door."""
    policy = Policy(
        countries=frozenset({"FR"}), sender_ids={"default": "ACME"}, quotas=quotas or Quotas(), recipients=9
    )
    return Accept(store, policy, [Route(to=("any",), via=("sim",))], 86_400_000)


@pytest.mark.parametrize(("zone", "moments"), DAYS)
async def test_a_daily_limit_is_the_walls(store: Store, zone: str, moments: list[tuple[str, bool]]) -> None:
    """Two a day, however long that day is: never three, and never fewer than two."""
    here = door(store, Quotas(zone=zone, user=(Limit(2, "messages", "day"),)))
    taken = []
    for n, (at, _) in enumerate(moments):
        try:
            await here.accept([submission(f"m-{n}", created_at=ms(at))])
        except NothingGoes as refused:
            assert [problem.reason for problem in refused.problems] == ["quota.user"]
            taken.append(False)
        else:
            taken.append(True)
    assert taken == [is_taken for _, is_taken in moments]


@pytest.mark.parametrize(("zone", "now", "written", "goes"), WISHES)
async def test_at_is_the_time_on_the_wall(
    store: Store, monkeypatch: pytest.MonkeyPatch, zone: str, now: str, written: str, goes: str
) -> None:
    """No claim finds it a moment earlier; where the clocks skip that time it is the first one after."""
    at, due_at = ms(now), ms(goes)
    monkeypatch.setattr(accepting, "now_ms", lambda: at)
    wish = read_moment(written, zone, at)
    asked = submission("m-1", created_at=at, send_at=wish, recipients=(Msisdn("+33639981234"),))
    await door(store).accept([asked])
    view = await store.read(views.read_one, ACCOUNT, "m-1")
    assert view is not None and view.due_at == due_at

    async def claimed(moment: int) -> int:
        wanted = Claim(carrier="sim", owner="node", now=moment, lease_ms=60_000, limit=10)
        return len(await store.claim(wanted))

    assert [await claimed(due_at - 1), await claimed(due_at)] == [0, 1]
