"""What people are told of the service itself: limits, devices, carriers. Each notice holds all that it says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mail2sms.relay.carrier import carrier_email, carrier_facts
from mail2sms.relay.compose import Outgoing
from mail2sms.relay.house import House
from mail2sms.relay.limit import limit_email, limit_facts
from mail2sms.relay.machines import device_email, device_facts
from mail2sms.render import Render
from mail2sms.store import Notice

Compose = Callable[[Notice, House, Render], Outgoing]


def _limit(notice: Notice, house: House, render: Render) -> Outgoing:
    return limit_email(limit_facts(notice, house), render)


def _device(notice: Notice, house: House, render: Render) -> Outgoing:
    return device_email(device_facts(notice, house), render)


def _carrier(notice: Notice, house: House, render: Render) -> Outgoing:
    return carrier_email(carrier_facts(notice, house), render)


OF_THE_SERVICE: Mapping[str, Compose] = {
    "limit": _limit,
    **dict.fromkeys(("silent", "back"), _device),
    **dict.fromkeys(("down", "up", "balance"), _carrier),
}
"""How each kind of such notices is written."""
