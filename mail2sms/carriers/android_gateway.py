"""A phone of one's own with SMS Gateway for Android (capcom6). https://docs.sms-gate.app (read 2026-11).

The id is ours: what is handed over twice is answered 409 and sent once. That it was delivered is said for each segment,
not of which (/features/webhooks/#multipart-message-behavior). How many there are says `sms:sent` alone (partsCount); of
older apps nothing does: then as many are waited for as we count. Asked, it says Delivered from the first one on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import as_json, digest, moment, must, must_be_fresh, same
from mail2sms.carriers._request import HttpRequest, basic, get_request, json_request, step
from mail2sms.heard import Sent
from mail2sms.http import Answer
from mail2sms.model import Part, Status, Taken
from mail2sms.options import SecretOption

_API = "https://api.sms-gate.app/3rdparty/v1"
_KNOWN = 409
_LONGEST_ID = 36
_COUNTS = range(1, 256)  # the app says -1 where it does not know
STATES = {  # as it answers
    **dict.fromkeys(("Pending", "Processed", "Sent"), Status.ENROUTE),
    "Delivered": Status.DELIVERED,
    "Failed": Status.UNDELIVERABLE,
    "Cancelled": Status.REJECTED,
}
STATUS = {  # as its webhook says
    "sms:sent": Status.ENROUTE,
    "sms:delivered": Status.DELIVERED,
    "sms:failed": Status.UNDELIVERABLE,
    "sms:cancelled": Status.REJECTED,
}


class Options(HttpOptions):
    """One phone, by the app's cloud or by its own address (`api: http://PHONE:8080`, in a private network)."""

    signed_by = "signing_key"
    is_asked = True
    is_local = True

    user: str
    """The user that the app shows. Example: sms"""
    password: SecretOption
    """Its password. Example: credential:phone"""
    signing_key: SecretOption | None = None
    """The app's webhook signing key. Example: credential:phone_signing"""


class AndroidGateway(HttpCarrier):
    """One phone."""

    provider = "android_gateway"
    abilities = Abilities(
        title="SMS Gateway for Android", senders="the phone's number", signs="HMAC-SHA256 of body and time"
    )

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._login = basic(options.user, options.password.reveal())
        self._signing = options.signing_key.reveal() if options.signing_key else ""

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """The id is our attempt's."""
        order: dict[str, Any] = {
            "id": part.attempt_id[:_LONGEST_ID],
            "textMessage": {"text": part.text},
            "phoneNumbers": [part.msisdn],
            "withDeliveryReport": True,
        }
        valid_s = part.expires_at // 1000 - now_s
        if valid_s > 0:
            order["ttl"] = valid_s
        return json_request(f"{self.api}/messages", order, Authorization=self._login)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "id")]

    def accepted(self, answer: Answer) -> Taken:
        """What the phone has already was taken: it names no id then, and the report will."""
        return Taken(carrier_message_id="") if answer.status == _KNOWN else super().accepted(answer)

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        url = f"{self.api}/messages/{step(sent.carrier_message_id)}"
        return get_request(url, Authorization=self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        status = STATES.get(word(dig(answer, "recipients", 0, "state")) or word(dig(answer, "state")))
        yield from self.report(id_=dig(answer, "id"), status=status, at=at)

    def has_signature(self) -> bool:
        return bool(self._signing)

    def check_signature(self, call: Call) -> None:
        """https://docs.sms-gate.app/features/webhooks/#payload-signing"""
        at = call.headers.get("x-timestamp", "")
        ours = digest(self._signing, call.body + at.encode("utf-8", "replace")).hex()
        must(same(call.headers.get("x-signature", "").lower(), ours), "the signature is wrong")
        must_be_fresh(at, call)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        said = as_json(call)
        kind, told = word(dig(said, "event")), dig(said, "payload")
        if kind == "sms:received":
            yield self.mo(
                id_=dig(said, "id"),  # payload.messageId is a hash of the text
                sender=dig(told, "sender") or dig(told, "phoneNumber"),
                to=dig(told, "recipient") or "phone",
                said=dig(told, "message"),
                at=moment(dig(told, "receivedAt"), call),
            )
        elif kind in STATUS:
            id_, count = dig(told, "messageId"), dig(told, "partsCount")
            event = word(dig(said, "id"))  # the same when it is posted again
            yield from self.report(
                id_=id_,
                status=STATUS[kind],
                at=call.at,
                attempt=id_,
                segment=f"{word(id_)}/{event}" if event and STATUS[kind] is Status.DELIVERED else "",
                segments=count if isinstance(count, int) and count in _COUNTS else 0,
            )


def build(name: str, options: Options, folder: Path) -> AndroidGateway:
    """Return the phone. Raises BadOption when a secret can't be had."""
    return AndroidGateway(name, options)
