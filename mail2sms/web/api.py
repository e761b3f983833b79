"""The REST API: messages in, messages as they stand, cancelling. Policy is `accept`'s business."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from mail2sms.accept import Call
from mail2sms.addresses import canonical
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import Problem, Refusal
from mail2sms.model import MessageClass, Msisdn, Origin, Proof, Status, Submission, Writer
from mail2sms.store import Search
from mail2sms.store.approvals import read_of
from mail2sms.store.views import find, read_one, waiting
from mail2sms.verdict import Verdict
from mail2sms.web import bodies, recall
from mail2sms.web.auth import Caller, Reader, Sender
from mail2sms.web.context import Context, Here
from mail2sms.web.media import pictures
from mail2sms.web.problems import DOCUMENTED, HttpProblem, Problems, tell
from mail2sms.web.quotas import counted

_NAMED = 5  # users, of those there are

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, tags=["messages"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Refused = list[tuple[str, Problem]]


_KEY = (
    "Makes the call safe to repeat: within 24 hours the same body under the same key is carried out once and gets "
    "the first answer again."
)


@router.post(
    "/messages",
    status_code=202,
    response_model=bodies.Accepted,
    responses={
        200: {"model": bodies.Accepted, "description": "With dry_run: what would happen."},
        422: {"model": Problems, "description": "Refused, or the Idempotency-Key was used for another body."},
    },
)
async def send(
    order: bodies.Order,
    context: Here,
    caller: Sender,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255, description=_KEY)] = None,
    dry_run: bool = False,
) -> bodies.Accepted | Response:
    """Send a text. Answered when it is on disk."""
    refused: Refused = []
    call = None if dry_run else _call(order, context, caller, idempotency_key)
    try:
        submission = _submission(order, context, caller, refused)
        if order.pictures:
            submission = replace(submission, pictures=await pictures(order, submission, context))
        tell = partial(_accepted, submission, refused, context)
        if dry_run:
            would = await context.accept.preview([submission])
            return JSONResponse(tell(would, is_dry_run=True).model_dump())
        if call is None:
            return tell((await context.accept.accept([submission])).verdict)
        answer = await context.accept.answer(
            submission, call, lambda verdict: tell(verdict).model_dump_json()
        )
    except (Refusal, HttpProblem):  # it may have been right when it came first
        if call is None or not (answer := await context.accept.answered(call)):
            raise
    return Response(answer, 202, media_type="application/json")


@router.get("/messages")
async def search(  # noqa: PLR0913, PLR0917  # a parameter is a filter: FastAPI's way
    context: Here,
    _: Reader,
    to: Annotated[str | None, Query(max_length=64)] = None,
    from_: Annotated[str | None, Query(alias="from", max_length=320)] = None,
    status: Annotated[str | None, Query(max_length=16)] = None,
    reason: Annotated[str | None, Query(max_length=64)] = None,
    carrier: Annotated[str | None, Query(max_length=64)] = None,
    since: Annotated[str | None, Query(max_length=40)] = None,
    until: Annotated[str | None, Query(max_length=40)] = None,
    submission: Annotated[str | None, Query(max_length=40)] = None,
    before: Annotated[str | None, Query(max_length=40)] = None,
    limit: Limit = 100,
) -> bodies.Messages:
    """Find messages, the newest first. `from` is who wrote them; `until` is no longer among the times."""
    if status is not None and status not in set(Status):
        raise HttpProblem(400, f"status: one of {', '.join(Status)}", field="status")
    wanted = Search(
        to=bodies.read_wanted_number(to, context.country) if to is not None else None,
        writer=bodies.read_writer(from_) if from_ is not None else None,
        status=status,
        reason=reason,
        carrier=carrier,
        since=bodies.read_since(since) if since is not None else None,
        until=bodies.read_since(until, "until") if until is not None else None,
        submission=submission,
        before=before,
        limit=limit,
    )
    found = await context.store.read(find, context.account, wanted)
    following = found[-1].id if len(found) == limit else None
    return bodies.Messages(items=[bodies.message(view) for view in found], next=following)


@router.get("/messages/{id}")
async def show(id: str, context: Here, _: Reader) -> bodies.MessageInFull:
    """Return a message, what happened to it, which limits it counted in and what it waited for."""
    view = await context.store.read(read_one, context.account, id)
    if view is None:
        is_notice = id.startswith("n-")
        raise HttpProblem(
            404, "this is a notice: /api/v1/notices has it" if is_notice else "there is no such message"
        )
    approval = await context.store.read(read_of, context.account, view.submission)
    return bodies.message_in_full(view, await counted(context, view), approval)


@router.post("/messages/{id}/cancel")
async def cancel(id: str, context: Here, _: Sender) -> bodies.Cancelled:
    """Cancel a message that no carrier has yet, or that its carrier gives back."""
    status = await recall.cancel(context, id)
    if status is None:
        raise HttpProblem(404, "there is no such message")
    if status is not Status.CANCELLED:
        raise HttpProblem(409, f"the message is {status} already")
    return bodies.Cancelled(id=id, status=status.value)


@router.get("/queue")
async def queue(context: Here, _: Reader, limit: Limit = 100) -> bodies.Messages:
    """Return the messages whose work is not over, the oldest first."""
    found = await context.store.read(waiting, context.account, limit)
    return bodies.Messages(items=[bodies.message(view) for view in found])


def _call(order: bodies.Order, context: Context, caller: Caller, key: str | None) -> Call | None:
    """Return what recognises the call; None where its client gave no key."""
    if key is None:
        return None
    said = order.model_dump(mode="json", exclude={"pictures"})
    shown = [hashlib.sha256(picture.encode()).hexdigest() for picture in order.pictures]
    body = json.dumps({**said, "pictures": shown}, sort_keys=True)
    client = f"{_source(caller)}:{caller.name}"
    fingerprint = hashlib.sha256(body.encode()).hexdigest()
    return Call(account=context.account, client=client, key=key, fingerprint=fingerprint)


def _source(caller: Caller) -> str:
    return "cli" if caller.is_operator else "api"


def _submission(order: bodies.Order, context: Context, caller: Caller, refused: Refused) -> Submission:
    """Read the order. A recipient that can't be read is refused alone; Refusal when none is left."""
    now = now_ms()
    limit = context.accept.policy.recipients
    if len(order.to) > limit:
        facts = {"count": str(len(order.to)), "limit": str(limit)}
        raise Refusal(Problem(reason="recipients.too_many", facts=facts))
    found: dict[Msisdn, None] = {}
    for text in order.to:
        try:
            found[bodies.read_number(text, context.country)] = None
        except Refusal as refusal:
            refused.append((text, refusal.problems[0]))
    if not found:
        raise Refusal(*(problem for _, problem in refused))
    return Submission(
        id=new_id("m", now),
        writer=_writer(order, context, caller),
        text=order.text,
        recipients=tuple(found),
        origin=Origin(source=_source(caller)),
        created_at=now,
        sender_id=order.sender_id or caller.sender_id,
        send_at=bodies.read_at(order.at, now) if order.at is not None else None,
        validity_ms=bodies.read_validity(order.validity) if order.validity is not None else None,
        reference=bodies.read_reference(order.reference) if order.reference is not None else None,
    )


def _writer(order: bodies.Order, context: Context, caller: Caller) -> Writer:
    address = bodies.read_address(order.reply_to) if order.reply_to is not None else caller.reply_to or ""
    if not caller.is_operator:
        if order.as_ is not None:
            raise HttpProblem(403, "as: only the operator writes for others", field="as")
        # What the configuration lets a key show counts as its own, be it a number or a name.
        own = Msisdn(caller.sender_id) if caller.sender_id else None
        return Writer(
            account=context.account,
            address=address,
            proof=Proof.KEY,
            name=caller.name,
            number=own,
            class_=_class(order, caller.class_),
        )
    if order.as_ is None:
        return Writer(
            account=context.account,
            address=address,
            proof=Proof.OPERATOR,
            name=caller.name,
            class_=_class(order, caller.class_),
        )
    user = context.users.get(canonical(order.as_))
    if user is None:
        near = get_close_matches(canonical(order.as_), context.users, n=1, cutoff=0.5)
        some = near or sorted(context.users)[:_NAMED]
        known = (
            f"did you mean {near[0]}?"
            if near
            else f"there are {', '.join(some)}"
            if some
            else "there is none"
        )
        more = ", ..." * (not near and len(context.users) > _NAMED)
        raise HttpProblem(400, f"as: there is no such user; {known}{more}", field="as")
    writer = Writer(
        account=context.account,
        address=address or user.address,
        proof=Proof.OPERATOR,
        name=user.name,
        number=user.number,
        class_=_class(order, user.class_),
    )
    return replace(writer, language=user.language or writer.language, zone=user.zone or writer.zone)


def _class(order: bodies.Order, own: MessageClass) -> MessageClass:
    """Return what an order is; who is known to send marketing can't call it anything else."""
    return own if own is MessageClass.MARKETING or order.class_ is None else MessageClass(order.class_)


def _accepted(
    submission: Submission,
    refused: Refused,
    context: Context,
    verdict: Verdict,
    *,
    is_dry_run: bool = False,
) -> bodies.Accepted:
    """Return what the client is told; `refused` are the recipients that could not be read."""
    items = [bodies.queued(mt, id_=None if is_dry_run else mt.id) for mt in verdict.messages]
    by_policy = {phone.msisdn: phone.problem for phone in reversed(verdict.refused)}  # the first of each
    return bodies.Accepted(
        **items[0].model_dump(),
        is_dry_run=is_dry_run,
        submission=None if is_dry_run else submission.id,
        reference=submission.reference,
        items=items,
        refused=_not_taken([*refused, *reversed(by_policy.items())], context),
        warnings=bodies.warned(verdict.messages, context.accept.policy),
    )


def _not_taken(refused: Refused, context: Context) -> list[bodies.NotTaken]:
    facts = {"domain": context.domain, "mailbox": context.template_mailbox}
    return [
        bodies.NotTaken(to=to, **tell(problem, context.render, facts, field="to").model_dump())
        for to, problem in refused
    ]
