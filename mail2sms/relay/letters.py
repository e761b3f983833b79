"""From a notice to the email or hook event that tells it: what the store knows, made ready for `compose`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mail2sms import numbers
from mail2sms.errors import BadNumber, Problem
from mail2sms.hooks._base import HookEvent
from mail2sms.ids import reply_key
from mail2sms.model import FINAL, NO_DSN, Dsn, Msisdn, Origin, Status
from mail2sms.reasons import REASONS
from mail2sms.relay.approval import ApprovalFacts, approval_email
from mail2sms.relay.compose import (
    HeldFacts,
    Outgoing,
    RefusedFacts,
    ReplyFacts,
    held_email,
    refused_email,
    reply_email,
)
from mail2sms.relay.digest import digest_email, digest_facts, span
from mail2sms.relay.house import House
from mail2sms.relay.receipt import Fate, ReceiptFacts, is_told, receipt_email
from mail2sms.relay.report import OF_SUCCESS, STANDS_FOR, Report, of_failure
from mail2sms.relay.service import OF_THE_SERVICE
from mail2sms.relay.undelivered import UndeliveredFacts, undelivered_email
from mail2sms.render import Render
from mail2sms.store import LastMail, MessageView, MoView, NewNotice, Notice, Search, Store
from mail2sms.store.approvals import read_approval
from mail2sms.store.days import read_day
from mail2sms.store.mo_views import read_mo
from mail2sms.store.views import find, read_one, read_original

_NOBODY_THERE = "carrier.unknown_number"  # no answer reaches anybody
_STALE = {"unknown": {"unknown"}, "expired": {"expired"}}
"""Statuses that may be mended later: then there is nothing to tell any more."""
_RECIPIENTS = 10_000
_MISSING = {"template.missing_field", "template.empty_field"}
_FIELD_ALONE = re.compile(r"[^:\n]+:([^\n]+)\n\n")  # fields are followed by a blank line, then the text
_PERHAPS = "optout.perhaps"  # a sentence, which only a person should act upon
_WAITING = frozenset({"held", "approval"})
_WAITS_NO_MORE = FINAL | {Status.SENDING, Status.ENROUTE, Status.UNKNOWN}


class Refusals:
    """Composes the notices that hold all there is to say: those of mails that were refused."""

    def __init__(self, house: House, render: Render) -> None:
        self._house = house
        self._render = render

    def refused(self, notice: Notice | NewNotice) -> Outgoing:
        """Return the email that tells of a refusal."""
        return refused_email(self._refused(notice), self._render, self._reports(notice))

    def _reports(self, notice: Notice | NewNotice) -> list[Report]:
        """What machines are told of a refused mail, each recipient for itself."""
        said: dict[str, Any] = json.loads(notice.payload or b"{}")
        if "reports" not in said:
            return []
        problem, found = Problem(**said["problems"][0]), []
        for address, fields in said["reports"]:
            dsn = Dsn(**{**fields, "notify": tuple(fields["notify"])})
            action, status, diagnostic = of_failure(problem, NO_DSN)
            is_phone = address.startswith("+") and "@" not in address
            found.append(
                Report(
                    dsn=dsn,
                    recipient=f"{address[1:]}@{self._house.domain}" if is_phone else address,
                    action=action,
                    status=status,
                    diagnostic=diagnostic,
                    arrived_at=notice.created_at,
                    original=said["original"].encode("latin-1", "replace"),
                )
            )
        return found

    def _refused(self, notice: Notice | NewNotice) -> RefusedFacts:
        payload: dict[str, Any] = json.loads(notice.payload or b"{}")
        origin = payload["origin"]
        addressee = self._house.addressee(notice.address, payload["language"])
        return RefusedFacts(
            id=notice.id,
            addressee=addressee,
            help_url=self._house.help_url(addressee.language),
            at=notice.created_at,
            problems=tuple(Problem(**problem) for problem in payload["problems"]),
            template_address=self._house.template_address,
            source=tuple(payload["source"]),
            corrected=payload["corrected"],
            is_example=payload["is_example"],
            text=payload["text"],
            simple_address="" if payload["is_example"] else self._simple_address(payload["corrected"]),
            may_be_simple=_may_be_simple(payload["corrected"], payload["problems"]),
            is_partly=payload["is_partly"],
            is_sent=payload["is_sent"],
            device=payload["device"],
            origin=Origin(**{**origin, "references": tuple(origin["references"])}),
        )

    def _simple_address(self, corrected: str) -> str:
        """Return the address that is the number meant, when the corrected mail says no more than that."""
        to = _FIELD_ALONE.match(corrected)
        meant = _number(to[1], self._house.country) if to else None
        return f"{meant[1:]}@{self._house.domain}" if meant else ""


class Letters(Refusals):
    """Composes notices."""

    def __init__(self, store: Store, house: House, render: Render) -> None:
        super().__init__(house, render)
        self._store = store

    async def email(self, notice: Notice) -> Outgoing | None:
        """Return the email of a notice, or None when there is nothing to tell any more."""
        if notice.kind == "refused":
            return self.refused(notice)
        if notice.kind == "reply":
            mo = await self._store.read(read_mo, notice.mo or "", notice.address)
            if mo is None:
                return None
            # Photos are encoded at some 12 ms a megabyte: off the loop.
            return await asyncio.to_thread(reply_email, self._reply(mo, notice), self._render)
        if notice.kind == "digest":
            return await self._digest(notice)
        if notice.kind in OF_THE_SERVICE:
            return OF_THE_SERVICE[notice.kind](notice, self._house, self._render)
        found = await self._about(notice)
        return None if found is None else await self._told(*found, notice)

    async def _told(self, message: MessageView, others: int, notice: Notice) -> Outgoing | None:
        if notice.kind == "receipt":
            return await self._receipt(message, notice)
        if notice.kind == "dsn":
            return await self._report(message, notice)
        if notice.kind == "held":
            return held_email(self._held(message, notice, others), self._render)
        if notice.kind == "approval":
            return approval_email(self._approval(message, notice, others), self._render)
        return undelivered_email(self._undelivered(message, notice), self._render)

    async def _about(self, notice: Notice) -> tuple[MessageView, int] | None:
        """Return the message that a notice tells of, and how many others with it; None when it is stale.

        Of those that wait for one approval it is the first that still does: some may have been let go, or cancelled.
        """
        payload: dict[str, Any] = json.loads(notice.payload or b"{}")
        id_, others = notice.message or "", payload.get("others") or 0
        if "approval" in payload:
            approval = await self._store.read(read_approval, notice.account, payload["approval"])
            if approval is None or not approval.waiting:
                return None
            id_, others = approval.first, approval.waiting - 1
        message = await self._store.read(read_one, notice.account, id_)
        return None if message is None or _is_stale(notice, message) else (message, others)

    async def hook_event(self, notice: Notice) -> HookEvent | None:
        """Return the event of a notice for a chat hook, or None when there is nothing to tell any more."""
        if notice.kind == "reply":
            mo = await self._store.read(read_mo, notice.mo or "", notice.address)
            return None if mo is None else self._reply_event(notice, mo)
        message = await self._store.read(read_one, notice.account, notice.message or "")
        if (
            message is None or _is_stale(notice, message) or notice.kind != "undelivered"
        ):  # no event for chats
            return None
        return HookEvent(
            id=notice.id,
            kind="failed",
            at=message.updated_at,
            msisdn=Msisdn(message.to),
            our_address=message.sender_id,
            text=message.text,
            conversation=message.conversation,
            message=message.id,
            writer=message.writer,
            reason=notice.reason,
        )

    def _reply_event(self, notice: Notice, mo: MoView) -> HookEvent:
        return HookEvent(
            id=notice.id,
            kind="reply",
            at=mo.at,
            msisdn=mo.msisdn,
            our_address=mo.our_address,
            text=mo.text,
            conversation=mo.conversation,
            message=mo.id,
            writer=notice.address,
            photos=len(mo.photos),
            reply_address=self._house.reply_address(mo.msisdn, mo.our_address, mo.reply_key),
        )

    def _reply(self, mo: MoView, notice: Notice) -> ReplyFacts:
        return ReplyFacts(
            id=mo.id,
            addressee=self._house.addressee(notice.address, mo.last.language if mo.last else ""),
            msisdn=mo.msisdn,
            text=mo.text,
            received_at=mo.at,
            conversation=mo.conversation,
            reply_address=self._house.reply_address(mo.msisdn, mo.our_address, mo.reply_key),
            photos=mo.photos,
            lost=mo.lost,
            origin=_origin(mo.last) if mo.last else None,
            started_at=mo.started_at,
            replies=(mo.last.replies if mo.last else 0) + 1,
            said=notice.reason or (_PERHAPS if self._house.may_mean_stop(mo.text) else ""),
        )

    def _held(self, message: MessageView, notice: Notice, others: int) -> HeldFacts:
        payload: dict[str, Any] = json.loads(notice.payload or b"{}")
        return HeldFacts(
            id=message.id,
            notice=notice.id,
            addressee=self._house.addressee(notice.address),
            msisdn=Msisdn(message.to),
            text=message.text,
            reason=notice.reason,
            accepted_at=message.created_at,
            at=notice.created_at,
            expires_at=message.expires_at,
            conversation=message.conversation,
            template_address=self._house.template_address,
            until=payload.get("until"),
            others=others,
            origin=Origin(source="smtp", message_id=message.message_id, subject=message.subject),
        )

    def _approval(self, message: MessageView, notice: Notice, others: int) -> ApprovalFacts:
        held = self._held(message, notice, others)
        id_: str = json.loads(notice.payload or b"{}")["approval"]
        return ApprovalFacts(
            held=held,
            approval=id_,
            writer=message.writer,
            link=self._house.approval_url(id_, notice.address, self._store.reply_secret),
            cost=message.cost * (others + 1) if message.cost else None,
        )

    async def _digest(self, notice: Notice) -> Outgoing | None:
        day = await self._store.read(read_day, span(notice))
        facts = digest_facts(notice, day, self._house)
        return None if facts.is_empty and not facts.when_empty else digest_email(facts, self._render)

    async def _receipt(self, message: MessageView, notice: Notice) -> Outgoing | None:
        search = Search(submission=message.submission, limit=_RECIPIENTS)
        found = await self._store.read(find, notice.account, search)
        fates = tuple(_fate(each) for each in reversed(found))
        return None if is_told(fates) else receipt_email(self._fates(message, notice, fates), self._render)

    def _fates(self, message: MessageView, notice: Notice, fates: tuple[Fate, ...]) -> ReceiptFacts:
        return ReceiptFacts(
            id=message.id,
            notice=notice.id,
            addressee=replace(self._house.addressee(message.writer), to=notice.address),
            fates=fates,
            text=message.text,
            accepted_at=message.created_at,
            at=max(notice.created_at, *(fate.at for fate in fates)),
            conversation=message.conversation,
            template_address=self._house.template_address,
            reason=notice.reason,
            is_silent=notice.reason == "dsn.relayed",
            origin=Origin(source="smtp", message_id=message.message_id, subject=message.subject),
        )

    async def _report(self, message: MessageView, notice: Notice) -> Outgoing:
        original = await self._store.read(read_original, message.submission)
        failure = Problem(reason=notice.reason, value=message.to)
        action, status, diagnostic = OF_SUCCESS.get(notice.reason) or of_failure(failure, message.dsn)
        report = Report(
            dsn=message.dsn,
            recipient=f"{message.to.removeprefix('+')}@{self._house.domain}",
            action=action,
            status=status,
            diagnostic=diagnostic,
            arrived_at=message.created_at,
            attempted_at=message.updated_at,
            until=message.expires_at if notice.reason == "dsn.delayed" else None,
            original=original,
        )
        if notice.reason in OF_SUCCESS:
            facts = self._fates(message, notice, (_fate(message),))
            return receipt_email(facts, self._render, report)
        failed = self._undelivered(message, notice)
        told = replace(failed, addressee=replace(self._house.addressee(message.writer), to=notice.address))
        return undelivered_email(told, self._render, report)

    def _undelivered(self, message: MessageView, notice: Notice) -> UndeliveredFacts:
        key = reply_key(self._store.reply_secret, message.conversation)
        reply_address = self._house.reply_address(message.to, message.sender_id, key)
        return UndeliveredFacts(
            id=message.id,
            addressee=self._house.addressee(notice.address),
            msisdn=Msisdn(message.to),
            text=message.text,
            status=Status(message.status),
            reason=notice.reason,
            charged="no" if _cost_nothing(message) else REASONS[notice.reason].charged,
            cost=message.cost,
            accepted_at=message.created_at,
            attempted_at=message.updated_at,
            conversation=message.conversation,
            template_address=self._house.template_address,
            reply_address="" if notice.reason == _NOBODY_THERE else reply_address,
            more=json.loads(notice.payload or b"{}").get("more", 0),
            carrier=message.carrier,
            code=message.detail,
            others=json.loads(notice.payload or b"{}").get("others", 0),
            origin=Origin(source="smtp", message_id=message.message_id, subject=message.subject),
        )


def _fate(message: MessageView) -> Fate:
    return Fate(
        msisdn=Msisdn(message.to),
        status=Status(message.status),
        reason=message.reason if message.reason in REASONS else "",
        at=message.updated_at,
    )


def _may_be_simple(corrected: str, problems: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all that is missing is the number: then the address can say it."""
    missing = any(problem["reason"] in _MISSING for problem in problems)
    return missing and _FIELD_ALONE.match(corrected) is not None


def _number(value: str, country: str) -> Msisdn | None:
    try:
        return numbers.read(value, country)
    except BadNumber:
        return None


def _cost_nothing(message: MessageView) -> bool:
    return message.cost is not None and message.cost.millionths == 0


def _is_stale(notice: Notice, message: MessageView) -> bool:
    if notice.kind in _WAITING:
        return message.status in _WAITS_NO_MORE
    if notice.reason in STANDS_FOR:
        return message.status not in STANDS_FOR[notice.reason]
    told = notice.reason.removeprefix("carrier.")
    return told in _STALE and message.status not in _STALE[told]


def _origin(last: LastMail) -> Origin:
    return Origin(
        source="smtp",
        message_id=last.message_id,
        subject=last.subject,
        references=last.references,
        thread_index=last.thread_index,
    )
