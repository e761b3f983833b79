"""The list of opt-outs over the API: read it, look a phone up, put phones on it and (the operator) take them off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mail2sms import numbers
from mail2sms.clock import now_ms
from mail2sms.errors import BadNumber, Problem, Refusal
from mail2sms.model import Msisdn
from mail2sms.options import read_list
from mail2sms.rules._base import OptOut
from mail2sms.store import Blocking, Lifting, facts, opt_outs
from mail2sms.web import bodies
from mail2sms.web.auth import Caller, Operator, Reader, Sender
from mail2sms.web.context import Context, Here
from mail2sms.web.problems import DOCUMENTED, HttpProblem, tell

router = APIRouter(prefix="/api/v1/optouts", responses=DOCUMENTED, tags=["opt-outs"])

_NUMBERS = 500  # a request at most: what rides in one transaction
_CURSOR = "{at}.{number}"


class Chosen(BaseModel):
    """The phones that it is about. Without `sender_id` it is about all numbers and names of ours.

    `by` and `imported` are the operator's: who did it, and whether the phones come from another list.
    """

    model_config = ConfigDict(extra="forbid")

    to: Annotated[list[bodies.Short], BeforeValidator(read_list), Field(min_length=1, max_length=_NUMBERS)]
    sender_id: bodies.Short | None = None
    by: bodies.Short | None = None
    imported: bool = False


class Listed(BaseModel):
    """A phone that must not be written to. `sender_id` null: from none of ours. An erased number is a hash."""

    to: str
    sender_id: str | None
    source: str
    keyword: str
    by: str
    at: str


class Changed(BaseModel):
    """One change of the past."""

    at: str
    by: str
    did: str
    detail: str


class List(BaseModel):
    """The list, the oldest first; `next` is what `after` must be to get those that follow, if there may be any."""

    items: list[Listed]
    next: str | None = None


class Known(BaseModel):
    """What is known of one phone."""

    to: str
    items: list[Listed]
    history: list[Changed]


class Done(BaseModel):
    """What became of one number: `changed` says whether the list did, `cancelled` how many messages waited."""

    to: str
    changed: bool
    cancelled: int = 0


class Results(BaseModel):
    """Of each number that could be read; the others are `refused`."""

    items: list[Done]
    refused: list[bodies.NotTaken]


@router.get("")
async def list_(
    context: Here,
    _: Reader,
    after: Annotated[str | None, Query(max_length=80)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> List:
    """Return who must not be written to."""
    found = await context.store.read(opt_outs.listed, context.account, _place(after), limit)
    following = None
    if len(found) == limit:
        following = _CURSOR.format(at=found[-1].at, number=found[-1].msisdn.lstrip("#"))
    return List(items=[_listed(one) for one in found], next=following)


@router.get("/lookup")
async def look_up(context: Here, _: Reader, to: Annotated[str, Query(max_length=64)]) -> Known:
    """Return whether a phone is on the list, and who put it there or took it off, and when."""
    msisdn = bodies.read_wanted_number(to, context.country)
    known = await context.store.read(facts.facts, context.account, [msisdn])
    history = await context.store.read(opt_outs.history, context.account, msisdn)
    return Known(
        to=msisdn,
        items=[_listed(one) for one in known.opt_outs],
        history=[
            Changed(at=bodies.iso(one.at), by=one.who, did=one.did, detail=one.detail) for one in history
        ],
    )


@router.post("")
async def add(chosen: Chosen, context: Here, caller: Sender) -> Results:
    """Put phones on the list. What waits for them is cancelled, and its writers are told."""
    ours, now = _sender_id(chosen, context), now_ms()
    source = "import" if chosen.imported else "operator" if caller.is_operator else "api"

    async def block(msisdn: Msisdn) -> Done:
        blocking = Blocking(
            account=context.account,
            msisdn=msisdn,
            now=now,
            source=source,
            our_address=ours or "",
            who=_by(chosen, caller),
        )
        blocked = await context.store.block(blocking)
        return Done(to=msisdn, changed=blocked.is_new, cancelled=blocked.cancelled)

    return await _each(chosen.to, context, block)


@router.post("/remove")
async def remove(chosen: Chosen, context: Here, caller: Operator) -> Results:
    """Take phones off the list: of one sender ID, or altogether."""
    ours, now = _sender_id(chosen, context), now_ms()

    async def lift(msisdn: Msisdn) -> Done:
        lifting = Lifting(
            account=context.account, msisdn=msisdn, now=now, our_address=ours, who=_by(chosen, caller)
        )
        return Done(to=msisdn, changed=await context.store.lift(lifting))

    return await _each(chosen.to, context, lift)


@router.post("/forget")
async def forget(chosen: Chosen, context: Here, _: Operator) -> Results:
    """Keep the blocks of these phones and forget their numbers: they are known by a keyed hash alone."""

    async def erase(msisdn: Msisdn) -> Done:
        return Done(to=msisdn, changed=await context.store.erase_opted_out(context.account, msisdn))

    return await _each(chosen.to, context, erase)


async def _each(
    texts: Sequence[str], context: Context, change: Callable[[Msisdn], Awaitable[Done]]
) -> Results:
    found: dict[Msisdn, None] = {}
    refused: list[bodies.NotTaken] = []
    for text in texts:
        try:
            found[bodies.read_number(text, context.country)] = None
        except Refusal as refusal:
            told = tell(refusal.problems[0], context.render, {"domain": context.domain}, field="to")
            refused.append(bodies.NotTaken(to=text, **told.model_dump()))
    return Results(items=list(await asyncio.gather(*map(change, found))), refused=refused)


def _by(chosen: Chosen, caller: Caller) -> str:
    return (chosen.by or caller.name) if caller.is_operator else caller.name


def _sender_id(chosen: Chosen, context: Context) -> str | None:
    if chosen.sender_id is None:
        return None
    try:
        return numbers.read_sender_id(chosen.sender_id, context.country)
    except BadNumber as e:
        problem = Problem(reason=e.reason, value=chosen.sender_id, hint=e.hint, facts=e.facts)
        raise Refusal(problem) from e


def _place(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    at, dot, number = after.partition(".")
    if not (dot and at.isascii() and at.isdigit() and len(at) < 16):
        raise HttpProblem(400, "after: the `next` of the page before", field="after")
    return int(at), number


def _listed(one: OptOut) -> Listed:
    return Listed(
        to=one.msisdn,
        sender_id=one.our_address or None,
        source=one.source,
        keyword=one.keyword,
        by=one.who,
        at=bodies.iso(one.at),
    )
