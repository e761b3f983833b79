"""Example numbers from manuals reach no phone: only the simulator takes them."""

from __future__ import annotations

from mail2sms import numbers
from mail2sms.errors import Problem
from mail2sms.rules._base import Candidate, Policy, Verdict


def judge(candidate: Candidate, policy: Policy) -> Verdict:
    """Refuse `number.fiction` unless everything is simulated."""
    if policy.mode == "simulate" or not numbers.is_fiction(candidate.msisdn):
        return None
    return Problem(reason="number.fiction", value=numbers.display(candidate.msisdn))
