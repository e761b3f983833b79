"""ClickSend, REST API v3. https://developers.clicksend.com/docs (read 2026-11).

Whether a message was taken stands in its own status, not in the answer's. Nothing is signed; the fields of webhooks
are spelt in more than one way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import fields, moment
from mail2sms.carriers._request import HttpRequest, basic, get_request, json_request, step
from mail2sms.heard import Sent
from mail2sms.media import Mms
from mail2sms.model import Part, Status
from mail2sms.money import Money, told
from mail2sms.options import SecretOption

_API = "https://rest.clicksend.com"
_OK = "SUCCESS"
_SUBJECT = "Photo"  # it must have one, of at most 20 characters
STATUS = {  # by status_code
    "200": Status.ENROUTE,
    "201": Status.DELIVERED,
    "300": Status.ENROUTE,  # not now: it tries again by itself
    "301": Status.UNDELIVERABLE,
    "302": Status.REJECTED,
}


class Options(HttpOptions):
    """One account."""

    balance_in = ""
    is_asked = True
    user: str
    """The user's name. Example: acme"""
    key: SecretOption
    """The API key. Example: credential:clicksend"""


class ClickSend(HttpCarrier):
    """One account."""

    provider = "clicksend"
    abilities = Abilities(title="ClickSend", mms=Mms(most=1, limit_bytes=250_000))

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._login = basic(options.user, options.key.reveal())

    def request(self, part: Part, now_s: int) -> HttpRequest:
        message = {
            "to": part.msisdn,
            "from": part.sender_id,
            "body": part.text,
            "source": "mail2sms",
            "custom_string": part.attempt_id,
        }
        if part.media:
            order = {"media_file": part.media[0].url, "messages": [{**message, "subject": _SUBJECT}]}
            return json_request(f"{self.api}/v3/mms/send", order, Authorization=self._login)
        return json_request(f"{self.api}/v3/sms/send", {"messages": [message]}, Authorization=self._login)

    def ids(self, answer: Any) -> Sequence[str]:
        """Without a status of its own, the message was not looked at."""
        message = dig(answer, "data", "messages", 0)
        return [dig(message, "message_id")] if word(dig(message, "status")) else []

    def code(self, answer: Any) -> str:
        found = word(dig(answer, "data", "messages", 0, "status")) or word(dig(answer, "response_code"))
        return "" if found == _OK else found

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        url = f"{self.api}/v3/sms/receipts/{step(sent.carrier_message_id)}"
        return get_request(url, Authorization=self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        data = dig(answer, "data")
        status = STATUS.get(word(dig(data, "status_code")))
        yield from self.report(
            id_=dig(data, "message_id"), status=status, at=at, code=dig(data, "error_code")
        )

    def probing(self, now_s: int) -> HttpRequest:
        return get_request(f"{self.api}/v3/account", Authorization=self._login)

    def left(self, answer: Any) -> Money | None:
        return told(dig(answer, "data", "balance"), dig(answer, "data", "_currency", "currency_name_short"))

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """Give the report or the text, in either spelling."""
        said = fields(call)
        at = moment(said.get("timestamp", ""), call)
        id_ = said.get("message_id") or said.get("messageid")
        if "status_code" in said:
            yield from self.report(
                id_=id_,
                status=STATUS.get(said["status_code"]),
                at=at,
                code=said.get("error_code", ""),
                attempt=said.get("custom_string", ""),
            )
        elif "from" in said:
            words = said.get("body") or said.get("message", "")
            yield self.mo(id_=id_, sender=said["from"], to=said.get("to"), said=words, at=at)


def build(name: str, options: Options, folder: Path) -> ClickSend:
    """Return the account. Raises BadOption when its key can't be had."""
    return ClickSend(name, options)
