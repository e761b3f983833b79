"""The demo's mailbox: emails that would have left, read again so that a page can show them. Knows mail, not the web."""

from __future__ import annotations

import email
import email.policy
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from mail2sms.model import Photo
from mail2sms.store import MoView
from mail2sms.web.sent import SentMails

_KEPT = 5000
_KINDS = {
    "<in.": "reply",
    "<refused.": "refused",
    "<undelivered.": "undelivered",
    "<held.": "held",
    "<receipt.": "receipt",
    "<digest.": "digest",
    "<dsn.": "dsn",
}  # how our Message-IDs begin
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"})
"""What a browser shows and that can't act, as SVG can."""
_MAILTO = re.compile(r'href="(mailto:[^"]+)"')


def is_picture(photo: Photo) -> bool:
    """Whether a page may show it."""
    return photo.media_type in _PICTURES


@dataclass(frozen=True, kw_only=True, slots=True)
class Corrected:
    """The mail that a refusal proposes to send instead."""

    to: str
    subject: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoMail:
    """An email in the demo inbox. `kind` is a notice's, or nothing; `about` the message it tells of."""

    n: int
    at: int
    kind: str
    sender: str
    to: str
    subject: str
    message_id: str
    in_reply_to: str
    references: str
    reply_to: str
    about: str
    is_automatic: bool
    text: str = field(repr=False)
    raw: bytes = field(repr=False)
    photos: tuple[Photo, ...] = ()
    corrected: Corrected | None = None


class DemoInbox:
    """The newest emails, in memory and, with `folder`, in files that survive. `program` is what runs this demo.

    `sent` are those of the other way: what was handed to the listener.
    """

    def __init__(self, folder: Path | None = None, program: str = "mail2sms") -> None:
        self.program = program
        self._folder = folder
        self._mails: dict[int, DemoMail] = {}
        self._last = 0
        self.said: dict[str, MoView] = {}
        self.seen: set[int] = set()
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in sorted(folder.glob("*.eml")):
                self.seen.add(self._keep(path.read_bytes(), int(path.stat().st_mtime * 1000)).n)
        self.sent = SentMails(folder / "sent.jsonl" if folder is not None else None)

    def __iter__(self) -> Iterator[DemoMail]:
        """The mails, newest last."""
        return iter(tuple(self._mails.values()))

    def add(self, raw: bytes, at: int | None = None) -> int:
        """Keep an email as it would have left, or did `at` another time; returns its number, from 1."""
        mail = self._keep(raw, time.time_ns() // 1_000_000 if at is None else at)
        if self._folder is not None:
            path = self._folder / f"{mail.n:06}.eml"
            path.write_bytes(raw)
            os.utime(path, (mail.at / 1000, mail.at / 1000))
        return mail.n

    def get(self, n: int) -> DemoMail | None:
        """Return one email."""
        return self._mails.get(n)

    def _keep(self, raw: bytes, at: int) -> DemoMail:
        self._last += 1
        mail = self._mails[self._last] = read(self._last, at, raw)
        self._mails.pop(self._last - _KEPT, None)
        return mail


def read(n: int, at: int, raw: bytes) -> DemoMail:
    """Return what a page shows of an email."""
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    message_id = _header(parsed, "Message-ID")
    html = _content(parsed, "html")
    return DemoMail(
        n=n,
        at=at,
        kind=next((kind for start, kind in _KINDS.items() if message_id.startswith(start)), ""),
        sender=_header(parsed, "From"),
        to=_header(parsed, "To"),
        subject=_header(parsed, "Subject"),
        message_id=message_id,
        in_reply_to=_header(parsed, "In-Reply-To"),
        references=_header(parsed, "References"),
        reply_to=_header(parsed, "Reply-To"),
        about=_header(parsed, "X-Mail2SMS-Message"),
        is_automatic=_header(parsed, "Auto-Submitted").lower() not in {"", "no"},
        text=_content(parsed, "plain") or html,
        raw=raw,
        photos=tuple(_photos(parsed)),
        corrected=_corrected(html),
    )


def _header(parsed: EmailMessage, name: str) -> str:
    return " ".join(str(parsed.get(name, "")).split())


def _content(parsed: EmailMessage, kind: str) -> str:
    body = parsed.get_body((kind,))
    try:
        return str(body.get_content()).replace("\r\n", "\n") if body is not None else ""
    except LookupError:  # a charset that Python does not have
        return ""


def _photos(parsed: EmailMessage) -> Iterator[Photo]:
    for part in parsed.iter_attachments() if parsed.is_multipart() else ():
        content = part.get_content()
        if part.get_content_maintype() == "image" and isinstance(content, bytes):
            name = part.get_filename() or "photo"
            yield Photo(name=name, media_type=part.get_content_type(), content=content)


def _corrected(html: str) -> Corrected | None:
    """Read the link by which a refusal offers the corrected mail (RFC 6068)."""
    link = _MAILTO.search(html)
    if link is None:
        return None
    parts = urlsplit(unescape(link[1]))
    fields = parse_qs(parts.query.replace("+", "%2B"))
    text = fields.get("body", [""])[0].replace("\r\n", "\n")
    if not text:
        return None
    return Corrected(to=unquote(parts.path), subject=fields.get("subject", [""])[0], text=text)
