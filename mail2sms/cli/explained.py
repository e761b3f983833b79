"""What would become of one mail, as values and as a document for programs; `explained_page` is for people. Pure.

The document's keys: `verdict` (sent, partly, refused), `exit`, `config`, `envelope` (from, ip, login, rcpts),
`writer` (address, name, is_user, is_device, proof, line; null for a stranger), `author` (the From address), `tried`
(proof, result, why, line: what was tried up to the proof that holds), `wanted` (asks, line: what would prove a
stranger), `to` (address, kind, template, phones, reason, reply), `orders` (template, text, left_out with kind, lines,
sample, encoding, units, room, parts, most_parts, not_gsm, made_plain, messages, pictures, unfit (what is wrong with
those of a device that do not go), device: see explained_devices),
`problems` (to, reason, reply, line, column, width, value, hint, source, sentence), `limits` (kind, of, limit, used,
left, needed, until: of quotas), `is_asked` (whether a daemon told what its store knows; else used and left are null),
`is_stopped` (nothing leaves now), `reply` (the listener's last), `told` (smtp, email, nobody), `emails` (to, subject,
text). Of `messages`: to, country, sender_id, sender_id_by, sender_id_line, can_answer, notes, carriers, cost (by the
first of them; null: not known), route_line, due_at, expires_at (ISO 8601), is_later, why (it waits), hold (the reason
why somebody must approve it), quiet_until (the quiet hours of the phone, whether or not they hold this message; null:
none then), media (how its pictures go: mms, link, or not at all). Lines are the configuration's, but those of problems.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mail2sms.cli import Exit
from mail2sms.cli.explained_devices import FromDevice


@dataclass(frozen=True, kw_only=True, slots=True)
class Who:
    """The proven writer. `line` is the rule's of `senders`, or the device's."""

    address: str
    name: str
    is_user: bool
    proof: str
    line: int | None
    is_device: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One proof that was tried. `result`: pass, fail, or unknown when the DNS did not answer."""

    proof: str
    result: str
    why: str
    line: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A rule of `senders` that is about the From address, and the proof that it asks for."""

    asks: str
    line: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where one RCPT leads. `kind`: number, team, template, reply, device; empty when `reason` says why not."""

    address: str
    kind: str = ""
    template: str = ""
    phones: tuple[str, ...] = ()
    reason: str = ""
    reply: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """One message that would go out."""

    to: str
    country: str
    sender_id: str
    sender_id_by: str
    sender_id_line: int | None
    can_answer: bool
    notes: tuple[str, ...]
    carriers: tuple[str, ...]
    cost: str | None
    route_line: int | None
    due_at: str
    expires_at: str
    is_later: bool
    why: str
    quiet_until: str | None
    hold: str
    media: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitUse:
    """One limit that the mail comes under, in its window; `used` and `left` are null where nobody was asked."""

    kind: str
    of: str
    limit: str
    used: str | None
    left: str | None
    needed: str
    until: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOutText:
    """What is not part of the SMS, and why."""

    kind: str
    lines: int
    sample: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ordered:
    """One way the mail is read, and what it becomes. `room` is what the parts hold, in `units`.

    `unfit`, in words, is what is wrong with pictures of a device that do not go.
    """

    template: str
    text: str = field(repr=False)
    left_out: tuple[LeftOutText, ...]
    encoding: str
    units: int
    room: int
    parts: int
    most_parts: int
    not_gsm: tuple[str, ...]
    made_plain: tuple[str, ...]
    messages: tuple[Text, ...]
    pictures: int = 0
    unfit: tuple[str, ...] = ()
    device: FromDevice | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """One thing that is refused; `source` is the line at fault, `sentence` what people are told."""

    to: str
    reason: str
    reply: str
    line: int
    column: int
    width: int
    value: str
    hint: str
    source: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """An email that the writer would get."""

    to: str
    subject: str
    text: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """All of it. `wanted` are the rules that would let the author write: only for who is not proven."""

    config: str
    envelope: dict[str, Any]
    writer: Who | None
    author: str
    tried: tuple[Attempt, ...]
    wanted: tuple[Wanted, ...]
    to: tuple[Address, ...]
    orders: tuple[Ordered, ...] = ()
    problems: tuple[Trouble, ...] = ()
    limits: tuple[LimitUse, ...] = ()
    is_asked: bool = False
    is_stopped: bool = False
    reply: str = ""
    told: str = "nobody"
    emails: tuple[Mail, ...] = ()

    @property
    def verdict(self) -> str:
        """`sent`, `partly` or `refused`."""
        if not any(order.messages for order in self.orders):
            return "refused"
        return "partly" if self.problems else "sent"

    @property
    def exit(self) -> Exit:
        """Refused as soon as anything is."""
        return Exit.OK if self.verdict == "sent" else Exit.REFUSED


def document(explained: Explained) -> dict[str, Any]:
    """Return it for programs."""
    return {"verdict": explained.verdict, "exit": int(explained.exit), **asdict(explained)}
