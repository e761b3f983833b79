"""How languages write moments, amounts and rates, and which language stands in for which. Pure; knows no texts.

A language is one entry of `_FORMS` and one folder of templates/email/.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from mail2sms.money import CREDITS, Money

Language = Literal["en", "fr", "it", "de"]
LANGUAGES: Final[tuple[str, ...]] = get_args(Language)
FALLBACK: Final = "en"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """`moment` is filled with weekday, day, month (and year behind it) and clock; `first` is the day 1."""

    weekdays: tuple[str, ...]
    months: tuple[str, ...]
    moment: str
    clock: str
    units: dict[str, tuple[str, str]]  # one of them, several
    windows: dict[str, str]
    credits: str  # a provider's own unit
    first: str = "1"
    group: str = "."  # between thousands
    point: str = ","  # before decimals


_FORMS: Final = {
    "en": _Form(
        weekdays=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        months=(
            *("January", "February", "March", "April", "May", "June"),
            *("July", "August", "September", "October", "November", "December"),
        ),
        moment="{weekday} {day} {month} at {clock}",
        clock="{twelve}:{minute:02} {half}",
        units={"messages": ("message", "messages"), "parts": ("SMS", "SMS")},
        windows={"minute": "a minute", "hour": "an hour", "day": "a day", "month": "a month"},
        credits="credits",
        group=",",
        point=".",
    ),
    "fr": _Form(
        weekdays=("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
        months=(
            *("janvier", "février", "mars", "avril", "mai", "juin"),
            *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
        ),
        moment="{weekday} {day} {month} à {clock}",
        clock="{hour} h {minute:02}",
        units={"messages": ("message", "messages"), "parts": ("SMS", "SMS")},
        windows={"minute": "par minute", "hour": "par heure", "day": "par jour", "month": "par mois"},
        credits="crédits",
        first="1er",
        group="\u202f",
    ),
    "it": _Form(
        weekdays=("lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato", "domenica"),
        months=(
            *("gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno"),
            *("luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"),
        ),
        moment="{weekday} {day} {month} alle {clock}",
        clock="{hour}.{minute:02}",
        units={"messages": ("messaggio", "messaggi"), "parts": ("SMS", "SMS")},
        windows={"minute": "al minuto", "hour": "all’ora", "day": "al giorno", "month": "al mese"},
        credits="crediti",
        first="1º",
    ),
    "de": _Form(
        weekdays=("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
        months=(
            *("Januar", "Februar", "März", "April", "Mai", "Juni"),
            *("Juli", "August", "September", "Oktober", "November", "Dezember"),
        ),
        moment="{weekday}, {day}. {month}, {clock}",
        clock="{hour}:{minute:02} Uhr",
        units={"messages": ("Nachricht", "Nachrichten"), "parts": ("SMS", "SMS")},
        windows={"minute": "pro Minute", "hour": "pro Stunde", "day": "pro Tag", "month": "pro Monat"},
        credits="Guthabenpunkte",
    ),
}


def nearest(language: str) -> tuple[str, ...]:
    """Return the folders to look in, the best first: `fr-CH` gives fr-ch, fr, en."""
    tag = language.lower().replace("_", "-")
    tags = [tag, tag.partition("-")[0], FALLBACK]
    return tuple(dict.fromkeys(one for one in tags if one.replace("-", "").isalpha() and one.isascii()))


def when(at: int, zone: str, language: str, since: int | None = None) -> str:
    """Return the moment `at` as people write it: `mardi 12 mai à 9 h 41`, `Tuesday 12 May at 9:41 am`.

    With its year when that is not the year of `since`. No place's clock is one of a fixed zone: it is named, `(UTC)`.
    """
    local, fixed = _local(at, zone), _zone(zone).tzname(None)
    has_year = since is not None and _local(since, zone).year != local.year
    written = moment(local, language, has_year=has_year)
    return f"{written} ({fixed})" if fixed else written


def moment(local: datetime, language: str, *, has_year: bool = False) -> str:
    """Return a moment as its own clock shows it."""
    form = _form(language)
    return form.moment.format(
        weekday=form.weekdays[local.weekday()],
        day=form.first if local.day == 1 else local.day,
        month=form.months[local.month - 1] + (f" {local.year}" if has_year else ""),
        clock=form.clock.format(
            hour=local.hour,
            minute=local.minute,
            twelve=local.hour % 12 or 12,
            half="am" if local.hour < 12 else "pm",
        ),
    )


def amount(count: int, language: str) -> str:
    """Return a whole number with its thousands set apart: `10,485,760`, `10.485.760`."""
    return f"{count:,}".replace(",", _form(language).group)


def money(value: Money, language: str) -> str:
    """Return an amount of money: `0.045 EUR`, `0,045 EUR`; a line never ends inside it."""
    whole, _, decimals = value.amount.removeprefix("-").partition(".")
    point, sign = _form(language).point if decimals else "", "\u2212" * (value.millionths < 0)
    unit = _form(language).credits if value.currency == CREDITS else value.currency
    return f"{sign}{amount(int(whole), language)}{point}{decimals}\u00a0{unit}"


def rate(count: int, unit: str, window: str, language: str) -> str:
    """Return so many messages or parts, or millionths of a currency's unit, in a window: `500 messages a day`."""
    form = _form(language)
    if unit in form.units:
        what = f"{amount(count, language)} {form.units[unit][count != 1]}"
    else:
        what = money(Money(count, unit), language)
    return f"{what} {form.windows[window]}"


def _form(language: str) -> _Form:
    return _FORMS[next((tag for tag in nearest(language) if tag in _FORMS), FALLBACK)]


def _local(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at / 1000, _zone(zone))


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
