"""The email that tells an administrator that a limit is reached: once in each of its windows. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mail2sms.relay import wire
from mail2sms.relay.compose import Addressee, Outgoing, date, notice_headers, quiet, written
from mail2sms.relay.house import House
from mail2sms.render import Render
from mail2sms.store import Notice
from mail2sms.wording import rate, when


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitFacts:
    """A limit of `amount` of `unit` in each `window` that refused what `writer` sent at `at`, and opens at `until`.

    `kind` is user, team, number, prefix, country, total or cost; `of` says which one.
    """

    notice: str
    addressee: Addressee
    kind: str
    of: str
    amount: int
    unit: str
    window: str
    writer: str
    at: int
    until: int
    template_address: str


def limit_facts(notice: Notice, house: House) -> LimitFacts:
    """Return what a notice tells of a limit."""
    payload: dict[str, Any] = json.loads(notice.payload or b"{}")
    return LimitFacts(
        **payload,
        notice=notice.id,
        addressee=house.addressee(notice.address),
        at=notice.created_at,
        template_address=house.template_address,
    )


def limit_email(facts: LimitFacts, render: Render) -> Outgoing:
    """Return the mail that says which limit it is, who was refused first, and what can be done."""
    who, domain = facts.addressee, facts.addressee.domain
    allowed = rate(facts.amount, facts.unit, facts.window, who.language)
    values = {
        "kind": facts.kind,
        "of": wire.clean_header(facts.of),
        "rate": allowed,
        "plain_rate": " ".join(allowed.split()),  # no blank that does not break, in a header
        "writer": wire.clean_header(facts.writer),
        "at": when(facts.at, who.zone, who.language),
        "until": when(facts.until, who.zone, who.language, facts.at),
    }
    message_id = f"<limit.{facts.notice}@{domain}>"
    headers = [
        *notice_headers(
            who, facts.template_address, render.in_language("limit.subject", who.language, **values)
        ),
        ("Date", date(facts.at, who.zone)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),
        *quiet("SMS notices <notices", domain),
        ("X-Mail2SMS-Reason", f"quota.{facts.kind}"),
    ]
    content = written(headers, {"Subject": "SMS"}, "limit", render, who.language, values)
    return Outgoing(to=who.to, envelope_from="", message_id=message_id, content=content)
