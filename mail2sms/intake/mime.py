"""A mail as bytes -> what its writer wrote. Pure; raises nothing but Refusal, whatever it is given.

It knows MIME (RFC 2045 to 2049, 3676) and which part is the text; it knows nothing of senders, templates or SMS.
The structure is found by `parts`; only text is ever decoded, and each text once.
CPython's parser is not used: it is quadratic on hostile headers, raises on odd ones, and walks every line.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mail2sms.errors import Problem, Refusal
from mail2sms.intake import charsets, headers
from mail2sms.intake.headers import Fields, Head
from mail2sms.intake.parts import Part, Reader

_TEXT = 64 * 1024  # bytes that are read of a part, characters of them all
_HTML_BYTES = 256 * 1024
_FLOWED_LINES = 5000  # of them all; more are left as they are

# Beyond these a mail is read in the sandbox.
_SIMPLE_PARTS = 20
_SIMPLE_TEXT_BYTES = 128 * 1024
_SIMPLE_FIELD = 1024  # bytes of a structured field
_SIMPLE_SEPARATORS = 60  # in a structured field
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s{0,5}=\s{0,5}["']?([\w-]{1,40})""", re.IGNORECASE)
_NOTICE_ID = re.compile(
    r"<(?:refused|undelivered|held|approval|receipt|dsn|digest)\.[^@\s<>]+@(?P<domain>[^>\s]+)>"
)
_STRUCTURED = ("from", "content-type", "content-disposition")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A part that did not become text. `size_bytes` is computed from the encoded size, not by decoding.

    raw[start:end] is it, in its `encoding`. `is_picture`: a picture that somebody enclosed, and not one of those that
    belong to the page (multipart/related), which `is_shown` tells: logos of signatures, mostly. `is_recording`: a
    video or sound that somebody enclosed.
    """

    name: str
    media_type: str
    size_bytes: int
    start: int = 0
    end: int = 0
    encoding: str = ""
    is_picture: bool = False
    is_shown: bool = False
    is_recording: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """What a mail says. `from_addresses` holds an empty entry for each author that can't be read for certain."""

    from_addresses: tuple[str, ...]
    from_name: str
    subject: str
    message_id: str | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    thread_index: str | None
    is_automatic: bool
    asks_receipt: bool = False
    text: str = ""
    text_source: str = "plain"  # or html
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a mail will cost: whether the event loop may read it, and whether it holds HTML at all.

    `top` are its parts, as far as they were looked at.
    """

    needs_sandbox: bool
    has_html: bool
    parts: int
    top: Part = field(repr=False)


def bounds(raw: bytes, head: Head | None = None) -> Bounds:
    """Return what reading will cost; `head` is the mail's own, if it was split before.

    It stops looking where it is sure that the mail needs the sandbox. Raises Refusal (mail.too_complex) for a mail
    that nobody should read.
    """
    reader = Reader(raw, head, is_brief=True)
    top = reader.whole()
    leaves = list(top.leaves())
    bodies = [leaf for leaf in leaves if not leaf.is_attachment]
    has_html = any(leaf.media_type == "text/html" for leaf in bodies)
    plain = [leaf.end - leaf.start for leaf in bodies if leaf.media_type == "text/plain"]
    return Bounds(
        needs_sandbox=reader.has_stopped
        or len(leaves) > _SIMPLE_PARTS
        or (has_html and not plain)
        or sum(plain) > _SIMPLE_TEXT_BYTES
        or any(_is_overlong(part.fields) for part in (leaves if top in leaves else (top, *leaves))),
        has_html=has_html,
        parts=len(leaves),
        top=top,
    )


def _is_overlong(fields: Fields) -> bool:
    return any(
        len(value) > _SIMPLE_FIELD or value.count(";") + value.count('"') > _SIMPLE_SEPARATORS
        for name in _STRUCTURED
        for value in fields.all(name)
    )


def read(raw: bytes, *, html: Callable[[str], str] | None, top: Part | None = None) -> Letter:
    """Return the letter; `top` are all its parts, if they are known. Without `html` no HTML is read.

    Raises Refusal: mail.too_complex (as `bounds`), mail.unreadable, and unless there are pictures mail.no_text
    (media.video, where there is nothing but that).
    """
    top = top or Reader(raw).whole()
    attachments = tuple(_attachments(raw, top, is_of_page=False))
    may_be_blank = any(attachment.is_picture or attachment.is_shown for attachment in attachments)
    try:
        text, source = _text(_Texts(raw), top, html, may_be_blank=may_be_blank)
    except Refusal as refusal:
        video = next((attachment for attachment in attachments if attachment.is_recording), None)
        if video is None or refusal.problems[0].reason != "mail.no_text":
            raise
        raise Refusal(Problem(reason="media.video", value=video.name)) from None
    return _letter(top.fields, text, source, attachments)


def without_text(fields: Fields) -> Letter:
    """Return what the header alone says, of a mail whose text can't be read."""
    return _letter(fields, "", "plain", ())


def _letter(fields: Fields, text: str, source: str, attachments: tuple[Attachment, ...]) -> Letter:
    from_addresses, from_name = headers.authors(fields.all("from"))
    return Letter(
        from_addresses=from_addresses,
        from_name=from_name,
        subject=headers.words(fields.first("subject")),
        message_id=headers.message_id(fields.first("message-id")),
        in_reply_to=headers.message_ids(fields.first("in-reply-to")),
        references=headers.message_ids(fields.first("references")),
        thread_index=headers.thread_index(fields.first("thread-index")),
        is_automatic=_is_automatic(fields),
        asks_receipt=any(name in fields for name in _RECEIPT_FIELDS),
        text=text,
        text_source=source,
        attachments=attachments,
    )


_RECEIPT_FIELDS = ("disposition-notification-to", "return-receipt-to")  # RFC 8098; sendmail's
OURS = "x-mail2sms-"
"""How the names of our own fields begin."""
_AUTOMATIC_PRECEDENCE = frozenset({"bulk", "junk", "list", "auto_reply"})
_AUTOMATIC_FIELDS = ("x-auto-response-suppress", "x-autoreply", "x-autorespond", "x-loop", "list-id")


def _is_automatic(fields: Fields) -> bool:
    """RFC 3834, and what Exchange, mailing lists and our own mails carry beside it."""
    submitted = fields.first("auto-submitted").partition(";")[0].partition("(")[0].strip().lower()
    return (
        submitted not in {"", "no"}
        or fields.first("precedence").lower() in _AUTOMATIC_PRECEDENCE
        or any(name in fields for name in _AUTOMATIC_FIELDS)
        or fields.has(OURS)
        or fields.first("return-path") == "<>"
        or fields.first("content-type")
        .lower()
        .startswith("multipart/report")  # bounces and read receipts, RFC 6522
    )


def answers_notice(letter: Letter, domain: str) -> bool:
    """Whether it answers an email of ours by that mail's id; `compose` and its like give these."""
    found = (_NOTICE_ID.fullmatch(id_) for id_ in letter.in_reply_to)
    return any(id_ is not None and id_["domain"].lower() == domain for id_ in found)


# Text


class _Texts:
    """The plain texts of a mail, each decoded once however often it is asked for."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._flowed_lines = _FLOWED_LINES
        self._known: dict[int, str] = {}  # by where they begin

    def plain(self, part: Part) -> str:
        """Return the text of a text/plain part, nothing if it is blank."""
        if part.start not in self._known:
            text = self._read(part)
            self._known[part.start] = "" if text.isspace() else text
        return self._known[part.start]

    def _read(self, part: Part) -> str:
        text = _decoded(self.raw, part, _TEXT)
        if part.parameters.get("format", "").lower() != "flowed":
            return text
        self._flowed_lines -= text.count("\n")
        if self._flowed_lines < 0:
            return text
        return _unflow(text, delete_space=part.parameters.get("delsp", "").lower() == "yes")


def _text(
    texts: _Texts, top: Part, html: Callable[[str], str] | None, *, may_be_blank: bool
) -> tuple[str, str]:
    """Return the text and where it came from."""
    chosen = _chosen(texts, top)
    if not chosen and may_be_blank:
        return "", "plain"
    if not chosen:
        raise Refusal(Problem(reason="mail.no_text"))
    kinds = {part.media_type for part in chosen}
    if "text/html" not in kinds:
        return _joined([texts.plain(part) for part in chosen]), "plain"
    if html is None:
        raise Refusal(Problem(reason="mail.no_text"))
    pieces = [
        html(_decoded(texts.raw, part, _HTML_BYTES)) if part.media_type == "text/html" else texts.plain(part)
        for part in chosen
    ]
    text = _joined(pieces)
    if not (text or may_be_blank):
        raise Refusal(Problem(reason="mail.no_text"))
    return text, "html"


def _chosen(texts: _Texts, part: Part) -> list[Part]:
    """Return the leaves that are the text, in order: of an alternative the plain one, if it says anything."""
    if not part.children:
        return [] if part.is_attachment or part.media_type.startswith("multipart/") else [part]
    if part.media_type == "multipart/alternative":
        return _best([_chosen(texts, child) for child in part.children], texts)
    if part.media_type in {"multipart/related", "multipart/signed", "multipart/report"}:
        return _chosen(texts, part.children[0])
    inline = [leaf for child in part.children for leaf in _chosen(texts, child)]
    if inline and inline[0].media_type == "text/plain":
        return [leaf for leaf in inline if leaf.media_type == "text/plain"]
    return inline


def _best(candidates: list[list[Part]], texts: _Texts) -> list[Part]:
    """Outlook and some web shops send an empty plain part beside the HTML."""
    plain = [found for found in candidates if found and found[0].media_type == "text/plain"]
    for found in plain:
        if any(texts.plain(leaf) for leaf in found):
            return found
    rich = [found for found in candidates if found and found[0].media_type == "text/html"]
    return next(iter(rich or plain), [])


def _decoded(raw: bytes, part: Part, limit: int) -> str:
    """Return at most `limit` bytes of a part as text, line ends as newlines, without NUL."""
    encoded = raw[part.start : min(part.end, part.start + limit)]
    encoding = _encoding(part)
    if (
        encoding == "base64" and b" " not in encoded.lstrip()[:60].partition(b"\n")[0]
    ):  # some only claim to be
        data = headers.base64_bytes(encoded)
    elif encoding == "quoted-printable":
        data = binascii.a2b_qp(encoded)
    else:
        data = encoded
    charset = part.parameters.get("charset")
    if part.media_type == "text/html" and charsets.codec(charset) is None:
        meta = _META_CHARSET.search(data, 0, 2000)
        charset = meta[1].decode("ascii", "replace") if meta else None
    text = charsets.decode(data, charset).removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\x00", "") if "\x00" in text else text


def _encoding(part: Part) -> str:
    return part.fields.first("content-transfer-encoding").strip(" \t\"'").lower()


def _unflow(text: str, *, delete_space: bool) -> str:
    """Undo format=flowed, RFC 3676 section 4: a line that ends in a blank goes on in the next of the same depth."""
    pieces: list[str] = []
    open_depth = -1  # of the line that goes on
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        is_signature = content == "-- "
        if open_depth != depth or is_signature:
            pieces.append("\n" + ">" * depth + " " if depth else "\n")
        is_open = content.endswith(" ") and not is_signature
        pieces.append(content[:-1] if is_open and delete_space else content)
        open_depth = depth if is_open else -1
    return "".join(pieces)[1:]


def _joined(pieces: list[str]) -> str:
    """The first lines keep their numbers: refusals point at them."""
    others = [piece.strip("\n") for piece in pieces[1:]]
    return "\n".join([pieces[0].rstrip("\n"), *filter(None, others)])[:_TEXT].rstrip()


# Attachments


def _attachments(raw: bytes, part: Part, *, is_of_page: bool) -> Iterator[Attachment]:
    if part.is_attachment and not part.media_type.startswith("multipart/"):
        yield _attachment(raw, part, is_of_page=is_of_page)
    for child in part.children:
        is_related = part.media_type == "multipart/related"
        yield from _attachments(raw, child, is_of_page=is_of_page or is_related)


def _attachment(raw: bytes, part: Part, *, is_of_page: bool) -> Attachment:
    name = headers.words(part.file_name.replace("\\", "/").rpartition("/")[2], 120)
    is_beside = part.fields.first("content-disposition").lower().startswith("attachment")
    # What a page shows has an id by which it is named there; some programs call it an attachment all the same.
    is_enclosed = not is_of_page or (is_beside and "content-id" not in part.fields)
    is_picture = _is(part.media_type, name, ("image/",), _PICTURES)
    return Attachment(
        name=name,
        media_type=part.media_type[:100],
        size_bytes=_size_bytes(raw, part),
        start=part.start,
        end=part.end,
        encoding=_encoding(part),
        is_picture=is_enclosed and is_picture,
        is_shown=is_picture and not is_enclosed,
        is_recording=is_enclosed and _is(part.media_type, name, ("video/", "audio/"), _RECORDINGS),
    )


_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic", ".heif")
_RECORDINGS = (
    *(
        ".mp4",
        ".mov",
        ".m4v",
        ".3gp",
        ".3g2",
        ".avi",
        ".mkv",
        ".webm",
        ".wmv",
        ".mpg",
        ".mpeg",
        ".ts",
        ".h264",
    ),
    *(".mp3", ".m4a", ".wav", ".amr", ".ogg", ".opus", ".aac", ".wma"),
)


def _is(media_type: str, name: str, types: tuple[str, ...], endings: tuple[str, ...]) -> bool:
    """Whether it says that it is of these; some programs say nothing but the name."""
    if media_type == "application/octet-stream":
        return name.lower().endswith(endings)
    return media_type.startswith(types)


def _size_bytes(raw: bytes, part: Part) -> int:
    size = part.end - part.start
    if _encoding(part) != "base64":
        return size
    line_ends = raw.count(b"\n", part.start, part.end)
    is_crlf = raw.find(b"\r\n", part.start, min(part.end, part.start + 100)) >= 0
    tail = raw[max(part.start, part.end - 6) : part.end]
    letters = size - line_ends * (2 if is_crlf else 1) - tail.count(b"=")
    return max(0, letters * 3 // 4)
