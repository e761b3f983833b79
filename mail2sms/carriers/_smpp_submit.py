"""A part as a submit_sm: addresses, text, header, validity. Pure."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

from mail2sms import segments
from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers import _smpp_text as texts
from mail2sms.carriers._smpp_options import Options
from mail2sms.carriers._smpp_pdu import Address, Short, Tag
from mail2sms.carriers._smpp_text import Long
from mail2sms.model import Part

_RECEIPTS: Final = {"all": 1, "failures": 2, "none": 0}
_LONGEST_VALIDITY_S: Final = 63 * 86_400
_DAYS_OF_MONTH: Final = 30
_SHORT_CODE: Final = 8  # digits at most


@lru_cache(maxsize=4096)
def _address(ton_npi: str, digits: str) -> Address:
    ton, _, npi = ton_npi.partition("/")
    return Address(int(ton), int(npi), digits)


def split(text: str, options: Options) -> tuple[str, ...]:
    """Return one text for each segment, or the whole one where the SMSC makes them."""
    how = options.parts
    if how is Long.PAYLOAD:
        return (text,)
    encoded = segments.encoding(text)
    if not texts.is_default(text, encoded, options.texts):
        encoded = segments.Encoding.UCS2
    found = segments.split(text, encoded=encoded, has_long_header=how is Long.UDH16)
    return tuple(segment.text for segment in found)


def body(part: Part, options: Options, now: int) -> bytes:
    """Return the body of a submit_sm. Raises ValueError for what can't be written."""
    how, is_part = options.parts, part.count > 1
    segment = texts.Segment(part.reference, part.count, part.index + 1)
    header = texts.header(how, segment) if is_part and how in (Long.UDH8, Long.UDH16) else b""
    tlvs = texts.sar(segment) if is_part and how is Long.SAR else {}
    is_whole = how is Long.PAYLOAD and part.segments > 1
    if texts.is_default(part.text, part.encoding, options.texts):
        coding, octets = options.data_coding, texts.encode(part.text, options.texts, len(header))
    else:
        coding, octets = texts.UNICODE, texts.encode_unicode(part.text)
    return wire.submit(
        Short(
            source=sender(part.sender_id, options),
            destination=_address(options.phone, part.msisdn.removeprefix("+")),
            text=b"" if is_whole else header + octets,
            esm_class=texts.UDHI if header else 0,
            data_coding=coding,
            registered_delivery=_RECEIPTS[options.receipts],
            service_type=options.service_type,
            validity=_validity(part.expires_at - now, now, options) if part.expires_at else "",
            tlvs={Tag.MESSAGE_PAYLOAD: octets} if is_whole else tlvs,
        )
    )


def sender(sender_id: str, options: Options) -> Address:
    """Return a sender ID as an address."""
    if sender_id.startswith("+"):
        return _address(options.number, sender_id[1:])
    is_code = sender_id.isdigit() and len(sender_id) <= _SHORT_CODE
    return _address(options.short_code if is_code else options.name, sender_id)


def _validity(left: int, now: int, options: Options) -> str:
    if options.validity == "none":
        return ""
    left_s = min(max(1, left // 1000), _LONGEST_VALIDITY_S)
    if options.validity == "absolute":
        at = time.gmtime(now // 1000 + left_s)
        return time.strftime("%y%m%d%H%M%S", at) + "000+"
    days, rest = divmod(left_s, 86_400)
    months, days = divmod(days, _DAYS_OF_MONTH)
    return f"00{months:02}{days:02}{rest // 3600:02}{rest // 60 % 60:02}{rest % 60:02}000R"
