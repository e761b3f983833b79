"""What becomes of one alarm among many, row by row, and what the SMS say of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mail2sms import segments, storms
from mail2sms.alarm import Storm
from mail2sms.config import derived
from mail2sms.storms import Deed, Fold, Room, State, Told, decide
from mail2sms.wording import LANGUAGES

NOW = 1_780_000_025_000  # 20:27:05 UTC
LINK = "https://sms.acme.example/p/1QVFJB3RBZV70NHG/0abcdabcdefghijklmnop"
MINUTE_END = 1_780_000_080_000
RULES = Storm(wait_ms=30_000, repeat_ms=1_800_000, limit=2, window="minute")
WORDS = {language: derived._words(f"{language}_alarms") for language in LANGUAGES}


def fold(until: int = 0, **changes: object) -> Fold:
    """Return a fold that began ten seconds ago."""
    return replace(Fold(id="m-1", until=NOW + until, first_at=NOW - 10_000), **changes)  # type: ignore[arg-type]


def told(ago: int = 0, **changes: object) -> Told:
    """Return a text that was sent so long ago."""
    return replace(Told(fold="m-0", told_at=NOW - ago, last_at=NOW - ago), **changes)  # type: ignore[arg-type]


FULL = State(window_end=MINUTE_END, sent=2)


@pytest.mark.parametrize(
    ("state", "before", "deed", "into"),
    [
        (State(), None, Deed.SEND, ""),
        (State(window_end=MINUTE_END, sent=1), None, Deed.SEND, ""),
        (State(fold=fold(20_000)), None, Deed.FOLD, "m-1"),
        (State(fold=fold(1)), None, Deed.FOLD, "m-1"),
        (State(fold=fold(0)), None, Deed.SEND, ""),
        (State(fold=fold(-1)), None, Deed.SEND, ""),
        (State(fold=fold(90_000)), None, Deed.FOLD, "m-1"),  # another node's clock is a little ahead
        (State(fold=fold(90_001)), None, Deed.SEND, ""),  # a clock was wrong: it may be years
        (replace(FULL, fold=fold(20_000)), None, Deed.FOLD, "m-1"),  # joining costs nothing
        (FULL, None, Deed.MORE, ""),
        (replace(FULL, more=fold(55_000)), None, Deed.MORE, "m-1"),
        (replace(FULL, more=fold(0)), None, Deed.MORE, ""),
        (replace(FULL, window_end=MINUTE_END - 60_000), None, Deed.SEND, ""),  # that window is over
        (State(), told(1), Deed.LEAVE_OUT, "m-0"),
        (State(), told(1_799_999), Deed.LEAVE_OUT, "m-0"),
        (State(), told(1_800_000), Deed.SEND, ""),
        (State(), told(-60_001), Deed.SEND, ""),  # the clock was set back
        (
            State(fold=fold(20_000)),
            told(1),
            Deed.LEAVE_OUT,
            "m-0",
        ),  # known already: not told with others again
        (State(fold=fold(20_000)), told(1, fold="m-1"), Deed.FOLD, "m-1"),  # told with those it came with
        (State(), told(0, told_at=0), Deed.SEND, ""),  # it was only counted among others
        (State(), told(0, told_at=0, is_acknowledged=True), Deed.LEAVE_OUT, "m-0"),
        (State(), told(5_000_000, last_at=NOW - 1, is_acknowledged=True), Deed.LEAVE_OUT, "m-0"),
        (State(), told(5_000_000, last_at=NOW - 1), Deed.SEND, ""),
        (State(), told(5_000_000, is_acknowledged=True), Deed.SEND, ""),  # it had stopped
        (FULL, told(1), Deed.LEAVE_OUT, "m-0"),
    ],
)
def test_what_becomes_of_an_alarm(state: State, before: Told | None, deed: Deed, into: str) -> None:
    """By what came before it."""
    decision = decide(state, before, RULES, NOW)
    assert (decision.deed, decision.into) == (deed, into)
    assert decision.sent == (state.sent if state.window_end == MINUTE_END else 0) + (deed is Deed.SEND)
    assert decision.window_end == MINUTE_END


@pytest.mark.parametrize("ago", [0, 1, 100_000])
def test_without_rules_everything_is_sent(ago: int) -> None:
    """At once."""
    decision = decide(State(), told(ago), Storm(), NOW)
    assert (decision.deed, decision.due_at) == (Deed.SEND, NOW)


def test_when_it_leaves() -> None:
    """What is sent waits for others; what is above the limit is told when the window ends."""
    assert decide(State(), None, RULES, NOW).due_at == NOW + 30_000
    assert decide(FULL, None, RULES, NOW).due_at == MINUTE_END


@pytest.mark.parametrize(
    ("count", "is_same", "span_ms", "text"),
    [
        (12, False, 40_000, "ups-1: 12 alarms in 40 s\nFirst: On battery\nLast: Low battery"),
        (2, False, 0, "ups-1: 2 alarms in 1 s\nFirst: On battery\nLast: Low battery"),
        (3, True, 119_000, "On battery (3 times in 119 s)"),
        (3, True, 120_000, "On battery (3 times in 2 min)"),
        (3, True, 8_000_000, "On battery (3 times in 2 h)"),
    ],
)
def test_what_a_fold_says(count: int, is_same: bool, span_ms: int, text: str) -> None:
    """How many, in what time, the first and the last."""
    rules = replace(RULES, words=WORDS["en"])
    made = fold(count=count, is_same=is_same, first_at=NOW - span_ms)
    assert storms.folded(made, "On battery", "Low battery", NOW, rules, "ups-1", Room(parts=1)) == text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", ["a" * 500, "é €" * 60, "😀👨‍👩‍👧" * 40, "{count} {0}" * 30, "x"])
@pytest.mark.parametrize("room", [Room(parts=1), Room(parts=2), Room(parts=2, link=LINK)], ids=repr)
def test_no_fold_needs_more_parts_than_its_first_alarm(language: str, text: str, room: Room) -> None:
    """Texts of any length are cut, our own words never, nor the link; braces in a text are only braces."""
    rules = replace(RULES, words=WORDS[language])
    before = told(60_000, left_out=14)
    said = [
        storms.folded(fold(count=300), text, text[::-1], NOW, rules, "ups-1", room),
        storms.folded(fold(count=300, is_same=True), text, text, NOW, rules, "ups-1", room),
        storms.more(1234, text, rules, "ups-1", room, MINUTE_END),
        storms.again(text, before, rules, room),
        storms.taken("ups-1", "+33 6 39 98 12 34", text, WORDS[language], room),
    ]
    for one, number in zip(said, ("300", "300", "1234", "14", "+33 6 39 98 12 34"), strict=True):
        assert segments.count(one) <= room.parts
        assert one.split("\n")[-1] == (room.link or one.split("\n")[-1])
        assert number in one


@pytest.mark.parametrize("language", LANGUAGES)
def test_our_words_cost_no_unicode(language: str) -> None:
    """In GSM-7: else every SMS of a storm would cost twice."""
    assert WORDS[language].keys() == {"alarms", "same", "again", "more", "taken"}
    for text in WORDS[language].values():
        assert segments.encoding(text) is segments.Encoding.GSM7


@pytest.mark.parametrize(
    ("text", "parts", "cut"),
    [
        ("short", 1, "short"),
        ("a" * 160, 1, "a" * 160),
        ("a" * 161, 1, "a" * 157 + "..."),
        ("a" * 306, 2, "a" * 306),
        ("a" * 307, 2, "a" * 303 + "..."),
        ("word " * 33, 1, ("word " * 31).rstrip() + "..."),
        ("€" * 81, 1, "€" * 78 + "..."),  # two septets each
        ("😀" * 36, 1, "😀" * 33 + "..."),
        ("👨‍👩‍👧" * 20, 1, "👨‍👩‍👧" * 8 + "..."),  # a family is one character
    ],
)
def test_cut(text: str, parts: int, cut: str) -> None:
    """As much as the parts hold, at the end of a word, never inside what shows as one character."""
    assert segments.cut(text, parts) == cut
