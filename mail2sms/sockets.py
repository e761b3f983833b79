"""Listening sockets, made so that asyncio serves them well. Knows no protocol."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from mail2sms.options import Endpoint


async def open_sockets(place: Endpoint | Sequence[socket.socket]) -> list[socket.socket]:
    """Return sockets for an endpoint, or those that were inherited, ready to listen. Raises OSError."""
    if isinstance(place, Endpoint):
        return await bind(place)
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
