"""The demo page: a mailbox, a phone, and what happens between them. Everything it does goes through the real doors.

An email is handed to the SMTP listener like anybody's; what is shown of messages is what the store says. Each view is
an address and each action a form, so that it works without a script; the script only asks for the page again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from pydantic import ValidationError

from mail2sms.clock import now_ms
from mail2sms.model import Msisdn
from mail2sms.store import MoView, Search
from mail2sms.store.mo_views import read_mo
from mail2sms.store.views import find, read_one
from mail2sms.web import bodies, demo_mail, demo_shown, demo_view, feed, help, sim
from mail2sms.web.auth import from_here
from mail2sms.web.context import Context, Here
from mail2sms.web.demo_mail import Draft
from mail2sms.web.demo_screen import screen
from mail2sms.web.demo_text import blocks
from mail2sms.web.demo_tries import TRIES
from mail2sms.web.inbox import DemoInbox, DemoMail, is_picture
from mail2sms.web.problems import HttpProblem
from mail2sms.web.sent import SentMail

__all__ = ["DemoInbox", "router"]

PHONE = Msisdn("+33639981234")
TYPED = 1000  # characters that a phone takes
_SHOWN = 20  # messages and replies on the page
_FORM = "application/x-www-form-urlencoded"
_FIELDS = 20
HEADERS = {
    "referrer-policy": "same-origin"
}  # without a referrer, a browser's form says it comes from nowhere
_ALONE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""The policy of a picture in a tab of its own: browsers put it into a page with styles of theirs."""

router = APIRouter(dependencies=[Depends(from_here)], include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where in the page somebody is: its address says so. `mail` is an open email (0 none, None the newest).

    `with_` is with whom the phone's open conversation is (empty: the latest one).
    """

    phone: str = PHONE
    mail: int | None = None
    try_: str = ""
    sent: str = ""
    with_: str = ""
    correct: int | None = None

    def url(self, part: str = "", **changes: Any) -> str:
        """Return the address of the page with changes; `part` is the column to look at."""
        given = {"phone": self.phone, "mail": self.mail, "try": self.try_, "sent": self.sent}
        given |= {"with": self.with_, **changes}
        kept = {name: value for name, value in given.items() if value not in ("", None, PHONE)}
        return "/demo" + (f"?{urlencode(kept)}" if kept else "") + (f"#{part}" if part else "")


async def _place(
    context: Here,
    phone: Annotated[str, Query(max_length=64)] = PHONE,
    mail: Annotated[int | None, Query(ge=0, lt=10**9)] = None,
    try_: Annotated[str, Query(alias="try", max_length=40)] = "",
    sent: Annotated[str, Query(max_length=200)] = "",
    with_: Annotated[str, Query(alias="with", max_length=64)] = "",
    correct: Annotated[int | None, Query(ge=0, lt=10**9)] = None,
) -> Place:
    msisdn = sim.phone(phone, context)
    return Place(phone=msisdn, mail=mail, try_=try_, sent=sent, with_=with_, correct=correct)


AtPlace = Annotated[Place, Depends(_place)]


@router.get("/")
async def front() -> Response:
    """The demo has one page."""
    return RedirectResponse("/demo")


@router.get("/demo")
async def page(
    context: Here, place: AtPlace, accept_language: Annotated[str, Header(max_length=500)] = ""
) -> HTMLResponse:
    """Return the page."""
    kept = _inbox(context)
    happened = await _happened(context)
    mails = list(kept)[-_SHOWN:][::-1]
    is_any = place.mail is None and bool(mails)
    opened = mails[0] if is_any else kept.get(place.mail or 0)
    if opened is not None:
        kept.seen.add(opened.n)
    shown = await asyncio.to_thread(sim.carrier(context).phones.shown, Msisdn(place.phone))
    phones = [PHONE, place.phone, *(view.to for view in happened.messages)]
    html = context.render.render(
        "portal/demo.html",
        place=place,
        program=kept.program,
        language=(language := help.choose("", accept_language, context.language)),
        help_title=help.TITLES[language],
        tries=TRIES,
        draft=_draft(place, context),
        sent=_sent(place, kept),
        cards=demo_view.cards(happened),
        mails=mails,
        seen=kept.seen,
        opened=opened,
        words=blocks(opened.text) if opened else [],
        is_picture=is_picture,
        phones=list(dict.fromkeys(phones)),
        screen=screen(demo_view.bubbles(shown, happened.said, place.phone), place.with_),
        thread=lambda other: place.url("phone", **{"with": other}),
        number=demo_view.number,
        clock=lambda at: demo_view.clock(at, now_ms()),
    )
    return HTMLResponse(html, headers=HEADERS)


@router.post("/demo/send")
async def send(request: Request, context: Here) -> Response:
    """Hand an email to the SMTP listener: from the form, or as JSON, which is told what it said."""
    is_form = request.headers.get("content-type", "").startswith(_FORM)
    given = await fields(request) if is_form else await request.body()
    at = {name: given.pop(name, "") for name in ("phone", "try")} if isinstance(given, dict) else {}
    try:
        draft = Draft.model_validate(given) if isinstance(given, dict) else Draft.model_validate_json(given)
    except ValidationError as e:
        raise RequestValidationError(e.errors()) from None
    mail = await _send(draft, context)
    if not is_form:
        said = {"code": mail.code, "reply": mail.reply, "message_id": mail.message_id}
        return JSONResponse({**said, "raw": mail.raw.decode()})
    return await _sent_page(mail, at, context)


@router.post("/demo/reply/{n}")
async def reply(n: int, request: Request, context: Here) -> Response:
    """Answer an email of the inbox by an email."""
    given = await fields(request)
    mail = _mail(n, context)
    written = demo_view.clock(mail.at, 0)
    user = context.users.get(demo_mail.bare(mail.to).lower())
    answer = demo_mail.answer(mail, given.get("text", ""), written, user.name if user else "")
    return await _sent_page(await _send(answer, context), given, context)


@router.post("/demo/phone")
async def write_back(request: Request, context: Here) -> Response:
    """Let the phone write to the number it has a text from."""
    given = await fields(request)
    phone = sim.phone(given.get("phone") or PHONE, context)
    text = given.get("text", "").strip()
    if text:
        typed = sim.Typed(text=text[:TYPED], to=given.get("to", "")[:64])
        await sim.write_back(phone, typed, context)
    return RedirectResponse(Place(phone=phone).url("phone"), 303, HEADERS)


@router.get("/demo/events")
async def events(request: Request, last_event_id: Annotated[str, Header()] = "") -> Response:
    """Stream what happens, as server-sent events; `Last-Event-ID` brings what was missed."""
    return streamed(request, last_event_id)


@router.get("/demo/inbox")
async def inbox(context: Here) -> JSONResponse:
    """Return the emails that would have left, newest last."""
    return JSONResponse([demo_shown.mail(mail) for mail in _inbox(context)])


@router.get("/demo/inbox/{n}")
async def raw_mail(n: int, context: Here) -> Response:
    """Return an email as it would have left (message/rfc822, as text that a browser shows)."""
    return Response(_mail(n, context).raw, headers={"content-type": "text/plain; charset=utf-8"})


@router.get("/demo/inbox/{n}/photos/{index}")
async def photo(n: int, index: int, context: Here) -> Response:
    """Return a picture of an email."""
    photos = _mail(n, context).photos
    if not 0 <= index < len(photos) or not is_picture(photos[index]):
        raise HttpProblem(404)
    policy = {"content-security-policy": _ALONE}
    return Response(photos[index].content, media_type=photos[index].media_type, headers=policy)


@router.get("/demo/state")
async def state(context: Here, since: str | None = None, phone: str | None = None) -> JSONResponse:
    """Return everything the page shows, in one answer for programs."""
    happened = await _happened(context, bodies.read_since(since) if since is not None else None)
    msisdn = sim.phone(phone, context) if phone else None
    content = {
        "messages": [demo_shown.message(view, happened.sent) for view in happened.messages],
        "sent": [demo_shown.sent(mail) for mail in happened.sent][-_SHOWN:],
        "inbox": [demo_shown.mail(mail) for mail in happened.mails][-_SHOWN:],
        "said": [demo_shown.mo(mo, n) for n, mo in happened.said],
        "phone": await asyncio.to_thread(sim.carrier(context).phones.shown, msisdn) if msisdn else [],
    }
    return JSONResponse(content)


async def _happened(context: Context, since: int | None = None) -> demo_view.Happened:
    store, account = context.store, context.account
    found = await store.read(find, account, Search(since=since, limit=_SHOWN))
    views = await asyncio.gather(*(store.read(read_one, account, view.id) for view in found))
    kept = _inbox(context)
    return demo_view.Happened(
        messages=[view for view in views if view is not None],
        mails=tuple(kept),
        sent=tuple(kept.sent),
        said=await said(context),
        users=context.users,
        template_mailbox=context.template_mailbox,
    )


def streamed(request: Request, last_event_id: str) -> Response:
    """Return the application's feed as an answer. Raises HttpProblem."""
    live: feed.Feed = request.app.state.feed
    if live.is_full:
        raise HttpProblem(429, "too many pages are open; close one")
    return StreamingResponse(live.stream(last_event_id), headers=feed.HEADERS)


async def said(context: Context) -> list[tuple[int, MoView]]:
    """Return what phones wrote, with the number of the email that brought it."""
    kept = _inbox(context)
    replies = [mail for mail in kept if mail.kind == "reply"][-_SHOWN:]
    for mail in replies:
        if mail.about not in kept.said:
            mo = await context.store.read(read_mo, mail.about, mail.to)
            if mo is not None:
                kept.said[mail.about] = mo
    return [(mail.n, kept.said[mail.about]) for mail in replies if mail.about in kept.said]


def _inbox(context: Context) -> DemoInbox:
    assert context.demo_inbox is not None
    return context.demo_inbox


def _mail(n: int, context: Context) -> DemoMail:
    mail = _inbox(context).get(n)
    if mail is None:
        raise HttpProblem(404, "there is no such email")
    return mail


def _draft(place: Place, context: Context) -> dict[str, str]:
    """Return what stands in the form: the corrected mail, what was just sent, what is tried, or the first one."""
    kept = _inbox(context)
    mail = kept.get(place.correct) if place.correct else None
    if mail is not None and mail.corrected is not None:
        one = mail.corrected
        corrected = {"to": one.to, "subject": one.subject, "text": one.text, "photo": ""}
        return {"from": demo_mail.bare(mail.to), **corrected}
    sent = _sent(place, kept)
    if sent is not None and not sent.is_reply:
        photo = "yes" * (b"\r\nContent-Type: image/" in sent.raw)
        return {
            "from": sent.sender,
            "to": sent.to,
            "subject": sent.subject,
            "text": sent.text,
            "photo": photo,
        }
    wanted = next((each for each in TRIES if each.name == place.try_), TRIES[0])
    values = {"from": f"{wanted.sender}@{context.domain}", "to": f"{wanted.to}@{context.domain}"}
    return {**values, "subject": wanted.subject, "text": wanted.text, "photo": "yes" * wanted.photo}


def _sent(place: Place, kept: DemoInbox) -> SentMail | None:
    return next((mail for mail in kept.sent if mail.message_id == f"<{place.sent}>"), None)


async def _send(draft: Draft, context: Context) -> SentMail:
    if context.demo_smtp is None:
        raise HttpProblem(404, "there is no SMTP listener")
    mail = await demo_mail.send(draft, context.demo_smtp, context.domain)
    _inbox(context).sent.add(mail)
    return mail


async def _sent_page(mail: SentMail, at: Mapping[str, str], context: Context) -> Response:
    """Show the page with what was said to the email, and the phone it went to."""
    found = await context.store.read(find, context.account, Search(limit=_SHOWN))
    to = next((view.to for view in reversed(found) if view.message_id == mail.message_id), None)
    shown = to or sim.phone(at.get("phone") or PHONE, context)
    url = Place(phone=shown, sent=mail.message_id.strip("<>"), try_=at.get("try", "")).url("did")
    return RedirectResponse(url, 303, HEADERS)


async def fields(request: Request) -> dict[str, str]:
    """Return a form's fields. Raises HttpProblem."""
    try:
        text = (await request.body()).decode()
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError:  # UnicodeDecodeError is one
        raise HttpProblem(400, "the form cannot be read") from None
    return {name: values[0].replace("\r\n", "\n") for name, values in fields.items()}
