"""What the demo's phone shows of its texts: one conversation at a time, as phones do. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mail2sms.web.demo_view import Bubble


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """What a phone shows: the conversation with `contact`, and with whom there are `others`, the latest first."""

    contact: str
    others: tuple[str, ...]
    bubbles: tuple[Bubble, ...]


def screen(every: Sequence[Bubble], wanted: str) -> Screen:
    """Return a phone's screen: each sender has a conversation of their own; without a wish it is the latest."""
    contacts = list(dict.fromkeys(bubble.ours for bubble in reversed(every)))
    contact = wanted if wanted in contacts else next(iter(contacts), "")
    return Screen(
        contact=contact,
        others=tuple(one for one in contacts if one != contact),
        bubbles=tuple(bubble for bubble in every if bubble.ours == contact),
    )
