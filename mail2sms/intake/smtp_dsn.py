"""The parameters of RFC 3461: what a client wants to be reported of its mail and of each recipient. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mail2sms.model import NO_DSN, Dsn

OF_MAIL, OF_RCPT = frozenset({"RET", "ENVID"}), frozenset({"NOTIFY", "ORCPT"})
_ENVELOPE_ID, _ORIGINAL = 100, 500  # characters: sections 4.4 and 4.2
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_RET = frozenset({"FULL", "HDRS"})
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEX = re.compile(r"\+([0-9A-F]{2})")
_TYPE = re.compile(r"[A-Za-z0-9-]+")

Parameters = Sequence[tuple[str, str]]
"""Names in capitals, with their values as they came."""


def of_mail(parameters: Parameters) -> Dsn:
    """Return what RET and ENVID say. Raises ValueError."""
    if not parameters:
        return NO_DSN
    said = _once(parameters)
    ret = said.get("RET", "").upper()
    if "RET" in said and ret not in _RET:
        raise ValueError("RET")
    return Dsn(ret=ret, envelope_id=_decoded(said["ENVID"], _ENVELOPE_ID) if "ENVID" in said else "")


def of_rcpt(parameters: Parameters, mail: Dsn) -> Dsn:
    """Return what NOTIFY and ORCPT say, with what was said at MAIL. Raises ValueError."""
    if not parameters:
        return mail
    said = _once(parameters)
    notify = tuple(said["NOTIFY"].upper().split(",")) if "NOTIFY" in said else ()
    if notify and notify != ("NEVER",) and (len(set(notify)) < len(notify) or not _NOTIFY.issuperset(notify)):
        raise ValueError("NOTIFY")
    original = _original(said["ORCPT"]) if "ORCPT" in said else ""
    return Dsn(notify=notify, original=original, envelope_id=mail.envelope_id, ret=mail.ret)


def _once(parameters: Parameters) -> dict[str, str]:
    said = dict(parameters)
    if len(said) < len(parameters):
        raise ValueError("twice")
    return said


def _original(value: str) -> str:
    kind, _, address = value.partition(";")
    if not _TYPE.fullmatch(kind) or not address:
        raise ValueError("ORCPT")
    if kind.lower() == "utf-8":  # RFC 6533 section 3 has another encoding: kept as it came
        if len(value) > _ORIGINAL or not address.isprintable():
            raise ValueError("ORCPT")
        return value
    return f"{kind};{_decoded(address, _ORIGINAL)}"


def _decoded(xtext: str, most: int) -> str:
    text = _HEX.sub(lambda found: chr(int(found[1], 16)), xtext)
    if (
        not xtext
        or len(xtext) > most
        or not _XTEXT.fullmatch(xtext)
        or not (text.isascii() and text.isprintable())
    ):
        raise ValueError("xtext")
    return text
