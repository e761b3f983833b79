"""What `check` says of sender IDs: those that would not get through, are not registered, or are taken for another's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from mail2sms.clock import now_ms
from mail2sms.config import sending
from mail2sms.config.fields import did_you_mean
from mail2sms.config.schema import Settings
from mail2sms.errors import Problem
from mail2sms.model import SenderId
from mail2sms.reasons import sentence
from mail2sms.rules._base import NUMBER, Policy
from mail2sms.rules.sender_ids import about, is_name, notes, why_not
from mail2sms.yamltext import Document, Fault, Steps

_TOLD = frozenset(
    {
        "given_name",
        "registration.missing",
        "registration.pending",
        "registration.expired",
        "registration.ending",
    }
)
_LOST = "sender_id.numeric_only"


def sender_ids(settings: Settings, document: Document) -> Iterator[Fault]:
    """Judge every sender ID in every country that it would be used in."""
    policy = Policy(
        destinations=sending.known(settings.destinations),
        registrations=tuple(option.registration for option in settings.registrations),
    )
    others = tuple(region for region in settings.countries if region not in settings.sender_ids)
    for steps, sender_id, regions in _used(settings, others):
        yield from _judge(document, steps, sender_id, regions, policy, settings)


def _used(settings: Settings, others: tuple[str, ...]) -> Iterator[tuple[Steps, SenderId, tuple[str, ...]]]:
    """Every sender ID with its place and the countries that it would be used in."""
    for key, written in settings.sender_ids.items():
        if written != NUMBER:
            regions = others if key == "default" else (key,)
            yield ("sender_ids", key), SenderId(written), regions
    for address, user in settings.users.items():
        for i, sender_id in enumerate(user.sender_ids):
            yield ("users", address, "sender_ids", i), sender_id, settings.countries
    for name, team in settings.teams.items():
        for i, sender_id in enumerate(team.sender_ids):
            yield ("teams", name, "sender_ids", i), sender_id, settings.countries
    for name, device in settings.devices.items():
        for i, sender_id in enumerate(device.sender_ids):
            yield ("devices", name, "sender_ids", i), sender_id, settings.countries


def _judge(
    document: Document,
    steps: Steps,
    sender_id: SenderId,
    regions: tuple[str, ...],
    policy: Policy,
    settings: Settings,
) -> Iterator[Fault]:
    place = document.place(steps)
    problems = [(p.reason, region) for region in regions if (p := why_not(sender_id, region, policy))]
    for reason, group in groupby(sorted(problems), key=lambda found: found[0]):
        where = ", ".join(region for _, region in group)
        message = sentence(Problem(reason=reason, value=sender_id, facts={"country": where}))
        # One that is used in other countries too is refused there only: that may be meant.
        is_warning = len(problems) < len(regions)
        hint = f"add sender_ids.{where[:2]}: number" if reason == _LOST else "choose another"
        yield Fault(message=message, place=place, hint=hint, steps=steps, is_warning=is_warning)
    is_registered = any(r.sender_id.casefold() == sender_id.casefold() for r in policy.registrations)
    for other in sending.lookalikes(sender_id, settings.protected_names) if is_name(sender_id) else ():
        if not is_registered:
            message = f'"{sender_id}" looks like "{other}", which is protected'
            yield Fault(message=message, place=place, hint="registrations: [..] if it is yours", steps=steps)
    if settings.mode == "live":
        refused = {region for _, region in problems}
        yield from _noted(document, steps, sender_id, [r for r in regions if r not in refused], policy)


def _noted(
    document: Document, steps: Steps, sender_id: SenderId, regions: list[str], policy: Policy
) -> Iterator[Fault]:
    """What is worth a warning, once for all its countries."""
    now = now_ms()
    found: dict[str, list[str]] = {}
    for region in regions:
        for note in notes(sender_id, region, "", policy, now):
            if note.code in _TOLD:
                found.setdefault(note.code, []).append(region)
    for code, where in found.items():
        message = about(code, sender_id, ", ".join(where))
        yield Fault(message=message, place=document.place(steps), steps=steps, is_warning=True)


def registrations(settings: Settings, document: Document) -> Iterator[Fault]:
    """A registration is with a carrier that exists, and does not end before it begins."""
    for i, option in enumerate(settings.registrations):
        if option.carrier and option.carrier not in settings.carriers:
            steps: Steps = ("registrations", i, "carrier")
            hint = did_you_mean(option.carrier, settings.carriers)
            message = f'there is no carrier "{option.carrier}"'
            yield Fault(message=message, place=document.place(steps), hint=hint, steps=steps)
        if option.since and option.expires and option.expires < option.since:
            steps = ("registrations", i, "expires")
            yield Fault(message="it ends before it begins", place=document.place(steps), steps=steps)
