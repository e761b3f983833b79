"""What becomes of one alarm among many, and what the SMS that tells several of them says. Pure.

An alarm is sent; or told together with the one that came shortly before; or left out, since the same text was sent a
while ago; or, when its device has sent enough, only counted, for one SMS at the end that says how many there were.
Nothing is forgotten: each alarm is counted in exactly one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from mail2sms import segments
from mail2sms.alarm import Storm
from mail2sms.media import MMS, linked
from mail2sms.model import MtMessage
from mail2sms.money import Money
from mail2sms.rules._limits import span

REASON = "storm"
"""Why a message of a device waits: others may be told with it."""

_SLACK_MS = (
    60_000  # clocks of nodes differ by less; a wait that ends later was begun by a clock that was wrong
)
_ENOUGH = 40  # characters of an alarm that say more than a picture
_SHORT = 120  # seconds, minutes: up to there they are the unit


class Deed(StrEnum):
    """What becomes of an alarm: `more` is one above the limit."""

    SEND = "send"
    FOLD = "fold"
    LEAVE_OUT = "leave_out"
    MORE = "more"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """One SMS that tells alarms, by its submission: how many so far, and until when others may join."""

    id: str
    until: int
    first_at: int
    count: int = 1
    is_same: bool = True  # all of one text


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a device stands with the same recipients. `fold` and `more` are missing once they have left."""

    window_end: int = 0
    sent: int = 0  # in that window
    fold: Fold | None = None
    more: Fold | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A text that came before: in which fold, when it was sent itself (0: never), and how often left out since."""

    fold: str
    told_at: int
    last_at: int
    left_out: int = 0
    is_acknowledged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What becomes of an alarm: it joins the fold `into`, or (`into` is empty) makes a new one that leaves at `due_at`.

    The state after it holds nothing of the new one but that there is one.
    """

    deed: Deed
    into: str = ""
    due_at: int = 0
    window_end: int = 0
    sent: int = 0


def decide(state: State, told: Told | None, storm: Storm, now: int) -> Decision:
    """Return what becomes of an alarm that came at `now`; `told` is its text, where it came before."""
    window_end, sent = _window(state, storm, now)
    decision = Decision(deed=Deed.SEND, due_at=now + storm.wait_ms, window_end=window_end, sent=sent)
    fold = state.fold if _is_open(state.fold, storm.wait_ms, now) else None
    is_in_fold = told is not None and fold is not None and told.fold == fold.id
    if told is not None and not is_in_fold and is_quiet(told, storm.repeat_ms, now):
        return replace(decision, deed=Deed.LEAVE_OUT, into=told.fold)
    if fold is not None:
        return replace(decision, deed=Deed.FOLD, into=fold.id)
    if storm.limit and sent >= storm.limit:
        more = state.more if _is_open(state.more, window_end - now, now) else None
        return replace(decision, deed=Deed.MORE, into=more.id if more else "", due_at=window_end)
    return replace(decision, sent=sent + 1)


def _window(state: State, storm: Storm, now: int) -> tuple[int, int]:
    if not storm.limit:
        return 0, 0
    end = span(storm.window, now, storm.zone).end
    return (end, state.sent) if state.window_end == end else (end, 0)


def _is_open(fold: Fold | None, longest_ms: int, now: int) -> bool:
    return fold is not None and 0 < fold.until - now <= longest_ms + _SLACK_MS


def is_quiet(told: Told, repeat_ms: int, now: int) -> bool:
    """Whether a text is not sent again: it was, less than so long ago.

    Once somebody has acknowledged it, it must have stopped for so long.
    """
    since = told.last_at if told.is_acknowledged else told.told_at
    is_known = told.told_at > 0 or told.is_acknowledged
    return is_known and -_SLACK_MS <= now - since < repeat_ms


# What an SMS says


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """How many parts a text may have; the last line of one with pictures that go by a link is that `link`."""

    parts: int
    link: str = ""


def folded(fold: Fold, first: str, last: str, now: int, storm: Storm, device: str, room: Room) -> str:
    """Return the text of a fold that another alarm, `last`, has joined; it is counted already."""
    facts = {"device": device, "count": str(fold.count), "span": _span(now - fold.first_at)}
    if fold.is_same:
        return _fitting(storm.words["same"], facts, {"first": first}, room)
    return _fitting(storm.words["alarms"], facts, {"first": first, "last": last}, room)


def more(count: int, last: str, storm: Storm, device: str, room: Room, until: int) -> str:
    """Return the text that tells how many alarms were above the limit."""
    facts = {"device": device, "count": str(count), "time": _clock(until, storm.zone)}
    return _fitting(storm.words["more"], facts, {"last": last}, room)


def again(text: str, told: Told, storm: Storm, room: Room) -> str:
    """Return a text that is sent again, with how often it was left out."""
    facts = {"count": str(told.left_out), "time": _clock(told.told_at, storm.zone)}
    return _fitting(storm.words["again"], facts, {"first": text}, room)


def taken(device: str, phone: str, text: str, words: Mapping[str, str], room: Room) -> str:
    """Return what the others are told when a phone has acknowledged an alarm."""
    return _fitting(words["taken"], {"device": device, "phone": phone}, {"first": text}, room)


def saying(mt: MtMessage, text: str) -> MtMessage:
    """Return a message with another text, which needs no more parts: what it costs follows."""
    size = 1 if mt.media == MMS else segments.count(text)
    costs = tuple(_scaled(cost, size, mt.segments) for cost in mt.costs)
    return replace(mt, text=text, encoding=segments.encoding(text).value, segments=size, costs=costs)


def _scaled(cost: Money | None, size: int, before: int) -> Money | None:
    return None if cost is None else Money(cost.millionths * size // before, cost.currency)


def linked_alarm(text: str, url: str, parts: int) -> str:
    """Return the text of an alarm with a link to its pictures in so many parts.

    It is cut for the link, but not to next to nothing: then, and where the link itself has no room, it is "".
    """
    kept = segments.cut(text, parts, f"\n{url}")
    made = linked(kept, url)
    is_said = kept == text or len(kept) >= _ENOUGH
    return made if is_said and segments.count(made) <= parts else ""


def _fitting(words: str, facts: Mapping[str, str], texts: Mapping[str, str], room: Room) -> str:
    """Fill our words; the alarms' own texts are shortened alike until all fits, with the link."""
    after = f"\n{room.link}" if room.link else ""

    def filled(most: int) -> str:
        shown = {name: segments.shorten(text, most) for name, text in texts.items()}
        return _filled(words, {**facts, **shown})

    longest = max(map(len, texts.values()))
    most = _greatest(lambda size: segments.count(filled(size) + after) <= room.parts, longest)
    return segments.cut(segments.fold(filled(most)), room.parts, after) + after


def _greatest(fits: Callable[[int], bool], high: int) -> int:
    """Return the greatest number up to `high` that fits; 0 if none does."""
    low = 0
    if fits(high):
        return high
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _filled(words: str, facts: Mapping[str, str]) -> str:
    """Fill the braces of our words; what stands in a text is never one."""
    pieces = words.replace("\\n", "\n").split("{")
    return pieces[0] + "".join(
        facts.get(name, "") + rest for name, _, rest in (piece.partition("}") for piece in pieces[1:])
    )


def _span(milliseconds: int) -> str:
    seconds = max(1, round(milliseconds / 1000))
    if seconds < _SHORT:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < _SHORT else f"{round(minutes / 60)} h"


def _clock(at: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(at / 1000, ZoneInfo(zone)):%H:%M}"
