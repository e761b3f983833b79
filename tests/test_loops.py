"""Machines at both ends of a conversation: what an answer reserves, and the proof `loops` in a small version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mail2sms.model import Conversation
from mail2sms.rules import loops
from mail2sms.rules.loops import Heard, guards
from tests.fakes import ACCOUNT, NOW, OURS, PHONE, submission
from tests.proofs import loops as proof

TALK = Conversation(id="c-1", account=ACCOUNT, our_address=OURS, msisdn=PHONE)
SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
MIDNIGHT = NOW // DAY * DAY

Turn = tuple[int, str, str]
"""When, what the phone said a second before, and what it is answered."""


def taken(turns: Sequence[Turn], since_heard: int = SECOND) -> list[bool]:
    """Return which answers go out, one after another."""
    used: Counter[str] = Counter()
    found = []
    for at, theirs, ours in turns:
        answer = submission(text=ours, conversation=TALK, created_at=MIDNIGHT + at)
        wished = guards(answer, Heard(text=theirs, at=MIDNIGHT + at - since_heard))
        found.append(all(used[wish.key] + wish.amount <= wish.limit for wish in wished))
        if found[-1]:
            used.update(wish.key for wish in wished)
    return found


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([(0, "Merci", "Absente"), (9, "Merci", "Absente")], [True, False]),
        ([(0, "Merci", "Absente"), (9, "MERCI ", " absente")], [True, False]),
        ([(0, "Merci", "Absente"), (DAY, "Merci", "Absente")], [True, True]),
        ([(0, "10h?", "Non"), (9, "11h?", "Non"), (19, "12h?", "Oui")], [True, True, True]),
        ([(0, "Venez ?", "Oui"), (9, "Venez ?", "J'arrive")], [True, True]),
        ([(n, f"Ticket {n}", f"Absente {n}") for n in range(5)], [True, True, True, False, False]),
        ([(n, f"Ticket {n}", "Absente") for n in range(5)], [True, True, True, False, False]),
        ([(n * 1000, f"oui {n}", chr(97 + n) * 3) for n in range(12)], [True] * 10 + [False] * 2),
    ],
)
def test_what_goes_on_between_a_phone_and_a_mailbox(turns: list[Turn], expected: list[bool]) -> None:
    """The same to the same once a day, the same quickly three times an hour, ten answers in ten minutes."""
    assert taken(turns) == expected


def test_people_who_take_their_time_may_repeat_themselves() -> None:
    """`OK` to this, `OK` to that, all day."""
    turns = [(n * HOUR // 4, f"et {n} ?", "OK") for n in range(40)]
    assert all(taken(turns, since_heard=150 * SECOND))


def test_only_answers_are_guarded() -> None:
    """Alarms repeat themselves, and so do programs."""
    assert guards(submission(), Heard(text="OK", at=NOW)) == ()
    assert guards(submission(conversation=TALK), None) == ()


def test_a_notice_is_answered_by_the_same_words_once() -> None:
    """The mail says that the phone was not reached; whoever answers that by itself says always the same."""
    answer = submission(conversation=TALK, answers_notice=True)
    (wish,) = guards(answer, None)
    assert wish.limit == 1
    assert guards(answer, None) == (wish,)
    assert guards(submission(conversation=TALK, answers_notice=True, text="autre"), None) != (wish,)


def test_why_it_was_left_out() -> None:
    """By its key, whatever else is reserved."""
    (wish,) = guards(submission(conversation=TALK, answers_notice=True), None)
    found = loops.problem(wish)
    assert found is not None
    assert found.reason == "loop.answers"
    assert loops.problem(replace(wish, key="quota:user")) is None


def test_a_responder_and_a_bot_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One SMS by the responder; without the guard it goes on."""
    monkeypatch.setattr(proof, "_QUIET_S", 1.0)
    monkeypatch.setattr(proof, "_ENOUGH", 4)
    case = proof.CASES["responder and bot"]
    assert case.is_kept(case.run(""))
    assert not case.is_kept(case.run(case.patch))
