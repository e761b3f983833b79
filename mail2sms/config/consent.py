"""The options of who wants to be written to, and when."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from mail2sms.config.values import ListOfOne
from mail2sms.errors import BadOption
from mail2sms.keywords import fold
from mail2sms.options import Flag, Options, Written, read_list
from mail2sms.quiet import HOLIDAYS, Period, read_period

_LONGEST = 40  # characters, as folded


def _keyword(value: Any) -> str:
    text = fold(value) if isinstance(value, str) else ""
    if not text or len(text) > _LONGEST:
        raise BadOption(f'"{value}" cannot be a keyword', "a word or a few, such as STOP")
    return text


KeywordOption = Annotated[str, BeforeValidator(_keyword), Written("a word that phones send", "^.{1,40}$")]


USUAL = "usual"
"""The hours of the shipped table."""


def _periods(value: Any) -> tuple[Period, ...] | str:
    texts = read_list(value)
    if texts == [USUAL]:
        return USUAL
    periods = []
    for text in texts:
        try:
            periods.append(read_period(text if isinstance(text, str) else ""))
        except ValueError:
            hint = f'such as "21:00-08:00", sunday, "saturday 18:00-24:00" or {HOLIDAYS}; or {USUAL}'
            raise BadOption(f'"{text}" is no quiet time', hint) from None
    return tuple(periods)


QuietOption = Annotated[
    tuple[Period, ...] | str,
    BeforeValidator(_periods),
    Written(
        "usual, or times and days (21:00-08:00, sunday, holidays)",
        "^(usual|holidays|([a-z]+day)?( *[0-9]{2}:[0-9]{2} *- *[0-9]{2}:[0-9]{2})?)$",
        is_list=True,
    ),
]


class OptOutOptions(Options):
    """STOP, START and HELP. The usual words of many languages are understood without being named."""

    words: Annotated[tuple[KeywordOption, ...], ListOfOne] = ()
    """Words of yours that opt a phone out, beside the usual ones. Example: NOSMS"""
    reply: Flag = True
    """Whether phones get an SMS that confirms it. Example: yes"""
    scope: Literal["sender_id", "all"] = "sender_id"
    """What STOP is about: the number that it was sent to, or all of yours. Example: all"""
