"""What an SMSC brings, as events: receipts, texts from phones, parts of long ones. Knows no session."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from mail2sms import numbers
from mail2sms.carriers import _smpp_receipt as receipts
from mail2sms.carriers import _smpp_text as texts
from mail2sms.carriers._smpp_options import Options
from mail2sms.carriers._smpp_pdu import Address, Short, Tag
from mail2sms.errors import BadNumber
from mail2sms.heard import MoPart
from mail2sms.model import DeliveryReport, MoMessage, Msisdn, Repeats

_NAME, _NATIONAL, _INTERNATIONAL = 5, 2, 1  # types of number
_SHORTEST_NUMBER: Final = 9  # digits; fewer are a short code
_SUSPECT_MS: Final = 60_000  # after a loss: so long the SMSC may bring again what we have
_BACK_MS: Final = 600_000  # what it may be
_PREFIX: Final = 32  # characters of an event's id that say what is in it
_MOST_OWED: Final = 10_000
_UNDER_WAY_MS: Final = 1000  # of what was being stored when the link broke


class Inbound:
    """Reads events for the carrier `name`. `clock` gives the time in milliseconds.

    SMPP has no ids for texts from phones. An SMSC brings a text again when its answer was lost, which a broken link or
    our own end may cause: soon after such a loss the same text counts as the one before it, once.
    """

    def __init__(self, name: str, options: Options, key: bytes, clock: Callable[[], int]) -> None:
        self._name, self._options, self._key, self._clock = name, options, key, clock
        self._seen: set[str] = set()
        self._owed: dict[str, str] = {}  # by prefix: ids of texts that the SMSC was asked to bring again
        self._count = 0
        self._lost_at = clock()

    def lost(self) -> None:
        """A link broke: what was answered last may come again."""
        self._lost_at = self._clock()
        self._seen.clear()

    def again(self, event: DeliveryReport | MoMessage | MoPart) -> None:
        """The SMSC will bring this again; it may be stored all the same, so it keeps its id."""
        if isinstance(event, MoMessage) and len(self._owed) < _MOST_OWED:
            self._owed[event.event_id[:_PREFIX]] = event.event_id

    def read(self, short: Short) -> DeliveryReport | MoMessage | MoPart | None:
        """Return the event; None for a receipt that names no message."""
        if receipts.is_receipt(short, by_text=self._options.receipts_by_text):
            return self._receipt(short)
        text = texts.read(short, self._options.texts)
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
            )
        event_id, repeats = self._known_by(short, now)
        return MoMessage(
            carrier=self._name,
            event_id=event_id,
            msisdn=msisdn,
            to=to,
            at=now,
            text=texts.whole(text.text),
            repeats=repeats,
        )

    def _receipt(self, short: Short) -> DeliveryReport | None:
        receipt = receipts.read(short, self._options.ids)
        if receipt is None:
            return None
        return DeliveryReport(
            carrier=self._name,
            carrier_message_id=receipt.message_id,
            status=receipt.status,
            at=self._clock(),
            event_id=f"{receipt.message_id}-{receipt.status.value}",
            code=receipt.code,
        )

    def _known_by(self, short: Short, now: int) -> tuple[str, Repeats | None]:
        theirs = short.tlvs.get(Tag.OVH_INCOMING_ID, b"").rstrip(b"\0")
        said = (short.source.digits, short.destination.digits, str(short.data_coding), theirs.hex())
        octets = "\0".join(said).encode() + b"\0" + short.text
        prefix = hmac.digest(self._key, octets, "sha256").hex()[:_PREFIX]
        if theirs:
            return prefix, None
        if prefix in self._owed:
            return self._owed.pop(prefix), None
        self._count += 1
        event_id = f"{prefix}-{now:x}-{self._count:x}"
        if now - self._lost_at >= _SUSPECT_MS or prefix in self._seen:
            return event_id, None
        self._seen.add(prefix)
        since, until = self._lost_at - _BACK_MS, self._lost_at + _UNDER_WAY_MS
        return event_id, Repeats(prefix=f"{prefix}-", since=since, until=until)

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
