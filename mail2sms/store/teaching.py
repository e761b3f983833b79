"""What a mail makes us tell its writer, beside what SMTP answers: the notices that are stored with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

from mail2sms.errors import Refusal
from mail2sms.ids import derive_id
from mail2sms.model import NO_DSN, Dsn, Msisdn, MtMessage, Origin, Proof, Submission, Writer
from mail2sms.rules import quiet_hours, quotas
from mail2sms.rules._base import who as counted_for
from mail2sms.store.rows import NewNotice
from mail2sms.verdict import RefusedPhone, Verdict, merge, refuse_phones

_HOUR_MS = 3_600_000
_NOTICE_VALID_MS = 86_400_000
_QUOTED, _QUOTED_LINES = 16_384, 1000  # characters, lines of a text that is sent back


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """Recipients (addresses, or phones) of whose failure a report was asked for, and what it gives back of the mail."""

    recipients: tuple[tuple[str, Dsn], ...] = ()
    original: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, dsns: Iterable[tuple[str, Dsn]], original: bytes) -> Asking:
        """Return those that ask for it by name."""
        return cls(recipients=tuple(each for each in dsns if each[1].asks("FAILURE")), original=original)


NOBODY = Asking()


def notices(first: Submission, verdict: Verdict) -> tuple[NewNotice, ...]:
    """Return what tells the writer of all that is refused beside what goes out."""
    if not first.writer.address or not (verdict.refused or verdict.refusals):
        return ()
    told: list[tuple[str, Refusal, Asking]] = []
    untold = _untold(verdict)
    if untold and first.origin.source == "smtp":  # SMTP has one answer for all; the API says so in its own
        told.append(("partly", refuse_phones(untold, is_partly=True), of_phones(untold)))
    if verdict.refusals:
        told.append(("refused", merge(verdict.refusals), NOBODY))
    who, origin, at = first.writer, first.origin, first.created_at
    return tuple(
        notice
        for kind, about, asking in told
        for notice in refused_notices(
            derive_id("n", first.id, kind), who, origin, about, at, asking, is_partly=True
        )
    )


def of_phones(refused: Sequence[RefusedPhone]) -> Asking:
    """Return which of these phones a report was asked for of."""
    dsns = {each.msisdn: each.submission.dsns().get(each.msisdn, NO_DSN) for each in refused}
    return Asking.of(dsns.items(), refused[0].submission.original)


def limit_notice(key: str, use: quotas.Use, writer: Writer, address: str, now: int) -> NewNotice:
    """Return what tells an administrator that a limit is reached; the same one for all of its window."""
    limit = use.limit
    payload = {
        "kind": use.kind,
        "of": use.of,
        "amount": limit.amount,
        "unit": limit.unit,
        "window": limit.window,
        "writer": counted_for(writer),
        "until": use.span.end,
    }
    return NewNotice(
        id=derive_id("n", "limit", key, address),
        account=writer.account,
        kind="limit",
        channel="email",
        address=address,
        reason=f"quota.{use.kind}",
        payload=json.dumps(payload).encode(),
        created_at=now,
        due_at=now,
        expires_at=now + _NOTICE_VALID_MS,
    )


def over_notices(
    first: Submission, taken: str, over: Sequence[RefusedPhone], owner: str = ""
) -> tuple[NewNotice, ...]:
    """Return what tells the writer whom a limit left out, or the owner of a machine.

    It is the same when the mail comes again whose first message was taken by this id; an owner hears once an hour.
    """
    writer = replace(first.writer, address=owner or first.writer.address)
    if not over or first.origin.source != "smtp" or not writer.address:
        return ()
    once = f"{owner} {first.writer.name} {first.created_at // _HOUR_MS}" if owner else taken
    id_ = derive_id("n", once, "over", *sorted(each.msisdn for each in over))
    about, at = refuse_phones(over, is_partly=True), first.created_at
    return refused_notices(id_, writer, first.origin, about, at, of_phones(over), is_partly=True)


def held(first: Submission, verdict: Verdict) -> tuple[NewNotice, ...]:
    """Some wait for the morning: an email says until when, one for all of them; the API says so in its answer."""
    waiting = [mt for mt in verdict.messages if mt.reason == quiet_hours.REASON]
    held = [mt for mt in waiting if mt.dsn.notify != ("NEVER",)]
    if not held or first.origin.source != "smtp" or not first.writer.address:
        return ()
    mt = held[0]
    return (held_notice(mt, mt.due_at, first.writer.address, len(held) - 1, first.created_at),)


def held_notice(mt: MtMessage, until: int, address: str, others: int, now: int) -> NewNotice:
    """Return what tells a writer that a message, and others of its mail, wait for the morning: one for each mail."""
    return NewNotice(
        id=derive_id("n", mt.submission, "quiet_hours"),
        account=mt.account,
        kind="held",
        channel="email",
        address=address,
        message=mt.id,
        reason="held.quiet_hours",
        payload=json.dumps({"until": until, "others": others}).encode(),
        created_at=now,
        due_at=now,
        expires_at=until,
    )


def _untold(verdict: Verdict) -> list[RefusedPhone]:
    """Return the refused recipients that only an email can name.

    Others hear by a reply of their own (LMTP), or their sender wants to hear nothing (NOTIFY=NEVER).
    """
    gone = {(each.submission.id, each.msisdn) for each in verdict.refused}
    heard, unheard, unwanted = (set[tuple[str, Msisdn]]() for _ in range(3))
    for submission in {each.submission.id: each.submission for each in verdict.refused}.values():
        for address in submission.addresses:
            phones = {(submission.id, phone) for phone in address.phones or submission.recipients}
            (heard if address.has_reply and phones <= gone else unheard).update(phones)
        unwanted.update((submission.id, p) for p, dsn in submission.dsns().items() if not dsn.wants_failure)
    settled = (heard - unheard) | unwanted
    return [each for each in verdict.refused if (each.submission.id, each.msisdn) not in settled]


def refused_notices(
    id_: str,
    writer: Writer,
    origin: Origin,
    refusal: Refusal,
    now: int,
    asking: Asking = NOBODY,
    *,
    is_partly: bool = False,
    is_sent: bool = False,
) -> tuple[NewNotice, ...]:
    """Return the notices that tell of a refusal: to the writer, and as a report to whoever asked for one.

    When both are one, it is the one email.
    """
    plain = refused_notice(id_, writer, origin, refusal, now, is_partly=is_partly, is_sent=is_sent)
    if not asking.recipients:
        return (plain,)
    to = asking.recipients[0][1].report_to
    said = json.loads(plain.payload or b"{}")
    said["reports"] = [[address, asdict(dsn)] for address, dsn in asking.recipients]
    said["original"] = asking.original.decode("latin-1")
    payload = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")
    if to.lower() == writer.address.lower():
        return (replace(plain, payload=payload),)
    return (plain, replace(plain, id=derive_id("n", id_, "dsn"), address=to, payload=payload))


def refused_notice(
    id_: str,
    writer: Writer,
    origin: Origin,
    refusal: Refusal,
    now: int,
    *,
    is_partly: bool = False,
    is_sent: bool = False,
) -> NewNotice:
    """Return the notice that tells a proven writer of a refusal; `is_partly`: others get the text; `is_sent`: all do,
    without its pictures.
    """
    payload = {
        "problems": [asdict(problem) for problem in refusal.problems],
        "source": list(refusal.source),
        "corrected": refusal.corrected,
        "is_example": refusal.is_example,
        "text": _quoted(refusal.text),
        "language": writer.language,
        "origin": asdict(origin),
        "is_partly": is_partly or is_sent,
        "is_sent": is_sent,
        "device": writer.name if writer.proof is Proof.DEVICE else "",
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


def _quoted(text: str) -> str:
    lines = text[:_QUOTED].split("\n", _QUOTED_LINES)
    quoted = "\n".join(lines[:_QUOTED_LINES])
    return quoted + "…" * (len(quoted) < len(text))
