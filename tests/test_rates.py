"""Rates: who goes, and when, of those that wait for a carrier and for its sender numbers. A clock of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail2sms.options import Rate
from mail2sms.rates import ANY, Candidate, Meter, Queue, Rates

S = 1_000_000
_LOOK, _TURN_US = 50, 10_000
_BEGAN_US = 1000 * S  # the clock has run for a while


@dataclass(slots=True)
class Waiting:
    """A message that waits from `due_us` on."""

    id: str
    sender: str
    due_us: int
    is_alarm: bool = False
    is_in_line: bool = False
    segments: int = 1

    @property
    def candidate(self) -> Candidate:
        return Candidate(
            id=self.id,
            sender_id=self.sender,
            segments=self.segments,
            is_alarm=self.is_alarm,
            is_in_line=self.is_in_line,
        )


@dataclass(slots=True)
class Sent:
    """What went, and when, in the order of the claims; `asides` counts how often one stepped aside."""

    at_us: list[tuple[int, Waiting]] = field(default_factory=list)
    asides: int = 0

    def of(self, sender: str = "", *, alarms: bool | None = None) -> list[int]:
        """Return when those of a sender (or of all), alarms or not, went."""
        return sorted(
            at_us
            for at_us, one in self.at_us
            if sender in ("", one.sender) and alarms in (None, one.is_alarm)
        )


def run(rates: Rates, waiting: Sequence[Waiting], until_s: float, late_us: Sequence[int] = (0,)) -> Sent:
    """Claim every 10 ms (or so much later) as the store does, until then."""
    left, sent, meters = [replace(one) for one in waiting], Sent(), dict[str, Meter]()
    now_us = 0
    for turn in range(int(until_s * S) // _TURN_US):
        now_us = max(now_us, turn * _TURN_US + late_us[turn % len(late_us)])
        due = sorted((one for one in left if one.due_us <= now_us), key=lambda one: one.due_us)
        places = Queue(rates, meters, now_us + _BEGAN_US)
        most = places.places(10)
        alarms = [one.candidate for one in due if one.is_alarm][:most]
        turns = places.turns(alarms, [one.candidate for one in due[:_LOOK]], most)
        meters |= places.meters
        known = {one.id: one for one in due}
        sent.at_us += [(now_us + wait_us, known[id_]) for id_, wait_us in turns.go.items()]
        left = [one for one in left if one.id not in turns.go]
        for id_, wait_us in turns.aside.items():
            known[id_].due_us, known[id_].is_in_line = now_us + wait_us, True
        sent.asides += len(turns.aside)
    return sent


def flood(
    sender: str, count: int, *, first: int = 0, is_alarm: bool = False, every_us: int = 0
) -> list[Waiting]:
    """Return so many messages; ids tell their order."""
    return [
        Waiting(f"m-{first + n:05}{sender}", sender, (first + n) * every_us, is_alarm) for n in range(count)
    ]


def most_in(times: Sequence[int], span_us: int) -> int:
    """Return how many went in some span of this length, at most."""
    return max((sum(1 for t in times if at <= t < at + span_us) for at in times), default=0)


@pytest.mark.parametrize(
    ("rate", "sent"), [(Rate(20, 1), 60), (Rate(12, 60), 1), (Rate(1, 1), 3), (Rate(3, 2), 5)]
)
def test_a_carrier_gets_what_was_agreed(rate: Rate, sent: int) -> None:
    """Evenly, from the first moment on, and all of it."""
    found = run(Rates(whole=rate), flood("a", 100), 10)
    period = rate.per_s * S // rate.count
    times = found.of()
    assert {b - a for a, b in pairwise(times)} <= {period}
    assert sum(1 for at in times if at < 3 * S) == sent
    assert found.asides == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=7))
def test_late_claims_make_nobody_faster(late_us: list[int]) -> None:
    """At most one more than agreed in any second; and one that is late a little loses nothing."""
    rates = Rates(whole=Rate(5, 1), senders={"a": Rate(2, 1)})
    found = run(rates, flood("a", 30) + flood("b", 30), 6, late_us)
    assert most_in(found.of(), S) <= 5 + 1
    assert most_in(found.of("a"), S) <= 2 + 1
    assert len(found.of()) >= 25


def test_who_waits_for_his_number_keeps_nobody_waiting() -> None:
    """Hundreds of one number stand before those of another."""
    found = run(Rates(senders={"a": Rate(1, 1)}), flood("a", 500) + flood("b", 20, first=500), 5)
    assert len(found.of("a")) == 5
    assert len(found.of("b")) == 20
    assert max(found.of("b")) < S // 2


def test_a_number_keeps_its_order_and_its_line_moves_seldom() -> None:
    """First come, first sent; each steps aside about once, however long the line is."""
    found = run(Rates(senders={ANY: Rate(10, 1)}), flood("a", 200), 25, (0, 3_000, 9_000))
    assert [one.id for _, one in found.at_us] == sorted(one.id for _, one in found.at_us)
    assert len(found.at_us) == 200
    assert found.asides < 2.5 * 200


def test_each_number_has_its_own_rate() -> None:
    """One by its name, the others by `any`; each of theirs alone."""
    rates = Rates(senders={ANY: Rate(1, 1), "b": Rate(4, 1)})
    found = run(rates, flood("a", 50) + flood("b", 50) + flood("c", 50), 5)
    assert [len(found.of(name)) for name in "abc"] == [5, 20, 5]


def test_segments_count() -> None:
    """A long text takes as long as its segments; of the carrier only where it counts those."""
    long = [replace(one, segments=3) for one in flood("a", 20)]
    assert len(run(Rates(senders={ANY: Rate(3, 1)}), long, 5).at_us) == 5
    assert len(run(Rates(whole=Rate(3, 1)), long, 5).of()) > 12
    assert len(run(Rates(whole=Rate(3, 1), by_segment=True), long, 5).at_us) in (5, 6, 7)


@pytest.mark.parametrize("rates", [Rates(whole=Rate(2, 1)), Rates(senders={ANY: Rate(2, 1)})])
def test_an_alarm_goes_before_all_that_waits(rates: Rates) -> None:
    """It comes while hundreds wait, and takes the next place that nobody has yet."""
    alarm = Waiting("m-99999", "a", 5 * S, is_alarm=True)
    found = run(rates, [*flood("a", 300), alarm], 10)
    ((at_us),) = found.of(alarms=True)
    assert at_us - alarm.due_us <= 2 * S
    assert len(found.of(alarms=False)) >= 17


@pytest.mark.parametrize("rates", [Rates(whole=Rate(2, 1)), Rates(senders={ANY: Rate(2, 1)})])
def test_nobody_starves(rates: Rates) -> None:
    """More alarms than may go, for ever: four of five places are theirs, one is of who waited longest."""
    alarms = flood("a", 300, is_alarm=True, every_us=S // 4, first=300)
    for alarm in alarms:
        alarm.due_us -= 300 * S // 4
    found = run(rates, flood("a", 100) + alarms, 60)
    others, urgent = len(found.of(alarms=False)), len(found.of(alarms=True))
    assert others + urgent == pytest.approx(120, abs=4)
    assert others >= 15
    assert urgent >= 80


def test_without_turns_by_age_the_others_would_starve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the test above."""
    monkeypatch.setattr("mail2sms.rates._ALARMS", 1 << 30)
    with pytest.raises(AssertionError):
        test_nobody_starves(Rates(whole=Rate(2, 1)))


@pytest.mark.parametrize("back_us", [S, 3600 * S])
def test_a_clock_that_is_set_back_stops_nothing(back_us: int) -> None:
    """The next place is as far away as it was."""
    rate = Rate(1, 1)
    meter = Meter(every_us=S, at_us=5000 * S, free_us=5001 * S, line_us=5009 * S)
    seen = meter.seen(rate, 5000 * S - back_us)
    assert (seen.free_us - seen.at_us, seen.line_us - seen.at_us) == (S, 9 * S)


def test_another_rate_holds_at_once() -> None:
    """What was a day away at one a day is a second away at one a second."""
    meter = Meter(every_us=86_400 * S, at_us=0, free_us=86_400 * S)
    assert meter.seen(Rate(1, 1), 0).free_us == S
