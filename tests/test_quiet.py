"""Quiet hours by the phone's own clock: across changes of the clock, weekends, holidays and several zones."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from mail2sms.config import derived
from mail2sms.model import MessageClass, Msisdn
from mail2sms.numbers import zones
from mail2sms.quiet import Quiet, read_period, read_usual
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.verdict import Judge
from tests.fakes import submission, writer

PARIS, NEW_YORK, SYDNEY = "Europe/Paris", "America/New_York", "Australia/Sydney"
USUAL = read_usual(derived._lines("quiet_hours"))


def ms(text: str, zone: str = "UTC") -> int:
    """Return a moment of a place; one that has its offset written is that."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp() * 1000)


def quiet(*periods: str) -> Quiet:
    """Return quiet hours as they are written."""
    return Quiet(periods=tuple(map(read_period, periods)))


NIGHT = quiet("21:00-08:00")


# fmt: off
@pytest.mark.parametrize(("rule", "zone", "at", "until"), [
    # the edges of an ordinary night
    (NIGHT, PARIS, "2026-05-12T20:59:59", ""),
    (NIGHT, PARIS, "2026-05-12T21:00:00", "2026-05-13T08:00:00+02:00"),
    (NIGHT, PARIS, "2026-05-13T07:59:59", "2026-05-13T08:00:00+02:00"),
    (NIGHT, PARIS, "2026-05-13T08:00:00", ""),
    # clocks go forward in the night of 29 March 2026, and back in that of 25 October
    (NIGHT, PARIS, "2026-03-28T21:00:00", "2026-03-29T08:00:00+02:00"),
    (NIGHT, PARIS, "2026-03-29T01:59:00", "2026-03-29T08:00:00+02:00"),
    (NIGHT, PARIS, "2026-10-24T22:00:00", "2026-10-25T08:00:00+01:00"),
    (NIGHT, PARIS, "2026-10-25T02:30:00+02:00", "2026-10-25T08:00:00+01:00"),
    (NIGHT, PARIS, "2026-10-25T02:30:00+01:00", "2026-10-25T08:00:00+01:00"),
    (NIGHT, NEW_YORK, "2026-03-07T23:00:00", "2026-03-08T08:00:00-04:00"),
    (NIGHT, NEW_YORK, "2026-10-31T23:00:00", "2026-11-01T08:00:00-05:00"),
    (NIGHT, SYDNEY, "2026-04-04T23:00:00", "2026-04-05T08:00:00+10:00"),
    # the end is an hour that there is not, or that there is twice
    (quiet("21:00-02:30"), PARIS, "2026-03-28T23:00:00", "2026-03-29T03:30:00+02:00"),
    (quiet("21:00-02:30"), PARIS, "2026-10-24T23:00:00", "2026-10-25T02:30:00+02:00"),
    (quiet("21:00-02:30"), PARIS, "2026-10-25T02:10:00+01:00", "2026-10-25T02:30:00+01:00"),
    (quiet("02:15-02:45"), PARIS, "2026-03-29T01:59:59", ""),
    (quiet("02:15-02:45"), PARIS, "2026-10-25T02:20:00+01:00", "2026-10-25T02:45:00+01:00"),
    # within a day, days of the week, and what lies end to end
    (quiet("12:00-14:00"), PARIS, "2026-05-12T13:00:00", "2026-05-12T14:00:00+02:00"),
    (quiet("sunday"), PARIS, "2026-05-10T00:00:00", "2026-05-11T00:00:00+02:00"),
    (quiet("21:00-08:00", "sunday"), PARIS, "2026-05-09T22:00:00", "2026-05-11T08:00:00+02:00"),
    (quiet("saturday 18:00-24:00", "sunday 00:00-12:00"), PARIS, "2026-05-09T18:00:00", "2026-05-10T12:00:00+02:00"),
    (quiet("saturday 22:00-06:00"), PARIS, "2026-05-10T03:00:00", "2026-05-10T06:00:00+02:00"),
    (quiet("saturday 22:00-06:00"), PARIS, "2026-05-11T03:00:00", ""),
    # the shipped tables: Sundays and holidays of France, Easter among them
    (USUAL["FR"], PARIS, "2026-07-14T10:00:00", "2026-07-15T08:00:00+02:00"),
    (USUAL["FR"], PARIS, "2026-04-04T20:00:00", "2026-04-07T08:00:00+02:00"),
    (USUAL["FR"], PARIS, "2026-05-14T10:00:00", "2026-05-15T08:00:00+02:00"),
    (USUAL["FR"], PARIS, "2027-05-17T10:00:00", "2027-05-18T08:00:00+02:00"),
    (USUAL["FR"], PARIS, "2026-05-12T10:00:00", ""),
    (USUAL["CZ"], "Europe/Prague", "2026-12-23T18:00:00", "2026-12-28T08:00:00+01:00"),
    (USUAL["US"], NEW_YORK, "2026-05-10T10:00:00", "2026-05-10T12:00:00-04:00"),
    (USUAL["CA"], "America/Toronto", "2026-05-09T18:30:00", "2026-05-10T10:00:00-04:00"),
])
def test_the_first_moment_that_is_free(rule: Quiet, zone: str, at: str, until: str) -> None:
    """By the clock on the wall of that place; nothing to wait for where `until` is empty."""
    begun = ms(at, zone)
    assert rule.free_at(begun, [zone]) == ((ms(until), zone) if until else (begun, ""))


@pytest.mark.parametrize(("where", "at", "until"), [
    (("Atlantic/Azores", "Europe/Lisbon"), "2026-05-12T07:30:00Z", "2026-05-12T08:00:00Z"),
    (("Atlantic/Azores", "Europe/Lisbon"), "2026-05-12T20:30:00Z", "2026-05-13T08:00:00Z"),
    (("America/New_York", "America/Los_Angeles"), "2026-05-12T13:00:00Z", "2026-05-12T15:00:00Z"),
    (("America/New_York", "America/Los_Angeles"), "2026-05-13T01:30:00Z", "2026-05-13T15:00:00Z"),
    # ten hours apart there is no common hour for a night of fifteen: the last zone is left out
    (("Europe/Paris", "Pacific/Auckland"), "2026-05-12T10:00:00Z", "2026-05-12T10:00:00Z"),
])
def test_several_zones_must_all_be_free(where: tuple[str, ...], at: str, until: str) -> None:
    """A number tells of several places: the hours that suit all of them."""
    rule = quiet("21:00-08:00") if "Pacific/Auckland" not in where else quiet("18:00-09:00")
    assert rule.free_at(ms(at), where)[0] == ms(until)


@pytest.mark.parametrize(("number", "found"), [
    ("+33639981234", ("Europe/Paris",)), ("+14155550123", ("America/Los_Angeles",)),
    ("+12125550123", ("America/New_York",)),
    ("+351912345678", ("Atlantic/Azores", "Europe/Lisbon")), ("+881612345678", ("UTC",)), ("x", ("UTC",)),
])
def test_where_a_phone_may_be(number: str, found: tuple[str, ...]) -> None:
    """Its country's zones, in America the area code's; nowhere is Greenwich."""
    assert zones(Msisdn(number)) == found


@pytest.mark.parametrize("text", [
    "21:00", "25:00-08:00", "21:00-08:60", "08:00-08:00", "24:00-08:00", "9:00-10:00", "someday", "21-08",
])
def test_what_is_no_quiet_time(text: str) -> None:
    """Told, not guessed."""
    with pytest.raises(ValueError, match=text):
        read_period(text)


@pytest.mark.parametrize(("class_", "is_for_all", "is_held"), [
    (MessageClass.MARKETING, False, True), (MessageClass.MARKETING, True, True),
    (MessageClass.TRANSACTIONAL, False, False),
    (MessageClass.TRANSACTIONAL, True, True), (MessageClass.ALARM, True, False), (MessageClass.CONSENT, True, False),
])
def test_what_waits_for_the_morning(class_: MessageClass, is_for_all: bool, is_held: bool) -> None:
    """Marketing; all but alarms and our own answers where the operator says so. Its time begins in the morning."""
    policy = Policy(
        countries=frozenset({"FR"}), sender_ids={"FR": "ACME"}, quiet_hours={"FR": NIGHT}, is_quiet_for_all=is_for_all
    )
    at = ms("2026-05-12T22:00:00", PARIS)
    asked = submission(writer=writer(class_=class_), created_at=at)
    mt = Judge(policy, [Route(to=("any",), via=("sim",))], 3_600_000).judge([asked]).messages[0]
    morning = ms("2026-05-13T08:00:00", PARIS)
    due_at = morning if is_held else at
    assert (mt.due_at, mt.expires_at) == (due_at, due_at + 3_600_000)
    told = ("quiet_hours", "quiet hours of FR until 2026-05-13 08:00, Europe/Paris") if is_held else ("", "")
    assert (mt.reason, mt.detail) == told
# fmt: on


def test_a_later_wish_is_kept() -> None:
    """What is to be sent at noon is not sent at eight; what is to be sent at night waits for the morning."""
    policy = Policy(countries=frozenset({"FR"}), sender_ids={"FR": "ACME"}, quiet_hours={"default": NIGHT})
    judge = Judge(policy, [Route(to=("any",), via=("sim",))], 3_600_000)
    found = []
    for wish in ("2026-05-13T12:00:00", "2026-05-13T23:00:00"):
        asked = submission(
            writer=writer(class_=MessageClass.MARKETING),
            created_at=ms("2026-05-12T22:00:00", PARIS),
            send_at=ms(wish, PARIS),
        )
        found += [(mt.due_at, mt.reason) for mt in judge.judge([asked]).messages]
    assert found == [
        (ms("2026-05-13T12:00:00", PARIS), "schedule"),
        (ms("2026-05-14T08:00:00", PARIS), "quiet_hours"),
    ]
