"""Which carriers a recipient goes by."""

from __future__ import annotations

import pytest

from mail2sms.errors import Refusal
from mail2sms.model import Msisdn
from mail2sms.routing import Route, carriers

ROUTES = (
    Route(to=("+338",), refuse="special-rate numbers"),
    Route(to=("FR", "BE"), via=("ovh", "pbx")),
    Route(to=("US",), via=("twilio",)),
)


@pytest.mark.parametrize(
    ("msisdn", "region", "via"),
    [("+33639981234", "FR", ("ovh", "pbx")), ("+12025550123", "US", ("twilio",))],
)
def test_the_first_route_that_matches_wins(msisdn: str, region: str, via: tuple[str, ...]) -> None:
    """By region, by prefix, in order."""
    assert carriers(Msisdn(msisdn), region, ROUTES) == via


@pytest.mark.parametrize(
    ("msisdn", "region", "reason"),
    [("+33812345678", "FR", "route.refused"), ("+447700900123", "GB", "route.none")],
)
def test_a_recipient_without_a_way_is_refused(msisdn: str, region: str, reason: str) -> None:
    """Refused by a route, or matched by none."""
    with pytest.raises(Refusal) as caught:
        carriers(Msisdn(msisdn), region, ROUTES)
    assert caught.value.problems[0].reason == reason


def test_any_matches_everything() -> None:
    """The last line of a route table."""
    assert carriers(Msisdn("+447700900123"), "GB", (Route(to=("any",), via=("a",)),)) == ("a",)
