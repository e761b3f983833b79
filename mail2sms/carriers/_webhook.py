"""What a provider's webhook tells, once the request has proven where it comes from.

A provider says how its requests are signed (`check_signature`) and what they mean (`tell`): both pure. What follows
from a code is data, see `_answers`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any, ClassVar

from mail2sms.carriers._answers import verdict, word
from mail2sms.carriers._base import Call, Carrier, CarrierEvent
from mail2sms.carriers._options import WebhookOptions
from mail2sms.carriers._proofs import must, phone, same, text
from mail2sms.errors import BadOption
from mail2sms.log import log
from mail2sms.media import is_slide
from mail2sms.model import DeliveryReport, Media, MoMessage, Status

_SHORTEST_SECRET = 16
_FILES = 10  # of one MMS; no provider passes on more
_UNKNOWN_SUBSCRIBER = "the subscriber is unknown"


class WebhookCarrier(Carrier):
    """An account at one provider, of which `provider` is the name in the table of codes, and whose webhook is ours."""

    provider: ClassVar[str]

    def __init__(self, name: str, options: WebhookOptions) -> None:
        super().__init__(name)
        self._networks = options.networks
        self.path_secret = options.secret.reveal() if options.secret else ""
        if self.path_secret and len(self.path_secret) < _SHORTEST_SECRET:
            raise BadOption(
                f"carriers.{name}.webhook.secret is short", f"{_SHORTEST_SECRET} characters or more"
            )

    def has_signature(self) -> bool:
        """Whether the provider's requests must be signed."""
        return False

    def check_signature(self, call: Call) -> None:
        """Raise PermissionError unless the request is signed by the provider."""

    @abstractmethod
    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """Give what a proven request tells. Raises ValueError where it can't be read."""

    def webhook_url(self) -> str:
        return self.events_url + (f"/{self.path_secret}" if self.path_secret else "")

    def signed_url(self, call: Call) -> str:
        """Return the URL that the provider called, as it is known outside."""
        return self.webhook_url() + (f"?{call.query}" if call.query else "")

    def events(self, call: Call) -> tuple[CarrierEvent, ...]:
        """Prove the request first: where it comes from, its path, its signature."""
        if self._networks:
            address = ip_address(call.ip.partition("%")[0] or "::")
            must(any(address in network for network in self._networks), "not from there")
        must(self.has_signature() or bool(self.path_secret), "nothing would prove it")
        must(same(call.secret, self.path_secret), "the path's secret is wrong")
        if self.has_signature():
            self.check_signature(call)
        return tuple(self.tell(call))

    def each(
        self, items: Sequence[Any], read: Callable[[Any], Iterator[CarrierEvent]]
    ) -> Iterator[CarrierEvent]:
        """Give what `read` finds in each item of a batch, without those that can't be read: posted again, they would
        keep the others back for ever. Raises ValueError where not one can.
        """
        unread = 0
        for item in items:
            try:
                yield from tuple(read(item))
            except ValueError:
                unread += 1
        if unread and unread == len(items):
            raise ValueError("nothing in the batch can be read")
        if unread:
            log.error("webhook_unread", carrier=self.name, count=unread)

    def mo(
        self, *, id_: Any, sender: Any, to: Any, said: Any, at: int, media: Sequence[Media] = ()
    ) -> MoMessage:
        """Return a text from a phone, and what is to be fetched with it. Raises ValueError without id or sender."""
        key, msisdn = word(id_), phone(sender)
        if not key or not msisdn:
            raise ValueError("a text without id or sender")
        return MoMessage(
            carrier=self.name,
            event_id=key,
            msisdn=msisdn,
            to=str(phone(to)),
            at=at,
            text=text(said),
            media=tuple(one for one in media if one.url and not is_slide(one.media_type, one.url))[:_FILES],
        )

    def report(
        self,
        *,
        id_: Any,
        status: Status | None,
        at: int,
        code: Any = "",
        attempt: Any = "",
        segment: str = "",
        segments: int = 0,
    ) -> Iterator[DeliveryReport]:
        """Give the report, or nothing where a status says nothing. Raises ValueError without an id."""
        key, shown = word(id_), word(code).removesuffix(".0")
        if not key:
            raise ValueError("a report without an id")
        if status is None:
            return
        shown = "" if status is Status.DELIVERED or shown in ("0", "000") else shown
        found = verdict(self.provider, "dlr", shown) or verdict(self.provider, "api", shown)
        is_nobody = found is not None and found.meaning == _UNKNOWN_SUBSCRIBER
        yield DeliveryReport(
            carrier=self.name,
            carrier_message_id=key,
            status=status,
            at=at,
            event_id=f"{segment or key}/{status.value}/{shown}",
            code="unknown_subscriber" if is_nobody else shown,
            attempt_id=word(attempt) or None,
            is_opt_out=found is not None and found.kind == "optout",
            segment=segment,
            segments=segments,
        )
