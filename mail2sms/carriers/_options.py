"""The options that every HTTP provider has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from mail2sms.carriers._base import CarrierOptions, OptionFinding
from mail2sms.endpoint import Endpoint
from mail2sms.errors import BadOption
from mail2sms.money import BALANCE_PATTERN, Money, read_balance
from mail2sms.options import (
    Count,
    DurationMs,
    Networks,
    Options,
    SecretOption,
    Written,
    read_list,
)


def read_base_url(value: Any) -> str:
    """https, or http on this machine or in a private network; without a slash at its end."""
    url = str(value).strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise BadOption(f'expected a URL, got "{value}"', "such as https://api.example.com")
    return url


def _read_host(value: Any) -> str:
    host = str(value).strip().lower()
    if not _HOST.fullmatch(host):
        raise BadOption(
            f'expected the name of a host, got "{value}"', "such as media.example or .media.example"
        )
    return host


_HOST = re.compile(r"\.?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
HostName = Annotated[str, BeforeValidator(_read_host), Written("a host's name", "^[.a-zA-Z0-9-]+$")]
BaseUrl = Annotated[str, BeforeValidator(read_base_url), Written("a URL", "^https?://.+$")]


BalanceOption = Annotated[
    Money,
    BeforeValidator(read_balance),
    Written("an amount with its currency, or credits (20 EUR, 100 credits)", BALANCE_PATTERN),
]


class WebhookOptions(Options):
    """What a provider's webhook must show, beside its signature, if it has one."""

    secret: SecretOption | None = None
    """The last step of its URL: what proves the provider where nothing is signed. Example: credential:webhook"""
    networks: Networks = ()
    """Where its requests come from; none: from anywhere. Example: 192.0.2.0/24"""


class HttpOptions(CarrierOptions):
    """Options of every HTTP provider."""

    api: BaseUrl | None = None
    """The API's base URL, if not the provider's own; plain http on this machine only. Example: https://api.example"""
    timeout: DurationMs = 20_000
    """How long an answer may take; after that nobody knows whether the message was taken. Example: 20s"""
    at_once: Count = 10
    """Requests under way at once. Example: 10"""
    media_hosts: Annotated[tuple[HostName, ...], BeforeValidator(read_list)] = ()
    """Where the provider keeps what phones send, beside what is known; .NAME: all below. Example: .media.example"""
    webhook: WebhookOptions = WebhookOptions()
    """What its webhook must show."""
    balance_below: BalanceOption | None = None
    """Less than that left there, and `quotas.approvers` are told; it is asked for each hour. Example: 20 EUR"""

    query: DurationMs = 0
    """When no report came for so long, the provider is asked; for where nothing reaches us from outside. Example: 5m"""

    is_asked: ClassVar[bool] = False
    """Whether it tells what became of a message when it is asked."""
    signed_by: ClassVar[str | None] = ""
    """The option without which its webhooks are not signed; "" where they never are, None where there are none."""
    balance_in: ClassVar[str | None] = None
    """The currency in which it tells what is left, "" where that depends; None where it does not tell."""
    is_local: ClassVar[bool] = False
    """Whether it may be a device of one's own: then plain http may go to its private network."""

    @property
    def watched_balance(self) -> Money | None:
        return self.balance_below

    def _balance_findings(self) -> Iterator[OptionFinding]:
        below, told_in = self.balance_below, self.balance_in
        if below is None or told_in in ("", below.currency):
            return
        message, hint = "this provider does not tell what is left", "leave it out"
        if told_in is not None:
            message = f"this provider counts in {told_in}"
            hint = f"such as {below.amount} {told_in}"
        yield OptionFinding(option="balance_below", message=message, hint=hint, is_warning=False)

    def findings(self) -> Iterator[OptionFinding]:
        """Plain http, webhooks that prove little or nothing, what the provider does not tell."""
        yield from self._balance_findings()
        if self.query and not self.is_asked:
            message = "this provider does not tell what became of a message when it is asked"
            yield OptionFinding(option="query", message=message, hint="leave it out", is_warning=False)
        parts = urlsplit(self.api or "")
        if parts.scheme == "http" and not Endpoint(parts.hostname or "", 0).is_loopback:
            if not (self.is_local and Endpoint(parts.hostname or "", 0).is_private):
                message = "plain http would show texts and passwords to the network"
                yield OptionFinding(option="api", message=message, hint="write https", is_warning=False)
            else:
                message = "texts and the password go through your network unencrypted"
                yield OptionFinding(option="api", message=message, hint="https, if the device can")
        if self.signed_by is None or (self.signed_by and getattr(self, self.signed_by)):
            return
        also = f", or {self.signed_by}" if self.signed_by else ""
        if self.webhook.secret is None:
            lacks = "no replies come" if self.query else "no reports and no replies come"
            message = f"nothing would prove its webhook, so it is refused: {lacks}"
            asked = (
                "; or query: 5m, where nothing may come in from outside"
                if self.is_asked and not self.query
                else ""
            )
            yield OptionFinding(
                option="", message=message, hint=f"add webhook: {{secret: credential:NAME}}{also}{asked}"
            )
        elif not self.webhook.networks:
            message = "its webhook is not signed: whoever learns its URL can forge reports and replies"
            yield OptionFinding(
                option="webhook", message=message, hint=f"add networks: where it calls from{also}"
            )
