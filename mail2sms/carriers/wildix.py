"""A GSM gateway at a Wildix PBX, by its SMS API. https://confluence.wildix.com/x/BRrOAQ (of 2022-12, read 2026-11).

The PBX gives messages no ids and reports nothing. It takes one SMS in five seconds and gateway, and puts blanks for
quotes and slashes. The number that a phone sees is the SIM card's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from mail2sms.carriers._answers import dig, said
from mail2sms.carriers._base import Abilities, Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers._options import BaseUrl, HttpOptions
from mail2sms.carriers._request import HttpRequest, basic
from mail2sms.errors import Refused, Unavailable
from mail2sms.http import Answer
from mail2sms.model import Part, Taken
from mail2sms.options import Rate, RateOption, SecretOption
from mail2sms.rates import Rates

_LONGEST = 670  # characters (300 before WMS 6.02)
_BUSY = "warning"


class Options(HttpOptions):
    """One PBX, whose user sends."""

    signed_by = None
    is_local = True

    api: BaseUrl
    """The PBX; plain http in a private network only. Example: https://pbx.acme.example"""
    user: str
    """The PBX user that sends. Example: 101"""
    password: SecretOption
    """Its password. Example: credential:wildix"""
    gateway: str = ""
    """The MAC address of a GSM gateway; else the PBX chooses one. Example: 9c7514330001"""
    rate: RateOption | None = Rate(12, 60)
    """How many SMS it is given: each takes a gateway five seconds. Example: 12/m"""

    @property
    def rates(self) -> Rates:
        """Each segment takes the gateway its time."""
        return replace(super().rates, by_segment=True)


class Wildix(HttpCarrier):
    """One PBX."""

    provider = "wildix"
    reports = False
    abilities = Abilities(title="Wildix PBX", receives=False, senders="the SIM card's number")

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, options.api)
        self._login = basic(options.user, options.password.reveal())
        self._gateway = {"gsm": options.gateway} if options.gateway else {}

    def request(self, part: Part, now_s: int) -> HttpRequest:
        """One SMS. Raises Refused for a text that the PBX would cut."""
        if len(part.text) > _LONGEST:
            raise Refused("too_long", f"the PBX takes {_LONGEST} characters")
        form = {"number": part.msisdn, "message": part.text, **self._gateway}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": self._login}
        return HttpRequest(
            url=f"{self.api}/api/v1/originate/sms", headers=headers, body=urlencode(form).encode()
        )

    def ids(self, answer: Any) -> Sequence[str]:
        return []

    def accepted(self, answer: Answer) -> Taken:
        """It gives no id: `Success` is all that there is."""
        kind = dig(said(answer), "type")
        if answer.status == 200 and kind == "result" and dig(said(answer), "result") == "Success":
            return Taken(carrier_message_id="")
        if answer.status == 200 and kind == _BUSY:
            raise Unavailable(_BUSY, "the PBX did not queue it", same_carrier=True)
        if answer.status == 200 and kind == "error":
            raise Refused("error", "the PBX refused it")
        return super().accepted(answer)

    def tell(self, call: Call) -> Iterator[CarrierEvent]:
        """The PBX tells nothing."""
        yield from ()


def build(name: str, options: Options, folder: Path) -> Wildix:
    """Return the PBX. Raises BadOption when the password can't be had."""
    return Wildix(name, options)
