"""One listening address of the application: uvicorn inside the daemon's loop. Its only importer.

uvicorn's own log stays silent: its tracebacks would hold what people wrote. Nothing logs a query string.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mail2sms.options import Endpoint
from mail2sms.sockets import bind

_CONNECTIONS = 500
_HEAD_S = 15.0  # for the first byte of a request to its last header
_KEEP_ALIVE_S = 15
_GRACE_S = 10
_BACKLOG = 512


class _Connection(H11Protocol):
    """One connection; uvicorn alone would wait for a request's head for ever."""

    since_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the client in, if there is room."""
        super().connection_made(transport)
        self.since_s = self.loop.time()
        if len(self.connections) > _CONNECTIONS:
            transport.abort()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.since_s = self.loop.time()
        super().on_response_complete()

    def expire(self, now_s: float) -> None:
        """Close if the head of a request is overdue."""
        is_waiting = self.cycle is None or self.cycle.response_complete
        if is_waiting and now_s - self.since_s > _HEAD_S:
            self.transport.abort()


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
                if isinstance(connection, _Connection):
                    connection.expire(now_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)

    def stop(self) -> None:
        """End the main loop."""
        self.should_exit = True
        self._stopping.set()


class WebServer:
    """Serves an application on a TCP endpoint or on a unix socket that only our user may open."""

    def __init__(self, app: FastAPI, *, endpoint: Endpoint | None = None, path: Path | None = None) -> None:
        assert (endpoint is None) != (path is None), "one of both"
        self._app = app
        self._endpoint = endpoint
        self._path = path
        self._server: _Embedded | None = None
        self._task: asyncio.Task[None] | None = None
        self.addresses: tuple[Endpoint, ...] = ()

    async def start(self) -> None:
        """Listen. Raises OSError when the address can't be had."""
        if self._path is not None:
            sockets = [_bind_path(self._path)]
        else:
            assert self._endpoint is not None
            sockets = await bind(self._endpoint)
            self.addresses = tuple(Endpoint(*each.getsockname()[:2]) for each in sockets)
        config = uvicorn.Config(
            self._app,
            http=_Connection,
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
        self._server.stop()
        await self._task
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _bind_path(path: Path) -> socket.socket:
    """Bind a unix socket with mode 0600; one that a crash left behind is replaced."""
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # no moment in which others could connect
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(before)
    return bound


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is in the way of the control socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(f"{path} belongs to a daemon that runs")
