"""The PDUs of SMPP 3.4 (issue 1.2): their values, frames and octets as we write them. Sans-I/O.

What is written keeps the lengths of the standard; reading is in `_smpp_read`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

RESPONSE: Final = 0x8000_0000
LONGEST: Final = 65_536  # octets of a PDU
LONGEST_PASSWORD, STANDARD_PASSWORD = 64, 8  # octets that we send, and that section 4.1 has room for
_SHORTEST: Final = 16
_HEADER: Final = struct.Struct(">IIII")
_TLV: Final = struct.Struct(">HH")
_LONGEST_TEXT: Final = 254  # octets in short_message


class Command(IntEnum):
    """command_id of requests; a response's has RESPONSE set. Section 5.1.2.1."""

    GENERIC_NACK = 0x8000_0000
    BIND_RECEIVER = 0x01
    BIND_TRANSMITTER = 0x02
    QUERY_SM = 0x03
    SUBMIT_SM = 0x04
    DELIVER_SM = 0x05
    UNBIND = 0x06
    REPLACE_SM = 0x07
    CANCEL_SM = 0x08
    BIND_TRANSCEIVER = 0x09
    OUTBIND = 0x0B
    ENQUIRE_LINK = 0x15
    SUBMIT_MULTI = 0x21
    ALERT_NOTIFICATION = 0x102
    DATA_SM = 0x103


class Tag(IntEnum):
    """Optional parameters that we read or write. Section 5.3.2."""

    RECEIPTED_MESSAGE_ID = 0x001E
    USER_MESSAGE_REFERENCE = 0x0204
    DESTINATION_PORT = 0x020B
    SAR_REFERENCE = 0x020C
    SAR_TOTAL = 0x020E
    SAR_NUMBER = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    MESSAGE_STATE = 0x0427
    OVH_INCOMING_ID = 0x1402


# Statuses by which we answer; what theirs mean is in `_smpp_status`.
OK: Final = 0x00
INVALID_LENGTH: Final = 0x01  # of the text
INVALID_COMMAND_LENGTH: Final = 0x02
INVALID_COMMAND: Final = 0x03
WRONG_STATE: Final = 0x04
SYSTEM_ERROR: Final = 0x08
INVALID_SOURCE: Final = 0x0A
INVALID_DESTINATION: Final = 0x0B
INVALID_SERVICE_TYPE: Final = 0x15
INVALID_SCHEDULE: Final = 0x61
INVALID_EXPIRY: Final = 0x62
TRY_AGAIN: Final = 0x64  # ESME_RX_T_APPN
INVALID_PARAMETERS: Final = 0xC0

TLVs = Mapping[int, bytes]


class OutOfStep(ValueError):
    """A length that no PDU has: nobody knows where the next one begins."""


@dataclass(frozen=True, slots=True)
class Address:
    """Type of number, numbering plan, digits or name."""

    ton: int
    npi: int
    digits: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Short:
    """The body of submit_sm, deliver_sm and data_sm: `text` are octets, of short_message or message_payload."""

    source: Address
    destination: Address
    text: bytes = field(default=b"", repr=False)
    esm_class: int = 0
    data_coding: int = 0
    registered_delivery: int = 0
    service_type: str = ""
    validity: str = ""
    tlvs: TLVs = field(default_factory=dict, repr=False)


def pdu(command: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    """Return a whole PDU."""
    return _HEADER.pack(16 + len(body), command, status, sequence) + body


def answer(command: int, sequence: int, status: int, body: bytes = b"") -> bytes:
    """Return the response to a request; generic_nack to a command that has none."""
    return pdu(command | RESPONSE, sequence, body if status == OK else b"", status)


class Frames:
    """Cuts a stream into PDUs."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield what is whole by now: command, status, sequence, body. Raises OutOfStep at an impossible length."""
        buffer, start = self._rest + data if self._rest else data, 0
        size = len(buffer)
        while size - start >= _SHORTEST:
            length, command, status, sequence = _HEADER.unpack_from(buffer, start)
            if not _SHORTEST <= length <= LONGEST:
                raise OutOfStep(length)
            end = start + length
            if size < end:
                break
            yield command, status, sequence, buffer[start + _SHORTEST : end]
            start = end
        self._rest = buffer[start:]


def string(text: str, most: int) -> bytes:
    """Return a C-octet string of at most so many octets with its NUL. Raises ValueError."""
    octets = text.encode("latin-1", "replace")
    if len(octets) >= most or b"\0" in octets:
        raise ValueError(f"at most {most - 1} octets")
    return octets + b"\0"


def holds_password(password: str) -> bool:
    """Whether a bind carries it as it is."""
    is_latin = all("\0" < character <= "\xff" for character in password)
    return is_latin and len(password) <= LONGEST_PASSWORD


def bind(system_id: str, password: str, system_type: str = "") -> bytes:
    """Return the body of any bind. The password may be longer than the standard's 8 octets: many SMSCs take that."""
    names = string(system_id, 16) + string(password, LONGEST_PASSWORD + 1) + string(system_type, 13)
    return names + b"\x34\0\0\0"


def address(of: Address) -> bytes:
    """Return an address as PDUs hold it."""
    return bytes((of.ton, of.npi)) + string(of.digits, 21)


def submit_sm(
    addresses: bytes,
    text: bytes,
    *,
    service_type: bytes = b"\0",
    esm_class: int = 0,
    data_coding: int = 0,
    registered_delivery: int = 0,
    validity: bytes = b"\0",
    tlvs: TLVs,
) -> bytes:
    """Return the body of submit_sm from octets: source and destination, and strings with their NUL.

    A text beyond 254 octets goes as message_payload.
    """
    if len(text) > _LONGEST_TEXT:
        tlvs, text = {**tlvs, Tag.MESSAGE_PAYLOAD: text}, b""
    flags = bytes((registered_delivery, 0, data_coding, 0, len(text)))
    body = b"%b%b%c\0\0\0%b%b%b" % (service_type, addresses, esm_class, validity, flags, text)
    return body + parameters(tlvs) if tlvs else body


def submit(short: Short) -> bytes:
    """Return the body of submit_sm or deliver_sm."""
    return submit_sm(
        address(short.source) + address(short.destination),
        short.text,
        service_type=string(short.service_type, 6),
        esm_class=short.esm_class,
        data_coding=short.data_coding,
        registered_delivery=short.registered_delivery,
        validity=string(short.validity, 17),
        tlvs=short.tlvs,
    )


def query(message_id: str, source: Address) -> bytes:
    """Return the body of query_sm."""
    return string(message_id, 65) + address(source)


def cancel(message_id: str, source: Address, destination: Address) -> bytes:
    """Return the body of cancel_sm of one message."""
    return b"\0" + query(message_id, source) + address(destination)


def message_id(id_: str) -> bytes:
    """Return the body of submit_sm_resp and deliver_sm_resp."""
    return string(id_, 65)


def parameters(tlvs: TLVs) -> bytes:
    """Return optional parameters."""
    return b"".join(_TLV.pack(tag, len(value)) + value for tag, value in tlvs.items())
