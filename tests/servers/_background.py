"""An event loop in a thread of its own: servers of this process live in it while the test goes on."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

_PATIENCE_S = 30.0
_BACKLOG = 500
_CLOSING_S = 0.05  # in which transports close their sockets


class Background:
    """A context manager; at its end its servers are closed, and everything that still runs in it is cancelled."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._servers: list[asyncio.Server] = []

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` in the loop and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_PATIENCE_S)

    def listen(
        self,
        begin: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
        port: int,
        context: ssl.SSLContext | None = None,
    ) -> asyncio.Server:
        """Listen on a port of this machine."""
        opening = asyncio.start_server(begin, "127.0.0.1", port, ssl=context, backlog=_BACKLOG)
        server = self.run(opening)
        self._servers.append(server)
        return server

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.run_until_complete(self._end())
        self.loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(_CLOSING_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_PATIENCE_S)
