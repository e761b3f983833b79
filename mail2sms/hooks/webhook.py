"""Events as signed JSON, for the operator's own programs.

Signed as https://www.standardwebhooks.com says (specification 1.0.0): HMAC-SHA256 over `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Final

from mail2sms.errors import BadOption
from mail2sms.hooks._base import Hook, HookEvent, HookOptions, HookRequest
from mail2sms.options import SecretOption

_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(16, 65)  # the specification asks for 24 to 64; services hand out shorter ones


class Options(HookOptions):
    """`secret` is `whsec_` and the key in base64; without one, posts are not signed."""

    secret: SecretOption | None = None
    """whsec_ and a key in base64: signs each post. Example: credential:hook"""


class Webhook(Hook):
    """Posts JSON to one URL."""

    def __init__(self, url: str, key: bytes | None) -> None:
        self._url = url
        self._key = key

    def request(self, event: HookEvent, now_s: int) -> HookRequest:
        """Return the POST; its webhook-id stays the same when it is repeated."""
        body = json.dumps(_payload(event), ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(now_s),
        }
        if self._key is not None:
            signed = f"{event.id}.{now_s}.".encode() + body
            digest = hmac.new(self._key, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode('ascii')}"
        return HookRequest(url=self._url, headers=headers, body=body)


def build(options: Options) -> Webhook:
    """Return the hook. Raises BadOption when a secret can't be had or is none."""
    return Webhook(options.url.reveal(), _key(options.secret.reveal()) if options.secret else None)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
        raise BadOption("the secret of a webhook is whsec_ and 24 to 64 bytes in base64")
    return key


def _payload(event: HookEvent) -> dict[str, object]:
    at = datetime.fromtimestamp(event.at / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "type": f"sms.{event.kind}",
        "timestamp": at.replace("+00:00", "Z"),
        "data": {
            "phone": event.msisdn,
            "our_address": event.our_address,
            "text": event.text.encode("utf-8", "replace").decode(),
            "photos": event.photos,
            "writer": event.writer,
            "conversation": event.conversation,
            "message": event.message,
            "reason": event.reason,
            "reply_address": event.reply_address,
        },
    }
