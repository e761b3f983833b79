"""What the case files of carriers say, as calls, answers and parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from mail2sms import carriers
from mail2sms.carriers._base import Call, Carrier, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.carriers.aws import Aws
from mail2sms.model import DeliveryReport, MoMessage, Msisdn, Part, SenderId
from tests.carriers.signing import CERTIFICATE_URL, certificate, proven

FOLDER = Path(__file__).with_name("cases")
FILES: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))
}
NOW_S = 1_767_323_045  # 2026-01-02T03:04:05Z, as in the providers' examples
URL = "https://sms.acme.example/events/under-test"


def carrier(type_name: str, folder: Path, **changes: Any) -> Carrier:
    """Build a carrier as the daemon does, with the options of its case file."""
    module = carriers.load(type_name)
    options = {**FILES[type_name].get("options", {}), **changes}
    built = module.build("under-test", module.Options.model_validate({"type": type_name, **options}), folder)
    assert isinstance(built, Carrier)
    built.events_url = URL
    if isinstance(built, Aws):
        built.certificates[CERTIFICATE_URL] = certificate(NOW_S)
    return built


def provider(type_name: str, folder: Path, **changes: Any) -> HttpCarrier:
    """As `carrier`, for those that speak HTTP."""
    built = carrier(type_name, folder, **changes)
    assert isinstance(built, HttpCarrier)
    return built


def http_types() -> list[str]:
    """Return the carrier types whose cases have a request."""
    return [name for name, file in FILES.items() if "request" in file]


def part(**changes: Any) -> Part:
    """Return a text with letters that matter in JSON, forms and XML."""
    values = {
        "message": "m-1",
        "index": 0,
        "count": 1,
        "attempt_id": "a-1",
        "attempt": 1,
        "msisdn": Msisdn("+33639981234"),
        "sender_id": SenderId("+33639980101"),
        "encoding": "gsm7",
        "segments": 1,
        "text": 'Grüße & "ok"? <1%+2>',
        "expires_at": (NOW_S + 3600) * 1000,
    }
    return Part(**{**values, **changes})


def call(type_name: str, case: dict[str, Any], *, is_proven: bool = True) -> Call:
    """Return a case's webhook request: `form`, `json` or `query`, signed as the provider does."""
    body = case.get("body", "").encode()
    if "json" in case:
        body = json.dumps(case["json"]).encode()
    if "form" in case:
        body = urlencode(case["form"]).encode()
    query = urlencode(case["query"]) if "query" in case else ""
    method = case.get("method") or ("GET" if "query" in case and not body else "POST")
    made = Call(method=method, body=body, query=query, at=NOW_S * 1000, ip="192.0.2.10")
    return proven(type_name, made, FILES[type_name]["options"], URL) if is_proven else made


def brief(event: CarrierEvent) -> dict[str, Any]:
    """Return what case files say of an event."""
    if isinstance(event, MoMessage):
        told = {"id": event.event_id, "from": event.msisdn, "to": event.to, "text": event.text}
        return {**told, "media": [media.url for media in event.media]} if event.media else told
    assert isinstance(event, DeliveryReport), event
    found: dict[str, Any] = {"id": event.carrier_message_id, "status": event.status.value, "code": event.code}
    found |= {"attempt": event.attempt_id, "optout": event.is_opt_out}
    found |= {"segment": event.segment, "of": event.segments}
    return {name: value for name, value in found.items() if value}
