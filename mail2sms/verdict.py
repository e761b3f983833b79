"""Submissions -> rules -> segments -> routing -> a verdict: the messages that may go, and all that may not. Pure.

`accept` stores what it says; `mail2sms explain` shows it. Knows no store and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from mail2sms import numbers, prices, routing, segments, storms
from mail2sms.errors import Problem, Refusal
from mail2sms.ids import conversation_of
from mail2sms.media import LINK, MMS, Links, linked
from mail2sms.model import Msisdn, MtMessage, SenderId, Status, Submission, Writer
from mail2sms.rules import (
    approval,
    countries,
    detectors,
    fiction,
    media,
    opt_outs,
    parts,
    quiet_hours,
    sender_ids,
    trial,
)
from mail2sms.rules._base import Candidate, Facts, Hold, Policy, Reservation

_RULES = (countries.judge, fiction.judge, trial.judge, parts.judge)
_OF_PHONES = {
    "country",
    "media",
    "optout",
    "route",
    "trial",
}  # kinds of reasons that don't say which phone they are about
_SHOWN = 5  # phones, characters
_REMEMBERED = 4  # texts: a mail is judged again by what the store knows, and the longest takes 5 ms to clean
_NOTHING = Facts()


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedPhone:
    """One recipient that is not written to, and why."""

    submission: Submission
    msisdn: Msisdn
    problem: Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What would become of one email or API call. `refusals` are about all of one submission.

    `holds` are what messages wait for, by their ids. `guards`, by submission, are what each of its messages reserves
    against answers without end.
    """

    messages: tuple[MtMessage, ...]
    refused: tuple[RefusedPhone, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    guards: Mapping[str, tuple[Reservation, ...]] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)

    def refusal(self) -> Refusal:
        """Return all that is refused as one refusal."""
        return merge([*self.refusals, *([refuse_phones(self.refused)] if self.refused else [])])


class Judge:
    """Decides by what the configuration allows."""

    def __init__(
        self,
        policy: Policy,
        routes: Sequence[routing.Route],
        validity_ms: int,
        links: Links | None = None,
    ) -> None:
        """Without `links` no text has one to its pictures."""
        self._policy = policy
        self._routes = tuple(routes)
        self._validity_ms = validity_ms
        self._links = links

    def judge(self, submissions: Sequence[Submission], facts: Facts = _NOTHING) -> Verdict:
        """Return the verdict on what one email or API call asks for."""
        messages: list[MtMessage] = []
        refused: list[RefusedPhone] = []
        found: list[Refusal] = []
        for submission in submissions:
            try:
                self._judge(submission, facts, messages, refused)
            except Refusal as refusal:  # the whole of this one; the others may go
                found.append(refusal)
        holds = self._holds(messages, submissions[0].writer, facts) if messages else {}
        return Verdict(messages=tuple(messages), refused=tuple(refused), refusals=tuple(found), holds=holds)

    def _holds(self, messages: Sequence[MtMessage], writer: Writer, facts: Facts) -> dict[str, Hold]:
        """Let all wait for approval, or what looks like fraud."""
        strange = detectors.judge(messages, writer, self._policy, facts)
        large = approval.judge(messages, writer, self._policy.quotas)
        if large is None:
            return strange
        return {mt.id: large.and_for(strange[mt.id]) if mt.id in strange else large for mt in messages}

    def _judge(
        self,
        submission: Submission,
        facts: Facts,
        messages: list[MtMessage],
        refused: list[RefusedPhone],
    ) -> None:
        """Turn each recipient into a message or a refusal: nothing about one depends on another."""
        text = sendable(submission)
        count = len(submission.recipients)
        if count == 0:  # mail to the template mailbox, by a template without fields
            raise Refusal(Problem(reason="recipients.none"), text=text)
        if count > self._policy.recipients:
            counted = {"count": str(count), "limit": str(self._policy.recipients)}
            raise Refusal(Problem(reason="recipients.too_many", facts=counted), text=text)
        size = segments.count(text)
        dsns = submission.dsns()
        for msisdn in submission.recipients:
            region = numbers.region(msisdn)
            candidate = Candidate(
                writer=submission.writer, msisdn=msisdn, region=region, text=text, segments=size
            )
            problems = [p for rule in _RULES if (p := rule(candidate, self._policy)) is not None]
            number = len(messages)
            id_ = submission.id if number == 0 else f"{submission.id}-{number + 1}"
            sender_id: SenderId | None = None
            of_sender: list[Problem] = []
            try:
                sender_id = self._sender_id(submission, msisdn, region)
                of_sender += filter(None, [opt_outs.judge(candidate, sender_id, facts)])
            except Refusal as refusal:
                of_sender.extend(refusal.problems)
            route: tuple[str, ...] = ()
            try:
                if region in self._policy.countries:  # else it is refused already, and no carrier is missed
                    route = self._route(candidate, sender_id, id_)
            except Refusal as refusal:
                problems.extend(refusal.problems)
            problems += of_sender
            way = media.Way(media="", route=route)
            if sender_id is not None and not problems:
                way, candidate, of_pictures = self._pictured(submission, candidate, sender_id, route)
                problems += of_pictures
            refused.extend(RefusedPhone(submission=submission, msisdn=msisdn, problem=p) for p in problems)
            if sender_id is not None and not problems:
                message = self._message(submission, id_, candidate, sender_id, way)
                messages.append(replace(message, dsn=dsns[msisdn]) if msisdn in dsns else message)

    def _pictured(
        self, submission: Submission, candidate: Candidate, sender_id: SenderId, route: tuple[str, ...]
    ) -> tuple[media.Way, Candidate, tuple[Problem, ...]]:
        """Return how the pictures go to one phone, what then is sent, and what is wrong with that."""
        count, alarm = len(submission.pictures), submission.alarm
        device = alarm.device if alarm is not None else ""
        try:
            way = media.choose(count, sender_id, candidate.region, route, self._policy, device)
        except Refusal as refusal:
            return media.Way(media="", route=route), candidate, refusal.problems
        if way.media == MMS:
            return way, replace(candidate, segments=1), ()
        text = self._linked(submission, candidate.text) if way.media == LINK else ""
        if text:
            candidate = replace(candidate, text=text, segments=segments.count(text))
            problem = parts.judge(candidate, self._policy)
        else:
            way = replace(way, media="")
            problem = None if candidate.text else Problem(reason="text.empty")
        return way, candidate, (problem,) if problem else ()

    def _linked(self, submission: Submission, text: str) -> str:
        """Return the text with a link to its pictures; "" where an alarm has no room for one."""
        if self._links is None:
            return ""
        until = (submission.send_at or submission.created_at) + self._links.valid_ms
        url = self._links.page(submission.id, until)
        alarm = submission.alarm
        return storms.linked_alarm(text, url, alarm.max_parts) if alarm is not None else linked(text, url)

    def _sender_id(self, submission: Submission, msisdn: Msisdn, region: str) -> SenderId:
        answered, writer = submission.conversation, submission.writer
        if answered is None:
            return sender_ids.choose(writer, submission.sender_id, region, self._policy)
        # An answer goes out under the address that was written to: for who wrote there before, or may use it anyway.
        ours = SenderId(answered.our_address)
        if writer.address.lower() not in answered.writers and not sender_ids.may_use(
            writer, ours, region, self._policy
        ):
            facts = {"phone": msisdn.removeprefix("+")}
            value = numbers.display(Msisdn(ours))
            raise Refusal(Problem(reason="conversation.not_yours", value=value, facts=facts))
        if problem := sender_ids.why_not(ours, region, self._policy):
            raise Refusal(problem)
        return ours

    def _route(self, candidate: Candidate, sender_id: SenderId | None, id_: str) -> tuple[str, ...]:
        wanted = routing.Wanted(
            msisdn=candidate.msisdn,
            region=candidate.region,
            writer=candidate.writer.address,
            sender_id=sender_id,
            id=id_,
        )
        return routing.carriers(wanted, self._routes, self._policy.prices)

    def _message(
        self,
        submission: Submission,
        id_: str,
        candidate: Candidate,
        sender_id: SenderId,
        way: media.Way,
    ) -> MtMessage:
        is_mms, route = way.media == MMS, way.route
        known = self._policy.pictures.prices if is_mms else self._policy.prices
        account, at = submission.writer.account, submission.created_at
        due_at = submission.send_at or at
        reason = "schedule" if due_at > at else ""
        hold = quiet_hours.hold(candidate, self._policy, due_at)
        if hold is not None:
            due_at, reason = hold.until, quiet_hours.REASON
        return MtMessage(
            id=id_,
            account=account,
            submission=submission.id,
            conversation=conversation_of(account, sender_id, candidate.msisdn),
            msisdn=candidate.msisdn,
            region=candidate.region,
            sender_id=sender_id,
            status=Status.QUEUED,
            reason=reason,
            detail=hold.detail if hold is not None else "",
            encoding=segments.encoding(candidate.text).value,
            segments=candidate.segments,
            text=candidate.text,
            route=route,
            costs=prices.costs(route, candidate.region, candidate.segments, known),
            created_at=at,
            due_at=due_at,
            expires_at=due_at + (submission.validity_ms or self._validity_ms),
            class_=submission.writer.class_,
            media=way.media,
        )


def sendable(submission: Submission) -> str:
    """Return the text as it will be sent, but for a link to pictures.

    Raises Refusal when there is none (nor a picture), or none a phone can show.
    """
    text = _clean(submission.text)
    if not text and not submission.pictures:
        raise Refusal(Problem(reason="text.empty"))
    if unsendable := segments.unsendable(text):
        names = ", ".join(f"U+{ord(c):04X}" for c in unsendable[:_SHOWN])
        raise Refusal(Problem(reason="text.unsendable", facts={"characters": names}), text=text)
    return text


@lru_cache(maxsize=_REMEMBERED)
def _clean(text: str) -> str:
    return segments.fold(segments.clean(text))


def refuse_phones(refused: Sequence[RefusedPhone], *, is_partly: bool = False) -> Refusal:
    """Return one refusal that tells each problem once, with the phones that it is about as the fact `to`.

    What is about the text has none; `is_partly`: others are written to, so the sender ID is not the same for all.
    """
    kinds = _OF_PHONES | {"sender_id", "quota"} if is_partly else _OF_PHONES
    problems: list[Problem] = []
    for problem in _distinct(phone.problem for phone in refused):
        phones = [numbers.display(phone.msisdn) for phone in refused if phone.problem == problem]
        shown = ", ".join(phones[:_SHOWN]) + ", …" * (len(phones) > _SHOWN)
        is_of_phones = problem.reason.partition(".")[0] in kinds
        problems.append(replace(problem, facts={**problem.facts, "to": shown}) if is_of_phones else problem)
    return Refusal(*problems, text=refused[0].submission.text)


def merge(refusals: Sequence[Refusal]) -> Refusal:
    """Return one refusal that tells all, in the first one's text."""
    first = refusals[0]
    return Refusal(
        *_distinct(problem for refusal in refusals for problem in refusal.problems),
        corrected=first.corrected,
        is_example=first.is_example,
        source=first.source,
        text=first.text,
    )


def _distinct(problems: Iterable[Problem]) -> list[Problem]:
    found: list[Problem] = []
    for problem in problems:
        if problem not in found:
            found.append(problem)
    return found
