"""What is used of the limits, and what is left: of all, of a writer, of a phone."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from mail2sms import numbers
from mail2sms.addresses import canonical
from mail2sms.clock import now_ms
from mail2sms.rules.quotas import Use, limits_of
from mail2sms.store import counters
from mail2sms.web import bodies
from mail2sms.web.auth import Reader
from mail2sms.web.context import Context, Here
from mail2sms.web.problems import DOCUMENTED

router = APIRouter(prefix="/api/v1/quotas", responses=DOCUMENTED, tags=["service"])


class Quota(BaseModel):
    """One limit in its window, which ends at `until`. `kind`: user, team, number, prefix, country, total, cost."""

    kind: str
    of: str
    limit: str
    used: str
    left: str
    until: str


class Used(BaseModel):
    """The limits that were asked for."""

    items: list[Quota]


@router.get("")
async def every(
    context: Here,
    _: Reader,
    user: Annotated[str | None, Query(max_length=320)] = None,
    to: Annotated[str | None, Query(max_length=64)] = None,
) -> Used:
    """Return what is used: of a user (or `key NAME`), of a number, else of all, of each user, country and team."""
    found = {use.reservation.key: use for use in _uses(context, user, to)}
    taken = await context.store.read(counters.taken, list(found))
    return Used(items=[_told(use, taken[key]) for key, use in found.items()])


def _uses(context: Context, user: str | None, to: str | None) -> list[Use]:
    quotas, account, at = context.accept.policy.quotas, context.account, now_ms()
    if user is not None or to is not None:
        msisdn = bodies.read_wanted_number(to, context.country) if to is not None else None
        region = numbers.region(msisdn) if msisdn is not None else ""
        writer = user if user is None or user.startswith("key ") else canonical(user)
        return list(limits_of(account, at, quotas, writer=writer or "", msisdn=msisdn or "", region=region))
    found = list(limits_of(account, at, quotas))
    for region in sorted(context.accept.policy.countries):
        found += limits_of(account, at, quotas, region=region)
    for writer in [*context.users, *(f"key {key.name}" for key in context.keys)]:
        found += limits_of(account, at, quotas, writer=writer)
    return found


def _told(use: Use, taken: int) -> Quota:
    limit = use.limit
    return Quota(
        kind=use.kind,
        of=use.of,
        limit=str(limit),
        used=limit.written(taken),
        left=limit.written(max(0, limit.amount - taken)),
        until=bodies.iso(use.span.end),
    )
