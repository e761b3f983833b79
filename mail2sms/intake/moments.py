"""Moments and lengths of time as people write them in English, French, German and Italian. Pure.

Dates are read day first (12/05/2026 is 12 May), or year first as in ISO 8601. The clock and the zone are arguments.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from mail2sms.intake.fields import EXAMPLES, MAX_VALUE, BadValue, UnclearValue, fold

_MAX_AHEAD_MS = 366 * 86_400_000
_TIME, _LENGTH_EXAMPLE = EXAMPLES["send_at"], EXAMPLES["validity"]

_MOMENT = re.compile(
    r"""
    (?: (?: (?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)
          | (?P<day_first>\d\d?) (?P<sep>[./-]) (?P<month_next>\d\d?) (?P=sep) (?P<year_last>\d{4}) )
        (?: t | ,?[ ](?:(?:a|at|um|alle|ore|alle[ ]ore)[ ])? ) )?
    (?P<hour>\d\d?)
    (?P<clock> [ ]?h (?:[ ]?(?P<minute_h>\d\d))? | [:.](?P<minute>\d\d) (?: :(?P<second>\d\d)(?:[.,]\d{1,9})? )? )?
    (?: [ ]?(?P<half>am|pm) )? (?P<uhr> [ ]?uhr )?
    (?: [ ]?(?P<offset> z | utc | [+-]\d\d(?::?\d\d)? ) )?
    """,
    re.VERBOSE | re.ASCII,
)
_DATE = re.compile(
    r"(?:\d{4}-\d\d?-\d\d?|(?P<a>\d\d?)(?P<sep>[./-])(?P<b>\d\d?)(?P=sep)(?P<year>\d\d(?:\d\d)?))(?=[\s,tT]|\Z)",
    re.ASCII,
)
_UNITS_MS = {
    1000: "s sec second seconds seconde secondes sekunde sekunden secondo secondi",
    60_000: "m mn min mins minute minutes minuten minuto minuti",
    3_600_000: "h hr hrs hour hours heure heures stunde stunden std ora ore",
    86_400_000: "d day days j jour jours t tag tage tagen g giorno giorni",
    604_800_000: "w week weeks semaine semaines woche wochen settimana settimane",
}
_UNIT_MS = {word: ms for ms, words in _UNITS_MS.items() for word in words.split()}
_LENGTH = re.compile(r"(\d{1,6}) ?([a-z]+)\.?[ ,]*", re.ASCII)
_HOURS_OR_CLOCK = re.compile(r"([1-6])\s?h\s?([0-5]\d)", re.ASCII)


def read_moment(text: str, zone: str, now_ms: int) -> int:
    """Return the moment in epoch milliseconds: ISO 8601, or day-first date and time, or time alone, in `zone`.

    A time alone is today's, or tomorrow's if that has passed. In a gap of summer time it is the gap's end; where
    the clock strikes twice, the first. Not past, and at most a year ahead.
    """
    found = _MOMENT.fullmatch(fold(text)) if len(text) <= MAX_VALUE else None
    if not found or not (found["clock"] or found["half"] or found["uhr"]):
        raise _bad_time(text, zone, now_ms)
    try:
        at = _moment(found, _zone(found["offset"], zone), now_ms)
    except (ValueError, OverflowError) as e:  # no such day or hour; or beyond year 9999 in UTC
        raise _bad_time(text, zone, now_ms) from e
    if at <= now_ms:
        raise BadValue("template.past_time", now=_wall(now_ms, zone), zone=zone)
    if at > now_ms + _MAX_AHEAD_MS:
        raise BadValue("template.far_time")
    return at


def _wall(at: int, zone: str) -> str:
    return datetime.fromtimestamp(at // 1000, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def _zone(offset: str | None, zone: str) -> tzinfo:
    """RFC 3339 section 4.2: `Z`, `+02:00`; ISO 8601 also has `+0200` and `+02`."""
    if not offset:
        return ZoneInfo(zone)
    if offset in {"z", "utc"}:
        return UTC
    minutes = int(offset[1:3]) * 60 + int(offset[3:].lstrip(":") or 0)
    return timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes))


def _moment(found: re.Match[str], zone: tzinfo, now_ms: int) -> int:
    hour = int(found["hour"])
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("12-hour clock")
        hour = hour % 12 + (12 if found["half"] == "pm" else 0)
    clock = (hour, int(found["minute"] or found["minute_h"] or 0), int(found["second"] or 0))
    year, month, day = (
        found["year"] or found["year_last"],
        found["month"] or found["month_next"],
        found["day"] or found["day_first"],
    )
    if year:
        return _epoch_ms(datetime(int(year), int(month), int(day), *clock), zone)  # noqa: DTZ001
    today = datetime.fromtimestamp(now_ms // 1000, zone).date()
    at = _epoch_ms(datetime(today.year, today.month, today.day, *clock), zone)  # noqa: DTZ001
    if at > now_ms:
        return at
    today += timedelta(days=1)
    return _epoch_ms(datetime(today.year, today.month, today.day, *clock), zone)  # noqa: DTZ001


def _epoch_ms(wall: datetime, zone: tzinfo) -> int:
    """PEP 495: fold=0 is the first of two; in a gap it counts by the old clock, and so comes after fold=1."""
    first = wall.replace(tzinfo=zone)
    before, low, high = first.utcoffset(), int(first.replace(fold=1).timestamp()), int(first.timestamp())
    if high <= low:
        return high * 1000
    while high - low > 1:  # the clock changes in (low, high]
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high * 1000


def _bad_time(text: str, zone: str, now_ms: int) -> BadValue:
    """Return the refusal, with what may be meant: a full year, the day first, a time of day."""
    tomorrow = datetime.fromtimestamp(now_ms // 1000 + 86_400, ZoneInfo(zone))
    example = f"{tomorrow:%Y-%m-%d} {_TIME}"
    found = _DATE.match(text) if len(text) <= MAX_VALUE else None
    if not found:
        return BadValue("template.bad_time", example=example)
    date, rest = found[0], text[found.end() :]
    if found["sep"]:
        day, month = found["a"], found["b"]
        day, month = (month, day) if int(month) > 12 >= int(day) else (day, month)
        date = found["sep"].join(
            (day, month, "20" + found["year"] if len(found["year"]) == 2 else found["year"])
        )
    has_time = bool(rest.strip())
    hint = date + (rest if has_time else " " + _TIME)
    if hint == text or not _is_moment(hint, zone, now_ms):
        return BadValue("template.bad_time", example=example)
    return (BadValue if has_time else UnclearValue)("template.bad_time", hint)


def _is_moment(text: str, zone: str, now_ms: int) -> bool:
    try:
        return bool(read_moment(text, zone, now_ms))
    except BadValue:
        return False


def read_validity(text: str, zone: str, now_ms: int, start_ms: int) -> int:
    """Return how long it is tried, in milliseconds from `start_ms`: a length of time, or a moment as in At.

    `1h30` to `6h30` may be a length or a time of day, and is refused.
    """
    folded = fold(text) if len(text) <= MAX_VALUE else ""
    unclear = _HOURS_OR_CLOCK.fullmatch(folded)
    if unclear:
        hours, minutes = unclear.groups()
        meant = f"{int(hours) * 60 + int(minutes)}m"
        raise UnclearValue("template.unclear_validity", meant, clock=f"0{hours}:{minutes}")
    length = _length_ms(folded)
    if length is not None:
        if length == 0:
            raise BadValue("template.bad_validity", example=_LENGTH_EXAMPLE)
        if length > _MAX_AHEAD_MS:
            raise BadValue("template.far_time")
        return length
    try:
        until = read_moment(text, zone, now_ms)
    except BadValue as e:
        if e.reason != "template.bad_time":
            raise
        hint = f"{folded}m" if folded.isdigit() and folded.isascii() and 0 < int(folded) <= 1440 else e.hint
        raise UnclearValue("template.bad_validity", hint, example=_LENGTH_EXAMPLE) from e
    if until <= start_ms:
        start = _wall(start_ms, zone)
        raise BadValue("template.early_expiry", start=start, zone=zone, example=_LENGTH_EXAMPLE)
    return until - start_ms


def _length_ms(folded: str) -> int | None:
    """Return the sum of `2 heures 30 minutes`; None when it is no length of time."""
    total, at = 0, 0
    while at < len(folded):
        found = _LENGTH.match(folded, at)
        if not found or found[2] not in _UNIT_MS:
            return None
        total += int(found[1]) * _UNIT_MS[found[2]]
        at = found.end()
    return total if folded else None


def seems_length(text: str) -> bool:
    """Whether `text` is a length of time."""
    return len(text) <= MAX_VALUE and _length_ms(fold(text)) is not None


def seems_moment(text: str, zone: str, now_ms: int) -> bool:
    """Whether a moment is meant, be it past or not quite well written."""
    try:
        return bool(read_moment(text, zone, now_ms))
    except BadValue as e:
        return e.reason != "template.bad_time" or bool(e.hint)
