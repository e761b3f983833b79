"""What rules are given and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mail2sms.destinations import Destination
from mail2sms.errors import Problem
from mail2sms.media import Mms
from mail2sms.model import Msisdn, Proof, SenderId, Writer
from mail2sms.prices import Prices
from mail2sms.quiet import Quiet
from mail2sms.rules._limits import Quotas

NUMBER = "number"
"""In `sender_ids`: the writer's (or their team's) own number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """Where a sender ID stands with a country's authority or a carrier there (empty: all carriers).

    `state`: registered, pending or refused; `since` and `until` are epoch ms, 0 for never.
    """

    sender_id: SenderId
    region: str
    carrier: str = ""
    state: str = "registered"
    since: int = 0
    until: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """What becomes of pictures: MMS through these `carriers`, else `otherwise`: ignore, link or refuse; off: nothing.

    `devices` is what holds for those of machines instead, by their names: off for who is not among them. Without
    `has_links` nobody can fetch them from us. `limit_bytes` is what all carriers take; `prices` are of MMS.
    """

    otherwise: str = "off"
    devices: Mapping[str, str] = field(default_factory=dict)
    carriers: Mapping[str, Mms] = field(default_factory=dict)
    has_links: bool = False
    limit_bytes: int = 0
    prices: Prices = field(default_factory=dict)

    def otherwise_of(self, device: str) -> str:
        """Return what becomes of a device's that cannot go as MMS; without a name of people's."""
        return self.devices.get(device, "off") if device else self.otherwise


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What the configuration allows, and what it costs. `owned`: sender IDs of a writer's address, numbers first.

    `ours` are the phones of users and teams (for `mode: trial`); `simulated_number` stands in for API calls that
    name no sender in `mode: simulate`. `quiet_hours` are by country and `default`; unless for all, for marketing.
    """

    mode: str = "simulate"
    country: str = "FR"
    countries: frozenset[str] = frozenset()
    max_parts: int = 4
    recipients: int = 50
    sender_ids: dict[str, str] = field(default_factory=dict)
    owned: dict[str, tuple[SenderId, ...]] = field(default_factory=dict)
    ours: frozenset[Msisdn] = frozenset()
    simulated_number: SenderId | None = None
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    registrations: tuple[Registration, ...] = ()
    prices: Prices = field(default_factory=dict)
    quiet_hours: Mapping[str, Quiet] = field(default_factory=dict)
    is_quiet_for_all: bool = False
    quotas: Quotas = field(default_factory=Quotas)
    pictures: Pictures = field(default_factory=Pictures)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptOut:
    """A phone that must not be written to, from `our_address` in lower case (empty: from none of ours).

    `source` is keyword, operator, api, import or carrier; `who` did it.
    """

    msisdn: Msisdn
    our_address: str
    source: str
    keyword: str
    who: str
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the store knows of what is judged, read before.

    `tallies` are counters of the past days, `blocks` the phones of a block of numbers that were written to lately.
    """

    opt_outs: tuple[OptOut, ...] = ()
    tallies: Mapping[str, int] = field(default_factory=dict)
    blocks: Mapping[str, frozenset[Msisdn]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Questions:
    """What the detectors must know: counters, and which phones of these blocks were written to since a time."""

    keys: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    since: int = 0
    most: int = 0  # phones of a block; more of them are one too many anyway


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """`amount` more of `key`, if that leaves it at or under `limit`; forgotten after `until`.

    With `is_shared`, all messages of an email or API call have theirs or none has.
    """

    key: str
    amount: int
    limit: int
    until: int
    is_shared: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A message waits until somebody approves it. `reason` is a code for people, `detail` for who decides.

    `then` is counted when it is released.
    """

    reason: str
    detail: str
    then: tuple[Reservation, ...] = ()

    def and_for(self, other: Hold) -> Hold:
        """Return the hold of a message that waits for another reason too."""
        return replace(self, detail=f"{self.detail}; {other.detail}", then=self.then + other.then)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One message that would be: who writes, to which phone, in how many segments."""

    writer: Writer
    msisdn: Msisdn
    region: str
    text: str = field(repr=False, default="")
    segments: int = 1


def who(writer: Writer) -> str:
    """Return whom a writer's messages are counted for: keys and devices may name any address for the replies."""
    if writer.proof in (Proof.KEY, Proof.DEVICE):
        return f"{writer.proof} {writer.name}"
    return writer.acting or writer.address.lower() or "operator"  # as a team one has no more than as oneself


Verdict = Problem | None
"""None: it may go."""
