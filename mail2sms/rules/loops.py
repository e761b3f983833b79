"""Two machines must not answer each other for ever: an SMS costs money, and neither of them gets tired.

A mail program that answers by itself, and says so (RFC 3834), is refused before; this is about those that don't say so,
with a machine at the phone. What is counted is reserved in the transaction that queues, so it outlives the daemon. It
is about answers in a conversation alone: alarms repeat themselves, and so do programs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mail2sms.errors import Problem
from mail2sms.model import Submission
from mail2sms.rules._base import Reservation

REASON = "loop.answers"
_PREFIX = "loop:"
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_PACE, _PACE_MS = 10, 600_000  # answers in one conversation
_QUICK, _QUICK_MS = 3, 120_000  # the same answer in an hour, each so soon after the phone's text
_TOLD = 3  # an hour
_COUNTED = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """The last text of a phone in a conversation."""

    text: str = field(repr=False)
    at: int


def guards(submission: Submission, heard: Heard | None) -> tuple[Reservation, ...]:
    """Return what an answer in a conversation reserves, for each of its messages."""
    answered = submission.conversation
    if answered is None:
        return ()
    return tuple(_guards(answered.id, submission, heard))


def _guards(conversation: str, submission: Submission, heard: Heard | None) -> Iterator[Reservation]:
    text, now = submission.text, submission.created_at
    if submission.answers_notice:
        yield _once(now, conversation, "notice", _said(text))
    if heard is None:
        return
    yield _once(now, conversation, _said(heard.text), _said(text))
    yield _reservation(_PACE, _PACE_MS, now, conversation)
    if now - heard.at < _QUICK_MS:
        yield _reservation(_QUICK, _HOUR_MS, now, conversation, _COUNTED.sub("", _said(text)))


def _once(now: int, *what: str) -> Reservation:
    """The same answer to the same text, or to a notice of ours: people say it otherwise the second time."""
    return _reservation(1, _DAY_MS, now, *what)


def told(what: str, now: int) -> Reservation:
    """Return what an email about a mail reserves that says just this: people read the first, programs answer all."""
    return _reservation(_TOLD, _HOUR_MS, now, "told", what)


def _reservation(limit: int, window_ms: int, now: int, *what: str) -> Reservation:
    begun = now // window_ms
    digest = hashlib.sha256("\0".join((str(window_ms), str(begun), *what)).encode("utf-8", "replace"))
    until = (begun + 1) * window_ms
    return Reservation(key=_PREFIX + digest.hexdigest(), amount=1, limit=limit, until=until)


def _said(text: str) -> str:
    return " ".join(text.casefold().split())


def problem(reservation: Reservation) -> Problem | None:
    """Return why a message was left out, if it was by one of these."""
    return Problem(reason=REASON) if reservation.key.startswith(_PREFIX) else None
