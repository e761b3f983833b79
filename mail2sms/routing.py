"""Recipient and route table -> carriers in order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mail2sms.errors import Problem, Refusal
from mail2sms.model import Msisdn


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Recipients that match any of `to` (`any`, a country, or a `+` prefix) go `via` these carriers, in order.

    With `refuse`, they are refused for that reason.
    """

    to: tuple[str, ...]
    via: tuple[str, ...] = ()
    refuse: str = ""


def carriers(msisdn: Msisdn, region: str, routes: Sequence[Route]) -> tuple[str, ...]:
    """Return the carriers of the first route that matches. Raises Refusal: `route.none`, `route.refused`."""
    route = find(msisdn, region, routes)
    if route is None:
        raise Refusal(Problem(reason="route.none", facts={"country": region}))
    if route.refuse:
        raise Refusal(Problem(reason="route.refused", facts={"why": route.refuse}))
    return route.via


def find(msisdn: Msisdn, region: str, routes: Sequence[Route]) -> Route | None:
    """Return the first route that matches."""
    for route in routes:
        if any(_matches(pattern, msisdn, region) for pattern in route.to):
            return route
    return None


def _matches(pattern: str, msisdn: Msisdn, region: str) -> bool:
    if pattern == "any":
        return True
    return msisdn.startswith(pattern) if pattern.startswith("+") else pattern == region
