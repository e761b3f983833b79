"""The door in: submissions -> rules -> segments -> routing -> one transaction.

The only way a message comes to be. Everything is decided before anything is stored; when `accept` returns, it is on
disk. Raises Refusal when nothing may go; which recipients may not, a notice stored with the rest tells the writer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from mail2sms import numbers, routing, segments
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import Problem, Refusal
from mail2sms.log import log
from mail2sms.model import (
    Msisdn,
    MtMessage,
    Origin,
    SenderId,
    Status,
    Submission,
    Writer,
    conversation_of,
    derive_id,
    reply_key,
)
from mail2sms.rules import countries, fiction, parts, sender_ids, trial
from mail2sms.rules._base import Candidate, Policy
from mail2sms.store import Bundle, NewMessage, NewNotice, Reservation, Store

_RULES = (countries.judge, fiction.judge, trial.judge, parts.judge)
_HOUR_MS = 3_600_000
_NOTICES_PER_HOUR = 20
_NOTICE_VALID_MS = 86_400_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What was accepted. `id` is what the client is told; a repeat has the ids of the first time."""

    id: str
    messages: tuple[MtMessage, ...]
    is_repeat: bool


class Accept:
    """The door, with what the configuration allows."""

    def __init__(
        self, store: Store, policy: Policy, routes: Sequence[routing.Route], validity_ms: int
    ) -> None:
        self._store = store
        self.policy = policy
        self._routes = tuple(routes)
        self._validity_ms = validity_ms

    async def accept(self, submissions: Sequence[Submission], refusals: Sequence[Refusal] = ()) -> Receipt:
        """Judge and store what one email or API call asks for, and tell its `refusals` by email.

        Raises Refusal (all of them in one) when nothing of it may go, and StoreUnavailable.
        """
        messages: list[NewMessage] = []
        refused: list[tuple[Submission, Msisdn, Problem]] = []
        for submission in submissions:
            try:
                self._judge(submission, messages, refused)
            except Refusal as refusal:  # the whole of this one; the others may go
                refusals = [*refusals, refusal]
        if not messages:
            raise merge([*refusals, *(Refusal(problem) for _, _, problem in refused)])
        first = submissions[0]
        notices = _partly_refused(first, refused) if refused else ()
        if refusals:
            id_ = derive_id("n", first.id, "refused")
            about = merge(refusals)
            notices += (_refused_notice(id_, first.writer, first.origin, about, first.created_at),)
        bundle = Bundle(
            id=messages[0].mt.id,
            at=first.created_at,
            submissions=tuple(submissions),
            messages=tuple(messages),
            notices=notices,
        )
        stored = await self._store.put(bundle)
        mts = tuple(_first(new.mt, stored.repeated) for new in messages)
        is_repeat = len(stored.repeated) == len(messages)
        event = "mail_repeated" if is_repeat else "mail_accepted"
        log.info(event, submission=mts[0].id, recipients=len(mts), proof=first.writer.proof.value)
        return Receipt(id=mts[0].id, messages=mts, is_repeat=is_repeat)

    def preview(self, submission: Submission) -> tuple[MtMessage, ...]:
        """Return the messages that `accept` would store, storing nothing. Raises Refusal."""
        messages: list[NewMessage] = []
        refused: list[tuple[Submission, Msisdn, Problem]] = []
        self._judge(submission, messages, refused)
        if not messages:
            raise Refusal(*_distinct(problem for _, _, problem in refused))
        return tuple(new.mt for new in messages)

    async def tell_refusal(self, writer: Writer, origin: Origin, refusal: Refusal, repeat: str) -> str:
        """Store the email that tells a proven writer of a refusal; returns its id.

        `repeat` recognises the same mail coming again. Raises the refusal itself when the writer was told often
        enough this hour.
        """
        now = now_ms()
        notice = _refused_notice(new_id("n", now), writer, origin, refusal, now)
        hour = now // _HOUR_MS
        cap = Reservation(
            key=f"notice:{writer.account}:{writer.address}:{refusal.problems[0].reason}:{hour}"[:128],
            amount=1,
            limit=_NOTICES_PER_HOUR,
            until=(hour + 1) * _HOUR_MS,
        )
        key = _repeat_key(writer, repeat, "refused", "")
        bundle = Bundle(id=notice.id, at=now, notices=(notice,), reservations=(cap,), repeat_key=key)
        stored = await self._store.put(bundle)
        if stored.exceeded is not None:
            raise refusal
        log.info("mail_refused", notice=notice.id, reason=refusal.problems[0].reason)
        return stored.repeated.get(notice.id, notice.id)

    def _judge(
        self,
        submission: Submission,
        messages: list[NewMessage],
        refused: list[tuple[Submission, Msisdn, Problem]],
    ) -> None:
        """Turn each recipient into a message or a refusal: nothing about one depends on another."""
        text = _sendable(submission)
        count = len(submission.recipients)
        if count > self.policy.recipients:
            facts = {"count": str(count), "limit": str(self.policy.recipients)}
            raise Refusal(Problem(reason="recipients.too_many", facts=facts))
        size = segments.count(text)
        coding = segments.encoding(text)
        for msisdn in submission.recipients:
            region = numbers.region(msisdn)
            candidate = Candidate(
                writer=submission.writer, msisdn=msisdn, region=region, text=text, segments=size
            )
            problems = [p for rule in _RULES if (p := rule(candidate, self.policy)) is not None]
            try:
                route = routing.carriers(msisdn, region, self._routes)
                sender_id = self._sender_id(submission, region)
            except Refusal as refusal:
                problems.extend(refusal.problems)
            refused.extend((submission, msisdn, problem) for problem in problems)
            if not problems:
                number = len(messages)
                id_ = submission.id if number == 0 else f"{submission.id}-{number + 1}"
                mt = self._message(submission, id_, candidate, coding.value, sender_id, route)
                messages.append(self._new(mt, submission))

    def _sender_id(self, submission: Submission, region: str) -> SenderId:
        answered = submission.conversation
        if answered is None:
            return sender_ids.choose(submission.writer, submission.sender_id, region, self.policy)
        # An answer goes out under the address that was written to: for who wrote there before, or may use it anyway.
        if submission.writer.address.lower() not in answered.writers:
            sender_ids.choose(submission.writer, answered.our_address, region, self.policy)
        return SenderId(answered.our_address)

    def _message(
        self,
        submission: Submission,
        id_: str,
        candidate: Candidate,
        encoding: str,
        sender_id: SenderId,
        route: tuple[str, ...],
    ) -> MtMessage:
        account, at = submission.writer.account, submission.created_at
        due_at = submission.send_at or at
        return MtMessage(
            id=id_,
            account=account,
            submission=submission.id,
            conversation=conversation_of(account, sender_id, candidate.msisdn),
            msisdn=candidate.msisdn,
            region=candidate.region,
            sender_id=sender_id,
            status=Status.QUEUED,
            reason="schedule" if due_at > at else "",
            encoding=encoding,
            segments=candidate.segments,
            text=candidate.text,
            route=route,
            created_at=at,
            due_at=due_at,
            expires_at=due_at + (submission.validity_ms or self._validity_ms),
        )

    def _new(self, mt: MtMessage, submission: Submission) -> NewMessage:
        message_id = submission.origin.message_id
        key = None
        if message_id is not None:
            answered = submission.conversation.id if submission.conversation else ""
            key = _repeat_key(submission.writer, message_id, mt.msisdn, submission.text, answered)
        return NewMessage(
            mt=mt, reply_key=reply_key(self._store.reply_secret, mt.conversation), repeat_key=key
        )


def _first(mt: MtMessage, repeated: Mapping[str, str]) -> MtMessage:
    """Return the message as it was stored the first time it was asked for."""
    return replace(mt, id=repeated[mt.id]) if mt.id in repeated else mt


def _repeat_key(writer: Writer, *what: str) -> str:
    """A re-sent email is known by its sender, Message-ID, recipient and text."""
    text = "\0".join((writer.account, writer.address, *what))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _sendable(submission: Submission) -> str:
    """Return the text as it will be sent. Raises Refusal when there is none, or none a phone can show."""
    text = segments.fold(segments.clean(submission.text))
    if not text:
        raise Refusal(Problem(reason="text.empty"))
    if segments.unsendable(text):
        raise Refusal(Problem(reason="text.unsendable"))
    return text


def merge(refusals: Sequence[Refusal]) -> Refusal:
    """Return one refusal that tells all, in the first one's text."""
    problems = _distinct(problem for refusal in refusals for problem in refusal.problems)
    return Refusal(*problems, corrected=refusals[0].corrected, source=refusals[0].source)


def _distinct(problems: object) -> tuple[Problem, ...]:
    found: list[Problem] = []
    for problem in problems:  # type: ignore[attr-defined]
        if problem not in found:
            found.append(problem)
    return tuple(found)


def _refused_notice(id_: str, writer: Writer, origin: Origin, refusal: Refusal, now: int) -> NewNotice:
    payload = {
        "problems": [asdict(problem) for problem in refusal.problems],
        "source": list(refusal.source),
        "corrected": refusal.corrected,
        "language": writer.language,
        "origin": asdict(origin),
    }
    return NewNotice(
        id=id_,
        account=writer.account,
        kind="refused",
        channel="email",
        address=writer.address,
        reason=refusal.problems[0].reason,
        payload=json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"),
        created_at=now,
        due_at=now,
        expires_at=now + _NOTICE_VALID_MS,
    )


def _partly_refused(
    first: Submission, refused: Sequence[tuple[Submission, Msisdn, Problem]]
) -> tuple[NewNotice, ...]:
    """Some recipients are written to, some are not: an email says which, since SMTP has one answer for all."""
    if first.origin.source != "smtp":  # the API says so in its answer
        return ()
    problems = [replace(p, value=p.value or numbers.display(msisdn)) for _, msisdn, p in refused]
    now = first.created_at
    id_ = derive_id("n", first.id, "partly")
    return (_refused_notice(id_, first.writer, first.origin, Refusal(*problems), now),)
