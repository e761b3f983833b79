"""The door back: a carrier's event -> a status change, or an MO matched to its conversation. Drops repeats.

When `record` returns, the event is on disk and the carrier may be told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mail2sms.acknowledge import Acknowledge, Raised, is_meant
from mail2sms.carriers._base import CarrierEvent
from mail2sms.clock import now_ms
from mail2sms.consent import Answer, Consent
from mail2sms.heard import LateAnswer, MoPart
from mail2sms.ids import conversation_of, reply_key
from mail2sms.log import log
from mail2sms.model import DeliveryReport, MoMessage, MtMessage, Status, Submission
from mail2sms.store import Bundle, Joined, NewMessage, NewMo, NewPart, Store
from mail2sms.store.acknowledged import last_alarm

_EVENTS = {Status.DELIVERED: "mt_delivered", Status.CANCELLED: "mt_cancelled"}
_SAYS_NOTHING = frozenset({Status.QUEUED, Status.SENDING, Status.UNKNOWN})


class Inbound:
    """The door, with the addresses behind our numbers (`owners`) and the mailbox of last resort.

    Without `consent` no text changes who may be written to, without `acknowledge` none is about an alarm.
    """

    def __init__(
        self,
        store: Store,
        account: str,
        owners: Mapping[str, str],
        fallback: str,
        window_ms: int,
        consent: Consent | None = None,
        acknowledge: Acknowledge | None = None,
    ) -> None:
        self._store = store
        self._acknowledge = acknowledge
        self._consent = consent
        self._account = account
        self._owners = dict(owners)
        self._fallback = fallback
        self._window_ms = window_ms

    async def record(self, event: CarrierEvent) -> None:
        """Store one event of a carrier. Raises StoreUnavailable: the carrier must bring it again."""
        if isinstance(event, MoMessage):
            await self._record_mo(event)
        elif isinstance(event, MoPart):
            await self._record_part(event)
        elif isinstance(event, LateAnswer):
            await self._record_answer(event)
        else:
            await self._record_report(event)

    async def join_overdue(self) -> None:
        """Record long texts whose missing parts did not come. Raises StoreUnavailable."""
        for joined in await self._store.give_out_overdue(now_ms()):
            if not joined.known:
                log.warning("mo_incomplete", carrier=joined.mo.carrier, count=len(joined.parts))
            await self._record_joined(joined)

    async def _record_part(self, part: MoPart) -> None:
        new = NewPart(part=part, account=self._account, now=now_ms())
        for joined in await self._store.keep_part(new):
            await self._record_joined(joined)

    async def _record_joined(self, joined: Joined) -> None:
        if joined.known:
            log.info("mo_repeated", mo=joined.known, carrier=joined.mo.carrier)
        else:
            await self._record_mo(joined.mo, joined.parts)

    async def _record_answer(self, answer: LateAnswer) -> None:
        moved = await self._store.record_answer(replace(answer, at=now_ms()))
        if moved is not None:
            log.info("mt_answered", mt=moved.message, carrier=answer.carrier, status=moved.status.value)

    async def _record_report(self, report: DeliveryReport) -> None:
        if report.status in _SAYS_NOTHING:
            return
        # By our clock: a carrier's may be hours off, and what is due follows from it.
        moved = await self._store.record_report(replace(report, at=now_ms()))
        if moved is not None:
            log.info(
                _EVENTS.get(moved.status, "mt_failed"),
                mt=moved.message,
                carrier=report.carrier,
                status=moved.status.value,
            )

    async def _record_mo(self, mo: MoMessage, parts: tuple[str, ...] = ()) -> None:
        conversation = conversation_of(self._account, mo.to, mo.msisdn)
        now = now_ms()
        said, answer = self._consent.read(mo, now) if self._consent is not None else (None, None)
        raised = None if said is not None else await self._raised(mo, conversation, now)
        recorded = await self._store.record_mo(
            NewMo(
                mo=mo,
                account=self._account,
                conversation=conversation,
                reply_key=reply_key(self._store.reply_secret, conversation),
                now=now,
                window_ms=self._window_ms,
                owner=self._owners.get(mo.to, ""),
                fallback=self._fallback,
                said=said,
                acknowledged=raised.fold if raised is not None else "",
                answered=self._answered(mo, raised, answer, now),
                parts=parts,
            )
        )
        if recorded.is_repeat:
            log.info("mo_repeated", mo=recorded.id, carrier=mo.carrier)
        elif recorded.address:
            log.info("mo_received", mo=recorded.id, carrier=mo.carrier)
        else:
            log.warning("mo_unrouted", mo=recorded.id, carrier=mo.carrier)
        if said is not None and not recorded.is_repeat:
            log.info("mo_keyword", mo=recorded.id, kind=said.word.value, count=recorded.cancelled)
        if raised is not None and not recorded.is_repeat:
            log.info("alarm_acknowledged", mo=recorded.id, submission=raised.fold)

    async def _raised(self, mo: MoMessage, conversation: str, now: int) -> Raised | None:
        """Return the alarm that a text acknowledges."""
        if self._acknowledge is None or not is_meant(mo):
            return None
        return await self._store.read(last_alarm, conversation, now - self._window_ms)

    def _answered(
        self, mo: MoMessage, raised: Raised | None, answer: Answer | None, now: int
    ) -> Bundle | None:
        """Return what is sent since this came: our answer to a keyword, or what others are told of an alarm."""
        if raised is not None and self._acknowledge is not None:
            told = self._acknowledge.tell(mo, raised, now)
            return self._bundle(told.submission, told.mts) if told is not None else None
        return self._bundle(answer.submission, (answer.mt,)) if answer is not None else None

    def _bundle(self, submission: Submission, mts: tuple[MtMessage, ...]) -> Bundle:
        secret = self._store.reply_secret
        return Bundle(
            id=submission.id,
            at=submission.created_at,
            submissions=(submission,),
            messages=tuple(NewMessage(mt=mt, reply_key=reply_key(secret, mt.conversation)) for mt in mts),
        )
