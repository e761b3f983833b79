"""What a message costs, by each carrier that may carry it."""

from __future__ import annotations

import pytest

from mail2sms.money import read
from mail2sms.prices import costs

PRICES = {
    "ovh": {"FR": read("0.045 EUR"), "any": read("0.08 EUR")},
    "pbx": {"FR": read("0 EUR")},
    "modem": {},
}


@pytest.mark.parametrize(
    ("route", "region", "segments", "expected"),
    [
        (("ovh",), "FR", 1, ["0.045 EUR"]),
        (("ovh",), "FR", 3, ["0.135 EUR"]),
        (("ovh",), "BE", 2, ["0.16 EUR"]),
        (("pbx",), "FR", 2, ["0 EUR"]),  # a price of nothing is a price
        (("pbx",), "BE", 2, [None]),  # no price is none
        (("modem",), "FR", 1, [None]),
        (("nobody",), "FR", 1, [None]),
        (("ovh", "modem", "pbx"), "FR", 2, ["0.09 EUR", None, "0 EUR"]),
        ((), "FR", 1, []),
    ],
)
def test_costs_are_segments_at_the_carriers_price(
    route: tuple[str, ...], region: str, segments: int, expected: list[str | None]
) -> None:
    """The region's, else that for any other; what has no price has no known cost."""
    found = costs(route, region, segments, PRICES)
    assert [None if cost is None else str(cost) for cost in found] == expected
