"""What every carrier is: values in, values out; the dispatcher owns the queue, the retries and the store.

A carrier's `send` raises exactly the three kinds of `errors.SendFailed`; anything else it raises is taken as
Uncertain, since nobody can say how far it got.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from mail2sms.errors import FetchFailed, Refused
from mail2sms.heard import LateAnswer, MoPart, Sent
from mail2sms.media import Mms
from mail2sms.model import DeliveryReport, MoMessage, Part, Photo, Taken
from mail2sms.money import Money
from mail2sms.options import Flag, Options, RateOption
from mail2sms.prices import Price, Region
from mail2sms.rates import Rates, SenderRates

CarrierEvent = DeliveryReport | LateAnswer | MoMessage | MoPart
Record = Callable[[CarrierEvent], Awaitable[None]]
"""Stores one event durably; returns after the commit, so the carrier may then acknowledge it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionFinding:
    """What is wrong with an option, or ("") with what is missing; `hint` is what to write."""

    option: str
    message: str
    hint: str = ""
    is_warning: bool = True


class CarrierOptions(Options):
    """Options that every carrier has: `type` is the module's name."""

    type: str
    """Whose account it is. Example: simulated"""
    answers_keywords: Flag = False
    """Whether the provider itself answers STOP, START and HELP: then we do not. Example: yes"""
    price: dict[Region, Price] = Field(default_factory=dict)
    """What one part costs, by country; any: in all others. Example: {FR: 0.045 EUR, any: 0.08 EUR}"""
    mms_price: dict[Region, Price] = Field(default_factory=dict)
    """What one MMS costs, in the same way. Example: {US: 0.02 USD}"""

    rate: RateOption | None = None
    """How many messages it is given at most, by all nodes together, evenly; SMPP: parts. Example: 20/s"""
    sender_rate: SenderRates = Field(default_factory=dict)
    """How many segments each sender number may send; any: those not named. Example: {any: 1/s, "+18005550100": 3/s}"""

    @property
    def rates(self) -> Rates:
        """How fast it may be sent to."""
        return Rates(whole=self.rate, senders=self.sender_rate)

    @property
    def watched_balance(self) -> Money | None:
        """Below what its account is low; None where that is not watched."""
        return None

    @property
    def used_device(self) -> Path | None:
        """The device of this machine that it uses."""
        return None

    def findings(self) -> Iterator[OptionFinding]:
        """Give what `check` has to say of options that each are well."""
        yield from ()

    def judge(self, option: str, secret: str) -> Iterator[OptionFinding]:
        """Give what `check` has to say of the secret behind an option, without naming it."""
        yield from ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Abilities:
    """What a carrier can do, for routing, the table in the README and `check`.

    `senders`: what may be shown to the phone. `signs`: how its webhooks are proven, "" where nothing is signed.
    `tested`: against what, beside its case file.
    """

    title: str
    receives: bool = True
    mms: Mms | None = None
    senders: str = "numbers, short codes, names"
    signs: str = ""
    tested: str = "its documents"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request to a carrier's webhook, as it came: its raw bytes are what signatures are about.

    Names in `headers` are in lower case; `secret` stood behind the carrier's name in the path, `ip` is who called,
    `at` when.
    """

    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    query: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    ip: str = ""
    at: int = 0


class Carrier(ABC):
    """One account at one provider, one SMPP bind group, one modem, or the simulator."""

    window: int = 10
    """Messages that may be under way at once."""

    reports: bool = True
    """Whether the provider says later what became of what it took."""

    abilities: ClassVar[Abilities]

    events_url: str = ""
    """Where its webhook is reached from outside, without a secret; the daemon sets it. Empty: nobody knows."""

    rates: Rates = Rates()
    """How fast it may be sent to, by all nodes together; the daemon sets it, the dispatcher keeps it."""

    balance_below: Money | None = None
    """Less than that in its account, and administrators are told; None: it is not watched. The daemon sets it."""

    probe_s: ClassVar[float] = 8.0
    """How long `probe` may take."""

    asks_after_ms: int = 0
    """When no report has come for so long, the carrier may be asked; 0: it can't be."""

    def __init__(self, name: str) -> None:
        self.name = name

    def split(self, text: str) -> tuple[str, ...]:
        """Return the texts of the parts: the whole text where the carrier segments it itself."""
        return (text,)

    def room(self) -> int:
        """Return how many messages may be under way now: none while a lost link is about to come back."""
        return self.window

    def is_back(self) -> bool:
        """Return whether a connection that was lost has come back since this was asked last: it is tried at once."""
        return False

    async def start(self, record: Record) -> None:  # noqa: B027  # optional
        """Connect; from now on hand every report and every MO to `record`."""

    @abstractmethod
    async def send(self, part: Part) -> Taken:
        """Hand over one part, once. Raises Unavailable, Refused or Uncertain."""

    async def ask(self, sent: Sent) -> None:  # noqa: B027  # optional
        """Ask what became of a part; what is known is recorded as any report. Raises Unavailable without an answer."""

    async def recall(self, sent: Sent) -> bool:
        """Take back a part; return whether it will certainly reach no phone. Raises Unavailable without an answer."""
        return False

    async def fetch(self, url: str, limit_bytes: int) -> Photo:
        """Return a file that came with an MMS, from where the provider keeps it. Raises FetchFailed."""
        raise FetchFailed("unsupported", is_final=True)

    async def probe(self) -> str:
        """Ask the provider about the account, sending nothing; return its answer in a few words, for the operator.

        Works without `start`. Raises Refused (our credentials or options), Unavailable (no answer), BadOption (it tells
        what to do about it). Empty: it can't be asked.
        """
        return ""

    async def balance(self) -> Money:
        """Ask what the account has left. Raises Refused or Unavailable where that is not told."""
        raise Refused("balance", "it does not tell what is left")

    def webhook_url(self) -> str:
        """Return what to configure at the provider, with its secret; "" where there is no webhook."""
        return ""

    def events(self, call: Call) -> tuple[CarrierEvent, ...]:
        """Return what a webhook request of this provider tells. Raises PermissionError if it proves nothing,
        ValueError if it is the provider's and cannot be read. Carriers without webhooks refuse all.
        """
        raise PermissionError("this carrier has no webhook")

    async def receive(self, call: Call) -> tuple[CarrierEvent, ...]:
        """`events`, after whatever must be asked of the provider to prove the request."""
        return self.events(call)

    async def stop(self) -> None:  # noqa: B027  # optional
        """Finish what is under way and close."""
