"""The receipt: what became of all messages of one mail, by one email whose subject says it. Pure.

What all notices have is in `compose`. Of one message it is also the words of the report that its server asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mail2sms import numbers
from mail2sms.model import Msisdn, Origin, Status
from mail2sms.relay import wire
from mail2sms.relay.compose import (
    Addressee,
    Outgoing,
    about_message,
    date,
    notice_headers,
    shown_number,
    written,
)
from mail2sms.relay.report import Report, parts
from mail2sms.render import Render
from mail2sms.wording import amount, when

_ROWS = 50

DELIVERED, FAILED, UNKNOWN, SENT, WAITING = "delivered", "failed", "unknown", "sent", "waiting"
"""Where a recipient stands, in the words of the templates."""

_STANDS = {
    Status.DELIVERED: DELIVERED,
    Status.ENROUTE: SENT,
    Status.UNKNOWN: UNKNOWN,
    Status.QUEUED: WAITING,
    Status.SENDING: WAITING,
}
_FIRST = (FAILED, UNKNOWN, WAITING, SENT, DELIVERED)  # what needs somebody comes first


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What became of one recipient by now, since when, and why."""

    msisdn: Msisdn
    status: Status
    reason: str
    at: int

    @property
    def stands(self) -> str:
        """Where it stands, in one word of the templates."""
        return _STANDS.get(self.status, FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptFacts:
    """The recipients of one mail at `at`. `id` names its first MT, `notice` this telling of it.

    `is_silent`: no more will be heard of what is on its way.
    """

    id: str
    notice: str
    addressee: Addressee
    fates: tuple[Fate, ...]
    text: str = field(repr=False)
    accepted_at: int
    at: int
    conversation: str
    template_address: str
    reason: str = ""
    is_silent: bool = False
    origin: Origin | None = None


def receipt_email(facts: ReceiptFacts, render: Render, report: Report | None = None) -> Outgoing:
    """Return the email that says what arrived, and of what did not why; for machines too, as `report`."""
    who, domain = facts.addressee, facts.addressee.domain
    stands = [fate.stands for fate in facts.fates]
    rows = sorted(facts.fates, key=lambda fate: _FIRST.index(fate.stands))
    values = {
        "number": shown_number(rows[0].msisdn),
        "country": numbers.region(rows[0].msisdn),
        "all": len(stands),
        **{word: stands.count(word) for word in _FIRST},
        "rows": [_row(fate, facts, render) for fate in rows[:_ROWS]],
        "more": amount(len(rows) - _ROWS, who.language) if len(rows) > _ROWS else "",
        "is_silent": facts.is_silent,
        "accepted": when(facts.accepted_at, who.zone, who.language, facts.at),
        "text": wire.clean_text(facts.text),
    }
    kind = "dsn" if report else "receipt"
    message_id = f"<{kind}.{facts.notice}@{domain}>"
    headers = [
        *notice_headers(
            who, facts.template_address, render.in_language("receipt.subject", who.language, **values)
        ),
        ("Date", date(facts.at, who.zone)),
        ("Message-ID", message_id),
        *about_message(facts.id, facts.conversation, facts.reason or "receipt", domain, facts.origin),
    ]
    machines = parts(domain, report) if report else ()
    safe = {"Subject": "SMS"}
    content = written(headers, safe, "receipt", render, who.language, values, report=machines)
    return Outgoing(to=who.to, envelope_from="", message_id=message_id, content=content)


def _row(fate: Fate, facts: ReceiptFacts, render: Render) -> dict[str, str]:
    who = facts.addressee
    number = shown_number(fate.msisdn)
    known = {"value": number, "domain": who.domain}
    return {
        "number": number,
        "stands": fate.stands,
        "at": when(fate.at, who.zone, who.language, facts.at),
        "cause": render.reason_text(fate.reason, who.language, known) if fate.reason else "",
    }


def is_told(fates: Sequence[Fate]) -> bool:
    """Whether a receipt would only repeat the email that a failure of the one message had."""
    return len(fates) == 1 and fates[0].stands in {FAILED, UNKNOWN} and bool(fates[0].reason)
