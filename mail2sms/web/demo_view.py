"""What the demo page shows, as values for its template: the steps of each email, the phone's texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from mail2sms import numbers, segments
from mail2sms.model import LeftOut, MessageClass, Msisdn, User
from mail2sms.store import EventView, MessageView, MoView
from mail2sms.web.demo_mail import bare
from mail2sms.web.demo_text import pieces
from mail2sms.web.inbox import DemoMail, is_picture
from mail2sms.web.sent import SentMail, became

_BUBBLES = 100  # texts on the phone, the newest
_CARDS = 20  # the newest
_CODINGS = {"gsm7": "GSM-7", "ucs2": "Unicode"}
_SIZES = {"gsm7": (160, 153), "ucs2": (70, 67)}  # 3GPP TS 23.040: alone, and each of several

_CAUSES = {
    "carrier.unknown_number": "the number does not exist",
    "carrier.undeliverable": "the phone cannot be reached",
    "carrier.rejected": "the carrier rejected it",
    "carrier.expired": "it did not get through in time",
}
_LEFT = {
    "signature": (
        "signature",
        "A mail program writes a signature below the line “-- ”. It would cost an SMS each time.",
    ),
    "quote": (
        "the email that is answered",
        "The phone’s owner wrote or has seen it; only what is new is sent.",
    ),
    "disclaimer": (
        "disclaimer",
        "The company’s mail server adds it to every email; it is not part of the message.",
    ),
    "after_marker": ("everything below ##", "The strict template ends at the line “##”."),
    "attachment": ("attachment", "An SMS carries text alone."),
}
_MEDIA = {
    "mms": (
        "Goes as MMS, with its pictures",
        "They were drawn anew, small enough for the carriers and without what cameras write into them (EXIF).",
    ),
    "link": (
        "The text has a link to the pictures",
        "MMS reaches phones in the US and Canada alone (mms: link). The link is signed, and good for two weeks.",
    ),
}
_TEMPLATES = {
    "strict": "The address is the template mailbox, so the first lines say to whom, from whom and when.",
    "simple": "The address is the number, so the whole text is the message.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a message's life. `gone` is struck through, `why` explains, `mail` is an email to open."""

    id: str
    mark: str
    text: str
    kind: str = ""
    small: str = ""
    gone: str = ""
    why: str = ""
    mail: int | None = None


_ANSWERS = Step(
    id="",
    mark="↓",
    text="Written by mail2sms itself",
    why="A phone that sends such a word gets one SMS that says what it changed; nobody’s email asked for it.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What became of one email (or API call)."""

    id: str
    at: int
    title: str
    steps: tuple[Step, ...]

    @property
    def end(self) -> Step:
        """The step that says how it ended, so far."""
        telling = [step for step in self.steps if step.kind and step.mark != "←"]
        return (telling or self.steps)[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bubble:
    """One text on the phone, from or to `ours`: `kind` is got or typed; `photos` are where its pictures are."""

    id: str
    at: int
    kind: str
    text: str
    ours: str
    parts: int = 1
    photos: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """Everything known: messages newest first, mails and what phones said oldest first."""

    messages: Sequence[MessageView]
    mails: Sequence[DemoMail]
    sent: Sequence[SentMail]
    said: Sequence[tuple[int, MoView]]
    users: Mapping[str, User] = field(default_factory=dict)
    template_mailbox: str = "sms"


def cards(all_: Happened) -> list[Card]:
    """Return what became of every email, newest first."""
    by_submission: dict[str, list[MessageView]] = {}
    for view in all_.messages:
        by_submission.setdefault(view.submission, []).insert(0, view)
    found = [_accepted(views, all_) for views in by_submission.values()]
    notices = {mail.about: mail for mail in all_.mails if mail.kind == "refused"}
    refused = [mail for mail in all_.sent if mail.is_refused]
    found += [_refused(mail, notices.get(mail.id)) for mail in refused]
    known = {mail.id for mail in refused} | {one.message_id for one in all_.sent}
    known |= {view.message_id or "" for view in all_.messages}
    known.discard("")
    others = [one for about, one in notices.items() if not {about, one.in_reply_to} & known]
    found += [_refused(None, notice) for notice in others]
    return sorted(found, key=lambda card: card.at, reverse=True)[:_CARDS]


def _accepted(views: Sequence[MessageView], all_: Happened) -> Card:
    first = views[0]
    sent = became(all_.sent, {view.id for view in views}, first.message_id)
    is_mail = first.message_id is not None and "@" in first.writer
    title = f"“{first.subject}”" if first.subject else "An email" if is_mail else "An API call"
    received = list(_received(first.writer or "nobody", sent))
    if first.class_ == MessageClass.CONSENT:
        title, received = "Our answer to a word for STOP, START or HELP", [_ANSWERS]
    steps = [*received, *_read(first, sent, all_), _size(first)]
    senders = {view.sender_id: view for view in reversed(views)}
    steps += [_sender(view, all_.users) for view in senders.values()]
    for view in views:
        steps += [*_media(view), _route(view), *_cost(view), *_events(view)]
        steps += _told(view, all_.mails)
    steps += _partly(first, all_.mails)
    steps += _answered(views, all_)
    return Card(
        id=_key(first.submission), at=first.created_at, title=title, steps=_numbered(first.submission, steps)
    )


def _received(who: str, sent: SentMail | None) -> Iterator[Step]:
    if sent is None:
        yield Step(id="", mark="↓", text=f"Received from {who}")
        return
    if not sent.size_bytes:  # refused by its address alone
        yield Step(id="", mark="↓", text=f"Somebody wants to write to {sent.to}")
        return
    size = f"{sent.size_bytes} bytes by SMTP, from this machine: the proof that {who} may send. "
    said = f"Answered {sent.code} {sent.reply}, after it was on disk."
    small = size + said if sent.code < 300 else ""
    yield Step(id="", mark="↓", text=f"Received from {who}", small=small)


def _read(view: MessageView, sent: SentMail | None, all_: Happened) -> Iterator[Step]:
    if sent is None:
        yield from (_left(left, []) for left in view.left_out)
        return
    boxes = {rcpt.rpartition("@")[0].lower() for rcpt in sent.rcpts}
    name = "strict" if all_.template_mailbox in boxes else "simple"
    yield Step(id="", mark="≡", text=f"Template {name}", why=_TEMPLATES[name])
    for left, gone in pieces(sent.text, view.text, view.left_out, has_fields=name == "strict"):
        yield _left(left, gone)


def _left(left: LeftOut, gone: Sequence[str]) -> Step:
    what, why = _LEFT.get(left.kind, (left.kind, "It is not part of the message."))
    count = len(gone) or left.lines
    lines = f" ({count} line{'s' * (count != 1)})" if count else ""
    return Step(id="", mark="✂", text=f"Left out: {what}{lines}", gone="\n".join(gone), why=why)


def _size(view: MessageView) -> Step:
    alone, joined = _SIZES.get(view.encoding, (0, 0))
    coding = _CODINGS.get(view.encoding, view.encoding)
    size = f"{len(view.text)} characters, {coding}, {view.parts} part{'s' * (view.parts != 1)}"
    foreign = segments.not_gsm(view.text)
    because = ""
    if foreign:
        more = f" and {len(foreign) - 3} more" * (len(foreign) > 3)
        are = "are" if len(foreign) > 1 else "is"
        because = (
            f"{' '.join(foreign[:3])}{more} {are} not in the SMS alphabet, so all of it travels as Unicode. "
        )
    held = f"One part holds {alone} characters, each of several {joined}."
    return Step(
        id="",
        mark="#",
        text=size,
        small=because.strip(),
        why=held if because else f"GSM-7 is the alphabet of SMS. {held}",
    )


def _media(view: MessageView) -> Iterator[Step]:
    if view.media:
        yield Step(id="", mark="▣", text=_MEDIA[view.media][0], why=_MEDIA[view.media][1])


def _sender(view: MessageView, users: Mapping[str, User]) -> Step:
    user = users.get(view.writer.lower())
    if user is not None and user.number == view.sender_id:
        why = f"It is {user.name or user.address}’s own number (users), so answers find the way back."
    elif not view.sender_id.startswith("+"):
        why = "It is a name: phones cannot answer it."
    else:
        why = "It is the number for everybody who has no own one (sender_ids: default)."
    return Step(id="", mark="@", text=f"The phone shows {number(view.sender_id)}", why=why)


def _route(view: MessageView) -> Step:
    carriers = ", else ".join(view.route)
    to = numbers.region(Msisdn(view.to))
    text = f"Route for {number(view.to)}: {to} → {carriers}"
    return Step(
        id="",
        mark="→",
        text=text,
        why="The first route that fits names the carriers in order; the next one helps when one is down.",
    )


def _cost(view: MessageView) -> Iterator[Step]:
    if view.cost:
        yield Step(
            id="",
            mark="¤",
            text=f"Cost {view.cost} (simulated)",
            why="The carrier’s price for the country (carriers: price), times the parts. It is that of whoever takes "
            "the message; what no carrier takes costs nothing.",
        )


def _events(view: MessageView) -> Iterator[Step]:
    for event in view.events[1:]:
        found = _event(view, event)
        if found is not None:
            yield found
    if view.status == "enroute":
        yield Step(id="", mark="…", text="Waits for the carrier’s report")


def _event(view: MessageView, event: EventView) -> Step | None:
    cause = _CAUSES.get(event.reason, event.detail or event.reason)
    after = span(event.at - view.created_at)
    retry = f"Not taken ({event.detail or 'busy'}): tried again, now by {event.carrier}"
    table = {
        "enroute": ("→", "", f"{event.carrier} took it after {after}"),
        "delivered": ("✓", "good", f"Delivered after {after}"),
        "undeliverable": ("!", "bad", f"Not delivered: {cause}"),
        "rejected": ("!", "bad", f"Not sent: {cause}"),
        "expired": ("!", "bad", f"Given up: {cause}"),
        "cancelled": ("×", "", "Cancelled"),
        "unknown": (
            "?",
            "bad",
            "The carrier’s answer was lost. It may have arrived, so it is not sent again.",
        ),
        "queued": ("…", "", retry if event.reason == "retry" else "Waits"),
    }
    if event.status not in table:
        return None
    mark, kind, text = table[event.status]
    return Step(id="", mark=mark, kind=kind, text=text)


def _told(view: MessageView, mails: Iterable[DemoMail]) -> Iterator[Step]:
    for mail in mails:
        if mail.kind == "undelivered" and mail.about == view.id:
            yield Step(id="", mark="✉", text=f"Told {bare(mail.to)} by email", mail=mail.n)


def _partly(first: MessageView, mails: Iterable[DemoMail]) -> Iterator[Step]:
    """Yield that some recipients get nothing."""
    for mail in mails:
        if mail.kind == "refused" and first.message_id and mail.in_reply_to == first.message_id:
            yield Step(
                id="", mark="✉", kind="bad", text="Not sent to everyone: an email says why", mail=mail.n
            )


def _answered(views: Sequence[MessageView], all_: Happened) -> Iterator[Step]:
    """Yield what the phone said between this text and the next one of the conversation."""
    ours = {view.id for view in views}
    for n, mo in all_.said:
        written = (v for v in all_.messages if v.writer)  # not what we answer to STOP ourselves
        before = [v for v in written if v.conversation == mo.conversation and v.created_at <= mo.at]
        if not before or before[0].id not in ours:
            continue
        photo = " and a photo" if mo.photos else ""
        yield Step(
            id="", mark="←", kind="good", text=f"Reply from {number(mo.msisdn)}", small=f"“{mo.text}”{photo}"
        )
        if mo.text.strip().upper() == "STOP":
            yield Step(
                id="",
                mark="i",
                text="This phone is written to no more",
                why="It is on the list of opt-outs and gets one SMS that says so. Until it sends START, mails to it "
                "are refused.",
            )
        mail = next((mail for mail in all_.mails if mail.n == n), None)
        if mail is not None:
            yield Step(id="", mark="✉", text=f"Sent to {bare(mail.to)} by email", mail=n)


def _refused(mail: SentMail | None, notice: DemoMail | None) -> Card:
    """Return the card of an email that became nothing; of one that is long ago only the notice is known."""
    steps = list(_received(mail.sender, mail)) if mail is not None else []
    if mail is not None and mail.code >= 400:
        steps.append(
            Step(id="", mark="!", kind="bad", text="Refused at once", small=f"{mail.code} {mail.reply}")
        )
    else:
        steps.append(Step(id="", mark="!", kind="bad", text="No SMS sent: something in the email is wrong"))
    if notice is not None:
        steps.append(
            Step(id="", mark="✉", text="An email says what, where, and how to put it right", mail=notice.n)
        )
    key = f"{mail.at} {mail.message_id or mail.to}" if mail is not None else f"n-{notice.n if notice else 0}"
    title = mail.subject if mail is not None else notice.subject if notice else ""
    at = mail.at if mail is not None else notice.at if notice else 0
    return Card(id=_key(key), at=at, title=f"“{title}”" if title else "An email", steps=_numbered(key, steps))


def _numbered(key: str, steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(replace(step, id=f"{_key(key)}-{n}") for n, step in enumerate(steps))


def _key(text: str) -> str:
    """Return an id for the page."""
    return "s-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in text)


def bubbles(
    shown: Iterable[Mapping[str, Any]],
    said: Iterable[tuple[int, MoView]],
    phone: str,
    *,
    shows_photos: bool = True,
) -> list[Bubble]:
    """Return what one phone shows, oldest first; the newest of very many."""
    found = [
        Bubble(
            id=_key(f"{one['id']}-{one['at']}"),
            at=one["at"],
            kind="got",
            text=one["text"],
            ours=one["from"],
            parts=one["parts"],
            photos=tuple(urlsplit(url).path for url in one.get("media", ())) if shows_photos else (),
        )
        for one in shown
    ]
    for n, mo in said:
        if mo.msisdn == phone:
            photos = [i for i, photo in enumerate(mo.photos) if shows_photos and is_picture(photo)]
            urls = tuple(f"/demo/inbox/{n}/photos/{index}" for index in photos)
            ours = mo.our_address
            found.append(Bubble(id=_key(mo.id), at=mo.at, kind="typed", text=mo.text, ours=ours, photos=urls))
    return sorted(found, key=lambda bubble: bubble.at)[-_BUBBLES:]


def number(text: str) -> str:
    """Return a number in groups; a name or short code as it is."""
    return numbers.display(Msisdn(text)) if text.startswith("+") and text[1:].isdigit() else text


def span(ms: int) -> str:
    """Return a short length of time: `80 ms`, `1.1 s`."""
    return f"{max(0, ms)} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def clock(at: int, now: int) -> str:
    """Return the time of this place; with its day when that is another."""
    moment, today = (datetime.fromtimestamp(ms / 1000).astimezone() for ms in (at, now))
    if moment.date() == today.date():
        return f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b %H:%M}"
