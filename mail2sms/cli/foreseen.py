"""What a verdict means for each phone, where the configuration says so, and who would be told. Pure."""

from __future__ import annotations

import email
import email.policy
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from mail2sms import numbers, routing
from mail2sms.cli.explained import LimitUse, Mail, Text
from mail2sms.cli.explained_senders import why_sender_id
from mail2sms.config import Settings, derived
from mail2sms.errors import Problem
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.smtp_syntax import Collector, CommandRefused
from mail2sms.lifecycle import APPROVAL, due_when_free
from mail2sms.model import MtMessage, Origin, Submission, Writer
from mail2sms.money import shown, total
from mail2sms.relay.approval import ApprovalFacts, approval_email
from mail2sms.relay.compose import HeldFacts, Outgoing, held_email
from mail2sms.render import Render
from mail2sms.rules import quiet_hours, quotas, sender_ids
from mail2sms.rules._base import Policy, who
from mail2sms.store import holds
from mail2sms.verdict import Verdict
from mail2sms.yamltext import Document

THE_PHONES = "?"  # our address in a conversation that is not looked up
_HELD_QUIET = "held.quiet_hours"
_TOO_LARGE, _BARE = "mail.too_large", "mail.bare_newline"


class Foreseen:
    """Tells it by what the configuration says. `line` finds a place in its file."""

    def __init__(self, settings: Settings, document: Document, policy: Policy, render: Render) -> None:
        self._settings, self._document, self._policy, self._render = settings, document, policy, render
        self._routes = settings.route_table()
        self._house = derived.house(settings)

    def line(self, *steps: str | int) -> int | None:
        """Return the line of an option."""
        return self._document.place(steps).line or None

    def text(self, mt: MtMessage, submission: Submission, verdict: Verdict) -> Text:
        """Return what one phone would get."""
        wanted = routing.Wanted(
            msisdn=mt.msisdn, region=mt.region, writer=submission.writer.address, sender_id=mt.sender_id
        )
        route = routing.find(wanted, self._routes)
        by, place = why_sender_id(mt, submission, self._settings, self._policy)
        is_named = mt.sender_id == THE_PHONES
        due_at = due_when_free(mt.due_at)
        quiet = quiet_hours.quiet_at(mt.msisdn, mt.region, self._policy, submission.send_at or mt.created_at)
        hold = verdict.holds.get(mt.id)
        return Text(
            to=mt.msisdn,
            country=mt.region,
            sender_id="our address" if is_named else mt.sender_id,
            sender_id_by=by,
            sender_id_line=self.line(*place) if place else None,
            can_answer=is_named or not sender_ids.is_name(mt.sender_id),
            notes=() if is_named else self._notes(mt),
            carriers=mt.route,
            cost=shown(mt.cost),
            route_line=self.line("routes", self._routes.index(route)) if route else None,
            due_at=_moment(due_at, submission.writer),
            expires_at=_moment(mt.expires_at, submission.writer),
            is_later=due_at > mt.created_at,
            why=mt.detail,
            quiet_until=_moment(quiet.until, submission.writer) if quiet else None,
            hold=hold.reason if hold else "",
            media=mt.media,
        )

    def _notes(self, mt: MtMessage) -> tuple[str, ...]:
        found = sender_ids.notes(mt.sender_id, mt.region, mt.carrier, self._policy, mt.created_at)
        return tuple(note.text for note in found if note.code != "no_answer")  # that is told of every one

    # Limits

    def uses(self, submissions: Sequence[Submission]) -> dict[str, quotas.Use]:
        """Return the limits that these come under, by the keys of their counters."""
        found = (
            use
            for submission in submissions
            for phone in submission.recipients
            for use in quotas.limits_of(
                submission.writer.account,
                submission.created_at,
                self._policy.quotas,
                writer=who(submission.writer),
                msisdn=phone,
                region=numbers.region(phone),
            )
        )
        return {use.reservation.key: use for use in found}

    def limits(
        self,
        uses: Mapping[str, quotas.Use],
        taken: Mapping[str, int] | None,
        messages: Sequence[MtMessage],
        writer: Writer,
    ) -> Iterator[LimitUse]:
        """Yield what is used of each limit (None: not known) and what these messages take."""
        needed: Counter[str] = Counter()
        for mt in messages:
            for use in quotas.uses(mt, writer, self._policy.quotas):
                needed[use.reservation.key] += use.amount
        for key, use in uses.items():
            limit, used = use.limit, taken[key] if taken is not None else None
            yield LimitUse(
                kind=use.kind,
                of=use.of,
                limit=str(limit),
                used=None if used is None else limit.written(used),
                left=None if used is None else limit.written(max(0, limit.amount - used)),
                needed=limit.written(needed[key]),
                until=_moment(use.span.end, writer),
            )

    # Emails

    def emails(self, submissions: Sequence[Submission], verdict: Verdict) -> Iterator[Mail]:
        """Yield what the writer and the approvers would get about messages that wait."""
        quiet = [mt for mt in verdict.messages if mt.reason == quiet_hours.REASON]
        if quiet:
            facts = self._held(quiet, submissions[0], _HELD_QUIET)
            yield self.mail(held_email(replace(facts, until=quiet[0].due_at), self._render))
        for submission in submissions:
            waiting = [
                mt for mt in verdict.messages if mt.submission == submission.id and mt.reason == APPROVAL
            ]
            if not waiting:
                continue
            hold = holds.merged([verdict.holds[mt.id] for mt in waiting])
            facts = self._held(waiting, submission, hold.reason)
            yield self.mail(held_email(facts, self._render))
            for approver in self._policy.quotas.approvers:
                yield self.mail(self._asked(facts, approver, waiting))

    def _asked(self, facts: HeldFacts, approver: str, waiting: Sequence[MtMessage]) -> Outgoing:
        url = self._house.web_url.rstrip("/")
        return approval_email(
            ApprovalFacts(
                held=replace(facts, addressee=self._house.addressee(approver)),
                approval="v-...",
                writer=facts.addressee.to,
                link=f"{url}/approve/v-..." if url else "",
                cost=total(mt.cost for mt in waiting),
            ),
            self._render,
        )

    def _held(self, waiting: Sequence[MtMessage], submission: Submission, reason: str) -> HeldFacts:
        mt = waiting[0]
        return HeldFacts(
            id="<id>",
            notice="n-...",
            addressee=self._house.addressee(submission.writer.address),
            msisdn=mt.msisdn,
            text=mt.text,
            reason=reason,
            accepted_at=mt.created_at,
            at=mt.created_at,
            expires_at=mt.expires_at,
            conversation=mt.conversation,
            template_address=self._house.template_address,
            others=len(waiting) - 1,
            origin=Origin(source="smtp", subject=submission.origin.subject),
        )

    def mail(self, outgoing: Outgoing) -> Mail:
        """Return an email as its text part."""
        message = email.message_from_bytes(outgoing.content, policy=email.policy.default)
        part = message.get_body(("plain",))
        text = part.get_content() if part is not None else ""
        return Mail(to=outgoing.to, subject=str(message["Subject"]), text=text)


def _moment(at: int, writer: Writer) -> str:
    return datetime.fromtimestamp(at / 1000, ZoneInfo(writer.zone)).isoformat(timespec="seconds")


def collected(content: bytes, limits: Limits) -> Problem | None:
    """Let the listener's collector take a mail: return what is wrong with its size or its line ends."""
    collector = Collector(Budget(limits), is_trusted=True)
    stuffed = re.sub(rb"^\.", b"..", content, flags=re.MULTILINE)
    collector.feed(stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n")
    try:
        collector.content()
    except CommandRefused as e:
        reason = _TOO_LARGE if str(e).startswith("552") else _BARE
        return Problem(reason=reason, facts={"limit": str(limits.size_bytes)})
    return None
