"""Only countries that are listed are written to: by region, never by calling code (+1 876 is Jamaica)."""

from __future__ import annotations

from mail2sms.errors import Problem
from mail2sms.rules._base import Candidate, Policy, Verdict


def judge(candidate: Candidate, policy: Policy) -> Verdict:
    """Refuse `country.not_allowed`."""
    return allows(candidate.region, policy)


def allows(region: str, policy: Policy) -> Verdict:
    """The same for a bare region, for RCPT."""
    if region in policy.countries:
        return None
    return Problem(reason="country.not_allowed", facts={"country": region})
