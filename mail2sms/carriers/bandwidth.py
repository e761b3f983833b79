"""Bandwidth, messaging API v2. https://dev.bandwidth.com/docs/messaging/ (read 2026-11). Nothing is signed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig, verdict, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._media import files
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import as_json, moment
from mail2sms.carriers._request import HttpRequest, basic, get_request, json_request, step
from mail2sms.heard import Sent
from mail2sms.media import Mms
from mail2sms.model import Part, Status
from mail2sms.options import SecretOption

_API = "https://messaging.bandwidth.com"
STATUS = {
    "message-sending": Status.ENROUTE,
    "message-delivered": Status.DELIVERED,
    "message-failed": Status.UNDELIVERABLE,
}
_NOBODY_KNOWS = frozenset({"9902", "9999"})  # their receipt never came
_EXPIRED = "4360"
_REJECTED = frozenset({"4470", "4770", "4775", "4482"})


class Options(HttpOptions):
    """One account and application."""

    is_asked = True
    account: str
    """The account's number. Example: 9900000"""
    application: str
    """The application's id. Example: 93de2206-9669-4e07-948d-329f4b722ee2"""
    user: str
    """The API token or user. Example: acme"""
    password: SecretOption
    """Its secret. Example: credential:bandwidth"""


class Bandwidth(HttpCarrier):
    """One account and application."""

    provider = "bandwidth"
    abilities = Abilities(title="Bandwidth", mms=Mms(), senders="numbers, short codes")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, _API)
        self._login = basic(options.user, options.password.reveal())
        self._url = f"{self.api}/api/v2/users/{options.account}/messages"
        self._application = options.application

    def request(self, part: Part, now_s: int) -> HttpRequest:
        order: dict[str, Any] = {
            "applicationId": self._application,
            "to": [part.msisdn],
            "from": part.sender_id,
            "text": part.text,
            "tag": part.attempt_id,
        }
        if part.media:
            order["media"] = [media.url for media in part.media]
        elif part.expires_at // 1000 > now_s:  # of an SMS alone
            order["expiration"] = datetime.fromtimestamp(part.expires_at // 1000, UTC).isoformat()
        return json_request(self._url, order, Authorization=self._login)

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        """https://dev.bandwidth.com/docs/messaging/getMessage"""
        url = f"{self._url}?messageId={step(sent.carrier_message_id)}"
        return get_request(url, Authorization=self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        """A list of one, in other words than its webhook's."""
        message = dig(answer, "messages", 0)
        kind, code = f"message-{word(dig(message, 'messageStatus')).lower()}", word(dig(message, "errorCode"))
        status = _status(kind, code) if kind in STATUS else None
        yield from self.report(id_=dig(message, "messageId"), status=status, at=at, code=code)

    def media_login(self) -> Mapping[str, str]:
        return {"Authorization": self._login}

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "id")]

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        events = as_json(call)
        yield from self.each(
            events if isinstance(events, list) else [events], lambda one: self._told(one, call)
        )

    def _told(self, one: Any, call: Call) -> Iterator[CarrierEvent]:
        kind, message = word(dig(one, "type")), dig(one, "message")
        at = moment(dig(one, "time"), call)
        if kind == "message-received":
            yield self.mo(
                id_=dig(message, "id"),
                sender=dig(message, "from"),
                to=dig(message, "owner") or dig(one, "to"),
                said=dig(message, "text"),
                at=at,
                media=files(dig(message, "media")),
            )
        elif kind in STATUS:
            code = word(dig(one, "errorCode"))
            yield from self.report(
                id_=dig(message, "id"),
                status=_status(kind, code),
                at=at,
                code=code,
                attempt=dig(message, "tag"),
            )


def _status(kind: str, code: str) -> Status | None:
    if kind != "message-failed":
        return STATUS[kind]
    if code in _NOBODY_KNOWS:
        return None
    found = verdict("bandwidth", "dlr", code)
    is_refusal = code in _REJECTED or (found is not None and found.kind == "config")
    return Status.EXPIRED if code == _EXPIRED else Status.REJECTED if is_refusal else STATUS[kind]


def build(name: str, options: Options, folder: Path) -> Bandwidth:
    """Return the account. Raises BadOption when its password can't be had."""
    return Bandwidth(name, options)
