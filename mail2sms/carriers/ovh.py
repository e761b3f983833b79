"""OVHcloud SMS. https://eu.api.ovh.com/console/?section=%2Fsms (read 2026-11).

Requests are signed; reports are a GET that nothing proves but its path. Replies reach the French shared number only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import fields, moment
from mail2sms.carriers._request import HttpRequest, step
from mail2sms.heard import Sent
from mail2sms.model import Part, Status
from mail2sms.money import CREDITS, Money, told
from mail2sms.options import Flag, SecretOption

_API = "https://eu.api.ovh.com"
_MINUTES = range(1, 2881)
_DELIVERED_PTT = "1"
_REFUSED = "invalidReceivers"
STATUS = {"801": Status.EXPIRED, "803": Status.REJECTED, _DELIVERED_PTT: Status.DELIVERED}


class Options(HttpOptions):
    """One SMS service and an application's rights to it."""

    balance_in = "credits"
    is_asked = True
    service: str
    """The SMS account. Example: sms-ab12345-1"""
    application_key: str
    """The application's key. Example: 7kbG7Bk7S9Nt7ZSV"""
    application_secret: SecretOption
    """Its secret. Example: credential:ovh_application"""
    consumer_key: SecretOption
    """What the account's owner granted it. Example: credential:ovh_consumer"""
    is_marketing: Flag = False
    """Whether the French STOP clause is added to texts. Example: yes"""


class Ovh(HttpCarrier):
    """One SMS service."""

    provider = "ovh"
    abilities = Abilities(title="OVHcloud", senders="numbers, names", tested="its documents")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._application = options.application_key
        self._secret, self._consumer = options.application_secret.reveal(), options.consumer_key.reveal()
        self._base = f"{self.api}/1.0/sms/{options.service}"
        self._is_marketing = options.is_marketing

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One job, signed."""
        order: dict[str, Any] = {
            "message": part.text,
            "receivers": [part.msisdn],
            "sender": part.sender_id,
            "charset": "UTF-8",
            "coding": "7bit" if part.encoding.startswith("gsm") else "8bit",  # 8bit is Unicode
            "noStopClause": not self._is_marketing,
            "tag": part.attempt_id,
        }
        minutes = (part.expires_at // 1000 - now_s) // 60
        if minutes in _MINUTES:
            order["validityPeriod"] = minutes
        body = json.dumps(order, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        return self._signed("POST", f"{self._base}/jobs", body, now_s)

    def _signed(self, method: str, url: str, body: bytes, now_s: int) -> HttpRequest:
        """https://help.ovhcloud.com/csm/en-api-getting-started-ovhcloud-api"""
        head = f"{self._secret}+{self._consumer}+{method}+{url}+".encode()
        signature = sha1(head + body + f"+{now_s}".encode()).hexdigest()  # noqa: S324  # theirs
        headers = {
            "Content-Type": "application/json",
            "X-Ovh-Application": self._application,
            "X-Ovh-Consumer": self._consumer,
            "X-Ovh-Timestamp": str(now_s),
            "X-Ovh-Signature": f"$1${signature}",
        }
        return HttpRequest(url=url, method=method, headers=headers, body=body or None)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "ids", 0)]

    def code(self, answer: Any) -> str:
        return _REFUSED if dig(answer, _REFUSED, 0) is not None and not dig(answer, "ids") else ""

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        return self._signed("GET", f"{self._base}/outgoing/{step(sent.carrier_message_id)}", b"", now_s)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        ptt = word(dig(answer, "ptt"))
        yield from self.report(id_=dig(answer, "id"), status=STATUS.get(ptt), at=at, code=ptt)

    def probing(self, now_s: int) -> HttpRequest:
        return self._signed("GET", self._base, b"", now_s)

    def left(self, answer: Any) -> Money | None:
        return told(dig(answer, "creditsLeft"), CREDITS)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        said = fields(call)
        at = moment(said.get("date", ""), call)
        if "ptt" in said:
            ptt = said["ptt"]
            # What another number means only OVH's table tells: it is kept, and moves nothing.
            yield from self.report(id_=said.get("id"), status=STATUS.get(ptt), at=at, code=ptt)
        elif "message" in said:
            yield self.mo(
                id_=said.get("id"),
                sender=said.get("senderid") or said.get("sender"),
                to=said.get("recipient"),
                said=said["message"],
                at=at,
            )


def build(name: str, options: Options, folder: Path) -> Ovh:
    """Return the service. Raises BadOption when a secret can't be had."""
    return Ovh(name, options)
