"""Whatever a phone says, our emails have exactly the headers that we gave them.

    ./run prove injection [COUNT [SEED]]

COUNT (200,000) generated SMS texts, of pieces that have ever opened a header and of any character, are the subject,
the sender's name and the body of a reply; every fiftieth stands in every other email, too, and in the report that a
server asked for. Each mail as it leaves is read by three readers: Python's two, and our own listener's. Controls: the
cleaner taken out, then the second reading, then both.
"""

from __future__ import annotations

import email.parser
import email.policy
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, cast
from unittest import mock

from mail2sms.errors import DeliveryFailed, Problem
from mail2sms.intake import headers
from mail2sms.model import Dsn, Msisdn, Origin, Status
from mail2sms.relay import compose, threading, wire
from mail2sms.relay.approval import ApprovalFacts, approval_email
from mail2sms.relay.compose import Addressee, HeldFacts, Outgoing, RefusedFacts, ReplyFacts
from mail2sms.relay.receipt import Fate, ReceiptFacts, receipt_email
from mail2sms.relay.report import Report
from mail2sms.relay.undelivered import UndeliveredFacts, undelivered_email
from mail2sms.render import Render
from tests.fuzz_texts import text as odd_text

_CHUNK = 2_000
_ADDED = "other headers are read"
_AT = 1_778_571_660_000
_PHONE, _DOMAIN, _MARIE = Msisdn("+33639981234"), "sms.acme.example", "marie@acme.example"
_RENDER = Render()
_LANGUAGES = ("en", "fr", "it", "de")

_PIECES = (
    *("\r\nBcc: x@evil.example\r\n", "\nBcc: x@evil.example", "\rBcc: x@evil.example", "\r\n\r\n<b>x</b>"),
    *(
        "=?utf-8?q?a=0ABcc:_x@evil.example?=",
        "=?utf-8?b?YQpCY2M6IHg=?=",
        "=?us-ascii?q?=0d=0aBcc:_x?=",
        "=?",
        "?=",
    ),
    *(
        "=?utf-8?q?=22?=",
        "=?utf-7?q?+AAo-Bcc:_x?=",
        "=?utf-8?q?a",
        "?= =?utf-8?q?b?=",
        "= ?",
        "=\r\n?utf-8?q?x?=",
    ),
    *(
        "\u2028Bcc: x",
        "\u2029Bcc: x",
        "\x85Bcc: x",
        "\x0bBcc: x",
        "\x0cBcc: x",
        "\x1c",
        "\x00",
        "\x1b[31m",
        "\x7f",
    ),
    *(
        '"',
        '\\"',
        '" <x@evil.example>, "',
        "<x@evil.example>",
        "x@evil.example",
        ",",
        ";",
        ":",
        "(",
        ")",
        "\\",
    ),
    *("\u202e", "\u202a", "\u2066", "\u2069", "\u200f", "\u061c", "\ufeff", "\u200b", "\ud800", "\udfff"),
    *(
        "--=_a",
        "\r\n--=_m",
        "--",
        "\r\n.\r\n",
        "\r\nFrom ",
        "Content-Type: text/html",
        "Subject: x",
        "a" * 998,
    ),
    *(
        "\t",
        " ",
        "   ",
        "\r\n ",
        "\r\n\t",
        "ß",
        "é",
        "👍🏿",
        "e\u0301",
        "日本",
        "Ａ",
        "Re: ",
        "AW: ",
        "&lt;",
        "<script>",
    ),
)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_NOTICE = ["From", "To", "Subject", "Date", "Message-ID"]
_THREADED = ["In-Reply-To", "References"]
_QUIET = ["Auto-Submitted", "X-Auto-Response-Suppress", "List-Id", "X-Mail2SMS-Loop", "X-Mail2SMS-Message"]
_MIME = ["MIME-Version", "Content-Type"]
_ABOUT = [*_NOTICE, *_THREADED, *_QUIET, "X-Mail2SMS-Conversation", "X-Mail2SMS-Reason", *_MIME]
HEADERS = {
    "reply": [
        *(
            "From",
            "To",
            "Reply-To",
            "Subject",
            "Date",
            "Message-ID",
            *_THREADED,
            "Thread-Topic",
            "Thread-Index",
        ),
        *(*_QUIET, "X-Mail2SMS-Conversation", *_MIME),
    ],
    "refused": [*_NOTICE, *_THREADED, *_QUIET, "X-Mail2SMS-Reason", *_MIME],
    **dict.fromkeys(("held", "approval", "undelivered", "receipt", "report"), _ABOUT),
}
"""Of each kind of email, exactly and in this order."""
_PARTS = ["multipart/alternative", "text/plain", "text/html"]
_REPORT = [
    "multipart/report",
    *_PARTS,
    "message/delivery-status",
    "text/plain",
    "text/plain",
    "text/rfc822-headers",
]


@dataclass(slots=True)
class Figures:
    """How many mails were read, how many could not be written at all, and what was wrong with others."""

    texts: int = 0
    mails: int = 0
    unwritten: int = 0
    injected: list[str] = field(default_factory=list)

    def join(self, other: Figures) -> None:
        """Add another's."""
        self.texts += other.texts
        self.mails += other.mails
        self.unwritten += other.unwritten
        self.injected += other.injected[:20]

    @property
    def is_kept(self) -> bool:
        """Whether every mail could be written and read as it was meant."""
        return self.mails >= self.texts > 0 and not self.injected and not self.unwritten

    def __str__(self) -> str:
        return (
            f"{self.texts} texts in {self.mails} emails: {len(self.injected)} injected, "
            f"{self.unwritten} that could not be written"
        )


def generate(number: int, seed: int) -> str:
    """Return a text: always the same for the same number and seed."""
    chance = random.Random(f"{seed} {number}")
    if chance.random() < 0.2:
        return odd_text(chance)
    pieces = chance.choices(_PIECES, k=chance.randint(1, chance.choice((2, 4, 12))))
    letters = ["".join(chr(chance.randrange(0x11000)) for _ in range(chance.randint(0, 4))) for _ in pieces]
    return "".join(piece + letter for piece, letter in zip(pieces, letters, strict=True))


def _reply(text: str, who: Addressee) -> Outgoing:
    origin = Origin(source="smtp", message_id="<a@acme.example>", subject=text, references=("<z@b>", text))
    facts = ReplyFacts(
        id="r-1", addressee=who, msisdn=_PHONE, text=text, received_at=_AT, conversation="c-1", name=text,
        reply_address=f"33639981234+rk7q2f9h3wd@{_DOMAIN}", origin=origin, started_at=_AT,
    )  # fmt: skip
    return compose.reply_email(facts, _RENDER)


def _others(text: str, who: Addressee) -> Iterator[tuple[str, Callable[[], Outgoing]]]:
    origin = Origin(source="smtp", message_id="<a@acme.example>", subject=text, references=(text,))
    template = f"sms@{_DOMAIN}"
    problem = Problem(reason="template.unknown_field", value=text, hint=text, line=1, column=1, width=3)
    refused = RefusedFacts(
        id="n-1", addressee=who, at=_AT, problems=(problem,), template_address=template, source=(text, "x"),
        corrected=text, text=text, origin=origin,
    )  # fmt: skip
    held = HeldFacts(
        id="m-1", notice="n-1", addressee=who, msisdn=_PHONE, text=text, reason="held.operator", accepted_at=_AT,
        at=_AT, expires_at=_AT, conversation="c-1", template_address=template, name=text, origin=origin,
    )  # fmt: skip
    failed = UndeliveredFacts(
        id="m-1", addressee=who, msisdn=_PHONE, text=text, status=Status.REJECTED, reason="carrier.rejected",
        charged="no", accepted_at=_AT, attempted_at=_AT, conversation="c-1", template_address=template,
        name=text, carrier=text, code=text, detail=text, origin=origin,
    )  # fmt: skip
    fates = (Fate(msisdn=_PHONE, status=Status.DELIVERED, reason="", at=_AT),) * 2
    receipt = ReceiptFacts(
        id="m-1", notice="n-1", addressee=who, fates=fates, text=text, accepted_at=_AT, at=_AT,
        conversation="c-1", template_address=template, origin=origin,
    )  # fmt: skip
    asked = Dsn(notify=("FAILURE",), envelope_id=text, original=f"rfc822;{text}", report_to=_MARIE)
    report = Report(
        dsn=asked, recipient=f"33639981234@{_DOMAIN}", action="failed", status="5.0.0", arrived_at=_AT,
        diagnostic=f"smtp; {text}", original=text.encode("utf-8", "replace") + b"\r\n\r\n",
    )  # fmt: skip
    yield "refused", lambda: compose.refused_email(refused, _RENDER)
    yield "held", lambda: compose.held_email(held, _RENDER)
    approval = ApprovalFacts(
        held=held, approval="v-1", writer=text, link="https://sms.acme.example/approve/x"
    )
    yield "approval", lambda: approval_email(approval, _RENDER)
    yield "undelivered", lambda: undelivered_email(failed, _RENDER)
    yield "receipt", lambda: receipt_email(receipt, _RENDER)
    yield "report", lambda: undelivered_email(failed, _RENDER, report)


def wrong(kind: str, content: bytes, text: str) -> str:
    """Return what another reads in a mail than we wrote; "" when it is as it was meant."""
    expected = HEADERS[kind]
    plain = email.parser.BytesParser().parsebytes(content)
    modern = email.parser.BytesHeaderParser(policy=email.policy.default).parsebytes(content)
    readings = {"Python": plain.keys(), "the modern one": modern.keys(), "the listener": _listened(content)}
    for reader, names in readings.items():
        if names != (sorted(name.lower() for name in expected) if reader == "the listener" else expected):
            return f"{_ADDED} by {reader}: {[name for name in names if name not in expected] or names}"
    parts = [part.get_content_type() for part in plain.walk()]
    if parts != (_REPORT if kind == "report" else _PARTS):
        return f"its parts are {parts}"
    lines = content.split(b"\r\n")
    if max(map(len, lines)) > 998 or any(b"\n" in line for line in lines):
        return "a line is too long, or ends as none should"
    try:
        return _wrong_values(kind, modern, text)
    except ValueError as e:  # a line break that was hidden in an encoded word
        return f"it reads worse: {e}"


def _listened(content: bytes) -> list[str]:
    fields, _ = headers.split(content, 0, len(content))
    return sorted(name for name in fields for _ in fields.all(name))


def _wrong_values(kind: str, modern: Message, text: str) -> str:
    subject = str(modern["Subject"])
    if kind == "reply" and _folded(subject) != _folded(_shown(threading.reply_subject(text))):
        return f"its subject reads {subject!r}"
    sender, to = cast(Any, modern["From"]), cast(Any, modern["To"])
    addresses = [each.addr_spec for each in (*sender.addresses, *to.addresses)]
    ours = f"33639981234@{_DOMAIN}" if kind == "reply" else f"sms@{_DOMAIN}"
    if addresses != [ours, _MARIE]:
        return f"it is from and to {addresses}"
    unseen = _UNSEEN.search(subject + str(sender))
    return "its sender or subject holds what nobody sees" if unseen else ""


def _shown(text: str) -> str:
    """What is left to see of a text; not by the cleaner that is to be proven, but for where it cuts."""
    cut = len(wire.clean_header(text))
    return re.sub(r"=\?", "= ?", _UNSEEN.sub("", wire.clean_header(text)))[:cut]


def _folded(text: str) -> str:
    return "".join(str(text).split())


def run_chunk(first: int, count: int, seed: int) -> Figures:
    """Write and read the emails of so many texts."""
    figures = Figures(texts=count)
    for number in range(first, first + count):
        text = generate(number, seed)
        who = Addressee(to=_MARIE, language=_LANGUAGES[number % 4], zone="Europe/Paris", domain=_DOMAIN)
        kinds: list[tuple[str, Callable[[], Outgoing]]] = [("reply", lambda: _reply(text, who))]  # noqa: B023
        if number % 50 == 0:
            kinds += _others(text, who)
        for kind, write in kinds:
            try:
                content = write().content
            except DeliveryFailed:
                figures.unwritten += 1
                continue
            figures.mails += 1
            found = wrong(kind, content, text)
            if found:
                figures.injected.append(f"{kind} of text {number}, seed {seed}: {found}"[:200])
    return figures


def run(count: int, seed: int) -> Figures:
    """All of them, on all processors."""
    figures = Figures()
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        chunks = [pool.submit(run_chunk, at, min(_CHUNK, count - at), seed) for at in range(0, count, _CHUNK)]
        for chunk in chunks:
            figures.join(chunk.result())
    return figures


@contextmanager
def broken(*what: str) -> Iterator[None]:
    """Take pieces out: the `cleaner`, the `reading` of the finished mail, the `encoded` words that it breaks."""

    def cut(text: str) -> str:
        return text.encode("utf-8", "replace").decode()[:200]

    def unbroken(text: str, clean: Any = wire.clean_header) -> str:
        return str(clean(text)).replace("= ?", "=?")

    patches: dict[str, AbstractContextManager[Any]] = {
        "cleaner": mock.patch.object(wire, "clean_header", cut),
        "encoded": mock.patch.object(wire, "clean_header", unbroken),
        "reading": mock.patch.object(wire, "_reads_as", lambda *_: True),
    }
    with ExitStack() as stack:
        for name in what:
            stack.enter_context(patches[name])
        yield


CONTROLS: dict[tuple[str, ...], bool] = {
    ("cleaner", "reading"): True,
    ("encoded", "reading"): False,
    ("cleaner",): False,
}
"""What is taken out, and whether a header then gets in; what people see is wrong in each case.

The second reading alone keeps every header out, and encoded words add none, since we write by hand what we encode.
"""


def is_found(what: tuple[str, ...], count: int, seed: int) -> tuple[bool, Figures]:
    """Whether the proof fails without these, and the figures."""
    with broken(*what):
        figures = run_chunk(0, count, seed)
    headers_added = [each for each in figures.injected if _ADDED in each]
    return (bool(headers_added) == CONTROLS[what] and not figures.is_kept), figures


def main(argv: list[str]) -> int:
    """Print the figures; 0 when nothing got in and every control was found."""
    count, seed = int(argv[0]) if argv else 200_000, int(argv[1]) if argv[1:] else 1
    begun_s = time.monotonic()
    figures = run(count, seed)
    print(f"{figures}, in {time.monotonic() - begun_s:.0f} s", flush=True)
    for each in figures.injected[:20]:
        print(f"    {each}")
    is_kept = figures.is_kept
    for what in CONTROLS:
        found, without = is_found(what, 2_000, seed)
        is_kept &= found
        shown = max(without.injected, key=lambda each: _ADDED in each, default="")
        print(f"  control, without {' and '.join(what)}: {without}{'' if found else ' NOT FOUND'}; {shown}")
    return not is_kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
