"""A part as the body of a submit_sm: addresses, text, header, validity. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from mail2sms import segments
from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers import _smpp_text as texts
from mail2sms.carriers._smpp_options import Options
from mail2sms.carriers._smpp_pdu import Address, Tag
from mail2sms.carriers._smpp_text import Long
from mail2sms.carriers._udh import Segment
from mail2sms.model import Part

_RECEIPTS: Final = {"all": 1, "failures": 2, "none": 0}
_LONGEST_VALIDITY_S: Final = 63 * 86_400
_DAYS_OF_MONTH: Final = 30
_SHORT_CODE: Final = 8  # digits at most
_WITH_HEADER: Final = (Long.UDH8, Long.UDH16)


def address(ton_npi: str, digits: str) -> Address:
    """Return an address of a type as the options have it."""
    ton, _, npi = ton_npi.partition("/")
    return Address(int(ton), int(npi), digits)


@lru_cache(maxsize=4096)
def _octets(ton_npi: str, digits: str) -> bytes:
    return wire.address(address(ton_npi, digits))


class Writer:
    """Writes submits as agreed with one SMSC."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._long, self._alphabet = options.parts, options.texts
        self._receipts = _RECEIPTS[options.receipts]
        self._service_type = wire.string(options.service_type, 6)

    def split(self, text: str) -> tuple[str, ...]:
        """Return one text for each segment, or the whole one where the SMSC makes them."""
        if self._long is Long.PAYLOAD:
            return (text,)
        encoded = segments.encoding(text)
        if not texts.is_default(text, encoded, self._alphabet):
            encoded = segments.Encoding.UCS2
        found = segments.split(text, encoded=encoded, has_long_header=self._long is Long.UDH16)
        return tuple(segment.text for segment in found)

    def body(self, part: Part, now: int) -> bytes:
        """Return the body for a part. Raises ValueError for what can't be written."""
        header, tlvs = b"", dict[int, bytes]()
        if part.count > 1:
            segment = Segment(part.reference, part.count, part.index + 1)
            if self._long in _WITH_HEADER:
                header = texts.header(self._long, segment)
            else:
                tlvs = texts.sar(segment)
        if texts.is_default(part.text, part.encoding, self._alphabet):
            coding, octets = self._options.data_coding, texts.encode(part.text, self._alphabet, len(header))
        else:
            coding, octets = texts.UNICODE, texts.encode_unicode(part.text)
        if self._long is Long.PAYLOAD and part.segments > 1:
            tlvs, octets = {Tag.MESSAGE_PAYLOAD: octets}, b""
        return wire.submit_sm(
            self._sender(part.sender_id) + _octets(self._options.phone, part.msisdn.removeprefix("+")),
            header + octets,
            service_type=self._service_type,
            esm_class=texts.UDHI if header else 0,
            data_coding=coding,
            registered_delivery=self._receipts,
            validity=self._validity(part.expires_at, now),
            tlvs=tlvs,
        )

    def sender(self, sender_id: str) -> Address:
        """Return a sender ID as an address."""
        return address(*self._typed(sender_id))

    def phone(self, msisdn: str) -> Address:
        """Return a phone as an address."""
        return address(self._options.phone, msisdn.removeprefix("+"))

    def _sender(self, sender_id: str) -> bytes:
        return _octets(*self._typed(sender_id))

    def _typed(self, sender_id: str) -> tuple[str, str]:
        options = self._options
        if sender_id.startswith("+"):
            return options.number, sender_id[1:]
        is_code = sender_id.isdigit() and len(sender_id) <= _SHORT_CODE
        return options.short_code if is_code else options.name, sender_id

    def _validity(self, expires_at: int, now: int) -> bytes:
        how = self._options.validity
        if how == "none" or not expires_at:
            return b"\0"
        left_s = min(max(1, (expires_at - now) // 1000), _LONGEST_VALIDITY_S)
        return _relative(left_s) if how == "relative" else _absolute(now // 1000 + left_s)


@lru_cache(maxsize=4096)
def _relative(left_s: int) -> bytes:
    """Section 7.1.1; days and months are counted so that no field is beyond what a calendar has."""
    days, rest = divmod(left_s, 86_400)
    months, days = divmod(days, _DAYS_OF_MONTH)
    text = f"00{months:02}{days:02}{rest // 3600:02}{rest // 60 % 60:02}{rest % 60:02}000R"
    return wire.string(text, 17)


def _absolute(at_s: int) -> bytes:
    return wire.string(f"{datetime.fromtimestamp(at_s, tz=UTC):%y%m%d%H%M%S}000+", 17)
