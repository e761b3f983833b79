"""The notice that a message was not delivered, or that nobody knows. Pure; what all notices have is in `compose`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mail2sms.model import Msisdn, Origin, Status
from mail2sms.money import Money
from mail2sms.relay import wire
from mail2sms.relay.compose import (
    Addressee,
    Outgoing,
    about_message,
    date,
    notice_headers,
    reply_to,
    shown_number,
    shown_phone,
    written,
)
from mail2sms.relay.report import Report, parts
from mail2sms.render import Render
from mail2sms.wording import money, when


@dataclass(frozen=True, kw_only=True, slots=True)
class UndeliveredFacts:
    """A message that did not arrive, or of which nobody knows (`status` unknown). `id` names the MT.

    `carrier`, `code` and `detail` are the carrier's own words; `charged` is no, maybe or yes, and `cost` how much.
    `others` of the same writer to that phone share its fate, `more` of the same mail to other phones.
    """

    id: str
    addressee: Addressee
    msisdn: Msisdn
    text: str = field(repr=False)
    status: Status
    reason: str
    charged: str
    cost: Money | None = None
    accepted_at: int
    attempted_at: int
    conversation: str
    template_address: str
    reply_address: str = ""
    name: str = ""
    carrier: str = ""
    code: str = ""
    detail: str = ""
    will_retry: bool = False
    others: int = 0
    more: int = 0
    origin: Origin | None = None


def undelivered_email(facts: UndeliveredFacts, render: Render, report: Report | None = None) -> Outgoing:
    """Return the notice that says why, what to do, what it cost, and whether we try again; `report`: for machines too.

    A report comes from nobody who could be answered.
    """
    who, domain = facts.addressee, facts.addressee.domain
    number = shown_number(facts.msisdn)
    carrier = " ".join(filter(None, (facts.carrier, facts.code, facts.detail and f'"{facts.detail}"')))
    values = {
        "number": number,
        "who": shown_phone(facts.msisdn, facts.name),
        "more": facts.more,
        "cause": render.reason_text(facts.reason, who.language, {"value": number, "domain": domain}),
        "is_unknown": facts.status == Status.UNKNOWN,
        "will_retry": facts.will_retry,
        "others": facts.others,
        "charged": facts.charged,
        "price": f" ({money(facts.cost, who.language)})" if facts.cost else "",
        "text": wire.clean_text(facts.text),
        "accepted": when(facts.accepted_at, who.zone, who.language, facts.attempted_at),
        "attempted": when(facts.attempted_at, who.zone, who.language),
        "carrier": wire.clean_header(carrier),
        "reason": facts.reason,
    }
    kind = "dsn" if report else "undelivered"
    message_id = f"<{kind}.{facts.id}.{facts.status}@{domain}>"  # unknown first, rejected later: two mails
    machines = parts(domain, report) if report else ()
    headers = [
        *notice_headers(
            who, facts.template_address, render.in_language("undelivered.subject", who.language, **values)
        ),
        *reply_to("" if report else facts.reply_address),
        ("Date", date(facts.attempted_at, who.zone)),
        ("Message-ID", message_id),
        *about_message(facts.id, facts.conversation, facts.reason, domain, facts.origin),
    ]
    safe = {"Subject": "SMS"}
    content = written(headers, safe, "undelivered", render, who.language, values, report=machines)
    return Outgoing(to=who.to, envelope_from="", message_id=message_id, content=content)
