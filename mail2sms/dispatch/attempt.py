"""One attempt of a message: the parts that go out, and how it ended, for the store and the log. Pure, but for ids."""

from __future__ import annotations

import zlib

from mail2sms.carriers._base import Carrier
from mail2sms.clock import new_id, now_ms
from mail2sms.errors import Refused, Unavailable, Uncertain
from mail2sms.lifecycle import Change, Outcome
from mail2sms.log import log
from mail2sms.media import Links
from mail2sms.model import MtMessage, Part, Status, Taken
from mail2sms.money import shown
from mail2sms.store import PartOutcome

_FETCHED_MS = 4 * 86_400_000  # so long a carrier may fetch pictures: one asks for three days
_KINDS = {Taken: "taken", Unavailable: "unavailable", Refused: "refused", Uncertain: "uncertain"}
_EVENTS = {
    Status.ENROUTE: "mt_enroute",
    Status.QUEUED: "mt_queued",
    Status.UNKNOWN: "mt_unknown",
    Status.EXPIRED: "mt_expired",
    Status.REJECTED: "mt_failed",
}


def parts_of(mt: MtMessage, carrier: Carrier, links: Links | None) -> list[Part]:
    """Return what goes to the carrier, as it splits texts; it fetches pictures from us.

    The concatenation reference is the same every time.
    """
    now = now_ms()
    media = links.pictures(mt.submission, mt.pictures, now + _FETCHED_MS) if links is not None else ()
    texts = (mt.text,) if mt.pictures else carrier.split(mt.text)
    return [
        Part(
            message=mt.id,
            index=index,
            count=len(texts),
            attempt_id=new_id("a", now),
            attempt=mt.attempts + 1,
            msisdn=mt.msisdn,
            sender_id=mt.sender_id,
            encoding=mt.encoding,
            segments=mt.segments if len(texts) == 1 else 1,
            text=text,
            reference=zlib.crc32(mt.id.encode()) & 0xFFFF,
            expires_at=mt.expires_at,
            media=media,
        )
        for index, text in enumerate(texts)
    ]


def part_outcome(part: Part, outcome: Outcome) -> PartOutcome:
    """Return how the attempt of a part ended, as it is stored."""
    if isinstance(outcome, Taken):
        return PartOutcome(
            attempt_id=part.attempt_id,
            outcome="taken",
            carrier_message_id=outcome.carrier_message_id,
            others=outcome.others,
        )
    kind = next(word for kind, word in _KINDS.items() if isinstance(outcome, kind))
    return PartOutcome(attempt_id=part.attempt_id, outcome=kind, code=outcome.code)


def tell(mt: MtMessage, change: Change) -> None:
    """Log what became of the message."""
    fields = {"mt": mt.id, "carrier": mt.carrier, "segments": mt.segments, "attempt": mt.attempts + 1}
    fields |= {"cost": shown(mt.cost)}
    if change.status in (Status.ENROUTE, Status.QUEUED):
        log.info(_EVENTS[change.status], **fields)
    else:
        log.warning(_EVENTS[change.status], **fields, reason=change.reason)
