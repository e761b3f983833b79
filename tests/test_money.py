"""Amounts of money, as they are written, shown and added up."""

from __future__ import annotations

from typing import Any

import pytest

from mail2sms.errors import BadOption
from mail2sms.money import CREDITS, Money, read, read_balance, shown, told, total


@pytest.mark.parametrize(
    ("text", "millionths", "currency", "shown"),
    [
        ("0.045 EUR", 45_000, "EUR", "0.045 EUR"),
        ("EUR 0.045", 45_000, "EUR", "0.045 EUR"),
        ("0.0083USD", 8_300, "USD", "0.0083 USD"),
        ("GBP0.1", 100_000, "GBP", "0.10 GBP"),
        (" 0.000001 EUR ", 1, "EUR", "0.000001 EUR"),
        ("60 EUR", 60_000_000, "EUR", "60 EUR"),
        ("60.00 EUR", 60_000_000, "EUR", "60 EUR"),
        ("8 JPY", 8_000_000, "JPY", "8 JPY"),
        ("0 EUR", 0, "EUR", "0 EUR"),
        ("999999999.999999 EUR", 999_999_999_999_999, "EUR", "999999999.999999 EUR"),
    ],
)
def test_an_amount_is_exact(text: str, millionths: int, currency: str, shown: str) -> None:
    """As it is written, as it is kept, and as it is shown, which is read again as the same."""
    found = read(text)
    assert found == Money(millionths, currency) == read(found) == read(shown)
    assert str(found) == shown


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("0.045", 'expected an amount such as 0.045 EUR, got "0.045"', "add the currency"),
        ("0,045 EUR", 'expected an amount such as 0.045 EUR, got "0,045 EUR"', "write 0.045 EUR"),
        ("0,045 €", 'expected an amount such as 0.045 EUR, got "0,045 €"', "write 0.045 EUR"),
        ("€0.045", 'expected an amount such as 0.045 EUR, got "€0.045"', "write EUR 0.045"),
        ("0.045 eur", 'expected an amount such as 0.045 EUR, got "0.045 eur"', "write 0.045 EUR"),
        ("0.045 EURO", 'expected an amount such as 0.045 EUR, got "0.045 EURO"', ""),
        ("-1 EUR", 'expected an amount such as 0.045 EUR, got "-1 EUR"', ""),
        ("0.0000001 EUR", 'expected an amount such as 0.045 EUR, got "0.0000001 EUR"', ""),
        ("1000000000 EUR", 'expected an amount such as 0.045 EUR, got "1000000000 EUR"', ""),
        ("٠.٠٤٥ EUR", 'expected an amount such as 0.045 EUR, got "٠.٠٤٥ EUR"', ""),
        ("1 EUR 2", 'expected an amount such as 0.045 EUR, got "1 EUR 2"', ""),
        ("", 'expected an amount such as 0.045 EUR, got ""', ""),
        ("1 ERU", '"ERU" is not a currency', "its code in ISO 4217, such as EUR"),
        ("1 XAU", '"XAU" is not a currency', "its code in ISO 4217, such as EUR"),
    ],
)
def test_what_is_no_amount(text: str, told: str, hint: str) -> None:
    """Said with what to write instead, where that can be told."""
    with pytest.raises(BadOption) as caught:
        read(text)
    assert (str(caught.value), caught.value.hint) == (told, hint)


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        (["0.1 EUR", "0.2 EUR"], "0.30 EUR"),
        (["0.045 EUR"] * 3, "0.135 EUR"),
        (["0 EUR"], "0 EUR"),
        (["0.045 EUR", None], None),
        ([None], None),
        ([], None),
    ],
)
def test_a_sum_is_known_when_all_of_it_is(amounts: list[str | None], expected: str | None) -> None:
    """Tenths add up; what is not known is never taken for nothing."""
    found = total(None if text is None else read(text) for text in amounts)
    assert found == (None if expected is None else read(expected))


def test_currencies_do_not_mix() -> None:
    """An amount of dollars is no amount of euros."""
    with pytest.raises(ValueError, match="EUR and USD do not add up"):
        total([read("1 EUR"), read("1 USD")])


def test_an_amount_times_a_count() -> None:
    """What several parts cost."""
    assert read("0.00581 USD") * 255 == read("1.48155 USD")


@pytest.mark.parametrize(
    ("value", "currency", "shown_as"),
    [
        ("12.34", "EUR", "12.34 EUR"),
        (12.345678901, "USD", "12.345678 USD"),
        ("-0.5", "EUR", "-0.50 EUR"),
        (7, CREDITS, "7 credits"),
        ("1e3", "EUR", "1000 EUR"),
        *((bad, "EUR", None) for bad in ("", "x", "NaN", "Infinity", "1e400", None, True, [], {})),
        *(("1", bad, None) for bad in ("XXX", "eur", "", None, [], {})),
    ],
)
def test_what_a_provider_says_is_left(value: Any, currency: Any, shown_as: str | None) -> None:
    """Numbers as text or not, never rounded up; what is no amount is none."""
    assert shown(told(value, currency)) == shown_as


@pytest.mark.parametrize(
    ("text", "read_as"),
    [("20 EUR", "20 EUR"), ("100 credits", "100 credits"), ("0.5credits", "0.50 credits")],
)
def test_an_amount_that_may_be_in_credits(text: str, read_as: str) -> None:
    """A provider's own unit, beside money."""
    assert str(read_balance(text)) == read_as


def test_amounts_compare_in_one_currency() -> None:
    """Others do not."""
    assert read("1 EUR") < read("2 EUR")
    with pytest.raises(ValueError, match="compare"):
        _ = read("1 EUR") < read("2 USD")
