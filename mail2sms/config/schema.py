"""The options of mail2sms.yaml: their names, types and defaults, as the rest of the program gets them.

Each option is judged alone here; what options say of one another is in `references`. A carrier's options are declared
by its module. Numbers are E.164 and secrets references, read when needed. Adding an option is a field here and, when
the draft named it, its removal from UNSUPPORTED_KEYS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mail2sms.addresses import canonical
from mail2sms.config.consent import OptOutOptions, QuietOption
from mail2sms.config.devices import DeviceOption
from mail2sms.config.digest import Clock, DigestOptions
from mail2sms.config.listeners import Limits, Listen
from mail2sms.config.media import MediaOptions
from mail2sms.config.quotas import LimitsOption, QuotaOptions
from mail2sms.config.retention import RetentionOptions
from mail2sms.config.sending import DestinationOption, RegistrationOption
from mail2sms.config.values import (
    Address,
    AddressAsWritten,
    ApiKey,
    CarrierOption,
    Country,
    DatabaseUrl,
    Domain,
    HookOption,
    KeyHash,
    ListOfOne,
    Mode,
    Name,
    OwnNumber,
    PasswordHash,
    Phone,
    RouteTarget,
    SenderIdOption,
    SenderIdOrNumber,
    SenderKey,
    SenderPattern,
    TeamName,
    Template,
    Text,
)
from mail2sms.mailer import SmarthostOptions
from mail2sms.model import RELAYED_PROOFS, MessageClass, Msisdn, Proof, Team, User
from mail2sms.options import AbsolutePath, DurationMs, Flag, Networks, Options, Zone, whole
from mail2sms.prices import Prices
from mail2sms.routing import Route
from mail2sms.wording import Language

if TYPE_CHECKING:
    from mail2sms.intake.identity import SenderRule

_DAY_MS = 86_400_000

# What the draft of this file promises and the program does not do yet: refused by name, never silently ignored.
UNSUPPORTED_KEYS = frozenset({"reply_pages", "portal"})


ProofOption = Literal[
    "login",
    "certificate",
    "key",
    "dkim",
    "spf",
    "dmarc",
    "arc",
    "authentication_results",
    "microsoft_results",
]
_KEY_IN_ADDRESS = "key"  # elsewhere in the program that is an API key's proof


class TlsOptions(Options):
    """PEM files: the certificate with its chain, and its key."""

    certificate: AbsolutePath
    """The certificate with its chain, PEM. Example: /etc/mail2sms/tls/fullchain.pem"""
    key: AbsolutePath
    """Its private key, PEM, without a passphrase. Example: /etc/mail2sms/tls/privkey.pem"""
    client_ca: AbsolutePath | None = None
    """Clients are asked for certificates of these authorities, PEM. Example: /etc/mail2sms/tls/ca.pem"""


class SenderOption(Options):
    """Who may send, and the proof asked: mail from these networks, or one of `proof`; the first that holds counts.

    Where the results of a relay are believed, the networks are the relays', and prove nothing themselves.
    """

    pattern: SenderPattern = Field(alias="from")
    """The From address that the rule is about. Example: *@acme.example"""
    network: Networks = ()
    """Mail from there is believed to be from whom it says. Example: 10.1.0.20"""
    proof: Annotated[tuple[ProofOption, ...], ListOfOne] = ()
    """How the writer proves to be who they say; several: one of them. Example: login"""
    authserv_id: Text = ""
    """The name that the relay writes first in Authentication-Results. Example: mx.acme.example"""
    hops: Annotated[int, whole(1, 10)] = 1
    """Received lines that the relay puts on: only results above the last of them are believed. Example: 1"""
    sealers: Annotated[tuple[Domain, ...], ListOfOne] = ()
    """Whose ARC seals are believed. Example: lists.acme.example"""
    certificates: Annotated[tuple[Text, ...], ListOfOne] = ()
    """Names that a client's certificate may have; see tls.client_ca. Example: mx.acme.example"""
    teams: Flag = False
    """Who has logged in may also write as the `email` of a team that they belong to. Example: yes"""

    @property
    def is_relayed(self) -> bool:
        """Whether its networks are relays that are believed, and no proof of their own."""
        return bool(RELAYED_PROOFS.intersection(self.proof))

    @property
    def proofs(self) -> frozenset[Proof]:
        """Every proof that this rule takes."""
        own = frozenset({Proof.NETWORK}) if self.network and not self.is_relayed else frozenset()
        named = (Proof.ADDRESS_KEY if name == _KEY_IN_ADDRESS else Proof(name) for name in self.proof)
        return frozenset(named) | own


class UserOption(Options):
    """A person. `password` is an argon2id hash or a reference to one."""

    name: Text = ""
    """As people call them. Example: Marie Dubois"""
    number: OwnNumber | None = None
    """Their phone: what their messages show, and whose SMS come to them. Example: +33639980101"""
    sender_ids: Annotated[tuple[SenderIdOption, ...], ListOfOne] = ()
    """What their messages may show beside their number; the first is used where no number can be. Example: ACME"""
    teams: Annotated[tuple[Name, ...], ListOfOne] = ()
    """The teams that they belong to. Example: support"""
    language: Language | None = None
    """Of the emails that they receive; else `language`. Example: en"""
    password: PasswordHash | None = None
    """For logins: its argon2id hash, never the password itself. Example: file:/etc/mail2sms/marie"""
    keys: Annotated[tuple[KeyHash, ...], ListOfOne] = ()
    """Hashes of their keys for addresses, as the verb key makes them.
    Example: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"""
    timezone: Zone | None = None
    """For the times that they read and write; else `timezone`. Example: Europe/Paris"""
    class_: Literal["transactional", "marketing"] = Field("transactional", alias="class")
    """What they send; marketing keeps quiet hours. Example: marketing"""
    quota: LimitsOption = ()
    """How much they may send, instead of `quotas.user`. Example: 200/day"""
    receipts: Literal["asked", "always", "never"] = "asked"
    """Whether an email tells when all of a mail has arrived: for mails that ask for it, or all. Example: always"""
    digest: Clock | None = None
    """When a daily email tells what became of their messages. Example: 08:00"""


class TeamOption(Options):
    """Phones or people written to by one name; `number` is its own sender ID."""

    number: OwnNumber | None = None
    """What messages of its members may show; SMS to it come to `email`. Example: +33639980100"""
    sender_ids: Annotated[tuple[SenderIdOption, ...], ListOfOne] = ()
    """What messages of its members may show beside its number. Example: ACME Support"""
    email: Address | None = None
    """Where SMS to its number come. Example: support@acme.example"""
    members: Annotated[tuple[Address, ...], ListOfOne] = ()
    """Users whose phones are written to. Example: paul@acme.example"""
    phones: Annotated[tuple[Phone, ...], ListOfOne] = ()
    """Phones that are written to beside its members'. Example: +33639981234"""
    class_: Literal["transactional", "marketing"] = Field("transactional", alias="class")
    """What its members send; marketing keeps quiet hours. Example: marketing"""
    quota: LimitsOption = ()
    """How much its members together may send. Example: 1000/day"""


CHEAPEST = "cheapest"


class RouteOption(Options):
    """Recipients that match `to` go `via` these carriers in order, or are refused for a reason."""

    to: Annotated[tuple[RouteTarget, ...], ListOfOne]
    """The recipients that it is about. Example: FR"""
    writers: Annotated[tuple[SenderPattern, ...], ListOfOne] = Field(default=(), alias="from")
    """Only what these people send. Example: *@lab.acme.example"""
    sender_ids: Annotated[tuple[SenderIdOption, ...], ListOfOne] = ()
    """Only what shows one of these to the phone. Example: ACME"""
    via: Annotated[tuple[Text, ...], ListOfOne] = ()
    """Carriers by name; the next one is tried when one fails. cheapest: all with a price, by it. Example: sim"""
    share: dict[Text, Annotated[int, whole(0, 1000)]] = Field(default_factory=dict)
    """Instead of `via`: how many of all messages go first by each carrier. Example: {sim: 3, other: 1}"""
    refuse: Text = ""
    """Instead of `via`: why these numbers are not written to. Example: special-rate numbers"""


class Relay(Options):
    """Where replies and notices go."""

    smarthost: SmarthostOptions | None = None
    """The mail server that our emails leave by."""
    hooks: tuple[HookOption, ...] = ()
    """Chat rooms and web services that are told what happens."""
    digest: DigestOptions | None = None
    """The daily email about all messages."""


class KeyOption(Options):
    """One API key. `reply_to` gets the replies to what it sends; `sender_id` is what its messages show."""

    name: Name
    """What the log calls it. Example: booking"""
    key: ApiKey
    """The key itself, as the program sends it. Example: file:/etc/mail2sms/booking"""
    may: Annotated[tuple[Literal["read", "send"], ...], ListOfOne]
    """What it may do. Example: send"""
    sender_id: SenderIdOption | None = None
    """What its messages show. Example: ACME"""
    reply_to: Address | None = None
    """Who gets what phones answer. Example: desk@acme.example"""
    class_: Literal["transactional", "marketing", "alarm"] = Field("transactional", alias="class")
    """What it sends, unless an order says otherwise; alarms never wait for the morning. Example: alarm"""


class Api(Options):
    """The REST API."""

    keys: tuple[KeyOption, ...] = ()
    """The programs that may use it."""


class Settings(Options):
    """The whole configuration. Addresses that are keys stay as written; the methods below give their one form."""

    domain: Domain
    """The domain that is written to: NUMBER@domain is a phone. Example: sms.acme.example"""
    country: Country
    """Where numbers without + belong. Example: FR"""
    language: Language = "en"
    """Of the emails that people receive. Example: fr"""
    timezone: Zone = "UTC"
    """For times in mails and emails; where it is not set they are UTC, and say so. Example: Europe/Paris"""
    mode: Mode
    """simulate sends no SMS, trial only to phones of users and teams, live to all. Example: simulate"""
    database: DatabaseUrl
    """SQLite, or PostgreSQL for several nodes. Example: sqlite:////var/lib/mail2sms/mail2sms.db"""
    listen: Listen = Listen()
    """The doors: where mail and API calls are taken."""
    tls: TlsOptions | None = None
    """The certificate of the listeners."""
    senders: tuple[SenderOption, ...]
    """Who may send, and the proof asked; the first that matches counts, anyone else gets a 550."""
    users: dict[AddressAsWritten, UserOption] = Field(default_factory=dict)
    """People, by email address."""
    teams: dict[TeamName, TeamOption] = Field(default_factory=dict)
    """Groups that are written to by NAME@domain."""
    devices: dict[TeamName, DeviceOption] = Field(default_factory=dict)
    """Machines that send mail, such as UPSs: no template, long texts cut, storms told by one SMS."""
    template: Template = "strict"
    """What mail to the template mailbox follows. Example: strict"""
    template_mailbox: Name = "sms"
    """The mailbox whose mail follows `template`. Example: sms"""
    default_mailbox: Address | None = None
    """Who gets SMS that answer nobody. Example: reception@acme.example"""
    max_parts: Annotated[int, whole(1, 255)] = 4  # one octet counts them: 3GPP TS 23.040 section 9.2.3.24.1
    """A text that needs more parts is refused, never cut. Example: 4"""
    mms: Literal["off", "ignore", "link", "refuse"] = "ignore"
    """Pictures of mails go as MMS where they can (US, CA), else: ignore, link or refuse. off: none go. Example: link"""
    media: MediaOptions = MediaOptions()
    """Pictures of mails, and files of phones."""
    sender_ids: dict[SenderKey, SenderIdOrNumber] = Field(default_factory=dict)
    """What phones show as sender; number: the user's or team's own. Example: {default: ACME, FR: number}"""
    destinations: dict[Country, DestinationOption] = Field(default_factory=dict)
    """What you know better of a country's networks than the data that comes with the program."""
    registrations: tuple[RegistrationOption, ...] = ()
    """Which sender IDs are registered where."""
    protected_names: Annotated[tuple[Text, ...], ListOfOne] = ()
    """Others' names, which no sender ID may look like. Example: Poste"""
    countries: Annotated[tuple[Country, ...], ListOfOne]
    """The only countries that are written to. Example: FR"""
    quiet_hours: dict[SenderKey, QuietOption] = Field(default_factory=dict)
    """When phones of a country are not written to: it waits for their morning. Example: {FR: "21:00-08:00"}"""
    quiet_for: Literal["marketing", "all"] = "marketing"
    """What waits for the morning: marketing alone, or all but alarms. Example: all"""
    opt_out: OptOutOptions = OptOutOptions()
    """Phones that want no SMS: what they send, and what they are answered."""
    quotas: QuotaOptions = QuotaOptions()
    """How much may be sent: by whom, to whom, and in all."""
    carriers: dict[Name, CarrierOption]
    """Accounts at providers, by a name of yours."""
    routes: tuple[RouteOption, ...]
    """Which carriers a number is sent by; the first that matches counts."""
    relay: Relay = Relay()
    """Where replies and notices go."""
    on_unknown: Literal["hold", "resend"] = "hold"
    """A carrier's answer was lost: hold, or resend (it may arrive twice). Example: hold"""
    validity: DurationMs = 2 * _DAY_MS
    """How long a message is tried before it is given up. Example: 2d"""
    reply_window: DurationMs = 3 * _DAY_MS
    """So long an SMS goes to whoever wrote to that phone last. Example: 72h"""
    retention: RetentionOptions = RetentionOptions()
    """How long texts, photos and records are kept."""
    limits: Limits = Limits()
    """Ceilings of the listeners."""
    api: Api = Api()
    """The REST API."""

    @property
    def account(self) -> str:
        """Whose everything is that gets stored: today the one domain."""
        return self.domain

    def all_users(self) -> dict[str, User]:
        """Return the users by address. Who is a team's member is in its `teams`, wherever it was written."""
        return {
            address: self._user(address, option)
            for address, option in ((canonical(written), option) for written, option in self.users.items())
        }

    def _user(self, address: str, option: UserOption) -> User:
        joined = {name for name, team in self.teams.items() if address in team.members}
        names = joined.union(option.teams)
        classes = {option.class_, *(self.teams[name].class_ for name in names if name in self.teams)}
        return User(
            address=address,
            name=option.name,
            number=option.number,
            language=option.language,
            zone=option.timezone,
            teams=tuple(sorted(names)),
            class_=MessageClass.MARKETING if "marketing" in classes else MessageClass.TRANSACTIONAL,
            receipts=option.receipts,
            keys=option.keys,
        )

    def all_teams(self) -> dict[str, Team]:
        """Return the teams by name, with the members that users' `teams` add."""
        return {name: self._team(name, option) for name, option in self.teams.items()}

    def _team(self, name: str, option: TeamOption) -> Team:
        joined = [canonical(address) for address, user in self.users.items() if name in user.teams]
        return Team(
            name=name,
            number=option.number,
            email=option.email,
            members=tuple(dict.fromkeys([*option.members, *joined])),
            phones=option.phones,
        )

    def team_mailboxes(self) -> dict[str, Team]:
        """Return the teams by their email addresses."""
        return {canonical(team.email): team for team in self.all_teams().values() if team.email}

    def own_numbers(self) -> frozenset[Msisdn]:
        """Return the phones of users and teams: the only recipients of `mode: trial`."""
        phones = {user.number for user in self.users.values()}
        phones.update(phone for team in self.teams.values() for phone in (*team.phones, team.number))
        return frozenset(phone for phone in phones if phone)

    def route_table(self) -> tuple[Route, ...]:
        """Return the routes as `routing` takes them."""
        return tuple(self._route(option) for option in self.routes)

    def _route(self, option: RouteOption) -> Route:
        is_cheapest = option.via == (CHEAPEST,)
        return Route(
            to=option.to,
            writers=option.writers,
            sender_ids=option.sender_ids,
            via=tuple(self.carriers) if is_cheapest else option.via or tuple(option.share),
            shares=tuple(option.share.values()),
            is_cheapest=is_cheapest,
            refuse=option.refuse,
        )

    def price_table(self) -> Prices:
        """Return what one part costs by each carrier, as `prices` takes it."""
        return {name: carrier.price for name, carrier in self.carriers.items()}

    def sender_rules(self) -> tuple[SenderRule, ...]:
        """Return who may send as `identity` takes it."""
        from mail2sms.intake.identity import SenderRule

        return tuple(
            SenderRule(
                pattern=s.pattern,
                networks=s.network,
                proofs=s.proofs,
                authserv_id=s.authserv_id,
                hops=s.hops,
                sealers=frozenset(s.sealers),
                certificates=frozenset(map(str.lower, s.certificates)),
                is_for_teams=s.teams,
            )
            for s in self.senders
        )
