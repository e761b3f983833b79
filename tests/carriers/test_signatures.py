"""Signatures that the providers' own SDKs accepted, with their clock; and ours of what we ask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from mail2sms.carriers import _proofs, _sns
from mail2sms.carriers._base import Call
from mail2sms.carriers._sigv4 import sign
from mail2sms.carriers.aws import Aws
from mail2sms.carriers.ovh import Ovh
from mail2sms.http import Answer
from tests.carriers.cases import NOW_S, call, part, provider
from tests.carriers.signing import CERTIFICATE_URL, certificate

_FILE = Path(__file__).with_name("signature_vectors.json")
VECTORS: dict[str, dict[str, Any]] = {
    each["name"]: each for each in json.loads(_FILE.read_text(encoding="utf-8"))["vectors"]
}
TYPES = {
    "twilio-form": ("twilio", "token"),
    "twilio-json": ("twilio", "token"),
    "vonage-sms-hmac-md5": ("vonage", "signing_secret"),
    "vonage-sms-hmac-sha1": ("vonage", "signing_secret"),
    "vonage-sms-hmac-sha256": ("vonage", "signing_secret"),
    "vonage-sms-hmac-sha512": ("vonage", "signing_secret"),
    "vonage-sms-md5hash": ("vonage", "signing_secret"),
    "vonage-messages-jwt": ("vonage_messages", "signing_secret"),
    "telnyx-ed25519": ("telnyx", ""),
    "plivo-v3-post": ("plivo", "token"),
    "sinch-sms": ("sinch", "signing_secret"),
    "messagebird-jwt-get": ("messagebird", "signing_key"),
    "messagebird-jwt-post": ("messagebird", "signing_key"),
    "seven": ("seven", "signing_secret"),
    "android-sms-gateway": ("android_gateway", "signing_key"),
}
_BOTOCORES = "26c936572be2d6e68de3728ded2e1baa30d02a19848966235fdc66f28bbe8b21"


def signed(name: str, folder: Path) -> tuple[Any, Call]:
    """Return the carrier of a vector and its call."""
    vector = VECTORS[name]
    type_name, key = TYPES[name]
    changes = {key: vector["secret"]} if key else {"public_key": vector["public_key_base64"]}
    if type_name == "vonage":
        changes["signing_method"] = name.rpartition("-")[2]
    under_test = provider(type_name, folder, **changes)
    url = urlsplit(vector.get("url", "https://gw.example.net/x"))
    under_test.events_url = url._replace(query="").geturl()
    headers = {k.lower(): v for k, v in vector.get("headers", {}).items()}
    header, _, scheme = vector.get("header", "").partition(": ")
    if header:
        headers[header.lower()] = f"Bearer {vector['signature']}" if scheme else vector["signature"]
    fields = dict(vector.get("params", {}))
    if vector.get("param"):
        fields["sig"] = vector["signature"].upper()
    body = vector.get("raw_body", urlencode(fields)).encode()
    method = "POST" if body else "GET"
    return under_test, Call(method=method, headers=headers, body=body, query=url.query, at=NOW_S * 1000)


@pytest.mark.parametrize("name", TYPES)
def test_what_the_sdks_accept_is_accepted(tmp_path: Path, name: str) -> None:
    """And no longer once one letter of it is another."""
    under_test, made = signed(name, tmp_path)
    under_test.check_signature(made)
    if made.body:
        middle = len(made.body) // 2
        other = made.body[:middle] + bytes([made.body[middle] ^ 1]) + made.body[middle + 1 :]
        with pytest.raises(PermissionError):
            under_test.check_signature(replace(made, body=other))


def test_plivos_second_signature_is_not_enough(tmp_path: Path) -> None:
    """It covers the URL alone."""
    vector = VECTORS["plivo-v2"]
    under_test = provider("plivo", tmp_path, token=vector["secret"])
    headers = {k.lower(): v for k, v in vector["headers"].items()}
    with pytest.raises(PermissionError):
        under_test.check_signature(Call(headers=headers, body=b"Status=delivered", at=NOW_S * 1000))


@pytest.mark.parametrize("algorithm", ["none", "HS512", "RS256"])
def test_a_jwt_does_not_choose_its_algorithm(algorithm: str) -> None:
    """RFC 8725 section 2.1."""
    head = _proofs.base64_of(json.dumps({"alg": algorithm}).encode()).rstrip("=")
    with pytest.raises(PermissionError):
        _proofs.claims(f"{head}.e30.", "key", {"HS256": "sha256"})


def test_ovhs_signature_of_what_we_ask(tmp_path: Path) -> None:
    """As its own SDK makes it."""
    vector, under_test = VECTORS["ovh-request"], provider("ovh", tmp_path)
    assert isinstance(under_test, Ovh)
    made = under_test._signed("POST", vector["url"], vector["raw_body"].encode(), NOW_S)
    assert {name: made.headers[name] for name in vector["headers"]} == vector["headers"]


def test_sigv4_as_botocore_makes_it() -> None:
    """botocore 1.44.8, SigV4Auth, at the same time."""
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "PinpointSMSVoiceV2.SendTextMessage",
    }
    keys = ("AKIAIOSFODNN7EXAMPLE", "synthetic-secret-key")
    url, body = "https://sms-voice.eu-west-1.amazonaws.com/", b'{"MessageBody":"hi"}'
    made = sign(url, body, headers, region="eu-west-1", service="sms-voice", keys=keys, now_s=NOW_S)
    assert made["Authorization"].endswith(_BOTOCORES)


def test_what_sns_signs() -> None:
    """The lines and their order."""
    vector = VECTORS["aws-sns-canonical-string"]
    post = _sns.Post(kind="Notification", fields=vector["message"], certificate=CERTIFICATE_URL)
    assert _sns.canonical(post) == vector["string_to_sign"]


def aws(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Aws, list[str]]:
    """Return a carrier whose questions are kept, and are answered with the certificate."""
    asked: list[str] = []
    under_test = provider("aws", folder)
    assert isinstance(under_test, Aws)
    under_test.certificates.clear()

    async def ask(request: Any) -> Answer:
        asked.append(request.url)
        return Answer(status=200, body=certificate(NOW_S))

    monkeypatch.setattr(under_test, "_ask", ask)
    return under_test, asked


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
        "https://foo.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com/x.txt",
        "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
        "https://u:p@sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com/x.pem?y",
        "https://[x.pem",
        "",
    ],
)
async def test_certificates_come_from_sns_alone(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked of anybody else."""
    under_test, asked = aws(tmp_path, monkeypatch)
    topic = "arn:aws:sns:eu-west-1:123456789012:mail2sms"
    body = json.dumps({"Type": "Notification", "TopicArn": topic, "SigningCertURL": url}).encode()
    with pytest.raises(PermissionError):
        await under_test.receive(Call(body=body, at=NOW_S * 1000))
    assert asked == []


async def test_a_subscription_confirms_itself_once_it_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificate first, then the confirmation; of a forgery only the certificate is asked for."""
    under_test, asked = aws(tmp_path, monkeypatch)
    confirm = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    post = {"Type": "SubscriptionConfirmation", "Message": "x", "MessageId": "s", "Token": "t"}
    good = call("aws", {"json": {**post, "SubscribeURL": confirm}})
    with pytest.raises(PermissionError):
        await under_test.receive(replace(good, body=good.body.replace(b"Token=t", b"Token=u")))
    assert asked == [CERTIFICATE_URL]
    assert await under_test.receive(good) == ()
    assert asked == [CERTIFICATE_URL, confirm]


def test_a_part_that_is_asked_twice_is_asked_the_same(tmp_path: Path) -> None:
    """A request depends on the part and the time alone."""
    under_test = provider("twilio", tmp_path)
    assert under_test.request(part(), NOW_S) == under_test.request(part(), NOW_S)


def test_a_get_says_what_its_url_says() -> None:
    """What it carries beside that nobody has signed."""
    asked = Call(method="GET", query="MessageSid=SM1&Body=Hi", body=b"Body=Forged&MessageSid=SM2")
    assert _proofs.fields(asked) == {"MessageSid": "SM1", "Body": "Hi"}
    assert _proofs.fields(replace(asked, body=b'{"Body": "Forged"}')) == {"MessageSid": "SM1", "Body": "Hi"}
    assert _proofs.fields(replace(asked, method="POST"))["Body"] == "Forged"
