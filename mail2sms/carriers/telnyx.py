"""Telnyx, API v2. https://developers.telnyx.com/docs/messaging (read 2026-11)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig, verdict, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._keys import is_signed_ed25519
from mail2sms.carriers._media import files
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import as_json, asked, moment, must, must_be_fresh
from mail2sms.carriers._request import HttpRequest, get_request, json_request, step
from mail2sms.errors import BadOption
from mail2sms.heard import Sent
from mail2sms.media import Mms
from mail2sms.model import Part, Status
from mail2sms.money import Money, told
from mail2sms.options import SecretOption

_API = "https://api.telnyx.com"
_KEY_BYTES = 32
STATUS = {
    **dict.fromkeys(("queued", "sending", "sent"), Status.ENROUTE),
    "delivered": Status.DELIVERED,
    "delivery_failed": Status.UNDELIVERABLE,
    "sending_failed": Status.REJECTED,
}
_EXPIRED = frozenset({"40005", "40014"})
_REJECTED = frozenset({"40002", "40003", "40015", "40300", "40322"})


class Options(HttpOptions):
    """One account."""

    balance_in = ""
    signed_by = "public_key"
    is_asked = True

    key: SecretOption
    """An API key (v2). Example: credential:telnyx"""
    public_key: str
    """The account's public key in base64: proves webhooks. Example: A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="""
    profile: str = ""
    """The messaging profile; needed where a name is the sender. Example: 00000000-0000-4000-8000-000000000000"""


class Telnyx(HttpCarrier):
    """One account."""

    provider = "telnyx"
    media_hosts = (".telnyx.com",)
    abilities = Abilities(title="Telnyx", mms=Mms(), signs="Ed25519 of time and body", tested="its SDK")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._login = f"Bearer {options.key.reveal()}"
        self._profile = options.profile
        self._public_key = _read_key(options.public_key, name)

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One text, whose reports come back with our attempt in their URL."""
        order: dict[str, Any] = {"from": part.sender_id, "to": part.msisdn, "text": part.text, "type": "SMS"}
        if part.media:
            order |= {"type": "MMS", "media_urls": [media.url for media in part.media]}
        if self._profile:
            order["messaging_profile_id"] = self._profile
        if self.events_url.startswith("https://"):
            order |= {"webhook_url": f"{self.webhook_url()}?attempt={part.attempt_id}"}
            order["use_profile_webhooks"] = False
        return json_request(f"{self.api}/v2/messages", order, Authorization=self._login)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "data", "id")]

    def code(self, answer: Any) -> str:
        return word(dig(answer, "errors", 0, "code"))

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        url = f"{self.api}/v2/messages/{step(sent.carrier_message_id)}"
        return get_request(url, Authorization=self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        yield from self._reported(dig(answer, "data"), at)

    def _reported(self, message: Any, at: int, attempt: str = "") -> Iterator[CarrierEvent]:
        code = word(dig(message, "errors", 0, "code"))
        status = _status(word(dig(message, "to", 0, "status")), code)
        yield from self.report(id_=dig(message, "id"), status=status, at=at, code=code, attempt=attempt)

    def probing(self, now_s: int) -> HttpRequest:
        return get_request(f"{self.api}/v2/balance", Authorization=self._login)

    def left(self, answer: Any) -> Money | None:
        return told(dig(answer, "data", "available_credit"), dig(answer, "data", "currency"))

    def has_signature(self) -> bool:
        return True

    def check_signature(self, call: Call) -> None:
        """https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks"""
        at = call.headers.get("telnyx-timestamp", "")
        given = call.headers.get("telnyx-signature-ed25519", "")
        signed = f"{at}|".encode("utf-8", "replace") + call.body
        must(is_signed_ed25519(self._public_key, given, signed), "the signature is wrong")
        must_be_fresh(at, call)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """Give the text or the report."""
        said = as_json(call)
        payload, kind = dig(said, "data", "payload"), dig(said, "data", "event_type")
        at = moment(dig(said, "data", "occurred_at"), call)
        if kind == "message.received":
            yield self.mo(
                id_=dig(payload, "id"),
                sender=dig(payload, "from", "phone_number"),
                to=dig(payload, "to", 0, "phone_number"),
                said=dig(payload, "text"),
                at=at,
                media=files(dig(payload, "media"), "url"),
            )
        elif kind in ("message.sent", "message.finalized"):
            yield from self._reported(payload, at, asked(call).get("attempt", ""))


def _status(said: str, code: str) -> Status | None:
    status = STATUS.get(said)
    if status not in (Status.UNDELIVERABLE, Status.REJECTED):
        return status
    found = verdict("telnyx", "dlr", code)
    is_refusal = code in _REJECTED or (found is not None and found.kind == "config")
    return Status.EXPIRED if code in _EXPIRED else Status.REJECTED if is_refusal else status


def _read_key(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise BadOption(
            f"carriers.{name}.public_key is no Ed25519 key in base64", "it stands in Telnyx's portal"
        )
    return key


def build(name: str, options: Options, folder: Path) -> Telnyx:
    """Return the account. Raises BadOption when a key can't be had or is none."""
    return Telnyx(name, options)
