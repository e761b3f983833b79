"""The parameters of RFC 3461: what a client wants to be reported of its mail, of each recipient, and to whom. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from mail2sms.model import NO_DSN, Dsn, Proof, Writer

OF_MAIL, OF_RCPT = frozenset({"RET", "ENVID"}), frozenset({"NOTIFY", "ORCPT"})
_ENVELOPE_ID, _ORIGINAL = 100, 500  # characters: sections 4.4 and 4.2
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_RET = frozenset({"FULL", "HDRS"})
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_RETURNED_BYTES = 50_000  # a longer mail is not given back whole
_LINE_BYTES = 998  # RFC 5322 section 2.1.1
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


def report_to(mail_from: str, writer: Writer) -> str:
    """Return where reports go: to the envelope's sender, as far as nobody else can be named there.

    A mail that proves its author alone says nothing of its envelope: then it must be of the author's domain.
    """
    is_known = writer.is_direct or writer.proof is Proof.NETWORK
    theirs = mail_from.rpartition("@")[2].lower() == writer.address.rpartition("@")[2].lower()
    return mail_from if is_known or theirs else writer.address


def addressed(dsns: Sequence[Dsn], to: str) -> tuple[Dsn, ...]:
    """Return the same with where the reports go, for those that ask by name."""
    return tuple(replace(dsn, report_to=to) if _asks(dsn) else dsn for dsn in dsns)


def returned(content: bytes, body: int, dsns: Sequence[Dsn]) -> bytes:
    """Return what reports give back of a mail, whose text begins at `body`: its header, or (RET=FULL) all of it.

    All of it only where that fits and every server takes it: a mail inside a mail can't be encoded anew.
    """
    asking = [dsn for dsn in dsns if _asks(dsn)]
    is_whole = any(dsn.ret == "FULL" and "FAILURE" in dsn.notify for dsn in asking)
    if is_whole and len(content) <= _RETURNED_BYTES and _is_seven_bit(content):
        return content
    return content[:body] if asking else b""


def _asks(dsn: Dsn) -> bool:
    return bool(dsn.notify) and dsn.notify != ("NEVER",)


def _is_seven_bit(content: bytes) -> bool:
    is_short = max(map(len, content.splitlines()), default=0) <= _LINE_BYTES
    return content.isascii() and b"\0" not in content and is_short


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
