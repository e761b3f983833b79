"""An HTTP provider of one's own: it takes whole orders and remembers them all, so that it can say what came twice.

The path of an order says how it is answered: `/length`, `/chunked` or `/until-close`, with `/once` behind it when the
connection is to be closed afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.servers._background import Background
from tests.servers._server import free_port

_NOTHING = b" " * 1_000_000
_ID_DIGITS = 8  # so that all answers are of one length


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One whole request: `at` is the machine's time in seconds when its last byte was here."""

    at: float
    path: str
    message: str
    attempt: str
    to: str
    text: str
    answer: Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an order gets. Without a body a taken one gets the JSON with its id; `more` are bytes of nothing behind it.

    `ending`: the answer as a whole, nothing at all with the connection left open (`hang`), or broken off (`reset`).
    """

    is_taken: bool = True
    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    more: int = 0
    ending: Literal["whole", "hang", "reset"] = "whole"
    name: str = ""


TAKEN = Answer()


class Provider:
    """Listens on `port`, and with a context for TLS on `tls_port` too. `judge` answers by message and attempt."""

    def __init__(
        self,
        background: Background,
        judge: Callable[[str, str], Answer] = lambda message, text: TAKEN,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.orders: list[Order] = []
        self._judge = judge
        background.listen(self._serve, self.port)
        if context is not None:
            background.listen(self._serve, self.tls_port, context)

    def taken(self) -> Counter[str]:
        """How often each message was taken."""
        return Counter(order.message for order in self.orders if order.answer.is_taken)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        quiet = contextlib.suppress(
            OSError, asyncio.IncompleteReadError
        )  # who left in the middle ordered nothing
        with quiet, contextlib.closing(writer):
            while await self._take(reader, writer):
                pass

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one order and answer it; return whether another may come."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
        words = json.loads(await reader.readexactly(length))
        path = head.split(b" ", 2)[1].decode()
        answer = self._judge(words["message"], words["text"])
        order = Order(at=time.time(), path=path, answer=answer, **words)
        self.orders.append(order)
        if answer.ending == "hang":
            await reader.read()
            return False
        if answer.ending == "reset":
            writer.transport.abort()
            return False
        writer.write(self._answer(order))
        await writer.drain()
        for _ in range(answer.more // len(_NOTHING)):
            writer.write(_NOTHING)
            await writer.drain()
        return not path.endswith("/once")

    def _answer(self, order: Order) -> bytes:
        answer = order.answer
        taken = {"id": f"p-{len(self.orders):0{_ID_DIGITS}}", "status": "queued"}
        body = (
            answer.body if answer.body is not None else json.dumps(taken if answer.is_taken else {}).encode()
        )
        headers = {"Content-Type": "application/json", **answer.headers}
        if order.path.startswith("/chunked"):
            headers["Transfer-Encoding"] = "chunked"
            half = len(body) // 2
            pieces = [piece for piece in (body[:half], body[half:]) if piece]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        elif order.path.startswith("/length"):
            headers["Content-Length"] = str(len(body) + answer.more)
        if order.path.endswith("/once"):
            headers["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {answer.status} Said\r\n{lines}\r\n".encode() + body
