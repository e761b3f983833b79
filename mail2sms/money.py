"""Amounts of money, exact: whole millionths of a currency's unit. Pure; knows no prices.

An SMS may cost 0.00581 USD, so cents would not do; and floats do not add up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import reduce
from operator import add
from typing import Any

from mail2sms.errors import BadOption

_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL
LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP
PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT
TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
_CURRENCIES = frozenset(_CODES.split())
"""Codes of ISO 4217 (2026) that people pay with: no funds, no metals."""

_UNIT = 1_000_000  # millionths
_MOST = 10**18  # what a database's integer holds
_NUMBER = r"([0-9]{1,9})(?:\.([0-9]{1,6}))?"
_WRITTEN = re.compile(rf"(?:{_NUMBER} *([A-Z]{{3}})|([A-Z]{{3}}) *{_NUMBER})")
PATTERN = r"^([0-9]+(\.[0-9]+)? *[A-Z]{3}|[A-Z]{3} *[0-9]+(\.[0-9]+)?)$"
"""How an amount is written, for editors."""


CREDITS = "credits"
"""The currency of an account in which a provider counts units of its own."""

_IN_CREDITS = re.compile(rf"{_NUMBER} *{CREDITS}")
BALANCE_PATTERN = rf"^([0-9]+(\.[0-9]+)? *([A-Z]{{3}}|{CREDITS})|[A-Z]{{3}} *[0-9]+(\.[0-9]+)?)$"
"""How an amount is written that may be in credits."""


@dataclass(frozen=True, slots=True)
class Money:
    """So many `millionths` of the unit of `currency` (ISO 4217); of what an account has left, `credits` too."""

    millionths: int
    currency: str

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
        return Money(self.millionths + other.millionths, self.currency)

    def __lt__(self, other: Money) -> bool:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not compare")
        return self.millionths < other.millionths

    def __mul__(self, count: int) -> Money:
        return Money(self.millionths * count, self.currency)

    @property
    def amount(self) -> str:
        """The number alone: whole, or with two decimals at least: `60`, `0.10`, `0.00581`."""
        whole, rest = divmod(abs(self.millionths), _UNIT)
        decimals, sign = f"{rest:06}".rstrip("0"), "-" * (self.millionths < 0)
        return f"{sign}{whole}.{decimals:0<2}" if decimals else f"{sign}{whole}"


def read(value: Any) -> Money:
    """`0.045 EUR`, `EUR 0.045`. Raises BadOption."""
    if isinstance(value, Money):
        return value
    found = _WRITTEN.fullmatch(str(value).strip())
    if found is None:
        raise BadOption(f'expected an amount such as 0.045 EUR, got "{value}"', _meant(str(value)))
    whole, decimals, currency = (found[at] or found[other] for at, other in ((1, 5), (2, 6), (3, 4)))
    if currency not in _CURRENCIES:
        raise BadOption(f'"{currency}" is not a currency', "its code in ISO 4217, such as EUR")
    return Money(int(whole) * _UNIT + int(f"{decimals or '':0<6}"), currency)


def read_balance(value: Any) -> Money:
    """As `read`, or `100 credits`. Raises BadOption."""
    found = None if isinstance(value, Money) else _IN_CREDITS.fullmatch(str(value).strip())
    if found is None:
        return read(value)
    return Money(int(found[1]) * _UNIT + int(f"{found[2] or '':0<6}"), CREDITS)


def told(value: Any, currency: Any) -> Money | None:
    """Return an amount as a provider writes it, to the millionth below; None where it is none."""
    try:
        number = Decimal(str(value)) * _UNIT
    except InvalidOperation:
        return None
    if isinstance(value, bool) or not number.is_finite() or abs(number) >= _MOST:
        return None
    is_known = isinstance(currency, str) and (currency in _CURRENCIES or currency == CREDITS)
    return Money(int(number // 1), currency) if is_known else None


def shown(amount: Money | None) -> str | None:
    """Return an amount as text; None stays what it is."""
    return None if amount is None else str(amount)


def _meant(text: str) -> str:
    """Return what to write instead, if that can be told."""
    better = text.upper().strip().replace(",", ".").replace("€", " EUR ").replace("£", " GBP ").strip()
    if _WRITTEN.fullmatch(better):
        return f"write {' '.join(better.split())}"
    return "add the currency" if better.replace(".", "", 1).isdigit() else ""


def total(amounts: Iterable[Money | None]) -> Money | None:
    """Return the sum; None when one of them is not known, or there is none. All are of one currency."""
    all_ = list(amounts)
    known = [amount for amount in all_ if amount is not None]
    return reduce(add, known) if known and len(known) == len(all_) else None
