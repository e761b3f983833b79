"""The application: routes, failures and headers put together. The same serves TCP and the control socket."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from mail2sms import __version__
from mail2sms.web import (
    api,
    approve,
    demo,
    help,
    known,
    media,
    metrics,
    notices,
    operate,
    opt_outs,
    problems,
    quotas,
    sending,
    service,
    sim,
    webhooks,
)
from mail2sms.web.auth import OPENAPI, KeyRing, admit
from mail2sms.web.context import ApiKey, Context, Reloaded
from mail2sms.web.feed import Feed
from mail2sms.web.gate import Gate

__all__ = ["ApiKey", "Context", "KeyRing", "Reloaded", "build", "change"]

_QUIET = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def build(context: Context, *, is_control: bool = False) -> FastAPI:
    """Return the application; with `is_control` whoever reaches it is the operator.

    Raises BadOption when a key's secret can't be had.
    """
    app = FastAPI(
        title="mail2sms",
        version=__version__,
        openapi_url=OPENAPI,
        docs_url=None,  # FastAPI's pages load their scripts from elsewhere
        redoc_url=None,
        telemetry=_QUIET,  # type: ignore[arg-type]  # its logs would hold bodies that are refused
    )
    app.state.is_control = is_control
    change(app, context, KeyRing(context.keys))
    app.state.metrics = metrics.Metrics()
    app.state.due = service.Due()
    app.add_middleware(Gate, metrics=app.state.metrics, admit=admit)
    problems.install(app)
    app.include_router(approve.pages)
    parts = (
        api,
        approve,
        known,
        media,
        notices,
        operate,
        opt_outs,
        quotas,
        sending,
        service,
        webhooks,
        metrics,
        help,
    )
    for part in parts:
        app.include_router(part.router)
    if context.mode == "simulate":
        app.include_router(sim.router)
    if context.demo_inbox is not None:
        app.state.feed = Feed(context.store, context.account, context.demo_inbox)
        app.state.endings = (app.state.feed.close,)
        app.include_router(demo.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    return app


def change(app: FastAPI, context: Context, key_ring: KeyRing) -> None:
    """Serve another context from now on; requests under way keep theirs. Its mode is the same."""
    app.state.context, app.state.key_ring = context, key_ring
