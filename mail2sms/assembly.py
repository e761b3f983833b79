"""What follows from the settings alone and is built anew by a reload, ready to be swapped in one step.

Nothing of it is changed once it is built: whatever is under way keeps what it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mail2sms import carriers, certificates
from mail2sms.accept import Accept
from mail2sms.addresses import canonical
from mail2sms.carriers._base import Carrier
from mail2sms.carriers.simulated import Options as SimulatedOptions
from mail2sms.carriers.simulated import Simulated
from mail2sms.carriers.simulated import build as build_simulated
from mail2sms.certificates import Certificate
from mail2sms.config import derived, media
from mail2sms.config.schema import Settings
from mail2sms.inbound import Inbound
from mail2sms.intake.desk import Desk
from mail2sms.intake.identity import Identity
from mail2sms.intake.limits import Limits
from mail2sms.intake.mailauth import Mailauth
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.mailer import Mailer
from mail2sms.media import Links
from mail2sms.model import MessageClass, SenderId
from mail2sms.pictures import Pictures
from mail2sms.relay.digest import Subscription
from mail2sms.relay.letters import Letters
from mail2sms.render import Render
from mail2sms.store import Store
from mail2sms.web.app import ApiKey, KeyRing


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What stays as long as the process. `simulated_number` is the simulated carrier's, if there is one."""

    store: Store
    sandbox: Sandbox
    mailauth: Mailauth
    simulated_number: SenderId | None
    pictures: Pictures = field(default_factory=Pictures)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The doors and what they know, for one state of the settings."""

    settings: Settings
    accept: Accept
    inbound: Inbound
    identity: Identity
    desk: Desk
    receiver: Receiver
    letters: Letters
    digests: tuple[Subscription, ...]
    mailer: Mailer | None
    limits: Limits
    certificate: Certificate | None
    keys: tuple[ApiKey, ...]
    key_ring: KeyRing
    passwords: dict[str, str]
    links: Links | None

    def changed_logins(self, other: Parts) -> frozenset[str]:
        """Return whose password here is another there, or none."""
        known = self.passwords.items()
        return frozenset(name for name, hashed in known if other.passwords.get(name) != hashed)


def assemble(settings: Settings, base: Base) -> Parts:
    """Build all of it. Reads secrets, certificate and template, so it is not for the event loop.

    Raises BadOption, TemplateInvalid, OSError (ssl.SSLError is one) or UnicodeDecodeError when one can't be had.
    """
    policy = derived.policy(settings, base.simulated_number)
    links = media.links(settings, base.store.reply_secret)
    accept = Accept(base.store, policy, settings.route_table(), settings.validity, links)
    passwords = _passwords(settings)
    identity = Identity(
        rules=settings.sender_rules(),
        users=settings.all_users(),
        passwords=passwords,
        account=settings.account,
        language=settings.language,
        zone=settings.timezone,
        devices=derived.devices(settings),
        teams=settings.team_mailboxes(),
    )
    desk = derived.desk(settings)
    smarthost, keys = settings.relay.smarthost, _keys(settings)
    return Parts(
        settings=settings,
        accept=accept,
        inbound=Inbound(
            base.store,
            settings.account,
            _owners(settings),
            settings.default_mailbox or "",
            settings.reply_window,
            derived.consent(settings, policy),
            derived.acknowledge(settings, policy),
        ),
        identity=identity,
        desk=desk,
        receiver=Receiver(desk, identity, accept, base.store, base.sandbox, base.mailauth, base.pictures),
        letters=Letters(base.store, derived.house(settings), Render()),
        digests=derived.digests(settings),
        mailer=Mailer(smarthost, hello=settings.domain) if smarthost is not None else None,
        limits=derived.limits(settings),
        certificate=certificates.load(settings.tls) if settings.tls else None,
        keys=keys,
        key_ring=KeyRing(keys),
        passwords=passwords,
        links=links,
    )


def _owners(settings: Settings) -> dict[str, str]:
    """Return whose mailbox is behind each of our numbers."""
    owners = {user.number: address for address, user in settings.all_users().items() if user.number}
    for team in settings.all_teams().values():
        mailbox = team.email or (team.members[0] if team.members else "")
        if team.number and mailbox:
            owners[team.number] = mailbox
    return {str(number): address for number, address in owners.items()}


def _passwords(settings: Settings) -> dict[str, str]:
    """Return the argon2id hashes by address, and devices' by login. Raises BadOption when one can't be read."""
    known = {canonical(address): user.password for address, user in settings.users.items()}
    known |= {device.login: device.password for device in settings.devices.values() if device.login}
    return {name: password.reveal() for name, password in known.items() if password is not None}


def _keys(settings: Settings) -> tuple[ApiKey, ...]:
    return tuple(
        ApiKey(
            name=option.name,
            secret=option.key,
            may=frozenset(option.may),
            sender_id=option.sender_id,
            reply_to=option.reply_to,
            class_=MessageClass(option.class_),
        )
        for option in settings.api.keys
    )


def build_carriers(settings: Settings, folder: Path) -> dict[str, Carrier]:
    """Return the carriers by name; in `mode: simulate` the simulated one stands for each. Raises BadOption."""
    built: dict[str, Carrier] = {}
    for name, options in settings.carriers.items():
        if settings.mode == "simulate" and not isinstance(options, SimulatedOptions):
            built[name] = build_simulated(name, SimulatedOptions(type="simulated"), folder)
        else:
            built[name] = carriers.load(options.type).build(name, options, folder)
        built[name].rates, built[name].balance_below = options.rates, options.watched_balance
        if settings.listen.web is not None:
            built[name].events_url = f"{settings.listen.web.url.rstrip('/')}/events/{name}"
    return built


def simulated_number(built: Mapping[str, Carrier]) -> SenderId | None:
    """Return the number that stands in for API calls without a sender; None unless a carrier is simulated."""
    simulated = [carrier for carrier in built.values() if isinstance(carrier, Simulated)]
    return SenderId(simulated[0].number) if simulated else None
