"""The email that tells that nothing is heard of a device, or that it is back. Pure; headers as all notices have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mail2sms.relay import wire
from mail2sms.relay.compose import Addressee, Outgoing, date, notice_headers, written
from mail2sms.relay.house import House
from mail2sms.render import Render
from mail2sms.store import Notice
from mail2sms.wording import when


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceFacts:
    """A device that was last heard of at `heard_at`; `at` is when that was noticed, or when it came back."""

    id: str
    addressee: Addressee
    device: str
    heard_at: int
    at: int
    template_address: str
    is_back: bool


def device_facts(notice: Notice, house: House) -> DeviceFacts:
    """Return what a notice tells of a device."""
    payload: dict[str, Any] = json.loads(notice.payload or b"{}")
    return DeviceFacts(
        id=notice.id,
        addressee=house.addressee(notice.address),
        device=payload["device"],
        heard_at=payload["heard_at"],
        at=notice.created_at,
        template_address=house.template_address,
        is_back=notice.kind == "back",
    )


def device_email(facts: DeviceFacts, render: Render) -> Outgoing:
    """Return the notice."""
    who = facts.addressee
    values: dict[str, Any] = {
        "device": wire.clean_header(facts.device),
        "heard": when(facts.heard_at, who.zone, who.language, facts.at),
        "is_back": facts.is_back,
    }
    message_id = f"<device.{facts.id}@{who.domain}>"
    subject = render.in_language("device.subject", who.language, **values)
    headers = [
        *notice_headers(who, facts.template_address, subject),
        ("Date", date(facts.at, who.zone)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply, RN, NRN"),
        ("List-Id", f"SMS notices <notices.{who.domain}>"),
        ("X-Mail2SMS-Device", values["device"]),
    ]
    content = written(headers, {"Subject": "SMS"}, "device", render, who.language, values)
    return Outgoing(to=who.to, envelope_from="", message_id=message_id, content=content)
