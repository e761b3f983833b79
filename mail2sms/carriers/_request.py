"""One request to an HTTP provider. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


def json_request(url: str, body: Mapping[str, Any], **headers: str) -> HttpRequest:
    """Return a POST of JSON; names of headers with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    content = {"Content-Type": "application/json", "Accept": "application/json"}
    return HttpRequest(url=url, headers={**content, **named}, body=data)
