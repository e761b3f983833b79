"""Texts as SMPP carries them: data_coding, user data headers, and what the parts of a long text have in common. Pure.

Sources: SMPP 3.4 section 5.2.19, 3GPP TS 23.038 section 4, 3GPP TS 23.040 section 9.2.3.24.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mail2sms.carriers import _gsm, _udh
from mail2sms.carriers._smpp_pdu import Short, Tag
from mail2sms.carriers._udh import Segment
from mail2sms.segments import Encoding

UDHI: Final = 0x40
"""The bit of esm_class that says that the text begins with a user data header."""
UNICODE: Final = 8
"""data_coding of UCS-2."""


class Alphabet(StrEnum):
    """What an SMSC takes data_coding 0 for."""

    GSM = "gsm"  # one septet an octet
    PACKED = "gsm-packed"
    LATIN1 = "latin1"


class Long(StrEnum):
    """How the parts of a long text are told to be such."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"  # the SMSC splits


def header(how: Long, segment: Segment) -> bytes:
    """Return the user data header of a part."""
    return _udh.header(segment, is_long=how is Long.UDH16)


def sar(segment: Segment) -> dict[int, bytes]:
    """Return the optional parameters of a part that has no header."""
    return {
        Tag.SAR_REFERENCE: segment.reference.to_bytes(2, "big"),
        Tag.SAR_TOTAL: bytes((segment.total,)),
        Tag.SAR_NUMBER: bytes((segment.number,)),
    }


def is_default(text: str, encoding: str, alphabet: Alphabet) -> bool:
    """Whether the SMSC's own alphabet holds a text that was counted in `encoding`."""
    if encoding != Encoding.GSM7:
        return False
    return alphabet is not Alphabet.LATIN1 or text.isascii() or max(map(ord, text)) <= 0xFF


def encode(text: str, alphabet: Alphabet, header_octets: int = 0) -> bytes:
    """Return a text in the SMSC's alphabet. Raises UnicodeEncodeError."""
    if alphabet is Alphabet.LATIN1:
        return text.encode("latin-1")
    septets = _gsm.encode(text)
    return _gsm.pack(septets, header_octets) if alphabet is Alphabet.PACKED else septets


def encode_unicode(text: str) -> bytes:
    """Return a text as data_coding 8 has it: UTF-16, so that surrogate pairs are what phones show."""
    return text.encode("utf-16-be", "replace")


def _utf_16(octets: bytes) -> str:
    order = "utf-16-le" if octets[:2] == b"\xff\xfe" else "utf-16-be"
    even = octets[: len(octets) & ~1]  # an odd octet at the end is no character
    return even.decode(order, "surrogatepass").removeprefix("\ufeff")


def _by(charset: str) -> Callable[[bytes], str]:
    return lambda octets: octets.decode(charset, "replace")


_CHARSETS: Final[dict[int, Callable[[bytes], str]]] = {
    0x01: _by("ascii"),
    0x02: _by("latin-1"),  # octets: at least what is readable of them
    0x03: _by("latin-1"),
    0x04: _by("latin-1"),
    0x05: _by("shift_jis"),
    0x06: _by("iso8859_5"),
    0x07: _by("iso8859_8"),
    UNICODE: _utf_16,
    0x0A: _by("iso2022_jp"),
    0x0D: _by("euc_jisx0213"),
    0x0E: _by("euc_kr"),
}


def _charset(data_coding: int) -> Callable[[bytes], str] | None:
    """Return how octets of this coding are read; None: by the default alphabet."""
    if data_coding < 0x10:
        return _CHARSETS.get(data_coding)
    if data_coding & 0xF0 == 0xF0:  # message class
        return _by("latin-1") if data_coding & 0x04 else None
    if data_coding & 0xC0 == 0:  # general
        return (None, _by("latin-1"), _utf_16, None)[data_coding >> 2 & 3]
    return _utf_16 if data_coding & 0xF0 == 0xE0 else None  # message waiting


def _is_octets(data_coding: int) -> bool:
    """Whether what came is no text by its own word."""
    if data_coding < 0x10:
        return data_coding in (0x02, 0x04)
    if data_coding & 0xF0 == 0xF0:
        return bool(data_coding & 0x04)
    return data_coding & 0xCC == 0x04


@dataclass(frozen=True, slots=True)
class Read:
    """What an MO says, or one part of it. `text` may end in half a surrogate pair, whose rest the next part has."""

    text: str = field(repr=False)
    segment: Segment | None = None
    is_for_program: bool = False


def read(short: Short, alphabet: Alphabet) -> Read:
    """Return the text of an MO, without its header."""
    octets, elements, skipped = short.text, dict[int, bytes](), 0
    if short.esm_class & UDHI:
        octets, elements, skipped = _udh.apart(short.text)
    if any(port := short.tlvs.get(Tag.DESTINATION_PORT, b"")):  # where SMPP has it, section 5.3.2.21; 0: none
        elements = {_udh.PORT: port} | elements
    charset = _charset(short.data_coding)
    if charset is not None:
        text = charset(octets)
    elif alphabet is Alphabet.LATIN1 and not short.data_coding & 0xF0:
        text = octets.decode("latin-1")
    else:
        is_packed = alphabet is Alphabet.PACKED
        text = _gsm.decode(_gsm.unpack(octets, skipped) if is_packed else octets)
    is_octets = _is_octets(short.data_coding) or not octets
    is_for_program = _udh.is_for_program(elements, is_octets=is_octets)
    return Read(text, _udh.segment_in(elements) or _sar(short), is_for_program)


def _sar(short: Short) -> Segment | None:
    values = [short.tlvs.get(tag, b"") for tag in (Tag.SAR_REFERENCE, Tag.SAR_TOTAL, Tag.SAR_NUMBER)]
    if [len(value) for value in values] != [2, 1, 1]:
        return None
    return _udh.valid(Segment(*(int.from_bytes(value, "big") for value in values)))
