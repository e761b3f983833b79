"""Whether pictures go to a phone as MMS: where its country, the sender and a carrier of the route let them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mail2sms.errors import Problem, Refusal
from mail2sms.media import LINK, MMS
from mail2sms.rules._base import Policy

_OFF, _IGNORE, _REFUSE = "off", "ignore", "refuse"


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How the pictures go (`mms`, `link`, or not at all) and the carriers that then are left of the route."""

    media: str
    route: tuple[str, ...]


def may_go(regions: Iterable[str], policy: Policy, device: str = "") -> bool:
    """Return whether pictures (of a device) may go to a phone in one of these: else nobody need look at them."""
    pictures = policy.pictures
    otherwise = pictures.otherwise_of(device)
    if otherwise == _IGNORE:
        can_send = bool(pictures.carriers) and pictures.has_links
        return can_send and any(_takes_mms(region, policy) for region in regions)
    return otherwise != _OFF


def choose(
    count: int, sender_id: str, region: str, route: tuple[str, ...], policy: Policy, device: str = ""
) -> Way:
    """Return how so many pictures (of a device) go.

    Raises Refusal: `media.country`, `media.sender`, `media.carrier`; never for a device's.
    """
    fit = tuple(name for name in route if _takes(name, count, policy))
    why = _why_not(sender_id, region, fit, policy) if count else None
    if why is None:
        return Way(media=MMS if count else "", route=fit if count else route)
    otherwise, has_links = policy.pictures.otherwise_of(device), policy.pictures.has_links
    if otherwise == LINK and has_links:
        return Way(media=LINK, route=route)
    if otherwise in (LINK, _REFUSE) and not device:
        raise Refusal(Problem(reason=why, value=sender_id, facts={"country": region, "count": str(count)}))
    return Way(media="", route=route)


def _why_not(sender_id: str, region: str, fit: Sequence[str], policy: Policy) -> str | None:
    if not _takes_mms(region, policy):
        return "media.country"
    if not sender_id.removeprefix("+").isdigit():
        return "media.sender"
    return None if fit and policy.pictures.has_links else "media.carrier"


def _takes_mms(region: str, policy: Policy) -> bool:
    known = policy.destinations.get(region)
    return known is not None and known.mms == "yes"


def _takes(carrier: str, count: int, policy: Policy) -> bool:
    mms = policy.pictures.carriers.get(carrier)
    return mms is not None and count <= mms.most
