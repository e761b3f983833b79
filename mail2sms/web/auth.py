"""Who calls: API keys over TCP, the operator over the control socket, this machine for what is simulated."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mail2sms.model import MessageClass
from mail2sms.web.context import ApiKey
from mail2sms.web.problems import HttpProblem

READ, SEND = "read", "send"
OPENAPI = "/api/v1/openapi.json"
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_bearer = HTTPBearer(auto_error=False, description="A key of `api.keys` in mail2sms.yaml.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who calls, and what they may."""

    name: str
    may: frozenset[str]
    sender_id: str | None = None
    reply_to: str | None = None
    is_operator: bool = False
    class_: MessageClass = MessageClass.TRANSACTIONAL


OPERATOR = Caller(name="operator", may=frozenset({READ, SEND}), is_operator=True)


class KeyRing:
    """The keys, as digests. Raises BadOption when a key can't be had."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._callers = [
            (
                hashlib.sha256(key.secret.reveal().encode()).digest(),
                Caller(
                    name=key.name,
                    may=key.may,
                    sender_id=key.sender_id,
                    reply_to=key.reply_to,
                    class_=key.class_,
                ),
            )
            for key in keys
        ]

    def find(self, given: str) -> Caller | None:
        """Return whose key it is; every key is compared, so that time tells nothing."""
        digest = hashlib.sha256(given.encode("latin-1", "replace")).digest()  # as it came over the wire
        found = None
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def needs(right: str) -> Callable[..., Awaitable[Caller]]:
    """Return the dependency that lets callers with this right in, and nobody else."""

    async def admitted(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        caller = _caller(request, given)
        if right not in caller.may:
            raise HttpProblem(403, f"this key may not {right}")
        return caller

    return admitted


def _caller(request: Request, given: HTTPAuthorizationCredentials | None) -> Caller:
    state = request.app.state
    caller: Caller | None = OPERATOR
    if not state.is_control:
        caller = state.key_ring.find(given.credentials if given else "")
    if caller is None:
        raise HttpProblem(401, "send Authorization: Bearer KEY with a key of the configuration")
    return caller


async def admit(request: Request) -> None:
    """Refuse a stranger before the body is read; the routes then ask for what they need. Raises HttpProblem."""
    path = request.scope["path"]
    if path.startswith("/api/") and path != OPENAPI:
        _caller(request, await _bearer(request))
    elif path.startswith(("/sim/", "/demo")):
        await from_here(request)


async def _operates(caller: Annotated[Caller, Depends(needs(SEND))]) -> Caller:
    if not caller.is_operator:
        raise HttpProblem(403, "only the operator may, through the control socket")
    return caller


Reader = Annotated[Caller, Depends(needs(READ))]
Sender = Annotated[Caller, Depends(needs(SEND))]
Operator = Annotated[Caller, Depends(_operates)]


async def from_here(request: Request) -> None:
    """Let only programs and browsers on this machine in, and no page that they load from elsewhere.

    A proxy on this machine would make everybody local, so what it forwards is refused. One that adds no header to
    tell of it (nginx with a bare `proxy_pass`, which also sets Host to our own address) can't be told from a
    program here: before such a proxy only `mode: live` is safe. A Host that is not this machine is DNS rebinding,
    another Origin a page of somebody else's.
    """
    headers, client = request.headers, request.client
    if client is None:  # a unix socket
        return
    host = headers.get("host", "")
    is_local = _is_loopback(client.host) and not any(name in headers for name in _FORWARDED)
    is_same_page = headers.get("origin", f"http://{host}") in {f"http://{host}", f"https://{host}"}
    if not (is_local and is_same_page and _is_loopback(_hostname(host))):
        raise HttpProblem(403, "this is only for programs on the same machine")


def _hostname(host: str) -> str:
    """Return a Host header's name without its port; nothing if it can't be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
