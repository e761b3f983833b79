"""What the demo tells programs: its values as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mail2sms.store import MessageView, MoView
from mail2sms.web import bodies
from mail2sms.web.demo_text import left_out
from mail2sms.web.inbox import DemoMail
from mail2sms.web.sent import SentMail, became


def message(view: MessageView, sent_mails: Iterable[SentMail]) -> dict[str, Any]:
    """Return a message with its events and the lines that were left out of it."""
    mail = became(sent_mails, {view.id}, view.message_id)
    return {
        **bodies.message_with_events(view).model_dump(),
        "message_id": view.message_id,
        "conversation": view.conversation,
        "left_out": left_out(mail.text, view.text) if mail is not None else [],
    }


def sent(mail: SentMail) -> dict[str, Any]:
    """Return an email that the page sent, and what was said to it."""
    return {
        "at": bodies.iso(mail.at),
        "message_id": mail.message_id,
        "from": mail.sender,
        "to": mail.to,
        "subject": mail.subject,
        "code": mail.code,
        "reply": mail.reply,
    }


def mail(one: DemoMail) -> dict[str, Any]:
    """Return an email of the inbox."""
    corrected = one.corrected
    return {
        "n": one.n,
        "at": bodies.iso(one.at),
        "kind": one.kind,
        "from": one.sender,
        "to": one.to,
        "subject": one.subject,
        "text": one.text,
        "is_automatic": one.is_automatic,
        "message_id": one.message_id,
        "in_reply_to": one.in_reply_to,
        "references": one.references,
        "reply_to": one.reply_to,
        "about": one.about,
        "photos": [photo.name for photo in one.photos],
        "corrected": corrected and {"to": corrected.to, "subject": corrected.subject, "text": corrected.text},
    }


def mo(one: MoView, n: int) -> dict[str, Any]:
    """Return what a phone wrote, and the number of the email that brought it."""
    return {
        "id": one.id,
        "mail": n,
        "at": bodies.iso(one.at),
        "conversation": one.conversation,
        "from": one.msisdn,
        "to": one.our_address,
        "text": one.text,
        "photos": len(one.photos),
    }
