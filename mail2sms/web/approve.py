"""What waits for approval: the page behind an approver's link, and the operator's part of the API.

The link proves who decides; it shows with GET and acts with POST, so that a program that follows links in mails decides
nothing. What was decided once stays so: the link then only tells.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from mail2sms import numbers
from mail2sms.clock import now_ms
from mail2sms.ids import approval_key
from mail2sms.log import log
from mail2sms.model import Msisdn
from mail2sms.store import Search
from mail2sms.store.approvals import ApprovalView, Decision, read_approval, read_open
from mail2sms.store.views import find
from mail2sms.web import bodies
from mail2sms.web.auth import Operator, Reader
from mail2sms.web.context import Context, Here
from mail2sms.web.help import choose
from mail2sms.web.problems import DOCUMENTED, HttpProblem

router = APIRouter(prefix="/api/v1/approvals", responses=DOCUMENTED, tags=["operator"])
pages = APIRouter(include_in_schema=False)

_STATUS = {"release": "released", "refuse": "refused"}
_SHOWN = 50  # phones on the page

Word = Literal["release", "refuse"]


class Approval(BaseModel):
    """Messages of one submission that wait. `status`: open, released, refused; `waiting`: how many still wait."""

    id: str
    submission: str
    reason: str
    detail: str
    status: str
    writer: str
    waiting: int
    created_at: str
    decided_at: str | None
    decided_by: str


class Approvals(BaseModel):
    """Those that nobody decided about, the oldest first."""

    items: list[Approval]


def _told(view: ApprovalView) -> Approval:
    plain = {name: getattr(view, name) for name in Approval.model_fields if not name.endswith("_at")}
    decided_at = None if view.decided_at is None else bodies.iso(view.decided_at)
    return Approval(**plain, created_at=bodies.iso(view.created_at), decided_at=decided_at)


@router.get("")
async def every(context: Here, _: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Approvals:
    """Return what waits for a decision."""
    found = await context.store.read(read_open, context.account, limit)
    return Approvals(items=[_told(view) for view in found])


@router.post("/{id}/{word}")
async def decide(id: str, word: Word, context: Here, caller: Operator) -> Approval:
    """Release or refuse all that waits; 409 when that was decided before."""
    before = await context.store.read(read_approval, context.account, id)
    if before is None:
        raise HttpProblem(404, "there is no such approval")
    if before.status != "open":
        raise HttpProblem(409, f"it is {before.status} already, by {before.decided_by}")
    return _told(await _decide(context, before, word, caller.name))


async def _decide(context: Context, view: ApprovalView, word: Word, by: str) -> ApprovalView:
    decision = Decision(account=context.account, id=view.id, status=_STATUS[word], by=by, now=now_ms())
    after = await context.store.decide(decision)
    assert after is not None
    log.info("approval_decided", approval=view.id, status=after.status)
    return after


@pages.get("/approve/{token}")
async def look(
    token: str, context: Here, accept_language: Annotated[str, Header(max_length=500)] = ""
) -> HTMLResponse:
    """Show what waits, with a button for each decision."""
    view, approver = await _proven(context, token)
    return await _page(context, view, approver, token, accept_language)


@pages.post("/approve/{token}/{word}")
async def act(
    token: str, word: Word, context: Here, accept_language: Annotated[str, Header(max_length=500)] = ""
) -> HTMLResponse:
    """Decide, once, and show what was decided."""
    view, approver = await _proven(context, token)
    if view.status == "open":
        view = await _decide(context, view, word, approver)
    return await _page(context, view, approver, token, accept_language)


async def _proven(context: Context, token: str) -> tuple[ApprovalView, str]:
    """Return the approval that a link is for, and whose link it is. Raises HttpProblem."""
    id_, _, key = token.partition(".")
    secret, found = context.store.reply_secret, ""
    for approver in context.accept.policy.quotas.approvers:
        if hmac.compare_digest(approval_key(secret, id_, approver).encode(), key.encode()):
            found = approver
    view = await context.store.read(read_approval, context.account, id_) if found else None
    if view is None:
        raise HttpProblem(404, "this link is not valid")
    return view, found


async def _page(
    context: Context, view: ApprovalView, approver: str, token: str, accept_language: str
) -> HTMLResponse:
    user = context.users.get(approver)
    language = choose((user.language if user else "") or "", accept_language, context.language)
    found = await context.store.read(
        find, context.account, Search(submission=view.submission, limit=_SHOWN + 1)
    )
    page = context.render.render(
        f"portal/approval/{language}.html",
        language=language,
        domain=context.domain,
        token=token,
        view=view,
        phones=[numbers.display(Msisdn(message.to)) for message in found[:_SHOWN]],
        has_more=len(found) > _SHOWN,
        text=found[0].text if found else "",
    )
    return HTMLResponse(page)
