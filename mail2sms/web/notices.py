"""Notices over the API: what people are told beside their messages, to whom, and whether it went. Never the words.

The id of a refusal is what SMTP said: `250 2.0.0 n-... not sent, an email says why`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from mail2sms.addresses import canonical
from mail2sms.errors import Problem
from mail2sms.model import NoticeKind
from mail2sms.reasons import sentence
from mail2sms.store.notice_views import NoticeSearch, NoticeView, find_notices, read_notice
from mail2sms.store.views import events_of
from mail2sms.web import bodies
from mail2sms.web.auth import Reader
from mail2sms.web.context import Here
from mail2sms.web.problems import DOCUMENTED, HttpProblem

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, tags=["notices"])


class Notice(BaseModel):
    """What somebody is told: a refusal, a reply, that a message (or with `mo` a text from a phone) is what it is about.

    `to` is an email address; `channel` is `email`, or a chat hook.
    """

    id: str
    kind: str
    channel: str
    to: str
    status: str
    reason: str
    detail: str
    attempts: int
    message: str | None
    mo: str | None
    created_at: str
    due_at: str
    expires_at: str


class Refused(BaseModel):
    """One thing that was refused: its reason in words, and where in the mail (from 1; 0: nowhere)."""

    type: str
    title: str
    line: int
    column: int


class NoticeWithEvents(Notice):
    """A notice with all that happened to it. Of a refusal: which mail, and why.

    `is_partly`: others got the text, or all without its pictures.
    """

    subject: str
    message_id: str | None
    problems: list[Refused]
    is_partly: bool
    events: list[bodies.Event]


class Notices(BaseModel):
    """Notices, the newest first."""

    items: list[Notice]


@router.get("/notices")
async def search(  # a parameter is a filter: FastAPI's way
    context: Here,
    _: Reader,
    kind: NoticeKind | None = None,
    to: Annotated[str | None, Query(max_length=320)] = None,
    status: Literal["queued", "sent", "failed", "dropped"] | None = None,
    about: Annotated[str | None, Query(max_length=40)] = None,
    since: Annotated[str | None, Query(max_length=40)] = None,
    until: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Notices:
    """Find notices, the newest first. `about` is the id of a message or of a text from a phone."""
    wanted = NoticeSearch(
        kind=kind,
        address=canonical(to) if to is not None else None,
        status=status,
        about=about,
        since=bodies.read_since(since) if since is not None else None,
        until=bodies.read_since(until, "until") if until is not None else None,
        limit=limit,
    )
    found = await context.store.read(find_notices, context.account, wanted)
    return Notices(items=[Notice(**_fields(view)) for view in found])


@router.get("/notices/{id}")
async def show(id: str, context: Here, _: Reader) -> NoticeWithEvents:
    """Return a notice, what it refused, and what happened to it."""
    view = await context.store.read(read_notice, context.account, id)
    if view is None:
        raise HttpProblem(404, "there is no such notice")
    events = await context.store.read(events_of, id)
    said: dict[str, Any] = json.loads(view.payload or b"{}")
    origin = said.get("origin", {})
    return NoticeWithEvents(
        **_fields(view),
        subject=origin.get("subject", ""),
        message_id=origin.get("message_id"),
        problems=[_refused(problem) for problem in said.get("problems", ())],
        is_partly=said.get("is_partly", False),
        events=[bodies.event(one) for one in events],
    )


def _refused(said: Mapping[str, Any]) -> Refused:
    problem = Problem(**said)
    place = {"line": problem.line, "column": problem.column}
    return Refused(type=problem.reason, title=sentence(problem), **place)


def _fields(view: NoticeView) -> dict[str, Any]:
    plain = ("id", "kind", "channel", "status", "reason", "detail", "attempts", "message", "mo")
    moments = ("created_at", "due_at", "expires_at")
    return {
        **{name: getattr(view, name) for name in plain},
        "to": view.address,
        **{name: bodies.iso(getattr(view, name)) for name in moments},
    }
