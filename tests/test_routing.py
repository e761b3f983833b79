"""Which carriers a message goes by."""

from __future__ import annotations

from collections import Counter

import pytest

from mail2sms.errors import Refusal
from mail2sms.model import Msisdn
from mail2sms.money import Money
from mail2sms.routing import Route, Wanted, all_for, carriers, find

ROUTES = (
    Route(to=("+338",), refuse="special-rate numbers"),
    Route(to=("FR", "BE"), writers=("*@lab.acme.example", "anna@acme.example"), via=("pbx",)),
    Route(to=("any",), sender_ids=("Alarm", "+33639980100"), via=("twilio",)),
    Route(to=("FR", "BE"), via=("ovh", "pbx")),
    Route(to=("US",), via=("twilio",)),
)
MARIE = "marie@acme.example"
PRICES = {
    "ovh": {"FR": Money(45_000, "EUR")},
    "pbx": {"FR": Money(60_000, "EUR"), "any": Money(70_000, "EUR")},
    "twilio": {"US": Money(8_300, "EUR"), "any": Money(50_000, "EUR")},
    "modem": {},
}


def wanted(msisdn: str = "+33639981234", region: str = "FR", writer: str = MARIE, **more: str) -> Wanted:
    """Return a message that looks for its way."""
    return Wanted(msisdn=Msisdn(msisdn), region=region, writer=writer, **more)


@pytest.mark.parametrize(
    ("asked", "via"),
    [
        (wanted(sender_id="ACME"), ("ovh", "pbx")),
        (wanted("+12025550123", "US", sender_id="ACME"), ("twilio",)),
        (wanted(writer="zoe@lab.acme.example", sender_id="ACME"), ("pbx",)),
        (wanted(writer="zoe@x@lab.acme.example", sender_id="ACME"), ("ovh", "pbx")),
        (wanted(writer="anna@acme.example", sender_id="Alarm"), ("pbx",)),
        (wanted(writer="", sender_id="ACME"), ("ovh", "pbx")),  # an API key without an address
        (wanted(sender_id="ALARM"), ("twilio",)),
        (wanted("+447700900123", "GB", sender_id="+33639980100"), ("twilio",)),
    ],
)
def test_the_first_route_that_matches_wins(asked: Wanted, via: tuple[str, ...]) -> None:
    """By region, by prefix, by who writes, by what the phone shows, in order."""
    assert carriers(asked, ROUTES, {}) == via


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (wanted("+33812345678"), "route.refused"),
        (wanted("+447700900123", "GB", sender_id="ACME"), "route.none"),
    ],
)
def test_a_message_without_a_way_is_refused(asked: Wanted, reason: str) -> None:
    """Refused by a route, or matched by none."""
    with pytest.raises(Refusal) as caught:
        carriers(asked, ROUTES, {})
    assert caught.value.problems[0].reason == reason


def test_a_sender_id_that_is_not_known_is_no_second_problem() -> None:
    """What is refused for its sender ID must not be told that there is no route, too."""
    assert find(wanted("+447700900123", "GB"), ROUTES) == ROUTES[2]


@pytest.mark.parametrize(
    ("region", "via"),
    [("FR", ("ovh", "twilio", "pbx")), ("US", ("twilio", "pbx")), ("DE", ("twilio", "pbx"))],
)
def test_the_cheapest_comes_first(region: str, via: tuple[str, ...]) -> None:
    """And who has no price for a country does not go there."""
    route = Route(to=("any",), via=tuple(PRICES), is_cheapest=True)
    assert carriers(wanted(region=region), [route], PRICES) == via


def test_no_price_no_cheapest() -> None:
    """Nothing is sent at a price that nobody knows."""
    route = Route(to=("any",), via=("ovh", "modem"), is_cheapest=True)
    with pytest.raises(Refusal) as caught:
        carriers(wanted(region="DE"), [route], PRICES)
    assert caught.value.problems[0].reason == "route.none"


def test_shares_are_kept_and_the_others_follow() -> None:
    """Of 4,000 messages three quarters, give or take; a share of 0 is never used; a message keeps its place."""
    route = Route(to=("any",), via=("a", "b", "c"), shares=(3, 1, 0))
    ways = Counter(carriers(wanted(id=f"m-{n}"), [route], {}) for n in range(4000))
    assert ways.keys() == {("a", "b"), ("b", "a")}
    assert 2900 < ways["a", "b"] < 3100
    assert len({carriers(wanted(id="m-1"), [route], {}) for _ in range(9)}) == 1


def test_what_may_lead_to_a_country_is_known_before_anybody_writes() -> None:
    """Up to the first route that takes everything."""
    assert [*all_for("FR", ROUTES)] == [ROUTES[1], ROUTES[2], ROUTES[3]]
    assert [*all_for("DE", ROUTES)] == [ROUTES[2]]
