"""Calendar windows, and what a message takes of which limits: tables, without a store."""

from __future__ import annotations

from datetime import datetime

import pytest

from mail2sms.config.quotas import read_limit
from mail2sms.model import Msisdn, Proof
from mail2sms.money import Money
from mail2sms.reasons import smtp_reply
from mail2sms.render import Render
from mail2sms.rules._limits import Limit, Quotas, span
from mail2sms.rules.quotas import uses
from tests.fakes import ACCOUNT, NOW, mt, writer

HOUR = 3_600_000
PARIS, ADELAIDE, LORD_HOWE, CAIRO, HAVANA = (
    "Europe/Paris",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Havana",
)


def ms(text: str) -> int:
    """Return a moment that is written with its offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


# fmt: off
SPANS = [
    ("minute", PARIS, "2026-05-12T14:30:59.999+02:00", "2026-05-12T14:30+02:00", "2026-05-12T14:31+02:00"),
    ("hour", PARIS, "2026-05-12T14:30+02:00", "2026-05-12T14:00+02:00", "2026-05-12T15:00+02:00"),
    ("hour", ADELAIDE, "2026-05-12T14:10+09:30", "2026-05-12T14:00+09:30", "2026-05-12T15:00+09:30"),
    ("day", PARIS, "2026-05-12T00:00+02:00", "2026-05-12T00:00+02:00", "2026-05-13T00:00+02:00"),
    ("day", PARIS, "2026-05-11T23:59:59.999+02:00", "2026-05-11T00:00+02:00", "2026-05-12T00:00+02:00"),
    ("day", PARIS, "2026-03-29T12:00+02:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),  # 23 hours
    ("day", PARIS, "2026-10-25T12:00+01:00", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),  # 25 hours
    ("hour", PARIS, "2026-10-25T02:30+02:00", "2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"),  # the first of two
    ("hour", PARIS, "2026-10-25T02:30+01:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"),  # the second
    ("hour", PARIS, "2026-03-29T03:30+02:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"),  # after 01:59
    ("hour", LORD_HOWE, "2026-04-05T01:45+10:30", "2026-04-05T01:00+10:30", "2026-04-05T02:00+10:30"),  # half an hour
    ("day", LORD_HOWE, "2026-04-05T12:00+10:30", "2026-04-05T00:00+11:00", "2026-04-06T00:00+10:30"),
    ("day", CAIRO, "2026-04-24T12:00+03:00", "2026-04-23T22:00+00:00", "2026-04-25T00:00+03:00"),  # no 00:00 that day
    ("day", HAVANA, "2026-11-01T12:00-05:00", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),  # 00:00 twice
    ("month", PARIS, "2026-10-31T23:30+01:00", "2026-10-01T00:00+02:00", "2026-11-01T00:00+01:00"),
    ("month", PARIS, "2026-12-31T23:30+01:00", "2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"),
    ("month", "UTC", "2028-02-29T23:30+00:00", "2028-02-01T00:00+00:00", "2028-03-01T00:00+00:00"),
]
# fmt: on


@pytest.mark.parametrize(("window", "zone", "at", "start", "end"), SPANS)
def test_windows_are_the_calendars(window: str, zone: str, at: str, start: str, end: str) -> None:
    """A day begins and ends at midnight of its place, however long that makes it."""
    found = span(window, ms(at), zone)
    assert (found.start, found.end) == (ms(start), ms(end))


@pytest.mark.parametrize("window", ["minute", "hour", "day", "month"])
@pytest.mark.parametrize("zone", [PARIS, ADELAIDE, LORD_HOWE, CAIRO, HAVANA, "UTC"])
def test_every_moment_is_in_its_window_and_windows_follow_one_another(window: str, zone: str) -> None:
    """Through a year with all its changes of the clock, every quarter of an hour."""
    at, last = ms("2026-01-01T00:00+00:00"), None
    while at < ms("2027-01-01T00:00+00:00"):
        found = span(window, at, zone)
        assert found.start <= at < found.end
        assert last is None or found.start >= last.start
        at, last = at + HOUR // 4, found


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("500/day", Limit(500, "messages", "day")),
        ("800 parts/hour", Limit(800, "parts", "hour")),
        ("0/month", Limit(0, "messages", "month")),
        ("60 EUR/day", Limit(60_000_000, "EUR", "day")),
        ("0.50 CHF/hour", Limit(500_000, "CHF", "hour")),
        ("30 / minute", Limit(30, "messages", "minute")),
    ],
)
def test_limits_are_read_and_written(written: str, read: Limit) -> None:
    """Short, and without doubt."""
    assert read_limit(written) == read
    assert read_limit(str(read)) == read


DAY, PARTS = Limit(5, "messages", "day"), Limit(9, "parts", "day")
EVERYTHING = Quotas(
    user=(DAY,),
    users={"paul@acme.example": (PARTS,)},
    teams={"support": (DAY, PARTS)},
    members={"paul@acme.example": ("support",)},
    number=(DAY,),
    prefix=(DAY,),
    countries={"FR": (DAY,), "default": (PARTS,)},
    total=(DAY,),
)


@pytest.mark.parametrize(
    ("who", "changes", "expected"),
    [
        (
            writer(),
            {"segments": 3},
            [
                ("user", "marie@acme.example", 1, True),
                ("number", "+33639981234", 1, False),
                ("prefix", "+3363998", 1, False),
                ("country", "FR", 1, False),
                ("total", "all", 1, True),
            ],
        ),
        (
            writer(address="Paul@acme.example"),
            {"segments": 3, "msisdn": Msisdn("+41791234567"), "region": "CH"},
            [
                ("user", "paul@acme.example", 3, True),
                ("team", "support", 1, True),
                ("team", "support", 3, True),
                ("number", "+41791234567", 1, False),
                ("prefix", "+4179123", 1, False),
                ("country", "CH", 3, False),
                ("total", "all", 1, True),
            ],
        ),
    ],
)
def test_what_a_message_takes(who: object, changes: dict[str, object], expected: list[object]) -> None:
    """One message or its parts, of each limit that it comes under; the writer's own and the total are shared."""
    found = uses(mt(**changes), who, EVERYTHING)  # type: ignore[arg-type]
    assert [(use.kind, use.of, use.amount, use.reservation.is_shared) for use in found] == expected
    assert len({use.reservation.key for use in found}) == len(found)


EUR, CHF = Money(45_000, "EUR"), Money(9, "CHF")


@pytest.mark.parametrize(
    ("costs", "taken"),
    [((EUR,), 45_000), ((EUR, EUR * 2, None), 90_000), ((None,), None), ((), None), ((CHF,), None)],
)
def test_of_money_a_message_takes_what_it_may_cost(
    costs: tuple[Money | None, ...], taken: int | None
) -> None:
    """By the dearest carrier of its route; a cost that is not known, or of another currency, takes nothing."""
    found = uses(mt(costs=costs), writer(), Quotas(cost=(Limit(60_000_000, "EUR", "day"),)))
    assert [use.amount for use in found] == ([] if taken is None else [taken])


def test_a_refusal_over_money_speaks_of_money() -> None:
    """In the SMTP reply and in the emails of every language."""
    (use,) = uses(mt(costs=(EUR,)), writer(), Quotas(zone=PARIS, cost=(Limit(1_500_000, "EUR", "day"),)))
    problem = use.problem(1_480_000, 45_000, PARIS)
    assert smtp_reply(problem) == (
        "550 5.7.1 all SMS together may cost 1.50 EUR a day; 0.02 EUR left, 0.045 EUR needed; "
        "again from 2026-05-29T00:00+02:00"
    )
    french = Render().reason_text(problem.reason, "fr", {**problem.facts, "value": problem.value})
    assert "coûter 1,50\u00a0EUR par jour. Il reste 0,02\u00a0EUR, il faut 0,045\u00a0EUR." in french


def test_a_key_is_counted_by_its_name() -> None:
    """It says itself where replies go: another address is no other writer."""
    keys = {
        use.reservation.key
        for address in ("a@acme.example", "b@acme.example", "")
        for use in uses(mt(), writer(proof=Proof.KEY, name="booking", address=address), Quotas(user=(DAY,)))
    }
    assert len(keys) == 1
    (other,) = uses(mt(), writer(proof=Proof.KEY, name="shop"), Quotas(user=(DAY,)))
    assert other.reservation.key not in keys


def test_the_refusal_says_which_limit_what_is_left_and_when_it_opens() -> None:
    """In the reader's own zone; the window stays the configured one's."""
    (use,) = uses(mt(created_at=NOW), writer(), Quotas(zone=PARIS, total=(PARTS,)))
    problem = use.problem(7, 3, "Europe/London")
    assert problem.reason == "quota.total"
    assert problem.facts == {
        "limit": "9",
        "unit": "parts",
        "window": "day",
        "rate": "9 SMS a day",
        "left": "2",
        "count": "3",
        "until": "2026-05-28T23:00+01:00",
    }
    assert ACCOUNT in use.reservation.key
