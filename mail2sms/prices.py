"""What a message costs: the segments billed, at the price of the carrier that has it. Pure.

A price is what one segment costs by one carrier in one region; what has no price has no known cost, which is not
the same as costing nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BeforeValidator

from mail2sms import money, numbers
from mail2sms.money import Money
from mail2sms.options import Written

ANY = "any"
"""In a carrier's prices: the regions that have none of their own."""

Prices = Mapping[str, Mapping[str, Money]]
"""By carrier, then by region or `any`. All of one currency."""


def price(carrier: str, region: str, prices: Prices) -> Money | None:
    """Return what one segment costs; None when that is not known."""
    own = prices.get(carrier, {})
    return own.get(region, own.get(ANY))


def costs(route: Sequence[str], region: str, segments: int, prices: Prices) -> tuple[Money | None, ...]:
    """Return what a message of so many segments costs by each carrier of its route."""
    found = (price(carrier, region, prices) for carrier in route)
    return tuple(None if each is None else each * segments for each in found)


def _region(value: str) -> str:
    return value if value == ANY else numbers.read_country(value)


Region = Annotated[
    str,
    BeforeValidator(_region),
    Written("any, or a country code", f"^({ANY}|[A-Z]{{2}})$", stands_for="COUNTRY"),
]
Price = Annotated[
    Money, BeforeValidator(money.read), Written("an amount with its currency (0.045 EUR)", money.PATTERN)
]
