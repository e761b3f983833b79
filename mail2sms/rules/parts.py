"""A text of more than `max_parts` segments is refused, never cut."""

from __future__ import annotations

from mail2sms.errors import Problem
from mail2sms.rules._base import Candidate, Policy, Verdict


def judge(candidate: Candidate, policy: Policy) -> Verdict:
    """Refuse `text.too_long`."""
    if candidate.segments <= policy.max_parts:
        return None
    facts = {
        "parts": str(candidate.segments),
        "limit": str(policy.max_parts),
        "characters": str(len(candidate.text)),
    }
    return Problem(reason="text.too_long", facts=facts)
