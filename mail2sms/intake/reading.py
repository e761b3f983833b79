"""One email, from envelope to what it asks for: where it goes, who writes by which proof, and what it says.

The address chooses how a mail is read: the template mailbox follows the template; numbers, teams and reply addresses
are simple, the whole text is the SMS. Stores nothing; whether it may go is judged by `verdict`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mail2sms import numbers
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import BadNumber, Problem, Refusal
from mail2sms.intake import headers, quotes
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity
from mail2sms.intake.mime import Letter
from mail2sms.intake.sandbox import Sandbox, read_letter
from mail2sms.intake.template import Context, Late, Order, Template
from mail2sms.intake.template import source as shown_source
from mail2sms.model import Conversation, LeftOut, Msisdn, Origin, Submission, Writer
from mail2sms.rules import countries, fiction
from mail2sms.rules._base import Candidate, Policy

_TARGETS = 4096
_REPLY = re.compile(r"(?P<digits>[0-9]{6,15})\+r(?P<key>[a-z2-7]{10})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What the reading of mails needs to know. `teams` are phones by lower-case team name."""

    account: str
    domain: str
    country: str
    template_mailbox: str
    template: Template
    simple: Template
    teams: Mapping[str, tuple[Msisdn, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where one RCPT address leads: to the template, to phones, or into a conversation (by its reply key)."""

    phones: tuple[Msisdn, ...] = ()
    is_template: bool = False
    reply_key: str = ""


FindConversation = Callable[[Target], Awaitable[Conversation]]
"""Returns the conversation of a reply address. Raises Refusal when its key is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a proven writer's mail asks for, read but not judged, and what of it could not be read.

    `by_template` are the ids of submissions that the template was followed in; the others are simple. `late` is
    refused for its time alone: it may have been accepted before.
    """

    writer: Writer
    letter: Letter
    submissions: tuple[Submission, ...]
    refusals: tuple[Refusal, ...]
    by_template: frozenset[str]
    late: tuple[Submission, ...] = ()

    @property
    def origin(self) -> Origin:
        """The email that an answer must refer to."""
        return _origin(self.letter)

    def with_source(self, refusal: Refusal) -> Refusal:
        """Return a refusal with the lines that it is about."""
        source = refusal.source or shown_source(self.letter.text.split("\n"))
        return Refusal(*refusal.problems, corrected=refusal.corrected, source=source)


class Reader:
    """Reads mails as the configuration says."""

    def __init__(
        self,
        desk: Desk,
        identity: Identity,
        policy: Policy,
        sandbox: Sandbox,
        find_conversation: FindConversation,
    ) -> None:
        self._desk = desk
        self._identity = identity
        self._policy = policy
        self._sandbox = sandbox
        self._conversation = find_conversation
        self.target = lru_cache(maxsize=_TARGETS)(self._find_target)  # asked at RCPT, and again for the mail

    def begin(self, client: Client, *, offers_login: bool) -> Problem | None:
        """Return why no mail of this client is worth to be read: it could prove nothing."""
        if self._identity.may_prove(client):
            return None
        could_log_in = offers_login and client.login is None and self._identity.has_logins
        return Problem(reason="sender.login_required" if could_log_in else "sender.unknown")

    async def read(self, envelope: Envelope) -> Asked:
        """Return what a mail asks for. Raises Refusal for who proves nothing, and for what can't be read at all."""
        if not envelope.mail_from:
            raise Refusal(Problem(reason="sender.null"))
        head = headers.split(envelope.content, 0, len(envelope.content))
        authors = _authors(head[0].all("from"))
        writer = self._identity.writer(envelope.client, authors, envelope.mail_from)
        letter = await read_letter(envelope.content, head, self._sandbox, writer.address, envelope.has_left)
        if letter.from_addresses != authors:  # two readings of one mail: the proof would be for another text
            raise Refusal(Problem(reason="sender.from_missing"))
        if letter.is_automatic:
            raise Refusal(Problem(reason="sender.automatic"))
        readings = await self._readings(envelope)
        orders, refusals = self._orders(readings, letter, writer)
        late = {kind: refusal.order for kind, refusal in refusals.items() if isinstance(refusal, Late)}
        asked = [
            (r, _submission(r, orders[r.is_template], letter, writer))
            for r in readings
            if r.is_template in orders
        ]
        return Asked(
            writer=writer,
            letter=letter,
            submissions=tuple(submission for _, submission in asked),
            refusals=tuple(refusals.values()),
            by_template=frozenset(submission.id for reading, submission in asked if reading.is_template),
            late=tuple(
                _submission(r, late[r.is_template], letter, writer) for r in readings if r.is_template in late
            ),
        )

    async def _readings(self, envelope: Envelope) -> list[_Reading]:
        """Group the addresses by how the mail is to be read: each group becomes one submission."""
        targets = [self.target(address) for address in envelope.rcpts]
        phones = [phone for t in targets if not t.reply_key for phone in t.phones]
        readings = [_Reading(phones=tuple(dict.fromkeys(phones)))] if phones else []
        if any(target.is_template for target in targets):
            readings.append(_Reading(is_template=True))
        conversations = {(t.phones, t.reply_key): t for t in targets if t.reply_key}
        for target in conversations.values():
            readings.append(_Reading(phones=target.phones, conversation=await self._conversation(target)))
        return readings

    def _find_target(self, address: str) -> Target:
        """Return where an address leads. Raises Refusal."""
        desk = self._desk
        local, _, domain = address.rpartition("@")
        facts = {"domain": desk.domain, "mailbox": desk.template_mailbox}
        if not local or domain.lower() != desk.domain:
            raise Refusal(Problem(reason="address.relay_denied", facts=facts))
        name = local.lower()
        if name == desk.template_mailbox:
            return Target(is_template=True)
        if name in desk.teams:
            return Target(phones=desk.teams[name])
        answer = _REPLY.fullmatch(local)
        number = answer["digits"] if answer else local
        phone = self._phone(f"+{number}" if answer else number)
        if phone is None:
            raise Refusal(Problem(reason="address.unknown", facts=facts))
        return Target(phones=(phone,), reply_key=answer["key"].lower() if answer else "")

    def _phone(self, local: str) -> Msisdn | None:
        """Return the phone of a local part, None when it is no number. Raises Refusal when nobody may write to it."""
        try:
            phone = numbers.from_local_part(local, self._desk.country)
        except BadNumber as e:
            raise Refusal(Problem(reason=e.reason, value=local, hint=e.hint, facts=e.facts)) from e
        if phone is None:
            return None
        region = numbers.region(phone)
        writer: Any = None  # neither rule looks at who writes: RCPT comes before the proof
        problem = countries.allows(region, self._policy) or fiction.judge(
            Candidate(writer=writer, msisdn=phone, region=region), self._policy
        )
        if problem is not None:
            raise Refusal(problem)
        return phone

    def _orders(
        self, readings: Sequence[_Reading], letter: Letter, writer: Writer
    ) -> tuple[dict[bool, Order], dict[bool, Refusal]]:
        """Read the text once for each way it is to be read (by the template or not), however many addresses ask."""
        desk, orders, refusals = self._desk, dict[bool, Order](), dict[bool, Refusal]()
        context = Context(
            country=desk.country, zone=writer.zone, now_ms=now_ms(), teams=desk.teams, strip=_strip
        )
        for is_template in dict.fromkeys(reading.is_template for reading in readings):
            template = desk.template if is_template else desk.simple
            try:
                orders[is_template] = template.read(letter.text, context, letter.subject)
            except Refusal as refusal:
                refusals[is_template] = refusal
        return orders, refusals


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """One way a mail is read: for these phones, by the template, or as an answer in a conversation."""

    phones: tuple[Msisdn, ...] = ()
    is_template: bool = False
    conversation: Conversation | None = None


def _authors(fields: list[str]) -> tuple[str, ...]:
    """Return who says to write, read before anything that costs; nobody for more than one From field."""
    return headers.authors(fields)[0] if len(fields) == 1 else ()


def _submission(reading: _Reading, order: Order, letter: Letter, writer: Writer) -> Submission:
    now = now_ms()
    return Submission(
        id=new_id("m", now),
        writer=writer,
        text=order.text,
        recipients=reading.phones or order.to,
        origin=_origin(letter),
        created_at=now,
        sender_id=order.sender_id,
        send_at=order.send_at,
        validity_ms=order.validity_ms,
        reference=order.reference,
        left_out=_left_out(order, letter),
        conversation=reading.conversation,
    )


def _strip(text: str) -> tuple[str, tuple[LeftOut, ...]]:
    stripped = quotes.strip(text)
    return stripped.text, stripped.left_out


def _left_out(order: Order, letter: Letter) -> tuple[LeftOut, ...]:
    attachments = tuple(LeftOut(kind="attachment", lines=0, sample=a.name) for a in letter.attachments)
    return (*order.left_out, *attachments)


def _origin(letter: Letter) -> Origin:
    references = tuple(dict.fromkeys((*letter.references, *letter.in_reply_to)))
    return Origin(
        source="smtp",
        message_id=letter.message_id,
        subject=letter.subject,
        references=references,
        thread_index=letter.thread_index,
    )
