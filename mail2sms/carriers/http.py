"""Any provider with an HTTP API, by configuration: what is asked, where the answer has its id, what webhooks mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from mail2sms.carriers import _wording
from mail2sms.carriers._answers import Verdict, dig, failure, raised, said, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent, OptionFinding
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import as_json, base64_of, digest, fields, moment, must, must_be_fresh, same
from mail2sms.carriers._request import HttpRequest
from mail2sms.endpoint import Endpoint
from mail2sms.http import Answer
from mail2sms.model import Part, Status, Taken
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
    """Where the provider's code of an error is. Example: error.code"""
    codes: dict[Word, Kind] = Field(default_factory=dict)
    """What its codes mean: permanent, config, optout, spend, throttle, retry. Example: {"21610": optout}"""


class EventOptions(Section):
    """What stands where in a webhook's JSON, form or query."""

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
    """An HMAC over the time, if there is one, and the body."""

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
    answer: AnswerOptions = AnswerOptions()
    """What an answer means."""
    events: EventOptions = EventOptions()
    """What its webhook tells."""
    signature: SignatureOptions | None = None
    """How its webhook is signed; else its path holds a secret."""

    def findings(self) -> Iterator[OptionFinding]:
        """Names that there are not, a host that is filled in, an answer that tells nothing."""
        yield from super().findings()
        for option, template in (("url", self.url), ("body", self.body)):
            yield from _wording.strange(template, option)
        for template in self.headers.values():
            yield from _wording.strange(template, "headers")
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.netloc or "{" in parts.netloc:
            message, hint = "expected a URL whose host is written out", "such as https://sms.example/send"
            yield OptionFinding(option="url", message=message, hint=hint, is_warning=False)
        elif parts.scheme == "http" and not Endpoint(parts.hostname or "", 0).is_loopback:
            message = "plain http would show texts and passwords to the network"
            yield OptionFinding(option="url", message=message, hint="write https", is_warning=False)
        if not (self.answer.id or self.answer.after or self.answer.success):
            message = "nothing would tell that a message was taken"
            hint = "add answer: {id: ..}, {after: ..} or {success: ..}"
            yield OptionFinding(option="", message=message, hint=hint, is_warning=False)


class Http(HttpCarrier):
    """One account."""

    provider = "http"
    abilities = Abilities(title="any other, by configuration", signs="HMAC, if it has one")

    def __init__(self, name: str, options: Options) -> None:
        parts = urlsplit(options.url)
        super().__init__(name, options, f"{parts.scheme}://{parts.netloc}")
        self._options = options
        self._secret = options.secret.reveal() if options.secret else ""
        self._key = options.signature.key.reveal() if options.signature else ""

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """The templates, filled in."""
        options = self._options
        values = {
            "to": part.msisdn,
            "to_digits": part.msisdn.removeprefix("+"),
            "from": part.sender_id,
            "from_digits": part.sender_id.removeprefix("+"),
            "text": part.text,
            "id": part.attempt_id,
            "secret": self._secret,
            "valid_s": str(max(0, part.expires_at // 1000 - now_s)),
        }
        body = _wording.fill(options.body, values, _wording.WAYS[options.format])
        named = {name: _wording.fill(line, values, str) for name, line in options.headers.items()}
        kind = {"Content-Type": _wording.TYPES[options.format]} if options.body else {}
        parts = urlsplit(options.url)
        path = options.url.removeprefix(f"{parts.scheme}://{parts.netloc}")
        return HttpRequest(
            url=self.api + _wording.fill(path, values, _wording.as_url),
            method=options.method,
            headers=kind | named,
            body=body.encode("utf-8", "replace") if options.body else None,
        )

    def ids(self, answer: Any) -> Sequence[str]:
        return [_at(answer, self._options.answer.id)]

    def code(self, answer: Any) -> str:
        path = self._options.answer.code
        return word(_at(answer, path)) if path else ""

    def accepted(self, answer: Answer) -> Taken:
        """As the configuration reads it: codes first, then what must stand in it, then the id."""
        told, found = self._options.answer, said(answer)
        code = self.code(found)
        if code in told.codes:
            scope = "account" if told.codes[code] == "config" else "message"
            raise raised(
                Verdict(kind=told.codes[code], scope=scope, meaning="refused"), code, answer.retry_after_s
            )
        whole = answer.body.decode("utf-8", "replace")
        is_taken = 200 <= answer.status < 300 and (told.success in whole if told.success else not code)
        if is_taken and told.after:
            words = whole.partition(told.after)[2].split(maxsplit=1)
            id_ = word(words[0]) if words else ""
        else:
            id_ = word(_at(found, told.id))
        if not is_taken or not (id_ or (told.success and not told.id and not told.after)):
            raise failure(self.provider, answer, "" if is_taken else code)
        return Taken(carrier_message_id=id_)

    def has_signature(self) -> bool:
        return self._options.signature is not None

    def check_signature(self, call: Call) -> None:
        """An HMAC as the configuration has it."""
        options = self._options.signature
        assert options is not None
        at = call.headers.get(options.timestamp.lower(), "") if options.timestamp else ""
        signed = f"{at}.".encode("utf-8", "replace") + call.body if options.timestamp else call.body
        made = digest(self._key, signed, options.algorithm)
        ours = options.prefix + (made.hex() if options.encoding == "hex" else base64_of(made))
        must(same(call.headers.get(options.header.lower(), ""), ours), "the signature is wrong")
        if options.timestamp:
            must_be_fresh(at, call)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """Give the report or the text, from where the configuration says."""
        told = self._options.events
        is_json = call.body.lstrip()[:1] in (b"{", b"[")
        found: Any = as_json(call) if is_json else fields(call)
        status = word(_at(found, told.status))
        if status:
            known = told.statuses.get(status)
            yield from self.report(
                id_=_at(found, told.id),
                status=Status(known) if known else None,
                at=call.at,
                code=_at(found, told.code) if told.code else "",
                attempt=_at(found, told.attempt) if told.attempt else "",
            )
        elif _at(found, told.sender) is not None:
            yield self.mo(
                id_=_at(found, told.id),
                sender=_at(found, told.sender),
                to=_at(found, told.to),
                said=_at(found, told.text),
                at=moment(None, call),
            )


def _at(value: Any, path: str) -> Any:
    if not path:
        return None
    return dig(value, *(int(step) if step.isdigit() else step for step in path.split(".")))


def build(name: str, options: Options, folder: Path) -> Http:
    """Return the account. Raises BadOption when a secret can't be had or a template is none."""
    return Http(name, options)
