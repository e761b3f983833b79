"""A text of more than `max_parts` segments is refused, never cut."""

from __future__ import annotations

from mail2sms import segments
from mail2sms.errors import Problem
from mail2sms.rules._base import Candidate, Policy, Verdict

_SHOWN = 5  # characters


def judge(candidate: Candidate, policy: Policy) -> Verdict:
    """Refuse `text.too_long`: by how much, what fits, and which characters make it long."""
    parts, limit = candidate.segments, policy.max_parts
    if parts <= limit:
        return None
    distinct = "".join(dict.fromkeys(candidate.text))  # for each phone again: a long text costs too much
    special = segments.not_gsm(segments.plain(distinct))  # without them the rest would be made plain
    facts = {
        "parts": str(parts),
        "limit": str(limit),
        "characters": str(len(candidate.text)),
        "room": str(segments.capacity(candidate.text, limit)),
        "messages": str(-(-parts // limit)),  # at least: whoever splits it does so between words
        "special": " ".join(special[:_SHOWN]) + " …" * (len(special) > _SHOWN),
    }
    return Problem(reason="text.too_long", facts=facts)
