"""Fetching what came with an MMS, from the provider's hosts alone.

The URL stands in a webhook that proved itself, but what it leads to is a stranger's. So: https; a host of the
provider's, at a public address, looked up once and connected to there; each redirect judged anew; credentials for the
provider's own API alone; a limit of size and time; and what it is, is what its first bytes say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from mail2sms.carriers._answers import dig
from mail2sms.errors import FetchFailed
from mail2sms.http import Answer, Http, NoAnswer, NotPublic, NotSent, TooLarge
from mail2sms.media import file_type
from mail2sms.model import Media, Photo

_REDIRECTS = 3
_TIMEOUT_S = 20.0
_GONE = frozenset({400, 401, 403, 404, 405, 410, 451})


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a provider keeps what phones send. `hosts` that begin with a dot are all below; `api` is where `login` is
    shown; with `is_own` it is the operator's, and may be anywhere.
    """

    hosts: Sequence[str]
    api: str
    login: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_own: bool = False

    def allows(self, url: str) -> bool:
        """Whether something may be fetched from there."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        if parts.username is not None or parts.password is not None:
            return False
        if self.is_own and self.is_api(url):
            return True
        is_named = any(host.endswith(name) if name[0] == "." else host == name for name in self.hosts)
        return parts.scheme == "https" and port in (None, 443) and is_named

    def is_api(self, url: str) -> bool:
        """Whether it is the API's own host, scheme and port, as configured."""
        parts, api = urlsplit(url), urlsplit(self.api)
        return (parts.scheme, parts.netloc.lower()) == (api.scheme, api.netloc.lower())


def files(found: Any, *steps: str) -> list[Media]:
    """Return the files that JSON lists: URLs, or objects that have one at the end of these steps."""
    urls = [dig(one, *steps) if steps else one for one in found] if isinstance(found, list) else []
    return [Media(url=url) for url in urls if isinstance(url, str)]


async def fetch(http: Http, source: Source, url: str, limit_bytes: int) -> Photo:
    """Return the file at a URL. Raises FetchFailed."""
    for _ in range(_REDIRECTS + 1):
        if not source.allows(url):
            raise FetchFailed("host", is_final=True, host=_host(url))
        answer = await _ask(http, source, url, limit_bytes)
        if 300 <= answer.status < 400:
            url = _follow(url, answer)
            continue
        if answer.status != 200:
            raise FetchFailed("gone" if answer.status in _GONE else "unavailable")
        found = file_type(answer.body)
        if not found:
            raise FetchFailed("type", is_final=True)
        return Photo(name="", media_type=found, content=answer.body)
    raise FetchFailed("redirects", is_final=True, host=_host(url))


async def _ask(http: Http, source: Source, url: str, limit_bytes: int) -> Answer:
    is_api = source.is_api(url)
    try:
        return await http.download(
            url,
            limit_bytes=limit_bytes,
            headers=source.login if is_api else None,
            timeout_s=_TIMEOUT_S,
            is_trusted=is_api and source.is_own,
        )
    except NotPublic:
        raise FetchFailed("host", is_final=True, host=_host(url)) from None
    except TooLarge:
        raise FetchFailed("size", is_final=True) from None
    except (NotSent, NoAnswer):
        raise FetchFailed("unavailable") from None


def _follow(url: str, answer: Answer) -> str:
    """Return where a redirect leads; what it says is judged as any URL is."""
    try:
        return urljoin(url, answer.headers.get("location", ""))
    except ValueError:
        return ""


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "")[:100]
    except ValueError:
        return ""
