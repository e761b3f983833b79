"""The octets of GSM-7, one septet an octet or packed (3GPP TS 23.038 section 6.1.2.1). Alphabet: `segments`."""

from __future__ import annotations

import re
from typing import Final

from mail2sms.segments import GSM_ALPHABET, GSM_EXTENSION

_ESCAPE: Final = 0x1B
_EXTENSION_CODES: Final = bytes.fromhex("0a1428292f3c3d3e4065")
_ALPHABET: Final = GSM_ALPHABET[:_ESCAPE] + "\x1b" + GSM_ALPHABET[_ESCAPE:]
_ENCODED: Final[dict[int, str | int]] = {
    **dict.fromkeys(range(256), "\xff"),
    **{ord(character): code for code, character in enumerate(_ALPHABET) if code != _ESCAPE},
    **{
        ord(character): f"\x1b{chr(code)}"
        for character, code in zip(GSM_EXTENSION, _EXTENSION_CODES, strict=True)
    },
}
_DECODED: Final = _ALPHABET + "\ufffd" * 128
_EXTENDED: Final = {chr(code): c for c, code in zip(GSM_EXTENSION, _EXTENSION_CODES, strict=True)}
_PAIR: Final = re.compile("\x1b(.?)", re.DOTALL)


def encode(text: str) -> bytes:
    """Return one septet an octet. Raises UnicodeEncodeError for what the alphabet does not hold."""
    octets = text.translate(_ENCODED).encode("latin-1")
    if not octets.isascii():
        raise UnicodeEncodeError("gsm", text, 0, len(text), "not in the GSM alphabet")
    return octets


def decode(septets: bytes) -> str:
    """Return the text of one septet an octet; what is no septet becomes U+FFFD.

    What follows an escape and is not in the extension table shows as it would without (3GPP TS 23.038 section 6.2.1.1).
    """
    raw = septets.decode("latin-1")
    if _ESCAPE not in septets:
        return raw.translate(_DECODED_MAP)
    pieces, end = [], 0
    for found in _PAIR.finditer(raw):
        pieces.append(raw[end : found.start()].translate(_DECODED_MAP))
        pieces.append(_EXTENDED.get(found[1]) or found[1].translate(_DECODED_MAP))
        end = found.end()
    return "".join([*pieces, raw[end:].translate(_DECODED_MAP)])


_DECODED_MAP: Final = {code: " " if code == _ESCAPE else c for code, c in enumerate(_DECODED)}


def pack(septets: bytes, header_octets: int = 0) -> bytes:
    """Return septets packed into octets; behind a header they begin at the next septet boundary.

    Seven bits that are left over hold a CR, or a phone would read an `@`.
    """
    fill = -header_octets * 8 % 7
    if (fill + 7 * len(septets)) % 8 == 1:
        septets += b"\r"
    bits = 0
    for septet in reversed(septets):
        bits = bits << 7 | septet
    count = fill + 7 * len(septets)
    return (bits << fill).to_bytes((count + 7) // 8, "little")


def unpack(octets: bytes, header_octets: int = 0) -> bytes:
    """Return the septets of packed octets, without the filling at their end."""
    fill = -header_octets * 8 % 7
    bits = int.from_bytes(octets, "little") >> fill
    count = max(0, len(octets) * 8 - fill) // 7
    septets = bytes(bits >> 7 * n & 0x7F for n in range(count))
    is_filled = (fill + 7 * count) % 8 == 0 and septets[-1:] in (b"\0", b"\r")
    return septets[:-1] if is_filled else septets
