"""The REST API: messages in, messages as they stand, cancelling. Policy is `accept`'s business."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse

from mail2sms.accept import Receipt
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import Problem, Refusal
from mail2sms.model import Msisdn, Origin, Proof, Status, Submission, Writer
from mail2sms.store import Search
from mail2sms.store.views import find, read_one, waiting
from mail2sms.web import bodies
from mail2sms.web.auth import Caller, Reader, Sender
from mail2sms.web.context import Context, Here
from mail2sms.web.problems import DOCUMENTED, HttpProblem, tell

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, tags=["messages"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Refused = list[tuple[str, Problem]]


@router.post(
    "/messages",
    status_code=202,
    response_model=bodies.Accepted,
    responses={200: {"model": bodies.Accepted, "description": "With dry_run: what would happen."}},
)
async def send(
    order: bodies.Order,
    context: Here,
    caller: Sender,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    dry_run: bool = False,
) -> bodies.Accepted | JSONResponse:
    """Send a text. Answered when it is on disk; the same under the same Idempotency-Key gets the first one's ids."""
    refused: Refused = []
    key = f"key:{caller.name}:{idempotency_key}" if idempotency_key is not None else None
    origin = Origin(source="cli" if caller.is_operator else "api", message_id=key)
    try:
        submission = _submission(order, context, caller, origin, refused)
    except Refusal as refusal:
        is_late = refusal.problems[0].reason == "template.past_time"
        if key is None or dry_run or not is_late:
            raise
        late = _submission(order.model_copy(update={"at": None}), context, caller, origin, refused)
        if not (ids := await context.accept.earlier([late])):
            raise
        return await _accepted_before(ids, context)
    if dry_run:
        would = context.accept.preview(submission)
        receipt = Receipt(id="", messages=would, is_repeat=False)
        items = [bodies.queued(mt, id_=None) for mt in would]
    else:
        receipt = await context.accept.accept([submission])
        items = await _items(receipt, context)
    refused += _refused_by_policy(submission, receipt, context)
    accepted = bodies.Accepted(
        **items[0].model_dump(),
        submission=None if dry_run else await _submission_id(receipt, context),
        reference=submission.reference,
        items=items,
        refused=_not_taken(refused, context),
        warnings=bodies.warned(receipt.messages, context.accept.policy),
    )
    return JSONResponse(accepted.model_dump()) if dry_run else accepted


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
        writer=from_.lower() if from_ is not None else None,
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
async def show(id: str, context: Here, _: Reader) -> bodies.MessageWithEvents:
    """Return a message and what happened to it."""
    view = await context.store.read(read_one, context.account, id)
    if view is None:
        raise HttpProblem(404, "there is no such message")
    return bodies.message_with_events(view)


@router.post("/messages/{id}/cancel")
async def cancel(id: str, context: Here, _: Sender) -> bodies.Cancelled:
    """Cancel a message that no carrier has yet."""
    status = await context.store.cancel(context.account, id, now_ms())
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


async def _accepted_before(ids: Sequence[str], context: Context) -> bodies.Accepted:
    views = await asyncio.gather(*(context.store.read(read_one, context.account, id_) for id_ in ids))
    found = [view for view in views if view is not None]
    items = [bodies.queued_before(view) for view in found]
    first = found[0]
    return bodies.Accepted(
        **items[0].model_dump(),
        submission=first.submission,
        reference=first.reference,
        items=items,
        refused=[],
        warnings=[],
    )


def _submission(
    order: bodies.Order, context: Context, caller: Caller, origin: Origin, refused: Refused
) -> Submission:
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
        origin=origin,
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
        return Writer(account=context.account, address=address, proof=Proof.KEY, name=caller.name, number=own)
    if order.as_ is None:
        return Writer(account=context.account, address=address, proof=Proof.OPERATOR, name=caller.name)
    user = context.users.get(order.as_.lower())
    if user is None:
        raise HttpProblem(400, "as: there is no such user", field="as")
    writer = Writer(
        account=context.account,
        address=address or user.address,
        proof=Proof.OPERATOR,
        name=user.name,
        number=user.number,
    )
    return replace(writer, language=user.language or writer.language, zone=user.zone or writer.zone)


async def _items(receipt: Receipt, context: Context) -> list[bodies.Queued]:
    if not receipt.is_repeat:
        return [bodies.queued(mt, id_=mt.id) for mt in receipt.messages]
    views = await asyncio.gather(
        *(context.store.read(read_one, context.account, mt.id) for mt in receipt.messages)
    )
    now = [bodies.queued_before(view) for view in views if view is not None]
    return now or [bodies.queued(mt, id_=mt.id) for mt in receipt.messages]


async def _submission_id(receipt: Receipt, context: Context) -> str:
    first = receipt.messages[0]
    if receipt.is_repeat:
        view = await context.store.read(read_one, context.account, first.id)
        return view.submission if view is not None else first.id
    return first.submission


def _refused_by_policy(submission: Submission, receipt: Receipt, context: Context) -> Refused:
    """Return why the other recipients of a submission that was accepted were not."""
    taken = {mt.msisdn for mt in receipt.messages}
    refused: Refused = []
    for msisdn in submission.recipients:
        if msisdn in taken:
            continue
        try:
            context.accept.preview(replace(submission, recipients=(msisdn,)))
        except Refusal as refusal:
            refused.append((msisdn, refusal.problems[0]))
    return refused


def _not_taken(refused: Refused, context: Context) -> list[bodies.NotTaken]:
    facts = {"domain": context.domain, "mailbox": context.template_mailbox}
    return [
        bodies.NotTaken(to=to, **tell(problem, context.render, facts, field="to").model_dump())
        for to, problem in refused
    ]
