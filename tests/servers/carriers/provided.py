"""The product's own way with HTTP providers, at the tests' provider: for the proof `providers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mail2sms.carriers._answers import dig
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import HttpOptions
from mail2sms.carriers._request import HttpRequest, json_request
from mail2sms.model import Part


class Options(HttpOptions):
    """As every HTTP provider has them."""

    signed_by = None


class Provided(HttpCarrier):
    """Posts what the tests' provider reads."""

    provider = "provided"
    abilities = Abilities(title="the tests' own")

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One order."""
        order = {"message": part.message, "attempt": part.attempt_id, "to": part.msisdn, "text": part.text}
        return json_request(self.api, order)

    def ids(self, answer: Any) -> Sequence[str]:
        """Return what a taken order is called."""
        return [dig(answer, "id")]

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """It tells nothing."""
        yield from ()


def build(name: str, options: Options, folder: Path) -> Provided:
    """Return a carrier of this name."""
    return Provided(name, options, "")
