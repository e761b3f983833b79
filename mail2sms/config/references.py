"""What options say of one another: names that must exist, combinations that are dangerous.

Each check names the sections it looks at; it is left out when one of them could not be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from mail2sms import numbers
from mail2sms.addresses import canonical
from mail2sms.config import (
    carrier_checks,
    derived,
    device_checks,
    media,
    proof_checks,
    quota_checks,
    route_checks,
    sender_checks,
)
from mail2sms.config.fields import Reading, did_you_mean, is_said
from mail2sms.config.schema import Settings
from mail2sms.endpoint import Endpoint
from mail2sms.errors import BadNumber
from mail2sms.keywords import Word
from mail2sms.model import Proof
from mail2sms.options import Secret
from mail2sms.rules._base import NUMBER
from mail2sms.yamltext import Document, Fault, Steps

if TYPE_CHECKING:
    from mail2sms.intake.identity import SenderRule

_SMTP_PORT = 25
_PASSWORD_IN_URL = re.compile(r"://[^/@]*:[^/@]+@")


def judge(reading: Reading, document: Document, path: Path) -> list[Fault]:
    """Return what is wrong between options, leaving out what was already said of an option."""
    said = {fault.steps for fault in reading.faults}
    found: list[Fault] = []
    for sections, check in _CHECKS:
        if not reading.broken.intersection(sections.split()):
            found += check(reading.settings, document)
    if not reading.broken:
        found += _secrets_in_file(reading.settings, document, path)
    return [fault for fault in found if not is_said(said, fault.steps)]


def _error(document: Document, steps: Steps, message: str, hint: str = "") -> Fault:
    return Fault(message=message, place=document.place(steps), hint=hint, steps=steps)


def _key_error(document: Document, steps: Steps, message: str, hint: str = "") -> Fault:
    return Fault(message=message, place=document.key_place(steps), hint=hint, steps=steps)


def _warning(document: Document, steps: Steps, message: str, hint: str = "") -> Fault:
    return Fault(message=message, place=document.place(steps), hint=hint, steps=steps, is_warning=True)


def _users_and_teams(settings: Settings, document: Document) -> Iterator[Fault]:
    for address, user in settings.users.items():
        for i, name in enumerate(user.teams):
            if name not in settings.teams:
                steps = ("users", address, "teams", i)
                yield _error(
                    document, steps, f'there is no team "{name}"', did_you_mean(name, settings.teams)
                )
    addresses = {canonical(address) for address in settings.users}
    for name, team in settings.teams.items():
        for i, member in enumerate(team.members):
            if member not in addresses:
                steps = ("teams", name, "members", i)
                yield _error(document, steps, f'there is no user "{member}"', did_you_mean(member, addresses))


def _same_address(settings: Settings, document: Document) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for address in settings.users:
        known = first.setdefault(canonical(address), address)
        if known != address:
            line = document.key_place(("users", known)).line
            message = f'"{address}" is the same address as "{known}" on line {line}'
            yield _key_error(document, ("users", address), message, "capitals make no difference")


def _mailbox_and_teams(settings: Settings, document: Document) -> Iterator[Fault]:
    if settings.template_mailbox in settings.teams:
        message = f'"{settings.template_mailbox}" is the template_mailbox: no team can have that name'
        yield _key_error(
            document, ("teams", settings.template_mailbox), message, "rename the team or template_mailbox"
        )


def _opt_out(settings: Settings, document: Document) -> Iterator[Fault]:
    known = derived.words()
    for i, word in enumerate(settings.opt_out.words):
        found = known.find(word, "")
        if found is not None and found.word is not Word.STOP:
            message = f'"{word}" cannot be a word for STOP: it means {found.word.upper()}'
            yield _error(document, ("opt_out", "words", i), message)


def _marketing(settings: Settings, document: Document) -> Iterator[Fault]:
    """Whose marketing nothing holds at night."""
    if settings.quiet_hours:
        return
    classes: dict[Steps, str] = {("users", key): user.class_ for key, user in settings.users.items()}
    classes |= {("teams", name): team.class_ for name, team in settings.teams.items()}
    classes |= {("api", "keys", at): key.class_ for at, key in enumerate(settings.api.keys)}
    for steps, class_ in classes.items():
        if class_ == "marketing":
            hint = "add quiet_hours: {default: usual}"
            yield _warning(document, (*steps, "class"), "marketing goes out at any hour", hint)


def _senders(settings: Settings, document: Document) -> Iterator[Fault]:
    if not settings.senders:
        hint = '[{from: "*@acme.example", network: 127.0.0.1}]'
        yield _key_error(document, ("senders",), "no senders: nothing would be accepted", hint)
    for i, rule in enumerate(settings.senders):
        if not rule.proofs and rule.pattern == "*":
            message = "anyone could send paid SMS: a rule for everybody needs a proof"
            yield _error(document, ("senders", i), message, "add network: or proof: login")
        elif not rule.proofs:
            message = "a From address proves nothing: anyone can write one"
            yield _error(document, ("senders", i), message, "add network: or proof: login")
        for j, network in enumerate(rule.network):
            if network.prefixlen == 0:
                steps = ("senders", i, "network", j)
                yield _error(document, steps, f"{network} is the whole internet: that proves nothing")


def _sender_ids(settings: Settings, document: Document) -> Iterator[Fault]:
    """Who may write but would find no sender ID: every mail of theirs would be refused."""
    wishes = settings.sender_ids
    default = wishes.get("default", NUMBER)
    bare = [country for country in settings.countries if {wishes.get(country, default), default} == {NUMBER}]
    if not bare:
        return
    hint = "add sender_ids: {default: ACME}, or give each a number in users"
    for i, rule in enumerate(settings.sender_rules()):
        if who := _without_number(settings, rule):
            message = f"{who} would find no sender ID for {', '.join(bare)}: what they write would be refused"
            yield _warning(document, ("senders", i, "from"), message, hint)


def _without_number(settings: Settings, rule: SenderRule) -> str:
    """Return whom a rule lets write though neither they nor a team of theirs has a number; "" when it is nobody."""
    users, teams = settings.all_users(), settings.all_teams()
    is_open = rule.proofs != {Proof.LOGIN}  # else only users with a password can prove anything
    if is_open and "*" in rule.pattern:
        return "people without a number"
    asked = (
        {rule.pattern} if is_open else {canonical(a) for a, user in settings.users.items() if user.password}
    )
    for address in sorted(filter(rule.matches, asked)):
        user = users.get(address)
        numbers = (user.number, *(teams[name].number for name in user.teams if name in teams)) if user else ()
        if not any(numbers):
            return address
    return ""


def _logins(settings: Settings, document: Document) -> Iterator[Fault]:
    asked = [i for i, rule in enumerate(settings.senders) if Proof.LOGIN in rule.proofs]
    if not asked:
        return
    steps: Steps = ("senders", asked[0], "proof")
    doors = settings.listen.mail()
    if not any(
        mail.login != "no" and (mail.tls != "off" or name == "devices") for name, mail in doors.items()
    ):
        hint = 'add listen.submission: {address: "0.0.0.0:587"}'
        yield _error(document, steps, "nobody can log in: no listener has login and tls", hint)
    elif not any(user.password for user in settings.users.values()):
        yield _warning(
            document, steps, "nobody can log in: no user has a password", "add users.ADDRESS.password"
        )


def _listeners(settings: Settings, document: Document) -> Iterator[Fault]:
    if not settings.listen.mail():
        yield _warning(
            document, ("listen",), "no listener takes mail", 'add listen.smtp: {address: "127.0.0.1:2525"}'
        )
    for name, mail in settings.listen.mail().items():
        steps: Steps = ("listen", name)
        if mail.login != "no" and mail.tls == "off" and name != "devices":
            message = f'"login: {mail.login}" needs tls: no password is taken in clear'
            yield _error(document, (*steps, "login"), message, "tls: required")
        if mail.tls != "off" and not settings.tls:
            message = f'"tls: {mail.tls}" needs a certificate'
            yield _error(document, (*steps, "tls"), message, "add tls: {certificate: ..., key: ...}")
        for i, network in enumerate(mail.proxy):
            if network.prefixlen == 0:
                message = f"{network} is the whole internet: anyone could say who they are"
                yield _error(document, (*steps, "proxy", i), message)
    yield from _unsafe_doors(settings, document)
    web = settings.listen.web
    if web and not web.address.is_loopback and web.url.startswith("http:"):
        hint = "put a proxy with TLS before it, and its https URL here"
        yield _warning(
            document, ("listen", "web", "url"), "keys and texts travel in clear over the network", hint
        )


def _unsafe_doors(settings: Settings, document: Document) -> Iterator[Fault]:
    devices, lmtp = settings.listen.devices, settings.listen.lmtp
    if devices and not devices.address.is_private:
        message = "old TLS and passwords in clear: only at a private address of this machine"
        yield _error(
            document, ("listen", "devices", "address"), message, "such as 10.1.0.5:2525 or 127.0.0.1:2525"
        )
    if lmtp and lmtp.address.port == _SMTP_PORT:  # RFC 2033 section 5
        message = "port 25 is for SMTP: a mail server that speaks it would find LMTP there"
        yield _error(document, ("listen", "lmtp", "address"), message, "such as 127.0.0.1:2424")


def _ports(settings: Settings, document: Document) -> Iterator[Fault]:
    first: dict[Endpoint, str] = {}
    for name, address in settings.listen.addresses().items():
        known = first.setdefault(address, name)
        if known != name and (address.port or address.is_unix):
            message = f"listen.{known} has this address already"
            yield _error(document, ("listen", name, "address"), message)


def _simulated(settings: Settings, document: Document) -> Iterator[Fault]:
    if not settings.carriers:
        yield _key_error(
            document, ("carriers",), "no carriers: nothing could be sent", "{sim: {type: simulated}}"
        )
    for name, carrier in settings.carriers.items():
        if settings.mode == "live" and carrier.type == "simulated":
            message = '"mode: live" with a simulated carrier: its messages would reach no phone'
            yield _error(
                document, ("carriers", name, "type"), message, "mode: simulate, or remove the carrier"
            )
    types = {carrier.type for carrier in settings.carriers.values()}
    if settings.mode == "trial" and types == {"simulated"}:
        message = (
            '"mode: trial" with simulated carriers alone: no message reaches a phone, not even a user\'s'
        )
        yield _warning(document, ("mode",), message, "add a real carrier, or mode: simulate")


def _landlines(settings: Settings, document: Document) -> Iterator[Fault]:
    """A number of somebody's that no SMS reaches: good to be shown as the sender, and for nothing else."""
    for address, user in settings.users.items():
        try:
            numbers.read(user.number or "", settings.country)
        except BadNumber as e:
            if e.reason == "number.not_mobile":
                hint = "right where it is only to be shown as the sender"
                yield _warning(document, ("users", address, "number"), "no mobile: it gets no SMS", hint)


def _fiction(settings: Settings, document: Document) -> Iterator[Fault]:
    if settings.mode != "live":
        return
    owners: list[tuple[Steps, Any]] = [
        (("users", a, "number"), user.number) for a, user in settings.users.items()
    ]
    owners += [(("teams", n, "number"), team.number) for n, team in settings.teams.items()]
    for name, team in settings.teams.items():
        owners += [(("teams", name, "phones", i), p) for i, p in enumerate(team.phones)]
    for steps, phone in owners:
        if phone and numbers.is_fiction(phone):
            yield _warning(
                document, steps, "this is an example number: no phone has it", "refused in mode: live"
            )


def _smarthost(settings: Settings, document: Document) -> Iterator[Fault]:
    if not settings.relay.smarthost:
        hint = 'add relay: {smarthost: {address: "127.0.0.1:25"}}'
        yield _warning(document, ("relay",), "no smarthost: replies and refusals reach nobody by email", hint)


def _hooks(settings: Settings, document: Document) -> Iterator[Fault]:
    for i, hook in enumerate(settings.relay.hooks):
        if hook.url.is_literal and not hook.url.reference.startswith(("https://", "http://")):
            message = "expected a URL that starts with https:// or http://"
            yield _error(document, ("relay", "hooks", i, "url"), message)


def _limits(settings: Settings, document: Document) -> Iterator[Fault]:
    if settings.limits.size > settings.limits.bytes_in_flight:
        message = "one mail of limits.size would not fit into limits.bytes_in_flight"
        yield _key_error(document, ("limits",), message)


def _api_keys(settings: Settings, document: Document) -> Iterator[Fault]:
    names: dict[str, int] = {}
    secrets: dict[Secret, int] = {}
    for i, option in enumerate(settings.api.keys):
        if names.setdefault(option.name, i) != i:
            yield _error(document, ("api", "keys", i, "name"), f'another key is named "{option.name}"')
        known = secrets.setdefault(option.key, i)
        if known != i:
            message = f'this is the key of "{settings.api.keys[known].name}" too'
            yield _error(document, ("api", "keys", i, "key"), message, "give each its own")


def secrets(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Secret]]:
    """Return every secret of the settings with the way to it, those of carriers too."""
    if isinstance(value, Secret):
        yield steps, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from secrets(getattr(value, name), (*steps, field.alias or name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from secrets(item, (*steps, name))
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from secrets(item, (*steps, i))


def _secrets_in_file(settings: Settings, document: Document, path: Path) -> Iterator[Fault]:
    literal = [steps for steps, secret in secrets(settings) if secret.is_literal and steps[0] != "users"]
    if _PASSWORD_IN_URL.search(settings.database):
        literal.append(("database",))
    hashes = [steps for steps, secret in secrets(settings) if secret.is_literal and steps[0] == "users"]
    try:
        is_open = bool(path.stat().st_mode & 0o004)
    except OSError:  # the text was given without a file
        is_open = False
    # In simulate mode there is nothing to protect, and a file to try things with has the usual mode.
    is_warning = not is_open or settings.mode == "simulate"
    message = "every user of this machine can read this secret" if is_open else "a secret stands in this file"
    hint = f"chmod o-r {path.name}" if is_open else "credential:NAME, file:PATH or env:NAME keep it out"
    for steps in [*literal, *(hashes if is_open else [])]:
        yield Fault(
            message=message, place=document.place(steps), hint=hint, steps=steps, is_warning=is_warning
        )


_Check = Callable[[Settings, Document], Iterator[Fault]]
_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("routes carriers", route_checks.routes),
    ("users teams", _users_and_teams),
    ("users", _same_address),
    ("domain teams template_mailbox", _mailbox_and_teams),
    ("opt_out", _opt_out),
    ("quiet_hours users teams api", _marketing),
    ("senders", _senders),
    ("senders users teams sender_ids countries", _sender_ids),
    ("senders teams users", proof_checks.proofs),
    ("senders users", proof_checks.keys),
    ("senders tls listen", proof_checks.certificates),
    ("senders listen users", _logins),
    ("devices teams users mode max_parts", device_checks.devices),
    ("devices teams users template_mailbox", device_checks.names),
    ("devices senders", device_checks.networks),
    ("devices listen", device_checks.logins),
    ("devices sender_ids countries", device_checks.sender_ids),
    ("listen tls", _listeners),
    ("listen", _ports),
    ("carriers mode", _simulated),
    ("carriers listen mode", carrier_checks.webhooks),
    ("carriers", route_checks.currencies),
    ("carriers quotas", carrier_checks.balances),
    ("carriers countries routes", route_checks.prices),
    ("mms listen limits mode", media.check),
    ("mms listen limits mode devices carriers countries destinations", media.devices),
    ("users country", _landlines),
    ("users teams mode", _fiction),
    ("relay", _smarthost),
    ("relay", _hooks),
    ("limits", _limits),
    ("api", _api_keys),
    ("registrations carriers", sender_checks.registrations),
    ("quotas carriers countries users teams mode limits", quota_checks.quotas),
    (
        "sender_ids users teams devices countries mode destinations registrations protected_names",
        sender_checks.sender_ids,
    ),
)
