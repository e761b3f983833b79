"""One mail through the code of the listener, without its store: what each step says, put together for `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from mail2sms import segments
from mail2sms.accept import Accept, NothingGoes
from mail2sms.addresses import canonical
from mail2sms.cli.control import Control
from mail2sms.cli.explained import (
    Address,
    Attempt,
    Explained,
    LeftOutText,
    LimitUse,
    Mail,
    Ordered,
    Trouble,
    Wanted,
    Who,
)
from mail2sms.cli.explained_devices import from_device
from mail2sms.cli.foreseen import THE_PHONES, Foreseen, collected
from mail2sms.cli.known import FarStore
from mail2sms.cli.proofs import asks, author, client_attempts, key_attempts
from mail2sms.clock import now_ms
from mail2sms.config import Settings, derived, media
from mail2sms.dns import Dns
from mail2sms.errors import Problem, Refusal
from mail2sms.intake import address_keys
from mail2sms.intake.asked import Asked, Target
from mail2sms.intake.devices import Device
from mail2sms.intake.envelope import Envelope
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.mailauth import Mailauth, Tried
from mail2sms.intake.reading import Reader
from mail2sms.intake.replies import accepted
from mail2sms.intake.sandbox import Sandbox
from mail2sms.model import Conversation, Proof, Submission
from mail2sms.pictures import Pictures
from mail2sms.reasons import REASONS, smtp_reply
from mail2sms.relay.letters import Refusals
from mail2sms.render import Render
from mail2sms.store import Store
from mail2sms.store.teaching import notices, over_notices, refused_notice
from mail2sms.verdict import Verdict
from mail2sms.yamltext import Document


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mail:
    """What the listener knows before the mail is read."""

    envelope: Envelope
    author: str
    writer: Who | None
    tried: tuple[Tried, ...]
    to: tuple[Address, ...]
    at_rcpt: tuple[Trouble, ...]
    limits: tuple[LimitUse, ...] = ()


class Bridge:
    """The parts of the daemon that decide, built as the daemon builds them, without its store."""

    def __init__(
        self,
        settings: Settings,
        document: Document,
        config: str,
        dns: Dns | None = None,
        control: Control | None = None,
    ) -> None:
        """`config` is how places in the `document` are called; `control` the daemon, whose store is asked.

        Raises what `derived.desk` raises.
        """
        self._mailauth = Mailauth(dns)
        self._settings, self._document, self._config = settings, document, config
        self._desk = derived.desk(settings)
        self._policy = derived.policy(settings)
        self._store = FarStore(control)
        links = media.links(settings, b"")
        self._accept = Accept(
            cast(Store, self._store), self._policy, settings.route_table(), settings.validity, links
        )
        self._render = Render()
        self._foreseen = Foreseen(settings, document, self._policy, self._render)
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
            teams=settings.team_mailboxes(),
        )

    async def explain(self, envelope: Envelope) -> Explained:
        """Return what the listener would do, in its order: MAIL, RCPT, DATA."""
        written_by = author(envelope.content)

        async def conversation(target: Target) -> Conversation:
            writers = frozenset({canonical(written_by)})
            phone, account = target.phones[0], self._desk.account
            return Conversation(id="", account=account, our_address=THE_PHONES, msisdn=phone, writers=writers)

        sandbox = Sandbox()
        try:
            reader = Reader(
                self._desk,
                self._identity,
                self._policy,
                sandbox,
                conversation,
                self._mailauth,
                Pictures(),
            )
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
        named = zip(mail.envelope.rcpts, mail.to, strict=True)
        taken = tuple(rcpt for rcpt, address in named if not address.reason)
        if not taken:
            return self._explained(mail, reply="554 5.5.1 no valid recipients")
        if trouble := collected(mail.envelope.content, derived.limits(self._settings)):
            return self._refused(mail, [trouble])
        try:
            asked = await reader.read(replace(mail.envelope, rcpts=taken))
        except Refusal as refusal:
            return self._refused(mail, refusal.problems)
        return await self._judged(mail, asked)

    async def _judged(self, mail: _Mail, asked: Asked) -> Explained:
        if asked.refusal is not None:
            source = asked.refusal.source
            troubles = tuple(self._trouble(problem, source=source) for problem in asked.refusal.problems)
            return self._told(mail, asked, asked.refusal, troubles)
        verdict = await self._verdict(asked.submissions)
        orders = tuple(self._ordered(submission, asked, verdict) for submission in asked.submissions)
        problems = tuple(self._troubles(verdict))
        limits = await self._limits(asked.submissions, verdict)
        mail = replace(mail, limits=limits)
        if not verdict.messages:
            return self._told(mail, asked, verdict.refusal(), problems, orders)
        emails = (*self._emails(asked.submissions, verdict), *self._unfit(asked))
        how = "email" if emails else "smtp"
        return self._explained(
            mail, orders=orders, problems=problems, reply=accepted(asked, "<id>"), told=how, emails=emails
        )

    async def _verdict(self, submissions: Sequence[Submission]) -> Verdict:
        try:
            return await self._accept.preview(submissions)
        except NothingGoes as refused:
            return refused.verdict

    async def _limits(self, submissions: Sequence[Submission], verdict: Verdict) -> tuple[LimitUse, ...]:
        uses = self._foreseen.uses(submissions)
        taken = await self._store.taken(list(uses))
        known = taken if self._store.is_there else None
        return tuple(self._foreseen.limits(uses, known, verdict.messages, submissions[0].writer))

    def _emails(self, submissions: Sequence[Submission], verdict: Verdict) -> tuple[Mail, ...]:
        """Return what is sent though something goes: who is left out, and what waits."""
        over = [phone for phone in verdict.refused if phone.problem.reason.startswith("quota.")]
        rest = replace(verdict, refused=tuple(phone for phone in verdict.refused if phone not in over))
        refused = (*notices(submissions[0], rest), *over_notices(submissions[0], submissions[0].id, over))
        told = [self._foreseen.mail(self._letters.refused(notice)) for notice in refused]
        return (*told, *self._foreseen.emails(submissions, verdict))

    def _unfit(self, asked: Asked) -> tuple[Mail, ...]:
        """Return what who looks after a machine is told of its pictures, once a day."""
        if not (asked.unfit and asked.owner):
            return ()
        to, refusal = replace(asked.writer, address=asked.owner), Refusal(*asked.unfit)
        notice = refused_notice("n", to, asked.origin, refusal, now_ms(), is_sent=True)
        return (self._foreseen.mail(self._letters.refused(notice)),)

    def _told(
        self,
        mail: _Mail,
        asked: Asked,
        refusal: Refusal,
        problems: tuple[Trouble, ...],
        orders: tuple[Ordered, ...] = (),
    ) -> Explained:
        """Nothing may go: an email says so, or the reply to who is there to read it; of a machine, both."""
        is_direct = asked.writer.is_direct
        to = asked.owner if is_direct else asked.writer.address
        notice = refused_notice("n", replace(asked.writer, address=to), asked.origin, refusal, now_ms())
        told = "250 2.0.0 <id> not sent, an email says why"
        return self._explained(
            mail,
            orders=orders,
            problems=problems,
            reply=smtp_reply(refusal.problems[0]) if is_direct else told,
            told="smtp" if is_direct else "email",
            emails=(self._foreseen.mail(self._letters.refused(notice)),) if to else (),
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
        emails: tuple[Mail, ...] = (),
    ) -> Explained:
        envelope = mail.envelope
        return Explained(
            config=self._config,
            envelope={
                "from": envelope.mail_from,
                "ip": envelope.client.ip,
                "login": envelope.client.login,
                "rcpts": list(map(address_keys.without, envelope.rcpts)),
            },
            writer=mail.writer,
            author=mail.author,
            tried=tuple(
                Attempt(proof=t.proof, result=t.result, why=t.why, line=self._rule_line(t.rule))
                for t in (*self._by_client(envelope, mail.author), *mail.tried)
            ),
            wanted=() if mail.writer else tuple(self._wanted(canonical(mail.author))),
            to=mail.to,
            orders=orders,
            problems=(*mail.at_rcpt, *problems),
            reply=reply,
            told=told,
            emails=emails,
            limits=mail.limits,
            is_asked=self._store.is_there,
            is_stopped=self._store.is_stopped,
        )

    async def _try(self, envelope: Envelope, author: str) -> tuple[Tried, ...]:
        """Return what the mail itself shows, where the client's own proof is not enough."""
        if self._device(envelope, author):
            return ()
        try:
            found = self._identity.author(envelope.client, (author,), envelope.mail_from)
        except Refusal:
            return ()
        by_key = tuple(key_attempts(self._identity, found, envelope)) if not found.proof else ()
        if found.proof or (by_key and by_key[-1].result == "pass"):
            return by_key
        return (*by_key, *(await self._mailauth.attempts(found, envelope)))

    def _device(self, envelope: Envelope, author: str) -> Device | None:
        return self._identity.device(envelope.client, (author,) if author else ())

    def _who(self, envelope: Envelope, author: str, tried: Sequence[Tried]) -> Who | None:
        if device := self._device(envelope, author):
            line = self._foreseen.line("devices", device.name)
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

    def _by_client(self, envelope: Envelope, author: str) -> Iterator[Tried]:
        address = canonical(author)
        proven = self._identity.proven(envelope.client, address) if author else None
        return client_attempts(self._rules, envelope.client, address, proven[0] if proven else None)

    def _rule_line(self, rule: SenderRule) -> int | None:
        return self._foreseen.line("senders", self._rules.index(rule))

    def _wanted(self, author: str) -> Iterator[Wanted]:
        for rule in self._rules:
            if author and rule.matches(author):
                yield Wanted(asks=asks(rule, author), line=self._rule_line(rule))

    def _address(
        self, reader: Reader, at: int, rcpt: str, device: Device | None
    ) -> tuple[Address, Trouble | None]:
        """Return where an address leads, and why it is refused at RCPT."""
        limit, shown = self._settings.limits.recipients, address_keys.without(rcpt)
        try:
            target = reader.target(rcpt)
        except Refusal as refusal:
            trouble = self._trouble(refusal.problems[0], to=shown)
            return Address(address=shown, reason=trouble.reason, reply=trouble.reply), trouble
        if at >= limit:
            facts = {"count": str(at + 1), "limit": str(limit)}
            trouble = self._trouble(Problem(reason="recipients.too_many", facts=facts), to=shown)
            trouble = replace(trouble, reply="452 4.5.3 too many recipients")
            return Address(address=shown, reason=trouble.reason, reply=trouble.reply), trouble
        if device is not None:
            return Address(address=shown, kind="device", phones=device.phones or target.phones), None
        if target.is_template:
            return Address(address=shown, kind="template", template=self._desk.template.name), None
        kind = "reply" if target.reply_key else "team" if target.team else "number"
        return Address(address=shown, kind=kind, template="simple", phones=target.phones), None

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
            messages=tuple(self._foreseen.text(mt, submission, verdict) for mt in mts),
            pictures=len(submission.pictures),
            unfit=tuple(self._trouble(problem).sentence for problem in asked.unfit),
            device=from_device(submission, option, self._foreseen.line("devices", name)) if option else None,
        )

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
