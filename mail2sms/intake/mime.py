"""A mail as bytes -> what its writer wrote. Pure; raises nothing but Refusal, whatever it is given.

It knows MIME (RFC 2045 to 2049, 3676) and which part is the text; it knows nothing of senders, templates or SMS.
The structure is found by searching the bytes for boundaries, each level once: a part is a pair of offsets, nothing is
copied or parsed line by line, so a big attachment costs what `bytes.find` costs, and only text is ever decoded.
CPython's parser is not used: it is quadratic on hostile headers, raises on odd ones, and walks every line.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mail2sms.errors import Problem, Refusal
from mail2sms.intake import charsets, headers
from mail2sms.intake.headers import Fields, too_complex

_DEPTH = 20
_PARTS = 100
_SIMPLE_PARTS = 20  # more are read in the sandbox
_SIMPLE_FIELD = 1024  # a longer structured field, or one with more separators, is read in the sandbox
_SIMPLE_SEPARATORS = 60
_MISSES = 1000  # lines that begin as a boundary and go on
_BOUNDARY = 70  # RFC 2046 section 5.1.1
_TEXT_BYTES = 64 * 1024
_HTML_BYTES = 256 * 1024
_FLOWED_LINES = 5000  # more are left as they are
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,64}/[\w!#$&^.+-]{1,64}")
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s{0,5}=\s{0,5}["']?([\w-]{1,40})""", re.IGNORECASE)
_STRUCTURED = ("from", "content-type", "content-disposition")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A part that did not become text. `size_bytes` is computed from the encoded size, not by decoding."""

    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """What a mail says. `from_addresses` holds an empty entry for each author that can't be read for certain."""

    from_addresses: tuple[str, ...]
    from_name: str
    subject: str
    message_id: str | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    date_at: int | None
    thread_index: str | None
    thread_topic: str | None
    is_automatic: bool
    wants_receipt: bool
    text: str
    text_source: str  # plain, html
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a mail will cost: whether the event loop may read it, and whether it holds HTML at all."""

    needs_sandbox: bool
    has_html: bool
    parts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """raw[start:end] is the body; `children` are those of a multipart."""

    fields: Fields
    media_type: str
    parameters: dict[str, str]
    start: int
    end: int
    is_attachment: bool = False
    children: tuple[_Part, ...] = ()

    def leaves(self) -> Iterator[_Part]:
        if not self.media_type.startswith("multipart/"):
            yield self
        for child in self.children:
            yield from child.leaves()


def bounds(raw: bytes) -> Bounds:
    """Return what reading will cost. Raises Refusal (mail.too_complex) for a mail that nobody should read."""
    top = _structure(raw)
    leaves = list(top.leaves())
    bodies = [leaf for leaf in leaves if not leaf.is_attachment]
    has_html = any(leaf.media_type == "text/html" for leaf in bodies)
    has_plain = any(leaf.media_type == "text/plain" for leaf in bodies)
    return Bounds(
        needs_sandbox=len(leaves) > _SIMPLE_PARTS
        or (has_html and not has_plain)
        or any(_is_overlong(part.fields) for part in (top, *leaves)),
        has_html=has_html,
        parts=len(leaves),
    )


def _is_overlong(fields: Fields) -> bool:
    return any(
        len(value) > _SIMPLE_FIELD or value.count(";") + value.count('"') > _SIMPLE_SEPARATORS
        for name in _STRUCTURED
        for value in fields.all(name)
    )


def read(raw: bytes, *, html: Callable[[str], str] | None) -> Letter:
    """Return the letter. Without `html` a mail that has its text only as HTML raises Refusal (mail.no_text).

    Raises Refusal: mail.too_complex (as `bounds`), mail.unreadable, mail.no_text.
    """
    top = _structure(raw)
    fields = top.fields
    from_addresses, from_name = headers.authors(fields.all("from"))
    text, source = _text(raw, top, html)
    return Letter(
        from_addresses=from_addresses,
        from_name=from_name,
        subject=headers.words(fields.first("subject")),
        message_id=headers.message_id(fields.first("message-id")),
        in_reply_to=headers.message_ids(fields.first("in-reply-to")),
        references=headers.message_ids(fields.first("references")),
        date_at=headers.date_at(fields.first("date")),
        thread_index=headers.thread_index(fields.first("thread-index")),
        thread_topic=headers.words(fields.first("thread-topic")) or None,
        is_automatic=_is_automatic(top),
        wants_receipt=bool(fields.first("disposition-notification-to") or fields.first("return-receipt-to")),
        text=text,
        text_source=source,
        attachments=tuple(_attachment(raw, leaf) for leaf in top.leaves() if leaf.is_attachment),
    )


_AUTOMATIC_PRECEDENCE = frozenset({"bulk", "junk", "list", "auto_reply"})


def _is_automatic(top: _Part) -> bool:
    """RFC 3834, and what Exchange, mailing lists and our own mails carry beside it."""
    fields = top.fields
    submitted = fields.first("auto-submitted").partition(";")[0].partition("(")[0].strip().lower()
    return (
        submitted not in {"", "no"}
        or "x-auto-response-suppress" in fields
        or fields.first("precedence").lower() in _AUTOMATIC_PRECEDENCE
        or "list-id" in fields
        or "x-mail2sms-loop" in fields
        or fields.first("return-path") == "<>"
        or top.media_type == "multipart/report"  # bounces and read receipts, RFC 6522
    )


# Structure


def _structure(raw: bytes) -> _Part:
    """Return the tree of parts. Raises Refusal beyond the limits."""
    return _Reader(raw).whole()


class _Reader:
    """Finds the parts of one mail, and counts what that costs."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parts = 0
        self._misses = 0

    def whole(self) -> _Part:
        return self._part(0, len(self._raw), 0)

    def _part(self, first: int, end: int, depth: int) -> _Part:
        """Return the part that begins, with its header, at `first`."""
        self._parts += 1
        if self._parts > _PARTS:
            raise too_complex(f"more than {_PARTS} parts")
        fields, start = headers.split(self._raw, first, end)
        declared, parameters = headers.parameters(fields.first("content-type"))
        found = _MEDIA_TYPE.match(declared)
        media_type = found[0] if found else "text/plain"  # RFC 2045 section 5.2: no type, or one that is none
        if not media_type.startswith("multipart/"):
            return _Part(
                fields=fields,
                media_type=media_type,
                parameters=parameters,
                start=start,
                end=end,
                is_attachment=_is_attachment(fields, media_type, is_named="name" in parameters and depth > 0),
            )
        if depth >= _DEPTH:
            raise too_complex(f"parts nested more than {_DEPTH} deep")
        boundary = parameters.get("boundary", "").rstrip().encode("latin-1")
        if not boundary:
            raise Refusal(Problem(reason="mail.unreadable", facts={"why": "a multipart without a boundary"}))
        if len(boundary) > _BOUNDARY:
            raise too_complex(f"a boundary of more than {_BOUNDARY} characters")
        return _Part(
            fields=fields,
            media_type=media_type,
            parameters=parameters,
            start=start,
            end=end,
            children=tuple(
                self._part(begin, stop, depth + 1) for begin, stop in self._spans(boundary, start, end)
            ),
        )

    def _spans(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where each part between two boundary lines begins and ends, without the line end that belongs to
        the boundary (RFC 2046 section 5.1.1). A missing last boundary is the end.
        """
        raw, delimiter = self._raw, b"--" + boundary
        at = start if raw.startswith(delimiter, start, end) else _next_line(raw, delimiter, start, end)
        begin = -1
        while at >= 0:
            line_end = raw.find(b"\n", at, end)
            line_end = end if line_end < 0 else line_end
            after = at + len(delimiter)
            tail = raw[after : min(line_end, after + 80)].strip()
            if tail in {b"", b"--"}:
                if begin >= 0:
                    stop = at - 2 if raw.startswith(b"\r\n", at - 2) else at - 1
                    yield begin, max(begin, stop)
                if tail:
                    return
                begin = min(line_end + 1, end)
            else:
                self._misses += 1
                if self._misses > _MISSES:
                    raise too_complex("too many lines that look like boundaries")
            at = _next_line(raw, delimiter, line_end, end)
        if begin >= 0:
            yield begin, end


def _is_attachment(fields: Fields, media_type: str, *, is_named: bool) -> bool:
    if media_type not in {"text/plain", "text/html"}:
        return True
    disposition, parameters = headers.parameters(fields.first("content-disposition"))
    return disposition == "attachment" or "filename" in parameters or is_named


def _next_line(raw: bytes, delimiter: bytes, start: int, end: int) -> int:
    """Return where the next line that begins with `delimiter` begins, -1 if there is none."""
    found = raw.find(b"\n" + delimiter, start, end)
    return found + 1 if found >= 0 else -1


# Text


def _text(raw: bytes, top: _Part, html: Callable[[str], str] | None) -> tuple[str, str]:
    """Return the text and where it came from."""
    chosen = _chosen(raw, top)
    if not chosen:
        raise Refusal(Problem(reason="mail.no_text"))
    kinds = {part.media_type for part in chosen}
    if "text/html" not in kinds:
        return _joined([_plain(raw, part) for part in chosen]), "plain"
    if html is None:
        raise Refusal(Problem(reason="mail.no_text"))
    pieces = [
        html(_decoded(raw, part, _HTML_BYTES)) if part.media_type == "text/html" else _plain(raw, part)
        for part in chosen
    ]
    text = _joined(pieces)
    if not text:
        raise Refusal(Problem(reason="mail.no_text"))
    return text, "html"


def _chosen(raw: bytes, part: _Part) -> list[_Part]:
    """Return the leaves that are the text, in order: of an alternative the plain one, if it says anything."""
    if not part.children:
        return [] if part.is_attachment or part.media_type.startswith("multipart/") else [part]
    if part.media_type == "multipart/alternative":
        return _best([_chosen(raw, child) for child in part.children], raw)
    if part.media_type in {"multipart/related", "multipart/signed", "multipart/report"}:
        return _chosen(raw, part.children[0])
    inline = [leaf for child in part.children for leaf in _chosen(raw, child)]
    if inline and inline[0].media_type == "text/plain":
        return [leaf for leaf in inline if leaf.media_type == "text/plain"]
    return inline


def _best(candidates: list[list[_Part]], raw: bytes) -> list[_Part]:
    """Outlook and some web shops send an empty plain part beside the HTML."""
    plain = [found for found in candidates if found and found[0].media_type == "text/plain"]
    for found in plain:
        if any(_plain(raw, leaf).strip() for leaf in found):
            return found
    rich = [found for found in candidates if found and found[0].media_type == "text/html"]
    return next(iter(rich or plain), [])


def _plain(raw: bytes, part: _Part) -> str:
    text = _decoded(raw, part, _TEXT_BYTES)
    if part.parameters.get("format", "").lower() == "flowed" and text.count("\n") <= _FLOWED_LINES:
        return _unflow(text, delete_space=part.parameters.get("delsp", "").lower() == "yes")
    return text


def _decoded(raw: bytes, part: _Part, limit: int) -> str:
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


def _encoding(part: _Part) -> str:
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
    return "\n".join([pieces[0].rstrip("\n"), *filter(None, others)]).rstrip()


# Attachments


def _attachment(raw: bytes, part: _Part) -> Attachment:
    _, parameters = headers.parameters(part.fields.first("content-disposition"))
    name = parameters.get("filename") or part.parameters.get("name") or ""
    return Attachment(
        name=headers.words(name.replace("\\", "/").rpartition("/")[2], 120),
        media_type=part.media_type[:100],
        size_bytes=_size_bytes(raw, part),
    )


def _size_bytes(raw: bytes, part: _Part) -> int:
    size = part.end - part.start
    if _encoding(part) != "base64":
        return size
    line_ends = raw.count(b"\n", part.start, part.end)
    is_crlf = raw.find(b"\r\n", part.start, min(part.end, part.start + 100)) >= 0
    tail = raw[max(part.start, part.end - 6) : part.end]
    letters = size - line_ends * (2 if is_crlf else 1) - tail.count(b"=")
    return max(0, letters * 3 // 4)
