"""One email, from envelope to reply: where it goes, who writes, what it says, and what SMTP answers.

The address chooses how a mail is read: the template mailbox follows the template; numbers, teams and reply addresses
are simple, the whole text is the SMS. Judging and storing is `accept`'s.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mail2sms import numbers
from mail2sms.accept import Accept, merge
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import BadNumber, Problem, Refusal, StoreUnavailable
from mail2sms.intake import headers, quotes
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity
from mail2sms.intake.mime import Letter
from mail2sms.intake.sandbox import Sandbox, read_letter
from mail2sms.intake.template import Context, Order, Template
from mail2sms.intake.template import source as shown_source
from mail2sms.log import log
from mail2sms.model import Conversation, LeftOut, Msisdn, Origin, Submission, Writer
from mail2sms.reasons import smtp_reply
from mail2sms.rules import countries, fiction
from mail2sms.rules._base import Candidate
from mail2sms.store import Store
from mail2sms.store.views import conversation_by_key

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


class Receiver:
    """Answers what the listener asks; see `smtp.Handler`."""

    def __init__(
        self, desk: Desk, identity: Identity, accept: Accept, store: Store, sandbox: Sandbox
    ) -> None:
        self._desk = desk
        self._identity = identity
        self._accept = accept
        self._store = store
        self._sandbox = sandbox
        self._target = lru_cache(maxsize=_TARGETS)(self._find_target)  # asked at RCPT, and again for the mail

    def begin(self, client: Client, *, offers_login: bool) -> str | None:
        """Refuse whose mail could prove nothing, whatever stood in it."""
        if self._identity.may_prove(client):
            return None
        could_log_in = offers_login and client.login is None and self._identity.has_logins
        problem = Problem(reason="sender.login_required" if could_log_in else "sender.unknown")
        return smtp_reply(problem)

    def rcpt(self, client: Client, address: str) -> str | Awaitable[str | None] | None:
        """Refuse at once what no proof could change: domain, syntax, number, type, region, reply key."""
        try:
            target = self._target(address)
        except Refusal as refusal:
            return smtp_reply(refusal.problems[0])
        return self._reply_key_refusal(target) if target.reply_key else None

    async def _reply_key_refusal(self, target: Target) -> str | None:
        try:
            await self._conversation(target)
        except Refusal as refusal:
            return smtp_reply(refusal.problems[0])
        except StoreUnavailable:
            return smtp_reply(Problem(reason="system.database"))
        return None

    async def login(self, client: Client, name: str, password: str) -> bool:
        """Whether this is the password of a user."""
        return await self._identity.verify(name, password)

    async def mail(self, envelope: Envelope) -> str:
        """Take one mail; the 250 goes out after it is on disk."""
        try:
            return await self._take(envelope)
        except Refusal as refusal:
            log.info("mail_refused", reason=refusal.problems[0].reason, peer=envelope.client.ip)
            return smtp_reply(refusal.problems[0])
        except StoreUnavailable:
            return smtp_reply(Problem(reason="system.database"))

    async def _take(self, envelope: Envelope) -> str:
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
        submissions = [
            _submission(reading, orders[reading.is_template], letter, writer)
            for reading in readings
            if reading.is_template in orders
        ]
        origin = _origin(letter)
        repeat = letter.message_id or new_id("x", now_ms())
        if submissions:
            try:
                receipt = await self._accept.accept(submissions, refusals)
            except Refusal as refusal:
                source = refusal.source or shown_source(letter.text.split("\n"))
                refusals = [Refusal(*refusal.problems, corrected=refusal.corrected, source=source)]
            else:
                return f"250 2.0.0 {receipt.id}"
        refused = merge(refusals)
        if writer.is_direct:
            raise refused
        told = await self._accept.tell_refusal(writer, origin, refused, repeat)
        return f"250 2.0.0 {told} not sent, an email says why"

    async def _readings(self, envelope: Envelope) -> list[_Reading]:
        """Group the addresses by how the mail is to be read: each group becomes one submission."""
        targets = [self._target(address) for address in envelope.rcpts]
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
        policy = self._accept.policy
        writer: Any = None  # neither rule looks at who writes: RCPT comes before the proof
        problem = countries.allows(region, policy) or fiction.judge(
            Candidate(writer=writer, msisdn=phone, region=region), policy
        )
        if problem is not None:
            raise Refusal(problem)
        return phone

    async def _conversation(self, target: Target) -> Conversation:
        found = await self._store.read(
            conversation_by_key, self._desk.account, target.phones[0], target.reply_key
        )
        if found is None:
            raise Refusal(Problem(reason="address.bad_reply_key"))
        return found

    def _orders(
        self, readings: Sequence[_Reading], letter: Letter, writer: Writer
    ) -> tuple[dict[bool, Order], list[Refusal]]:
        """Read the text once for each way it is to be read (by the template or not), however many addresses ask."""
        desk, orders, refusals = self._desk, dict[bool, Order](), list[Refusal]()
        context = Context(
            country=desk.country, zone=writer.zone, now_ms=now_ms(), teams=desk.teams, strip=_strip
        )
        for is_template in dict.fromkeys(reading.is_template for reading in readings):
            template = desk.template if is_template else desk.simple
            try:
                orders[is_template] = template.read(letter.text, context, letter.subject)
            except Refusal as refusal:
                refusals.append(refusal)
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
