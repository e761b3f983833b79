"""What makes a device's mail one alarm among many: whose it is, and how its storms are folded. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Storm:
    """How much of what a device says becomes SMS. 0: not at all.

    `wait_ms`: what comes within it is told together; `repeat_ms`: the same text is not told again within it; `limit`:
    so many SMS in each `window` (minute, hour or day of `zone`), then one that tells how many more there were. `words`
    are what we add ourselves, by what it tells.
    """

    wait_ms: int = 0
    repeat_ms: int = 0
    limit: int = 0
    window: str = "hour"
    zone: str = "UTC"
    words: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """The device that a submission is from, by its name, and how its storms are folded.

    `clock` says by which clock the alarm's age was counted; `was_cut`: it was longer than the `max_parts` that it may
    have.
    """

    device: str
    storm: Storm
    clock: str = ""
    was_cut: bool = False
    max_parts: int = 1
