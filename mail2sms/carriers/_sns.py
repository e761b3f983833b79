"""What Amazon SNS posts to a webhook, and how it is signed.
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html (read 2026-11). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from mail2sms.carriers._answers import dig
from mail2sms.carriers._base import Call
from mail2sms.carriers._keys import is_signed_by_certificate
from mail2sms.carriers._proofs import as_json, moment, must

_OLDEST_MS, _AHEAD_MS = 3_600_000, 300_000
_CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    **dict.fromkeys(
        _CONFIRMATIONS, ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    ),
}
_HOST = re.compile(r"sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """One request of SNS: `certificate` is where the one is that signed it, `confirm` where to subscribe."""

    kind: str
    fields: Mapping[str, Any] = field(repr=False)
    certificate: str
    confirm: str = ""


def read(call: Call, topic: str) -> Post:
    """Return a post to our topic. Raises PermissionError for another's, or one with a certificate from elsewhere."""
    try:
        said = as_json(call)
    except ValueError:
        raise PermissionError("no JSON") from None
    kind, certificate = dig(said, "Type"), dig(said, "SigningCertURL")
    must(kind in _SIGNED and dig(said, "TopicArn") == topic, "another topic")
    must(_is_theirs(certificate) and certificate.endswith(".pem"), "another's certificate")
    confirm = dig(said, "SubscribeURL") if kind == _CONFIRMATIONS[0] else ""
    must(not confirm or _is_theirs(confirm), "another's subscription")
    return Post(kind=kind, fields=said, certificate=certificate, confirm=confirm or "")


def _is_theirs(url: Any) -> bool:
    if not isinstance(url, str) or len(url) > 2000:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and parts.port is None and bool(_HOST.match(parts.netloc))
    except ValueError:
        return False


def canonical(post: Post) -> str:
    """Return what is signed."""
    told = [(name, post.fields.get(name)) for name in _SIGNED[post.kind]]
    return "".join(f"{name}\n{value}\n" for name, value in told if isinstance(value, str))


def check(post: Post, pem: bytes, call: Call) -> None:
    """Raise PermissionError unless the certificate's owner signed it, lately."""
    version, signature = post.fields.get("SignatureVersion"), post.fields.get("Signature")
    must(version in ("1", "2") and isinstance(signature, str), "not signed as we know it")
    at = datetime.fromtimestamp(call.at / 1000, UTC)
    data = canonical(post).encode("utf-8", "replace")
    is_good = is_signed_by_certificate(pem, str(signature), data, is_sha256=version == "2", at=at)
    must(is_good, "the signature is wrong")
    age_ms = call.at - moment(post.fields.get("Timestamp"), Call(at=0))
    must(-_AHEAD_MS <= age_ms <= _OLDEST_MS, "the timestamp is not of now")
