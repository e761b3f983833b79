"""Quiet hours: when somebody may not be written to, by the clocks where they may be. Pure.

Wall clocks decide, so that 08:00 is 08:00 on the days when clocks are changed. Several zones: all must be free.
The usual hours of countries, and their holidays, are templates/sms/quiet_hours.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOLIDAYS = "holidays"
DEFAULT = "default"
_ALL = frozenset(range(7))
_PERIOD = re.compile(r"(?:([a-z]+) *)?(?:(\d\d):(\d\d) *- *(\d\d):(\d\d))?")
_DAY = 24 * 60  # minutes
_LONGEST_MS = 15 * 86_400_000  # no common hour in this time: there is none
_HOLIDAY = re.compile(r"(\d\d)-(\d\d)|easter([+-]\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """Quiet from `start` to `end` (minutes; an end that is not later is the next day's) of these weekdays.

    With `is_holiday` it is about holidays instead.
    """

    days: frozenset[int] = _ALL
    start: int = 0
    end: int = _DAY
    is_holiday: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiet:
    """The quiet hours of a country, and its holidays: (month, day), or days from Easter Sunday."""

    periods: tuple[Period, ...]
    holidays: frozenset[tuple[int, int] | int] = frozenset()

    def free_at(self, at: int, zones: Sequence[str]) -> tuple[int, str]:
        """Return the first moment from `at` on that is quiet in none of the zones, and whose clock decided.

        Zones without a common hour: the last ones are left out.
        """
        for count in range(len(zones), 0, -1):
            found = self._free_at(at, zones[:count])
            if found is not None:
                return found
        return at, ""

    def _free_at(self, at: int, zones: Sequence[str]) -> tuple[int, str] | None:
        moment, decided = at, ""
        while moment <= at + _LONGEST_MS:
            ends = [(end, zone) for zone in zones if (end := self._until(moment, zone)) is not None]
            if not ends:
                return moment, decided
            moment, decided = max(ends)
        return None

    def _until(self, at: int, zone: str) -> int | None:
        """Return when the quiet period that `at` lies in ends; None when it lies in none."""
        local = datetime.fromtimestamp(at / 1000, ZoneInfo(zone))
        wall = local.replace(tzinfo=None)
        days = (local.date() - timedelta(days=1), local.date())
        ends = [end for day in days for start, end in self._of(day) if start <= wall < end]
        if not ends:
            return None
        end = max(ends).replace(tzinfo=local.tzinfo)
        moments = [int(end.replace(fold=fold).timestamp() * 1000) for fold in (0, 1)]
        return next((moment for moment in moments if moment > at), moments[-1])

    def _of(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001  # what the wall shows
        for period in self.periods:
            if self._is_holiday(day) if period.is_holiday else day.weekday() in period.days:
                end = period.end if period.end > period.start else period.end + _DAY
                yield midnight + timedelta(minutes=period.start), midnight + timedelta(minutes=end)

    def _is_holiday(self, day: date) -> bool:
        return (day.month, day.day) in self.holidays or (day - _easter(day.year)).days in self.holidays


@lru_cache(maxsize=8)
def _easter(year: int) -> date:
    """Easter Sunday by the anonymous Gregorian algorithm (Nature, 20 April 1876)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    month, day = divmod(h + k - 7 * ((a + 11 * h + 22 * k) // 451) + 114, 31)
    return date(year, month, day + 1)


def read_period(text: str) -> Period:
    """Read `21:00-08:00`, `sunday`, `saturday 18:00-24:00` or `holidays`. Raises ValueError."""
    found = _PERIOD.fullmatch(text.strip().lower())
    if found is None or not found[0]:
        raise ValueError(text)
    name, *clock = found.groups()
    if name is not None and name not in (*DAYS, HOLIDAYS):
        raise ValueError(text)
    period = Period()
    if name == HOLIDAYS:
        period = Period(is_holiday=True)
    elif name is not None:
        period = Period(days=frozenset({DAYS.index(name)}))
    if clock[0] is None:
        return period
    start, end = (int(clock[at]) * 60 + int(clock[at + 1]) for at in (0, 2))
    if start in (end, _DAY) or max(start, end) > _DAY or any(int(m) > 59 for m in clock[1::2]):
        raise ValueError(text)
    return replace(period, start=start, end=end)


def read_usual(lines: Iterable[str]) -> Mapping[str, Quiet]:
    """Read the file of usual hours, by country and `default`. Raises ValueError for a line that is none."""
    periods: dict[str, tuple[Period, ...]] = {}
    holidays: dict[str, frozenset[tuple[int, int] | int]] = {}
    for line in lines:
        head, _, tail = line.partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        if head.startswith(HOLIDAYS):
            holidays[head.split()[1]] = frozenset(map(_holiday, tail.split(",")))
        else:
            periods[head] = tuple(map(read_period, tail.split(",")))
    return {
        country: Quiet(periods=found, holidays=holidays.get(country, frozenset()))
        for country, found in periods.items()
    }


def _holiday(text: str) -> tuple[int, int] | int:
    found = _HOLIDAY.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return int(found[3]) if found[3] else (int(found[1]), int(found[2]))
