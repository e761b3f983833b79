"""How a message moves: (status, event) -> status, when to try again, when to give up. Pure.

Every change of a status is decided here; the store only writes what this says. Status words: `model.Status`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mail2sms.errors import Refused, SendFailed, Uncertain
from mail2sms.model import FINAL, MessageClass, MtMessage, Status, Taken

Outcome = Taken | SendFailed

RESEND = "resend"
"""The reason of a queued message that may have been sent before."""

OPTED_OUT = "optout"
"""The reason of a message that was cancelled since its phone opted out."""

HELD = "held"
"""The reason of a queued message that the operator keeps back."""

APPROVAL = "approval"
"""The reason of a queued message that somebody must approve."""

RATE = "rate"
"""The reason of a queued message that waits for its sender number, which may send only so much."""

HOLDS = frozenset({HELD, APPROVAL})

_HELD_MS = 1 << 44  # five centuries: no claim ever finds it due, and taken away again it is the time it had
_FIRST_WAIT_MS = 5_000
_LONGEST_WAIT_MS = 900_000
_RESEND_AFTER_MS = 60_000  # a lost answer's receipt usually comes within a minute


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What becomes of a message: the new status, why, and for QUEUED when and through which carrier of its route."""

    status: Status
    reason: str = ""
    detail: str = ""
    due_at: int | None = None
    position: int | None = None
    expires_at: int | None = None


def later(change: Change, mt: MtMessage, until: int, reason: str, detail: str) -> Change:
    """Let what waits wait until then. So much more time it has: nobody could have sent it meanwhile."""
    assert change.due_at is not None, "it waits"
    said = change.detail if mt.reason != reason else ""  # it says until when it waited before
    return replace(
        change,
        reason=RESEND if change.reason == RESEND else reason,
        detail="; ".join(filter(None, (said, detail))),
        due_at=until,
        expires_at=mt.expires_at + max(0, until - max(change.due_at, due_when_free(mt.due_at))),
    )


def after_attempt(
    mt: MtMessage, outcomes: Sequence[Outcome], now: int, chance: float, on_unknown: str
) -> Change:
    """Return what follows from the outcomes of all parts of one attempt, parts taken earlier included.

    `mt.attempts` counts the attempt that just ended; `chance` is in [0, 1) and spreads the retries;
    `on_unknown` is `hold` or `resend`.
    """
    change = _after_attempt(mt, outcomes, now, chance, on_unknown)
    if mt.reason == RESEND and change.status in (Status.REJECTED, Status.EXPIRED):
        # The second try failed for certain; what became of the first nobody knows.
        return Change(status=Status.UNKNOWN, reason="carrier.unknown", detail=change.detail)
    return change


def _after_attempt(
    mt: MtMessage, outcomes: Sequence[Outcome], now: int, chance: float, on_unknown: str
) -> Change:
    failures = [outcome for outcome in outcomes if isinstance(outcome, SendFailed)]
    for failure in failures:
        if isinstance(failure, Uncertain):
            return after_uncertain(mt, failure.detail, now, on_unknown)
    for failure in failures:
        if isinstance(failure, Refused):
            return Change(status=Status.REJECTED, reason="carrier.rejected", detail=_said(failure))
    if not failures:
        return Change(status=Status.ENROUTE)
    # A concatenated message must arrive by one carrier: with a part taken, the rest stays there.
    stays = len(failures) < len(outcomes) or failures[0].same_carrier
    return _try_again(mt, failures[0], now, chance, stays=stays)


def after_uncertain(mt: MtMessage, detail: str, now: int, on_unknown: str) -> Change:
    """Return what follows when the carrier may have taken it: wait for word, or (`resend`) try once more.

    Once: a carrier that takes messages and never answers must not fill a phone. An alarm rather comes twice than never.
    """
    is_again = on_unknown == "resend" or mt.class_ is MessageClass.ALARM
    if is_again and mt.reason != RESEND:
        return Change(
            status=Status.QUEUED,
            reason=RESEND,
            detail=detail,
            due_at=now + _RESEND_AFTER_MS,
            position=mt.position,
        )
    return Change(status=Status.UNKNOWN, reason="carrier.unknown", detail=detail)


def _try_again(mt: MtMessage, failure: SendFailed, now: int, chance: float, *, stays: bool) -> Change:
    count = max(1, len(mt.route))
    position = mt.position if stays else (mt.position + 1) % count
    is_new_round = stays or position == 0
    wait = backoff_ms(mt.attempts // count, chance) if is_new_round else 0
    if is_new_round and failure.retry_after_s is not None:  # it speaks for this carrier, not for the next
        wait = int(failure.retry_after_s * 1000)
    if now + wait >= mt.expires_at:
        return Change(status=Status.EXPIRED, reason="carrier.expired", detail=_said(failure))
    reason = RESEND if mt.reason == RESEND else "retry"
    return Change(
        status=Status.QUEUED, reason=reason, detail=_said(failure), due_at=now + wait, position=position
    )


def backoff_ms(rounds: int, chance: float) -> int:
    """Return the wait before round `rounds` (from 1): doubling, capped, spread over its upper half."""
    longest = min(_LONGEST_WAIT_MS, _FIRST_WAIT_MS << min(max(rounds - 1, 0), 16))
    return int(longest * (0.5 + chance / 2))


def _said(failure: SendFailed) -> str:
    return f"{failure.code} {failure.detail}".strip()


_OPEN = frozenset({Status.QUEUED, Status.SENDING, Status.ENROUTE, Status.UNKNOWN})
_FAILED = (Status.REJECTED, Status.UNDELIVERABLE, Status.EXPIRED)
_REPORT_REASON = {
    Status.UNDELIVERABLE: "carrier.undeliverable",
    Status.EXPIRED: "carrier.expired",
    Status.REJECTED: "carrier.rejected",
}

FORWARD: dict[Status, frozenset[Status]] = {
    **dict.fromkeys((Status.QUEUED, Status.SENDING), frozenset({Status.ENROUTE, Status.DELIVERED, *_FAILED})),
    # QUEUED: one part's fate is known now, and another was certainly not taken.
    Status.UNKNOWN: frozenset({Status.QUEUED, Status.ENROUTE, Status.DELIVERED, *_FAILED}),
    Status.ENROUTE: frozenset({Status.DELIVERED, Status.CANCELLED, *_FAILED}),  # the carrier gave it back
    Status.EXPIRED: frozenset({Status.DELIVERED}),  # phones come back after the carrier gave up
}
"""Where a report may move a message: only forward; late correction only from `unknown` and `expired`."""


def after_report(current: Status, parts: Sequence[Status]) -> Status | None:
    """Return the message's new status given what is known of every part, or None when nothing changes."""
    folded = fold(parts)
    if folded == current or folded not in FORWARD.get(current, frozenset()):
        return None
    return folded


def fold(parts: Sequence[Status]) -> Status:
    """Return the status of a message of these parts: delivered when all are, failed when one is."""
    for failed in _FAILED:
        if failed in parts:
            return failed
    if all(part is Status.DELIVERED for part in parts):
        return Status.DELIVERED
    for status in (Status.UNKNOWN, Status.SENDING, Status.QUEUED):
        if status in parts:
            return status
    if Status.CANCELLED in parts and Status.ENROUTE not in parts:
        return Status.UNDELIVERABLE if Status.DELIVERED in parts else Status.CANCELLED
    return Status.ENROUTE


def report_reason(status: Status, code: str) -> str:
    """Return the code of `reasons` that tells the writer what a report means; "" when there is nothing to tell."""
    if status is Status.UNDELIVERABLE and code == "unknown_subscriber":
        return "carrier.unknown_number"
    return _REPORT_REASON.get(status, "")


def can_cancel(status: Status) -> bool:
    """Whether nothing has gone to a carrier yet, so that cancelling is certain."""
    return status is Status.QUEUED


class Wish(StrEnum):
    """What an operator may want of a message, beside cancelling it."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"


class Denial(StrEnum):
    """Why it stays as it is."""

    WITH_CARRIER = "with_carrier"
    OVER = "over"
    IN_DOUBT = "in_doubt"
    HELD = "held"
    TOO_LATE = "too_late"


def due_when_free(due_at: int) -> int:
    """Return when a message is due once nobody holds it."""
    return due_at - _HELD_MS if due_at >= _HELD_MS else due_at


def due_when_held(due_at: int) -> int:
    """Return when a message is due while it is held: never."""
    return due_when_free(due_at) + _HELD_MS


def after_approval(mt: MtMessage, now: int, *, is_released: bool) -> Change:
    """Return what becomes of a message that waited for approval."""
    if not is_released:
        return Change(status=Status.CANCELLED, reason="approval.refused")
    due_at = due_when_free(mt.due_at)
    return _queued(mt, "schedule" if due_at > now else "", due_at)


def after_wish(
    mt: MtMessage, wish: Wish, now: int, *, is_again: bool = False, before: str = ""
) -> Change | Denial:
    """Return what a wish makes of a message, or why it can't be. What holds already is no denial.

    `is_again`: it may be sent a second time. `before`: the reason that a held message had.
    """
    denial = denied(mt.status)
    may_be_out = mt.status is Status.UNKNOWN or mt.reason == RESEND
    if denial is Denial.IN_DOUBT and wish is Wish.RETRY and is_again:
        denial = None
    if denial is None and wish is not Wish.HOLD and mt.expires_at <= now:
        denial = Denial.TOO_LATE
    if denial is None and wish is Wish.RETRY:
        denial = (
            Denial.HELD if mt.reason in HOLDS else Denial.IN_DOUBT if may_be_out and not is_again else None
        )
    if denial is not None:
        return denial
    due_at = due_when_free(mt.due_at)
    if wish is Wish.HOLD:
        return _queued(mt, mt.reason if mt.reason in HOLDS else HELD, due_when_held(mt.due_at))
    if wish is Wish.RELEASE:
        return _queued(mt, before if mt.reason in HOLDS else mt.reason, due_at)
    return _queued(mt, RESEND if may_be_out else "retry" if mt.attempts else "", now)


def _queued(mt: MtMessage, reason: str, due_at: int) -> Change:
    return Change(status=Status.QUEUED, reason=reason, detail=mt.detail, due_at=due_at, position=mt.position)


def denied(status: Status) -> Denial | None:
    """Return why nothing can be wished of a message of this status; None when it waits."""
    if status in FINAL:
        return Denial.OVER
    if status is Status.UNKNOWN:
        return Denial.IN_DOUBT
    return None if status is Status.QUEUED else Denial.WITH_CARRIER
