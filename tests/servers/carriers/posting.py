"""A carrier as most HTTP providers are spoken to: one POST of JSON for each part, and an id in the answer.

It is no part of the product: the proof `boundary` sends through it what the product's own carriers will send.
"""

from __future__ import annotations

import json
from pathlib import Path

from mail2sms.carriers._base import Abilities, Carrier, CarrierOptions
from mail2sms.errors import Refused, SendFailed, Unavailable, Uncertain
from mail2sms.http import Answer, Http, NoAnswer, NotSent
from mail2sms.model import Part, Taken
from mail2sms.options import Count, DurationMs


class Options(CarrierOptions):
    """`api` is where to post; `timeout` bounds a request, `connect` its connection; `at_once` is the window."""

    api: str
    timeout: DurationMs = 2000
    connect: DurationMs = 1000
    at_once: Count = 10


class Posting(Carrier):
    """Posts to one URL."""

    abilities = Abilities(title="the tests' own")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name)
        self.window = options.at_once
        self._options = options
        self._http = Http()

    async def send(self, part: Part) -> Taken:
        """Post it once."""
        order = {
            "message": part.message,
            "attempt": part.attempt_id,
            "to": part.msisdn,
            "text": part.text,
        }
        try:
            answer = await self._http.post(
                self._options.api,
                body=json.dumps(order).encode(),
                headers={"Content-Type": "application/json"},
                timeout_s=self._options.timeout / 1000,
                connect_s=self._options.connect / 1000,
            )
        except NotSent as e:
            raise self.not_sent(e) from e
        except NoAnswer as e:
            raise self.no_answer(e) from e
        return judge(answer)

    def not_sent(self, failure: NotSent) -> SendFailed:
        """Nothing reached the provider."""
        return Unavailable("not_sent", failure.detail)

    def no_answer(self, failure: NoAnswer) -> SendFailed:
        """The provider may have it."""
        return Uncertain("no_answer", failure.detail)

    async def stop(self) -> None:
        """Close the connections."""
        await self._http.close()


def judge(answer: Answer) -> Taken:
    """Return the provider's id, or raise what its answer means."""
    code, wait_s = str(answer.status), answer.retry_after_s
    if 200 <= answer.status < 300:
        return Taken(carrier_message_id=_id(answer))
    if answer.status == 429 or (answer.status == 503 and wait_s is not None):
        raise Unavailable(code, "asked to wait", retry_after_s=wait_s, same_carrier=True)
    if answer.status == 408:  # RFC 9110 section 15.5.9: it gave up waiting for the request
        raise Unavailable(code, "the request did not arrive in time")
    if 400 <= answer.status < 500:
        raise Refused(code, "refused")
    raise Uncertain(code, "the answer does not say whether it was taken")


def _id(answer: Answer) -> str:
    try:
        found = json.loads(answer.body)["id"]
    except (ValueError, TypeError, KeyError):  # UnicodeDecodeError is a ValueError
        found = None
    if not isinstance(found, str) or not found:
        raise Uncertain(str(answer.status), "the answer has no id")
    return found


def build(name: str, options: Options, folder: Path) -> Posting:
    """Return a carrier of this name."""
    return Posting(name, options)
