"""The options of mail2sms.yaml: their names, types and defaults, as the rest of the program gets them.

Each option is judged alone here; what options say of one another is in `references`. A carrier's options are declared
by its module. Numbers are E.164 and secrets references, read when needed. Adding an option is a field here and, when
the draft named it, its removal from UNSUPPORTED_KEYS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mail2sms.config.values import (
    AbsolutePath,
    Address,
    AddressAsWritten,
    ApiKey,
    CarrierOption,
    Country,
    DatabaseUrl,
    Domain,
    HookOption,
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
    Url,
    whole,
)
from mail2sms.mailer import SmarthostOptions
from mail2sms.model import Msisdn, Proof, Team, User
from mail2sms.options import (
    DurationMs,
    Endpoint,
    EndpointOption,
    Networks,
    Options,
    SizeBytes,
    Zone,
)
from mail2sms.routing import Route
from mail2sms.wording import Language

if TYPE_CHECKING:
    from mail2sms.intake.identity import SenderRule

_DAY_MS = 86_400_000

# What the draft of this file promises and the program does not do yet: refused by name, never silently ignored.
UNSUPPORTED_KEYS = frozenset(
    {
        "listen.devices", "listen.lmtp", "devices", "quotas", "quiet_hours", "opt_out", "reply_pages", "retention",
        "portal", "users.*.quota", "teams.*.quota",
    }
)  # fmt: skip
UNSUPPORTED_VALUES = {
    "listen.smtp.tls": frozenset({"legacy"}),
    "listen.submission.tls": frozenset({"legacy"}),
    "routes.*.via": frozenset({"cheapest"}),
    "senders.*.proof": frozenset(
        {"dkim", "spf", "dmarc", "arc", "certificate", "authentication_results", "key"}
    ),
}


class SmtpListener(Options):
    """Mail from your mail server. `login: optional` lets networks of `senders` in beside people who log in."""

    address: EndpointOption
    tls: Literal["off", "offered", "required"] = "off"
    login: Literal["no", "optional", "required"] = "no"


class SubmissionListener(SmtpListener):
    """Mail from people's mail programs (RFC 6409)."""

    tls: Literal["off", "offered", "required"] = "required"
    login: Literal["no", "optional", "required"] = "required"


class WebListener(Options):
    """API and carriers' events. `url` is how others reach it."""

    address: EndpointOption
    url: Url


class Listen(Options):
    """The doors."""

    smtp: SmtpListener | None = None
    submission: SubmissionListener | None = None
    web: WebListener | None = None

    def mail(self) -> dict[str, SmtpListener]:
        """Return the listeners that take mail, by name."""
        both = {"smtp": self.smtp, "submission": self.submission}
        return {name: listener for name, listener in both.items() if listener}

    def addresses(self) -> dict[str, Endpoint]:
        """Return where each configured listener listens, by name."""
        found = {name: listener.address for name, listener in self.mail().items()}
        return {**found, "web": self.web.address} if self.web else found


class TlsOptions(Options):
    """PEM files: the certificate with its chain, and its key."""

    certificate: AbsolutePath
    key: AbsolutePath


class SenderOption(Options):
    """Who may send, and the proof asked: mail from these networks, or a login."""

    pattern: SenderPattern = Field(alias="from")
    network: Networks = ()
    proof: Annotated[tuple[Literal["login"], ...], ListOfOne] = ()

    @property
    def proofs(self) -> frozenset[Proof]:
        """Every proof that this rule takes."""
        return frozenset(map(Proof, self.proof)) | (
            frozenset({Proof.NETWORK}) if self.network else frozenset()
        )


class UserOption(Options):
    """A person. `password` is an argon2id hash or a reference to one."""

    name: Text = ""
    number: OwnNumber | None = None
    teams: Annotated[tuple[Name, ...], ListOfOne] = ()
    language: Language | None = None
    password: PasswordHash | None = None
    timezone: Zone | None = None


class TeamOption(Options):
    """Phones or people written to by one name; `number` is its own sender ID."""

    number: OwnNumber | None = None
    email: Address | None = None
    members: Annotated[tuple[Address, ...], ListOfOne] = ()
    phones: Annotated[tuple[Phone, ...], ListOfOne] = ()


class RouteOption(Options):
    """Recipients that match `to` go `via` these carriers in order, or are refused for a reason."""

    to: Annotated[tuple[RouteTarget, ...], ListOfOne]
    via: Annotated[tuple[Text, ...], ListOfOne] = ()
    refuse: Text = ""


class Relay(Options):
    """Where replies and notices go."""

    smarthost: SmarthostOptions | None = None
    hooks: tuple[HookOption, ...] = ()


class Limits(Options):
    """Ceilings of the SMTP listeners. Networks of `senders` are exempt from `per_ip`."""

    connections: Annotated[int, whole(1, 100_000)] = 200
    per_ip: Annotated[int, whole(1, 100_000)] = 10
    bytes_in_flight: SizeBytes = 64_000_000
    recipients: Annotated[int, whole(1, 10_000)] = 50
    size: SizeBytes = 1_000_000


class KeyOption(Options):
    """One API key. `reply_to` gets the replies to what it sends; `sender_id` is what its messages show."""

    name: Name
    key: ApiKey
    may: Annotated[tuple[Literal["read", "send"], ...], ListOfOne]
    sender_id: SenderIdOption | None = None
    reply_to: Address | None = None


class Api(Options):
    """The REST API."""

    keys: tuple[KeyOption, ...] = ()


class Settings(Options):
    """The whole configuration. Addresses that are keys stay as written; the methods below give them in lower case."""

    domain: Domain
    country: Country
    language: Language = "en"
    timezone: Zone = "UTC"
    mode: Mode
    database: DatabaseUrl
    listen: Listen = Listen()
    tls: TlsOptions | None = None
    senders: tuple[SenderOption, ...]
    users: dict[AddressAsWritten, UserOption] = Field(default_factory=dict)
    teams: dict[TeamName, TeamOption] = Field(default_factory=dict)
    template: Template = "strict"
    template_mailbox: Name = "sms"
    default_mailbox: Address | None = None
    max_parts: Annotated[int, whole(1, 255)] = 4  # one octet counts them: 3GPP TS 23.040 section 9.2.3.24.1
    sender_ids: dict[SenderKey, SenderIdOrNumber] = Field(default_factory=dict)
    countries: Annotated[tuple[Country, ...], ListOfOne]
    carriers: dict[Name, CarrierOption]
    routes: tuple[RouteOption, ...]
    relay: Relay = Relay()
    on_unknown: Literal["hold", "resend"] = "hold"
    validity: DurationMs = 2 * _DAY_MS
    reply_window: DurationMs = 3 * _DAY_MS
    limits: Limits = Limits()
    api: Api = Api()

    @property
    def account(self) -> str:
        """Whose everything is that gets stored: today the one domain."""
        return self.domain

    def all_users(self) -> dict[str, User]:
        """Return the users by address. Who is a team's member is in its `teams`, wherever it was written."""
        return {
            written.lower(): self._user(written.lower(), option) for written, option in self.users.items()
        }

    def _user(self, address: str, option: UserOption) -> User:
        joined = {name for name, team in self.teams.items() if address in team.members}
        return User(
            address=address,
            name=option.name,
            number=option.number,
            language=option.language,
            zone=option.timezone,
            teams=tuple(sorted(joined.union(option.teams))),
        )

    def all_teams(self) -> dict[str, Team]:
        """Return the teams by name, with the members that users' `teams` add."""
        return {name: self._team(name, option) for name, option in self.teams.items()}

    def _team(self, name: str, option: TeamOption) -> Team:
        joined = [address.lower() for address, user in self.users.items() if name in user.teams]
        return Team(
            name=name,
            number=option.number,
            email=option.email,
            members=tuple(dict.fromkeys([*option.members, *joined])),
            phones=option.phones,
        )

    def own_numbers(self) -> frozenset[Msisdn]:
        """Return the phones of users and teams: the only recipients of `mode: trial`."""
        phones = {user.number for user in self.users.values()}
        phones.update(phone for team in self.teams.values() for phone in (*team.phones, team.number))
        return frozenset(phone for phone in phones if phone)

    def route_table(self) -> tuple[Route, ...]:
        """Return the routes as `routing` takes them."""
        return tuple(Route(to=option.to, via=option.via, refuse=option.refuse) for option in self.routes)

    def sender_rules(self) -> tuple[SenderRule, ...]:
        """Return who may send as `identity` takes it."""
        from mail2sms.intake.identity import SenderRule

        return tuple(SenderRule(pattern=s.pattern, networks=s.network, proofs=s.proofs) for s in self.senders)
