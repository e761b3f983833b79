"""seven.io (sms77). https://docs.seven.io/en/rest-api/endpoints/sms (read 2026-11).

Its answer is 200 even for errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import md5
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import as_json, digest, moment, must, must_be_fresh, same, with_ports
from mail2sms.carriers._request import HttpRequest, get_request, json_request, step
from mail2sms.heard import Sent
from mail2sms.model import Part, Status
from mail2sms.money import Money, told
from mail2sms.options import SecretOption

_API = "https://gateway.seven.io"
_OK = frozenset({"100", "101"})
_MINUTES = range(1, 2881)
STATUS = {
    **dict.fromkeys(("ACCEPTED", "TRANSMITTED", "BUFFERED"), Status.ENROUTE),
    "DELIVERED": Status.DELIVERED,
    "NOTDELIVERED": Status.UNDELIVERABLE,
    "EXPIRED": Status.EXPIRED,
    **dict.fromkeys(("FAILED", "REJECTED"), Status.REJECTED),
}


class Options(HttpOptions):
    """One account."""

    balance_in = ""
    signed_by = "signing_secret"
    is_asked = True

    key: SecretOption
    """The API key. Example: credential:seven"""
    signing_secret: SecretOption | None = None
    """Proves webhooks, where a signing key was made. Example: credential:seven_signing"""


class Seven(HttpCarrier):
    """One account."""

    provider = "seven"
    abilities = Abilities(title="seven.io", signs="HMAC-SHA256 of time, nonce, URL and body, if ordered")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._key = options.key.reveal()
        self._signing = options.signing_secret.reveal() if options.signing_secret else ""

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One recipient."""
        order: dict[str, Any] = {
            "to": part.msisdn.removeprefix("+"),
            "from": part.sender_id.removeprefix("+"),
            "text": part.text,
            "foreign_id": part.attempt_id,
        }
        minutes = (part.expires_at // 1000 - now_s) // 60
        if minutes in _MINUTES:
            order["ttl"] = minutes
        return json_request(f"{self.api}/api/sms", order, X_Api_Key=self._key)

    def ids(self, answer: Any) -> Sequence[str]:
        is_said = isinstance(dig(answer, "messages", 0, "success"), bool)
        return [dig(answer, "messages", 0, "id")] if is_said else []

    def code(self, answer: Any) -> str:
        """The message's, else that of the whole answer, which may be a bare number."""
        whole = word(answer if isinstance(answer, int | str) else dig(answer, "success"))
        one = word(dig(answer, "messages", 0, "error"))
        is_refused = dig(answer, "messages", 0, "success") is False
        return one or ("202" if is_refused else "" if whole in _OK or not whole.isdigit() else whole)

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        url = f"{self.api}/api/status?msg_id={step(sent.carrier_message_id)}"
        return get_request(url, X_Api_Key=self._key)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        status = STATUS.get(word(dig(answer, 0, "status")))
        yield from self.report(id_=dig(answer, 0, "id"), status=status, at=at)

    def probing(self, now_s: int) -> HttpRequest:
        return get_request(f"{self.api}/api/balance", X_Api_Key=self._key)

    def left(self, answer: Any) -> Money | None:
        return told(dig(answer, "amount"), dig(answer, "currency"))

    def has_signature(self) -> bool:
        return bool(self._signing)

    def check_signature(self, call: Call) -> None:
        """https://docs.seven.io/en/rest-api/webhooks"""
        at, nonce, given = (call.headers.get(f"x-{n}", "") for n in ("timestamp", "nonce", "signature"))
        body = md5(call.body).hexdigest()  # noqa: S324  # theirs
        ours = [
            digest(
                self._signing, f"{at}\n{nonce}\n{call.method}\n{url}\n{body}".encode("utf-8", "replace")
            ).hex()
            for url in with_ports(self.signed_url(call))
        ]
        must(any(same(given.lower(), each) for each in ours), "the signature is wrong")
        must_be_fresh(at, call)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        said = as_json(call)
        data, kind = dig(said, "data"), dig(said, "webhook_event")
        if kind == "sms_mo":
            yield self.mo(
                id_=dig(data, "id"),
                sender=dig(data, "sender"),
                to=dig(data, "system"),
                said=dig(data, "text"),
                at=moment(dig(data, "time"), call),
            )
        elif kind == "dlr":
            yield from self.report(
                id_=dig(data, "msg_id"),
                status=STATUS.get(word(dig(data, "status"))),
                at=call.at,  # theirs is local German time
                attempt=dig(data, "foreign_id"),
            )


def build(name: str, options: Options, folder: Path) -> Seven:
    """Return the account. Raises BadOption when a secret can't be had."""
    return Seven(name, options)
