"""What the store knows of phones and counters, for `explain`: told to the operator alone."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from mail2sms.model import Msisdn
from mail2sms.rules._base import Questions
from mail2sms.store import answers
from mail2sms.store.sending import stopped
from mail2sms.web import bodies
from mail2sms.web.auth import Operator
from mail2sms.web.context import Here
from mail2sms.web.problems import DOCUMENTED

router = APIRouter(prefix="/api/v1/known", responses=DOCUMENTED, tags=["operator"])

_MOST = 20_000  # phones or counters a request
Key = Annotated[str, Field(max_length=500)]


class Asked(BaseModel):
    """Phones, counters by their keys, and which phones of blocks of numbers were written to since a time."""

    model_config = ConfigDict(extra="forbid")

    phones: Annotated[list[bodies.Short], Field(max_length=_MOST)] = []
    keys: Annotated[list[Key], Field(max_length=_MOST)] = []
    blocks: Annotated[list[bodies.Short], Field(max_length=_MOST)] = []
    since: Annotated[int, Field(ge=0, le=1 << 62)] = 0
    most: Annotated[int, Field(ge=0, le=_MOST)] = 0


class OptedOut(BaseModel):
    """A phone that must not be written to from `our_address` (empty: from none of ours); `at` in epoch ms."""

    msisdn: str
    our_address: str
    source: str
    keyword: str
    who: str
    at: int


class Known(BaseModel):
    """What is known. `is_stopped`: nothing leaves now."""

    opt_outs: list[OptedOut]
    tallies: dict[str, int]
    blocks: dict[str, list[str]]
    is_stopped: bool


@router.post("")
async def known(asked: Asked, context: Here, _: Operator) -> Known:
    """Return what a mail is judged by; nothing is changed."""
    questions = Questions(
        keys=tuple(asked.keys), blocks=tuple(asked.blocks), since=asked.since, most=asked.most
    )
    phones = [Msisdn(phone) for phone in asked.phones]
    found = await context.store.read(answers.read, context.account, phones, questions)
    return Known(
        opt_outs=[
            OptedOut(
                msisdn=each.msisdn,
                our_address=each.our_address,
                source=each.source,
                keyword=each.keyword,
                who=each.who,
                at=each.at,
            )
            for each in found.opt_outs
        ],
        tallies=dict(found.tallies),
        blocks={block: sorted(reached) for block, reached in found.blocks.items()},
        is_stopped=await context.store.read(stopped) is not None,
    )
