"""What is heard after DATA: by each recipient where each gets a reply of its own (LMTP, RFC 2033 section 4.2). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mail2sms.intake.asked import Asked
from mail2sms.model import MtMessage
from mail2sms.reasons import smtp_reply
from mail2sms.verdict import Verdict


def replies(asked: Asked, verdict: Verdict, messages: Sequence[MtMessage], told: str) -> tuple[str, ...]:
    """Return a reply for each recipient of the envelope, in order and twice for who is named twice.

    An address of several phones is taken when one of them is written to. `told` is for those whose refusal is about
    the mail and not about them: an email says it.
    """
    stored = {(mt.submission, mt.msisdn): f"250 2.0.0 {mt.id}" for mt in messages}
    refused = {(each.submission.id, each.msisdn): each.problem for each in reversed(verdict.refused)}
    recipients = {submission.id: submission.recipients for submission in asked.submissions}
    found = []
    for id_, named in asked.rcpts:
        keys = [(id_, phone) for phone in named or recipients.get(id_, ())]
        taken = next((stored[key] for key in keys if key in stored), "")
        problem = next((refused[key] for key in keys if key in refused), None)
        found.append(taken or (smtp_reply(problem) if problem else told))
    return tuple(found)


def accepted(asked: Asked, id_: str) -> str:
    """Return the reply for all: what was stored, and of a machine's pictures why none goes with it."""
    why = smtp_reply(asked.unfit[0]).split(" ", 2)[2] if asked.unfit else ""
    return f"250 2.0.0 {id_}" + (f" sent without a picture: {why}" if why else "")
