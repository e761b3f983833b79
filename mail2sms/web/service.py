"""The service itself: how it is, and reading its configuration again. For the operator and for what watches it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from pydantic import BaseModel

from mail2sms.clock import now_ms
from mail2sms.errors import StoreUnavailable
from mail2sms.store import Store
from mail2sms.store.views import Backlog, backlog
from mail2sms.web.auth import Operator, Reader
from mail2sms.web.context import Here
from mail2sms.web.problems import DOCUMENTED, HttpProblem

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, tags=["service"])

_PARTS = ("store", "dispatch", "relay")
_OK = "ok"
_STORE_S = 5.0


class Health(BaseModel):
    """Each part is `ok`, or says what ails it. `queue` counts what is due; its oldest has waited for so long."""

    status: str
    mode: str
    parts: dict[str, str]
    queue: int | None
    oldest_s: float | None


class Reload(BaseModel):
    """What is new in the configuration, and what is new but waits for a restart."""

    applied: list[str]
    restart: list[str]


@router.get("/health")
async def health(context: Here, _: Reader) -> Health:
    """Tell how each part is."""
    now = now_ms()
    waiting = await _backlog(context.store, now)
    parts = dict.fromkeys(_PARTS, _OK) | dict(context.health())
    if waiting is None:
        parts["store"] = "does not answer"
    is_well = set(parts.values()) == {_OK}
    oldest = waiting.oldest if waiting else None
    return Health(
        status=_OK if is_well else "failing",
        mode=context.mode,
        parts=parts,
        queue=waiting.count if waiting else None,
        oldest_s=None if oldest is None else max(0, now - oldest) / 1000,
    )


async def _backlog(store: Store, now: int) -> Backlog | None:
    try:
        async with asyncio.timeout(_STORE_S):
            return await store.read(backlog, now)
    except (StoreUnavailable, TimeoutError):
        return None


@router.post("/reload")
async def reload(context: Here, _: Operator) -> Reload:
    """Read the configuration again and apply it; with an error in it nothing is changed."""
    if context.reload is None:
        raise HttpProblem(404, "this daemon has no file to read again")
    reloaded = await context.reload()
    if reloaded.refused:
        raise HttpProblem(422, reloaded.refused)
    return Reload(applied=list(reloaded.applied), restart=list(reloaded.restart))
