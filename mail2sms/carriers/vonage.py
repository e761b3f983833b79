"""Vonage (Nexmo), SMS API. https://developer.vonage.com/en/messaging/sms (read 2026-11).

An answer has one id for each segment, and so have the reports. It is 200 whatever became of the message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import md5
from pathlib import Path
from typing import Any, Literal

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import digest, fields, moment, must, must_be_fresh, same
from mail2sms.carriers._request import HttpRequest, basic, get_request, json_request
from mail2sms.model import Part, Status
from mail2sms.money import Money, told
from mail2sms.options import SecretOption

_API = "https://rest.nexmo.com"
_VALID_MS = range(20_000, 604_800_001)
_OK = "0"
STATUS = {
    **dict.fromkeys(("accepted", "buffered"), Status.ENROUTE),
    "delivered": Status.DELIVERED,
    "failed": Status.UNDELIVERABLE,
    "expired": Status.EXPIRED,
    "rejected": Status.REJECTED,
}


class Options(HttpOptions):
    """One account."""

    balance_in = "EUR"
    signed_by = "signing_secret"

    key: SecretOption
    """The API key. Example: credential:vonage_key"""
    secret: SecretOption
    """The API secret. Example: credential:vonage_secret"""
    signing_secret: SecretOption | None = None
    """The signature secret, once Vonage's support has switched signing on. Example: credential:vonage_signing"""
    signing_method: Literal["md5hash", "md5", "sha1", "sha256", "sha512"] = "sha256"
    """How it signs; md5hash is no HMAC. Example: sha512"""


class Vonage(HttpCarrier):
    """One account."""

    provider = "vonage"
    abilities = Abilities(title="Vonage SMS API", signs="HMAC of the fields, if ordered", tested="its SDK")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._key, self._secret = options.key.reveal(), options.secret.reveal()
        self._signing = options.signing_secret.reveal() if options.signing_secret else ""
        self._method = options.signing_method

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One text, in the alphabet that it needs."""
        order: dict[str, Any] = {
            "api_key": self._key,
            "api_secret": self._secret,
            "from": part.sender_id.removeprefix("+"),
            "to": part.msisdn.removeprefix("+"),
            "text": part.text,
            "type": "text"
            if part.encoding.startswith("gsm")
            else "unicode",  # else other letters come as "?"
            "status-report-req": 1,
            "client-ref": part.attempt_id,
        }
        valid_ms = part.expires_at - now_s * 1000
        if valid_ms in _VALID_MS:
            order["ttl"] = valid_ms
        if self.events_url.startswith("https://"):
            order["callback"] = self.webhook_url()
        return json_request(f"{self.api}/sms/json", order)

    def ids(self, answer: Any) -> Sequence[str]:
        """None where segments differ: some may have been taken, and nobody knows what the phone shows."""
        segments = dig(answer, "messages")
        found = segments if isinstance(segments, list) else []
        are_alike = len({dig(one, "status") == _OK for one in found}) == 1
        return [dig(one, "message-id") for one in found] if are_alike else []

    def code(self, answer: Any) -> str:
        segments = dig(answer, "messages")
        statuses = [word(dig(one, "status")) for one in segments] if isinstance(segments, list) else []
        return next((each for each in statuses if each), "") if _OK not in statuses else ""

    def probing(self, now_s: int) -> HttpRequest:
        login = basic(self._key, self._secret)
        return get_request(f"{self.api}/account/get-balance", Authorization=login)

    def left(self, answer: Any) -> Money | None:
        return told(dig(answer, "value"), "EUR")

    def has_signature(self) -> bool:
        return bool(self._signing)

    def check_signature(self, call: Call) -> None:
        """https://developer.vonage.com/en/getting-started/concepts/signing-messages"""
        said = fields(call)
        given = said.pop("sig", "").lower()
        clean = {name: value.replace("&", "_").replace("=", "_") for name, value in said.items()}
        signed = "".join(f"&{name}={clean[name]}" for name in sorted(clean))
        if self._method == "md5hash":
            ours = md5((signed + self._signing).encode("utf-8", "replace")).hexdigest()  # noqa: S324  # theirs
        else:
            ours = digest(self._signing, signed.encode("utf-8", "replace"), self._method).hex()
        must(same(given, ours), "the signature is wrong")
        must_be_fresh(said.get("timestamp", ""), call)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        said = fields(call)
        at = moment(said.get("message-timestamp", ""), call)
        if "status" in said:  # then `to` is the sender ID
            yield from self.report(
                id_=said.get("messageId"),
                status=STATUS.get(said["status"]),
                at=at,
                code=said.get("err-code", ""),
                attempt=said.get("client-ref", ""),
                segment=word(said.get("messageId")),  # the reference is the same for all of them
            )
        elif "msisdn" in said:
            place = (
                f" ({said.get('concat-part')}/{said.get('concat-total')})"
                if said.get("concat") == "true"
                else ""
            )
            yield self.mo(
                id_=said.get("messageId"),
                sender=said["msisdn"],
                to=said.get("to"),
                said=said.get("text", "") + place,
                at=at,
            )


def build(name: str, options: Options, folder: Path) -> Vonage:
    """Return the account. Raises BadOption when a secret can't be had."""
    return Vonage(name, options)
