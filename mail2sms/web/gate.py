"""What every request passes: who may not is refused by its head alone; a limit and a deadline for its body, safe
headers on its answer, and a count.
"""

from __future__ import annotations

import asyncio
import string
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mail2sms.web.metrics import Metrics
from mail2sms.web.problems import HttpProblem, answer

_BODY_S = 20.0
_BODY_BYTES, _EVENTS_BYTES, _PICTURES_BYTES = 256_000, 64_000, 8_000_000
_BASE64 = f"{string.ascii_letters}{string.digits}+/".encode()
_DRAINED_BYTES = 1_000_000  # a body up to this is read to its end though it is refused: the client hears why
_EVENTS, _MESSAGES = "/events/", "/api/v1/messages"
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Gate:
    """ASGI middleware; starlette's own base class costs a task per request.

    `admit` raises HttpProblem for those who may not: FastAPI alone would read and parse the body first.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, admit: Callable[[Request], Awaitable[None]]) -> None:
        self._app = app
        self._metrics = metrics
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        app = self._app
        try:
            try:
                await self._admit(Request(scope))
                exchange.check_length()
            except HttpProblem as problem:
                app = answer(problem)
            await app(scope, exchange.receive, exchange.send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(exchange.status)).inc()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        headers = Headers(scope=scope)
        self._is_event = scope["path"].startswith(_EVENTS)
        self._with_pictures = scope["path"] == _MESSAGES and scope["method"] == "POST"
        larger = _PICTURES_BYTES if self._with_pictures else _BODY_BYTES
        self._limit = _EVENTS_BYTES if self._is_event else larger
        self._is_chunked = "transfer-encoding" in headers
        self._length = int(headers.get("content-length", "0"))  # h11 has seen that it is a number
        self._deadline_s = asyncio.get_running_loop().time() + _BODY_S
        self._has_body = False
        self._body_bytes = self._other_bytes = 0
        self.status = 500

    def check_length(self) -> None:
        """Raise HttpProblem for a body that is too long, or in chunks: each costs CPU, be it of one byte.

        Carriers may send their events so; `connection` counts the chunks.
        """
        if self._is_chunked and not self._is_event:
            raise HttpProblem(411, "send Content-Length, not Transfer-Encoding")
        if self._length > self._limit:
            raise HttpProblem(413)

    async def receive(self) -> Message:
        """Return what came, within the limits. Raises HTTPException."""
        if self._has_body:  # from here on it only waits for the client to leave
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408) from None
        body = message.get("body", b"")
        self._body_bytes += len(body)
        if self._with_pictures:  # only they may be long: other JSON of megabytes would hold the loop
            self._other_bytes += len(body.translate(None, _BASE64))
        if self._body_bytes > self._limit or self._other_bytes > _BODY_BYTES:
            raise HTTPException(413)
        self._has_body = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Answer, and hang up if too much of the body is still to come."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not self._has_body and (self._is_chunked or self._length > _DRAINED_BYTES):
                headers["connection"] = "close"
        await self._send(message)
