"""Refusals and failures as application/problem+json (RFC 9457).

`type` is a code of `reasons`, or one of _HTTP for what only HTTP can get wrong. No exception's text is ever shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mail2sms.errors import KeyReused, Problem, Refusal, StoreUnavailable
from mail2sms.log import log, where
from mail2sms.reasons import sentence
from mail2sms.render import Render

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = 5
_SHOWN = 20  # problems of one request

_HTTP = {
    400: ("request.invalid", "the request cannot be read"),
    401: ("request.unauthorized", "a valid API key is needed"),
    403: ("request.forbidden", "this is not allowed"),
    404: ("request.not_found", "there is nothing here"),
    405: ("request.method", "this method is not for this address"),
    408: ("request.too_slow", "the request did not arrive in time"),
    409: ("request.too_late", "it is too late for this"),
    411: ("request.no_length", "the request must say how long it is"),
    413: ("request.too_large", "the request is too large"),
    415: ("request.invalid", "the request cannot be read"),
    422: ("config.invalid", "the configuration has errors; nothing was changed"),
    500: ("system.error", "something failed on our side; try again later"),
    502: ("system.error", "a part of ours does not answer"),
    503: ("system.database", "the database does not answer; try again later"),
}
_OF_A_CALL = {
    "text.empty": "Write what the phone is to show into the field text.",
    "recipients.too_many": "Send it in several calls.",
}
"""What to do about it, where the sentence of the emails speaks of a mail."""
_FIELD = {
    "missing": "is missing",
    "extra_forbidden": "is no field here",
    "string_too_long": "has more than {max_length} characters",
    "string_too_short": "is empty",
    "string_unicode": "holds half a character",
    "too_long": "has more than {max_length} entries",
    "too_short": "is empty",
    "greater_than_equal": "is less than {ge}",
    "less_than_equal": "is more than {le}",
    "json_invalid": "is no JSON",
}


class Told(BaseModel):
    """One thing that is wrong: `type` is a reason code, `field` where it stands, `hint` what was probably meant."""

    type: str
    title: str
    detail: str = ""
    field: str | None = None
    value: str | None = None
    hint: str | None = None


class Problems(Told):
    """The body of every answer that is not a success; `problems` when there are several."""

    status: int
    problems: list[Told] | None = None


class HttpProblem(Exception):
    """Answers with a status of _HTTP. `detail` is our own sentence."""

    def __init__(self, status: int, detail: str = "", *, field: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.told = _told(status, detail, field)


DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problems, "description": "Refused: `type` is the same reason code as in emails."},
    "503": {"model": Problems, "description": "Nothing was stored; try again later."},
}
"""What OpenAPI says of failures (`responses` of a route)."""


def _told(status: int, detail: str = "", field: str | None = None) -> Told:
    code, title = _HTTP.get(status, (f"http.{status}", "the request was not answered"))
    return Told(type=code, title=title, detail=detail, field=field)


def tell(problem: Problem, render: Render, facts: Mapping[str, str], *, field: str | None = None) -> Told:
    """Return a refusal's problem in its short form (title) and in the words of the emails (detail).

    Where both would say the same, the title is the kind of problem alone (RFC 9457 section 3.1.3).
    """
    title = sentence(replace(problem, line=0))
    known = {**facts, **problem.facts, "value": problem.value, "hint": problem.hint}
    detail = _OF_A_CALL.get(problem.reason) or render.reason_text(problem.reason, "en", known)
    return Told(
        type=problem.reason,
        title=title if _bare(detail) != _bare(title) else _kind(problem.reason),
        detail=detail,
        field=field,
        value=problem.value or None,
        hint=problem.hint or None,
    )


def _kind(reason: str) -> str:
    return reason.replace(".", ": ").replace("_", " ")


def _bare(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _answer(status: int, told: Sequence[Told], headers: Mapping[str, str] | None = None) -> JSONResponse:
    first = told[0]
    body = Problems(
        **first.model_dump(), status=status, problems=list(told[:_SHOWN]) if len(told) > 1 else None
    )
    if status == 503:
        headers = {**(headers or {}), "retry-after": str(_RETRY_AFTER_S)}
    content = body.model_dump(exclude_none=True)
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)


async def _refused(request: Request, refusal: Exception) -> JSONResponse:
    context = request.app.state.context
    facts = {"domain": context.domain, "mailbox": context.template_mailbox}
    problems = cast(Refusal, refusal).problems
    return _answer(422, [tell(problem, context.render, facts) for problem in problems])


async def _key_reused(_: Request, error: Exception) -> JSONResponse:
    first = cast(KeyReused, error)
    at = f"{datetime.fromtimestamp(first.at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    told = Told(
        type="request.key_reused",
        title="the Idempotency-Key was used for another body",
        detail=f"this key was first used on {at} for {first.id}; a new request needs a new key",
        field="Idempotency-Key",
        value=first.id,
    )
    return _answer(422, [told])


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    return _answer(503, [_told(503)])


def answer(problem: HttpProblem) -> JSONResponse:
    """Return the answer that tells of a problem."""
    headers = {"www-authenticate": "Bearer"} if problem.status == 401 else {}
    return _answer(problem.status, [problem.told], headers)


async def _http_problem(_: Request, problem: Exception) -> JSONResponse:
    return answer(cast(HttpProblem, problem))


async def _left(_: Request, error: Exception) -> JSONResponse:
    """The client left before its body was complete: nobody reads this, and nothing of ours failed."""
    return _answer(400, [_told(400)])


async def _http_exception(_: Request, error: Exception) -> JSONResponse:
    error = cast(HTTPException, error)
    return _answer(error.status_code, [_told(error.status_code)], error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    told = [_told_field(one) for one in cast(RequestValidationError, error).errors()[:_SHOWN]]
    return _answer(400, told)


def _told_field(error: Mapping[str, Any]) -> Told:
    """Our words for what pydantic found: its own would show how we are built."""
    source, *place = error["loc"]
    if source == "body" and not place:
        return _told(400, "a JSON object with Content-Type: application/json is expected")
    if error["type"] == "json_invalid":
        return _told(400, "the body is no JSON")
    name = "".join(f"[{part}]" if isinstance(part, int) else str(part)[:64] for part in place[:2])
    sentence = _FIELD.get(error["type"], "cannot be read").format_map(error.get("ctx", {}))
    told = _told(400, f"{name}: {sentence}", name)
    if error["type"] == "extra_forbidden":
        near = get_close_matches(name, _KNOWN, n=1)
        told.hint = near[0] if near else None
    return told


_KNOWN = ("to", "text", "sender_id", "from", "at", "validity", "reference", "client_ref", "reply_to", "class")


async def _failed(request: Request, error: Exception) -> JSONResponse:
    route = request.scope.get("route")
    log.error("api_failed", where=getattr(route, "path", ""), error=where(error))
    return _answer(500, [_told(500)])


def _describe(app: FastAPI) -> dict[str, Any]:
    """Return OpenAPI's description, with problems under their media type: FastAPI has one type for a route."""
    if app.openapi_schema is None:
        app.openapi_schema = FastAPI.openapi(app)
        methods = [method for path in app.openapi_schema["paths"].values() for method in path.values()]
        for responses in (method["responses"] for method in methods):
            if responses.get("422", {}).get("description") == "Validation Error":
                del responses["422"]  # FastAPI's own: it is a 400 here
            for status in {*DOCUMENTED, "422"} & responses.keys():
                content = responses[status]["content"]
                content[MEDIA_TYPE] = content.pop("application/json")
    return app.openapi_schema


def install(app: FastAPI) -> None:
    """Let every failure of `app` be told as a problem, and described as one."""
    app.openapi = partial(_describe, app)  # type: ignore[method-assign]
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(KeyReused, _key_reused)
    app.add_exception_handler(StoreUnavailable, _unavailable)
    app.add_exception_handler(HttpProblem, _http_problem)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)
