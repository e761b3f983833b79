"""The photo that simulated phones answer with: the sun setting into the sea. Drawn here, so nobody else's."""

from __future__ import annotations

import math
import struct
import zlib
from functools import cache

_WIDTH, _HEIGHT, _HORIZON, _SUN = 320, 240, 150, 60  # pixels


@cache
def sunset() -> bytes:
    """Return the picture as PNG (RFC 2083)."""
    rows = b"".join(b"\0" + _row(y) for y in range(_HEIGHT))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _row(y: int) -> bytes:
    """Return the pixels of one row: sky or water, with the sun or its light in the middle."""
    down = y - _HORIZON
    if down < 0:
        around, middle = (255, 215 + down // 2, 130 - down // 2), (255, 250, 225)
        half = math.isqrt(max(_SUN**2 - (down + _SUN // 3) ** 2, 0))
    else:
        around, middle = (40, 70 - down // 3, 110 - down // 3), (250, 190, 110)
        half = (_SUN - down // 2) * (y % 7 < 4)
    side = bytes(around) * (_WIDTH // 2 - half)
    return side + bytes(middle) * (2 * half) + side
