"""The door in: submissions -> `verdict` -> one transaction.

The only way a message comes to be. Everything is decided before anything is stored; when `accept` returns, it is on
disk. Raises Refusal when nothing may go; which recipients may not, a notice stored with the rest tells the writer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace

from mail2sms import repeats, routing
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import KeyReused, Problem, Refusal, StoreUnavailable
from mail2sms.ids import reply_key
from mail2sms.log import log
from mail2sms.media import LINK, Links
from mail2sms.model import Msisdn, MtMessage, Origin, Submission, Writer
from mail2sms.money import shown, total
from mail2sms.rules import detectors, loops, quotas
from mail2sms.rules._base import Hold, Policy, Questions
from mail2sms.store import (
    Bundle,
    Exceeded,
    NewMessage,
    NewNotice,
    Repeat,
    Reservation,
    Store,
    Stored,
    answers,
    counters,
    holds,
    teaching,
)
from mail2sms.store.earlier import messages_of, repeat_of
from mail2sms.store.views import heard
from mail2sms.verdict import Judge, RefusedPhone, Verdict, sendable

_HOUR_MS = 3_600_000
_NOTICES_PER_HOUR = 20
_REMEMBERED = 1000  # limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """An API call that is carried out once, however often it comes: known by its `client` and `key`.

    `fingerprint` is its body's.
    """

    account: str
    client: str
    key: str
    fingerprint: str

    @property
    def repeat_key(self) -> str:
        """What recognises it, whatever its body."""
        return repeats.digest(self.account, "call", self.client, self.key)


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What was accepted. `id` is what the client is told; a repeat has the ids of the first time."""

    id: str
    messages: tuple[MtMessage, ...]
    is_repeat: bool
    verdict: Verdict


class NothingGoes(Refusal):
    """All that was asked for is refused. `verdict` tells recipients from the mail itself."""

    def __init__(self, verdict: Verdict) -> None:
        whole = verdict.refusal()
        super().__init__(
            *whole.problems,
            corrected=whole.corrected,
            is_example=whole.is_example,
            source=whole.source,
            text=whole.text,
        )
        self.verdict = verdict


class Accept:
    """The door, with what the configuration allows."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        routes: Sequence[routing.Route],
        validity_ms: int,
        links: Links | None = None,
    ) -> None:
        self._store = store
        self.policy = policy
        self._judge = Judge(policy, routes, validity_ms, links)
        self._told: Set[str] = frozenset()  # which limits were told of: only to spare the store the question

    async def accept(self, submissions: Sequence[Submission], owner: str = "") -> Receipt:
        """Judge and store what one email or API call asks for, and tell by email what of it may not go.

        `owner` is told in the place of a machine.
        Raises NothingGoes (all of it in one) when nothing may, and StoreUnavailable.
        """

        def whole(bundle: Bundle, _: Verdict) -> Bundle:
            def told(stored: Stored) -> tuple[NewNotice, ...]:
                taken = next(new.mt.id for new in bundle.messages if new.mt.id not in stored.refused)
                about = stored.repeated.get(taken, taken)
                return teaching.over_notices(submissions[0], about, [*self._over(bundle, stored)], owner)

            return replace(bundle, tell_over=told)

        verdict, bundle, stored = await self._put(submissions, whole)
        if stored.refused:
            await self._tell_admins(bundle, stored)
        after = self._after(bundle, verdict, stored)
        mts = tuple(_first(mt, stored.repeated) for mt in after.messages)
        is_repeat = len(stored.repeated) == len(bundle.messages) and not stored.deed
        _log(mts[0].id, bundle, stored, is_repeat=is_repeat)
        return Receipt(id=mts[0].id, messages=mts, is_repeat=is_repeat, verdict=after)

    async def answer(self, submission: Submission, call: Call, tell: Callable[[Verdict], str]) -> str:
        """Accept what an API call asks for unless it did so before; return what it is told either way.

        What `tell` makes of the verdict is stored with the messages. Raises as `accept` does, and KeyReused.
        """

        def whole(bundle: Bundle, verdict: Verdict) -> Bundle:
            def told(refused: Mapping[str, Exceeded]) -> str:
                return tell(self._after(bundle, verdict, Stored(repeated={}, refused=refused)))

            return replace(
                bundle, repeat_key=call.repeat_key, fingerprint=call.fingerprint, answer=told({}), tell=told
            )

        verdict, bundle, stored = await self._put([submission], whole)
        before = stored.before
        await self._tell_admins(bundle, stored)
        if before is None:
            self._after(bundle, verdict, stored)
        _log(before.id if before else bundle.id, bundle, stored, is_repeat=before is not None)
        return _answer(before, call) or stored.answer or bundle.answer or ""

    async def answered(self, call: Call) -> str:
        """Return what a call was told when it came before; "" if it did not. Raises KeyReused.

        For what is refused now: it may be its time that is over, and its client must not hear that nothing was sent.
        """
        return _answer(await self._store.read(repeat_of, call.repeat_key, now_ms()), call)

    async def _put(
        self, submissions: Sequence[Submission], whole: Callable[[Bundle, Verdict], Bundle]
    ) -> tuple[Verdict, Bundle, Stored]:
        """Judge and store. Raises NothingGoes when nothing of it may go.

        Of most phones nothing is known: to ask before each mail would cost a third of its CPU, so the store says when
        it would have mattered. Where something is refused anyway, all that is wrong is told together.
        """
        verdict = self._judge.judge(submissions)
        is_sure = verdict.messages and not (verdict.refused or verdict.refusals)
        if is_sure and not self._questions(submissions).keys:  # detectors act on what was before
            verdict = await self._guarded(verdict, submissions)
            bundle = whole(self._bundle(verdict, submissions, is_blind=True), verdict)
            stored = await self._store.put(bundle)
            if not stored.is_unjudged:
                return verdict, bundle, stored
        verdict = await self._verdict(submissions)
        bundle = whole(self._bundle(verdict, submissions), verdict)
        return verdict, bundle, await self._store.put(bundle)

    def _bundle(
        self, verdict: Verdict, submissions: Sequence[Submission], *, is_blind: bool = False
    ) -> Bundle:
        first = submissions[0]
        messages = self._news(verdict, submissions)
        return Bundle(
            id=messages[0].mt.id,
            at=first.created_at,
            submissions=tuple(_as_sent(submission, verdict) for submission in submissions),
            messages=messages,
            notices=(*teaching.notices(first, verdict), *teaching.held(first, verdict)),
            approvers=self.policy.quotas.approvers,
            repeat_key=repeats.alarm_key(first),
            is_blind=is_blind,
        )

    async def preview(self, submissions: Sequence[Submission]) -> Verdict:
        """Return the verdict that `accept` would act on, storing nothing. Raises as `accept` does."""
        verdict = await self._verdict(submissions)
        bundle = self._bundle(verdict, submissions)
        keys = [wish.key for new in bundle.messages for wish in new.reservations]
        taken = await self._store.read(counters.taken, keys) if keys else {}
        refused = counters.Ledger(taken).admit(bundle.messages)
        return self._after(bundle, verdict, Stored(repeated={}, refused=refused))

    def _after(self, bundle: Bundle, verdict: Verdict, stored: Stored) -> Verdict:
        """Return the verdict with what the store said. Raises Refusal when nothing of it was taken."""
        if stored.is_stopped:
            raise Refusal(Problem(reason="sending.stopped"))
        if not (stored.refused or verdict.holds):
            return verdict
        refused = (*verdict.refused, *self._over(bundle, stored))
        taken = (holds.as_it_waits(new) for new in bundle.messages if new.mt.id not in stored.refused)
        after = replace(verdict, messages=tuple(taken), refused=refused)
        if not after.messages:
            raise NothingGoes(after)
        return after

    async def _verdict(self, submissions: Sequence[Submission]) -> Verdict:
        """Judge it all, by what the store knows. Raises NothingGoes when nothing of it may go."""
        first, phones = submissions[0], _phones(submissions)
        known = await self._store.read(
            answers.read, first.writer.account, phones, self._questions(submissions)
        )
        verdict = self._judge.judge(submissions, known)
        if not verdict.messages:
            raise NothingGoes(verdict)
        return await self._guarded(verdict, submissions)

    async def _guarded(self, verdict: Verdict, submissions: Sequence[Submission]) -> Verdict:
        answers = {each.id: each for each in submissions if each.conversation is not None}
        if not answers:
            return verdict
        talks = {id_: each.conversation.id for id_, each in answers.items() if each.conversation}
        last = {id_: await self._store.read(heard, talk) for id_, talk in talks.items()}
        return replace(verdict, guards={id_: loops.guards(answers[id_], last[id_]) for id_ in answers})

    def _questions(self, submissions: Sequence[Submission]) -> Questions:
        first = submissions[0]
        return detectors.questions(first.writer, _phones(submissions), first.created_at, self.policy)

    async def earlier(self, submissions: Sequence[Submission]) -> tuple[str, ...]:
        """Return the ids of what these mails became when they came before; nothing if not all of it did.

        For what is refused now since its time is over: its writer must not hear that nothing was sent.
        """
        verdict = self._judge.judge(submissions)
        news = self._news(verdict, submissions)
        keys = [new.repeat_key for new in news if new.repeat_key is not None]
        if alarm_key := repeats.alarm_key(submissions[0]):
            return await self._store.read(messages_of, [alarm_key], now_ms())
        if not news or len(keys) < len(news) or verdict.refused or verdict.refusals:
            return ()
        return await self._store.read(messages_of, keys, now_ms())

    async def tell_refusal(
        self,
        writer: Writer,
        origin: Origin,
        refusal: Refusal,
        repeat: str,
        asking: teaching.Asking = teaching.NOBODY,
        *,
        is_sent: bool = False,
    ) -> str:
        """Store the email that tells a proven writer of a refusal, and the report that was asked for; returns its id.

        `repeat` recognises the same mail coming again, to the same phones; `is_sent`: only its pictures are refused.
        Raises the refusal itself when the writer was told often enough this hour, or the same of the same words: a
        program that answers us says nothing else.
        """
        now = now_ms()
        id_ = new_id("n", now)
        notices = teaching.refused_notices(id_, writer, origin, refusal, now, asking, is_sent=is_sent)
        hour, whose = now // _HOUR_MS, (writer.account, writer.address)
        cap = Reservation(
            key=f"notice:{repeats.digest(*whose, refusal.problems[0].reason, str(hour))}",
            amount=1,
            limit=_NOTICES_PER_HOUR,
            until=(hour + 1) * _HOUR_MS,
        )
        key = repeats.repeat_key(writer, repeat, "refused", *_of_whom(refusal, asking))
        caps = (cap, loops.told(repeats.digest(*whose, *_said(refusal)), now))
        bundle = Bundle(id=id_, at=now, notices=notices, reservations=caps, repeat_key=key)
        stored = await self._store.put(bundle)
        if stored.exceeded is not None:
            raise refusal
        event = "pictures_refused" if is_sent else "mail_refused"
        log.info(event, notice=id_, reason=refusal.problems[0].reason)
        return stored.repeated.get(id_, id_)

    def _news(self, verdict: Verdict, submissions: Sequence[Submission]) -> tuple[NewMessage, ...]:
        by_id = {submission.id: submission for submission in submissions}
        of = verdict.guards
        return tuple(
            self._new(mt, by_id[mt.submission], of.get(mt.submission, ()), verdict.holds.get(mt.id))
            for mt in verdict.messages
        )

    def _over(self, bundle: Bundle, stored: Stored) -> Iterator[RefusedPhone]:
        """Yield who is not written to since a limit is reached."""
        by_id = {submission.id: submission for submission in bundle.submissions}
        for new in bundle.messages:
            exceeded = stored.refused.get(new.mt.id)
            if exceeded is not None:
                submission = by_id[new.mt.submission]
                problem = loops.problem(exceeded.reservation)
                if problem is None:
                    use = self._use(new.mt, submission.writer, exceeded)
                    problem = use.problem(exceeded.used, exceeded.reservation.amount, submission.writer.zone)
                yield RefusedPhone(submission=submission, msisdn=new.mt.msisdn, problem=problem)

    def _use(self, mt: MtMessage, writer: Writer, exceeded: Exceeded) -> quotas.Use:
        of = quotas.uses(mt, writer, self.policy.quotas)
        return next(each for each in of if each.reservation.key == exceeded.reservation.key)

    async def _tell_admins(self, bundle: Bundle, stored: Stored) -> None:
        """Tell the approvers by email that a limit is reached: once in its window, whoever comes after."""
        by_id = {submission.id: submission.writer for submission in bundle.submissions}
        over = {
            quotas.told_once(use): (use, by_id[new.mt.submission])
            for new in bundle.messages
            if (exceeded := stored.refused.get(new.mt.id)) and loops.problem(exceeded.reservation) is None
            for use in [self._use(new.mt, by_id[new.mt.submission], exceeded)]
        }
        new_ones = {key: about for key, about in over.items() if key not in self._told}
        if not (new_ones and bundle.approvers):
            return
        told = tuple(
            teaching.limit_notice(key, use, writer, to, bundle.at)
            for key, (use, writer) in new_ones.items()
            for to in bundle.approvers
        )
        with suppress(StoreUnavailable):  # it is told with the next refusal
            await self._store.put(Bundle(id=told[0].id, at=bundle.at, notices=told))
            self._told = (self._told | new_ones.keys()) if len(self._told) < _REMEMBERED else set(new_ones)

    def _new(
        self, mt: MtMessage, submission: Submission, guards: tuple[Reservation, ...], hold: Hold | None
    ) -> NewMessage:
        message_id = submission.origin.message_id
        key = None
        if message_id is not None and submission.alarm is None:
            answered = submission.conversation.id if submission.conversation else ""
            key = repeats.repeat_key(submission.writer, message_id, mt.msisdn, submission.text, answered)
        uses = quotas.uses(mt, submission.writer, self.policy.quotas)
        sent = detectors.tallies(mt, submission.writer, self.policy)
        return NewMessage(
            mt=mt,
            reply_key=reply_key(self._store.reply_secret, mt.conversation),
            repeat_key=key,
            reservations=(*guards, *(use.reservation for use in uses), *(() if hold else sent)),
            hold=replace(hold, then=hold.then + sent) if hold else None,
        )


def _phones(submissions: Sequence[Submission]) -> set[Msisdn]:
    return {phone for submission in submissions for phone in submission.recipients}


def _as_sent(submission: Submission, verdict: Verdict) -> Submission:
    """Return a submission with the text that was counted: what is stored goes to the carrier as it is."""
    mine = [mt for mt in verdict.messages if mt.submission == submission.id]
    sent = next((mt.text for mt in mine if mt.media != LINK), None)
    if sent is None:
        sent = sendable(submission) if mine else submission.text
    return submission if sent == submission.text else replace(submission, text=sent)


def _of_whom(refusal: Refusal, asking: teaching.Asking) -> Iterator[str]:
    """Yield why not, and to whom: the same words to other phones are another refusal."""
    yield from sorted({problem.reason for problem in refusal.problems})
    if isinstance(refusal, NothingGoes):
        yield from sorted({each.msisdn for each in refusal.verdict.refused})
    yield from sorted(address for address, _ in asking.recipients)


def _said(refusal: Refusal) -> tuple[str, ...]:
    return (*(problem.reason for problem in refusal.problems), refusal.text, *refusal.source)


def _first(mt: MtMessage, repeated: Mapping[str, str]) -> MtMessage:
    """Return the message as it was stored the first time it was asked for."""
    return replace(mt, id=repeated[mt.id]) if mt.id in repeated else mt


def _log(id_: str, bundle: Bundle, stored: Stored, *, is_repeat: bool) -> None:
    event = "mail_repeated" if is_repeat else "mail_accepted"
    proof = bundle.submissions[0].writer.proof.value
    news = () if stored.before else (m.mt for m in bundle.messages if m.mt.id not in stored.repeated)
    cost = shown(total(mt.cost for mt in news))
    told = {"kind": stored.deed} if stored.deed else {}
    log.info(event, submission=id_, recipients=len(bundle.messages), proof=proof, cost=cost, **told)


def _answer(before: Repeat | None, call: Call) -> str:
    if before is None:
        return ""
    if before.fingerprint != call.fingerprint:
        raise KeyReused(before.id, before.at)
    return before.answer or ""
