"""The service itself: how it is, and reading its configuration again. For the operator and for what watches it."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from mail2sms.breaker import Breaker
from mail2sms.clock import now_ms
from mail2sms.errors import StoreUnavailable
from mail2sms.money import Money, shown
from mail2sms.store import Store
from mail2sms.store.backlog import Backlog, backlog
from mail2sms.store.notice_views import Untold
from mail2sms.store.rows import EMAIL
from mail2sms.web import bodies
from mail2sms.web.auth import Operator, Reader
from mail2sms.web.context import Context, Here
from mail2sms.web.problems import DOCUMENTED, HttpProblem

router = APIRouter(responses=DOCUMENTED, tags=["service"])

_PARTS = ("store", "dispatch", "relay")
_OK = "ok"
_STORE_S, _KEPT_S = 5.0, 2.0


class Certificate(BaseModel):
    """For how many days the listeners' certificate is good, and why its renewed files can't be used, if so."""

    days: int
    fault: str


class Balance(BaseModel):
    """What the account at a carrier has left, as its provider said `at`; less than `below` is little."""

    left: str
    below: str | None
    is_low: bool
    at: str


class Health(BaseModel):
    """Each part is `ok`, or says what ails it; of carriers only those that are down are told, of `relay` what waits
    after tries that failed.

    `queue` counts what is due; its oldest has waited for so long. `stopped_at`: since then the operator lets nothing
    leave, which is no failure. `webhooks`: when each carrier last told something, since the start. `balances` are of
    carriers whose balance is watched.
    """

    status: str
    mode: str
    parts: dict[str, str]
    queue: int | None
    oldest_s: float | None
    certificate: Certificate | None
    stopped_at: str | None
    webhooks: dict[str, str]
    balances: dict[str, Balance]


class Reload(BaseModel):
    """What is new in the configuration, and what is new but waits for a restart."""

    applied: list[str]
    restart: list[str]


class Due:
    """What is due, as it was a moment ago: whoever asks again and again, and several at once, cost one look."""

    def __init__(self) -> None:
        self._found: Backlog | None = None
        self._looked_s = -_KEPT_S
        self._looking = asyncio.Lock()

    async def look(self, store: Store, account: str) -> Backlog | None:
        """Return it; None when the database does not tell."""
        async with self._looking:
            if time.monotonic() - self._looked_s >= _KEPT_S:
                self._found = await _backlog(store, account) if store.is_answering else None
                self._looked_s = time.monotonic()
            return self._found


def failing(context: Context) -> dict[str, str]:
    """Return what does not work, by part: by what each last did, so that asking costs nothing."""
    return dict(context.health()) | ({} if context.store.is_answering else {"store": "does not answer"})


@router.get("/healthz", include_in_schema=False)
async def healthz(context: Here) -> JSONResponse:
    """Tell whether the database answers and the loops go on: 200, else 503."""
    if found := failing(context):
        return JSONResponse({"status": "failing", "failing": found}, 503)
    return JSONResponse({"status": "ok", "mode": context.mode})


@router.get("/api/v1/health")
async def health(request: Request, context: Here, _: Reader) -> Health:
    """Tell how each part is."""
    found, now = failing(context), now_ms()
    state = context.certificate()
    if state is not None and state.days < 0:
        found["certificate"] = "expired"
    waiting = await request.app.state.due.look(context.store, context.account)
    found |= {f"carrier {name}": _told(how) for name, how in (waiting.down if waiting else {}).items()}
    if waiting and waiting.untold:
        found.setdefault("relay", "; ".join(_owed(*each) for each in sorted(waiting.untold.items())))
    parts = dict.fromkeys(_PARTS, _OK) | found
    oldest = waiting.oldest if waiting else None
    stop = waiting.stop if waiting else None
    return Health(
        status="failing" if found else _OK,
        mode=context.mode,
        parts=parts,
        queue=waiting.count if waiting else None,
        oldest_s=None if oldest is None else max(0, now - oldest) / 1000,
        certificate=None if state is None else Certificate(days=state.days, fault=state.fault),
        stopped_at=bodies.iso(stop.at) if stop else None,
        webhooks={name: bodies.iso(at) for name, at in context.told_at.items()},
        balances={
            name: _balance(left, at, context.carriers[name].balance_below)
            for name, (left, at) in (waiting.left if waiting else {}).items()
            if name in context.carriers and context.carriers[name].balance_below is not None
        },
    )


def _balance(left: Money, at: int, below: Money | None) -> Balance:
    is_low = below is not None and below.currency == left.currency and left < below
    return Balance(left=str(left), below=shown(below), is_low=is_low, at=bodies.iso(at))


def _told(how: Breaker) -> str:
    since, until = bodies.iso(how.down_since or 0), bodies.iso(how.until)
    return f"down since {since}, tried again at {until}: {how.why}"


def _owed(channel: str, owed: Untold) -> str:
    what = ("email" if channel == EMAIL else "chat post") + ("s" if owed.count != 1 else "")
    wait = f"{what} wait" + ("s" if owed.count == 1 else "")
    return f"{owed.count} {wait} after failed tries, since {bodies.iso(owed.since)}: {owed.why}"


async def _backlog(store: Store, account: str) -> Backlog | None:
    try:
        async with asyncio.timeout(_STORE_S):
            return await store.read(backlog, now_ms(), account)
    except (StoreUnavailable, TimeoutError):
        return None


@router.post("/api/v1/reload")
async def reload(context: Here, _: Operator) -> Reload:
    """Read the configuration again and apply it; with an error in it nothing is changed."""
    if context.reload is None:
        raise HttpProblem(404, "this daemon has no file to read again")
    reloaded = await context.reload()
    if reloaded.refused:
        raise HttpProblem(422, reloaded.refused)
    return Reload(applied=list(reloaded.applied), restart=list(reloaded.restart))
