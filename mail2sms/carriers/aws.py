"""AWS End User Messaging SMS. https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/ (read 2026-11).

Events and texts come through an SNS topic that is subscribed to our webhook; the subscription confirms itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from mail2sms.carriers import _sns
from mail2sms.carriers._answers import dig, word
from mail2sms.carriers._base import Abilities, Call, CarrierEvent, OptionFinding
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import must
from mail2sms.carriers._request import HttpRequest
from mail2sms.carriers._sigv4 import sign
from mail2sms.model import Part, Status
from mail2sms.options import SecretOption

_VALID_S = range(5, 259_201)
_TARGET = "PinpointSMSVoiceV2."
_CERTIFICATES = 4  # kept: AWS has one at a time, and another one before it ends
STATUS = {
    **dict.fromkeys(("TEXT_PENDING", "TEXT_QUEUED", "TEXT_SENT", "TEXT_SUCCESSFUL"), Status.ENROUTE),
    "TEXT_DELIVERED": Status.DELIVERED,
    **dict.fromkeys(("TEXT_UNREACHABLE", "TEXT_CARRIER_UNREACHABLE"), Status.UNDELIVERABLE),
    "TEXT_TTL_EXPIRED": Status.EXPIRED,
    **dict.fromkeys(
        (
            *("TEXT_INVALID", "TEXT_INVALID_MESSAGE", "TEXT_BLOCKED", "TEXT_CARRIER_BLOCKED"),
            *("TEXT_SPAM", "TEXT_PROTECT_BLOCKED"),
        ),
        Status.REJECTED,
    ),
}
_ANYWAY = ("api", "balance_below")  # options that are wrong without a topic, too


class Options(HttpOptions):
    """One account in one region."""

    signed_by = "topic"

    region: str
    """Where the sender IDs are. Example: eu-west-1"""
    access_key: str
    """The id of an access key that may send. Example: AKIAIOSFODNN7EXAMPLE"""
    secret_key: SecretOption
    """Its secret. Example: credential:aws"""
    configuration_set: str = ""
    """Without one there are no events. Example: mail2sms"""
    topic: str = ""
    """The SNS topic of events and texts. Example: arn:aws:sns:eu-west-1:123456789012:mail2sms"""
    message_type: Literal["TRANSACTIONAL", "PROMOTIONAL"] = "TRANSACTIONAL"
    """What the texts are. Example: PROMOTIONAL"""

    def findings(self) -> Iterator[OptionFinding]:
        """Without a topic there is no webhook, whatever its path."""
        yield from (found for found in super().findings() if self.topic or found.option in _ANYWAY)
        if not self.topic:
            message = "without a topic it tells nothing: no reports and no replies come"
            yield OptionFinding(option="", message=message, hint="add topic: the ARN of the SNS topic")


class Aws(HttpCarrier):
    """One account in one region."""

    provider = "aws"
    abilities = Abilities(
        title="AWS End User Messaging", signs="RSA of SNS, with its certificate", tested="botocore"
    )

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, f"https://sms-voice.{options.region}.amazonaws.com")
        self._options = options
        self._keys = (options.access_key, options.secret_key.reveal())
        self.certificates: dict[str, bytes] = {}

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """SendTextMessage."""
        options = self._options
        order: dict[str, Any] = {
            "DestinationPhoneNumber": part.msisdn,
            "OriginationIdentity": part.sender_id,
            "MessageBody": part.text,
            "MessageType": options.message_type,
            "Context": {"attempt": part.attempt_id},
        }
        if options.configuration_set:
            order["ConfigurationSetName"] = options.configuration_set
        if part.expires_at // 1000 - now_s in _VALID_S:
            order["TimeToLive"] = part.expires_at // 1000 - now_s
        return self._signed("SendTextMessage", order, now_s)

    def _signed(self, verb: str, order: dict[str, Any], now_s: int) -> HttpRequest:
        body = json.dumps(order, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": _TARGET + verb}
        region = self._options.region
        url = f"{self.api}/"
        signed = sign(url, body, headers, region=region, service="sms-voice", keys=self._keys, now_s=now_s)
        return HttpRequest(url=url, headers=signed, body=body)

    def ids(self, answer: Any) -> Sequence[str]:
        return [dig(answer, "MessageId")]

    def code(self, answer: Any) -> str:
        kind = word(dig(answer, "__type")).rpartition("#")[2]
        reason = word(dig(answer, "Reason"))
        return f"{kind}/{reason}" if kind and reason else kind

    def probing(self, now_s: int) -> HttpRequest:
        return self._signed("DescribeAccountAttributes", {}, now_s)

    def has_signature(self) -> bool:
        return bool(self._options.topic)

    async def receive(self, call: Call) -> tuple[CarrierEvent, ...]:
        """Get the certificate first, from AWS alone; a subscription that is proven is confirmed."""
        post = _sns.read(call, self._options.topic)
        if post.certificate not in self.certificates:
            answer = await self._ask(HttpRequest(url=post.certificate, method="GET"))
            must(answer.status == 200, "no certificate")
            while len(self.certificates) >= _CERTIFICATES:
                self.certificates.pop(next(iter(self.certificates)))
            self.certificates[post.certificate] = answer.body
        events = self.events(call)
        if post.confirm:
            await self._ask(HttpRequest(url=post.confirm, method="GET"))
        return events

    def check_signature(self, call: Call) -> None:
        post = _sns.read(call, self._options.topic)
        _sns.check(post, self.certificates.get(post.certificate, b""), call)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """Give what a notification of the topic tells."""
        post = _sns.read(call, self._options.topic)
        if post.kind != "Notification":
            return
        told = json.loads(str(post.fields.get("Message")))
        if dig(told, "inboundMessageId") is not None:
            yield self.mo(
                id_=dig(told, "inboundMessageId"),
                sender=dig(told, "originationNumber"),
                to=dig(told, "destinationNumber"),
                said=dig(told, "messageBody"),
                at=call.at,
            )
        elif dig(told, "eventType") is not None:
            kind = word(dig(told, "eventType"))
            status = STATUS.get(kind)
            yield from self.report(
                id_=dig(told, "messageId"),
                status=status,
                at=call.at,
                code="" if status is Status.ENROUTE else kind,
                attempt=dig(told, "context", "attempt"),
            )


def build(name: str, options: Options, folder: Path) -> Aws:
    """Return the account. Raises BadOption when its secret can't be had."""
    return Aws(name, options)
