"""The email that asks an approver about messages that wait. Pure; what all notices have is in `compose`."""

from __future__ import annotations

from dataclasses import dataclass

from mail2sms.money import Money
from mail2sms.relay import wire
from mail2sms.relay.compose import HeldFacts, Outgoing, held_email
from mail2sms.render import Render
from mail2sms.wording import money


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalFacts:
    """What an approver must know of messages that wait: who wrote them, and what they cost.

    `approval` is its id, `link` the page where it is decided; none where nothing is served.
    """

    held: HeldFacts
    approval: str
    writer: str
    link: str = ""
    cost: Money | None = None


def approval_email(facts: ApprovalFacts, render: Render) -> Outgoing:
    """Return the mail that asks an approver to release or refuse what waits."""
    language = facts.held.addressee.language
    return held_email(
        facts.held,
        render,
        "approval",
        writer=wire.clean_header(facts.writer),
        count=facts.held.others + 1,
        more=facts.held.others,
        cost=money(facts.cost, language) if facts.cost else "",
        link=facts.link,
        approval=facts.approval,
    )
