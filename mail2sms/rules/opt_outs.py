"""Who has opted out is not written to, by any class of message: what was asked for is not ours to weigh."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from mail2sms import numbers
from mail2sms.errors import Problem
from mail2sms.model import Msisdn, SenderId
from mail2sms.rules._base import Candidate, Facts, Verdict


def judge(candidate: Candidate, sender_id: SenderId, facts: Facts) -> Verdict:
    """Refuse `optout`; facts: `since`, and `start` (the number that START can be sent to) where that helps."""
    for opt_out in facts.opt_outs:
        if opt_out.msisdn != candidate.msisdn or opt_out.our_address not in {"", sender_id.lower()}:
            continue
        since = datetime.fromtimestamp(opt_out.at / 1000, ZoneInfo(candidate.writer.zone))
        told = {"since": since.date().isoformat()}
        if opt_out.source == "keyword" and sender_id.startswith("+"):
            told["start"] = numbers.display(Msisdn(sender_id))
        return Problem(reason="optout", facts=told)
    return None
