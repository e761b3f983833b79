"""What is sent, to whom and by whom, and the route table -> carriers in order. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mail2sms import addresses
from mail2sms.errors import Problem, Refusal
from mail2sms.model import Msisdn
from mail2sms.prices import Prices, price


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Recipients that match any of `to` (`any`, a country, or a `+` prefix) go `via` these carriers, in order.

    Only what one of `writers` (patterns of addresses) sends and what shows one of `sender_ids`, where there are any.
    `shares`, one for each carrier, say how many messages of all go by it first; with `is_cheapest` they are ordered
    by price, and those without a price are left out. With `refuse`, recipients are refused for that reason.
    """

    to: tuple[str, ...]
    writers: tuple[str, ...] = ()
    sender_ids: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    shares: tuple[int, ...] = ()
    is_cheapest: bool = False
    refuse: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A message that looks for its way. `writer` is an address, `sender_id` None where that is not known yet."""

    msisdn: Msisdn
    region: str
    writer: str = ""
    sender_id: str | None = None
    id: str = ""


def carriers(wanted: Wanted, routes: Sequence[Route], prices: Prices) -> tuple[str, ...]:
    """Return the carriers of the first route that matches. Raises Refusal: `route.none`, `route.refused`."""
    route = find(wanted, routes)
    if route is not None and route.refuse:
        raise Refusal(Problem(reason="route.refused", facts={"why": route.refuse}))
    found = _in_order(route, wanted, prices) if route is not None else ()
    if not found:
        raise Refusal(Problem(reason="route.none", facts={"country": wanted.region}))
    return found


def find(wanted: Wanted, routes: Sequence[Route]) -> Route | None:
    """Return the first route that matches."""
    return next((route for route in routes if _matches(route, wanted)), None)


def all_for(region: str, routes: Sequence[Route]) -> Iterator[Route]:
    """Yield the routes that a whole country may go by, whoever writes to it."""
    for route in routes:
        if any(pattern in ("any", region) for pattern in route.to):
            yield route
            if not route.writers and not route.sender_ids:
                return


def _matches(route: Route, wanted: Wanted) -> bool:
    if not any(_leads_to(pattern, wanted) for pattern in route.to):
        return False
    if route.writers and not any(addresses.matches(each, wanted.writer) for each in route.writers):
        return False
    shown = wanted.sender_id
    return not route.sender_ids or shown is None or shown.lower() in map(str.lower, route.sender_ids)


def _leads_to(pattern: str, wanted: Wanted) -> bool:
    if pattern == "any":
        return True
    return wanted.msisdn.startswith(pattern) if pattern.startswith("+") else pattern == wanted.region


def _in_order(route: Route, wanted: Wanted, prices: Prices) -> tuple[str, ...]:
    if route.is_cheapest:
        known = [
            (each, name) for name in route.via if (each := price(name, wanted.region, prices)) is not None
        ]
        return tuple(name for _, name in sorted(known, key=lambda one: one[0].millionths))
    if not route.shares:
        return route.via
    first = _drawn(route.shares, wanted.id)
    rest = sorted(
        (at for at in range(len(route.via)) if at != first and route.shares[at]),
        key=lambda at: -route.shares[at],
    )
    return tuple(route.via[at] for at in (first, *rest))


def _drawn(shares: Sequence[int], id_: str) -> int:
    """Return a place by its share: always the same one for a message, however often it is judged."""
    ticket = int.from_bytes(hashlib.sha256(id_.encode()).digest()[:8]) % sum(shares)
    for place, share in enumerate(shares):
        ticket -= share
        if ticket < 0:
            return place
    raise AssertionError("shares are not negative, and one is not 0")
