"""What `check` says of limits: those that could count nothing, and those that are missing where SMS cost money."""

from __future__ import annotations

from collections.abc import Iterator

from mail2sms.config.quotas import DetectOptions
from mail2sms.config.schema import Settings
from mail2sms.rules._limits import DEFAULT, MESSAGES, Limits
from mail2sms.yamltext import Document, Fault, Steps


def quotas(settings: Settings, document: Document) -> Iterator[Fault]:
    """Amounts of money need prices in their currency; without any limit one stolen mailbox spends without end."""
    currencies = {
        price.currency for carrier in settings.carriers.values() for price in carrier.price.values()
    }
    for steps, limits in _all(settings):
        for limit in limits:
            if limit.is_money and limit.unit not in currencies:
                message = f"{limit} would count nothing: no carrier has prices in {limit.unit}"
                hint = f"write it in {currencies.pop()}" if currencies else "add carriers.NAME.price"
                yield Fault(message=message, place=document.place(steps), hint=hint, steps=steps)
    yield from _approval(settings, document)
    for country in settings.quotas.country:
        if country not in (DEFAULT, *settings.countries):
            steps = ("quotas", "country", country)
            message = f"{country} is not among countries: nothing is sent there"
            yield Fault(message=message, place=document.key_place(steps), steps=steps, is_warning=True)
    if settings.mode == "live" and not (settings.quotas.total or settings.quotas.cost):
        message = "nothing limits what is sent in all: one stolen mailbox could spend without end"
        place, hint = document.key_place(("quotas",)), "add quotas: {total: 5000/day, cost: 60 EUR/day}"
        yield Fault(message=message, place=place, hint=hint, steps=("quotas",), is_warning=True)


def _approval(settings: Settings, document: Document) -> Iterator[Fault]:
    above, steps = settings.quotas.approval_above, ("quotas", "approval_above")
    is_watched = settings.quotas.detect != DetectOptions()
    if not (above or is_watched):
        return
    if not settings.quotas.approvers:
        steps = steps if above else ("quotas", "detect")
        message = "nobody is told of what waits: only the command line releases it"
        hint = "add quotas.approvers"
        yield Fault(message=message, place=document.place(steps), hint=hint, steps=steps, is_warning=True)
    most = settings.limits.recipients
    if above and all(limit.unit == MESSAGES and limit.amount >= most for limit in above):
        message = f"nothing ever waits: a mail has at most {most} recipients (limits.recipients)"
        yield Fault(message=message, place=document.place(steps), steps=steps, is_warning=True)


def _all(settings: Settings) -> Iterator[tuple[Steps, Limits]]:
    options = settings.quotas
    for name in ("user", "number", "prefix", "total", "cost", "approval_above"):
        yield ("quotas", name), getattr(options, name)
    for country, limits in options.country.items():
        yield ("quotas", "country", country), limits
    for address, user in settings.users.items():
        yield ("users", address, "quota"), user.quota
    for name, team in settings.teams.items():
        yield ("teams", name, "quota"), team.quota
