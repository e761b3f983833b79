"""What every carrier is: values in, values out; the dispatcher owns the queue, the retries and the store.

A carrier's `send` raises exactly the three kinds of `errors.SendFailed`; anything else it raises is taken as
Uncertain, since nobody can say how far it got.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping

from pydantic import Field

from mail2sms.model import DeliveryReport, MoMessage, Part, Taken
from mail2sms.options import Flag, Options
from mail2sms.prices import Price, Region

CarrierEvent = DeliveryReport | MoMessage
Record = Callable[[CarrierEvent], Awaitable[None]]
"""Stores one event durably; returns after the commit, so the carrier may then acknowledge it."""


class CarrierOptions(Options):
    """Options that every carrier has: `type` is the module's name."""

    type: str
    """Whose account it is. Example: simulated"""
    answers_keywords: Flag = False
    """Whether the provider itself answers STOP, START and HELP: then we do not. Example: yes"""
    price: dict[Region, Price] = Field(default_factory=dict)
    """What one part costs, by country; any: in all others. Example: {FR: 0.045 EUR, any: 0.08 EUR}"""


class Carrier(ABC):
    """One account at one provider, one SMPP bind group, one modem, or the simulator."""

    window: int = 10
    """Messages that may be under way at once."""

    splits: bool = True
    """Whether the carrier segments a long text itself: then a message is one part."""

    reports: bool = True
    """Whether the provider says later what became of what it took."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def start(self, record: Record) -> None:  # noqa: B027  # optional
        """Connect; from now on hand every report and every MO to `record`."""

    @abstractmethod
    async def send(self, part: Part) -> Taken:
        """Hand over one part, once. Raises Unavailable, Refused or Uncertain."""

    async def probe(self) -> str:
        """Ask the provider about the account, sending nothing; return its answer in a few words, for the operator.

        Works without `start`. Raises Refused (our credentials or options), Unavailable (no answer). Empty: it can't
        be asked.
        """
        return ""

    def events(self, headers: Mapping[str, str], body: bytes, query: str) -> tuple[CarrierEvent, ...]:
        """Return what a webhook request of this provider tells. Raises PermissionError if it proves nothing.

        `headers` have lower-case names. Carriers without webhooks refuse all.
        """
        raise PermissionError("this carrier has no webhook")

    async def stop(self) -> None:  # noqa: B027  # optional
        """Finish what is under way and close."""
