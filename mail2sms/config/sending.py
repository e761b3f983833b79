"""Options about sender IDs in the countries they are sent to: what is known better, what is registered.

What they say of one another and of the other options is checked here too; see `references`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from mail2sms import destinations
from mail2sms.config.values import Country, Name, SenderIdOption
from mail2sms.destinations import Destination
from mail2sms.errors import BadOption
from mail2sms.options import Options, Written
from mail2sms.rules._base import Registration


def _read_day(value: Any) -> date:
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise BadOption(f'expected a day such as 2026-05-12, got "{value}"') from None


Day = Annotated[
    date, BeforeValidator(_read_day), Written("a day (2026-05-12)", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
]


class DestinationOption(Options):
    """What you know better of a country than the data that comes with the program."""

    names: Literal["yes", "replaced", "no"] | None = None
    """Whether a name as sender is shown, replaced on the way, or lost. Example: yes"""
    registration: Literal["yes", "optional", "no"] | None = None
    """Whether sender IDs must be registered there; optional: for some networks. Example: no"""
    mms: Literal["yes", "no"] | None = None
    """Whether your carriers reach phones there by MMS. Example: yes"""


class RegistrationOption(Options):
    """Where a sender ID stands with a country's authority, or with your carrier there."""

    sender_id: SenderIdOption
    """The name or number. Example: ACME"""
    country: Country
    """Where it counts. Example: IT"""
    carrier: Name | None = None
    """The carrier that registered it; else it counts for all. Example: sim"""
    state: Literal["registered", "pending", "refused"] = "registered"
    """How far it is. Example: registered"""
    since: Day | None = None
    """The first day. Example: 2026-05-12"""
    expires: Day | None = None
    """The last day. Example: 2027-05-11"""

    @property
    def registration(self) -> Registration:
        """The same for the rules; days are those of UTC, the last one counts whole."""
        return Registration(
            sender_id=self.sender_id,
            region=self.country,
            carrier=self.carrier or "",
            state=self.state,
            since=_ms(self.since) if self.since else 0,
            until=_ms(self.expires + timedelta(days=1)) if self.expires else 0,
        )


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def known(options: dict[str, DestinationOption]) -> dict[str, Destination]:
    """Return what is known of each country, with what the operator knows better."""
    found = dict(destinations.shipped())
    for region, option in options.items():
        said = option.model_dump(exclude_none=True)
        if said:
            before = found.get(region, Destination(region=region))
            found[region] = replace(before, **said, certainty="operator")
    return found


def lookalikes(name: str, protected: tuple[str, ...]) -> Iterator[str]:
    """Return the protected names that people may take `name` for."""
    return (other for other in protected if destinations.looks_like(name, other))
