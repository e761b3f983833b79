"""What machines are told of a message beside its email: delivery status notifications (RFC 3464). Pure.

A phone is known by its address here, as the mail was sent to it. All of it is 7-bit, as section 2.1 wants it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from mail2sms.errors import Problem
from mail2sms.model import Dsn, Status
from mail2sms.reasons import REASONS, smtp_reply
from mail2sms.relay import wire

_RELAYED = "2.1.9"  # RFC 3886 section 3.3.4: to a system that tells no more
_LINE_BYTES = 998  # RFC 5322 section 2.1.1
_LINE_END = re.compile(rb"\r\n|\r|\n")
_ESCAPED = "\\x{{{:X}}}"
_ODD = re.compile(rb"[^\t -~]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What becomes parts of a mail: `action` and `status` are those of RFC 3464, `original` is of the mail it is about.

    `until`: so long it is tried.
    """

    dsn: Dsn
    recipient: str
    action: str
    status: str
    arrived_at: int
    diagnostic: str = ""
    attempted_at: int | None = None
    until: int | None = None
    original: bytes = field(default=b"", repr=False)


def of_failure(problem: Problem, dsn: Dsn) -> tuple[str, str, str]:
    """Return action, status and diagnostic of a message that failed.

    Of one in doubt it is a delay that is told, where delays were asked for; else a failure, which its words explain.
    """
    enhanced = REASONS[problem.reason].enhanced
    diagnostic = f"smtp; {smtp_reply(problem)}"
    if enhanced.startswith("4") and dsn.asks("DELAY"):
        return "delayed", enhanced, diagnostic
    return "failed", f"5{enhanced[1:]}", diagnostic


STANDS_FOR = {
    "dsn.delivered": {Status.DELIVERED},
    "dsn.relayed": {Status.ENROUTE},
    "dsn.delayed": {Status.QUEUED, Status.SENDING},
}
"""Reports are told only while they are true."""
OF_SUCCESS = {
    "dsn.delivered": ("delivered", "2.0.0", ""),
    "dsn.relayed": ("relayed", _RELAYED, ""),
    "dsn.delayed": ("delayed", "4.4.0", ""),
}
"""Action, status and diagnostic by the reason of a notice."""


def parts(domain: str, *reports: Report) -> tuple[bytes, ...]:
    """Return the parts that follow the words for people: the status of each recipient, and the mail or its header."""
    if not reports:
        return ()
    first = reports[0]
    about_mail = {
        "Original-Envelope-Id": first.dsn.envelope_id,
        "Reporting-MTA": f"dns; {domain}",
        "Arrival-Date": _date(first.arrived_at),
    }
    blocks = "\r\n".join(_fields(each) for each in (about_mail, *map(_of_recipient, reports)))
    status = f"Content-Type: message/delivery-status\r\n\r\n{blocks}".encode("ascii")
    return (status, _returned(first)) if first.original else (status,)


def _of_recipient(report: Report) -> dict[str, str]:
    return {
        "Original-Recipient": _typed(report.dsn.original),
        "Final-Recipient": f"rfc822; {report.recipient}",
        "Action": report.action,
        "Status": report.status,
        "Diagnostic-Code": report.diagnostic,
        "Last-Attempt-Date": _date(report.attempted_at),
        "Will-Retry-Until": _date(report.until),
    }


def _fields(fields: dict[str, str]) -> str:
    shown = {name: wire.plain(value) for name, value in fields.items()}
    return "".join(f"{name}: {value}\r\n" for name, value in shown.items() if value)


def _date(at: int | None) -> str:
    return "" if at is None else format_datetime(datetime.fromtimestamp(at / 1000, UTC))


def _typed(original: str) -> str:
    """Return the address with its type; beyond ASCII as RFC 6533 section 3 writes it where all must be 7-bit."""
    kind, _, address = original.partition(";")
    if not address:
        return ""
    return f"{kind}; " + "".join(c if c.isascii() else _ESCAPED.format(ord(c)) for c in address)


def _returned(report: Report) -> bytes:
    """The whole mail only with a failure (RFC 3461 section 6.2), and only as it came."""
    original = report.original
    head, _, body = original.partition(b"\r\n\r\n")
    if report.dsn.ret == "FULL" and report.action == "failed" and body and original.isascii():
        return b"Content-Type: message/rfc822\r\n\r\n" + original
    lines = [_ODD.sub(b"?", line)[:_LINE_BYTES] for line in _LINE_END.split(head)]
    return b"Content-Type: text/rfc822-headers\r\n\r\n" + b"\r\n".join(lines).rstrip() + b"\r\n"
