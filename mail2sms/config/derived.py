"""Settings -> what each part of the program is given. Reads the template and our own texts, nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from mail2sms import keywords, quiet
from mail2sms.acknowledge import Acknowledge
from mail2sms.addresses import canonical
from mail2sms.certificates import Certificate
from mail2sms.config import devices as machines
from mail2sms.config import media, sending
from mail2sms.config.consent import USUAL
from mail2sms.config.quotas import quotas
from mail2sms.config.schema import Settings
from mail2sms.consent import Consent
from mail2sms.intake import template as templates
from mail2sms.intake.desk import Desk
from mail2sms.intake.devices import Device
from mail2sms.intake.envelope import ListenerOptions, Tls
from mail2sms.intake.limits import Limits
from mail2sms.intake.vigil import Watched
from mail2sms.model import Msisdn, Proof, SenderId
from mail2sms.quiet import Quiet
from mail2sms.relay.digest import Subscription
from mail2sms.relay.house import House
from mail2sms.render import own_folder
from mail2sms.rules._base import NUMBER, Policy
from mail2sms.verdict import Judge
from mail2sms.wording import LANGUAGES

SHIPPED = ("strict", "simple", "subject")
"""The templates that come with the program."""


def policy(settings: Settings, simulated_number: SenderId | None = None) -> Policy:
    """Return what may be sent. `simulated_number` as in Policy."""
    return Policy(
        mode=settings.mode,
        country=settings.country,
        countries=frozenset(settings.countries),
        max_parts=settings.max_parts,
        recipients=settings.limits.recipients,
        sender_ids=dict(settings.sender_ids),
        owned=_owned(settings),
        ours=settings.own_numbers(),
        simulated_number=simulated_number,
        quiet_hours=_quiet_hours(settings),
        is_quiet_for_all=settings.quiet_for == "all",
        destinations=sending.known(settings.destinations),
        registrations=tuple(option.registration for option in settings.registrations),
        prices=settings.price_table(),
        quotas=quotas(settings),
        pictures=media.pictures(settings),
    )


def _quiet_hours(settings: Settings) -> dict[str, Quiet]:
    """Return the quiet hours by country; `usual` is what the shipped table says of it."""
    if not settings.quiet_hours:
        return {}
    usual = quiet.read_usual(_lines("quiet_hours"))
    written = dict(settings.quiet_hours)
    if written.get(quiet.DEFAULT) == USUAL:
        written = {**dict.fromkeys(usual, USUAL), **written}
    found: dict[str, Quiet] = {}
    for country, periods in written.items():
        known = usual.get(country) or usual[quiet.DEFAULT]
        found[country] = known if isinstance(periods, str) else replace(known, periods=periods)
    return found


def _lines(name: str) -> list[str]:
    """Return the lines of one of our own texts for phones."""
    return (own_folder() / "sms" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def _owned(settings: Settings) -> dict[str, tuple[SenderId, ...]]:
    """Return what each user may send as beside their own number: their teams' numbers, then names."""
    teams = settings.all_teams()
    owned: dict[str, tuple[SenderId, ...]] = {}
    named = {canonical(written): option.sender_ids for written, option in settings.users.items()}
    for address, user in settings.all_users().items():
        shared = [name for name in user.teams if name in teams]
        own = [SenderId(number) for name in shared if (number := teams[name].number)]
        names = [*named[address], *(each for name in shared for each in settings.teams[name].sender_ids)]
        owned[address] = tuple(dict.fromkeys([*own, *names]))
    owned |= {f"device {name}": device.sender_ids for name, device in settings.devices.items()}
    for address, team in settings.team_mailboxes().items():  # what is written as the team
        shared_names = settings.teams[team.name].sender_ids
        of_team = (SenderId(team.number),) if team.number else ()
        owned.setdefault(address, (*of_team, *shared_names))
    return owned


def consent(settings: Settings, policy: Policy) -> Consent:
    """Return how STOP, START and HELP are read and answered."""
    name = policy.sender_ids.get("default", NUMBER)
    is_name = name != NUMBER and any(c.isalpha() for c in name)
    return Consent(
        keywords=words().with_stop(settings.opt_out.words),
        account=settings.account,
        house=name if is_name else settings.domain,
        answers=_answers() if settings.opt_out.reply else {},
        judge=Judge(policy, settings.route_table(), settings.validity),
        silent=frozenset(name for name, carrier in settings.carriers.items() if carrier.answers_keywords),
        is_everywhere=settings.opt_out.scope == "all",
    )


def acknowledge(settings: Settings, policy: Policy) -> Acknowledge | None:
    """Return how alarms are acknowledged; None where there are no devices."""
    if not settings.devices:
        return None
    words = _words(f"{settings.language}_alarms")
    judge = Judge(policy, settings.route_table(), settings.validity)
    return Acknowledge(account=settings.account, words=words, judge=judge)


def words() -> keywords.Keywords:
    """Return the keywords that come with the program."""
    return keywords.read(_lines("keywords"))


def _answers() -> dict[str, dict[str, str]]:
    """Return our answers to keywords, by language and word."""
    return {language: _words(language) for language in LANGUAGES}


def house(settings: Settings) -> House:
    """Return how we present ourselves."""
    return House(
        domain=settings.domain,
        country=settings.country,
        template_mailbox=settings.template_mailbox,
        language=settings.language,
        zone=settings.timezone,
        users=settings.all_users(),
        web_url=settings.listen.web.url if settings.listen.web else "",
        may_mean_stop=words().may_mean_stop,
    )


def digests(settings: Settings) -> tuple[Subscription, ...]:
    """Return who gets a daily digest: of all messages, or else of their own."""
    known, found = house(settings), dict[str, Subscription]()
    own = {canonical(written): option.digest for written, option in settings.users.items()}
    for address, at in own.items():
        if at is not None:
            zone = known.addressee(address).zone
            found[address] = Subscription(address=address, at=at, zone=zone, is_all=False)
    option = settings.relay.digest
    for address in option.to if option else ():
        assert option is not None
        zone = known.addressee(address).zone
        found[address] = Subscription(
            address=address, at=option.at, zone=zone, is_all=True, when_empty=option.when_empty
        )
    return tuple(found.values())


def desk(settings: Settings) -> Desk:
    """Return how mails are read. Raises TemplateInvalid, OSError for a template that can't be used."""
    return Desk(
        account=settings.account,
        domain=settings.domain,
        country=settings.country,
        template_mailbox=settings.template_mailbox,
        template=template(settings.template),
        simple=template("simple"),
        teams=_phones(settings),
        devices=frozenset(name for name, device in settings.devices.items() if device.to),
        takes_keys=any(Proof.ADDRESS_KEY in rule.proofs for rule in settings.senders),
    )


def _phones(settings: Settings) -> dict[str, tuple[Msisdn, ...]]:
    """Return the phones of teams that have any, by lower-case name."""
    users = settings.all_users()
    phones: dict[str, tuple[Msisdn, ...]] = {}
    for name, team in settings.all_teams().items():
        numbers = [users[m].number for m in team.members if m in users]
        phones[name.lower()] = tuple(dict.fromkeys([*team.phones, *(n for n in numbers if n)]))
    return {name: found for name, found in phones.items() if found}


def devices(settings: Settings) -> tuple[Device, ...]:
    """Return the machines that send mail."""
    return machines.devices(settings, _phones(settings), _words(f"{settings.language}_alarms"))


def watched(settings: Settings) -> tuple[Watched, ...]:
    """Return the devices that must be heard of now and then."""
    return tuple(
        Watched(name=name, silent_ms=device.silent_after, to=device.replies_to)
        for name, device in settings.devices.items()
        if device.silent_after and device.replies_to
    )


def _words(name: str) -> dict[str, str]:
    """Return our own words for phones from one of the texts, by what they are for."""
    pairs = (line.partition(":") for line in _lines(name))
    return {word: text.strip() for word, _, text in pairs}


def template(name: str) -> templates.Template:
    """Return a shipped template, or the one in a file. Raises TemplateInvalid, OSError, UnicodeDecodeError."""
    shipped = own_folder() / "intake" / f"{name}.txt"
    path = shipped if name in SHIPPED else Path(name)
    return templates.compile_template(path.read_text(encoding="utf-8"), name)


_LEGACY: dict[str, Tls] = {"legacy": "offered", "legacy-implicit": "implicit"}


def listener(settings: Settings, door: str, certificate: Certificate | None) -> ListenerOptions:
    """Return how a listener speaks."""
    option = settings.listen.mail()[door]
    context = None
    if certificate is not None:
        context = certificate.legacy if door == "devices" else certificate.modern
    return ListenerOptions(
        hostname=settings.domain,
        tls=cast(Tls, _LEGACY.get(option.tls, option.tls)),
        login=option.login,
        context=context,
        is_lmtp=door == "lmtp",
        is_lenient=door == "devices",
        has_dsn=True,
        proxies=option.proxy,
    )


def limits(settings: Settings) -> Limits:
    """Return the ceilings of the listeners."""
    limits = settings.limits
    return Limits(
        connections=limits.connections,
        per_ip=limits.per_ip,
        bytes_in_flight=limits.bytes_in_flight,
        recipients=limits.recipients,
        size_bytes=limits.size,
    )
