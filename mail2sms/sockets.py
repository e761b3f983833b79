"""Listening sockets, made so that asyncio serves them well. Knows no protocol."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from mail2sms.endpoint import Endpoint

_PATH_BYTES = 107  # of a unix socket: sun_path, unix(7)
_OURS, _ANYBODYS = 0o600, 0o666


async def open_sockets(place: Endpoint | Sequence[socket.socket]) -> list[socket.socket]:
    """Return sockets for an endpoint, or those that were inherited, ready to listen. Raises OSError."""
    if isinstance(place, Endpoint):
        # As with a port of 127.0.0.1, whoever is on this machine may connect: its folder can forbid it.
        return [bind_path(Path(place.host), _ANYBODYS)] if place.is_unix else await bind(place)
    # Looked at anew: with proto=0 asyncio would not set TCP_NODELAY.
    return [socket.socket(fileno=each.detach()) for each in place]


async def bind(endpoint: Endpoint) -> list[socket.socket]:
    """Return bound sockets, one for each address the host's name has. `::` takes IPv4 too.

    Raises OSError that names the endpoint.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            endpoint.host,
            endpoint.port,
            type=socket.SOCK_STREAM,
            proto=socket.IPPROTO_TCP,  # with 0, asyncio would not set TCP_NODELAY
            flags=socket.AI_PASSIVE,
        )
    except OSError as e:
        raise OSError(e.errno, f"cannot listen on {endpoint}: {e.strerror}") from e
    sockets: list[socket.socket] = []
    for family, kind, proto, _, address in dict.fromkeys(found):
        bound = socket.socket(family, kind, proto)
        sockets.append(bound)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, endpoint.host != "::")
        try:
            bound.bind(address)
        except OSError as e:
            for each in sockets:
                each.close()
            raise OSError(e.errno, f"cannot listen on {endpoint}: {e.strerror}") from e
    return sockets


def bind_path(path: Path, mode: int = _OURS) -> socket.socket:
    """Return a bound unix socket that others may open as `mode` says; one that a crash left behind is replaced.

    Raises OSError that names the path.
    """
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)  # no moment in which others could connect
    try:
        bound.bind(str(path))
    except OSError as e:
        bound.close()
        is_long = len(os.fsencode(path)) > _PATH_BYTES
        way_out = "; set RUNTIME_DIRECTORY to a shorter folder" if is_long else ""
        raise OSError(e.errno, f"cannot listen on {path}: {e.strerror or e}{way_out}") from e
    finally:
        os.umask(before)
    return bound


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is in the way of a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(f"{path} belongs to a daemon that runs")
