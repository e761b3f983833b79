"""How languages write moments and amounts, and which language stands in for which. Pure; knows no texts.

A language is one entry of `_FORMS` and one folder of templates/email/.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from mail2sms.money import Money

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
    local, form = _local(at, zone), _form(language)
    has_year = since is not None and _local(since, zone).year != local.year
    fixed = _zone(zone).tzname(None)
    moment = form.moment.format(
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
    return f"{moment} ({fixed})" if fixed else moment


def amount(count: int, language: str) -> str:
    """Return a whole number with its thousands set apart: `10,485,760`, `10.485.760`."""
    return f"{count:,}".replace(",", _form(language).group)


def money(value: Money, language: str) -> str:
    """Return an amount of money: `0.045 EUR`, `0,045 EUR`; a line never ends inside it."""
    whole, _, decimals = value.amount.partition(".")
    point = _form(language).point if decimals else ""
    return f"{amount(int(whole), language)}{point}{decimals}\u00a0{value.currency}"


def _form(language: str) -> _Form:
    return _FORMS[next((tag for tag in nearest(language) if tag in _FORMS), FALLBACK)]


def _local(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at / 1000, _zone(zone))


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
