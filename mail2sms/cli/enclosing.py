"""The pictures of `mail2sms send`: read as files or from a pipe, and called by their names when they are refused."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mail2sms.cli import Exit, Failed
from mail2sms.cli.control import Declined

PIPE = "-"
_MOST, _MOST_BYTES = 10, 5_000_000  # of an API call: it has 8 MB, and pictures are in base64 there
_OURS = "media."


def read(files: Sequence[Path]) -> list[str]:
    """Return pictures as an API call takes them. Raises Failed."""
    if len(files) > _MOST:
        raise Failed(Exit.REFUSED, f"at most {_MOST} pictures go with a text (media.too_many)")
    found = [_content(file) for file in files]
    if (size := sum(map(len, found))) > _MOST_BYTES:
        message = (
            f"the pictures have {size / 1e6:.1f} MB, and at most {_MOST_BYTES // 1_000_000} MB can be sent"
        )
        raise Failed(Exit.REFUSED, f"{message}: make them smaller, or send fewer (media.too_large)")
    return [base64.b64encode(content).decode() for content in found]


def _content(file: Path) -> bytes:
    try:
        content = sys.stdin.buffer.read() if str(file) == PIPE else file.read_bytes()
    except OSError as e:
        raise Failed(Exit.USAGE, f"{file} cannot be read: {e.strerror}") from e
    if not content:
        raise Failed(Exit.REFUSED, f"{_name(file)} is empty: there is no picture (media.unreadable)")
    return content


def _name(file: Path) -> str:
    return "standard input" if str(file) == PIPE else str(file)


@contextmanager
def named(files: Sequence[Path]) -> Iterator[None]:
    """Let a refusal of a picture name its file, of which the daemon knows the place alone."""
    try:
        yield
    except Declined as e:
        if not (e.reason.startswith(_OURS) and e.value.isdigit() and 0 < int(e.value) <= len(files)):
            raise
        name = _name(files[int(e.value) - 1])
        raise Failed(e.code, str(e).replace(f"\u201c{e.value}\u201d", f"\u201c{name}\u201d")) from e
