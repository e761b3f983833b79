"""Twilio Programmable Messaging. https://www.twilio.com/docs/messaging/api/message-resource (read 2026-11).

Its signature has no time and no nonce: that a request comes again is noticed by the message it names. It covers names
and values without marks between them, so a field could be hidden in its neighbour: an id has its exact form, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import asked, base64_of, digest, fields, must, pairs, same, sha256, with_ports
from mail2sms.carriers._request import HttpRequest, basic, get_request, step
from mail2sms.heard import Sent
from mail2sms.media import Mms
from mail2sms.model import Media, Part, Status
from mail2sms.money import Money, told
from mail2sms.options import SecretOption

_API = "https://api.twilio.com"
_ID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}\Z")
_VALID_S = range(6, 36_001)  # what ValidityPeriod takes, and is of use
STATUS = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), Status.ENROUTE),
    **dict.fromkeys(("delivered", "read"), Status.DELIVERED),
    "undelivered": Status.UNDELIVERABLE,
    **dict.fromkeys(("failed", "canceled"), Status.REJECTED),
}


class Options(HttpOptions):
    """One account or subaccount."""

    balance_in = ""
    signed_by = "token"
    is_asked = True

    account: str
    """The account's SID. Example: AC00000000000000000000000000000000"""
    token: SecretOption
    """Its primary auth token, which signs the webhooks too. Example: credential:twilio"""
    service: str = ""
    """A Messaging Service that chooses the sender instead. Example: MG00000000000000000000000000000000"""


class Twilio(HttpCarrier):
    """One account."""

    provider = "twilio"
    media_hosts = ("mms.twiliocdn.com", "media.twiliocdn.com", "s3-external-1.amazonaws.com")
    abilities = Abilities(title="Twilio", mms=Mms(), signs="HMAC-SHA1 of URL and fields", tested="its SDK")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._options = options
        self._token = options.token.reveal()
        self._base = f"{self.api}/2010-04-01/Accounts/{options.account}"
        self._login = {"Authorization": basic(options.account, self._token)}

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One text, whose reports come back with our attempt in their URL; its pictures are fetched from us."""
        form: dict[str, Any] = {"To": part.msisdn, "Body": part.text}
        if part.media:
            form["MediaUrl"] = [media.url for media in part.media]
        form |= (
            {"MessagingServiceSid": self._options.service}
            if self._options.service
            else {"From": part.sender_id}
        )
        valid_s = part.expires_at // 1000 - now_s
        if valid_s in _VALID_S:
            form["ValidityPeriod"] = str(valid_s)
        if self.events_url.startswith("https://"):
            form["StatusCallback"] = f"{self.webhook_url()}?attempt={part.attempt_id}"
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._login}
        body = urlencode(form, doseq=True).encode()
        return HttpRequest(url=f"{self._base}/Messages.json", headers=headers, body=body)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "sid")]

    def code(self, answer: Any) -> str:
        return word(dig(answer, "code")) or word(dig(answer, "error_code"))

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        url = f"{self._base}/Messages/{step(sent.carrier_message_id)}.json"
        return get_request(url, **self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        status = STATUS.get(word(dig(answer, "status")))
        yield from self.report(id_=dig(answer, "sid"), status=status, at=at, code=dig(answer, "error_code"))

    def media_login(self) -> Mapping[str, str]:
        return self._login

    def probing(self, now_s: int) -> HttpRequest:
        return get_request(f"{self._base}.json", **self._login)

    def balancing(self, now_s: int) -> HttpRequest:
        """Subaccounts have no balance of their own."""
        return get_request(f"{self._base}/Balance.json", **self._login)

    def left(self, answer: Any) -> Money | None:
        return told(dig(answer, "balance"), dig(answer, "currency"))

    def has_signature(self) -> bool:
        return True

    def check_signature(self, call: Call) -> None:
        """https://www.twilio.com/docs/usage/security#validating-requests"""
        body_hash = asked(call).get("bodySHA256")
        if body_hash is not None:
            must(same(body_hash.lower(), sha256(call.body)), "the body is not the one that was signed")
        values: dict[str, set[str]] = {}
        for name, value in pairs(call) if call.method == "POST" and body_hash is None else ():
            values.setdefault(name, set()).add(value)
        signed = "".join(name + value for name in sorted(values) for value in sorted(values[name]))
        given = call.headers.get("x-twilio-signature", "")
        urls = with_ports(self.signed_url(call))
        ours = [
            base64_of(digest(self._token, (url + signed).encode("utf-8", "replace"), "sha1")) for url in urls
        ]
        must(any(same(given, each) for each in ours), "the signature is wrong")

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """Give the report or the text. Raises ValueError where no message is named."""
        said = fields(call)
        id_ = said.get("MessageSid") or said.get("SmsSid", "")
        if not _ID.match(id_):
            raise ValueError("no message is named")
        status = said.get("MessageStatus") or said.get("SmsStatus", "")
        if not status and said.get("From") and said.get("To"):
            status = "received"  # only some texts from phones say so; a report has a status, always
        if status not in ("received", "receiving"):
            yield from self.report(
                id_=id_,
                status=STATUS.get(status),
                at=call.at,
                code=said.get("ErrorCode", ""),
                attempt=said.get("attempt", ""),
            )
        elif status == "received":
            names = [n for n in range(10) if f"MediaUrl{n}" in said]
            media = [
                Media(url=said[f"MediaUrl{n}"], media_type=said.get(f"MediaContentType{n}", ""))
                for n in names
            ]
            yield self.mo(
                id_=id_,
                sender=said.get("From"),
                to=said.get("To"),
                said=said.get("Body", ""),
                at=call.at,
                media=media,
            )


def build(name: str, options: Options, folder: Path) -> Twilio:
    """Return the account. Raises BadOption when its token can't be had."""
    return Twilio(name, options)
