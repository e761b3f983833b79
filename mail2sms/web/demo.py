"""The demo page: a mailbox, a phone, and what happens between them. Everything it does goes through the real doors.

An email is handed to the SMTP listener like anybody's; what is shown of messages is what the store says.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from mail2sms import segments
from mail2sms.clock import now_ms
from mail2sms.options import Endpoint
from mail2sms.store import MessageView, MoView, Search
from mail2sms.store.views import find, read_mo, read_one
from mail2sms.web import bodies, sim
from mail2sms.web.auth import from_here
from mail2sms.web.context import Context, Here
from mail2sms.web.inbox import DemoInbox, DemoMail, SentMail
from mail2sms.web.problems import HttpProblem

__all__ = ["DemoInbox", "router"]

_SHOWN = 20  # messages and replies on the page
_SMTP_S = 20
_ADDRESS = re.compile(r"[!-;=?-~]{1,320}")
_END_MARKER = "##"  # of the strict template
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

router = APIRouter(dependencies=[Depends(from_here)], include_in_schema=False)


class Draft(BaseModel):
    """An email to send from the page."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[str, Field(alias="from", max_length=320)]
    to: Annotated[str, Field(max_length=320)]
    subject: Annotated[str, Field(max_length=500)] = ""
    text: Annotated[str, Field(max_length=bodies.TEXT_LENGTH)]
    in_reply_to: Annotated[str, Field(max_length=1000)] = ""
    references: Annotated[str, Field(max_length=8000)] = ""


@router.get("/")
async def front() -> Response:
    """The demo has one page."""
    return RedirectResponse("/demo")


@router.get("/demo")
async def page(context: Here) -> HTMLResponse:
    """Return the page; what it shows comes from `state`."""
    return HTMLResponse(
        context.render.render("portal/demo.html", domain=context.domain, mailbox=context.template_mailbox)
    )


@router.get("/demo/inbox")
async def inbox(context: Here) -> JSONResponse:
    """Return the emails that would have left, newest last."""
    return JSONResponse([_shown_mail(mail) for mail in _inbox(context)])


@router.get("/demo/inbox/{n}")
async def raw_mail(n: int, context: Here) -> Response:
    """Return an email as it would have left (message/rfc822, as text that a browser shows)."""
    return Response(_mail(n, context).raw, headers={"content-type": "text/plain; charset=utf-8"})


@router.get("/demo/inbox/{n}/photos/{index}")
async def photo(n: int, index: int, context: Here) -> Response:
    """Return a picture of an email."""
    photos = _mail(n, context).photos
    if not 0 <= index < len(photos) or photos[index].media_type not in _PICTURES:
        raise HttpProblem(404)
    return Response(photos[index].content, media_type=photos[index].media_type)


@router.post("/demo/send")
async def send(draft: Draft, context: Here) -> JSONResponse:
    """Hand an email to the SMTP listener and return what it said."""
    if context.demo_smtp is None:
        raise HttpProblem(404, "there is no SMTP listener")
    message_id = f"<demo.{secrets.token_hex(8)}@{context.domain}>"
    raw = _compose(draft, message_id)
    at = now_ms()
    try:
        code, reply = await asyncio.to_thread(_submit, context.demo_smtp, draft, raw)
    except OSError:  # smtplib's own exceptions too
        raise HttpProblem(502, "the SMTP listener does not answer") from None
    sent = SentMail(
        at=at,
        message_id=message_id,
        sender=draft.from_,
        to=draft.to,
        subject=draft.subject,
        code=code,
        reply=reply,
        text=draft.text,
    )
    _inbox(context).sent.append(sent)
    return JSONResponse({"code": code, "reply": reply, "message_id": message_id, "raw": raw.decode()})


@router.get("/demo/state")
async def state(context: Here, since: str | None = None, phone: str | None = None) -> JSONResponse:
    """Return everything the page shows, in one answer."""
    store, account = context.store, context.account
    wanted = Search(since=bodies.read_since(since) if since is not None else None, limit=_SHOWN)
    found = await store.read(find, account, wanted)
    views = await asyncio.gather(*(store.read(read_one, account, view.id) for view in found))
    kept = _inbox(context)
    msisdn = sim.phone(phone, context) if phone else None
    content = {
        "messages": [_shown_message(view, kept) for view in views if view is not None],
        "sent": [_shown_sent(mail) for mail in kept.sent][-_SHOWN:],
        "inbox": [_shown_mail(mail) for mail in kept][-_SHOWN:],
        "said": [_shown_mo(mo, n) for n, mo in await _said(kept, context)],
        "phone": await asyncio.to_thread(sim.carrier(context).phones.shown, msisdn) if msisdn else [],
    }
    return JSONResponse(content)


def _inbox(context: Context) -> DemoInbox:
    assert context.demo_inbox is not None
    return context.demo_inbox


def _mail(n: int, context: Context) -> DemoMail:
    mail = _inbox(context).get(n)
    if mail is None:
        raise HttpProblem(404, "there is no such email")
    return mail


def _compose(draft: Draft, message_id: str) -> bytes:
    """Write the mail as a mail program would. Raises HttpProblem."""
    headers = {
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
    return mail.as_bytes()


def _submit(smtp: Endpoint, draft: Draft, raw: bytes) -> tuple[int, str]:
    """Return the listener's last word: its refusal, or what it said to the mail."""
    with smtplib.SMTP(smtp.host, smtp.port, local_hostname="demo.localhost", timeout=_SMTP_S) as client:
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


async def _said(kept: DemoInbox, context: Context) -> list[tuple[int, MoView]]:
    """Return what phones wrote, with the number of the email that brought it."""
    replies = [mail for mail in kept if mail.kind == "reply"][-_SHOWN:]
    for mail in replies:
        if mail.about not in kept.said:
            mo = await context.store.read(read_mo, mail.about, mail.to)
            if mo is not None:
                kept.said[mail.about] = mo
    return [(mail.n, kept.said[mail.about]) for mail in replies if mail.about in kept.said]


def _shown_message(view: MessageView, kept: DemoInbox) -> dict[str, Any]:
    sent = next((mail for mail in kept.sent if mail.message_id == view.message_id), None)
    return {
        **bodies.message_with_events(view).model_dump(),
        "message_id": view.message_id,
        "conversation": view.conversation,
        "left_out": left_out(sent.text, view.text) if sent is not None else [],
    }


def left_out(written: str, text: str) -> list[str]:
    """Return the lines after the text that did not become SMS."""
    written, text = segments.clean(written), segments.clean(text)
    place = written.find(text) if text else -1
    if place < 0:
        return []
    lines = [line for line in written[place + len(text) :].split("\n") if line.strip()]
    return lines[1:] if lines[:1] == [_END_MARKER] else lines


def _shown_sent(mail: SentMail) -> dict[str, Any]:
    return {
        "at": bodies.iso(mail.at),
        "message_id": mail.message_id,
        "from": mail.sender,
        "to": mail.to,
        "subject": mail.subject,
        "code": mail.code,
        "reply": mail.reply,
    }


def _shown_mail(mail: DemoMail) -> dict[str, Any]:
    corrected = mail.corrected
    return {
        "n": mail.n,
        "at": bodies.iso(mail.at),
        "kind": mail.kind,
        "from": mail.sender,
        "to": mail.to,
        "subject": mail.subject,
        "text": mail.text,
        "is_automatic": mail.is_automatic,
        "message_id": mail.message_id,
        "in_reply_to": mail.in_reply_to,
        "references": mail.references,
        "reply_to": mail.reply_to,
        "about": mail.about,
        "photos": [one.name for one in mail.photos],
        "corrected": corrected and {"to": corrected.to, "subject": corrected.subject, "text": corrected.text},
    }


def _shown_mo(mo: MoView, n: int) -> dict[str, Any]:
    return {
        "id": mo.id,
        "mail": n,
        "at": bodies.iso(mo.at),
        "conversation": mo.conversation,
        "from": mo.msisdn,
        "to": mo.our_address,
        "text": mo.text,
        "photos": len(mo.photos),
    }
