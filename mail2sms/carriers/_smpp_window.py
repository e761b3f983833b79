"""The submits of a session: at most a window of them unanswered, each with a time limit, the others waiting in order.

A submit ends as its answer; as `Unsent`, when certainly no byte of it left; or as Uncertain.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from mail2sms.errors import Uncertain

_MOST_OVERDUE: Final = 10_000  # submits given up for which an answer may still come


class Unsent(Exception):
    """Certainly no byte of it left: the link was not there, or broke before."""


class Response(NamedTuple):
    """What the SMSC answered."""

    status: int
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How many submits may be unanswered, for how long; and when an idle link is asked whether it lives."""

    window: int = 10
    answer_s: float = 60.0
    enquire_s: float = 30.0
    enquire_answer_s: float = 10.0


class _Submit:
    __slots__ = ("answered", "due_s", "tag")

    def __init__(self, answered: asyncio.Future[Response], tag: str) -> None:
        self.answered, self.tag, self.due_s = answered, tag, 0.0


Late = Callable[[str, Response], None]
"""Is told the answer to the submit with this tag, which was given up."""


class Window:
    """`send` writes a submit_sm, soon, and returns its sequence number."""

    def __init__(self, terms: Terms, send: Callable[[bytes], int], late: Late) -> None:
        self._terms, self._send, self._late = terms, send, late
        self._loop = asyncio.get_running_loop()
        self._unanswered: dict[int, _Submit] = {}  # the oldest first
        self._waiting: deque[tuple[bytes, _Submit]] = deque()
        self._unwritten: list[int] = []
        self._overdue: dict[int, str] = {}
        self._silences = 0

    def __len__(self) -> int:
        """How many submits are under way or wait."""
        return len(self._unanswered) + len(self._waiting)

    def unanswered(self) -> list[asyncio.Future[Response]]:
        """Return what an answer is missing for."""
        return [submit.answered for submit in self._unanswered.values()]

    @property
    def is_silent(self) -> bool:
        """Whether a whole window in a row was not answered."""
        return self._silences >= self._terms.window

    def submit(self, body: bytes, tag: str) -> asyncio.Future[Response]:
        """Send it when there is room, in the order of the calls."""
        submit = _Submit(self._loop.create_future(), tag)
        if len(self._unanswered) < self._terms.window and not self._waiting:
            self._begin(body, submit)
        else:
            self._waiting.append((body, submit))
        return submit.answered

    def _begin(self, body: bytes, submit: _Submit) -> None:
        submit.due_s = self._loop.time() + self._terms.answer_s
        sequence = self._send(body)
        self._unanswered[sequence] = submit
        self._unwritten.append(sequence)

    def wrote(self) -> None:
        """All that was to be sent is with the kernel: from now on nobody knows how far it got."""
        self._unwritten.clear()

    def answered(self, sequence: int, response: Response) -> bool:
        """Take an answer; returns False when no submit in time has this number."""
        submit = self._unanswered.pop(sequence, None)
        if submit is None:
            if sequence in self._overdue:
                self._silences = 0
                self._late(self._overdue.pop(sequence), response)
            return False
        self._silences = 0
        if not submit.answered.done():
            submit.answered.set_result(response)
        self._refill()
        return True

    def _refill(self) -> None:
        while self._waiting and len(self._unanswered) < self._terms.window:
            body, submit = self._waiting.popleft()
            if not submit.answered.done():
                self._begin(body, submit)

    def expire(self, now_s: float) -> None:
        """Give up what was not answered in time."""
        while self._unanswered:
            sequence, submit = next(iter(self._unanswered.items()))
            if submit.due_s > now_s:
                break
            del self._unanswered[sequence]
            self._silences += 1
            if len(self._overdue) >= _MOST_OVERDUE:
                del self._overdue[next(iter(self._overdue))]
            self._overdue[sequence] = submit.tag
            _fail(submit, Uncertain("timeout", "it did not answer in time"))
        self._refill()

    def drop_waiting(self) -> None:
        """Send no more."""
        while self._waiting:
            _fail(self._waiting.popleft()[1], Unsent())

    def lose(self) -> None:
        """The link is gone: what was written and not answered is in doubt, nothing else is."""
        self.drop_waiting()
        unwritten = set(self._unwritten)
        for sequence, submit in self._unanswered.items():
            doubt = Uncertain("closed", "the link broke before it answered")
            _fail(submit, Unsent() if sequence in unwritten else doubt)
        self._unanswered.clear()


def _fail(submit: _Submit, error: Exception) -> None:
    if not submit.answered.done():
        submit.answered.set_exception(error)
