"""Moments and lengths of time as people write them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from mail2sms.intake import moments
from mail2sms.intake.fields import BadValue
from tests.fuzz_templates import NOW_MS

PARIS = "Europe/Paris"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def at(text: str, zone: str = PARIS) -> int:
    """Return epoch milliseconds of a wall time; fold=0."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-05-12T14:30", at("2026-05-12 14:30")),
        ("2026-05-12 14:30:15.5", at("2026-05-12 14:30:15")),
        ("2026-05-12T14:30Z", at("2026-05-12 14:30", "UTC")),
        ("2026-05-12T14:30+04:00", at("2026-05-12 12:30")),
        ("2026-05-12T14:30-0430", at("2026-05-12 21:00")),
        ("2026-05-12 14:30 +02", at("2026-05-12 14:30")),
        ("12/05/2026 14:30", at("2026-05-12 14:30")),  # day first
        ("12.05.2026, 14.30", at("2026-05-12 14:30")),
        ("3-6-2026 7:05", at("2026-06-03 07:05")),
        ("12.05.2026 um 14:30 Uhr", at("2026-05-12 14:30")),
        ("12/05/2026 à 14 h 30", at("2026-05-12 14:30")),
        ("12/05/2026 alle ore 14.30", at("2026-05-12 14:30")),
        ("12/05/2026 at 2:30 PM", at("2026-05-12 14:30")),
        ("14:30", at("2026-05-12 14:30")),
        ("14h30", at("2026-05-12 14:30")),
        ("14h", at("2026-05-12 14:00")),
        ("２:３０ pm", at("2026-05-12 14:30")),
        ("12 pm", at("2026-05-13 12:00")),  # now: so tomorrow
        ("12:01", at("2026-05-12 12:01")),
        ("11:59", at("2026-05-13 11:59")),
        ("2027-05-13 12:00", at("2027-05-13 12:00")),  # 366 days
        ("2026-10-25 02:30", at("2026-10-25 02:30")),  # twice: the first, in summer time
        ("2027-03-28 02:30", at("2027-03-28 03:00")),  # never: the first moment after
        ("2027-03-28 02:00", at("2027-03-28 03:00")),
        ("2027-03-28 03:00", at("2027-03-28 03:00")),
    ],
)
def test_moments(value: str, moment: int) -> None:
    """ISO 8601, day-first dates and times of day, in the writer's zone."""
    assert moments.read_moment(value, PARIS, NOW_MS) == moment


def test_a_gap_of_half_an_hour_ends_half_an_hour_later() -> None:
    """Lord Howe Island puts its clocks forward by 30 minutes."""
    zone = "Australia/Lord_Howe"
    assert moments.read_moment("2026-10-04 02:15", zone, NOW_MS) == at("2026-10-04 02:30", zone)


@pytest.mark.parametrize(
    ("value", "reason", "hint"),
    [
        ("tomorrow", "bad_time", ""),
        ("14", "bad_time", ""),
        ("25:00", "bad_time", ""),
        ("24:00", "bad_time", ""),
        ("13:00 pm", "bad_time", ""),
        ("2026-02-30 10:00", "bad_time", ""),
        ("2026-05-1214:30", "bad_time", ""),
        ("14:30+99:00", "bad_time", ""),
        ("0000-01-01 00:00", "bad_time", ""),
        ("2026-05-13", "bad_time", "2026-05-13 14:30"),  # which hour?
        ("13/05/2026", "bad_time", "13/05/2026 14:30"),
        ("13/05/26 9h", "bad_time", "13/05/2026 9h"),
        ("05/23/2026 9:00", "bad_time", "23/05/2026 9:00"),
        ("2026-05-12 12:00", "past_time", ""),
        ("2025-05-12 14:30", "past_time", ""),
        ("2027-05-13 12:01", "far_time", ""),
        ("9999-12-31 23:59-01:00", "far_time", ""),
        ("1" * 70_000, "bad_time", ""),
    ],
)
def test_what_is_no_moment(value: str, reason: str, hint: str) -> None:
    """A date needs a time, and neither may be past or more than a year ahead."""
    with pytest.raises(BadValue) as caught:
        moments.read_moment(value, PARIS, NOW_MS)
    assert (caught.value.reason, caught.value.hint) == (f"template.{reason}", hint)


@pytest.mark.parametrize(
    ("value", "length_ms"),
    [
        ("30m", HOUR_MS // 2),
        ("2h", 2 * HOUR_MS),
        ("1d", DAY_MS),
        ("2 heures", 2 * HOUR_MS),
        ("30 minuti", HOUR_MS // 2),
        ("1 Tag", DAY_MS),
        ("2 jours", 2 * DAY_MS),
        ("1 Stunde, 30 Min.", HOUR_MS * 3 // 2),
        ("1h 30m", HOUR_MS * 3 // 2),
        ("7h", 7 * HOUR_MS),
        ("366d", 366 * DAY_MS),
        ("14h30", 2 * HOUR_MS + HOUR_MS // 2),  # a moment: it is noon
        ("06h30", 18 * HOUR_MS + HOUR_MS // 2),
        ("2026-05-12 13:00", HOUR_MS),
    ],
)
def test_lengths_of_time(value: str, length_ms: int) -> None:
    """A length in four languages, or a moment."""
    assert moments.read_validity(value, PARIS, NOW_MS, NOW_MS) == length_ms


@pytest.mark.parametrize(
    ("value", "reason", "hint"),
    [
        ("30", "bad_validity", "30m"),
        ("1h30", "unclear_validity", "90m"),  # a length, or half past one?
        ("0h", "bad_validity", ""),
        ("2 moons", "bad_validity", ""),
        ("2h x", "bad_validity", ""),
        ("2026-05-13", "bad_validity", "2026-05-13 14:30"),
        ("2026-05-11 10:00", "past_time", ""),
        ("367d", "far_time", ""),
        ("999999w", "far_time", ""),
    ],
)
def test_what_is_no_length_of_time(value: str, reason: str, hint: str) -> None:
    """Units are needed, and what may be a length or a time of day is asked back."""
    with pytest.raises(BadValue) as caught:
        moments.read_validity(value, PARIS, NOW_MS, NOW_MS)
    assert (caught.value.reason, caught.value.hint) == (f"template.{reason}", hint)
