"""What SMTP answers to one email: `reading` says what it asks for, `accept` judges and stores it."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace

from mail2sms.accept import Accept, NothingGoes
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import Problem, Refusal, StoreUnavailable
from mail2sms.intake.asked import Asked, Target
from mail2sms.intake.desk import Desk
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity
from mail2sms.intake.mailauth import Mailauth
from mail2sms.intake.reading import Reader
from mail2sms.intake.replies import accepted, replies
from mail2sms.intake.sandbox import Sandbox
from mail2sms.log import log
from mail2sms.model import Conversation, Submission
from mail2sms.pictures import Pictures
from mail2sms.reasons import smtp_reply
from mail2sms.store import Store
from mail2sms.store.raised import would_join
from mail2sms.store.views import conversation_by_key
from mail2sms.verdict import Verdict, merge

__all__ = ["Desk", "Receiver"]


class Receiver:
    """Answers what the listener asks; see `smtp.Handler`."""

    def __init__(
        self,
        desk: Desk,
        identity: Identity,
        accept: Accept,
        store: Store,
        sandbox: Sandbox,
        mailauth: Mailauth | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self._desk = desk
        self._identity = identity
        self._accept = accept
        self._store = store
        self._reader = Reader(
            desk, identity, accept.policy, sandbox, self._conversation, mailauth, pictures, self._would_join
        )

    def begin(self, client: Client, *, offers_login: bool) -> str | None:
        """Refuse whose mail could prove nothing, whatever stood in it."""
        problem = self._reader.begin(client, offers_login=offers_login)
        return None if problem is None else smtp_reply(problem)

    def rcpt(self, client: Client, address: str) -> str | Awaitable[str | None] | None:
        """Refuse at once what no proof could change: domain, syntax, number, type, region, reply key."""
        try:
            target = self._reader.target(address)
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

    async def mail(self, envelope: Envelope) -> tuple[str, ...]:
        """Take one mail; a 250 goes out after it is on disk."""
        try:
            return await self._take(envelope)
        except Refusal as refusal:
            log.info("mail_refused", reason=refusal.problems[0].reason, peer=envelope.client.ip)
            return envelope.each(smtp_reply(refusal.problems[0]))
        except StoreUnavailable:
            return envelope.each(smtp_reply(Problem(reason="system.database")))

    async def _take(self, envelope: Envelope) -> tuple[str, ...]:
        asked = await self._reader.read(envelope)
        if asked.refusal is not None:
            await self._tell_owner(asked, asked.refusal)
            return envelope.each(await self._refuse(envelope, asked, asked.refusal))
        try:
            receipt = await self._accept.accept(asked.submissions, asked.owner)
        except NothingGoes as refused:
            await self._tell_owner(asked, refused)
            if envelope.has_reply_each:
                return await self._refuse_each(envelope, asked, refused.verdict)
            return (await self._refuse(envelope, asked, refused),)
        await self._tell_of_pictures(asked)
        told = accepted(asked, receipt.id)
        return replies(asked, receipt.verdict, receipt.messages, told) if envelope.has_reply_each else (told,)

    async def _tell_owner(self, asked: Asked, refusal: Refusal) -> None:
        """A machine gets the reply, which it can't read: who looks after it gets the email, as often as others do."""
        if not asked.owner or (asked.late and await self._accept.earlier(asked.late)):
            return
        writer, repeat = (
            replace(asked.writer, address=asked.owner),
            asked.origin.message_id or new_id("x", now_ms()),
        )
        with suppress(Refusal):  # told often enough
            await self._accept.tell_refusal(writer, asked.origin, refusal, repeat)

    async def _tell_of_pictures(self, asked: Asked) -> None:
        """Tell who looks after a machine, once a day, that its texts go and no picture does, and why."""
        if not (asked.unfit and asked.owner):
            return
        writer, refusal = replace(asked.writer, address=asked.owner), Refusal(*asked.unfit)
        repeat = f"{writer.name} {asked.unfit[0].reason}"
        with suppress(Refusal, StoreUnavailable):  # told often enough; and the text itself is on disk
            await self._accept.tell_refusal(writer, asked.origin, refusal, repeat, is_sent=True)

    async def _refuse_each(self, envelope: Envelope, asked: Asked, verdict: Verdict) -> tuple[str, ...]:
        """A refused recipient hears so itself, and its server tells the writer; of the mail itself an email does."""
        told = ""
        if verdict.refusals:
            told = await self._refuse(envelope, asked, merge(verdict.refusals))
        return replies(asked, verdict, (), told)

    async def _refuse(self, envelope: Envelope, asked: Asked, refusal: Refusal) -> str:
        """Tell the writer: in the reply itself who is there to read it, by an email whose mail came through a relay.

        Who wants no such email (NOTIFY=NEVER), or answers one, gets the reply.
        """
        if asked.late and (ids := await self._accept.earlier(asked.late)):
            return f"250 2.0.0 {ids[0]}"
        is_unwanted = bool(envelope.dsns) and not any(dsn.wants_failure for dsn in envelope.dsns)
        if asked.writer.is_direct or is_unwanted or asked.answers_notice:
            raise refusal
        repeat = asked.origin.message_id or new_id("x", now_ms())
        told = await self._accept.tell_refusal(asked.writer, asked.origin, refusal, repeat, asked.asking)
        return f"250 2.0.0 {told} not sent, an email says why"

    async def _would_join(self, submission: Submission) -> bool:
        return await self._store.read(would_join, submission, submission.created_at)

    async def _conversation(self, target: Target) -> Conversation:
        found = await self._store.read(
            conversation_by_key, self._desk.account, target.phones[0], target.reply_key
        )
        if found is None:
            raise Refusal(Problem(reason="address.bad_reply_key"))
        return found
