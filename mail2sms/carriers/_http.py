"""What every HTTP provider shares: one request for a message, sent once, and questions that change nothing.

A provider says what to ask (`request`, `asking`, `probing`), where its answers have an id or a code (`ids`, `code`) and
what they say (`became`, `left`): all pure. What follows from a code is data, see `_answers`.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from mail2sms import numbers
from mail2sms.carriers import _media
from mail2sms.carriers._answers import failure, said, word
from mail2sms.carriers._base import CarrierEvent, Record
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._request import HttpRequest
from mail2sms.carriers._webhook import WebhookCarrier
from mail2sms.clock import now_ms
from mail2sms.errors import BadOption, Misconfigured, Refused, Unavailable, Uncertain
from mail2sms.heard import Sent
from mail2sms.http import Answer, Http, NoAnswer, NotSent
from mail2sms.log import log
from mail2sms.model import Part, Photo, Taken
from mail2sms.money import Money

_NOT_ABOUT_IT = (401, 403, 408, 429)  # but about the account, or the moment
_REST_S = 60.0  # how long a carrier is left alone whose account is out of order


class HttpCarrier(WebhookCarrier):
    """An account at one HTTP provider."""

    media_hosts: ClassVar[tuple[str, ...]] = ()
    """Where the provider keeps what phones send, beside its API; a leading dot: all below."""

    def __init__(self, name: str, options: HttpOptions, api: str) -> None:
        super().__init__(name, options.webhook)
        for finding in options.findings():
            if not finding.is_warning:
                raise BadOption(f"carriers.{name}.{finding.option}: {finding.message}", finding.hint)
        self.api = options.api or api
        self._is_local = options.is_local
        self._timeout_s = options.timeout / 1000
        self.window = options.at_once
        self.asks_after_ms = options.query
        self._media_hosts = (*self.media_hosts, *options.media_hosts, urlsplit(api).hostname or api)
        self._has_own_api = options.api is not None and options.api != api
        self._http = Http()
        self._record: Record | None = None
        self._rests_s = 0.0  # by the loop's clock
        self._ails = ""

    @abstractmethod
    def request(self, part: Part, now_s: int) -> HttpRequest:
        """Return what hands over one part; `now_s` is Unix time."""

    @abstractmethod
    def ids(self, answer: Any) -> Sequence[str]:
        """Return the ids in an answer's JSON, whatever its code: the message's, or one for each of its segments."""

    def code(self, answer: Any) -> str:
        """Return the provider's code for a failure in an answer's JSON, "" where there is none."""
        return ""

    def accepted(self, answer: Answer) -> Taken:
        """Return the provider's ids. Raises Unavailable, Refused or Uncertain."""
        found = said(answer)
        code = self.code(found)
        ids = [word(one) for one in self.ids(found)] if 200 <= answer.status < 300 else []
        if code or not ids or not all(ids):
            raise failure(self.provider, answer, code, may_be_taken=any(ids))
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

    async def start(self, record: Record) -> None:
        self._record = record

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

    async def _inquire(self, request: HttpRequest) -> Answer:
        """Ask what may be asked again: no answer is no doubt."""
        try:
            return await self._ask(request)
        except Uncertain as e:
            raise Unavailable(e.code, e.detail) from None

    def asking(self, sent: Sent, now_s: int) -> HttpRequest | None:
        """Return what asks what became of a part, if the provider tells that."""
        return None

    def became(self, answer: Any, sent: Sent, at: int) -> Iterator[CarrierEvent]:
        """Give what an answer's JSON says of it, if anything. Raises ValueError where it is about no message."""
        yield from ()

    async def ask(self, sent: Sent) -> None:
        """Ask once. What the provider does not know, yet or any more, or does not tell, is no news."""
        request = self.asking(sent, now_ms() // 1000)
        if request is None or self._record is None:
            return
        answer = await self._inquire(request)
        if 400 <= answer.status < 500 and answer.status not in _NOT_ABOUT_IT:
            return
        if answer.status != 200:
            wait_s = answer.retry_after_s
            raise Unavailable(str(answer.status), "no answer that says anything", retry_after_s=wait_s)
        with contextlib.suppress(ValueError):
            for event in self.became(said(answer), sent, now_ms()):
                await self._record(event)

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
            answer = await self._inquire(request)
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
        answer = await self._inquire(request)
        found = self.left(said(answer)) if answer.status == 200 else None
        if found is None:
            raise Unavailable(str(answer.status), "no answer that says what is left")
        return found

    async def stop(self) -> None:
        await self._http.close()
