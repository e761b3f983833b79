"""What became of a message, as emails: the reply, the refusal, the notice that it waits. Pure.

Says what stands in which header and which facts a template gets; knows no database, clock, or delivery. The words are
in templates/email/. Headers: RFC 3834 (nobody's responder answers), RFC 2919 (one filter rule finds all), and
`threading` for the thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from mail2sms import numbers
from mail2sms.errors import Problem
from mail2sms.model import Msisdn, Origin, Photo
from mail2sms.relay import caret, threading, wire
from mail2sms.relay.report import Report, parts
from mail2sms.render import Render
from mail2sms.wording import when

_MAILTO_LIMIT: Final = 1900  # characters of a link; Windows hands 2,048 to the mail program, less its own
_SUBJECT: Final = "Subject: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """An email ready for the mailer. `envelope_from` is empty for notices, which no bounce may answer."""

    to: str
    envelope_from: str
    message_id: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Addressee:
    """Who gets the mail and how they read. `domain` is ours."""

    to: str
    language: str
    zone: str
    domain: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyFacts:
    """A text from a phone, for the person it answers. `id` names the MO and never changes, so that a mail
    delivered twice has one Message-ID; `replies` counts from 1; no `origin` when it answers no mail.

    Without `reply_address` the phone can't be answered (a name or a short code wrote). `said` is optout.stop or
    optout.start when the text changed whether it may be written to, alarm.acknowledged when it took care of an alarm.
    """

    id: str
    addressee: Addressee
    msisdn: Msisdn
    text: str = field(repr=False)
    received_at: int
    conversation: str
    reply_address: str = ""
    name: str = ""
    photos: tuple[Photo, ...] = ()
    lost: int = 0  # files that could not be fetched
    origin: Origin | None = None
    started_at: int = 0
    replies: int = 1
    said: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedFacts:
    """A mail that was not turned into SMS. `problems` and what follows `template_address` as in `errors.Refusal`.

    `template_address` takes the corrected mail; `simple_address` is the number's own address, where that alone would
    do; `may_be_simple`: it would, were the number known. `is_partly`: other recipients get the text; a problem of some
    has their numbers as the fact `to`; `is_sent`: all get it, without its pictures. `device` wrote it.
    """

    id: str
    addressee: Addressee
    at: int
    problems: tuple[Problem, ...]
    template_address: str
    source: tuple[str, ...] = field(default=(), repr=False)
    corrected: str = field(default="", repr=False)
    is_example: bool = False
    text: str = field(default="", repr=False)
    simple_address: str = ""
    may_be_simple: bool = False
    help_url: str = ""
    is_partly: bool = False
    is_sent: bool = False
    device: str = ""
    origin: Origin | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldFacts:
    """A message that waits since `at`, until `until` where that is known, at the longest until `expires_at`.

    `id` names the MT, `notice` this telling of it; `others` of the same mail wait too. An answer goes to nobody's
    phone: who writes "stop it" means us.
    """

    id: str
    notice: str
    addressee: Addressee
    msisdn: Msisdn
    text: str = field(repr=False)
    reason: str
    accepted_at: int
    at: int
    expires_at: int
    conversation: str
    template_address: str
    until: int | None = None
    others: int = 0
    name: str = ""
    origin: Origin | None = None


def reply_email(facts: ReplyFacts, render: Render) -> Outgoing:
    """Return the mail whose first words are the phone's, in the thread of the mail that it answers."""
    who, origin, domain = facts.addressee, facts.origin, facts.addressee.domain
    number = shown_number(facts.msisdn)
    values = {
        "text": wire.clean_text(facts.text),
        "photos": len(facts.photos),
        "lost": facts.lost,
        "who": shown_phone(facts.msisdn, facts.name),
        "received": when(facts.received_at, who.zone, who.language),
        "can_answer": bool(facts.reply_address) and facts.said != "optout.stop",
        "said": facts.said,
    }
    if origin is None:
        subject = topic = render.in_language("reply.subject", who.language, **values)
    else:
        subject, topic = threading.reply_subject(origin.subject), threading.bare_subject(origin.subject)
    message_id = f"<in.{facts.id}@{domain}>"
    sender = _phone_address(facts.msisdn, domain)
    headers = [
        ("From", wire.mailbox("From", f"{facts.name or number} (SMS)", sender)),
        ("To", wire.mailbox("To", "", who.to)),
        *reply_to(facts.reply_address),
        ("Subject", wire.unstructured("Subject", subject)),
        ("Date", date(facts.received_at, who.zone)),
        ("Message-ID", message_id),
        *_thread(facts.conversation, domain, origin),
        ("Thread-Topic", wire.unstructured("Thread-Topic", topic)),
        ("Thread-Index", _thread_index(facts)),
        ("Auto-Submitted", "auto-generated"),
        *quiet("SMS replies <replies", domain),
        ("X-Mail2SMS-Message", facts.id),
        ("X-Mail2SMS-Conversation", facts.conversation),
    ]
    safe = {"From": f"<{sender}>", "Subject": "SMS", "Thread-Topic": "SMS"}
    content = written(headers, safe, "reply", render, who.language, values, facts.photos)
    return Outgoing(to=who.to, envelope_from=facts.reply_address, message_id=message_id, content=content)


_AS_THEY_ARE = ("is_partly", "is_sent", "template_address", "simple_address", "may_be_simple", "help_url")


def refused_email(facts: RefusedFacts, render: Render, reports: Sequence[Report] = ()) -> Outgoing:
    """Return the notice that says what is wrong where, and how the corrected mail is sent with one click.

    `reports`: for machines, too.
    """
    who, domain = facts.addressee, facts.addressee.domain
    subject = wire.clean_header(threading.bare_subject(facts.origin.subject)) if facts.origin else ""
    known = {"domain": domain, "mailbox": facts.template_address.partition("@")[0]}
    told = [caret.tell(problem, facts.source, known, who.language, render) for problem in facts.problems]
    placed = [one for one in told if one.line]
    shown = caret.excerpts(facts.source, placed)
    corrected = wire.clean_text(facts.corrected).strip("\n")
    # One click must not send an example to a stranger: only what was written, put right.
    link = "" if facts.is_example else _mailto(facts.template_address, subject, corrected)
    values = {
        "subject": subject,
        **{name: getattr(facts, name) for name in _AS_THEY_ARE},
        "device": wire.clean_header(facts.device),
        "placed": placed,
        "unplaced": [one.sentence for one in told if not one.line],
        "excerpts": shown,
        "rows": caret.printed(shown),
        "more": facts.problems[-1].facts.get("more", ""),
        "corrected": corrected,
        "is_certain": not facts.is_example,
        "link": link,
        "text": wire.clean_text(facts.text),
        "domain": domain,
        "reasons": list(dict.fromkeys(problem.reason for problem in facts.problems)),
    }
    message_id = f"<refused.{facts.id}@{domain}>"
    headers = [
        *notice_headers(
            who, facts.template_address, render.in_language("refused.subject", who.language, **values)
        ),
        ("Date", date(facts.at, who.zone)),
        ("Message-ID", message_id),
        *_answering(facts.origin),
        ("Auto-Submitted", "auto-replied"),
        *quiet("SMS notices <notices", domain),
        ("X-Mail2SMS-Message", facts.id),
        ("X-Mail2SMS-Reason", facts.problems[0].reason),
    ]
    machines = parts(domain, *reports)
    content = written(headers, {"Subject": "SMS"}, "refused", render, who.language, values, report=machines)
    return Outgoing(to=who.to, envelope_from="", message_id=message_id, content=content)


def held_email(facts: HeldFacts, render: Render, template: str = "held", **more_values: object) -> Outgoing:
    """Return the notice that says why a message waits, until when, and how it is stopped; or another about it."""
    who, domain = facts.addressee, facts.addressee.domain
    known = {"country": numbers.region(facts.msisdn), "domain": domain}
    until, expires = facts.until, facts.expires_at if facts.until is None else None
    values = {
        "number": shown_number(facts.msisdn),
        "who": shown_phone(facts.msisdn, facts.name),
        "cause": render.reason_text(facts.reason, who.language, known),
        "others": facts.others,
        "until": when(until, who.zone, who.language, facts.at) if until else "",
        "expires": when(expires, who.zone, who.language, facts.at) if expires else "",
        "accepted": when(facts.accepted_at, who.zone, who.language, facts.at),
        "text": wire.clean_text(facts.text),
        "id": facts.id,
        "reason": facts.reason,
        **more_values,
    }
    message_id = f"<{template}.{facts.notice}@{domain}>"
    headers = [
        *notice_headers(
            who, facts.template_address, render.in_language(f"{template}.subject", who.language, **values)
        ),
        ("Date", date(facts.at, who.zone)),
        ("Message-ID", message_id),
        *about_message(facts.id, facts.conversation, facts.reason, domain, facts.origin),
    ]
    content = written(headers, {"Subject": "SMS"}, template, render, who.language, values)
    return Outgoing(to=who.to, envelope_from="", message_id=message_id, content=content)


def written(
    headers: wire.Headers,
    safe: Mapping[str, str],
    template: str,
    render: Render,
    language: str,
    values: Mapping[str, object],
    photos: tuple[Photo, ...] = (),
    report: Sequence[bytes] = (),
) -> bytes:
    """Return the mail that a template makes in both its forms; see `wire.write`."""
    text = render.in_language(f"{template}.txt", language, **values)
    html = render.in_language(f"{template}.html", language, **values)
    return wire.write(headers, safe, f"{text.rstrip()}\n", html, photos, report)


def notice_headers(who: Addressee, sender: str, subject: str) -> wire.Headers:
    """Return from whom a notice is, to whom, and its subject."""
    return [
        ("From", wire.mailbox("From", f"SMS ({who.domain})", sender)),
        ("To", wire.mailbox("To", "", who.to)),
        ("Subject", wire.unstructured("Subject", subject)),
    ]


def about_message(
    id_: str, conversation: str, reason: str, domain: str, origin: Origin | None
) -> wire.Headers:
    """What every notice about one message has: its thread, nobody's answer, and the names of things for support."""
    return [
        *_thread(conversation, domain, origin),
        ("Auto-Submitted", "auto-replied"),
        *quiet("SMS notices <notices", domain),
        ("X-Mail2SMS-Message", id_),
        ("X-Mail2SMS-Conversation", conversation),
        ("X-Mail2SMS-Reason", reason),
    ]


def reply_to(address: str) -> wire.Headers:
    """Return where an answer goes; nothing where nobody can be answered."""
    return [("Reply-To", wire.mailbox("Reply-To", "", address))] if address else []


def quiet(list_id: str, domain: str) -> wire.Headers:
    """No responder answers, and one filter rule finds all. Not `All`: Exchange would then not tell us of bounces.

    Where such a mail comes to a bridge again, ours or another, it goes no further.
    """
    return [
        ("X-Auto-Response-Suppress", "OOF, AutoReply, RN, NRN"),
        ("List-Id", f"{list_id}.{domain}>"),
        ("X-Mail2SMS-Loop", domain),
    ]


def _thread(conversation: str, domain: str, origin: Origin | None) -> wire.Headers:
    root = threading.conversation_message_id(conversation, domain)
    parent = threading.message_id(origin.message_id) if origin else ""
    ids = threading.references(root, origin.references if origin else (), parent)
    return [("In-Reply-To", parent or root), ("References", ids.replace(" ", "\r\n "))]


def _answering(origin: Origin | None) -> wire.Headers:
    parent = threading.message_id(origin.message_id) if origin else ""
    return [("In-Reply-To", parent), ("References", parent)] if parent else []


def _thread_index(facts: ReplyFacts) -> str:
    theirs = facts.origin.thread_index if facts.origin else None
    index = threading.extend(theirs, facts.received_at) if theirs else ""
    return index or threading.thread_index(facts.conversation, facts.started_at, facts.replies)


def _phone_address(msisdn: str, domain: str) -> str:
    """The phone's address here; a fixed word for a name, which nobody can write to."""
    digits = msisdn.removeprefix("+")
    return f"{digits if digits.isascii() and digits.isdigit() else 'no-reply'}@{domain}"


def shown_number(msisdn: Msisdn) -> str:
    """The number in groups; a name or a short code as it came."""
    return numbers.display(msisdn) if msisdn.startswith("+") else wire.clean_header(msisdn)


def shown_phone(msisdn: Msisdn, name: str) -> str:
    """Return the number with the name of its owner, where that is known."""
    return f"{shown_number(msisdn)} ({wire.clean_header(name)})" if name else shown_number(msisdn)


def date(at: int, zone: str) -> str:
    """Return a moment as RFC 5322 writes it, by the reader's clock."""
    return format_datetime(datetime.fromtimestamp(at / 1000, ZoneInfo(zone)))


def _mailto(address: str, subject: str, corrected: str) -> str:
    """Return the link that opens the corrected mail (RFC 6068); none when a mail program would cut it."""
    if not corrected:
        return ""
    header, _, rest = corrected.partition("\n")
    if header.startswith(_SUBJECT):  # by a template that has its recipients in that header
        subject, corrected = header.removeprefix(_SUBJECT), rest.strip("\n")
    body = corrected.replace("\n", "\r\n")
    link = f"mailto:{quote(address, safe='@')}?subject={quote(subject or 'SMS', safe='')}&body={quote(body, safe='')}"
    return link if len(link) <= _MAILTO_LIMIT else ""
