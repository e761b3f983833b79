"""What a file says of a provider that the carrier `http` speaks to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from mail2sms.carriers import _wording
from mail2sms.carriers._base import OptionFinding
from mail2sms.carriers._options import HttpOptions
from mail2sms.endpoint import Endpoint
from mail2sms.options import Options as Section
from mail2sms.options import SecretOption, Written

Word = Annotated[str, Written("a word", stands_for="WORD")]
Kind = Literal["permanent", "config", "optout", "spend", "throttle", "retry"]
Reported = Literal["enroute", "delivered", "undeliverable", "expired", "rejected"]


class AnswerOptions(Section):
    """What stands where in an answer. Paths go through JSON by names and numbers: messages.0.id."""

    id: str = ""
    """Where the message's id is; without one, its reports can't be told apart. Example: messages.0.id"""
    after: str = ""
    """In an answer that is no JSON: the id is the word after this text. Example: "OK:\""""
    success: str = ""
    """What must stand in an answer for the message to be taken. Example: queued"""
    code: str = ""
    """Where the provider's code of an error is; in a 2xx, one that `codes` lacks is a doubt. Example: error.code"""
    codes: dict[Word, Kind] = Field(default_factory=dict)
    """What its codes mean: permanent, config, optout, spend, throttle, retry. Example: {"21610": optout}"""


class EventOptions(Section):
    """What stands where in a webhook's JSON or form, or, where nothing is signed, in its query."""

    id: str = "id"
    """The message's id. Example: message.id"""
    status: str = "status"
    """What became of it; a request that has this is a report. Example: status"""
    statuses: dict[Word, Reported] = Field(default_factory=dict)
    """What its statuses are here. Example: {DELIVRD: delivered}"""
    code: str = ""
    """Why it failed. Example: error"""
    attempt: str = ""
    """Where {id} of the request comes back: settles lost answers. Example: reference"""
    sender: str = "from"
    """The phone that wrote. Example: msisdn"""
    to: str = "to"
    """The number of ours that it wrote to. Example: recipient"""
    text: str = "text"
    """What it wrote. Example: body"""


class SignatureOptions(Section):
    """An HMAC over the time, if there is one, and the body. What else a request says counts for nothing."""

    key: SecretOption
    """What it is made with. Example: credential:hmac"""
    header: str = "X-Signature"
    """Where it is. Example: X-Hub-Signature-256"""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    """How it is made. Example: sha512"""
    encoding: Literal["hex", "base64"] = "hex"
    """How it is written. Example: base64"""
    prefix: str = ""
    """What stands before it. Example: sha256="""
    timestamp: str = ""
    """The header with the Unix time that is signed too, before the body and a dot. Example: X-Timestamp"""


class Options(HttpOptions):
    """One account at a provider that this file describes."""

    signed_by = "signature"
    is_asked = True

    method: Literal["POST", "GET", "PUT"] = "POST"
    """How it is asked. Example: GET"""
    url: str
    """What is asked; {to}, {text} and others are filled in. Example: https://sms.example/send?to={to_digits}"""
    headers: dict[Word, str] = Field(default_factory=dict)
    """Headers; {secret} keeps credentials out of this file. Example: {Authorization: "Bearer {secret}"}"""
    secret: SecretOption | None = None
    """What {secret} stands for. Example: credential:sms_provider"""
    format: Literal["json", "form", "xml", "text"] = "json"
    """What the body is, and so how values are written in it. Example: form"""
    body: str = ""
    """The body; names in braces are filled in. Example: to={to}&from={from}&text={text}"""
    status_url: str = ""
    """What is asked about a message (`query`), by GET; its answer is read as `events`. Example: https://sms.example/{id}"""
    answer: AnswerOptions = AnswerOptions()
    """What an answer means."""
    events: EventOptions = EventOptions()
    """What its webhook tells."""
    signature: SignatureOptions | None = None
    """How its webhook is signed; else its path holds a secret, as it must where the fields stand in the query."""

    def findings(self) -> Iterator[OptionFinding]:
        """Names that there are not, a host that is filled in, an answer that tells nothing."""
        yield from super().findings()
        for option, template in (("url", self.url), ("body", self.body)):
            yield from _wording.strange(template, option)
        for template in self.headers.values():
            yield from _wording.strange(template, "headers")
        yield from _wording.strange(self.status_url, "status_url", _wording.ASKED)
        yield from _host_findings("url", self.url)
        if self.status_url:
            yield from _host_findings("status_url", self.status_url)
        elif self.query:
            hint = "add status_url: what is asked about a message"
            yield OptionFinding(
                option="query", message="nothing says what is asked", hint=hint, is_warning=False
            )
        if not (self.answer.id or self.answer.after or self.answer.success):
            message = "nothing would tell that a message was taken"
            hint = "add answer: {id: ..}, {after: ..} or {success: ..}"
            yield OptionFinding(option="", message=message, hint=hint, is_warning=False)


def _host_findings(option: str, url: str) -> Iterator[OptionFinding]:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.netloc or "{" in parts.netloc:
        message, hint = "expected a URL whose host is written out", "such as https://sms.example/send"
        yield OptionFinding(option=option, message=message, hint=hint, is_warning=False)
    elif parts.scheme == "http" and not Endpoint(parts.hostname or "", 0).is_loopback:
        message = "plain http would show texts and passwords to the network"
        yield OptionFinding(option=option, message=message, hint="write https", is_warning=False)
