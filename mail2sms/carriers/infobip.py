"""Infobip, SMS API v3. https://www.infobip.com/docs/api/channels/sms (read 2026-11).

The id of a message is ours: so a lost answer is settled by its report. Nothing is signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import Verdict, dig, doubt, raised, said, verdict, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import BaseUrl, HttpOptions
from mail2sms.carriers._proofs import as_json, moment
from mail2sms.carriers._request import HttpRequest, get_request, json_request, step
from mail2sms.heard import Sent
from mail2sms.http import Answer
from mail2sms.media import Mms
from mail2sms.model import Media, Part, Status, Taken
from mail2sms.money import Money, told
from mail2sms.options import SecretOption

_MINUTES = range(1, 2881)
_REJECTED = 5
_TWICE = "REJECTED_DUPLICATE_MESSAGE_ID"  # the id is of one attempt: what it has already may be just that
_NEVER = Verdict(kind="permanent", meaning="refused")
STATUS = {  # by groupId
    0: Status.ENROUTE,
    1: Status.ENROUTE,
    2: Status.UNDELIVERABLE,
    3: Status.DELIVERED,
    4: Status.EXPIRED,
    _REJECTED: Status.REJECTED,
}


class Options(HttpOptions):
    """One account."""

    balance_in = ""
    is_asked = True
    api: BaseUrl
    """The account's own base URL. Example: https://abc123.api.infobip.com"""
    key: SecretOption
    """An API key. Example: credential:infobip"""


class Infobip(HttpCarrier):
    """One account."""

    provider = "infobip"
    media_hosts = (".infobip.com",)
    abilities = Abilities(title="Infobip", mms=Mms())

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, options.api)
        self._login = f"App {options.key.reveal()}"

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One message with an id of ours."""
        to = {"to": part.msisdn.removeprefix("+"), "messageId": part.attempt_id}
        message: dict[str, Any] = {
            "sender": part.sender_id.removeprefix("+"),
            "destinations": [to],
            "content": {"text": part.text},
        }
        minutes = (part.expires_at // 1000 - now_s) // 60
        if minutes in _MINUTES:
            message["options"] = {"validityPeriod": {"amount": minutes, "timeUnit": "MINUTES"}}
        if self.events_url.startswith("https://"):
            told = {"delivery": {"url": self.webhook_url()}, "contentType": "application/json"}
            message["webhooks"] = told
        if part.media:
            message["content"] = {"messageSegments": _segments(part)}
            url = f"{self.api}/mms/2/messages"
            return json_request(url, {"messages": [message]}, Authorization=self._login)
        return json_request(f"{self.api}/sms/3/messages", {"messages": [message]}, Authorization=self._login)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "messages", 0, "messageId")]

    def accepted(self, answer: Answer) -> Taken:
        """A refusal may stand in an answer that is 200, with the id all the same: the group says it, whatever its name.

        https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes (read 2026-11)
        """
        status = dig(said(answer), "messages", 0, "status")
        if 200 <= answer.status < 300 and dig(status, "groupId") == _REJECTED:
            name = word(dig(status, "name")) or "REJECTED"
            if name == _TWICE:
                raise doubt(name, name)
            raise raised(verdict(self.provider, "api", name) or _NEVER, name, answer.retry_after_s)
        return super().accepted(answer)

    def code(self, answer: Any) -> str:
        found = dig(answer, "requestError", "serviceException", "messageId") or dig(answer, "errorCode")
        return word(found)

    def media_login(self) -> Mapping[str, str]:
        return {"Authorization": self._login}

    def asking(self, sent: Sent, now_s: int) -> HttpRequest:
        """Its logs, which may be read again, other than its reports; they go back 48 hours."""
        url = f"{self.api}/sms/3/logs?messageId={step(sent.carrier_message_id)}"
        return get_request(url, Authorization=self._login)

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        yield from self._reported(dig(answer, "results", 0), at)

    def _reported(self, result: Any, at: int) -> Iterator[CarrierEvent]:
        id_ = dig(result, "messageId")
        status, code = _status(dig(result, "status", "groupId")), _error(dig(result, "error", "name"))
        yield from self.report(id_=id_, status=status, at=at, code=code, attempt=id_)

    def probing(self, now_s: int) -> HttpRequest:
        return get_request(f"{self.api}/account/1/balance", Authorization=self._login)

    def left(self, answer: Any) -> Money | None:
        return told(dig(answer, "balance"), dig(answer, "currency"))

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        results = dig(as_json(call), "results")
        yield from self.each(results if isinstance(results, list) else [], lambda one: self._told(one, call))

    def _told(self, one: Any, call: Call) -> Iterator[CarrierEvent]:
        if dig(one, "status") is not None:
            yield from self._reported(one, moment(dig(one, "doneAt"), call))
        elif dig(one, "from") is not None:
            parts = dig(one, "message")
            shown = parts if isinstance(parts, list) else []
            words = [dig(p, "value") for p in shown if dig(p, "url") is None]
            yield self.mo(
                id_=dig(one, "messageId"),
                sender=dig(one, "from"),
                to=dig(one, "to"),
                said="\n".join(str(each) for each in [dig(one, "text"), *words] if each),
                at=moment(dig(one, "receivedAt"), call),
                media=[_file(p) for p in shown if isinstance(dig(p, "url"), str)],
            )


def _segments(part: Part) -> list[dict[str, str]]:
    """Return what an MMS shows: its text, then its pictures."""
    words = [{"type": "TEXT", "text": part.text}] if part.text else []
    links = [{"type": "LINK", "contentType": m.media_type, "contentUrl": m.url} for m in part.media]
    return [*words, *links]


def _file(said: Any) -> Media:
    return Media(url=dig(said, "url"), media_type=word(dig(said, "contentType")))


def _status(group: Any) -> Status | None:
    return STATUS.get(group) if isinstance(group, int) else None


def _error(name: Any) -> str:
    return "" if name == "NO_ERROR" else word(name)


def build(name: str, options: Options, folder: Path) -> Infobip:
    """Return the account. Raises BadOption when its key can't be had."""
    return Infobip(name, options)
