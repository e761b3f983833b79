"""Sinch, SMS REST API (XMS). https://developers.sinch.com/docs/sms/api-reference/ (read 2026-11).

MMS (one picture, in the US and Canada) must be enabled by Sinch for the account; .../api-reference/mms-support calls
them scheduled for deprecation here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._media import files
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import as_json, base64_of, digest, moment, must, must_be_fresh, same
from mail2sms.carriers._request import HttpRequest, get_request, json_request, step
from mail2sms.heard import Sent
from mail2sms.media import Mms
from mail2sms.model import Part, Status
from mail2sms.options import SecretOption

STATUS = {
    **dict.fromkeys(("Queued", "Dispatched"), Status.ENROUTE),
    "Delivered": Status.DELIVERED,
    "Failed": Status.UNDELIVERABLE,
    "Expired": Status.EXPIRED,
    **dict.fromkeys(("Aborted", "Cancelled", "Deleted", "Rejected"), Status.REJECTED),
}
_REPORTS = frozenset({"recipient_delivery_report_sms", "recipient_delivery_report_mms"})
_TEXTS = frozenset({"mo_text", "mo_media"})


class Options(HttpOptions):
    """One service plan."""

    signed_by = "signing_secret"
    is_asked = True

    plan: str
    """The service plan's id. Example: 00000000000000000000000000000000"""
    token: SecretOption
    """The plan's API token. Example: credential:sinch"""
    region: Literal["us", "eu", "au", "br", "ca"] = "eu"
    """Where the plan is. Example: us"""
    signing_secret: SecretOption | None = None
    """Proves webhooks, once Sinch has switched signing on. Example: credential:sinch_signing"""


class Sinch(HttpCarrier):
    """One service plan."""

    provider = "sinch"
    media_hosts = (".sinch.com",)
    abilities = Abilities(
        title="Sinch",
        signs="HMAC-SHA256 of body, nonce and time, if ordered",
        tested="its SDK",
        mms=Mms(most=1),
    )

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, f"https://{options.region}.sms.api.sinch.com")
        self._login = f"Bearer {options.token.reveal()}"
        self._base = f"{self.api}/xms/v1/{options.plan}"
        self._signing = options.signing_secret.reveal() if options.signing_secret else ""

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """A batch of one."""
        order: dict[str, Any] = {
            "from": part.sender_id.removeprefix("+"),
            "to": [part.msisdn.removeprefix("+")],
            "body": part.text,
            "type": "mt_text",
            "delivery_report": "per_recipient",
            "client_reference": part.attempt_id,
        }
        if part.expires_at // 1000 > now_s:
            until = datetime.fromtimestamp(part.expires_at // 1000, UTC)
            order["expire_at"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        if part.media:
            words = {"message": part.text} if part.text else {}
            order |= {"type": "mt_media", "body": {"url": part.media[0].url, **words}}
        if self.events_url.startswith("https://"):
            order["callback_url"] = self.webhook_url()
        return json_request(f"{self._base}/batches", order, Authorization=self._login)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "id")]

    def code(self, answer: Any) -> str:
        return word(dig(answer, "code"))

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        """https://developers.sinch.com/docs/sms/api-reference/sms/tag/Delivery-reports/"""
        url = f"{self._base}/batches/{step(sent.carrier_message_id)}/delivery_report/{sent.msisdn.removeprefix('+')}"
        return get_request(url, Authorization=self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        status = STATUS.get(word(dig(answer, "status")))
        yield from self.report(id_=dig(answer, "batch_id"), status=status, at=at, code=dig(answer, "code"))

    def probing(self, now_s: int) -> HttpRequest:
        url = f"{self._base}/batches?page_size=1"
        return get_request(url, Authorization=self._login)

    def has_signature(self) -> bool:
        return bool(self._signing)

    def check_signature(self, call: Call) -> None:
        """https://developers.sinch.com/docs/sms/api-reference/sms/tag/Webhooks/"""
        named = "x-sinch-webhook-signature"
        given, nonce, at = (call.headers.get(f"{named}{n}", "") for n in ("", "-nonce", "-timestamp"))
        signed = call.body + f".{nonce}.{at}".encode("utf-8", "replace")
        must(same(given, base64_of(digest(self._signing, signed))), "the signature is wrong")
        must_be_fresh(at, call)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        said = as_json(call)
        if dig(said, "type") in _TEXTS:
            body = dig(said, "body")
            words = body if isinstance(body, str) else dig(body, "message")
            yield self.mo(
                id_=dig(said, "id"),
                sender=dig(said, "from"),
                to=dig(said, "to"),
                said=words,
                at=moment(dig(said, "received_at"), call),
                media=files(dig(body, "media"), "url"),
            )
        elif dig(said, "type") in _REPORTS:
            yield from self.report(
                id_=dig(said, "batch_id"),
                status=STATUS.get(word(dig(said, "status"))),
                at=moment(dig(said, "at"), call),
                code=dig(said, "code"),
                attempt=dig(said, "client_reference"),
            )


def build(name: str, options: Options, folder: Path) -> Sinch:
    """Return the service plan. Raises BadOption when a secret can't be had."""
    return Sinch(name, options)
