"""When a carrier counts as down, and when it is tried again. Pure.

One that fails again and again gets nothing for a while, so that what can go elsewhere does; then one message tries it,
and the pauses grow. What one message alone failed for, and what we ourselves could not do, says nothing about it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mail2sms.errors import Refused, Unavailable, Unsuited
from mail2sms.lifecycle import Outcome
from mail2sms.model import Taken

_IN_A_ROW = 5  # failures
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 5_000, 300_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """How a carrier does: `failures` in a row; while it is down, since when, until when it gets nothing, and why.

    Times are epoch ms.
    """

    failures: int = 0
    down_since: int | None = None
    until: int = 0
    why: str = ""

    @property
    def is_down(self) -> bool:
        """Whether it is down: what can go elsewhere goes."""
        return self.down_since is not None

    def may_try(self, now: int) -> bool:
        """Whether a message may go to it now: while it is down one at a time."""
        return not self.is_down or now >= self.until


def after(breaker: Breaker, outcome: Outcome, now: int, chance: float) -> Breaker:
    """Return how the carrier does after one more attempt ended so; `chance` in [0, 1) spreads the pauses."""
    if isinstance(outcome, Taken | Refused):
        return Breaker()
    if isinstance(outcome, Unsuited):
        return breaker
    if isinstance(outcome, Unavailable) and outcome.same_carrier:  # it asked us to wait, or the fault is ours
        return breaker
    failed = replace(breaker, failures=breaker.failures + 1, why=f"{outcome.code} {outcome.detail}".strip())
    if failed.failures < _IN_A_ROW:
        return failed
    if breaker.is_down and now < breaker.until:  # this one was under way when it went down
        return breaker
    rounds = failed.failures - _IN_A_ROW if breaker.is_down else 0
    longest = min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS << min(rounds, 16))
    pause = int(longest * (0.5 + chance / 2))
    since = now if breaker.down_since is None else breaker.down_since
    return replace(failed, down_since=since, until=now + pause)
