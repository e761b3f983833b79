"""The simulated phones, for people and tests on this machine: what they show, and what they write back."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from mail2sms import numbers
from mail2sms.carriers.simulated import Simulated
from mail2sms.errors import BadNumber, Problem, Refusal
from mail2sms.model import Msisdn
from mail2sms.web.auth import from_here
from mail2sms.web.context import Context, Here
from mail2sms.web.problems import HttpProblem

router = APIRouter(dependencies=[Depends(from_here)], include_in_schema=False)


class Shown(BaseModel):
    """One text on a phone."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    text: str
    from_: Annotated[str, Field(alias="from")]
    to: str
    parts: int
    at: int
    media: list[str] = Field(default_factory=list)  # where its pictures are; none: an SMS


class Typed(BaseModel):
    """What somebody types on a phone, and to which of our numbers."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    to: Annotated[str, Field(max_length=64)]


class Said(BaseModel):
    """The event that the phone's text became."""

    id: str


def carrier(context: Context) -> Simulated:
    """Return a simulated carrier: they share the phones."""
    for each in context.carriers.values():
        if isinstance(each, Simulated):
            return each
    raise HttpProblem(404, "no carrier is simulated")


def phone(text: str, context: Context) -> Msisdn:
    """Read a phone's number, with or without `+`. Raises Refusal."""
    try:
        found = numbers.from_local_part(text.strip(), context.country)
    except BadNumber as e:
        raise Refusal(Problem(reason=e.reason, value=text, hint=e.hint, facts=e.facts)) from e
    if found is None:
        raise Refusal(Problem(reason="number.invalid", value=text, facts={"country": context.country}))
    return found


@router.get("/sim/phones/{msisdn}", response_model_exclude_defaults=True)
async def show(msisdn: str, context: Here) -> list[Shown]:
    """Return what the phone shows, oldest first."""
    shown = await asyncio.to_thread(carrier(context).phones.shown, phone(msisdn, context))
    return [Shown.model_validate(one) for one in shown]


@router.post("/sim/phones/{msisdn}", status_code=202)
async def write_back(msisdn: str, typed: Typed, context: Here) -> Said:
    """Let the phone write to one of our numbers; answered when it is stored."""
    try:
        ours = numbers.read_sender_id(typed.to.strip(), context.country)
    except BadNumber as e:
        raise Refusal(Problem(reason=e.reason, value=typed.to, hint=e.hint, facts=e.facts)) from e
    if not ours.removeprefix("+").isdigit():
        raise HttpProblem(400, "to: a phone cannot answer a name", field="to")
    said = await carrier(context).says(phone(msisdn, context), ours, typed.text)
    return Said(id=said)
