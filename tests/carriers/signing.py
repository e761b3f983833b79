"""How providers sign their webhooks, written anew for the tests: by type of carrier, from its options' secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from mail2sms.carriers._base import Call

SEED = bytes(range(32))
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-00000000.pem"
Sign = Callable[[Call, Mapping[str, Any], str], Call]


def _mac(key: str, data: bytes | str, kind: str = "sha256") -> bytes:
    raw = data if isinstance(data, bytes) else data.encode()
    return hmac.new(key.encode(), raw, kind).digest()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _seconds(call: Call) -> str:
    return str(call.at // 1000)


def _with(call: Call, **headers: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(call, headers={**call.headers, **named})


def _url(call: Call, url: str) -> str:
    return f"{url}?{call.query}" if call.query else url


def _form(call: Call) -> list[tuple[str, str]]:
    return parse_qsl(call.body.decode(), keep_blank_values=True) if call.method == "POST" else []


def twilio(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """X-Twilio-Signature."""
    signed = _url(call, url) + "".join(k + v for k, v in sorted(set(_form(call))))
    return _with(call, x_twilio_signature=_b64(_mac(options["token"], signed, "sha1")))


def vonage(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """The field `sig`, in the query or the form."""
    is_get = call.method == "GET"
    fields = dict(parse_qsl(call.query if is_get else call.body.decode(), keep_blank_values=True))
    fields |= {"timestamp": _seconds(call), "nonce": "n-1"}
    text = "".join(f"&{k}={fields[k].replace('&', '_').replace('=', '_')}" for k in sorted(fields))
    method = options.get("signing_method", "sha256")
    if method == "md5hash":
        fields["sig"] = hashlib.md5((text + options["signing_secret"]).encode()).hexdigest()
    else:
        fields["sig"] = _mac(options["signing_secret"], text, method).hex()
    encoded = urlencode(fields)
    return replace(call, query=encoded) if is_get else replace(call, body=encoded.encode())


def _jwt(key: str, claims: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    return f"{signed}.{base64.urlsafe_b64encode(_mac(key, signed)).rstrip(b'=').decode()}"


def vonage_messages(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """A JWT with the hash of the body."""
    claims = {"iat": call.at // 1000, "jti": "j-1", "payload_hash": hashlib.sha256(call.body).hexdigest()}
    return _with(call, authorization=f"Bearer {_jwt(options['signing_secret'], claims)}")


def messagebird(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """A JWT with the hashes of URL and body."""
    now = call.at // 1000
    hashed = hashlib.sha256(_url(call, url).encode()).hexdigest()
    claims: dict[str, Any] = {
        "iss": "MessageBird",
        "nbf": now,
        "exp": now + 60,
        "jti": "j",
        "url_hash": hashed,
    }
    if call.body:
        claims["payload_hash"] = hashlib.sha256(call.body).hexdigest()
    return _with(call, messagebird_signature_jwt=_jwt(options["signing_key"], claims))


def telnyx(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """Ed25519, with the key of SEED."""
    signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(_seconds(call).encode() + b"|" + call.body)
    return _with(call, telnyx_timestamp=_seconds(call), telnyx_signature_ed25519=_b64(signature))


def plivo(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """The third version, for forms and for GET."""
    form = "".join(k + v for k, v in sorted(_form(call)))
    between = ("." if call.query else "?") if form else ""
    signed = f"{_url(call, url)}{between}{form}.n-1"
    signature = _b64(_mac(options["token"], signed))
    return _with(call, x_plivo_signature_v3=signature, x_plivo_signature_v3_nonce="n-1")


def sinch(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """Body, nonce and time."""
    signature = _b64(_mac(options["signing_secret"], call.body + f".n-1.{_seconds(call)}".encode()))
    named = "x_sinch_webhook_signature"
    headers = {named: signature, f"{named}_nonce": "n-1", f"{named}_timestamp": _seconds(call)}
    return _with(call, **headers)


def seven(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """Time, nonce, method, URL and body."""
    lines = [_seconds(call), "n-1", call.method, _url(call, url), hashlib.md5(call.body).hexdigest()]
    signature = _mac(options["signing_secret"], "\n".join(lines)).hex()
    return _with(call, x_timestamp=_seconds(call), x_nonce="n-1", x_signature=signature)


def android_gateway(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """Body and time."""
    signature = _mac(options["signing_key"], call.body + _seconds(call).encode()).hex()
    return _with(call, x_timestamp=_seconds(call), x_signature=signature)


def http(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """As the options say."""
    signature = _mac(options["signature"]["key"], f"{_seconds(call)}.".encode() + call.body).hex()
    return _with(call, x_time=_seconds(call), x_hub_signature_256=f"sha256={signature}")


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(from_s: int) -> bytes:
    """Return SNS's certificate, of our own making, for a day that begins an hour before."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    begin = datetime.fromtimestamp(from_s, UTC) - timedelta(hours=1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(_key().public_key())
    made = made.serial_number(1).not_valid_before(begin).not_valid_after(begin + timedelta(days=1))
    return made.sign(_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


_LINES = ("Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn", "Type")


def aws(call: Call, options: Mapping[str, Any], url: str) -> Call:
    """An SNS notification around the body, unless it is a post of SNS already."""
    post = json.loads(call.body)
    if "Type" not in post:
        post = {"Type": "Notification", "Message": call.body.decode(), "MessageId": "sns-1"}
    at = datetime.fromtimestamp(call.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    post = {"TopicArn": options["topic"], "Timestamp": at, "SigningCertURL": CERTIFICATE_URL, **post}
    signed = "".join(f"{name}\n{post[name]}\n" for name in _LINES if name in post)
    signature = _key().sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    body = json.dumps({**post, "SignatureVersion": "2", "Signature": _b64(signature)}).encode()
    return replace(call, body=body)


SIGNS: dict[str, Sign] = {
    each.__name__: each
    for each in (
        *(twilio, vonage, vonage_messages, messagebird, telnyx, plivo),
        *(sinch, seven, android_gateway, http, aws),
    )
}


def proven(type_name: str, call: Call, options: Mapping[str, Any], url: str) -> Call:
    """Return the call as the provider would make it: signed, or with the secret in its path."""
    secret = (options.get("webhook") or {}).get("secret", "")
    call = replace(call, secret=secret)
    if type_name not in SIGNS:
        return call
    return SIGNS[type_name](call, options, f"{url}/{secret}" if secret else url)
