"""Carriers' webhooks: what to configure at each provider, and when it last told us something."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from mail2sms import carriers
from mail2sms.cli import Failed
from mail2sms.cli.control import Control
from mail2sms.doctor import Finding, Patient
from mail2sms.errors import BadOption

_ANSWER_S = 5.0


async def all_webhooks(patient: Patient) -> list[Finding]:
    """Each provider's exact URL, with its secret; whether it is used only the provider's calls tell."""
    settings = patient.settings
    named = {name: each for name, each in settings.carriers.items() if carriers.has_webhook(each)}
    if not named:
        return []
    if settings.listen.web is None:
        sentence = "there is no listen.web: providers can tell us nothing"
        remedy = ("listen: {web: {address: .., url: https://..}}",)
        return [Finding(name="webhooks", level="warn", sentence=sentence, remedy=remedy)]
    told = await asyncio.to_thread(_told, patient)
    base = settings.listen.web.url.rstrip("/")
    findings = []
    for name, options in named.items():
        try:
            carrier = carriers.load(options.type).build(name, options, patient.state)
        except BadOption:
            continue  # the look at carriers tells it
        carrier.events_url = f"{base}/events/{name}"
        findings.append(_finding(name, carrier.webhook_url(), told.get(name), patient))
    return findings


def _told(patient: Patient) -> dict[str, str]:
    try:
        found = Control(patient.socket, _ANSWER_S).health().get("webhooks", {})
    except Failed:  # the look at the daemon tells it
        return {}
    return dict(found)


def _finding(name: str, url: str, last: str | None, patient: Patient) -> Finding:
    title = f"{name} webhook"
    if last is None:
        remedy = (f"configure it at the provider:  {url}", "then let a phone write to one of its numbers")
        sentence = "the provider has told nothing since the daemon's start"
        return Finding(name=title, level="warn", sentence=sentence, remedy=remedy)
    ago_s = datetime.fromtimestamp(patient.now_ms / 1000, UTC) - datetime.fromisoformat(last)
    minutes = max(0, int(ago_s.total_seconds())) // 60
    return Finding(name=title, level="ok", sentence=f"{url} was told something {minutes} min ago")
