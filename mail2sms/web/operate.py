"""The operator's part of the API: cancel, hold, release and retry many messages; follow what happens."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from mail2sms.clock import now_ms
from mail2sms.lifecycle import Denial, Wish, denied
from mail2sms.model import Status
from mail2sms.store import Granted, Wished, events
from mail2sms.store.sending import stopped
from mail2sms.web import bodies, recall
from mail2sms.web.auth import Operator, Reader
from mail2sms.web.context import Context, Here
from mail2sms.web.problems import DOCUMENTED

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, tags=["operator"])

_IDS = 500  # a request at most: what rides in one transaction
_SETTLING_S, _LOOK_S = 10.0, 0.02
_DENIED = {
    Denial.WITH_CARRIER: "already with the carrier",
    Denial.OVER: "it is {status} already",
    Denial.IN_DOUBT: "it may have been sent; sent again, it may arrive twice",
    Denial.HELD: "it is held; release it first",
    Denial.TOO_LATE: "its time is over",
}


class Chosen(BaseModel):
    """The messages a wish is for. `again`: those in doubt too, which may arrive twice. `quiet`: tell no writer."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[bodies.Short], Field(min_length=1, max_length=_IDS)]
    again: bool = False
    quiet: bool = False


class Answered(BaseModel):
    """How one message stands now. `problem` says in a word why nothing changed, `detail` in a sentence."""

    id: str
    status: str
    reason: str
    due_at: str | None
    problem: str | None
    detail: str


class Answers(BaseModel):
    """One answer for each id, in their order."""

    items: list[Answered]


class Happened(bodies.Event):
    """One event of the log: of a message, of a text from a phone (`mo`), or of a notice, which tells somebody of them.

    `to` is who gets it, `writer` who wrote it; `told` is what a notice tells: refused, reply, held, undelivered.
    """

    id: int
    about: str
    kind: Literal["message", "mo", "notice", "carrier"]
    to: str
    writer: str
    told: str
    channel: str


class Events(BaseModel):
    """What happened, oldest first; `next` is what `after` must be to go on. `is_stopped`: nothing leaves now."""

    items: list[Happened]
    next: int
    is_stopped: bool


@router.post("/queue/{wish}")
async def change(
    wish: Literal["cancel", "hold", "release", "retry"], chosen: Chosen, context: Here, _: Operator
) -> Answers:
    """Cancel, hold, release or retry messages; each is answered for itself."""
    now = now_ms()
    if wish == "cancel":
        return Answers(items=list(await asyncio.gather(*(_cancel(context, id_) for id_ in chosen.ids))))
    wished = [
        Wished(
            account=context.account,
            id=id_,
            wish=Wish(wish),
            now=now,
            is_again=chosen.again,
            is_quiet=chosen.quiet,
            policy=context.accept.policy,
        )
        for id_ in chosen.ids
    ]
    granted = await asyncio.gather(*map(context.store.wish, wished))
    return Answers(items=[_answered(id_, grant) for id_, grant in zip(chosen.ids, granted, strict=True)])


async def _cancel(context: Context, id_: str) -> Answered:
    status = await recall.cancel(context, id_)
    if status is None:
        return _answered(id_, None)
    denial = None if status is Status.CANCELLED else denied(status)
    return _told(id_, status, "", None, denial)


def _answered(id_: str, grant: Granted | None) -> Answered:
    if grant is None:
        detail = "there is no such message"
        return Answered(id=id_, status="", reason="", due_at=None, problem="not_found", detail=detail)
    due_at = bodies.iso(grant.due_at) if grant.status is Status.QUEUED else None
    return _told(id_, grant.status, grant.reason, due_at, grant.denial)


def _told(id_: str, status: Status, reason: str, due_at: str | None, denial: Denial | None) -> Answered:
    detail = _DENIED[denial].format(status=status) if denial else ""
    return Answered(id=id_, status=status, reason=reason, due_at=due_at, problem=denial, detail=detail)


@router.get("/events")
async def follow(
    context: Here,
    _: Reader,
    after: Annotated[int | None, Query(ge=0, le=1 << 62)] = None,
    to: Annotated[str | None, Query(max_length=64)] = None,
    user: Annotated[str | None, Query(max_length=320)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> Events:
    """Return what happened after a place in the log, oldest first. Without `after`: only where the log ends now.

    `to` is a phone, `user` an address: what they wrote, and what they are told.
    """
    end = await context.store.read(events.horizon)
    is_stopped = await context.store.read(stopped) is not None
    if after is None or after >= end.last:
        return Events(items=[], next=end.last, is_stopped=is_stopped)
    await _settled(context, end.transaction)
    wanted = events.Following(
        after=after,
        last=end.last,
        to=bodies.read_wanted_number(to, context.country) if to is not None else None,
        writer=bodies.read_writer(user) if user is not None else None,
        limit=limit,
    )
    found = await context.store.read(events.follow, context.account, wanted)
    items = [
        Happened(
            id=one.id,
            at=bodies.iso(one.at),
            about=one.about,
            kind=one.kind,
            to=one.to,
            writer=one.writer,
            told=one.told,
            channel=one.channel,
            status=one.status,
            reason=one.reason,
            carrier=one.carrier,
            detail=one.detail,
        )
        for one in found.items
    ]
    return Events(items=items, next=found.next, is_stopped=is_stopped)


async def _settled(context: Context, transaction: int) -> None:
    """Wait until no transaction is left that might write an earlier event; one that stands still is not waited for."""
    until_s = asyncio.get_running_loop().time() + _SETTLING_S
    while asyncio.get_running_loop().time() < until_s:
        if await context.store.read(events.oldest_writer) >= transaction:
            return
        await asyncio.sleep(_LOOK_S)
