"""User data headers: which part of which long text an SMS is, and what else stands before a text. Pure.

Source: 3GPP TS 23.040 section 9.2.3.24.
"""

from __future__ import annotations

from dataclasses import dataclass

_CONCAT_8, _CONCAT_16 = 0x00, 0x08  # information elements
_PORT_8, PORT = 0x04, 0x05
# WAP push and WSP (IANA), settings over the air: what comes there is no text, whatever coding it comes under.
_NO_TEXT = frozenset((2948, 2949, 9200, 9201, 9202, 9203, 49999))


@dataclass(frozen=True, slots=True)
class Segment:
    """Which part of which long text: a reference of its sender's, how many parts, and which one, from 1."""

    reference: int
    total: int
    number: int


def header(segment: Segment, *, is_long: bool = False) -> bytes:
    """Return the header of a part; `is_long`: with 16 bits of its reference."""
    ref, total, number = segment.reference, segment.total, segment.number
    if is_long:
        return bytes((6, _CONCAT_16, 4, ref >> 8 & 0xFF, ref & 0xFF, total, number))
    return bytes((5, _CONCAT_8, 3, ref & 0xFF, total, number))


def apart(octets: bytes) -> tuple[bytes, dict[int, bytes], int]:
    """Return the text behind a header, the header's elements, and its length; what is no header is text."""
    length = octets[0] + 1 if octets else 0
    if not 1 < length <= len(octets):
        return octets, {}, 0
    elements: dict[int, bytes] = {}
    at = 1
    while at + 1 < length:
        tag, size = octets[at], octets[at + 1]
        if at + 2 + size > length:
            break
        elements.setdefault(tag, octets[at + 2 : at + 2 + size])
        at += 2 + size
    return octets[length:], elements, length


def segment_in(elements: dict[int, bytes]) -> Segment | None:
    """Return which part of a long text this is, None for a text of its own."""
    short, long = elements.get(_CONCAT_8, b""), elements.get(_CONCAT_16, b"")
    if len(short) == 3:
        return valid(Segment(*short))
    if len(long) == 4:
        return valid(Segment(long[0] << 8 | long[1], long[2], long[3]))
    return None


def valid(segment: Segment) -> Segment | None:
    """A part of one, or beyond the last, is a text of its own (section 9.2.3.24.1)."""
    return segment if segment.total > 1 and 1 <= segment.number <= segment.total else None


def is_for_program(elements: dict[int, bytes], *, is_octets: bool) -> bool:
    """Whether it is for a program on the phone, such as an MMS's notice, and not for people (9.2.3.24.3 and 4).

    Octets with a port are; text with one is what an app sent for somebody, and a reader is better off with a program's
    words than without a person's.
    """
    if not elements.keys() & {_PORT_8, PORT}:
        return False
    return is_octets or int.from_bytes(elements.get(PORT, b"")[:2], "big") in _NO_TEXT


def whole(text: str) -> str:
    """Return a text with its surrogates joined; what has lost its other half becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
