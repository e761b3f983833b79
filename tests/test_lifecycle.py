"""How a message moves, as tables."""

from __future__ import annotations

import pytest

from mail2sms import lifecycle
from mail2sms.errors import Refused, SendFailed, Unavailable, Uncertain
from mail2sms.model import FINAL, Status, Taken
from tests.fakes import NOW, mt

TAKEN = Taken(carrier_message_id="x")
DOWN = Unavailable("503", "down")
NO = Refused("27", "unknown")
LOST = Uncertain("closed", "no answer")


@pytest.mark.parametrize(
    ("outcomes", "on_unknown", "status", "reason"),
    [
        ([TAKEN], "hold", Status.ENROUTE, ""),
        ([TAKEN, TAKEN], "hold", Status.ENROUTE, ""),
        ([DOWN], "hold", Status.QUEUED, "retry"),
        ([NO], "hold", Status.REJECTED, "carrier.rejected"),
        ([LOST], "hold", Status.UNKNOWN, "carrier.unknown"),
        ([LOST], "resend", Status.QUEUED, "resend"),
        ([TAKEN, LOST], "hold", Status.UNKNOWN, "carrier.unknown"),
        ([DOWN, LOST], "hold", Status.UNKNOWN, "carrier.unknown"),
        ([TAKEN, NO], "hold", Status.REJECTED, "carrier.rejected"),
        ([TAKEN, DOWN], "hold", Status.QUEUED, "retry"),
    ],
)
def test_an_attempt_ends(
    outcomes: list[Taken | SendFailed], on_unknown: str, status: Status, reason: str
) -> None:
    """Doubt weighs most, then refusal, then trouble; only all taken is enroute."""
    change = lifecycle.after_attempt(mt(attempts=1), outcomes, NOW, 0.5, on_unknown)
    assert (change.status, change.reason) == (status, reason)


def test_a_message_in_doubt_is_sent_again_once_and_no_more() -> None:
    """Even when trouble of another kind lies between."""
    again = lifecycle.after_attempt(mt(attempts=1), [LOST], NOW, 0.5, "resend")
    later = lifecycle.after_attempt(mt(attempts=2, reason=again.reason), [DOWN], NOW, 0.5, "resend")
    assert (again.reason, later.reason) == ("resend", "resend")
    for outcome in (LOST, NO):
        last = lifecycle.after_attempt(mt(attempts=3, reason=later.reason), [outcome], NOW, 0.5, "resend")
        assert last.status is Status.UNKNOWN


def test_the_next_carrier_is_tried_at_once_and_the_first_again_later() -> None:
    """A route of two: down, then the other now; both down, then a wait before the first."""
    first = lifecycle.after_attempt(mt(attempts=1), [DOWN], NOW, 0.5, "hold")
    assert (first.position, first.due_at) == (1, NOW)
    second = lifecycle.after_attempt(mt(attempts=2, position=1), [DOWN], NOW, 0.5, "hold")
    assert second.position == 0
    assert second.due_at == NOW + lifecycle.backoff_ms(1, 0.5) > NOW


def test_a_throttled_message_waits_as_long_as_the_carrier_says_and_stays_there() -> None:
    """`retry_after_s` and `same_carrier` are obeyed."""
    throttled = Unavailable("429", retry_after_s=7, same_carrier=True)
    change = lifecycle.after_attempt(mt(attempts=1), [throttled], NOW, 0.5, "hold")
    assert (change.position, change.due_at) == (0, NOW + 7000)


def test_the_rest_of_a_message_stays_with_the_carrier_that_took_a_part() -> None:
    """Parts that came by two carriers would never be joined on the phone."""
    change = lifecycle.after_attempt(mt(attempts=1), [TAKEN, DOWN], NOW, 0.5, "hold")
    assert change.position == 0


def test_one_carriers_wish_to_wait_does_not_hold_up_the_next() -> None:
    """Retry-After of three hours: the other carrier is asked now."""
    throttled = Unavailable("503", retry_after_s=10_800)
    change = lifecycle.after_attempt(mt(attempts=1), [throttled], NOW, 0.5, "hold")
    assert (change.status, change.position, change.due_at) == (Status.QUEUED, 1, NOW)


@pytest.mark.parametrize(("left_ms", "status"), [(100_000, Status.QUEUED), (100, Status.EXPIRED)])
def test_a_retry_that_would_come_too_late_is_given_up(left_ms: int, status: Status) -> None:
    """The validity ends it."""
    message = mt(attempts=2, position=1, expires_at=NOW + left_ms)
    assert lifecycle.after_attempt(message, [DOWN], NOW, 0.5, "hold").status is status


@pytest.mark.parametrize(
    ("rounds", "low", "high"),
    [(0, 2500, 5000), (1, 2500, 5000), (2, 5000, 10_000), (3, 10_000, 20_000), (50, 450_000, 900_000)],
)
def test_waits_double_are_capped_and_spread(rounds: int, low: int, high: int) -> None:
    """Chance picks within the upper half."""
    assert lifecycle.backoff_ms(rounds, 0.0) == low
    assert low <= lifecycle.backoff_ms(rounds, 0.999) <= high


@pytest.mark.parametrize(
    ("current", "reported", "result"),
    [
        (Status.ENROUTE, Status.DELIVERED, Status.DELIVERED),
        (Status.ENROUTE, Status.ENROUTE, None),
        (Status.ENROUTE, Status.UNDELIVERABLE, Status.UNDELIVERABLE),
        (Status.SENDING, Status.DELIVERED, Status.DELIVERED),
        (Status.UNKNOWN, Status.DELIVERED, Status.DELIVERED),
        (Status.UNKNOWN, Status.ENROUTE, Status.ENROUTE),
        (Status.QUEUED, Status.DELIVERED, Status.DELIVERED),
        (Status.EXPIRED, Status.DELIVERED, Status.DELIVERED),
        (Status.EXPIRED, Status.REJECTED, None),
        (Status.DELIVERED, Status.UNDELIVERABLE, None),
        (Status.DELIVERED, Status.ENROUTE, None),
        (Status.REJECTED, Status.DELIVERED, None),
        (Status.CANCELLED, Status.DELIVERED, None),
        (Status.UNKNOWN, Status.QUEUED, Status.QUEUED),
        (Status.ENROUTE, Status.QUEUED, None),
    ],
)
def test_a_report_only_moves_forward(current: Status, reported: Status, result: Status | None) -> None:
    """Late correction is allowed from unknown and expired."""
    assert lifecycle.after_report(current, [reported]) is result


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([Status.DELIVERED, Status.DELIVERED], Status.DELIVERED),
        ([Status.DELIVERED, Status.ENROUTE], Status.ENROUTE),
        ([Status.DELIVERED, Status.UNDELIVERABLE], Status.UNDELIVERABLE),
        ([Status.ENROUTE, Status.UNKNOWN], Status.UNKNOWN),
        ([Status.DELIVERED, Status.QUEUED], Status.QUEUED),
    ],
)
def test_a_message_is_as_far_as_its_parts(parts: list[Status], status: Status) -> None:
    """Delivered when all are, failed when one is."""
    assert lifecycle.fold(parts) is status


_SOON = NOW + 60_000
_HELD_UNTIL = lifecycle.after_wish(mt(due_at=_SOON), lifecycle.Wish.HOLD, NOW)
assert isinstance(_HELD_UNTIL, lifecycle.Change)
HELD_DUE = _HELD_UNTIL.due_at


@pytest.mark.parametrize(
    ("changes", "wish", "expected"),
    [
        ({"due_at": _SOON}, "hold", ("held", HELD_DUE)),
        ({"reason": "held", "due_at": HELD_DUE}, "hold", ("held", HELD_DUE)),
        ({"reason": "held", "due_at": HELD_DUE}, "release", ("resend", _SOON)),
        ({"reason": "schedule", "due_at": _SOON}, "release", ("schedule", _SOON)),
        ({"reason": "held", "due_at": HELD_DUE}, "retry", "held"),
        ({"reason": "retry", "due_at": _SOON, "attempts": 2}, "retry", ("retry", NOW)),
        ({"reason": "schedule", "due_at": _SOON}, "retry", ("", NOW)),
        ({"reason": "resend", "due_at": _SOON}, "retry", "in_doubt"),
        ({"reason": "resend", "due_at": _SOON}, "retry again", ("resend", NOW)),
        ({"status": Status.UNKNOWN}, "retry", "in_doubt"),
        ({"status": Status.UNKNOWN}, "retry again", ("resend", NOW)),
        ({"status": Status.UNKNOWN, "expires_at": NOW}, "retry again", "too_late"),
        ({"status": Status.UNKNOWN}, "hold", "in_doubt"),
        ({"status": Status.UNKNOWN}, "release", "in_doubt"),
        ({"expires_at": NOW}, "retry", "too_late"),
        ({"expires_at": NOW, "reason": "held"}, "release", "too_late"),
        *(({"status": s}, w, "with_carrier") for s in (Status.SENDING, Status.ENROUTE) for w in ("hold", "retry")),
        *(({"status": s}, w, "over") for s in FINAL for w in ("hold", "release", "retry again")),
    ],
)  # fmt: skip
def test_what_an_operator_may_wish(
    changes: dict[str, object], wish: str, expected: str | tuple[str, int]
) -> None:
    """Only what waits is held or tried now; what may be out goes again only when that is meant."""
    word, _, again = wish.partition(" ")
    found = lifecycle.after_wish(
        mt(**changes), lifecycle.Wish(word), NOW, is_again=bool(again), before="resend"
    )
    if isinstance(found, lifecycle.Denial):
        assert found == expected
    else:
        assert (found.reason, found.due_at) == expected
        assert found.status is Status.QUEUED


def test_nobody_lives_to_see_a_held_message_due() -> None:
    """No claim asks for a time so far ahead, and the time it had is not lost."""
    assert HELD_DUE is not None
    assert HELD_DUE > NOW + 400 * 365 * 86_400_000
    assert lifecycle.due_when_free(HELD_DUE) == _SOON == lifecycle.due_when_free(_SOON)
