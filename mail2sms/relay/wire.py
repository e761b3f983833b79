"""Values to the bytes of an email, safely. Pure; knows headers and MIME, not what our mails say.

Whatever a stranger wrote (a text, a subject, a name) becomes header text only through `clean_header`. We encode
by hand, 7-bit clean, and read our own output again: CPython's generator let an encoded word smuggle a line break
(3.11.7: `=?utf-8?q?a=0ABcc:_x?=` as a subject adds a header).
"""

from __future__ import annotations

import base64
import binascii
import email.parser
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from email.errors import MultipartInvariantViolationDefect
from typing import Final
from urllib.parse import quote

from mail2sms import addresses
from mail2sms.errors import DeliveryFailed
from mail2sms.model import Photo

Headers = Sequence[tuple[str, str]]
"""Names and values in order; values as `unstructured`, `mailbox` or our own code made them."""

_HEADER_LIMIT: Final = 200  # characters
_LONGEST_LINE: Final = 900  # characters, with room for the field's name in the 998 of RFC 5322
_LINE: Final = 76  # RFC 2047 section 2: a line that holds an encoded word

_BLANKS = re.compile("[\t-\r\x85\u2028\u2029]+")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_UNSAFE_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_BOUNDARY = re.compile(rb"^--=_(.)([0-9a-f]{20})(--)?\s*$", re.MULTILINE)
_FILE_NAME = re.compile(r'[\\/:*?"<>|%]+')

# Types that may go out as what they claim to be, with the only ending their file may have.
_ENDINGS: Final = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/heic": ".heic",
    "video/mp4": ".mp4",
    "video/3gpp": ".3gp",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/amr": ".amr",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "application/pdf": ".pdf",
}


def clean_header(text: str) -> str:
    """Return `text` as one line that holds nothing unseen and no encoded word, of at most 200 characters."""
    shown = _UNSEEN.sub("", _BLANKS.sub(" ", unicodedata.normalize("NFC", text)))
    return shown.replace("=?", "= ?")[:_HEADER_LIMIT].strip()


def clean_text(text: str) -> str:
    """Return `text` fit for a body: lines end with LF, without control characters."""
    return _UNSAFE_IN_TEXT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def unstructured(name: str, text: str) -> str:
    """Return the value of the header `name` for any text, cleaned, encoded (RFC 2047) and folded."""
    shown = clean_header(text)
    return _fold(name, shown) if shown.isascii() else _encoded(shown, len(name) + 2)


def mailbox(name: str, shown: str, address: str) -> str:
    """Return the value of the header `name` for one mailbox. Raises DeliveryFailed for a bad address."""
    if not addresses.is_address(address):
        raise DeliveryFailed("the address cannot be written to", is_final=True)
    phrase = clean_header(shown)
    if not phrase:
        return f"<{address}>"
    if phrase.isascii():
        quoted = phrase.replace("\\", "\\\\").replace('"', '\\"')
        line = f'"{quoted}" <{address}>'
        return line if len(name) + 2 + len(line) <= _LINE else f'"{quoted}"\r\n <{address}>'
    return f"{_encoded(phrase, len(name) + 2)}\r\n <{address}>"


def plain(text: str) -> str:
    """Return `text` as one ASCII line that holds no encoded word, for fields that machines read inside a mail."""
    shown = _BLANKS.sub(" ", text).encode("ascii", "replace").decode()
    return _UNSEEN.sub("", shown).replace("=?", "= ?")[:_LONGEST_LINE].strip()


def write(
    headers: Headers,
    safe: Mapping[str, str],
    text: str,
    html: str,
    photos: Sequence[Photo] = (),
    report: Sequence[bytes] = (),
) -> bytes:
    """Return the mail. Were a header to come out otherwise than given, those in `safe` replace it.

    `report` are whole parts for machines, which make it a multipart/report (RFC 6522). Raises DeliveryFailed when even
    then the mail does not read as written.
    """
    outer, parts = _body(text, html, photos, report)
    for head in (headers, [(name, safe.get(name, value)) for name, value in headers]):
        whole = [*head, ("MIME-Version", "1.0"), ("Content-Type", outer)]
        content = "".join(f"{name}: {value}\r\n" for name, value in whole).encode("utf-8", "replace")
        if _reads_as(whole, content) and _is_whole(outer, parts):
            return content + b"\r\n" + parts
    raise DeliveryFailed("the mail cannot be written safely", is_final=True)


def _reads_as(headers: Headers, content: bytes) -> bool:
    parsed = email.parser.BytesHeaderParser().parsebytes(content + b"\r\n")
    wanted = [(name, value.replace("\r\n", "")) for name, value in headers]
    raw = [(name, value.encode("ascii", "surrogateescape").decode()) for name, value in parsed.raw_items()]
    found = [(name, value.replace("\r\n", "").replace("\n", "")) for name, value in raw]
    # Python 3.11.2 misses the body of a multipart here: it was asked to read headers only.
    defects = [d for d in parsed.defects if not isinstance(d, MultipartInvariantViolationDefect)]
    return found == wanted and not defects and not parsed.get_payload()


def _is_whole(outer: str, parts: bytes) -> bool:
    """Whether nothing in the parts reads as a boundary of theirs that we did not write."""
    name = outer.rpartition('"=_')[2][1:-1].encode()
    lines = [(kind, end) for kind, of, end in _BOUNDARY.findall(parts) if of == name]
    closed = [kind for kind, end in lines if end]
    inner = [b"a", b"a", b"a"]  # text, HTML, the end
    at_top = [kind for kind, _ in lines]
    if outer.startswith("multipart/alternative"):
        return at_top == inner and closed == [b"a"]
    return at_top[:4] == [b"m", *inner] and set(at_top[4:]) == {b"m"} and closed == [b"a", b"m"]


def _encoded(text: str, used: int) -> str:
    """Encoded words of whole characters, one a line; the first line already holds `used` columns."""
    words, room = [""], _room(used)
    for character in text:
        if len((words[-1] + character).encode()) > room:
            words.append("")
            room = _room(1)
        words[-1] += character
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(word.encode()).decode()}?=" for word in words)


def _room(used: int) -> int:
    """Bytes of UTF-8 that fit as base64 between `=?utf-8?b?` and `?=` on a line."""
    return (_LINE - used - len("=?utf-8?b??=")) // 4 * 3


def _fold(name: str, text: str) -> str:
    """Break long ASCII text before blanks: unfolding gives exactly `text` again."""
    lines, column = [""], len(name) + 2
    for word in re.findall(r" *[^ ]+", text):
        if column + len(word) > _LINE and lines[-1] and word.startswith(" "):
            lines.append("")
            column = 0
        lines[-1] += word
        column += len(word)
    return "\r\n".join(lines)


def _body(text: str, html: str, photos: Sequence[Photo], report: Sequence[bytes]) -> tuple[str, bytes]:
    """Return the outer Content-Type and everything after the header's blank line."""
    name = _boundary(text, report)
    inner = _join(f"=_a{name}", [_words("plain", text), _words("html", html)])
    inner_type = f'multipart/alternative;\r\n boundary="=_a{name}"'
    if not (photos or report):
        return inner_type, inner
    wrapped = f"Content-Type: {inner_type}\r\n\r\n".encode() + inner
    attached = report or [_attachment(photo, number) for number, photo in enumerate(photos, 1)]
    kind = "report; report-type=delivery-status" if report else "mixed"
    return f'multipart/{kind};\r\n boundary="=_m{name}"', _join(f"=_m{name}", [wrapped, *attached])


def _boundary(text: str, report: Sequence[bytes]) -> str:
    """Return what is in none of the parts: "=_" is in no QP or base64, but a report gives back what others wrote."""
    name = hashlib.sha256(text.encode("utf-8", "replace") + b"".join(report)).hexdigest()[:20]
    while any(name.encode() in part for part in report):
        name = hashlib.sha256(name.encode()).hexdigest()[:20]
    return name


def _join(boundary: str, parts: Sequence[bytes]) -> bytes:
    line = f"--{boundary}\r\n".encode()
    return b"".join(line + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def _words(subtype: str, text: str) -> bytes:
    encoded = binascii.b2a_qp(clean_text(text).encode(), istext=True).replace(b"\n", b"\r\n")
    head = (
        f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode() + encoded


def _attachment(photo: Photo, number: int) -> bytes:
    """One attachment. A stranger's type and file name are kept only as far as they are harmless."""
    media_type = photo.media_type.lower()
    ending = _ENDINGS.get(media_type)
    stem = _FILE_NAME.sub("_", clean_header(photo.name)).strip(". ")
    stem = stem.rpartition(".")[0] or stem or f"photo-{number}"
    file_name = quote(stem[:60] + (ending or ".bin"), safe="")
    whole = base64.b64encode(photo.content)
    lines = [whole[start : start + _LINE] for start in range(0, len(whole), _LINE)]
    head = (
        f"Content-Type: {media_type if ending else 'application/octet-stream'}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n filename*=utf-8''{file_name}\r\n\r\n"
    )
    return head.encode() + b"\r\n".join(lines)
