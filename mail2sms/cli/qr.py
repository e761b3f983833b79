"""A QR code for a terminal, in black and white whatever its colours are: the only importer of segno."""

from __future__ import annotations

import io

import segno

_WHITE_ON_BLACK, _PLAIN = "\x1b[97;40m", "\x1b[0m"  # blocks are the light modules: cameras want them light


def drawn(text: str) -> str:
    """Return the code of a text, two rows of modules a line."""
    out = io.StringIO()
    segno.make(text, micro=False, error="l").terminal(out=out, border=2, compact=True)
    return "\n".join(f"{_WHITE_ON_BLACK}{line}{_PLAIN}" for line in out.getvalue().splitlines())
