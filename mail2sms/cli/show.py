"""How messages look on a terminal: times of this place, spans, tables as rows, the timeline. Pure.

What strangers wrote is made printable: an escape sequence in a subject must not reach the terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from mail2sms import numbers
from mail2sms.cli import typed
from mail2sms.cli.control import Answered, Event, Happened, Message, Notice
from mail2sms.model import MessageClass, Msisdn

LABEL, _TEXT_WIDTH = 11, 85  # columns
_CODINGS = {"gsm7": "GSM-7", "ucs2": "Unicode"}

_HELD = frozenset({"held", "approval"})

WISHED = {"cancel": "cancelled", "hold": "held", "release": "released", "retry": "tried now"}
"""What a wish makes of a message, in words."""

QUEUE_HEADS = ("ID", "AGE", "TO", "FROM", "STATUS", "NEXT TRY", "WHY")
NOTICE_HEADS = ("ID", "TIME", "KIND", "TO", "STATUS", "WHY")
MESSAGE_HEADS = ("ID", "TIME", "TO", "FROM", "STATUS", "PARTS", "COST", "WHY")


def printable(text: str) -> str:
    """Return one line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def number(text: str) -> str:
    """Return a number in groups; a name or short code as it is."""
    is_number = text.startswith("+") and text[1:].isdigit()
    return numbers.display(Msisdn(text)) if is_number else printable(text)


def coding(encoding: str) -> str:
    """Return how a text is coded, in words."""
    return _CODINGS.get(encoding, printable(encoding))


def count(amount: int, noun: str) -> str:
    """Return `1 part`, `2 parts`."""
    return f"{amount} {noun}{'s' * (amount != 1)}"


def clock(moment: datetime) -> str:
    """Return a moment here, with its zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def span(seconds: float) -> str:
    """Return a length of time, to the two units that count: `26 s`, `2 h 10 min`."""
    whole = max(0, int(seconds))
    for name, size, next_name, next_size in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // next_size
            return f"{whole // size} {name}" + (f" {rest} {next_name}" if rest else "")
    return f"{whole} s"


def queue_row(message: Message, now: datetime) -> tuple[str, ...]:
    """Return a waiting message under QUEUE_HEADS."""
    age = span((now - message.created_at).total_seconds()) if message.created_at else "-"
    is_waiting = message.status == "queued" and message.reason
    state = f"queued, {message.reason}" if is_waiting else message.status
    return (
        message.id,
        age,
        number(message.to),
        printable(message.writer) or "-",
        printable(state),
        _next_try(message, now),
        _why(message),
    )


def _next_try(message: Message, now: datetime) -> str:
    if message.status != "queued" or message.reason in _HELD:
        return "-"
    return _goes(message.due_at, now)


def _goes(due_at: datetime, now: datetime) -> str:
    wait_s = (due_at - now).total_seconds()
    if wait_s < 1:
        return "now"
    if wait_s < 3600:
        return f"in {span(wait_s)}"
    here, today = due_at.astimezone(), now.astimezone().date()
    return f"{here:%H:%M %Z}" if here.date() == today else f"{here:%Y-%m-%d %H:%M %Z}"


def _why(message: Message) -> str:
    if not message.attempts:
        return printable(message.detail)
    tried = f"tried {message.attempts} times" if message.attempts > 1 else "tried once"
    return printable("; ".join(filter(None, (message.detail, tried, f"by {message.carrier}"))))


def queue_end(messages: Sequence[Message], now: datetime) -> str:
    """Return the line below the queue."""
    oldest = min((m.created_at for m in messages if m.created_at), default=now)
    phones = count(len({m.to for m in messages}), "number")
    return f"{count(len(messages), 'message')}, {phones}. Oldest {span((now - oldest).total_seconds())}."


def message_row(message: Message) -> tuple[str, ...]:
    """Return a message under MESSAGE_HEADS."""
    return (
        message.id,
        clock(message.created_at) if message.created_at else "-",
        number(message.to),
        printable(message.writer) or "-",
        message.status,
        str(message.parts),
        message.cost or "-",
        printable(" ".join(filter(None, (message.reason, message.detail)))),
    )


def accepted_line(message: Message, *, is_dry_run: bool, has_pictures: bool = False) -> str:
    """Return what an order became, for one recipient."""
    facts = [_size(message), f"sender ID {number(message.sender_id)}"]
    way = _MEDIA.get(message.answer.get("media", ""), "left out: this phone cannot get them")
    facts += [f"pictures {way}"] if has_pictures else []
    facts += [f"carrier {message.carrier}"] if is_dry_run else []
    facts += [f"cost {message.cost}"] if message.cost else []
    what = ", ".join(facts)
    if is_dry_run:
        return f"would be sent  {number(message.to)}  {what}"
    return f"{message.id}  {number(message.to)}  {message.status}  {what}"


def _size(message: Message) -> str:
    return f"{coding(message.encoding)}, {count(message.parts, 'part')}"


def row(label: str, value: str) -> str:
    """Return one fact about a mail, a message or a notice."""
    return f"{label:{LABEL}}{value}".rstrip()


def text_rows(text: str, most: int | None = None) -> list[str]:
    """Return a text as it is on the phone, line by line; at most so many lines."""
    lines = [
        piece for line in text.split("\n") for piece in textwrap.wrap(printable(line), _TEXT_WIDTH) or [""]
    ]
    if most is not None and len(lines) > most:
        lines = [*lines[:most], f"... and {len(lines) - most} more lines"]
    return [row("" if at else "Text", line) for at, line in enumerate(lines)]


_MEDIA = {"mms": "as MMS", "link": "by a link in the text"}


def timeline(message: Message) -> list[str]:
    """Return a message and its life, one line a step."""
    is_answer = message.answer.get("class") == MessageClass.CONSENT
    writer = "mail2sms itself, to STOP, START or HELP" if is_answer else printable(message.writer) or "-"
    lines = [f"{message.id}  {writer} -> {number(message.to)}   {message.status}"]
    lines += [row("Subject", printable(message.subject))] if message.subject else []
    lines += text_rows(message.text) if message.text else []
    facts = {
        "Coding": _size(message),
        "Sender ID": number(message.sender_id),
        "Cost": message.cost,
        "Pictures": _MEDIA.get(message.answer.get("media", ""), ""),
        "Device": _device(message),
        "Proof": printable(message.answer.get("proof", "")),
    }
    lines += [row(name, value) for name, value in facts.items() if value]
    lines += _limits(message.answer.get("limits", ()))
    lines += _approval(message.answer.get("approval") or {})
    return lines + _steps(message.events)


def _device(message: Message) -> str:
    """Return which machine wrote, how many of its mails this tells, and who takes care of it."""
    name, told = message.answer.get("device"), message.answer.get("told") or {}
    if not name:
        return ""
    alarms, left_out, by = told.get("alarms", 1), told.get("left_out", 0), told.get("acknowledged_by")
    said = [printable(name), f"tells {count(alarms, 'alarm')}"]
    said += [f"the same came {count(left_out, 'time')} more"] if left_out else []
    said += [f"{number(by)} takes care of it"] if by else []
    return ", ".join(said)


def _limits(limits: Sequence[Mapping[str, str]]) -> Iterator[str]:
    label = "Counted in"
    for each in limits:
        yield row(label, limit(each))
        label = ""


def limit(told: Mapping[str, str]) -> str:
    """Return one limit, what is used of it, and when it opens again."""
    of = told["kind"] if told["of"] == "all" else f"{told['kind']} {number(told['of'])}"
    until = clock(datetime.fromisoformat(told["until"]))
    return f"{of}: {told['limit']}; {told['used']} used, {told['left']} left until {until}"


def _approval(told: Mapping[str, str]) -> Iterator[str]:
    if told:
        by = f" by {printable(told['decided_by'])}" if told["decided_by"] else ""
        yield row(
            "Approval", f"{told['id']} {told['status']}{by}: {told['reason']}, {printable(told['detail'])}"
        )


def _steps(events: Sequence[Event]) -> list[str]:
    if not events:
        return []
    first = events[0].at
    day = row("Day", f"{first.astimezone():%Y-%m-%d, times in %Z}")
    return [day, *(_step(event, first) for event in events)]


def notice_row(notice: Notice) -> tuple[str, ...]:
    """Return a notice under NOTICE_HEADS."""
    return (
        notice.id,
        clock(notice.created_at),
        notice.kind,
        _addressee(notice),
        notice.status,
        printable(" ".join(filter(None, (notice.reason, notice.detail)))),
    )


def _addressee(told: Notice | Happened) -> str:
    return printable(told.to) if told.channel == "email" else "chat"


def notice_page(notice: Notice, now: datetime) -> list[str]:
    """Return what somebody is told, of what, why, and whether it went; a refusal without a word of the text."""
    kind = "partly refused" if notice.is_partly else notice.kind
    lines = [f"{notice.id}  {kind} -> {_addressee(notice)}   {notice.status}"]
    why = [f"{code}  {title}" for code, title in notice.problems] or [notice.reason]
    facts = [
        *(("Reason", printable(one)) for one in why),
        ("Subject", printable(notice.subject)),
        ("Message-ID", printable(notice.message_id)),
        ("Message", notice.message),
        ("Reply", notice.mo),
    ]
    lines += [row(name, value) for name, value in facts if value]
    lines += _steps(notice.events)
    if notice.status == "queued":
        lines.append(row("Next try", _goes(notice.due_at, now)))
    return lines


def _step(event: Event, first: datetime) -> str:
    here = event.at.astimezone()
    time = f"{here:%H:%M:%S}.{here.microsecond // 1000:03}"
    is_other_day = here.date() != first.astimezone().date()
    day = f"{here:%Y-%m-%d} " if is_other_day else ""
    said = "  ".join(filter(None, (event.carrier, event.reason, event.detail)))
    passed_s = (event.at - first).total_seconds()
    after = f"   {passed_s:.1f} s after the first" if event.status == "delivered" else ""
    return f"{day}{time}  {event.status:13}  {printable(said)}{after}".rstrip()


def waits(message: Message, now: datetime, config: Path | None) -> list[str]:
    """Return why a message is not over and when it goes; nothing when it is. `config` is what commands name."""
    if message.status not in ("queued", "sending", "unknown"):
        return []
    facts = {
        "Next try": _next_try(message, now),
        "Why": ", ".join(filter(None, (printable(message.reason), _why(message)))),
        "Way out": _way_out(message, config),
    }
    return [row(name, value) for name, value in facts.items() if value not in ("", "-")]


def _way_out(message: Message, config: Path | None) -> str:
    if message.reason in _HELD:
        return f"{typed(f'queue release {message.id}', config)} lets it go"
    if message.status != "unknown":
        return ""
    again = typed(f"queue retry {message.id} --again", config)
    return f"a report may still come; {again} sends it again, and it may arrive twice"


def answered_line(answered: Answered, word: str, now: datetime) -> str:
    """Return what a wish made of one message; of a release, when it goes."""
    state = ", ".join(filter(None, (answered.status, answered.reason)))
    goes = (
        f"   goes {_goes(answered.due_at, now)}" if word in ("release", "retry") and answered.due_at else ""
    )
    return printable(f"{answered.id}  {state}{goes}")


def event_line(happened: Happened) -> str:
    """Return one event of the log on one line: when, what, to whom, from whom, why, and what it is about."""
    event = happened.event
    said = "  ".join(filter(None, (event.carrier, event.reason, event.detail)))
    who = f"{number(happened.to)}  <- {number(happened.writer) or '-'}"
    if happened.kind == "notice":
        who = f"{_addressee(happened)}  <- {happened.told}"
    elif happened.kind == "carrier":
        who, said = f"carrier {event.carrier}", event.detail
    what = "  ".join(filter(None, (who, printable(said))))
    return f"{event.at.astimezone():%H:%M:%S}  {event.status:13}  {what}   {happened.about}"
