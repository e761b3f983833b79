"""What is used of the limits, and what is left: of all, of a writer, of a phone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from mail2sms import numbers
from mail2sms.clock import now_ms
from mail2sms.model import Msisdn
from mail2sms.rules.quotas import Use, limits_of
from mail2sms.store import MessageView, counters
from mail2sms.web import bodies
from mail2sms.web.auth import Reader
from mail2sms.web.context import Context, Here
from mail2sms.web.problems import DOCUMENTED

router = APIRouter(prefix="/api/v1/quotas", responses=DOCUMENTED, tags=["service"])


class Used(BaseModel):
    """The limits that were asked for."""

    items: list[bodies.Quota]


@router.get("")
async def every(
    context: Here,
    _: Reader,
    user: Annotated[str | None, Query(max_length=320)] = None,
    to: Annotated[str | None, Query(max_length=64)] = None,
) -> Used:
    """Return what is used: of a user (or `key NAME`, `device NAME`), of a number; else of all that there are."""
    return Used(items=await _read(context, _uses(context, user, to)))


async def counted(context: Context, view: MessageView) -> list[bodies.Quota]:
    """Return the limits that a message counted in."""
    msisdn = Msisdn(view.to)
    writer = view.machine or view.writer.lower()
    limits = limits_of(
        context.account,
        view.created_at,
        context.accept.policy.quotas,
        writer=writer,
        msisdn=msisdn,
        region=numbers.region(msisdn),
    )
    return await _read(context, limits)


async def _read(context: Context, uses: Iterable[Use]) -> list[bodies.Quota]:
    found = {use.reservation.key: use for use in uses}
    taken = await context.store.read(counters.taken, list(found)) if found else {}
    return [_told(use, taken[key]) for key, use in found.items()]


def _uses(context: Context, user: str | None, to: str | None) -> list[Use]:
    quotas, account, at = context.accept.policy.quotas, context.account, now_ms()
    if user is not None or to is not None:
        msisdn = bodies.read_wanted_number(to, context.country) if to is not None else None
        region = numbers.region(msisdn) if msisdn is not None else ""
        writer = bodies.read_writer(user) if user is not None else ""
        return list(limits_of(account, at, quotas, writer=writer, msisdn=msisdn or "", region=region))
    found = list(limits_of(account, at, quotas))
    for region in sorted(context.accept.policy.countries):
        found += limits_of(account, at, quotas, region=region)
    for writer in [*context.users, *(f"key {key.name}" for key in context.keys)]:
        found += limits_of(account, at, quotas, writer=writer)
    return found


def _told(use: Use, taken: int) -> bodies.Quota:
    limit = use.limit
    return bodies.Quota(
        kind=use.kind,
        of=use.of,
        limit=str(limit),
        used=limit.written(taken),
        left=limit.written(max(0, limit.amount - taken)),
        until=bodies.iso(use.span.end),
    )
