"""What would become of one mail, as a page for people. Pure."""

from __future__ import annotations

import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mail2sms.cli import explained_devices
from mail2sms.cli.explained import Address, Attempt, Explained, LeftOutText, LimitUse, Ordered, Text, Trouble
from mail2sms.cli.show import LABEL, coding, count, number, printable, text_rows
from mail2sms.money import read, total

_WIDE, _MOST = 100, 12  # columns; lines of a text, phones of a team
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
_KINDS = {"number": "", "team": "a team: ", "reply": "a reply address of ", "device": "the device writes to "}
_LEFT_OUT = {"quote": "quoted mail", "after_marker": "what follows the end marker"}


def page(explained: Explained, *, with_emails: bool, is_coloured: bool) -> list[str]:
    """Return it for people: lines of at most 100 columns, with places of the configuration at the right."""
    config = explained.config
    lines = [*_from(explained, config), *_to(explained.to)]
    for order in explained.orders:
        lines += _order(order, config, is_asked=explained.is_asked)
    lines += _limits(explained.limits)
    if explained.is_stopped:
        lines += _row("Stopped", "all sending is stopped now: nothing leaves until it is resumed")
    lines += _verdict(explained, is_coloured)
    for trouble in explained.problems:
        lines += _trouble(trouble)
    lines += _told(explained, with_emails=with_emails)
    return lines


def _row(label: str, text: str, place: str = "") -> Iterator[str]:
    """One fact; what is too long goes on in the next line, `place` stands at the right of the first."""
    room = _WIDE - LABEL - (len(place) + 2 if place else 0)
    pieces = textwrap.wrap(text, room, break_long_words=True) or [""]
    first = f"{label:{LABEL}}{pieces[0]}"
    yield f"{first:{_WIDE - len(place)}}{place}".rstrip()
    yield from (f"{'':{LABEL}}{piece}" for piece in pieces[1:])


def _place(config: str, line: int | None) -> str:
    return f"{config}:{line}" if line else ""


def _from(explained: Explained, config: str) -> Iterator[str]:
    who, envelope = explained.writer, explained.envelope
    if who is None:
        author = printable(explained.author) or "no single From address"
        yield from _row("From", f"{author}, not proven: it comes from {_client(envelope)}")
        yield from _tried(explained.tried, config)
        for rule in explained.wanted:
            yield from _row("", f"to write, senders asks for {rule.asks}", _place(config, rule.line))
        if explained.author and not explained.wanted:
            yield from _row("", "no rule of senders is about this address")
        return
    if who.is_device:
        by = "login" if envelope["login"] else "network"
        yield from _row(
            "From", f"the device {who.name}, by {by} {_client(envelope)}", _place(config, who.line)
        )
        return
    person = f"user {printable(who.name)}" if who.name else "a user" if who.is_user else "no user of ours"
    proof = f"by {who.proof.replace('_', ' ')} {_client(envelope)}"
    yield from _row("From", f"{printable(who.address)}, {person}, {proof}", _place(config, who.line))
    yield from _tried([each for each in explained.tried if each.result != "pass"], config)


def _tried(attempts: Sequence[Attempt], config: str) -> Iterator[str]:
    for each in attempts:
        yield from _row("", f"{each.proof}: {each.result}, {printable(each.why)}", _place(config, each.line))


def _client(envelope: dict[str, Any]) -> str:
    return printable(envelope["login"] or envelope["ip"])


def _to(addresses: Sequence[Address]) -> Iterator[str]:
    label = "To"
    for address in addresses:
        shown = printable(address.address)
        if address.reason:
            yield from _row(label, f"{shown}: refused at RCPT, {address.reply}")
        elif address.kind == "template":
            yield from _row(label, f"{shown}, the mailbox of the template {address.template}")
        else:
            phones = _few([number(phone) for phone in address.phones])
            kind = _KINDS[address.kind]
            yield from _row(label, f"{shown}, {kind}{phones}")
        if address.kind == "reply":
            yield from _row("", "taken as valid: its key stands in the database, which is not opened")
        label = ""


def _few(items: Sequence[str]) -> str:
    more = len(items) - _MOST
    return ", ".join(items[:_MOST]) + (f" and {more} more" if more > 0 else "")


def _limits(limits: Sequence[LimitUse]) -> Iterator[str]:
    label = "Limits"
    for each in limits:
        whom = each.kind if each.of == "all" else f"{each.kind} {number(each.of)}"
        used = f"{each.used} used, {each.left} left" if each.used is not None else "what is used is not known"
        needed = "" if each.needed.split()[0] == "0" else f", {each.needed} needed"
        yield from _row(label, f"{whom}: {each.limit}; {used}{needed}; opens again at {each.until}")
        label = ""


def _order(order: Ordered, config: str, *, is_asked: bool) -> Iterator[str]:
    device = order.device
    if device is not None:
        yield from _row("Device", f"text: {explained_devices.written(device)}", _place(config, device.line))
    else:
        yield from _row("Template", order.template)
    yield from text_rows(order.text, _MOST)
    for said in explained_devices.rows(device, order.most_parts) if device else ():
        yield from _row("", said)
    for said in order.unfit:
        yield from _row("Pictures", said)
    if order.left_out:
        yield from _row("", "left out: " + "; ".join(map(_left_out, order.left_out)))
    yield from _row("Coding", _coding(order))
    if order.messages:
        yield from _messages(order, config, is_asked=is_asked)


def _left_out(piece: LeftOutText) -> str:
    what = _LEFT_OUT.get(piece.kind, piece.kind.replace("_", " "))
    sample = f'"{printable(piece.sample)[:40]}"'
    return f"{what} ({count(piece.lines, 'line')}: {sample})" if piece.lines else f"{what} {sample}"


def _coding(order: Ordered) -> str:
    facts = (
        f"{coding(order.encoding)}, {order.units} of {order.room} characters, {count(order.parts, 'part')}"
    )
    if order.not_gsm:
        names = _few([_character(c) for c in order.not_gsm[:3]])
        more = len(order.not_gsm) - 3
        facts += f"; not in GSM-7: {names}" + (f" and {more} more" if more > 0 else "")
    if order.made_plain:
        facts += f"; made plain: {' '.join(order.made_plain[:_MOST])}"
    return facts


def _character(c: str) -> str:
    name = unicodedata.name(c, "").lower()
    return f"{c if c.isprintable() else ''} U+{ord(c):04X}{' ' + name if name else ''}".strip()


def _messages(order: Ordered, config: str, *, is_asked: bool) -> Iterator[str]:
    by_sender, by_route = defaultdict[tuple[Any, ...], list[str]](list), defaultdict[Any, list[str]](list)
    for text in order.messages:
        sender = (text.sender_id, text.sender_id_by, text.can_answer, text.sender_id_line)
        by_sender[sender].append(text.to)
        by_route[text.carriers, text.route_line].append(text.to)
    for (sender_id, by, can_answer, line), to in by_sender.items():
        answer = "the phone can answer" if can_answer else "the phone cannot answer a name"
        shown = f"{number(sender_id)} ({by}); {answer}"
        yield from _row("Sender ID", _for(to, by_sender) + shown, _place(config, line))
    for note in dict.fromkeys(note for text in order.messages for note in text.notes):
        yield from _row("", note)
    if order.pictures:
        yield from _pictures(order)
    yield from _row("Policy", _policy(order, is_asked=is_asked))
    yield from _quiet(order.messages)
    first = order.messages[0]
    if first.is_later:
        yield from _row("When", f"sent at {first.due_at}, given up at {first.expires_at}")
    for hold, why in dict.fromkeys((text.hold, text.why) for text in order.messages if text.why):
        yield from _row("", f"waits until somebody approves it ({hold}): {why}" if hold else why)
    for (carriers, line), to in by_route.items():
        yield from _row("Route", _for(to, by_route) + ", then ".join(carriers), _place(config, line))
    yield from _row("Cost", _cost(order.messages))


_MEDIA = {"mms": "as MMS", "link": "by a link in the text", "": "left out: this phone cannot get them"}


def _pictures(order: Ordered) -> Iterator[str]:
    by_way = defaultdict[str, list[str]](list)
    for text in order.messages:
        by_way[text.media].append(text.to)
    label = "Pictures"
    for media, to in by_way.items():
        yield from _row(label, f"{_for(to, by_way)}{count(order.pictures, 'picture')} {_MEDIA[media]}")
        label = ""


def _cost(texts: Sequence[Text]) -> str:
    known = [read(text.cost) for text in texts if text.cost]
    lacking = dict.fromkeys(f"{t.carriers[0]} has no price for {t.country}" for t in texts if not t.cost)
    whole = f" for {count(len(known), 'phone')}" if len(texts) > 1 else ""
    said = [f"{total(known)}{whole}"] if known else []
    return "; ".join(said + ([f"not known: {_few(list(lacking))}"] if lacking else []))


def _for(phones: Sequence[str], groups: dict[Any, list[str]]) -> str:
    return f"{_few([number(phone) for phone in phones])}: " if len(groups) > 1 else ""


def _quiet(texts: Sequence[Text]) -> Iterator[str]:
    """Quiet hours that hold nothing of this mail are worth a line too."""
    by_end = defaultdict[str, list[str]](list)
    for text in texts:
        if text.quiet_until and text.quiet_until != text.due_at:
            by_end[text.quiet_until].append(text.to)
    for until, phones in by_end.items():
        yield from _row(
            "", f"quiet hours at {_few([number(phone) for phone in phones])} until {until}: not for this"
        )


def _policy(order: Ordered, *, is_asked: bool) -> str:
    countries = sorted({text.country for text in order.messages})
    allowed = f"{'countries' if len(countries) > 1 else 'country'} {', '.join(countries)} allowed"
    quiet = "" if any(text.quiet_until for text in order.messages) else "; no quiet hours then"
    asked = "nobody of them opted out" if is_asked else "no daemon answers: opt-outs and limits are not known"
    return f"{allowed}; {order.parts} of at most {count(order.most_parts, 'part')}; {asked}{quiet}"


def _verdict(explained: Explained, is_coloured: bool) -> Iterator[str]:
    texts = [text for order in explained.orders for text in order.messages]
    parts = sum(order.parts * len(order.messages) for order in explained.orders)
    billed = f"to {count(len(texts), 'phone')}, {count(parts, 'part')}"
    words = {
        "sent": f"would be SENT {billed}; nothing was sent",
        "partly": f"would be SENT {billed}; the rest would be REFUSED; nothing was sent",
        "refused": "would be REFUSED; nothing was sent",
    }[explained.verdict]
    end = f"exit {explained.exit:d}"
    colour = _GREEN if explained.verdict == "sent" else _RED
    line = next(iter(_row("Verdict", words, end)))
    yield line.replace(words, f"{colour}{words}{_PLAIN}") if is_coloured else line


def _trouble(trouble: Trouble) -> Iterator[str]:
    whom = f"{number(trouble.to)}: " if trouble.to else ""
    yield from _row("Reason", f"{whom}{trouble.reason}   SMTP {trouble.reply}")
    if trouble.line and trouble.source:
        yield from _excerpt(trouble)
    yield from _row("", trouble.sentence)


def _excerpt(trouble: Trouble) -> Iterator[str]:
    label = f"body line {trouble.line}:  "
    room = _WIDE - LABEL - len(label)
    start = max(0, trouble.column - 1 - room // 2) if trouble.column > room - 10 else 0
    shown = printable(trouble.source)[start : start + room]
    before = shown[: max(trouble.column - 1 - start, 0)]
    blanks = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in before)
    under = "^" * max(1, min(trouble.width, len(shown) - len(before)))
    yield f"{'':{LABEL}}{label}{shown}".rstrip()
    yield f"{'':{LABEL + len(label)}}{' ' * blanks}{under}"


def _told(explained: Explained, *, with_emails: bool) -> Iterator[str]:
    if explained.reply:
        yield from _row("SMTP", explained.reply)
    for mail in explained.emails:
        hint = "" if with_emails else "   (--show-email prints it)"
        yield from _row("Email", f'to {printable(mail.to)}: "{printable(mail.subject)}"{hint}')
        if with_emails:
            yield ""
            yield from _lines(mail.text)
    if explained.told == "nobody":
        yield from _row("", "that is all: no email is sent about it")


def _lines(text: str) -> Iterable[str]:
    return (f"  | {printable(line)}".rstrip() for line in text.rstrip("\n").split("\n"))
