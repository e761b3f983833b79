"""`mode: trial` writes only to the phones of users and teams."""

from __future__ import annotations

from mail2sms.errors import Problem
from mail2sms.rules._base import Candidate, Policy, Verdict


def judge(candidate: Candidate, policy: Policy) -> Verdict:
    """Refuse `trial.not_ours`."""
    if policy.mode != "trial" or candidate.msisdn in policy.ours:
        return None
    return Problem(reason="trial.not_ours")
