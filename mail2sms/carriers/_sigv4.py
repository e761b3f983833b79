"""Signed requests to AWS. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html (read 2026-11). Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

_ALGORITHM, _END = "AWS4-HMAC-SHA256", "aws4_request"


def sign(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    region: str,
    service: str,
    keys: tuple[str, str],
    now_s: int,
) -> dict[str, str]:
    """Return the headers of a POST to `/`, with its signature; `keys` are the access key's id and its secret."""
    at = datetime.fromtimestamp(now_s, UTC)
    stamp, day = at.strftime("%Y%m%dT%H%M%SZ"), at.strftime("%Y%m%d")
    parts = urlsplit(url)
    signed = {name.lower(): value for name, value in headers.items()} | {
        "host": parts.netloc,
        "x-amz-date": stamp,
    }
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    request = f"POST\n{parts.path or '/'}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{day}/{region}/{service}/{_END}"
    told = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{keys[1]}".encode()
    for step in (day, region, service, _END):
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, told.encode(), "sha256").hex()
    proof = f"{_ALGORITHM} Credential={keys[0]}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "X-Amz-Date": stamp, "Authorization": proof}
