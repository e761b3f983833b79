"""One mail through the code of the listener, without its store: what each step says, put together for `explain`."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from mail2sms import routing, segments
from mail2sms.addresses import canonical
from mail2sms.cli.explained import (
    Address,
    Attempt,
    Explained,
    LeftOutText,
    Mail,
    Ordered,
    Text,
    Trouble,
    Wanted,
    Who,
)
from mail2sms.cli.explained_devices import from_device
from mail2sms.cli.explained_senders import why_sender_id
from mail2sms.cli.proofs import asks
from mail2sms.clock import now_ms
from mail2sms.config import Settings, derived
from mail2sms.dns import Dns
from mail2sms.errors import Problem, Refusal
from mail2sms.intake import headers
from mail2sms.intake.devices import Device
from mail2sms.intake.envelope import Envelope
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.limits import Budget
from mail2sms.intake.mailauth import Mailauth, Tried
from mail2sms.intake.reading import Asked, Reader, Target
from mail2sms.intake.sandbox import Sandbox
from mail2sms.intake.smtp_syntax import Collector, CommandRefused
from mail2sms.model import Conversation, MtMessage, Proof, Submission, Writer
from mail2sms.money import shown
from mail2sms.reasons import REASONS, smtp_reply
from mail2sms.relay.letters import Refusals
from mail2sms.render import Render
from mail2sms.rules import sender_ids
from mail2sms.store import NewNotice
from mail2sms.store.teaching import notices, refused_notice
from mail2sms.verdict import Judge, Verdict
from mail2sms.yamltext import Document

_THE_PHONES = "?"  # our address in a conversation that is not looked up
_TOO_LARGE, _BARE = "mail.too_large", "mail.bare_newline"


def author(content: bytes) -> str:
    """Return the one address of the From header, as the listener reads it; nothing when it is none."""
    try:
        fields = headers.split(content, 0, len(content))[0].all("from")
    except Refusal:
        return ""
    found = headers.authors(fields)[0] if len(fields) == 1 else ()
    return found[0] if len(found) == 1 else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mail:
    """What the listener knows before the mail is read."""

    envelope: Envelope
    author: str
    writer: Who | None
    tried: tuple[Tried, ...]
    to: tuple[Address, ...]
    at_rcpt: tuple[Trouble, ...]


class Bridge:
    """The parts of the daemon that decide, built as the daemon builds them, without its store."""

    def __init__(self, settings: Settings, document: Document, config: str, dns: Dns | None = None) -> None:
        """`config` is how places in the `document` are called. Raises what `derived.desk` raises."""
        self._mailauth = Mailauth(dns)
        self._settings, self._document, self._config = settings, document, config
        self._desk = derived.desk(settings)
        self._policy = derived.policy(settings)
        self._routes = settings.route_table()
        self._judge = Judge(self._policy, self._routes, settings.validity)
        self._render = Render()
        self._letters = Refusals(derived.house(settings), self._render)
        self._rules = settings.sender_rules()
        self._identity = Identity(
            self._rules,
            settings.all_users(),
            {},
            account=settings.account,
            language=settings.language,
            zone=settings.timezone,
            devices=derived.devices(settings),
        )

    async def explain(self, envelope: Envelope) -> Explained:
        """Return what the listener would do, in its order: MAIL, RCPT, DATA."""
        written_by = author(envelope.content)

        async def conversation(target: Target) -> Conversation:
            writers = frozenset({canonical(written_by)})
            phone, account = target.phones[0], self._desk.account
            return Conversation(
                id="", account=account, our_address=_THE_PHONES, msisdn=phone, writers=writers
            )

        sandbox = Sandbox()
        try:
            reader = Reader(self._desk, self._identity, self._policy, sandbox, conversation, self._mailauth)
            tried = await self._try(envelope, written_by)
            device = self._device(envelope, written_by)
            asked = [self._address(reader, at, rcpt, device) for at, rcpt in enumerate(envelope.rcpts)]
            mail = _Mail(
                envelope=envelope,
                author=written_by,
                writer=self._who(envelope, written_by, tried),
                tried=tried,
                to=tuple(address for address, _ in asked),
                at_rcpt=tuple(trouble for _, trouble in asked if trouble),
            )
            return await self._explain(mail, reader)
        finally:
            await sandbox.close()
            self._identity.close()
            self._mailauth.close()

    async def _explain(self, mail: _Mail, reader: Reader) -> Explained:
        offers_login = any(listener.login != "no" for listener in self._settings.listen.mail().values())
        begun = reader.begin(mail.envelope.client, offers_login=offers_login)
        if begun is not None:
            return self._refused(replace(mail, at_rcpt=()), [begun])
        taken = tuple(address.address for address in mail.to if not address.reason)
        if not taken:
            return self._explained(mail, reply="554 5.5.1 no valid recipients")
        if trouble := self._data(mail.envelope.content):
            return self._refused(mail, [trouble])
        try:
            asked = await reader.read(replace(mail.envelope, rcpts=taken))
        except Refusal as refusal:
            return self._refused(mail, refusal.problems)
        return self._judged(mail, asked)

    def _data(self, content: bytes) -> Problem | None:
        """Let the listener's collector take the mail: its size and its line ends."""
        limits = derived.limits(self._settings)
        collector = Collector(Budget(limits), is_trusted=True)
        stuffed = re.sub(rb"^\.", b"..", content, flags=re.MULTILINE)
        collector.feed(stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        try:
            collector.content()
        except CommandRefused as e:
            reason = _TOO_LARGE if str(e).startswith("552") else _BARE
            return Problem(reason=reason, facts={"limit": str(limits.size_bytes)})
        return None

    def _judged(self, mail: _Mail, asked: Asked) -> Explained:
        if asked.refusal is not None:
            source = asked.refusal.source
            troubles = tuple(self._trouble(problem, source=source) for problem in asked.refusal.problems)
            return self._told(mail, asked, asked.refusal, troubles)
        verdict = self._judge.judge(asked.submissions)
        orders = tuple(self._ordered(submission, asked, verdict) for submission in asked.submissions)
        problems = tuple(self._troubles(verdict))
        if not verdict.messages:
            return self._told(mail, asked, verdict.refusal(), problems, orders)
        told = notices(asked.submissions[0], verdict)
        how = "email" if told else "smtp"
        return self._explained(
            mail, orders=orders, problems=problems, reply="250 2.0.0 <id>", told=how, told_by=told
        )

    def _told(
        self,
        mail: _Mail,
        asked: Asked,
        refusal: Refusal,
        problems: tuple[Trouble, ...],
        orders: tuple[Ordered, ...] = (),
    ) -> Explained:
        """Nothing may go: an email says so, or the reply to who is there to read it."""
        if asked.writer.is_direct:
            reply = smtp_reply(refusal.problems[0])
            return self._explained(mail, orders=orders, problems=problems, reply=reply, told="smtp")
        notice = refused_notice("n", asked.writer, asked.origin, refusal, now_ms())
        reply = "250 2.0.0 <id> not sent, an email says why"
        return self._explained(
            mail, orders=orders, problems=problems, reply=reply, told="email", told_by=(notice,)
        )

    def _refused(self, mail: _Mail, problems: Sequence[Problem]) -> Explained:
        """The whole mail, before anything of it was judged: told in SMTP alone."""
        troubles = tuple(self._trouble(problem) for problem in problems)
        told = "nobody" if REASONS[problems[0].reason].tell == "nobody" else "smtp"
        return self._explained(mail, problems=troubles, reply=smtp_reply(problems[0]), told=told)

    def _explained(
        self,
        mail: _Mail,
        *,
        reply: str,
        orders: tuple[Ordered, ...] = (),
        problems: tuple[Trouble, ...] = (),
        told: str = "smtp",
        told_by: tuple[NewNotice, ...] = (),
    ) -> Explained:
        envelope = mail.envelope
        return Explained(
            config=self._config,
            envelope={
                "from": envelope.mail_from,
                "ip": envelope.client.ip,
                "login": envelope.client.login,
                "rcpts": list(envelope.rcpts),
            },
            writer=mail.writer,
            author=mail.author,
            tried=tuple(
                Attempt(proof=t.proof, result=t.result, why=t.why, line=self._rule_line(t.rule))
                for t in mail.tried
            ),
            wanted=() if mail.writer else tuple(self._wanted(canonical(mail.author))),
            to=mail.to,
            orders=orders,
            problems=(*mail.at_rcpt, *problems),
            reply=reply,
            told=told,
            emails=tuple(map(self._email, told_by)),
        )

    def _email(self, notice: NewNotice) -> Mail:
        outgoing = self._letters.refused(notice)
        message = email.message_from_bytes(outgoing.content, policy=email.policy.default)
        part = message.get_body(("plain",))
        text = part.get_content() if part is not None else ""
        return Mail(to=outgoing.to, subject=str(message["Subject"]), text=text)

    async def _try(self, envelope: Envelope, author: str) -> tuple[Tried, ...]:
        """Return what the mail itself shows, where the client's own proof is not enough."""
        if self._device(envelope, author):
            return ()
        try:
            found = self._identity.author(envelope.client, (author,), envelope.mail_from)
        except Refusal:
            return ()
        return () if found.proof else await self._mailauth.attempts(found, envelope)

    def _device(self, envelope: Envelope, author: str) -> Device | None:
        return self._identity.device(envelope.client, (author,) if author else ())

    def _who(self, envelope: Envelope, author: str, tried: Sequence[Tried]) -> Who | None:
        if device := self._device(envelope, author):
            line = self._line("devices", device.name)
            proof = Proof.DEVICE.value
            return Who(
                address=author, name=device.name, is_user=False, proof=proof, line=line, is_device=True
            )
        proven = self._identity.proven(envelope.client, canonical(author)) if author else None
        if proven is None and tried and tried[-1].result == "pass":
            proven = tried[-1].rule, tried[-1].proof
        if proven is None:
            return None
        rule, proof = proven
        user = self._settings.all_users().get(canonical(author))
        return Who(
            address=author,
            name=user.name if user else "",
            is_user=user is not None,
            proof=proof.value,
            line=self._rule_line(rule),
        )

    def _rule_line(self, rule: SenderRule) -> int | None:
        return self._line("senders", self._rules.index(rule))

    def _wanted(self, author: str) -> Iterator[Wanted]:
        for rule in self._rules:
            if author and rule.matches(author):
                yield Wanted(asks=asks(rule, author), line=self._rule_line(rule))

    def _address(
        self, reader: Reader, at: int, rcpt: str, device: Device | None
    ) -> tuple[Address, Trouble | None]:
        """Return where an address leads, and why it is refused at RCPT."""
        limit = self._settings.limits.recipients
        try:
            target = reader.target(rcpt)
        except Refusal as refusal:
            trouble = self._trouble(refusal.problems[0], to=rcpt)
            return Address(address=rcpt, reason=trouble.reason, reply=trouble.reply), trouble
        if at >= limit:
            facts = {"count": str(at + 1), "limit": str(limit)}
            trouble = self._trouble(Problem(reason="recipients.too_many", facts=facts), to=rcpt)
            trouble = replace(trouble, reply="452 4.5.3 too many recipients")
            return Address(address=rcpt, reason=trouble.reason, reply=trouble.reply), trouble
        if device is not None:
            return Address(address=rcpt, kind="device", phones=device.phones or target.phones), None
        if target.is_template:
            return Address(address=rcpt, kind="template", template=self._desk.template.name), None
        kind = "reply" if target.reply_key else "team" if target.team else "number"
        return Address(address=rcpt, kind=kind, template="simple", phones=target.phones), None

    def _ordered(self, submission: Submission, asked: Asked, verdict: Verdict) -> Ordered:
        mts = [mt for mt in verdict.messages if mt.submission == submission.id]
        written = segments.clean(submission.text)
        text = mts[0].text if mts else segments.fold(written)
        units, room = segments.room(text)
        name = submission.alarm.device if submission.alarm else ""
        option = self._settings.devices.get(name)
        plain = tuple(c for c in segments.not_gsm(written) if c not in text)
        return Ordered(
            template=self._desk.template.name if asked.is_by_template else "simple",
            text=text,
            left_out=tuple(
                LeftOutText(kind=piece.kind, lines=piece.lines, sample=piece.sample)
                for piece in submission.left_out
            ),
            encoding=segments.encoding(text).value,
            units=units,
            room=room,
            parts=segments.count(text),
            most_parts=(option and option.max_parts) or self._settings.max_parts,
            not_gsm=segments.not_gsm(text),
            made_plain=plain,
            messages=tuple(self._text(mt, submission) for mt in mts),
            device=from_device(submission, option, self._line("devices", name)) if option else None,
        )

    def _text(self, mt: MtMessage, submission: Submission) -> Text:
        wanted = routing.Wanted(
            msisdn=mt.msisdn, region=mt.region, writer=submission.writer.address, sender_id=mt.sender_id
        )
        route = routing.find(wanted, self._routes)
        by, place = why_sender_id(mt, submission, self._settings, self._policy)
        is_named = mt.sender_id == _THE_PHONES
        return Text(
            to=mt.msisdn,
            country=mt.region,
            sender_id="our address" if is_named else mt.sender_id,
            sender_id_by=by,
            sender_id_line=self._line(*place) if place else None,
            can_answer=is_named or not sender_ids.is_name(mt.sender_id),
            notes=() if is_named else self._notes(mt),
            carriers=mt.route,
            cost=shown(mt.cost),
            route_line=self._line("routes", self._routes.index(route)) if route else None,
            due_at=_moment(mt.due_at, submission.writer),
            expires_at=_moment(mt.expires_at, submission.writer),
            is_later=mt.due_at > mt.created_at,
            why=mt.detail,
        )

    def _notes(self, mt: MtMessage) -> tuple[str, ...]:
        found = sender_ids.notes(mt.sender_id, mt.region, mt.carrier, self._policy, mt.created_at)
        return tuple(note.text for note in found if note.code != "no_answer")  # that is told of every one

    def _line(self, *steps: str | int) -> int | None:
        return self._document.place(steps).line or None

    def _troubles(self, verdict: Verdict) -> Iterator[Trouble]:
        for refusal in verdict.refusals:
            yield from map(self._trouble, refusal.problems)
        for phone in verdict.refused:
            yield self._trouble(phone.problem, to=phone.msisdn)

    def _trouble(self, problem: Problem, *, source: Sequence[str] = (), to: str = "") -> Trouble:
        facts = {"domain": self._desk.domain, "mailbox": self._desk.template_mailbox, **problem.facts}
        facts |= {"value": problem.value, "hint": problem.hint}
        has_line = 0 < problem.line <= len(source)
        return Trouble(
            to=to,
            reason=problem.reason,
            reply=smtp_reply(problem),
            line=problem.line,
            column=problem.column,
            width=problem.width,
            value=problem.value,
            hint=problem.hint,
            source=source[problem.line - 1] if has_line else "",
            sentence=self._render.reason_text(problem.reason, "en", facts),
        )


def _moment(at: int, writer: Writer) -> str:
    return datetime.fromtimestamp(at / 1000, ZoneInfo(writer.zone)).isoformat(timespec="seconds")
