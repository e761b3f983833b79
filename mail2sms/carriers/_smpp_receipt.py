"""Delivery receipts in a deliver_sm or data_sm: in optional parameters, and in all forms of text that are known. Pure.

Text: SMPP 3.4 appendix B, and what SMSCs write instead: other orders, cases, lengths of dates, words; keys left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mail2sms.carriers import _udh
from mail2sms.carriers._smpp_pdu import Short, Tag
from mail2sms.model import Status

_KIND: Final = 0x3C  # bits of esm_class, section 5.2.12
_HAS_HEADER: Final = 0x40
_PLAIN: Final = 0x00
_RECEIPTS: Final = frozenset({0x04, 0x20})  # of the SMSC: final, and on the way

_STATES: Final = {
    1: Status.ENROUTE,
    2: Status.DELIVERED,
    3: Status.EXPIRED,
    4: Status.UNDELIVERABLE,  # deleted
    5: Status.UNDELIVERABLE,
    6: Status.ENROUTE,  # accepted: not by the phone
    7: Status.UNKNOWN,
    8: Status.REJECTED,
}
_WORDS: Final = {
    "ENROUTE": Status.ENROUTE,
    "ACCEPT": Status.ENROUTE,
    "DELIVRD": Status.DELIVERED,
    "DELIVERED": Status.DELIVERED,
    "EXPIRED": Status.EXPIRED,
    "DELETED": Status.UNDELIVERABLE,
    "UNDELIV": Status.UNDELIVERABLE,
    "FAILED": Status.UNDELIVERABLE,
    "REJECT": Status.REJECTED,
}
_KEY: Final = re.compile(
    r"(?:^|(?<=[\s,;]))(id|sub|dlvrd|submit date|done date|stat|err|text) ?:", re.IGNORECASE
)
_LONGEST: Final = 2000  # characters that are looked at


class Ids(StrEnum):
    """Where an SMSC writes its message ids in hexadecimal, when it writes them differently in the other place."""

    SAME = "same"
    ANSWERS = "hex-in-answers"
    RECEIPTS = "hex-in-receipts"


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What became of a part: the SMSC's id in the one form that is compared, and its own words as `code`."""

    message_id: str
    status: Status
    code: str = ""


def answered_id(id_: str, ids: Ids) -> str:
    """Return the id of a submit_sm_resp in the form that is compared."""
    return _canonical(id_, is_hex=ids is Ids.ANSWERS, is_number=ids is not Ids.SAME)


def _canonical(id_: str, *, is_hex: bool, is_number: bool) -> str:
    id_ = id_.strip()
    if is_number:
        try:
            return str(int(id_, 16 if is_hex else 10))
        except ValueError:
            return id_
    return id_.upper().lstrip("0") or id_[:1]


def is_receipt(short: Short, *, by_text: bool) -> bool:
    """Whether it tells of a message of ours. `by_text`: this SMSC does not mark its receipts.

    Without a mark a phone could write such a text: only the optional parameters are the SMSC's own.
    """
    kind = short.esm_class & _KIND
    if kind in _RECEIPTS:
        return True
    if kind != _PLAIN:
        return False
    if Tag.RECEIPTED_MESSAGE_ID in short.tlvs and Tag.MESSAGE_STATE in short.tlvs:
        return True
    return by_text and {"id", "stat"} <= _fields(_text(short)).keys()


def read(short: Short, ids: Ids) -> Receipt | None:
    """Return what a receipt says; None when it names no message."""
    said = _fields(_text(short))
    in_text = _canonical(said.get("id", ""), is_hex=ids is Ids.RECEIPTS, is_number=ids is not Ids.SAME)
    apart = short.tlvs.get(Tag.RECEIPTED_MESSAGE_ID, b"").partition(b"\0")[0].decode("latin-1")
    in_parameter = answered_id(apart, ids) if apart else ""
    # In the parameter SMSCs write what they answered with; the two may differ in one receipt.
    message_id = in_parameter or in_text if ids is Ids.SAME else in_text or in_parameter
    if not message_id:
        return None
    state = short.tlvs.get(Tag.MESSAGE_STATE, b"")
    status = _STATES.get(state[0]) if len(state) == 1 else None
    word = said.get("stat", "").upper()
    status = status or _by_word(word)
    has_arrived = status is Status.DELIVERED
    code = "" if has_arrived else _code(short, word, said.get("err", ""))
    return Receipt(message_id=message_id, status=status, code=code)


def state(value: int) -> Status:
    """Return what a message_state says, as query_sm_resp has it too."""
    return _STATES.get(value, Status.UNKNOWN)


def _by_word(word: str) -> Status:
    return next((status for start, status in _WORDS.items() if word.startswith(start)), Status.UNKNOWN)


def _code(short: Short, word: str, err: str) -> str:
    network = short.tlvs.get(Tag.NETWORK_ERROR_CODE, b"")
    if len(network) == 3:
        err = f"{network[0]}-{int.from_bytes(network[1:], 'big')}"
    said = " ".join(filter(None, (word[:15], err[:10] if err.strip("0") else "")))
    return "".join(filter(str.isprintable, said))  # it is shown to people


def _text(short: Short) -> str:
    octets = short.text
    if short.esm_class & _HAS_HEADER and octets[:1] < b" ":  # some set the bit, and no header follows
        octets = _udh.apart(octets)[0]
    octets = octets[: 2 * _LONGEST]
    charset = "utf-16-be" if short.data_coding & 0xEC == 0x08 else "latin-1"
    return octets.decode(charset, "replace")[:_LONGEST]


def _fields(text: str) -> dict[str, str]:
    """Return each key's first value; `text` is last, and what is in it is nobody's key."""
    found = list(_KEY.finditer(text))
    fields: dict[str, str] = {}
    ends = [each.start() for each in found[1:]] + [len(text)] * bool(found)
    for this, end in zip(found, ends, strict=True):
        key = this[1].lower()
        fields.setdefault(key, text[this.end() : end].strip(" ,;\r\n\t\0"))
        if key == "text" and "stat" in fields:
            break
    return fields
