"""How fast a carrier, and each sender number at it, may be sent to by all nodes together: who goes now, and when. Pure.

A rate is kept by the generic cell rate algorithm (ITU-T I.371): of what is rated only the time is known from which the
next may go, so nobody has a share that could be lost with him. Messages leave evenly, alarms first; now and then the
one that has waited longest goes before them. A message whose sender number has to wait steps aside until its time, so
that it keeps nobody else waiting. Times are microseconds of one clock, which may be set back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from mail2sms import numbers
from mail2sms.errors import BadNumber, BadOption
from mail2sms.options import Rate, RateOption, Written

ANY = "any"
"""Among the rates of sender numbers: each that has none of its own."""


def _sender(value: Any, info: ValidationInfo) -> str:
    text = str(value)
    if text == ANY:
        return ANY
    try:
        return numbers.read_sender_id(text, info.context or "").lower()
    except BadNumber:
        hint = 'such as any, "+18005550100", 12345 or ACME'
        raise BadOption(f'expected a sender number, got "{text}"', hint) from None


def _each(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value
    raise BadOption(f'expected a rate for each sender number, got "{value}"', f"{{any: {value}}}")


_Sender = Annotated[
    str,
    BeforeValidator(_sender),
    Written("any, or a number, short code or name that is sent from", stands_for="SENDER_ID"),
]
SenderRates = Annotated[dict[_Sender, RateOption], BeforeValidator(_each)]

_AHEAD_US = 1_250_000  # a lane looks every second: what may go until then is claimed, and waits at the node
_LATE_US = 100_000  # who comes so much late may be so much early the next time
_ALARMS = 4  # in a row, while others wait


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Of a carrier as a whole, and of sender numbers at it, by what a phone shows in lower case, or `any`.

    A carrier's counts messages, or (`by_segment`) segments; those of sender numbers always count segments.
    """

    whole: Rate | None = None
    senders: Mapping[str, Rate] = field(default_factory=dict, hash=False)
    by_segment: bool = False

    def __bool__(self) -> bool:
        return self.whole is not None or bool(self.senders)

    def of(self, sender_id: str) -> Rate | None:
        """Return the rate of a sender number."""
        return self.senders.get(sender_id.lower(), self.senders.get(ANY))


@dataclass(frozen=True, kw_only=True, slots=True)
class Meter:
    """Of one rate: how long each takes, when the next may go, where the line of those ends that wait for their time.

    `alarms` of them went in a row; `at_us` is when this was written.
    """

    every_us: int
    at_us: int
    free_us: int = 0
    line_us: int = 0
    alarms: int = 0

    @property
    def late_us(self) -> int:
        """How long a delay may be to be made good: less than one place, so that never two go at once."""
        return min(_LATE_US, self.every_us // 2)

    def seen(self, rate: Rate, now_us: int) -> Meter:
        """Return it as it stands now, of a rate that may be another, on a clock that may have been set back."""
        back_us = max(0, self.at_us - now_us)
        free_us, every_us = self.free_us - back_us, period_us(rate)
        if every_us != self.every_us and free_us > now_us:
            free_us = now_us + (free_us - now_us) * every_us // self.every_us
        return replace(self, every_us=every_us, at_us=now_us, free_us=free_us, line_us=self.line_us - back_us)

    def taken(self, slot_us: int, units: int, *, is_alarm: bool) -> Meter:
        """Return it after so many units got the place at `slot_us`."""
        is_late = self.free_us < slot_us <= self.free_us + self.late_us
        free_us = (self.free_us if is_late else slot_us) + units * self.every_us
        return replace(self, free_us=free_us, alarms=self.alarms + 1 if is_alarm else 0)


def period_us(rate: Rate) -> int:
    """Return how long one takes."""
    return max(1, rate.per_s * 1_000_000 // rate.count)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A message that is due. `is_in_line`: it has stepped aside before, or was tried, and does not go to the end."""

    id: str
    sender_id: str
    segments: int
    is_alarm: bool
    is_in_line: bool


@dataclass(frozen=True, slots=True)
class Turns:
    """Who goes, each with how long to wait, the first first; who steps aside, with when to be due again. In µs."""

    go: Mapping[str, int]
    aside: Mapping[str, int]


class Queue:
    """The meters of a carrier (of `""`) and of its sender numbers, while messages get their turns."""

    def __init__(self, rates: Rates, meters: Mapping[str, Meter], now_us: int) -> None:
        self._rates, self._now_us = rates, now_us
        self._known = dict(meters)
        self.meters: dict[str, Meter] = {}
        """Those that were asked, as they are now."""

    def learn(self, meters: Mapping[str, Meter]) -> None:
        """Take how the meters of sender numbers stood before."""
        self._known |= meters

    def free_in_us(self) -> int:
        """Return in how long the carrier has a place that can be given away; 0: now."""
        whole = self._of("", self._rates.whole)
        return max(0, whole.free_us - self._now_us - _AHEAD_US) if whole else 0

    def places(self, most: int) -> int:
        """Return how many places can be given away."""
        whole = self._of("", self._rates.whole)
        if whole is None:
            return most
        left_us = self._now_us + _AHEAD_US - max(whole.free_us, self._now_us)
        return min(most, max(0, left_us // whole.every_us + 1)) if left_us >= 0 else 0

    def turns(self, alarms: Iterable[Candidate], oldest: Sequence[Candidate], most: int) -> Turns:
        """Give at most `most` of them a place; `oldest` are those longest due, alarms too, both in any order.

        Those in `aside` no longer stand in the way. Messages that are in neither were not reached.
        """
        first, others = deque(sorted(alarms, key=_by_id)), deque(sorted(oldest, key=_by_id))
        go: dict[str, int] = {}
        aside: list[Candidate] = []
        gone: set[str] = set()
        while len(go) < most and self.places(1) and (first or others):
            whole = self.meters.get("")
            by_age = whole is not None and whole.alarms >= _ALARMS
            line = others if others and (by_age or not first) else first
            one = line.popleft()
            if one.id in gone:
                continue
            one = self._fair(one, first, others, gone)
            gone.add(one.id)
            wait_us = self._go(one, by_age=by_age)
            if wait_us is None:
                aside.append(one)
            else:
                go[one.id] = wait_us
        return Turns(go, self._aside(aside))

    def _fair(
        self, one: Candidate, first: deque[Candidate], others: deque[Candidate], gone: set[str]
    ) -> Candidate:
        """Return whose turn it is of the same sender number: after alarms in a row, the first other that waits."""
        meter = self._of_sender(one.sender_id)
        if not one.is_alarm or meter is None or meter.alarms < _ALARMS:
            return one
        for other in others:
            if other.sender_id == one.sender_id and not other.is_alarm and other.id not in gone:
                first.appendleft(one)
                return other
        return one

    def _go(self, one: Candidate, *, by_age: bool) -> int | None:
        """Take its places; return how long it waits, None when its sender number has none yet."""
        whole, sender = self._of("", self._rates.whole), self._of_sender(one.sender_id)
        slot_us = max(self._now_us, whole.free_us if whole else 0)
        if sender is not None and sender.free_us > slot_us + sender.late_us:
            return None
        if sender is not None:
            slot_us = max(slot_us, sender.free_us)
            self.meters[one.sender_id] = sender.taken(slot_us, one.segments, is_alarm=one.is_alarm)
        if whole is not None:
            units = one.segments if self._rates.by_segment else 1
            at_us = max(self._now_us, whole.free_us)
            self.meters[""] = whole.taken(at_us, units, is_alarm=one.is_alarm and not by_age)
        return slot_us - self._now_us

    def _aside(self, those: Iterable[Candidate]) -> dict[str, int]:
        """Return when each is due again: what is in line at the next place, alarms too, what is new at the line's end.

        What was in line comes a little early: at a place that two are due for, it is there first.
        """
        due: dict[str, int] = {}
        next_us: dict[str, int] = {}
        for one in those:
            meter = self.meters[one.sender_id]
            takes_us = one.segments * meter.every_us
            if one.is_in_line or one.is_alarm:
                at_us = next_us.get(one.sender_id, meter.free_us)
                next_us[one.sender_id] = at_us + takes_us
                due[one.id] = max(0, at_us - meter.late_us - self._now_us)
            else:
                at_us = max(meter.line_us, meter.free_us)
                self.meters[one.sender_id] = replace(meter, line_us=at_us + takes_us)
                due[one.id] = at_us - self._now_us
        return due

    def _of_sender(self, sender_id: str) -> Meter | None:
        return self._of(sender_id, self._rates.of(sender_id))

    def _of(self, name: str, rate: Rate | None) -> Meter | None:
        if rate is None:
            return None
        if name not in self.meters:
            fresh = Meter(every_us=period_us(rate), at_us=self._now_us)
            self.meters[name] = self._known.get(name, fresh).seen(rate, self._now_us)
        return self.meters[name]


def _by_id(one: Candidate) -> str:
    """Ids begin with the time: who came first."""
    return one.id
