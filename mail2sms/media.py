"""What of pictures a carrier takes, the URLs by which carriers and phones reach ours, and what files of phones are.

A URL is signed and good for a time: it shows the pictures of one submission to whoever has it, so it proves itself by
an HMAC over the submission and the hour in which it ends. Nothing else in it says what it is about. Pure.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mail2sms.ids import base32, keyed
from mail2sms.model import Media

ENDINGS: Final = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif"}
"""What our pictures are; the ends of their names are for carriers that go by them."""
MMS, LINK = "mms", "link"
"""How the pictures of a message go: with it, or by a link in its text."""

_HOUR_MS = 3_600_000
_EPOCH_H = 482_136  # 2025-01-01 in hours: five hexadecimal digits last until 2144
_HOURS = 5  # digits
_KEY = 16  # base32 characters: 80 bits
_SUBMISSION = "m-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mms:
    """How many pictures a carrier takes in a message, and how many bytes all of them may have.

    600 kB is what every operator in the US and Canada passes on, toll-free numbers included.
    """

    most: int = 10
    limit_bytes: int = 600_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Makes and proves the URLs below `base`, by a secret of ours. People's links are good for `valid_ms`."""

    base: str
    secret: bytes = field(repr=False)
    valid_ms: int

    def pictures(self, submission: str, media_types: Sequence[str], until: int) -> tuple[Media, ...]:
        """Return a submission's pictures, of these types, for carriers: good until at least then."""
        page = self.page(submission, until)
        return tuple(
            Media(url=f"{page}/{number}.{ENDINGS[kind]}", media_type=kind)
            for number, kind in enumerate(media_types, start=1)
        )

    def page(self, submission: str, until: int) -> str:
        """Return the URL of all pictures, for people."""
        hours = -(-until // _HOUR_MS) - _EPOCH_H
        ends = f"{hours:0{_HOURS}x}"
        name = submission.removeprefix(_SUBMISSION)
        return f"{self.base}/p/{name}/{ends}{self._key(submission, ends)}"

    def proven(self, name: str, token: str, now: int) -> str:
        """Return the submission of a URL's two steps; "" for one that proves nothing, or is over."""
        submission, ends, given = f"{_SUBMISSION}{name}", token[:_HOURS], token[_HOURS:]
        ours = self._key(submission, ends)
        if not hmac.compare_digest(given.encode("utf-8", "replace"), ours.encode()):
            return ""
        return submission if now < (int(ends, 16) + _EPOCH_H) * _HOUR_MS else ""

    def _key(self, submission: str, ends: str) -> str:
        said = f"pictures {submission} {ends}".encode("utf-8", "replace")
        return base32(keyed(self.secret, said), _KEY)


def linked(text: str, url: str) -> str:
    """Return a text with a link to its pictures: the last line."""
    return f"{text}\n{url}" if text else url


def link_in(text: str) -> str:
    """Return the link of such a text."""
    return text.rpartition("\n")[2]


_LONGEST_HEAD = 32  # bytes
_STARTS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"#!AMR", "audio/amr"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
    (b"BEGIN:VCARD", "text/vcard"),
)
_BRANDS = {  # ISO 14496-12 section 4.3: what follows `ftyp`
    **dict.fromkeys((b"heic", b"heix", b"mif1", b"msf1"), "image/heic"),
    b"M4A ": "audio/mp4",
}
_SLIDES = ("application/smil", "application/xml", "text/xml")


def file_type(data: bytes) -> str:
    """Return what a file of a phone is, by its first bytes; "" for what no phone sends, whatever it is said to be."""
    head = data[:_LONGEST_HEAD]
    for start, media_type in _STARTS:
        if head.startswith(start):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return _BRANDS.get(brand, "video/3gpp" if brand[:2] == b"3g" else "video/mp4")
    return ""


def is_slide(media_type: str, url: str) -> bool:
    """Whether a part of an MMS only says where the others stand (SMIL): nobody needs to see it."""
    path = url.partition("?")[0].lower()
    return media_type.partition(";")[0].strip().lower() in _SLIDES or path.endswith((".smil", ".smi", ".xml"))
