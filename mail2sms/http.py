"""The one HTTP client, and the only importer of aiohttp. It knows whether a request may have arrived,
and nothing of what it means: no retries, redirects, cookies or proxies; retrying is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from mail2sms.endpoint import Endpoint, is_public

BODY_LIMIT: Final = 64 * 1024  # bytes of an answer that are read; the rest is dropped

# Shorter than servers keep a connection (Gunicorn 2 s, Node.js and uvicorn 5 s): a request written to one
# that the server closes at that moment has no answer, and would wait for a human.
_IDLE_S: Final = 1.5
_CONNECTIONS: Final = 100

_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,  # DNS, refused, TLS, certificate
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)


class NotSent(Exception):
    """Certainly no byte of the request reached the server."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NoAnswer(Exception):
    """The request may have arrived; its answer did not."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NotPublic(Exception):
    """A host that a stranger named is at an address of ours, or of nobody: nothing was asked of it."""


class TooLarge(Exception):
    """There is more than the limit; the rest was not read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the server said. Names in `headers` are in lower case; `body` holds at most BODY_LIMIT bytes."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def retry_after_s(self) -> float | None:
        """The server's wish in seconds (RFC 9110 section 10.2.3), at most a day; None for a date or none."""
        text = self.headers.get("retry-after", "").strip()
        return float(min(int(text), 86_400)) if text.isascii() and text.isdigit() and len(text) < 10 else None


class Http:
    """Sends each request once and tells what came of it. Lives in one event loop; `close` it at the end.

    Strangers' hosts are found by `resolver`, by default the system's.
    """

    def __init__(self, resolver: aiohttp.abc.AbstractResolver | None = None) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._alone: dict[type[_Connector], aiohttp.ClientSession] = {}
        self._resolver = resolver

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 20,
        connect_s: float = 5,
        allow_plain: bool = False,
    ) -> Answer:
        """`request` with POST."""
        return await self.request(
            "POST",
            url,
            body=body,
            headers=headers,
            timeout_s=timeout_s,
            connect_s=connect_s,
            allow_plain=allow_plain,
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 20,
        connect_s: float = 5,
        allow_plain: bool = False,
    ) -> Answer:
        """Send it once and return the answer, whatever its status. Plain http goes to this machine only.

        Connecting, TLS included, takes at most half of the time: its end must be told from an answer that did not come.
        Raises NotSent or NoAnswer. Their texts name the host, never the URL: it may hold secrets and numbers.
        """
        host = _host(url, headers or {}, allow_plain=allow_plain)
        connect_s = min(connect_s, timeout_s / 2)
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=connect_s, sock_connect=connect_s)
        try:
            async with self._open().request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                return Answer(
                    status=answer.status,
                    body=await _read(answer),
                    headers={name.lower(): value for name, value in answer.headers.items()},
                )
        except _NEVER_SENT as e:
            raise NotSent(f"{host}: {_why(e)}") from None
        except (
            aiohttp.ClientError,
            OSError,
        ) as e:  # OSError includes TimeoutError
            raise NoAnswer(f"{host}: {type(e).__name__}") from None

    async def download(
        self,
        url: str,
        *,
        limit_bytes: int,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 20,
        is_trusted: bool = False,
    ) -> Answer:
        """GET what is at a URL that a stranger may have written: https, at a public address, up to the limit.

        The address that is looked at is the one that is connected to. A redirect is an answer. With `is_trusted` the
        URL's host is the configuration's, and may be anywhere. Raises NotPublic, TooLarge, NotSent or NoAnswer.
        """
        host = _host(url, headers or {}, allow_plain=is_trusted)
        if not is_trusted and not (urlsplit(url).scheme == "https" and host.isascii()):
            raise NotPublic
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=5, sock_connect=5)
        session = self._open_alone(_Connector if is_trusted else _PublicConnector)
        try:
            async with session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as answer:
                named = {name.lower(): value for name, value in answer.headers.items()}
                if (answer.content_length or 0) > limit_bytes:
                    answer.close()
                    raise TooLarge
                return Answer(status=answer.status, body=await _read_all(answer, limit_bytes), headers=named)
        except _NEVER_SENT as e:
            raise NotSent(f"{host}: {_why(e)}") from None
        except (aiohttp.ClientError, OSError) as e:
            raise NoAnswer(f"{host}: {type(e).__name__}") from None

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        sessions = [*filter(None, [self._session]), *self._alone.values()]
        self._session, self._alone = None, {}
        for session in sessions:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = _session(_Connector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_S))
        return self._session

    def _open_alone(self, kind: type[_Connector]) -> aiohttp.ClientSession:
        """Each request over a connection of its own: one that a server is about to close would spoil a GET."""
        if kind not in self._alone:
            resolver = self._resolver or aiohttp.ThreadedResolver()
            self._alone[kind] = _session(kind(limit=_CONNECTIONS, resolver=resolver, force_close=True))
        return self._alone[kind]


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "mail2sms", "Accept-Encoding": "identity"},
        middlewares=(_once,),
        request_class=_Request,
    )


class _Connector(aiohttp.TCPConnector):
    """Uses no connection again on which the server spoke unasked.

    Proxies say 408 before they close an idle one, and aiohttp would take that for the next answer.
    """

    async def _get(self, key: Any, traces: Any) -> Any:
        while (kept := await super()._get(key, traces)) is not None:
            if kept.protocol is not None and not kept.protocol.should_close:
                return kept
            kept.close()
        return None


class _PublicConnector(_Connector):
    """Connects to public addresses alone: one other among a host's is reason enough to ask nothing of it.

    This is the last step before the connection, so what a URL, IDNA or a name server make of a host is seen here.
    """

    async def _resolve_host(self, *args: Any, **kwargs: Any) -> list[aiohttp.abc.ResolveResult]:
        found = await super()._resolve_host(*args, **kwargs)
        if not all(is_public(one["host"]) for one in found):
            raise NotPublic
        return found


class _Request(aiohttp.ClientRequest):
    """A request that knows whether it was written: before Python 3.12 the loop turns once between connecting and that,
    and a connection that ends then fails in a way that does not tell (on uvloop as ServerDisconnectedError).
    """

    has_left = False

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Begin to send it; without a body all of it leaves here."""
        self.has_left = not self.body
        return await super().send(conn)

    async def write_bytes(
        self,
        writer: aiohttp.abc.AbstractStreamWriter,
        conn: aiohttp.connector.Connection,
        content_length: int | None = None,
    ) -> None:
        """Write header and body, unless the server has left, or has spoken before it was asked."""
        protocol = conn.protocol
        if protocol is None or not protocol.is_connected() or protocol.should_close:
            conn.close()
            return
        self.has_left = True
        await super().write_bytes(writer, conn, content_length)


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Tell what was never written, and stop aiohttp from sending an idempotent request again.

    It does so for ClientOSError and ServerDisconnectedError (client.py 3.14, `retry_persistent_connection`),
    on a fresh connection too.
    """
    assert isinstance(request, _Request)
    try:
        answer = await handler(request)
    except _NEVER_SENT:
        raise
    except (aiohttp.ClientError, OSError) as e:
        failure = NoAnswer if request.has_left else NotSent
        raise failure(f"{request.url.host}: {type(e).__name__}") from None
    if not request.has_left:
        answer.close()
        raise NotSent(f"{request.url.host}: the connection was not fit for use")
    return answer


async def _read_all(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    found = bytearray()
    async for piece in answer.content.iter_chunked(64 * 1024):
        found += piece
        if len(found) > limit_bytes:
            answer.close()
            raise TooLarge
    return bytes(found)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    while len(found) < BODY_LIMIT:
        piece = await answer.content.read(BODY_LIMIT - len(found))
        if not piece:
            return bytes(found)
        found += piece
    answer.close()  # there may be more: the connection is of no further use
    return bytes(found)


def _host(url: str, headers: Mapping[str, str], *, allow_plain: bool) -> str:
    """Return the host's name, or raise NotSent for what must not leave."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
        host.encode("idna")  # as the resolver will
    except ValueError:  # includes UnicodeError
        raise NotSent("the URL cannot be read") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise NotSent("the URL is not one of http or https")
    if parts.scheme == "http" and not (allow_plain or Endpoint(host, port).is_loopback):
        raise NotSent(f"{host}: plain http goes to this machine only; use https")
    if any(c in text for pair in headers.items() for text in pair for c in "\r\n\0"):
        raise NotSent(f"{host}: a header holds a line break")
    return host


def _why(failure: Exception) -> str:
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return "the name cannot be resolved"
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not accepted"
    if isinstance(failure, aiohttp.ClientConnectorSSLError):
        return "no TLS connection"
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return "no connection in time"
    if isinstance(failure, aiohttp.ClientConnectorError):
        return f"no connection ({failure.os_error.strerror or type(failure.os_error).__name__})"
    return type(failure).__name__
