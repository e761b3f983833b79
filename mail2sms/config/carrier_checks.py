"""What `check` says of carriers: what each one's module finds, and how their webhooks reach us."""

from __future__ import annotations

from collections.abc import Iterator

from mail2sms import carriers
from mail2sms.config.schema import Settings
from mail2sms.yamltext import Document, Fault, Steps


def webhooks(settings: Settings, document: Document) -> Iterator[Fault]:
    """Options that go badly together; providers that would tell us something, and no door that they find."""
    for name, options in settings.carriers.items():
        here: Steps = ("carriers", name)
        for found in options.findings():
            steps: Steps = (*here, found.option) if found.option else here
            place = document.place(steps) if found.option else document.key_place(steps)
            yield Fault(
                message=found.message, place=place, hint=found.hint, steps=steps, is_warning=found.is_warning
            )
    tells = [name for name, options in settings.carriers.items() if carriers.has_webhook(options)]
    web = settings.listen.web
    if not tells or settings.mode == "simulate" or (web and web.url.startswith("https://")):
        return
    message = f"{', '.join(tells)} could not reach us: no reports and no replies come"
    hint = "listen.web.url is what they see, and begins with https://"
    steps = ("listen", "web", "url") if web else ("listen",)
    place = document.place(steps) if web else document.key_place(steps)
    yield Fault(message=message, place=place, hint=hint, steps=steps, is_warning=True)


def balances(settings: Settings, document: Document) -> Iterator[Fault]:
    """Accounts that are watched for nobody."""
    if settings.quotas.approvers:
        return
    for name, options in settings.carriers.items():
        if options.watched_balance is not None:
            steps: Steps = ("carriers", name, "balance_below")
            message = "nobody would be told that little is left"
            place = document.place(steps)
            yield Fault(
                message=message, place=place, hint="add quotas.approvers", steps=steps, is_warning=True
            )
