"""What an SMSC brings, as events: receipts, texts from phones, parts of long ones. Knows no session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mail2sms import ids, numbers
from mail2sms.carriers import _smpp_receipt as receipts
from mail2sms.carriers import _smpp_text as texts
from mail2sms.carriers import _udh
from mail2sms.carriers._base import CarrierEvent
from mail2sms.carriers._smpp_options import Options
from mail2sms.carriers._smpp_pdu import Address, Short, Tag
from mail2sms.carriers._smpp_read import Reader
from mail2sms.errors import BadNumber
from mail2sms.heard import MoPart, Sent
from mail2sms.log import log
from mail2sms.model import DeliveryReport, MoMessage, Msisdn, Repeats

_NAME, _NATIONAL, _INTERNATIONAL = 5, 2, 1  # types of number
_SHORTEST_NUMBER: Final = 9  # digits; fewer are a short code
_PREFIX: Final = 32  # characters of an event's id that say what is in it
_RECENT: Final = 10_000  # texts that are remembered
_SURE_S: Final = 1.0  # a link that was heard of so long after our answer has carried it
_PATIENCE_S: Final = 5.0  # after which an SMSC may bring again on one link what is not answered
# So long: who says "OK" again tomorrow says it anew.
_AGAIN_S: Final = 600.0
_AGAIN_BY_ANOTHER_S: Final = 86_400.0
_START_MS: Final = 60_000  # from the first text of a process
_BACK_MS: Final = 3_600_000  # before it began


class Link(Protocol):
    """A session, as far as it tells whether an answer has arrived."""

    @property
    def heard_s(self) -> float:
        """When something last came from there, by the loop's clock."""
        ...


@dataclass(slots=True)
class _Known:
    """A text that came: when, by which link, and when it was answered. Without an answer it may still be stored."""

    event_id: str
    link: Link
    came_s: float
    answered_s: float | None = None
    is_owed: bool = False  # the SMSC was asked to bring it again

    def may_come_again(self, link: Link, now_s: float) -> bool:
        """Whether the same text by this link is probably this one, and no other of the same words."""
        if self.is_owed:
            return True
        since_s = now_s - self.came_s
        if link is self.link:
            late_s = (self.answered_s or now_s) - self.came_s
            return late_s >= _PATIENCE_S and since_s < _AGAIN_S
        is_unsure = self.answered_s is None or self.link.heard_s < self.answered_s + _SURE_S
        return is_unsure and since_s < _AGAIN_BY_ANOTHER_S


class Inbound:
    """Reads events for the carrier `name`. `clock` gives the time in milliseconds, `steady` the loop's in seconds.

    SMPP has no ids for texts from phones. An SMSC brings a text again when it did not get our answer: the same words
    then have the same id.
    """

    def __init__(
        self, name: str, options: Options, key: bytes, clock: Callable[[], int], steady: Callable[[], float]
    ) -> None:
        self._name, self._options, self._key = name, options, key
        self._clock, self._steady = clock, steady
        self._recent: dict[str, _Known] = {}
        self._began_at, self._first_at = clock(), 0
        self._seen: set[str] = set()
        self._count = 0

    def answered(self, event: CarrierEvent, *, is_taken: bool) -> None:
        """The SMSC is told now that it was taken, or to bring it again."""
        if not isinstance(event, MoMessage):
            return
        known = self._recent.get(event.event_id[:_PREFIX])
        if known is not None and known.event_id == event.event_id:
            known.answered_s, known.is_owed = self._steady(), not is_taken

    def read(self, short: Short, link: Link) -> DeliveryReport | MoMessage | MoPart | None:
        """Return the event that came by this link; None for what is no news: it is told in the log."""
        if receipts.is_receipt(short, by_text=self._options.receipts_by_text):
            return self._receipt(short)
        text = texts.read(short, self._options.texts)
        if text.is_for_program:
            log.warning("mo_unread", carrier=self._name)
            return None
        msisdn, to = Msisdn(self.number(short.source)), self.number(short.destination)
        now = self._clock()
        if text.segment is not None:
            part = text.segment
            return MoPart(
                carrier=self._name,
                msisdn=msisdn,
                to=to,
                at=now,
                reference=part.reference,
                total=part.total,
                number=part.number,
                text=text.text,
                event_id=_theirs(short).hex(),
            )
        event_id, repeats = self._known_by(short, link, now)
        return MoMessage(
            carrier=self._name,
            event_id=event_id,
            msisdn=msisdn,
            to=to,
            at=now,
            text=_udh.whole(text.text),
            repeats=repeats,
        )

    def _receipt(self, short: Short) -> DeliveryReport | None:
        receipt = receipts.read(short, self._options.ids)
        if receipt is None:  # it names no message
            log.warning("report_stray", carrier=self._name)
            return None
        return DeliveryReport(
            carrier=self._name,
            carrier_message_id=receipt.message_id,
            status=receipt.status,
            at=self._clock(),
            event_id=f"{receipt.message_id}-{receipt.status.value}",
            code=receipt.code,
        )

    def _known_by(self, short: Short, link: Link, now: int) -> tuple[str, Repeats | None]:
        theirs = _theirs(short)
        said = (short.source.digits, short.destination.digits, str(short.data_coding), theirs.hex())
        octets = "\0".join(said).encode() + b"\0" + short.text
        prefix = ids.keyed(self._key, octets).hex()[:_PREFIX]
        if theirs:
            return prefix, None
        now_s, known = self._steady(), self._recent.pop(prefix, None)
        if known is not None and known.may_come_again(link, now_s):
            self._recent[prefix] = _Known(known.event_id, link, now_s)
            return known.event_id, None
        self._count += 1
        event_id = f"{prefix}-{now:x}-{self._count:x}"
        self._recent[prefix] = _Known(event_id, link, now_s)
        if len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
        return event_id, self._of_another_life(prefix, now)

    def _of_another_life(self, prefix: str, now: int) -> Repeats | None:
        """A process that ended may have stored a text and not said so: soon after the start the same words are it."""
        self._first_at = self._first_at or now
        if now - self._first_at >= _START_MS or prefix in self._seen:
            return None
        self._seen.add(prefix)
        return Repeats(prefix=f"{prefix}-", since=self._began_at - _BACK_MS, until=self._began_at)

    def number(self, address: Address) -> str:
        """Return E.164 with +, else what the SMSC says: a short code or a name. Its type of number is often wrong."""
        digits = address.digits.removeprefix("+")
        if address.ton == _NAME or not (digits.isascii() and digits.isdigit()):
            return address.digits
        if address.ton == _INTERNATIONAL or address.digits != digits:
            return f"+{digits}"
        if digits.startswith("00"):
            return f"+{digits[2:]}"
        is_national = address.ton == _NATIONAL or digits.startswith("0")
        if is_national and self._options.country:
            try:
                return numbers.read(digits, self._options.country)
            except BadNumber:
                return address.digits
        return f"+{digits}" if len(digits) >= _SHORTEST_NUMBER and not is_national else digits


def _theirs(short: Short) -> bytes:
    """Return the SMSC's own id of what it brings; empty where it tells none, as nearly all."""
    return short.tlvs.get(Tag.OVH_INCOMING_ID, b"").rstrip(b"\0")


def queried(sent: Sent, body: bytes, now: int) -> DeliveryReport:
    """Return what a query_sm_resp says of a part (section 4.8.2). Raises Malformed."""
    read = Reader(body)
    read.string()
    read.string()
    state, error = read.octet(), read.octet()
    return DeliveryReport(
        carrier=sent.carrier,
        carrier_message_id=sent.carrier_message_id,
        status=receipts.state(state),
        at=now,
        event_id=f"{sent.carrier_message_id}-{state}",
        code=str(error) if error else "",
    )
