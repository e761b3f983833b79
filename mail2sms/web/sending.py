"""The switch that stops all sending, for the operator: nothing leaves until it is turned back."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from mail2sms.clock import now_ms
from mail2sms.log import log
from mail2sms.store import Stop, Store
from mail2sms.store.sending import stopped
from mail2sms.web import bodies
from mail2sms.web.auth import Operator, Reader
from mail2sms.web.context import Here
from mail2sms.web.problems import DOCUMENTED

router = APIRouter(prefix="/api/v1/sending", responses=DOCUMENTED, tags=["service"])


class Order(BaseModel):
    """With `refuse`, mail and API calls are refused meanwhile; else they are taken, and wait."""

    model_config = ConfigDict(extra="forbid")

    refuse: bool = False


class Sending(BaseModel):
    """Whether messages leave, and since when they do not. `refuses`: nothing new is taken either."""

    is_stopped: bool
    since: str | None = None
    refuses: bool = False


async def read(store: Store) -> Sending:
    """Return how it is. Raises StoreUnavailable."""
    return _told(await store.read(stopped))


def _told(stop: Stop | None) -> Sending:
    if stop is None:
        return Sending(is_stopped=False)
    return Sending(is_stopped=True, since=bodies.iso(stop.at), refuses=stop.refuses)


@router.get("")
async def show(context: Here, _: Reader) -> Sending:
    """Tell whether messages leave."""
    return await read(context.store)


@router.post("/stop")
async def stop(order: Order, context: Here, _: Operator) -> Sending:
    """Let nothing leave any more, on any node; what is with a carrier already is with it."""
    now = Stop(at=now_ms(), refuses=order.refuse)
    await context.store.switch(now)
    log.warning("sending_stopped", refuses=order.refuse)
    return _told(now)


@router.post("/resume")
async def resume(context: Here, _: Operator) -> Sending:
    """Send again what waits."""
    await context.store.switch(None)
    log.info("sending_resumed")
    return _told(None)
