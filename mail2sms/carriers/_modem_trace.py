"""What gammu wrote while it handed over a part, and so how far the part got and what the modem said. Pure.

python-gammu itself tells neither: whatever the modem's error, it raises the same. A frame is written down before its
first byte leaves (libgammu/protocol/at/at.c), so that without the Ctrl-Z that ends a PDU (3GPP TS 27.005 section
3.5.1) nothing was sent, and with it something may have been. Codes: 3GPP TS 27.005 section 3.2.5 (CMS), TS 27.007
section 9.2 (CME), as rows of data/provider_errors.csv; what has no row there is no clear answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mail2sms.carriers import _answers
from mail2sms.errors import Misconfigured, Refused, SendFailed, Unavailable, Uncertain

_CTRL_Z, _CMGS = 0x1A, b"AT+CMGS="
_THEIRS: Final = "Incoming SMS received (Deliver)"  # libgammu/phone/at/at-sms.c
_FRAME: Final = re.compile(r"^SENDING frame type 0x[0-9A-F]{2}/length 0x[0-9A-F]+/(\d+) *$", re.MULTILINE)
_CELL, _CELLS, _LINE = 4, 16, 81  # characters of an octet, octets a line, characters of it (libgammu/debug.c)
_LONGEST: Final = 1000  # octets of a frame that are looked at
_ERROR: Final = re.compile(r"^(CM[SE]) Error (\d+)(?=\D)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """How far an order got. `is_readable`: it shows what we sent; `may_have_left`: the whole PDU, to the last byte.

    `code` is the modem's error since then: `38`, or `CME-30`.
    """

    is_readable: bool = False
    may_have_left: bool = False
    code: str = ""


def read(trace: str) -> Trace:
    """Return what a trace shows.

    gammu writes down what it sends and receives, too, and a text could look like a trace: that may make a doubt, never
    a certainty. So what may have left counts from the first AT+CMGS; a code is believed behind the last alone, and not
    when something left before that, or somebody else's text came.
    """
    frames = [(found.start(), _octets(trace, found)) for found in _FRAME.finditer(trace)]
    asked = [place for place, octets in frames if octets.startswith(_CMGS)]
    first, last = min(asked, default=0), max(asked, default=0)
    left = [place for place, octets in frames if place >= first and _CTRL_Z in octets]
    since = min(left, default=last)
    is_clear = since >= last and _THEIRS not in trace[first:]
    codes = _ERROR.findall(trace, since) if is_clear else []
    kind, number = codes[-1] if codes else ("", "")
    return Trace(
        is_readable=any(octets.startswith(b"AT") for _, octets in frames),
        may_have_left=bool(left),
        code=number if kind == "CMS" else f"CME-{number}" if kind else "",
    )


def _octets(trace: str, head: re.Match[str]) -> bytes:
    """Return the octets of a frame; one that is cut off, or has another form, as far as it can be read."""
    wanted, octets = min(int(head[1]), _LONGEST), bytearray()
    dump = trace[head.end() + 1 : head.end() + 1 + (wanted // _CELLS + 1) * _LINE]
    for line in dump.split("\n"):
        for at in range(0, _CELL * min(_CELLS, wanted - len(octets)), _CELL):
            try:
                octets.append(int(line[at : at + 2], 16))
            except ValueError:
                return bytes(octets)
    return bytes(octets)


def failure(found: Trace, word: str, *, is_trusted: bool) -> SendFailed:
    """Return what became of a part whose order ended as `word`, gammu's name of the error or ours.

    `is_trusted`: this gammu has shown before that its traces can be read. If not, nothing is known.
    """
    code = found.code or word
    verdict = _answers.verdict("modem", "api", found.code) if found.code else None
    if found.may_have_left or not is_trusted:
        if verdict is None or not is_trusted:
            return Uncertain(code, "the modem did not say whether it was sent")
        return _answers.raised(verdict, code)
    if verdict is not None:
        return _answers.raised(verdict, code)
    if word == "unwritable":
        return Refused("local", "this can't be written for the modem")
    if word == "ERR_EMPTYSMSC":
        return Misconfigured(word, "neither the SIM nor the options name a message centre")
    return Unavailable(code, "the modem did not take it")
