"""What every HTTP provider shares: one request for a message, sent once, and webhooks that prove themselves.

A provider says what to ask (`request`), where its answer has an id or a code (`ids`, `code`), and what its webhooks
mean (`tell`): all pure. What follows from a code is data, see `_answers`.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, ClassVar
from urllib.parse import urlsplit

from mail2sms import numbers
from mail2sms.carriers import _media
from mail2sms.carriers._answers import failure, said, verdict, word
from mail2sms.carriers._base import Call, Carrier, CarrierEvent
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._proofs import must, phone, same, text
from mail2sms.carriers._request import HttpRequest
from mail2sms.clock import now_ms
from mail2sms.errors import BadOption, Misconfigured, Refused, Unavailable, Uncertain
from mail2sms.http import Answer, Http, NoAnswer, NotSent
from mail2sms.log import log
from mail2sms.media import is_slide
from mail2sms.model import DeliveryReport, Media, MoMessage, Part, Photo, Status, Taken
from mail2sms.money import Money

_REST_S = 60.0  # how long a carrier is left alone whose account is out of order
_SHORTEST_SECRET = 16
_FILES = 10  # of one MMS; no provider passes on more
_UNKNOWN_SUBSCRIBER = "the subscriber is unknown"


class HttpCarrier(Carrier):
    """An account at one HTTP provider, of which `provider` is the name in the table of codes."""

    provider: ClassVar[str]
    media_hosts: ClassVar[tuple[str, ...]] = ()
    """Where the provider keeps what phones send, beside its API; a leading dot: all below."""

    def __init__(self, name: str, options: HttpOptions, api: str) -> None:
        super().__init__(name)
        for finding in options.findings():
            if not finding.is_warning:
                raise BadOption(f"carriers.{name}.{finding.option}: {finding.message}", finding.hint)
        self.api = options.api or api
        self._is_local = options.is_local
        self._timeout_s = options.timeout / 1000
        self.window = options.at_once
        self._media_hosts = (*self.media_hosts, *options.media_hosts, urlsplit(api).hostname or api)
        self._has_own_api = options.api is not None and options.api != api
        self._networks = options.webhook.networks
        self.path_secret = options.webhook.secret.reveal() if options.webhook.secret else ""
        if self.path_secret and len(self.path_secret) < _SHORTEST_SECRET:
            raise BadOption(
                f"carriers.{name}.webhook.secret is short", f"{_SHORTEST_SECRET} characters or more"
            )
        self._http = Http()
        self._rests_s = 0.0  # by the loop's clock
        self._ails = ""

    @abstractmethod
    def request(self, part: Part, now_s: int) -> HttpRequest:
        """Return what hands over one part; `now_s` is Unix time."""

    @abstractmethod
    def ids(self, answer: Any) -> Sequence[str]:
        """Return the ids in an answer's JSON: the message's, or one for each of its segments."""

    def code(self, answer: Any) -> str:
        """Return the provider's code for a failure in an answer's JSON, "" where there is none."""
        return ""

    def accepted(self, answer: Answer) -> Taken:
        """Return the provider's ids. Raises Unavailable, Refused or Uncertain."""
        found = said(answer)
        code = self.code(found)
        ids = [] if code or not 200 <= answer.status < 300 else [word(one) for one in self.ids(found)]
        if not ids or not all(ids):
            raise failure(self.provider, answer, code)
        return Taken(carrier_message_id=ids[0], others=tuple(ids[1:]))

    async def send(self, part: Part) -> Taken:
        """Ask once. While the account is out of order nothing is asked."""
        if numbers.is_fiction(part.msisdn):
            raise Refused("fiction", "an example number: no phone has it")
        clock = asyncio.get_running_loop().time
        if (rest_s := self._rests_s - clock()) > 0:
            raise Unavailable(self._ails, "its account is out of order", retry_after_s=rest_s)
        try:
            return self.accepted(await self._ask(self.request(part, now_ms() // 1000)))
        except Misconfigured as e:
            self._rests_s, self._ails = clock() + _REST_S, e.code
            log.error("carrier_misconfigured", carrier=self.name, code=e.code, reason=e.detail)
            raise

    async def _ask(self, request: HttpRequest) -> Answer:
        try:
            return await self._http.request(
                request.method,
                request.url,
                body=request.body,
                headers=request.headers,
                timeout_s=self._timeout_s,
                allow_plain=self._is_local,
            )
        except NotSent as e:
            raise Unavailable("not_sent", e.detail) from e
        except NoAnswer as e:
            raise Uncertain("no_answer", e.detail) from e

    def media_login(self) -> Mapping[str, str]:
        """Return what the API's own host must be shown for a file of a phone."""
        return {}

    async def fetch(self, url: str, limit_bytes: int) -> Photo:
        source = _media.Source(
            hosts=self._media_hosts, api=self.api, login=self.media_login(), is_own=self._has_own_api
        )
        return await _media.fetch(self._http, source, url, limit_bytes)

    def probing(self, now_s: int) -> HttpRequest | None:
        """Return what asks about the account and changes nothing, if there is such a thing."""
        return None

    async def probe(self) -> str:
        """Ask once, and tell what the status says."""
        request = self.probing(now_ms() // 1000)
        if request is None:
            return ""
        try:
            answer = await self._ask(request)
        finally:
            await self._http.close()
        if 200 <= answer.status < 300:
            return f"{self.abilities.title} knows the account"
        if answer.status in (401, 403, 404):
            raise Refused(str(answer.status), "the account or its credentials are not accepted")
        raise Unavailable(str(answer.status), "no answer that says anything")

    def balancing(self, now_s: int) -> HttpRequest | None:
        """Return what asks for the balance."""
        return self.probing(now_s)

    def left(self, answer: Any) -> Money | None:
        """Return what an answer's JSON says is left; None when it does not."""
        return None

    async def balance(self) -> Money:
        """Ask once."""
        request = self.balancing(now_ms() // 1000)
        if request is None:
            return await super().balance()
        try:
            answer = await self._ask(request)
        except Uncertain as e:
            raise Unavailable(e.code, e.detail) from None
        found = self.left(said(answer)) if answer.status == 200 else None
        if found is None:
            raise Unavailable(str(answer.status), "no answer that says what is left")
        return found

    async def stop(self) -> None:
        await self._http.close()

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
        self, *, id_: Any, status: Status | None, at: int, code: Any = "", attempt: Any = ""
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
            event_id=f"{key}/{status.value}/{shown}",
            code="unknown_subscriber" if is_nobody else shown,
            attempt_id=word(attempt) or None,
            is_opt_out=found is not None and found.kind == "optout",
        )
