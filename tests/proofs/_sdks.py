"""What the providers' own SDKs say of webhook requests: a program for an environment that has them, one JSON a line.

In: type, method, url (as it was called), headers, body, secret, method of signing. Out: whether the SDK takes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit


def twilio(asked: dict[str, Any]) -> bool:
    """RequestValidator of `twilio`."""
    from twilio.request_validator import RequestValidator

    form = parse_qs(asked["body"], keep_blank_values=True)
    params = {name: values if len(values) > 1 else values[0] for name, values in form.items()}
    given = asked["headers"].get("x-twilio-signature", "")
    return bool(RequestValidator(asked["secret"]).validate(asked["url"], params, given))


def vonage(asked: dict[str, Any]) -> bool:
    """Auth of `vonage-http-client`. It looks at no time."""
    from vonage_http_client.auth import Auth

    text = asked["body"] or urlsplit(asked["url"]).query
    params = dict(parse_qsl(text, keep_blank_values=True))
    auth = Auth(api_key="x", signature_secret=asked["secret"], signature_method="sha256")
    return bool(params.get("timestamp")) and bool(auth.check_signature(params))


def vonage_messages(asked: dict[str, Any]) -> bool:
    """`vonage-jwt`. It looks at the signature alone, not at the body."""
    from vonage_jwt import verify_signature

    return bool(
        verify_signature(asked["headers"].get("authorization", "").partition(" ")[2], asked["secret"])
    )


def telnyx(asked: dict[str, Any]) -> bool:
    """WebhookSignature of `telnyx`."""
    import telnyx as sdk
    from telnyx.webhook import WebhookSignature

    sdk.public_key = asked["secret"]
    headers = asked["headers"]
    at, given = headers.get("telnyx-timestamp", ""), headers.get("telnyx-signature-ed25519", "")
    return bool(WebhookSignature.verify(asked["body"], given, at))


def plivo(asked: dict[str, Any]) -> bool:
    """validate_v3_signature of `plivo`."""
    from plivo.utils import validate_v3_signature

    headers = asked["headers"]
    nonce, given = (headers.get(f"x-plivo-signature-v3{n}", "") for n in ("-nonce", ""))
    form = parse_qs(asked["body"], keep_blank_values=True) if asked["method"] == "POST" else {}
    params = {name: values if len(values) > 1 else values[0] for name, values in form.items()}
    return bool(validate_v3_signature(asked["method"], asked["url"], nonce, asked["secret"], given, params))


def sinch(asked: dict[str, Any]) -> bool:
    """`sinch`. It looks at no time."""
    from sinch.domains.authentication.sinch_events.v1 import authentication_validation as validation

    check = validation.validate_sinch_event_signature_with_nonce
    return bool(check(asked["secret"], asked["headers"], asked["body"]))


def messagebird(asked: dict[str, Any]) -> bool:
    """RequestValidator of `messagebird`."""
    from messagebird.request_validator import RequestValidator

    given = asked["headers"].get("messagebird-signature-jwt", "")
    validator = RequestValidator(asked["secret"])
    return bool(validator.validate_signature(given, asked["url"], asked["body"].encode()))


SDKS: dict[str, Callable[[dict[str, Any]], bool]] = {
    each.__name__: each for each in (twilio, vonage, vonage_messages, telnyx, plivo, sinch, messagebird)
}


def main() -> None:
    """Answer each line."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            verdict = SDKS[asked["type"]](asked)
        except ImportError:
            raise
        except Exception as e:  # each SDK says no in its own way
            verdict = False
            if "--why" in sys.argv:
                print(asked["type"], repr(e), file=sys.stderr)
        print("true" if verdict else "false", flush=True)


if __name__ == "__main__":
    main()
