"""One listening address of the application: uvicorn inside the daemon's loop.

uvicorn's own log stays silent: its tracebacks would hold what people wrote. Nothing logs a query string.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from mail2sms.endpoint import Endpoint
from mail2sms.sockets import bind_path, open_sockets
from mail2sms.web.connection import Connection, Sliced

_KEEP_ALIVE_S = 15
_UNSENT_BYTES = 65_536  # held by the kernel for a connection; its megabytes would hide who does not read
_GRACE_S = 10
_BACKLOG = 512


class _Embedded(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Once a second, instead of uvicorn's ten times: set the date, look for clients that dawdle."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 10  # uvicorn counts tenths of a second
            now_s = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.expire(now_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stopping.wait()

    def stop(self) -> None:
        """End the main loop."""
        self.should_exit = True
        self._stopping.set()


class WebServer:
    """Serves an application on a TCP endpoint or on a unix socket that only our user may open.

    `endpoint` may also be bound sockets that were inherited. `exempt` names clients without per-IP limits.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        endpoint: Endpoint | Sequence[socket.socket] | None = None,
        path: Path | None = None,
        exempt: Callable[[str], bool] = lambda ip: False,
    ) -> None:
        assert (endpoint is None) != (path is None), "one of both"
        self.app = app
        self._endpoint = endpoint
        self._path = path
        self._exempt = exempt
        self._server: _Embedded | None = None
        self._task: asyncio.Task[None] | None = None
        self.addresses: tuple[Endpoint, ...] = ()

    async def start(self) -> None:
        """Listen. Raises OSError when the address can't be had."""
        if self._path is not None:
            sockets = [bind_path(self._path)]
        else:
            assert self._endpoint is not None
            await asyncio.to_thread(self.app.openapi)  # 60 ms, that a stranger would cost the loop
            sockets = await open_sockets(self._endpoint)
            for each in sockets:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNSENT_BYTES)
            self.addresses = tuple(Endpoint(*each.getsockname()[:2]) for each in sockets)
        config = uvicorn.Config(
            self.app,
            http=partial(Sliced, self._exempt),  # type: ignore[arg-type]  # uvicorn only calls it
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            backlog=_BACKLOG,
        )
        self._server = _Embedded(config)
        self._task = asyncio.create_task(self._server.serve(sockets))
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait([self._task, ready], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Take no more, and let the requests under way finish."""
        if self._server is None or self._task is None:
            return
        for end in getattr(self.app.state, "endings", ()):  # streams would not finish by themselves
            end()
        self._server.stop()
        await self._task
        if self._path is not None:
            self._path.unlink(missing_ok=True)
