"""The options of daily digests: who gets one, and when."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Any

from pydantic import BeforeValidator

from mail2sms.config.values import Address, ListOfOne
from mail2sms.errors import BadOption
from mail2sms.options import Flag, Options, Written

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def read_clock(value: Any) -> time:
    """A time of day."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise BadOption(f'expected a time of day, got "{value}"', 'such as "08:00"')
    return time(int(found[1]), int(found[2]))


def _shown(value: time) -> str:
    return f"{value:%H:%M}"


Clock = Annotated[
    time,
    BeforeValidator(read_clock),
    Written("a time of day (08:00)", "^([01]?[0-9]|2[0-3]):[0-5][0-9]$", show=_shown),
]


class DigestOptions(Options):
    """One email a day about all messages, for who looks after the service; a user's own is `users.*.digest`."""

    to: Annotated[tuple[Address, ...], ListOfOne]
    """Who gets it. Example: it@acme.example"""
    at: Clock = time(8)
    """When, by their own clock. Example: 07:30"""
    when_empty: Flag = False
    """Also after a day on which nothing happened. Example: yes"""
