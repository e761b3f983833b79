"""How fast a carrier is sent to: a rate agreed with it, and less for a while when it says that it was too much. Pure.

Times are seconds of one steady clock.
"""

from __future__ import annotations

from typing import Final

PAUSE_S: Final = 1.0
"""So long nothing is sent after a carrier said that it was too much."""
_CALM_S: Final = 10.0  # without a complaint before it gets faster
_SLOWER, _FASTER = 0.5, 2.0  # each second
_LOWEST: Final = 1.0  # a second
_FORGOTTEN: Final = 4.0  # times the rate that was too much: then there is no ceiling any more


class Pace:
    """A rate a second, None: as fast as it goes."""

    def __init__(self, rate: float | None) -> None:
        self._agreed = self._rate = rate
        self._free_s = 0.0  # when the next one may go
        self._counted_s, self._count, self._seen = 0.0, 0, 0.0
        self._slowed_s = float("-inf")

    def reserve(self, now_s: float) -> float:
        """Take the next place; return how long to wait for it."""
        self._count += 1
        if now_s - self._counted_s >= 1:
            self._seen = self._count / (now_s - self._counted_s) if self._counted_s else 0.0
            self._counted_s, self._count = now_s, 0
            self._recover(now_s)
        if self._rate is None and self._free_s <= now_s:
            return 0.0
        place_s = max(self._free_s, now_s)
        self._free_s = place_s + 1 / self._rate if self._rate else place_s
        return place_s - now_s

    def slow(self, now_s: float) -> None:
        """It was too much: pause, then go at half the speed. Complaints of one burst count once."""
        if now_s - self._slowed_s < PAUSE_S:
            return
        was = min(self._rate or float("inf"), max(self._seen, self._count, _LOWEST))
        self._rate, self._slowed_s = max(_LOWEST, was * _SLOWER), now_s
        self._free_s = max(self._free_s, now_s + PAUSE_S)

    def _recover(self, now_s: float) -> None:
        if self._rate is None or self._rate == self._agreed or now_s - self._slowed_s < _CALM_S:
            return
        self._rate *= _FASTER
        if self._agreed is not None:
            self._rate = min(self._rate, self._agreed)
        elif self._rate > _FORGOTTEN * max(self._seen, _LOWEST):
            self._rate = None
