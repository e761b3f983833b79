"""One request to an HTTP provider. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mail2sms.carriers._proofs import base64_of


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """One request to a provider. URL, headers and body hold secrets and texts."""

    url: str = field(repr=False)
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


def basic(user: str, password: str) -> str:
    """Return the header of Basic authentication (RFC 7617)."""
    return f"Basic {base64_of(f'{user}:{password}'.encode())}"


def step(text: str) -> str:
    """Return a text as one step, or one value, of a URL."""
    return quote(text, safe="")


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def get_request(url: str, **headers: str) -> HttpRequest:
    """Return a question whose answer is JSON; names of headers with _ for -."""
    return HttpRequest(url=url, method="GET", headers={"Accept": "application/json", **_named(headers)})


def json_request(url: str, body: Mapping[str, Any], **headers: str) -> HttpRequest:
    """Return a POST of JSON; names of headers with _ for -."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    content = {"Content-Type": "application/json", "Accept": "application/json"}
    return HttpRequest(url=url, headers={**content, **_named(headers)}, body=data)
