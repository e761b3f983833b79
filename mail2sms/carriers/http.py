"""Any provider with an HTTP API, by configuration: what is asked, where the answer has its id, what webhooks mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mail2sms.carriers import _wording
from mail2sms.carriers._answers import Verdict, dig, failure, raised, said, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._described import Options
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._proofs import (
    as_json,
    asked,
    base64_of,
    digest,
    fields,
    moment,
    must,
    must_be_fresh,
    pairs,
    same,
)
from mail2sms.carriers._request import HttpRequest
from mail2sms.heard import Sent
from mail2sms.http import Answer
from mail2sms.model import Part, Status, Taken

__all__ = ["Http", "Options", "build"]


class Http(HttpCarrier):
    """One account."""

    provider = "http"
    abilities = Abilities(title="any other, by configuration", signs="HMAC, if it has one")

    def __init__(self, name: str, options: Options) -> None:
        parts = urlsplit(options.url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        super().__init__(name, options, self._origin)
        self._options = options
        self._secret = options.secret.reveal() if options.secret else ""
        self._key = options.signature.key.reveal() if options.signature else ""

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """The templates, filled in."""
        options = self._options
        valid_s = str(max(0, part.expires_at // 1000 - now_s))
        values = self._values(part, part.attempt_id) | {"text": part.text, "valid_s": valid_s}
        body = _wording.fill(options.body, values, _wording.WAYS[options.format])
        kind = {"Content-Type": _wording.TYPES[options.format]} if options.body else {}
        return HttpRequest(
            url=self._url(options.url, values),
            method=options.method,
            headers=kind | self._headers(values),
            body=body.encode("utf-8", "replace") if options.body else None,
        )

    def asking(self, sent: Sent, now_s: int) -> HttpRequest | None:
        """The URL for it, if there is one, with the same headers."""
        if not self._options.status_url:
            return None
        values = self._values(sent, sent.carrier_message_id) | {"text": "", "valid_s": "0"}
        url = self._url(self._options.status_url, values)
        return HttpRequest(url=url, method="GET", headers=self._headers(values))

    def _values(self, about: Part | Sent, id_: str) -> dict[str, str]:
        return {
            "to": about.msisdn,
            "to_digits": about.msisdn.removeprefix("+"),
            "from": about.sender_id,
            "from_digits": about.sender_id.removeprefix("+"),
            "id": id_,
            "secret": self._secret,
        }

    def _url(self, template: str, values: Mapping[str, str]) -> str:
        is_api = template.startswith(f"{self._origin}/")
        start = self.api if is_api else ""
        return start + _wording.fill(template.removeprefix(self._origin * is_api), values, _wording.as_url)

    def _headers(self, values: Mapping[str, str]) -> dict[str, str]:
        return {name: _wording.fill(line, values, str) for name, line in self._options.headers.items()}

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
            scope = "account" if told.codes[code] in ("config", "spend") else "message"
            raise raised(
                Verdict(kind=told.codes[code], scope=scope, meaning="refused"), code, answer.retry_after_s
            )
        whole, is_ok = answer.body.decode("utf-8", "replace"), 200 <= answer.status < 300
        is_taken = is_ok and (told.success in whole if told.success else not code)
        if is_taken and told.after:
            words = whole.partition(told.after)[2].split(maxsplit=1)
            id_ = word(words[0]) if words else ""
        else:
            id_ = word(_at(found, told.id))
        if not is_taken or not (id_ or (told.success and not told.id and not told.after)):
            # A code that is not in the list may be this provider's way to say that all is well.
            raise failure(self.provider, answer, code, may_be_taken=is_ok)
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
        """Give the report or the text, from where the configuration says; where requests are signed, from what is."""
        told = self._options.events
        found = self._found(call)
        if word(_at(found, told.status)):
            yield from self._reported(found, _at(found, told.id), call.at)
        elif _at(found, told.sender) is not None:
            yield self.mo(
                id_=_at(found, told.id),
                sender=_at(found, told.sender),
                to=_at(found, told.to),
                said=_at(found, told.text),
                at=moment(None, call),
            )
        elif self.has_signature() and asked(call).keys() & {told.status, told.sender}:
            raise ValueError("the signature covers the body, and what is told stands in the query")

    def _found(self, call: Call) -> Any:
        if call.body.lstrip()[:1] in (b"{", b"["):
            return as_json(call)
        return dict(pairs(call)) if self.has_signature() else fields(call)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        """As a report, which may leave out whose it is."""
        yield from self._reported(answer, sent.carrier_message_id, at)

    def _reported(self, found: Any, id_: Any, at: int) -> Iterator[CarrierEvent]:
        told = self._options.events
        known = told.statuses.get(word(_at(found, told.status)))
        yield from self.report(
            id_=id_,
            status=Status(known) if known else None,
            at=at,
            code=_at(found, told.code),
            attempt=_at(found, told.attempt),
        )


def _at(value: Any, path: str) -> Any:
    if not path:
        return None
    return dig(value, *(int(step) if step.isdigit() else step for step in path.split(".")))


def build(name: str, options: Options, folder: Path) -> Http:
    """Return the account. Raises BadOption when a secret can't be had or a template is none."""
    return Http(name, options)
