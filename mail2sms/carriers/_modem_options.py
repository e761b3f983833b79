"""What there is to say of a modem and its SIM: the options of `type: modem`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from mail2sms.carriers._base import CarrierOptions, OptionFinding
from mail2sms.errors import BadOption
from mail2sms.options import (
    AbsolutePath,
    DurationMs,
    Flag,
    Rate,
    RateOption,
    SecretOption,
    Written,
)
from mail2sms.rates import Rates

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}\Z")
_CONNECTION = re.compile(r"at[0-9]{0,7}\Z")
_BY_ID = "/dev/serial/by-id/"


def _number(value: Any) -> str:
    if not _NUMBER.match(str(value)):
        raise BadOption(f'expected a number with its country code, got "{value}"', "such as +33639980101")
    return str(value)


def _connection(value: Any) -> str:
    if not _CONNECTION.match(str(value)):
        raise BadOption(f'expected how gammu speaks with it, got "{value}"', "such as at115200 or at19200")
    return str(value)


NumberOption = Annotated[
    str, BeforeValidator(_number), Written("a number with its country code", r"^\+[1-9][0-9]+$")
]
ConnectionOption = Annotated[
    str, BeforeValidator(_connection), Written("at and its speed (at115200)", "^at[0-9]*$")
]


class Options(CarrierOptions):
    """A GSM modem with its SIM card, a USB stick or at a serial line, through gammu (Debian: python3-gammu)."""

    device: AbsolutePath
    """Where it is; names by-id stay the same. Example: /dev/serial/by-id/usb-HUAWEI_Mobile-if00-port0"""
    connection: ConnectionOption = "at115200"
    """How gammu speaks with it: at and the speed of its line. Example: at19200"""
    pin: SecretOption | None = None
    """The SIM's PIN, if it asks for one; one that it refused is never tried again. Example: credential:pin"""
    number: NumberOption
    """The SIM's own number: what phones see, and answer to. Example: +33639980101"""
    smsc: NumberOption | None = None
    """The number of the message centre, if the SIM does not know it. Example: +33689004000"""
    report: Flag = True
    """Whether the network is asked what became of each part. Example: no"""
    read: DurationMs = 5_000
    """How often it is asked for what has come. Example: 2s"""
    timeout: DurationMs = 120_000
    """A part that it does not answer for so long may have been sent; then gammu is started anew. Example: 90s"""
    python: AbsolutePath | None = None
    """A Python that has gammu; by default ours if it has it, else /usr/bin/python3. Example: /opt/gammu/bin/python"""
    rate: RateOption | None = Rate(12, 60)
    """How many parts it is given: each takes some seconds, and SIMs that send much get locked. Example: 12/m"""

    def findings(self) -> Iterator[OptionFinding]:
        """A name of the device that another may have after the next start."""
        if re.match(r"/dev/tty(USB|ACM)", str(self.device)):
            hint = f"look for it:  ls -l {_BY_ID}"
            message = "at the next start this may be another device"
            yield OptionFinding(option="device", message=message, hint=hint)

    @property
    def used_device(self) -> Path | None:
        return self.device

    @property
    def rates(self) -> Rates:
        """Each segment takes its time."""
        return replace(super().rates, by_segment=True)
