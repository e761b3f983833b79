"""Submissions -> rules -> segments -> routing -> a verdict: the messages that may go, and all that may not. Pure.

`accept` stores what it says; `mail2sms explain` shows it. Knows no store and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mail2sms import numbers, prices, routing, segments
from mail2sms.errors import Problem, Refusal
from mail2sms.model import Msisdn, MtMessage, SenderId, Status, Submission, conversation_of
from mail2sms.rules import countries, fiction, parts, sender_ids, trial
from mail2sms.rules._base import Candidate, Policy

_RULES = (countries.judge, fiction.judge, trial.judge, parts.judge)


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedPhone:
    """One recipient that is not written to, and why."""

    submission: Submission
    msisdn: Msisdn
    problem: Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What would become of one email or API call. `refusals` are about all of it, or all of one submission."""

    messages: tuple[MtMessage, ...]
    refused: tuple[RefusedPhone, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def refusal(self) -> Refusal:
        """Return all that is refused as one refusal."""
        return merge([*self.refusals, *(Refusal(phone.problem) for phone in self.refused)])


class Judge:
    """Decides by what the configuration allows."""

    def __init__(self, policy: Policy, routes: Sequence[routing.Route], validity_ms: int) -> None:
        self._policy = policy
        self._routes = tuple(routes)
        self._validity_ms = validity_ms

    def judge(self, submissions: Sequence[Submission], refusals: Sequence[Refusal] = ()) -> Verdict:
        """Return the verdict on what one email or API call asks for; `refusals` were found before."""
        messages: list[MtMessage] = []
        refused: list[RefusedPhone] = []
        found = list(refusals)
        for submission in submissions:
            try:
                self._judge(submission, messages, refused)
            except Refusal as refusal:  # the whole of this one; the others may go
                found.append(refusal)
        return Verdict(messages=tuple(messages), refused=tuple(refused), refusals=tuple(found))

    def _judge(self, submission: Submission, messages: list[MtMessage], refused: list[RefusedPhone]) -> None:
        """Turn each recipient into a message or a refusal: nothing about one depends on another."""
        text = _sendable(submission)
        count = len(submission.recipients)
        if count > self._policy.recipients:
            facts = {"count": str(count), "limit": str(self._policy.recipients)}
            raise Refusal(Problem(reason="recipients.too_many", facts=facts))
        size = segments.count(text)
        coding = segments.encoding(text)
        for msisdn in submission.recipients:
            region = numbers.region(msisdn)
            candidate = Candidate(
                writer=submission.writer, msisdn=msisdn, region=region, text=text, segments=size
            )
            problems = [p for rule in _RULES if (p := rule(candidate, self._policy)) is not None]
            try:
                route = routing.carriers(msisdn, region, self._routes)
                sender_id = self._sender_id(submission, region)
            except Refusal as refusal:
                problems.extend(refusal.problems)
            refused.extend(RefusedPhone(submission=submission, msisdn=msisdn, problem=p) for p in problems)
            if not problems:
                number = len(messages)
                id_ = submission.id if number == 0 else f"{submission.id}-{number + 1}"
                messages.append(self._message(submission, id_, candidate, coding.value, sender_id, route))

    def _sender_id(self, submission: Submission, region: str) -> SenderId:
        answered = submission.conversation
        if answered is None:
            return sender_ids.choose(submission.writer, submission.sender_id, region, self._policy)
        # An answer goes out under the address that was written to: for who wrote there before, or may use it anyway.
        if submission.writer.address.lower() not in answered.writers:
            sender_ids.choose(submission.writer, answered.our_address, region, self._policy)
        sender_id = SenderId(answered.our_address)
        if problem := sender_ids.why_not(sender_id, region, self._policy):
            raise Refusal(problem)
        return sender_id

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
            costs=prices.costs(route, candidate.region, candidate.segments, self._policy.prices),
            created_at=at,
            due_at=due_at,
            expires_at=due_at + (submission.validity_ms or self._validity_ms),
        )


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


def _distinct(problems: Iterable[Problem]) -> list[Problem]:
    found: list[Problem] = []
    for problem in problems:
        if problem not in found:
            found.append(problem)
    return found
