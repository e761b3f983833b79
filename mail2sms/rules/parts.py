"""A text of more than `max_parts` segments is refused, never cut."""

from __future__ import annotations

from functools import lru_cache

from mail2sms import segments
from mail2sms.errors import Problem
from mail2sms.rules._base import Candidate, Policy, Verdict

_SHOWN = 5  # characters
_REMEMBERED = 2  # texts: each phone of a mail is judged by itself, and the longest text takes 3 ms


def judge(candidate: Candidate, policy: Policy) -> Verdict:
    """Refuse `text.too_long`: by how much, what fits, and which characters make it long."""
    if candidate.segments <= policy.max_parts:
        return None
    return _too_long(candidate.text, candidate.segments, policy.max_parts)


@lru_cache(maxsize=_REMEMBERED)
def _too_long(text: str, parts: int, limit: int) -> Problem:
    distinct = "".join(dict.fromkeys(text))
    special = segments.not_gsm(segments.plain(distinct))  # without them the rest would be made plain
    facts = {
        "parts": str(parts),
        "limit": str(limit),
        "characters": str(len(text)),
        "room": str(segments.capacity(text, limit)),
        "messages": str(-(-parts // limit)),  # at least: whoever splits it does so between words
        "special": " ".join(special[:_SHOWN]) + " …" * (len(special) > _SHOWN),
    }
    return Problem(reason="text.too_long", facts=facts)
