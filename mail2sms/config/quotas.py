"""The options of `quotas`: how limits are written, and what the rules are given of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from mail2sms import money
from mail2sms.addresses import canonical
from mail2sms.config.values import Address, ListOfOne, SenderKey
from mail2sms.errors import BadOption
from mail2sms.options import Options, RateOption, Written, whole
from mail2sms.rules._limits import MESSAGES, PARTS, WINDOWS, Detectors, Limit, Limits, Quotas

if TYPE_CHECKING:
    from mail2sms.config.schema import Settings

_LIMIT = re.compile(rf"(?:([0-9]{{1,9}}) *({PARTS})?|([0-9A-Z. ]+)) */ *({'|'.join(WINDOWS)})")
_PATTERN = f"^([0-9]+ *({PARTS})?|[0-9.]+ *[A-Z]{{3}}|[A-Z]{{3}} *[0-9.]+) */ *({'|'.join(WINDOWS)})$"
_EXAMPLE = "such as 500/day, 800 parts/day or 60 EUR/day"


def read_limit(value: Any) -> Limit:
    """`500/day`, `800 parts/day`, `60 EUR/day`: so much in each minute, hour, day or month. Raises BadOption."""
    found = _LIMIT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        hint = "add a window, such as /day" if str(value).strip().isdigit() else _EXAMPLE
        raise BadOption(f'expected a limit, got "{value}"', hint)
    if found[3]:
        cost = money.read(found[3].strip())
        return Limit(cost.millionths, cost.currency, found[4])
    return Limit(int(found[1]), found[2] or MESSAGES, found[4])


def _limits(value: Any) -> Limits:
    items = value if isinstance(value, list | tuple) else [value]
    limits = tuple(item if isinstance(item, Limit) else read_limit(item) for item in items)
    for limit in limits:
        same = [each for each in limits if (each.unit, each.window) == (limit.unit, limit.window)]
        if len(same) > 1:
            raise BadOption(f"two limits for the same: {same[0]} and {same[1]}", "leave one out")
    return limits


LimitsOption = Annotated[
    Limits,
    BeforeValidator(_limits),
    Written("a limit (500/day, 800 parts/hour, 60 EUR/day)", _PATTERN, is_list=True),
]


def _costs(value: Any) -> Limits:
    limits = _limits(value)
    for limit in limits:
        if not limit.is_money:
            raise BadOption(f"{limit} is no amount of money", "such as 60 EUR/day")
    return limits


CostsOption = Annotated[
    Limits, BeforeValidator(_costs), Written("an amount in a window (60 EUR/day)", _PATTERN, is_list=True)
]


MAIL = "mail"
"""The window of `approval_above`."""

_ABOVE = "such as 100 or 20 EUR"


def _above(value: Any) -> Limits:
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(item if isinstance(item, Limit) else _read_above(item) for item in items)


def _read_above(value: Any) -> Limit:
    text = value.strip() if isinstance(value, str) else ""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return Limit(int(text), MESSAGES, MAIL)
    if not any(character.isupper() for character in text):
        raise BadOption(f'expected a number of messages or an amount of money, got "{value}"', _ABOVE)
    cost = money.read(text)
    return Limit(cost.millionths, cost.currency, MAIL)


AboveOption = Annotated[
    Limits,
    BeforeValidator(_above),
    Written(
        "a number of messages, or an amount with its currency (20 EUR)",
        "^([0-9]+|[0-9.]+ *[A-Z]{3}|[A-Z]{3} *[0-9.]+)$",
        ("integer", "string"),
        is_list=True,
    ),
]


class DetectOptions(Options):
    """What looks like fraud waits until somebody approves it; acts in mode: live, not on phones of users and teams.

    Each mail then costs a look into the store before it is taken, which no other mail shares.
    """

    sequential: RateOption | None = None
    """More different phones than that whose numbers differ in the last four digits only. Example: 20/hour"""
    new_country: Annotated[int | None, whole(1, 1_000_000)] = None
    """More messages than that in the first two days in which a country is written to at all. Example: 10"""
    unusual: Annotated[int | None, whole(2, 1000)] = None
    """A writer sends so many times the mean day of the week before, and more than 50 messages. Example: 10"""


class QuotaOptions(Options):
    """How much may be sent in each minute, hour, day or month of `timezone`; several limits are a list."""

    user: LimitsOption = ()
    """Of each user, API key and other writer without a quota of their own. Example: 500/day"""
    number: LimitsOption = ()
    """To each phone. Example: 10/hour"""
    prefix: LimitsOption = ()
    """To all phones together whose numbers differ in the last four digits only. Example: 100/hour"""
    country: dict[SenderKey, LimitsOption] = Field(default_factory=dict)
    """To each country; default: each that is not named. Example: {FR: 2000/day, default: 50/day}"""
    total: LimitsOption = ()
    """Of all together. Example: 5000/day"""
    cost: CostsOption = ()
    """What all together may cost, by the prices of the carriers. Example: 60 EUR/day"""
    approval_above: AboveOption = ()
    """One email or API call for more than that waits until somebody approves it. Example: 100"""
    approvers: Annotated[tuple[Address, ...], ListOfOne] = ()
    """Who gets an email about what waits, with a link that decides, and about limits. Example: it@acme.example"""
    detect: DetectOptions = DetectOptions()
    """What looks like fraud, and waits as well."""


def quotas(settings: Settings) -> Quotas:
    """Return the limits as the rules take them."""
    options = settings.quotas
    teams = {name: team.quota for name, team in settings.teams.items() if team.quota}
    members = {
        address: tuple(name for name in user.teams if name in teams)
        for address, user in settings.all_users().items()
    }
    return Quotas(
        zone=settings.timezone,
        user=options.user,
        users={
            **{canonical(address): user.quota for address, user in settings.users.items() if user.quota},
            **{f"device {name}": device.quota for name, device in settings.devices.items() if device.quota},
        },
        teams=teams,
        members={address: names for address, names in members.items() if names},
        number=options.number,
        prefix=options.prefix,
        countries=dict(options.country),
        total=options.total,
        cost=options.cost,
        approval_above=options.approval_above,
        approvers=options.approvers,
        detectors=Detectors(**dict(options.detect)),
    )
