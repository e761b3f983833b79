"""One email, from envelope to what it asks for: where it goes, who writes by which proof, and what it says.

The address chooses how a mail is read: the template mailbox follows the template; numbers, teams and reply addresses
are simple, the whole text is the SMS. Stores nothing; whether it may go is judged by `verdict`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from mail2sms import numbers
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import BadNumber, Problem, Refusal
from mail2sms.intake import address_keys, devices, enclosed, headers, mime, quotes, smtp_dsn
from mail2sms.intake.asked import NOWHERE, Asked, FindConversation, Target, WouldJoin
from mail2sms.intake.clocks import written_at
from mail2sms.intake.desk import Desk
from mail2sms.intake.devices import Device
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity
from mail2sms.intake.mailauth import Mailauth
from mail2sms.intake.mime import OURS, Letter
from mail2sms.intake.origin import origin
from mail2sms.intake.sandbox import Sandbox, read_letter
from mail2sms.intake.template import Context, Late, Order
from mail2sms.model import (
    NO_DSN,
    Address,
    Conversation,
    LeftOut,
    Msisdn,
    Photo,
    Proof,
    Submission,
    Writer,
)
from mail2sms.pictures import Pictures
from mail2sms.reasons import REASONS
from mail2sms.rules import countries, fiction, sender_ids
from mail2sms.rules._base import Candidate, Policy
from mail2sms.store.teaching import Asking

_TARGETS = 4096
_MACHINES = frozenset({"mailer-daemon"})  # RFC 3834 section 2: bounces of old servers have nothing else
_REPLY = re.compile(r"(?P<digits>[0-9]{6,15})\+r(?P<key>[a-z2-7]{10})", re.IGNORECASE)


class Reader:
    """Reads mails as the configuration says."""

    def __init__(
        self,
        desk: Desk,
        identity: Identity,
        policy: Policy,
        sandbox: Sandbox,
        find_conversation: FindConversation,
        mailauth: Mailauth | None = None,
        pictures: Pictures | None = None,
        would_join: WouldJoin | None = None,
    ) -> None:
        """Without `mailauth` no rule asks for what a mail shows; without `pictures` none goes with a text."""
        self._desk = desk
        self._identity = identity
        self._mailauth = mailauth
        self._policy = policy
        self._sandbox = sandbox
        self._conversation = find_conversation
        self._pictures = pictures
        self._would_join = would_join
        self.target = lru_cache(maxsize=_TARGETS)(self._find_target)  # asked at RCPT, and again for the mail

    def begin(self, client: Client, *, offers_login: bool) -> Problem | None:
        """Return why no mail of this client is worth to be read: it could prove nothing."""
        if self._identity.may_prove(client):
            return None
        could_log_in = offers_login and client.login is None and self._identity.has_logins
        return Problem(reason="sender.login_required" if could_log_in else "sender.unknown")

    async def read(self, envelope: Envelope) -> Asked:
        """Return what a mail asks for. Raises Refusal for who proves nothing, and for what can't be read at all."""
        head = headers.split(envelope.content, 0, len(envelope.content))
        fields = head[0].all("from")
        authors = headers.authors(fields)[0] if len(fields) == 1 else ()  # before anything that costs
        if device := self._identity.device(envelope.client, authors):
            return await self._alarm(envelope, head, device)
        if not envelope.mail_from:
            raise Refusal(Problem(reason="sender.null"))
        targets = [self.target(address) for address in envelope.rcpts]
        writer = await self._writer(envelope, authors, {target.key for target in targets if target.key})
        letter, unread = await self._letter(envelope, head, writer)
        if letter.from_addresses != authors:  # two readings of one mail: the proof would be for another text
            raise Refusal(Problem(reason="sender.from_missing"))
        if letter.is_automatic or authors[0].partition("@")[0] in _MACHINES:
            raise Refusal(Problem(reason="sender.automatic"))
        if NOWHERE in targets:
            raise Refusal(self._unknown())
        dsns = smtp_dsn.addressed(envelope.dsns, smtp_dsn.report_to(envelope.mail_from, writer))
        if dsns != envelope.dsns:
            envelope = replace(envelope, dsns=dsns)
        envelope = self._without_keys(envelope)
        original = address_keys.without_in(smtp_dsn.returned(envelope.content, head[1], dsns))
        answers = mime.answers_notice(letter, self._desk.domain)
        asked = Asked(
            writer=writer,
            origin=origin(letter),
            submissions=(),
            is_by_template=any(target.is_template for target in targets),
            answers_notice=answers,
            asking=Asking.of(zip(envelope.rcpts, envelope.dsns, strict=False), original),
        )
        if unread is not None:
            return replace(asked, refusal=unread)
        groups = await self._groups(targets, envelope)
        try:
            return await self._ordered(asked, targets, groups, letter, envelope.content)
        except Refusal as refusal:
            if REASONS[refusal.problems[0].reason].code < 500:
                raise
            return replace(asked, refusal=refusal)

    async def _ordered(
        self,
        asked: Asked,
        targets: Sequence[Target],
        groups: Sequence[_Group],
        letter: Letter,
        content: bytes,
    ) -> Asked:
        """Return what the text asks for. Raises Refusal."""
        try:
            order = self._order(targets, letter, asked.writer)
        except Late as late:
            submissions = tuple(_submission(group, late.order, letter, asked) for group in groups)
            return replace(asked, refusal=late, late=submissions)
        enclosed.refuse_recordings(letter, order.text, self._policy)
        phones = [*order.to, *(phone for target in targets for phone in target.phones)]
        worker = self._pictures if enclosed.may_go(letter, phones, self._policy) else None
        photos = await enclosed.pictures(letter, order.text, content, self._policy, worker)
        made = {group.target: _submission(group, order, letter, asked, photos) for group in groups}
        return replace(
            asked,
            submissions=tuple(made.values()),
            rcpts=tuple((made[t.group].id, order.to if t.is_template else t.phones) for t in targets),
        )

    async def _alarm(self, envelope: Envelope, head: headers.Head, device: Device) -> Asked:
        """Return what a device's mail asks for: one text, to the phones set for it, else to those of its addresses."""
        writer = device.writer(self._desk.account)
        letter, unread = await self._letter(envelope, head, writer)
        asked = Asked(writer=writer, origin=origin(letter), submissions=(), owner=device.owner)
        if head[0].has(OURS):  # what we sent ourselves, and came back
            raise Refusal(Problem(reason="sender.automatic"))
        if unread is not None and not devices.is_text_missing(unread):
            return replace(asked, refusal=unread)
        targets = [self.target(address) for address in envelope.rcpts]
        phones = tuple(dict.fromkeys(phone for target in targets for phone in target.phones))
        now, fields, to = now_ms(), head[0], smtp_dsn.report_to(envelope.mail_from, writer)
        envelope = replace(envelope, dsns=smtp_dsn.addressed(envelope.dsns, to))
        original = smtp_dsn.returned(envelope.content, head[1], envelope.dsns) if to else b""
        heard = devices.Heard(
            letter=letter,
            origin=asked.origin,
            written=written_at(fields.first("date"), fields.all("received"), now, device.zone),
            host=envelope.client.helo or envelope.client.ip,
            phones=phones,
            addresses=devices.addresses(envelope, [target.phones for target in targets], device.phones),
        )
        try:
            made = devices.submission(device, heard, new_id("m", now), self._desk.account, now)
        except devices.TooOld as late:
            return replace(asked, refusal=late, late=(late.submission,))
        worker = (
            self._pictures if enclosed.may_go(letter, made.recipients, self._policy, device.name) else None
        )
        if worker is not None and self._would_join is not None and await self._would_join(made):
            worker = None  # the SMS has the picture of its first
        photos, unfit = await enclosed.of_alarm(letter, envelope.content, self._policy, device.name, worker)
        if unread is not None:
            unfit = enclosed.unread(unread, self._policy, device.name)
        left_out = tuple(enclosed.left_out(letter, photos))
        made = replace(made, original=original, pictures=photos, left_out=left_out)
        rcpts = tuple((made.id, device.phones or target.phones) for target in targets)
        return replace(asked, submissions=(made,), rcpts=rcpts, unfit=unfit)

    def _without_keys(self, envelope: Envelope) -> Envelope:
        """Return an envelope whose addresses can be told: keys prove, and are written nowhere."""
        if not self._desk.takes_keys:
            return envelope
        dsns = tuple(replace(dsn, original=address_keys.without(dsn.original)) for dsn in envelope.dsns)
        return replace(envelope, rcpts=tuple(map(address_keys.without, envelope.rcpts)), dsns=dsns)

    async def _writer(self, envelope: Envelope, authors: tuple[str, ...], keys: set[str]) -> Writer:
        """Return who writes. What the client proves comes first, then a key: the rest may have to ask the DNS."""
        identity, client = self._identity, envelope.client
        author = identity.author(client, authors, envelope.mail_from)
        if author.proof is not None:
            return identity.writer(author.address, author.proof, author.acting)
        why = identity.why_no_key(author.address, keys, client.ip) if author.by_key else ""
        if author.by_key and not why:
            return identity.writer(author.address, Proof.ADDRESS_KEY)
        if not author.in_mail:
            raise Refusal(Problem(reason="sender.proof_missing", facts={"why": why}))
        assert self._mailauth is not None
        return identity.writer(author.address, await self._mailauth.proof(author, envelope, why))

    async def _letter(
        self, envelope: Envelope, head: headers.Head, writer: Writer
    ) -> tuple[Letter, Refusal | None]:
        """Return the letter, without its text when that can't be read, and why."""
        content, address, has_left = envelope.content, writer.address or writer.name, envelope.has_left
        try:
            return await read_letter(content, head, self._sandbox, address, has_left), None
        except Refusal as refusal:
            if REASONS[refusal.problems[0].reason].code < 500:  # it may be read when it comes again
                raise
            return mime.without_text(head[0]), refusal

    async def _groups(self, targets: Sequence[Target], envelope: Envelope) -> list[_Group]:
        """Return who gets the text: all others together, and each conversation of its own."""
        groups: dict[Target, list[Address]] = {}
        for target, dsn in zip(targets, envelope.dsns or (NO_DSN,) * len(targets), strict=True):
            address = Address(phones=target.phones, dsn=dsn, has_reply=envelope.has_reply_each)
            groups.setdefault(target.group, []).append(address)
        return [
            _Group(
                target=target,
                addresses=tuple(groups[target]),
                conversation=await self._conversation(target) if target.reply_key else None,
            )
            for target in sorted(groups, key=lambda target: bool(target.reply_key))
        ]

    def _find_target(self, address: str) -> Target:
        """Return where an address leads. Raises Refusal."""
        desk = self._desk
        local, _, domain = address.rpartition("@")
        facts = {"domain": desk.domain, "mailbox": desk.template_mailbox}
        if not local or domain.lower() != desk.domain:
            raise Refusal(Problem(reason="address.relay_denied", facts=facts))
        if desk.takes_keys:
            try:
                local, key = address_keys.split(local)
            except address_keys.KeyCut:
                raise Refusal(Problem(reason="address.bad_key", facts=facts)) from None
            if key:
                return replace(self._find_target(f"{local}@{desk.domain}"), key=key)
        name = local.lower()
        if name == desk.template_mailbox:
            return Target(is_template=True)
        if name in desk.teams:
            return Target(phones=desk.teams[name], team=name)
        if name in desk.devices:
            return Target()
        answer = _REPLY.fullmatch(local)
        number = answer["digits"] if answer else local
        phone = self._phone(f"+{number}" if answer else number)
        if phone is None:
            raise Refusal(self._unknown())
        return Target(phones=(phone,), reply_key=answer["key"].lower() if answer else "")

    def _unknown(self) -> Problem:
        facts = {"domain": self._desk.domain, "mailbox": self._desk.template_mailbox}
        return Problem(reason="address.unknown", facts=facts)

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

    def _order(self, targets: Sequence[Target], letter: Letter, writer: Writer) -> Order:
        """Read the text once, whoever gets it: nobody's phone shows the fields of a template. Raises Refusal."""
        desk = self._desk
        context = Context(
            country=desk.country,
            language=writer.language,
            zone=writer.zone,
            now_ms=now_ms(),
            teams=desk.teams,
            strip=_strip,
            sender_ids=sender_ids.usable(writer, self._policy),
            recipients=self._policy.recipients,
            also_to=tuple(target.to for target in targets if target.phones and not target.reply_key),
        )
        by_template = any(target.is_template for target in targets)
        template = desk.template if by_template else desk.simple
        text = (
            address_keys.without(letter.text) if desk.takes_keys else letter.text
        )  # of a mail that is quoted
        try:
            return template.read(text, context, letter.subject)
        except Refusal as refusal:
            phones = [phone for target in targets for phone in target.phones]
            can_enclose = self._pictures is not None and enclosed.may_go(letter, phones, self._policy)
            if can_enclose and not by_template and refusal.problems[0].reason == "text.empty":
                return Order(text="")  # its pictures say it
            if not letter.text and letter.attachments:
                raise Refusal(enclosed.instead_of_text(letter)) from None
            raise


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Addresses that get the text by one submission, in a conversation or beside phones that the mail itself names."""

    target: Target
    addresses: tuple[Address, ...]
    conversation: Conversation | None = None


def _submission(
    group: _Group, order: Order, letter: Letter, asked: Asked, photos: tuple[Photo, ...] = ()
) -> Submission:
    now, writer = now_ms(), asked.writer
    named = () if group.conversation else order.to
    phones = (phone for address in group.addresses for phone in address.phones)
    return Submission(
        id=new_id("m", now),
        writer=writer,
        text=order.text,
        recipients=tuple(dict.fromkeys((*named, *phones))),
        origin=asked.origin,
        created_at=now,
        sender_id=order.sender_id,
        send_at=order.send_at,
        validity_ms=order.validity_ms,
        reference=order.reference,
        left_out=(*order.left_out, *enclosed.left_out(letter, photos)),
        pictures=photos,
        conversation=group.conversation,
        addresses=tuple(each if each.phones else replace(each, phones=named) for each in group.addresses),
        original=asked.asking.original,
        answers_notice=asked.answers_notice,
        has_receipt=writer.receipts == "always" or (writer.receipts == "asked" and letter.asks_receipt),
    )


def _strip(text: str) -> tuple[str, tuple[LeftOut, ...]]:
    stripped = quotes.strip(text)
    return stripped.text, stripped.left_out
