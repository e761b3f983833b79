"""The demo's mail program: writes an email as one would, and hands it to the real SMTP listener."""

from __future__ import annotations

import asyncio
import re
import secrets
import smtplib
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mail2sms.carriers._picture import sunset
from mail2sms.clock import now_ms
from mail2sms.endpoint import Endpoint
from mail2sms.web import bodies
from mail2sms.web.inbox import DemoMail
from mail2sms.web.problems import HttpProblem
from mail2sms.web.sent import SentMail

HELO = "demo.localhost"
"""By this name the page is known to the listener."""
_SMTP_S = 20
_ADDRESS = re.compile(r"[!-;=?-~]{1,320}")
_BARE = re.compile(r"<([^>]+)>\s*\Z")


class Draft(BaseModel):
    """An email to send from the page."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: Annotated[str, Field(alias="from", max_length=320)]
    to: Annotated[str, Field(max_length=320)]
    subject: Annotated[str, Field(max_length=500)] = ""
    text: Annotated[str, Field(max_length=bodies.TEXT_LENGTH)]
    in_reply_to: Annotated[str, Field(max_length=1000)] = ""
    references: Annotated[str, Field(max_length=8000)] = ""
    photo: bool = False  # whether one is attached


def signed(text: str, name: str) -> str:
    """Return a text with the signature that a mail program adds for this person."""
    return f"{text}\n\n-- \n{name}, ACME\n12 rue de la Paix, Paris" if name else text


def answer(mail: DemoMail, text: str, written: str, name: str) -> Draft:
    """Return the reply of `name` to an email: threaded, signed, and above what it answers, dated as `written`."""
    quoted = "\n".join(f"> {line}".rstrip() for line in mail.text.strip().split("\n"))
    sender = mail.sender.replace('"', "")
    subject = mail.subject if mail.subject.lower().startswith("re:") else f"Re: {mail.subject}"
    return Draft(
        from_=bare(mail.to),
        to=bare(mail.reply_to or mail.sender),
        subject=subject[:500],
        text=f"{signed(text, name)}\n\nOn {written}, {sender} wrote:\n{quoted}\n"[: bodies.TEXT_LENGTH],
        in_reply_to=mail.message_id,
        references=f"{mail.references} {mail.message_id}".strip(),
    )


def bare(mailbox: str) -> str:
    """Return the address of `Name <address>`."""
    found = _BARE.search(mailbox)
    return found[1] if found else mailbox


async def send(draft: Draft, smtp: Endpoint, domain: str) -> SentMail:
    """Hand the email over and return what the listener said. Raises HttpProblem."""
    message_id = f"<demo.{secrets.token_hex(8)}@{domain}>"
    raw = compose(draft, message_id)
    at = now_ms()
    try:
        code, reply = await asyncio.to_thread(_submit, smtp, draft, raw)
    except OSError:  # smtplib's own exceptions too
        raise HttpProblem(502, "the SMTP listener does not answer") from None
    return SentMail(
        at=at,
        rcpts=(draft.to,),
        code=code,
        reply=reply,
        message_id=message_id,
        sender=draft.from_,
        subject=draft.subject,
        is_reply=bool(draft.in_reply_to),
        text=draft.text,
        raw=raw,
    )


def compose(draft: Draft, message_id: str) -> bytes:
    """Write the mail as a mail program would. Raises HttpProblem."""
    headers: Mapping[str, str] = {
        "From": draft.from_,
        "To": draft.to,
        "Subject": draft.subject,
        "Date": formatdate(localtime=True),
        "Message-ID": message_id,
        "In-Reply-To": draft.in_reply_to,
        "References": draft.references,
    }
    if not (_ADDRESS.fullmatch(draft.from_) and _ADDRESS.fullmatch(draft.to)):
        raise HttpProblem(400, "from and to are one bare email address each")
    if not all(value.isprintable() for value in headers.values()):
        raise HttpProblem(400, "a header holds control characters")
    mail = EmailMessage(policy=SMTP)
    for name, value in headers.items():
        if value:
            mail[name] = value
    mail.set_content(draft.text)
    if draft.photo:
        mail.add_attachment(sunset(), maintype="image", subtype="png", filename="sunset.png")
    return mail.as_bytes()


def _submit(smtp: Endpoint, draft: Draft, raw: bytes) -> tuple[int, str]:
    """Return the listener's last word: its refusal, or what it said to the mail."""
    with smtplib.SMTP(smtp.host, smtp.port, local_hostname=HELO, timeout=_SMTP_S) as client:
        client.ehlo()
        steps: tuple[Callable[[], tuple[int, bytes]], ...] = (
            lambda: client.mail(draft.from_, ["BODY=8BITMIME"]),
            lambda: client.rcpt(draft.to),
            lambda: client.data(raw),
        )
        code, reply = 0, b""
        for step in steps:
            code, reply = step()
            if code >= 400:
                break
        return code, reply.decode("ascii", "replace")
