"""The email that tells an administrator that a carrier is down, or up again, or that little is left there. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mail2sms.money import Money
from mail2sms.relay import wire
from mail2sms.relay.compose import Addressee, Outgoing, date, notice_headers, quiet, written
from mail2sms.relay.house import House
from mail2sms.render import Render
from mail2sms.store import Notice
from mail2sms.wording import money, when


@dataclass(frozen=True, kw_only=True, slots=True)
class CarrierFacts:
    """`kind` is down, up or balance: a carrier that took nothing since `since` and why, or what is `left` there."""

    id: str
    addressee: Addressee
    kind: str
    carrier: str
    at: int
    template_address: str
    since: int = 0
    why: str = ""
    left: Money | None = None
    below: Money | None = None


def carrier_facts(notice: Notice, house: House) -> CarrierFacts:
    """Return what a notice tells of a carrier."""
    payload: dict[str, Any] = json.loads(notice.payload or b"{}")
    for name in ("left", "below"):
        if name in payload:
            payload[name] = Money(*payload[name])
    return CarrierFacts(
        **payload,
        id=notice.id,
        addressee=house.addressee(notice.address),
        kind=notice.kind,
        at=notice.created_at,
        template_address=house.template_address,
    )


def carrier_email(facts: CarrierFacts, render: Render) -> Outgoing:
    """Return the notice."""
    who = facts.addressee
    values: dict[str, Any] = {
        "kind": facts.kind,
        "carrier": wire.clean_header(facts.carrier),
        "why": wire.clean_header(facts.why),
        "since": when(facts.since, who.zone, who.language, facts.at),
        "at": when(facts.at, who.zone, who.language),
    }
    for name, amount in (("left", facts.left), ("below", facts.below)):
        values[name] = "" if amount is None else money(amount, who.language)
    values["plain_left"] = " ".join(values["left"].split())  # no blank that does not break, in a header
    message_id = f"<carrier.{facts.id}@{who.domain}>"
    subject = render.in_language("carrier.subject", who.language, **values)
    headers = [
        *notice_headers(who, facts.template_address, subject),
        ("Date", date(facts.at, who.zone)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),
        *quiet("SMS notices <notices", who.domain),
        ("X-Mail2SMS-Carrier", f"{facts.kind} {values['carrier']}"),
    ]
    content = written(headers, {"Subject": "SMS"}, "carrier", render, who.language, values)
    return Outgoing(to=who.to, envelope_from="", message_id=message_id, content=content)
