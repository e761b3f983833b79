"""Plivo. https://www.plivo.com/docs/messaging/api/message (read 2026-11).

Only its third signature is taken: the second does not cover what is told. Reports come for the message, or in any order
for each of its segments, which then say so (PartInfo).
It covers names and values without marks between them: an id has its exact form, or is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import base64_of, digest, fields, must, pairs, same, with_ports
from mail2sms.carriers._request import HttpRequest, basic, get_request, json_request, step
from mail2sms.heard import Sent
from mail2sms.media import Mms
from mail2sms.model import Media, Part, Status
from mail2sms.money import Money, told
from mail2sms.options import SecretOption

_API = "https://api.plivo.com"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
# Without one, a report is about the whole message.
_PLACE = re.compile(r"([1-9][0-9]{0,2}) of ([1-9][0-9]{0,2})\Z")
STATUS = {
    **dict.fromkeys(("queued", "sent"), Status.ENROUTE),
    **dict.fromkeys(("delivered", "read"), Status.DELIVERED),
    "undelivered": Status.UNDELIVERABLE,
    **dict.fromkeys(("failed", "rejected"), Status.REJECTED),
}


class Options(HttpOptions):
    """One account."""

    balance_in = "USD"
    signed_by = "token"
    is_asked = True

    account: str
    """The auth id. Example: MA00000000000000000000"""
    token: SecretOption
    """The auth token, which signs the webhooks too. Example: credential:plivo"""


class Plivo(HttpCarrier):
    """One account."""

    provider = "plivo"
    media_hosts = ("media.plivo.com", ".media.plivo.com")
    abilities = Abilities(
        title="Plivo", mms=Mms(), signs="HMAC-SHA256 of URL and fields (V3)", tested="its SDK"
    )

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._token = options.token.reveal()
        self._login = basic(options.account, self._token)
        self._base = f"{self.api}/v1/Account/{options.account}"

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One text, whose reports come back with our attempt in their URL; its pictures are fetched from us."""
        order: dict[str, Any] = {
            "src": part.sender_id.removeprefix("+"),
            "dst": part.msisdn.removeprefix("+"),
            "text": part.text,
            "type": "sms",
            "log": "false",  # its console keeps no text
        }
        if part.media:
            order |= {"type": "mms", "media_urls": [media.url for media in part.media]}
        if self.events_url.startswith("https://"):
            order |= {"url": f"{self.webhook_url()}?attempt={part.attempt_id}", "method": "POST"}
        return json_request(f"{self._base}/Message/", order, Authorization=self._login)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "message_uuid", 0)]

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        url = f"{self._base}/Message/{step(sent.carrier_message_id)}/"
        return get_request(url, Authorization=self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        status = STATUS.get(word(dig(answer, "message_state")))
        code = dig(answer, "error_code")
        yield from self.report(id_=dig(answer, "message_uuid"), status=status, at=at, code=code)

    def media_login(self) -> Mapping[str, str]:
        return {"Authorization": self._login}

    def probing(self, now_s: int) -> HttpRequest:
        return get_request(f"{self._base}/", Authorization=self._login)

    def left(self, answer: Any) -> Money | None:
        return told(dig(answer, "cash_credits"), "USD")

    def has_signature(self) -> bool:
        return True

    def check_signature(self, call: Call) -> None:
        """https://www.plivo.com/docs/messaging/concepts/signature-validation"""
        nonce = call.headers.get("x-plivo-signature-v3-nonce", "")
        given = ",".join(call.headers.get(f"x-plivo-signature{n}-v3", "") for n in ("", "-ma"))
        must(bool(nonce), "no nonce")
        ours = [
            base64_of(digest(self._token, _signed(url, call, nonce)))
            for url in with_ports(self.signed_url(call))
        ]
        matches = [same(one.strip(), each) for one in given.split(",") for each in ours]
        must(any(matches), "the signature is wrong")

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """Give the report or the text. Raises ValueError where no message is named."""
        said = fields(call)
        id_ = said.get("ParentMessageUUID") or said.get("MessageUUID", "")
        if not _ID.match(id_):
            raise ValueError("no message is named")
        if "Status" in said:
            place = _PLACE.match(said.get("PartInfo", ""))
            yield from self.report(
                id_=id_,
                status=STATUS.get(said["Status"]),
                at=call.at,
                code=said.get("ErrorCode", ""),
                attempt=said.get("attempt", ""),
                segment=f"{id_}/{place[1]}" if place else "",
                segments=int(place[2]) if place else 0,
            )
        elif "From" in said:
            yield self.mo(
                id_=id_,
                sender=said["From"],
                to=said.get("To"),
                said=said.get("Text", ""),
                at=call.at,
                media=[Media(url=said[f"Media{n}"]) for n in range(10) if f"Media{n}" in said],
            )


def _signed(url: str, call: Call, nonce: str) -> bytes:
    """Return what is signed: the URL with its query in order, the fields of a form, the nonce."""
    parts = urlsplit(url)
    query = "&".join(
        f"{name}={value}" for name, value in sorted(parse_qsl(parts.query, keep_blank_values=True))
    )
    form = sorted(pairs(call)) if call.method == "POST" else []
    bare = urlunsplit(parts._replace(query="")) + ("?" + query if query or form else "")
    told = "." * bool(query and form) + "".join(name + value for name, value in form)  # as its SDK has it
    return f"{bare}{told}.{nonce}".encode("utf-8", "replace")


def build(name: str, options: Options, folder: Path) -> Plivo:
    """Return the account. Raises BadOption when its token can't be had."""
    return Plivo(name, options)
