"""How a webhook request proves itself, and how its fields are read. Pure; the clock is the call's.

Everything compares in constant time, on the raw bytes; no algorithm is taken from a message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from mail2sms.carriers._answers import dig
from mail2sms.carriers._base import Call
from mail2sms.model import Msisdn

WINDOW_S = 300  # a signed request may be so old, or so far ahead of our clock
_FIELDS = 200
_SHORTEST_NUMBER = 7  # digits; what is shorter is a short code


def same(given: str, expected: str) -> bool:
    """Whether two texts are the same, told in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def digest(key: str, signed: bytes, algorithm: str = "sha256") -> bytes:
    """Return the HMAC."""
    return hmac.digest(key.encode(), signed, algorithm)


def base64_of(data: bytes) -> str:
    """Return bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def must(is_so: bool, what: str) -> None:
    """Raise PermissionError unless it is so."""
    if not is_so:
        raise PermissionError(what)


def must_be_fresh(seconds: str, call: Call) -> None:
    """Raise PermissionError unless a Unix time is near the call's."""
    is_time = seconds.isascii() and seconds.isdigit() and len(seconds) < 13
    must(is_time and abs(int(seconds) - call.at / 1000) <= WINDOW_S, "the timestamp is not of now")


def claims(token: str, key: str, algorithms: Mapping[str, str]) -> dict[str, Any]:
    """Return the claims of a JWT (RFC 7519) whose HMAC is right; `algorithms` are those that are allowed."""
    must(len(token) < 8192 and token.count(".") == 2, "no JWT")
    head, body, signature = token.split(".")
    named = algorithms.get(str(dig(_json_of_base64(head), "alg")))
    must(named is not None, "the JWT has another algorithm")
    expected = hmac.digest(key.encode(), f"{head}.{body}".encode("utf-8", "replace"), str(named))
    must(hmac.compare_digest(_from_base64(signature), expected), "the JWT's signature is wrong")
    found = _json_of_base64(body)
    must(isinstance(found, dict), "the JWT has no claims")
    return dict(found)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise PermissionError("no base64") from None


def _json_of_base64(text: str) -> Any:
    try:
        return json.loads(_from_base64(text))
    except (ValueError, RecursionError):
        raise PermissionError("no JSON in the JWT") from None


def sha256(data: bytes) -> str:
    """Return the hash in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def with_ports(url: str) -> tuple[str, ...]:
    """Return a URL as it is and with its scheme's port written or left out: providers sign either."""
    parts = urlsplit(url)
    default = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    bare = parts.netloc.removesuffix(default)
    other = bare if bare != parts.netloc else f"{bare}{default}" if parts.port is None else ""
    return (url, urlunsplit(parts._replace(netloc=other))) if other else (url,)


def pairs(call: Call) -> list[tuple[str, str]]:
    """Return the fields of a form, in their order. Raises ValueError."""
    return parse_qsl(
        call.body.decode("utf-8", "replace"),
        keep_blank_values=True,
        max_num_fields=_FIELDS,
    )


def asked(call: Call) -> dict[str, str]:
    """Return the fields of the query. Raises ValueError."""
    return dict(parse_qsl(call.query, keep_blank_values=True, max_num_fields=_FIELDS))


def fields(call: Call) -> dict[str, str]:
    """Return the fields of query and body, be it a form or a flat JSON object. Raises ValueError.

    Of a GET those of the query: what providers sign of it is its URL.
    """
    found = asked(call)
    if call.method == "GET":
        return found
    if call.body.lstrip()[:1] in (b"{", b"["):
        read = as_json(call)
        given = read if isinstance(read, dict) else {}
        scalars = (str, int, float)
        return found | {k: text(v) for k, v in given.items() if isinstance(v, scalars)}
    return found | dict(pairs(call))


def as_json(call: Call) -> Any:
    """Return the body's JSON. Raises ValueError."""
    try:
        return json.loads(call.body)
    except RecursionError:
        raise ValueError("the JSON is too deep") from None


def text(value: Any) -> str:
    """Return a value as text that every database can hold: no NUL, no half of a surrogate pair."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    whole = str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\ufffd")


def phone(value: Any) -> Msisdn:
    """Return who wrote, or to which of our numbers: E.164 where it is a number; short codes and names stay."""
    written = "".join(c for c in text(value).strip() if c.isprintable())[:32]
    digits = written.removeprefix("+").removeprefix("00" if len(written) > 8 else "")
    is_number = digits.isascii() and digits.isdigit() and len(digits) >= _SHORTEST_NUMBER
    return Msisdn(f"+{digits}" if is_number else written)


def moment(value: Any, call: Call) -> int:
    """Return a time of ISO 8601, or of Unix seconds, in milliseconds; the call's where there is none to be read."""
    written = text(value).strip()
    try:
        if written.isascii() and written.isdigit() and len(written) in (10, 13):
            return int(written) * (1000 if len(written) == 10 else 1)
        read = datetime.fromisoformat(written)
        return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return call.at
