"""Settings -> what each part of the program is given. Reads the template's file, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from mail2sms.certificates import Certificate
from mail2sms.config import sending
from mail2sms.config.schema import Settings
from mail2sms.intake import template as templates
from mail2sms.intake.envelope import ListenerOptions, Tls
from mail2sms.intake.limits import Limits
from mail2sms.intake.reading import Desk
from mail2sms.model import Msisdn, SenderId
from mail2sms.relay.letters import House
from mail2sms.render import own_folder
from mail2sms.rules._base import Policy

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
        destinations=sending.known(settings.destinations),
        registrations=tuple(option.registration for option in settings.registrations),
        prices=settings.price_table(),
    )


def _owned(settings: Settings) -> dict[str, tuple[SenderId, ...]]:
    """Return what each user may send as beside their own number: their teams' numbers, then names."""
    teams = settings.all_teams()
    owned: dict[str, tuple[SenderId, ...]] = {}
    named = {written.lower(): option.sender_ids for written, option in settings.users.items()}
    for address, user in settings.all_users().items():
        shared = [name for name in user.teams if name in teams]
        own = [SenderId(number) for name in shared if (number := teams[name].number)]
        names = [*named[address], *(each for name in shared for each in settings.teams[name].sender_ids)]
        owned[address] = tuple(dict.fromkeys([*own, *names]))
    return owned


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
    )


def desk(settings: Settings) -> Desk:
    """Return how mails are read. Raises TemplateInvalid, OSError for a template that can't be used."""
    users = settings.all_users()
    phones: dict[str, tuple[Msisdn, ...]] = {}
    for name, team in settings.all_teams().items():
        numbers = [users[m].number for m in team.members if m in users]
        phones[name.lower()] = tuple(dict.fromkeys([*team.phones, *(n for n in numbers if n)]))
    return Desk(
        account=settings.account,
        domain=settings.domain,
        country=settings.country,
        template_mailbox=settings.template_mailbox,
        template=template(settings.template),
        simple=template("simple"),
        teams={name: found for name, found in phones.items() if found},
    )


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
        has_dsn=door in {"smtp", "lmtp"},
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
