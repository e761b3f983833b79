"""The nouns of the bridge, as frozen values. Pure; knows no library, no database and no clock.

Times are UTC epoch milliseconds (`_at`), durations milliseconds (`_ms`) unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, NewType

from mail2sms.alarm import Alarm
from mail2sms.money import Money

Msisdn = NewType("Msisdn", str)
"""An E.164 number with `+`, as `numbers` makes it: once typed so, never checked again."""

SenderId = NewType("SenderId", str)
"""What the phone shows as sender: E.164 with `+`, a short code, or a name of at most 11 GSM characters."""


class Status(StrEnum):
    """Where a message stands. The only words for it, in code, tables, API and CLI."""

    QUEUED = "queued"
    SENDING = "sending"
    ENROUTE = "enroute"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


FINAL = frozenset({Status.DELIVERED, Status.UNDELIVERABLE, Status.EXPIRED, Status.REJECTED, Status.CANCELLED})
"""No work of ours is left; a late report may still correct EXPIRED."""


class MessageClass(StrEnum):
    """What a text is for. `consent` is our own answer to STOP, START and HELP; an alarm waits for no morning."""

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"
    ALARM = "alarm"
    CONSENT = "consent"


NoticeKind = Literal[
    "reply", "refused", "held", "approval", "limit", "undelivered", "receipt", "dsn", "digest",
    "silent", "back", "down", "up", "balance",
]  # fmt: skip
"""What somebody is told of."""


class Proof(StrEnum):
    """How the writer proved to be who they say."""

    LOGIN = "login"
    NETWORK = "network"
    KEY = "key"  # an API key
    ADDRESS_KEY = "address_key"  # a key of theirs in the address that they wrote to
    OPERATOR = "operator"  # the control socket
    CERTIFICATE = "certificate"  # the client's
    DKIM = "dkim"  # a signature of the author's domain
    SPF = "spf"  # the author's domain lists the client
    DMARC = "dmarc"  # one of both, as the author's domain asks
    ARC = "arc"  # a named forwarder saw dmarc pass
    AUTHENTICATION_RESULTS = "authentication_results"  # a relay of ours saw dmarc pass
    MICROSOFT_RESULTS = "microsoft_results"  # as before, in Microsoft's words
    DEVICE = "device"  # a machine of the configuration, by its login or its network


PROOFS_IN_MAIL = (
    Proof.AUTHENTICATION_RESULTS,
    Proof.MICROSOFT_RESULTS,
    Proof.DKIM,
    Proof.SPF,
    Proof.DMARC,
    Proof.ARC,
)
"""Those that only the mail shows, the cheap ones first."""

RELAYED_PROOFS = frozenset({Proof.AUTHENTICATION_RESULTS, Proof.MICROSOFT_RESULTS})
"""What a relay has written on a mail: believed from the networks of its rule alone."""

DIRECT_PROOFS = frozenset({Proof.LOGIN, Proof.CERTIFICATE, Proof.KEY, Proof.OPERATOR, Proof.DEVICE})
"""The client is the writer's own, so it is told in its own protocol (550, 4xx) and not by an email."""


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A person of the configuration. `receipts`: asked (by a mail), always or never.

    `keys` are the fingerprints of those that they write into addresses.
    """

    address: str
    name: str = ""
    number: Msisdn | None = None
    language: str | None = None
    zone: str | None = None
    teams: tuple[str, ...] = ()
    class_: MessageClass = MessageClass.TRANSACTIONAL
    receipts: str = "asked"
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """Phones or people that are written to by one name; `number` is its own sender ID."""

    name: str
    number: Msisdn | None = None
    email: str | None = None
    members: tuple[str, ...] = ()
    phones: tuple[Msisdn, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """Who writes, proven. `address` is where replies and notices go; empty for a key or device without one.

    `name` is what people, keys and devices are called.
    `acting` is the person where the address is their team's.
    """

    account: str
    address: str
    proof: Proof
    name: str = ""
    number: Msisdn | None = None
    language: str = "en"
    zone: str = "UTC"
    class_: MessageClass = MessageClass.TRANSACTIONAL
    receipts: str = "asked"
    acting: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether a refusal is told in the client's own protocol, without an email."""
        return self.proof in DIRECT_PROOFS


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """What of a mail did not become SMS text, and why: `signature`, `quote`, `after_marker`, `attachment`, ..."""

    kind: str
    lines: int
    sample: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The email (or API call) that a submission came from: what a threaded answer must refer to."""

    source: str  # smtp, api, cli
    message_id: str | None = None
    subject: str = ""
    references: tuple[str, ...] = ()
    thread_index: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """Everything between one of our addresses and one phone, for one account."""

    id: str
    account: str
    our_address: str
    msisdn: Msisdn
    writers: frozenset[str] = frozenset()  # who wrote in it, in lower case


@dataclass(frozen=True, kw_only=True, slots=True)
class Dsn:
    """What is to be reported of one recipient: what a client asked for (RFC 3461), and whether a receipt is owed.

    `notify` is NEVER, or of SUCCESS, FAILURE and DELAY; empty when nothing was said. `original` is the address that
    was written to first, with its type (`rfc822;marie@acme.example`); `envelope_id` is the sender's own. `report_to`
    is where reports go of what was asked for by name.
    """

    notify: tuple[str, ...] = ()
    original: str = ""
    envelope_id: str = ""
    ret: str = ""
    report_to: str = ""
    has_receipt: bool = False

    @property
    def wants_failure(self) -> bool:
        """Whether an email is to say that the recipient was not reached."""
        return not self.notify or "FAILURE" in self.notify

    def asks(self, event: str) -> bool:
        """Whether a report (RFC 3464) was asked for of SUCCESS, FAILURE or DELAY, by its name."""
        return event in self.notify and bool(self.report_to)


NO_DSN = Dsn()
"""Nothing was asked: failures are reported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """One address of the envelope: the phones that it stands for, none for those that the template names.

    `has_reply`: it hears by a reply of its own when none of its phones may be written to, so no email says it again.
    """

    phones: tuple[Msisdn, ...] = ()
    dsn: Dsn = NO_DSN
    has_reply: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Photo:
    """A picture or other file, of a mail or of an MO."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """A picture or other file at a URL: ours for a carrier, or a carrier's for us; its type as far as it is told."""

    url: str = field(repr=False)
    media_type: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What a proven writer asks for, as intake or the API read it: not yet judged, counted or stored."""

    id: str
    writer: Writer
    text: str
    recipients: tuple[Msisdn, ...]
    origin: Origin
    created_at: int
    sender_id: str | None = None  # as declared by the writer, unchecked
    send_at: int | None = None
    validity_ms: int | None = None
    reference: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    conversation: Conversation | None = None  # the mail answers one: its address is the sender ID
    addresses: tuple[Address, ...] = ()  # as SMTP was given them
    has_receipt: bool = False  # the writer is told when all of it is over
    answers_notice: bool = False  # it is an answer to an email of ours that is about a mail, not from a phone
    original: bytes = field(default=b"", repr=False)  # of the mail, what a report gives back
    alarm: Alarm | None = None  # a device's: it may be told together with others
    pictures: tuple[Photo, ...] = ()  # to go with it, as phones take them

    def dsns(self) -> dict[Msisdn, Dsn]:
        """Return what is to be reported of each recipient of whom something was said: as its first address asks."""
        found: dict[Msisdn, Dsn] = {}
        for address in self.addresses:
            for phone in address.phones or self.recipients:
                found.setdefault(phone, address.dsn)
        if self.has_receipt:
            found = {p: replace(found.get(p, NO_DSN), has_receipt=True) for p in self.recipients}
        return {phone: dsn for phone, dsn in found.items() if dsn != NO_DSN}


@dataclass(frozen=True, kw_only=True, slots=True)
class MtMessage:
    """One text to one recipient, as stored. `text` is filled when it is claimed to be sent.

    `attempts` counts the intents so far; `segments` is what is billed; `route` are carriers in order, and `costs` what
    it costs by each (all of one currency; empty: by none is it known).
    """

    id: str
    account: str
    submission: str
    conversation: str
    msisdn: Msisdn
    region: str
    sender_id: SenderId
    status: Status
    encoding: str
    segments: int
    route: tuple[str, ...]
    created_at: int
    due_at: int
    expires_at: int
    reason: str = ""
    detail: str = ""
    attempts: int = 0
    position: int = 0  # index into `route` of the carrier that is next (or has it)
    fence: int = 0
    updated_at: int = 0
    reference: str | None = None
    text: str = field(default="", repr=False)
    writer: str = ""
    subject: str = ""
    class_: MessageClass = MessageClass.TRANSACTIONAL
    costs: tuple[Money | None, ...] = ()
    dsn: Dsn = NO_DSN
    media: str = ""  # how its pictures go, if it has any: mms, link
    pictures: tuple[str, ...] = ()  # their media types, when it is claimed as MMS

    @property
    def carrier(self) -> str:
        """The carrier that is next, or that has it."""
        return self.route[self.position % len(self.route)] if self.route else ""

    @property
    def cost(self) -> Money | None:
        """What it costs by that carrier; None when its price is not known."""
        return self.costs[self.position % len(self.costs)] if self.costs else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What goes to a carrier in one request: the whole message where it splits itself, else one segment.

    `attempt_id` is ours, unique, committed before the first byte leaves; carriers that echo a reference get it.
    """

    message: str
    index: int
    count: int
    attempt_id: str
    attempt: int
    msisdn: Msisdn
    sender_id: SenderId
    encoding: str
    segments: int
    text: str = field(repr=False)
    reference: int = 0  # the concatenation reference, the same for all parts of a message (0 to 65535)
    expires_at: int = 0
    media: tuple[Media, ...] = ()  # its pictures: then it is an MMS


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """The carrier has it. `carrier_message_id` is what its reports will name.

    `others`: the carrier cut the part into segments, and reports of these have ids of their own.
    """

    carrier_message_id: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryReport:
    """What a carrier says became of a part. `event_id` tells repeats apart; `code` is the carrier's own.

    `is_opt_out`: it failed since the phone told the carrier that it wants no messages from this sender.
    `sent_at`: where ids come again, about when the part was sent. `segment`: the one that it is about of those that the
    carrier made of the part, by a name that stays the same; `segments`: how many these are, 0 where it does not tell.
    """

    carrier: str
    carrier_message_id: str
    status: Status
    at: int
    event_id: str
    code: str = ""
    attempt_id: str | None = None
    is_opt_out: bool = False
    sent_at: int | None = None
    segment: str = ""
    segments: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """How an event is known again whose carrier gives it no id.

    It may be the one whose id begins with `prefix` and that was stored from `since` until `until`.
    """

    prefix: str
    since: int
    until: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MoMessage:
    """One text from a phone, as its carrier brought it. `to` is our number (or name) it was sent to."""

    carrier: str
    event_id: str
    msisdn: Msisdn
    to: str
    at: int
    text: str = field(repr=False)
    photos: tuple[Photo, ...] = ()
    media: tuple[Media, ...] = ()  # what else came with it, to be fetched
    repeats: Repeats | None = None
