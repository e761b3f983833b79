"""Vonage, Messages API v1. https://developer.vonage.com/en/messages/overview (read 2026-11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import as_json, claims, moment, must, must_be_fresh, same, sha256
from mail2sms.carriers._request import HttpRequest, basic, json_request
from mail2sms.media import Mms
from mail2sms.model import Media, Part, Status
from mail2sms.options import SecretOption

_API = "https://api.nexmo.com"
_VALID_S = range(20, 604_801)
_MMS_VALID_S = range(300, 259_201)
_KINDS = ("image", "video", "audio", "vcard", "file")
STATUS = {
    "submitted": Status.ENROUTE,
    **dict.fromkeys(("delivered", "read"), Status.DELIVERED),
    "undeliverable": Status.UNDELIVERABLE,
    "rejected": Status.REJECTED,
}


class Options(HttpOptions):
    """One account."""

    signed_by = "signing_secret"

    key: SecretOption
    """The API key. Example: credential:vonage_key"""
    secret: SecretOption
    """The API secret. Example: credential:vonage_secret"""
    signing_secret: SecretOption
    """The account's signature secret, by which it signs webhooks. Example: credential:vonage_signing"""


class VonageMessages(HttpCarrier):
    """One account; its messages name their own webhook."""

    provider = "vonage_messages"
    media_hosts = (".nexmo.com", ".vonage.com")
    abilities = Abilities(
        title="Vonage Messages API",
        mms=Mms(most=1),
        signs="JWT (HS256) with the body's hash",
        tested="its SDK",
    )

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._login = basic(options.key.reveal(), options.secret.reveal())
        self._signing = options.signing_secret.reveal()

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One text."""
        order: dict[str, Any] = {
            "message_type": "text",
            "channel": "sms",
            "to": part.msisdn.removeprefix("+"),
            "from": part.sender_id.removeprefix("+"),
            "text": part.text,
            "client_ref": part.attempt_id,
            "sms": {"encoding_type": "auto"},
        }
        if part.media:
            order = {**order, **_picture(part)}
            del order["text"], order["sms"]
        valid_s = part.expires_at // 1000 - now_s
        if valid_s in (_MMS_VALID_S if part.media else _VALID_S):
            order["ttl"] = valid_s
        if self.events_url.startswith("https://"):
            order |= {"webhook_url": self.webhook_url(), "webhook_version": "v1"}
        return json_request(f"{self.api}/v1/messages", order, Authorization=self._login)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "message_uuid")]

    def code(self, answer: Any) -> str:
        return word(dig(answer, "type")).rpartition("#")[2]

    def has_signature(self) -> bool:
        return True

    def check_signature(self, call: Call) -> None:
        """https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks"""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        must(scheme.lower() == "bearer", "no JWT")
        said = claims(token, self._signing, {"HS256": "sha256"})
        must_be_fresh(word(said.get("iat")), call)
        must(
            same(word(said.get("payload_hash")), sha256(call.body)), "the body is not the one that was signed"
        )

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        said = as_json(call)
        at = moment(dig(said, "timestamp"), call)
        if dig(said, "status") is not None:
            yield from self.report(
                id_=dig(said, "message_uuid"),
                status=STATUS.get(word(dig(said, "status"))),
                at=at,
                code=word(dig(said, "error", "title")) or word(dig(said, "error", "type")).rpartition("#")[2],
                attempt=dig(said, "client_ref"),
            )
        elif dig(said, "channel") in ("sms", "mms"):
            found = [dig(said, kind, "url") for kind in _KINDS]
            captions = [dig(said, kind, "caption") for kind in _KINDS]
            yield self.mo(
                id_=dig(said, "message_uuid"),
                sender=dig(said, "from"),
                to=dig(said, "to"),
                said=next(filter(None, (dig(said, "text"), *captions)), ""),
                at=at,
                media=[Media(url=url) for url in found if isinstance(url, str)],
            )


def _picture(part: Part) -> dict[str, Any]:
    caption = {"caption": part.text} if part.text else {}
    return {"channel": "mms", "message_type": "image", "image": {"url": part.media[0].url, **caption}}


def build(name: str, options: Options, folder: Path) -> VonageMessages:
    """Return the account. Raises BadOption when a secret can't be had."""
    return VonageMessages(name, options)
