"""A real phone as the simulated one: an application of its own for the address in the local network.

It has one page, the phone's. Mailbox, API, simulator and portal are not part of it, so they can't be reached there. A
key, shown once as a QR code, is good for one browser: it becomes a cookie.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from mail2sms.clock import now_ms
from mail2sms.endpoint import Endpoint
from mail2sms.web import demo, demo_view, feed, metrics, problems, sim
from mail2sms.web.context import Context, Here
from mail2sms.web.demo_screen import screen
from mail2sms.web.gate import Gate
from mail2sms.web.problems import HttpProblem

_PAGE, _EVENTS = "/demo/phone", "/demo/phone/events"
_COOKIE = "mail2sms_phone"

router = APIRouter(include_in_schema=False)


class Pairing:
    """Which browser is the phone: the first that brings the key. `page` is the address to show as a QR code."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._host = str(endpoint)
        self._key = secrets.token_urlsafe(24)
        self._cookie = ""
        self.page = f"http://{endpoint}{_PAGE}?key={self._key}"

    def pair(self, key: str) -> str:
        """Return the cookie for who brings the key first. Raises HttpProblem."""
        if not self._key or not hmac.compare_digest(key.encode(), self._key.encode()):
            raise HttpProblem(403, "this key was used before; start the demo again for a new one")
        self._key, self._cookie = "", secrets.token_urlsafe(24)
        return self._cookie

    async def admit(self, request: Request) -> None:
        """Let in the paired browser, and whoever brings a key to the page. Raises HttpProblem."""
        headers = request.headers
        if headers.get("host") != self._host:  # DNS rebinding
            raise HttpProblem(403, "this is the phone of mail2sms demo, under its address alone")
        if headers.get("origin", f"http://{self._host}") != f"http://{self._host}":
            raise HttpProblem(403, "another page may not write in the phone's name")
        path = request.scope["path"]
        is_pairing = path == _PAGE and request.method == "GET" and "key" in request.query_params
        if is_pairing or path.startswith("/static/"):
            return
        given = request.cookies.get(_COOKIE, "")
        if not self._cookie or not hmac.compare_digest(given.encode(), self._cookie.encode()):
            raise HttpProblem(403, "scan the QR code that mail2sms demo --lan shows")


def build(context: Context, pairing: Pairing) -> FastAPI:
    """Return the application for the local network."""
    assert context.demo_inbox is not None
    app = FastAPI(title="mail2sms demo phone", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.context = context
    app.state.pairing = pairing
    app.state.feed = feed.Feed(context.store, context.account, context.demo_inbox)
    app.state.endings = (app.state.feed.close,)
    app.add_middleware(Gate, metrics=metrics.Metrics(), admit=pairing.admit)
    problems.install(app)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    return app


@router.get(_PAGE)
async def phone_page(
    request: Request,
    context: Here,
    key: Annotated[str | None, Query(max_length=100)] = None,
    with_: Annotated[str, Query(alias="with", max_length=64)] = "",
) -> Response:
    """Return the phone; with the key, first make this browser the phone."""
    if key is not None:
        answer = RedirectResponse(_PAGE, 303)
        cookie = request.app.state.pairing.pair(key)
        answer.set_cookie(_COOKIE, cookie, httponly=True, samesite="lax", path=_PAGE)
        return answer
    shown = await asyncio.to_thread(sim.carrier(context).phones.shown, demo.PHONE)
    said = [(n, mo) for n, mo in await demo.said(context) if mo.msisdn == demo.PHONE]
    html = context.render.render(
        "portal/demo_phone.html",
        action=_PAGE,
        events=_EVENTS,
        phone=demo.PHONE,
        screen=screen(demo_view.bubbles(shown, said, demo.PHONE, shows_photos=False), with_),
        thread=lambda other: f"{_PAGE}?{urlencode({'with': other})}",
        nobody=False,
        number=demo_view.number,
        clock=lambda at: demo_view.clock(at, now_ms()),
    )
    return HTMLResponse(html, headers=demo.HEADERS)


@router.post(_PAGE)
async def phone_writes(request: Request, context: Here) -> Response:
    """Let the phone write back; it is this one phone, whatever the form says."""
    given: Mapping[str, str] = await demo.fields(request)
    text = given.get("text", "").strip()
    if text:
        typed = sim.Typed(text=text[: demo.TYPED], to=given.get("to", "")[:64])
        await sim.write_back(demo.PHONE, typed, context)
    return RedirectResponse(_PAGE, 303, demo.HEADERS)


@router.get(_EVENTS)
async def phone_events(request: Request, last_event_id: Annotated[str, Header()] = "") -> Response:
    """Stream what happens."""
    return demo.streamed(request, last_event_id)
