"""MessageBird (Bird), SMS API. https://developers.messagebird.com/api/sms-messaging/ (read 2026-11).

Reports come by GET. Each request carries a JWT with the hashes of its URL and body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._media import files
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import as_json, claims, fields, moment, must, pairs, same, sha256, with_ports
from mail2sms.carriers._request import HttpRequest, get_request, json_request, step
from mail2sms.heard import Sent
from mail2sms.media import Mms
from mail2sms.model import Media, Part, Status
from mail2sms.money import CREDITS, Money, told
from mail2sms.options import SecretOption

_API = "https://rest.messagebird.com"
_LEEWAY_S = 60
_ALGORITHMS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_CURRENCY = {"euros": "EUR", "pounds": "GBP", "dollars": "USD", CREDITS: CREDITS}  # else its code
STATUS = {
    **dict.fromkeys(("scheduled", "sent", "buffered"), Status.ENROUTE),
    "delivered": Status.DELIVERED,
    "delivery_failed": Status.UNDELIVERABLE,
    "expired": Status.EXPIRED,
}


class Options(HttpOptions):
    """One account."""

    balance_in = ""
    signed_by = "signing_key"
    is_asked = True

    key: SecretOption
    """The access key. Example: credential:messagebird"""
    signing_key: SecretOption
    """The signing key, another one: proves webhooks. Example: credential:messagebird_signing"""


class MessageBird(HttpCarrier):
    """One account."""

    provider = "messagebird"
    media_hosts = (".messagebird.com",)
    abilities = Abilities(
        title="MessageBird (Bird)",
        mms=Mms(),
        signs="JWT with URL's and body's hashes",
        tested="its SDK",
    )

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._login = f"AccessKey {options.key.reveal()}"
        self._signing = options.signing_key.reveal()

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One recipient."""
        order: dict[str, Any] = {
            "originator": part.sender_id.removeprefix("+"),
            "recipients": [part.msisdn.removeprefix("+")],
            "body": part.text,
            "reference": part.attempt_id,
        }
        if part.media:
            order["mediaUrls"] = [media.url for media in part.media]
            return json_request(f"{self.api}/mms", order, Authorization=self._login)
        order["datacoding"] = "auto"  # its default loses what GSM 7 bit has not
        valid_s = part.expires_at // 1000 - now_s
        if valid_s > 0:
            order["validity"] = valid_s
        if self.events_url.startswith("https://"):
            order["reportUrl"] = self.webhook_url()
        return json_request(f"{self.api}/messages", order, Authorization=self._login)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "id")]

    def code(self, answer: Any) -> str:
        return word(dig(answer, "errors", 0, "code"))

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        url = f"{self.api}/messages/{step(sent.carrier_message_id)}"
        return get_request(url, Authorization=self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        recipient = dig(answer, "recipients", "items", 0)
        status, code = word(dig(recipient, "status")), word(dig(recipient, "statusErrorCode"))
        yield from self.report(id_=dig(answer, "id"), status=_status(status, code), at=at, code=code)

    def probing(self, now_s: int) -> HttpRequest:
        return get_request(f"{self.api}/balance", Authorization=self._login)

    def left(self, answer: Any) -> Money | None:
        """Who pays afterwards has nothing left, ever: that is told as 0, and means nothing."""
        kind = dig(answer, "type")
        if dig(answer, "payment") != "prepaid" or not isinstance(kind, str):
            return None
        return told(dig(answer, "amount"), _CURRENCY.get(kind, kind.upper()))

    def has_signature(self) -> bool:
        return True

    def check_signature(self, call: Call) -> None:
        """https://developers.messagebird.com/api/#verifying-http-requests"""
        said = claims(call.headers.get("messagebird-signature-jwt", ""), self._signing, _ALGORITHMS)
        now_s = call.at / 1000
        begins, ends = said.get("nbf"), said.get("exp")
        is_now = (
            isinstance(begins, int)
            and isinstance(ends, int)
            and begins - _LEEWAY_S <= now_s <= ends + _LEEWAY_S
        )
        must(said.get("iss") == "MessageBird", "the JWT is of somebody else")
        must(is_now, "the JWT is not of now")
        urls = [sha256(url.encode("utf-8", "replace")) for url in with_ports(self.signed_url(call))]
        must(any(same(word(said.get("url_hash")), each) for each in urls), "another URL was signed")
        given = said.get("payload_hash")
        is_body = same(word(given), sha256(call.body)) if call.body else given is None
        must(is_body, "the body is not the one that was signed")

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        said = fields(call)
        if "status" in said:
            code = said.get("statusErrorCode", "")
            yield from self.report(
                id_=said.get("id"),
                status=_status(said["status"], code),
                at=moment(said.get("statusDatetime", ""), call),
                code=code,
                attempt=said.get("reference", ""),
            )
        elif "originator" in said:
            yield self.mo(
                id_=said.get("id") or said.get("message_id"),
                sender=said["originator"],
                to=said.get("recipient"),
                said=said.get("body", ""),
                at=moment(said.get("createdDatetime", ""), call),
                media=_files(call, said),
            )


def _status(said: str, code: str) -> Status | None:
    return Status.REJECTED if code == "103" else STATUS.get(said)


def _files(call: Call, said: Mapping[str, str]) -> list[Media]:
    """Return what came with an MMS: a field that is there several times, or a list in JSON."""
    if call.body.lstrip()[:1] == b"{":
        return files(dig(as_json(call), "mediaUrls"))
    named = [value for name, value in pairs(call) if name.removesuffix("[]") == "mediaUrls"]
    return [Media(url=url) for url in named]


def build(name: str, options: Options, folder: Path) -> MessageBird:
    """Return the account. Raises BadOption when a key can't be had."""
    return MessageBird(name, options)
