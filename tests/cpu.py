"""What a call costs of CPU, told apart from what disturbs it.

One run is no measure: a collection of the whole heap of a long test session falls into whatever allocates next, and a
machine that is shared runs at half its speed for a while. The least of several runs is the call's own cost; what is
really slow (a quadratic shape costs a thousand times the limit) is so each time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 20


def least_s(run: Callable[[], object], enough_s: float) -> float:
    """Return the least CPU of this thread, in seconds, that a run took: the first under `enough_s`, or of twenty."""
    least = float("inf")
    for _ in range(_TRIES):
        begun_s = time.thread_time()
        run()
        least = min(least, time.thread_time() - begun_s)
        if least < enough_s:
            break
    return least
