"""Reads the bodies of SMPP PDUs, strictly inside their bounds. Sans-I/O.

Strings may be longer than the standard allows, never without a bound: SMSCs do that. What can't be read names the
status that it is answered by.
"""

from __future__ import annotations

import struct
from typing import Final

from mail2sms.carriers._smpp_pdu import (
    INVALID_DESTINATION,
    INVALID_EXPIRY,
    INVALID_LENGTH,
    INVALID_PARAMETERS,
    INVALID_SCHEDULE,
    INVALID_SERVICE_TYPE,
    INVALID_SOURCE,
    Address,
    Short,
    Tag,
    TLVs,
)

_TLV: Final = struct.Struct(">HH")
_LONGEST: Final = 65  # octets of a string with its NUL: message ids have that in the standard, addresses 21
_MOST_TLVS: Final = 256
_NONE: Final[TLVs] = {}


class Malformed(ValueError):
    """A body that can't be read; `status` is what its sender is told."""

    def __init__(self, status: int) -> None:
        super().__init__(f"malformed: {status:#x}")
        self.status = status


class Reader:
    """Reads a body from its start; raises Malformed for what is cut short or too long."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def octet(self, status: int = INVALID_LENGTH) -> int:
        """Return the next octet."""
        if self._at >= len(self._body):
            raise Malformed(status)
        self._at += 1
        return self._body[self._at - 1]

    def string(self, status: int = INVALID_LENGTH, most: int = _LONGEST) -> str:
        """Return the next C-octet string of at most so many octets with its NUL."""
        end = self._body.find(b"\0", self._at, self._at + most)
        if end < 0:
            raise Malformed(status)
        text = self._body[self._at : end].decode("latin-1")
        self._at = end + 1
        return text

    def octets(self, count: int, status: int = INVALID_LENGTH) -> bytes:
        """Return so many octets."""
        octets = self._body[self._at : self._at + count]
        if len(octets) < count:
            raise Malformed(status)
        self._at += count
        return octets

    def address(self, status: int) -> Address:
        """Return the next address."""
        ton, npi = self.octet(status), self.octet(status)
        return Address(ton, npi, self.string(status))

    def rest(self) -> TLVs:
        """Return the optional parameters: the first of each tag counts."""
        if self._at == len(self._body):
            return _NONE
        found: dict[int, bytes] = {}
        while self._at < len(self._body):
            tag, length = _TLV.unpack(self.octets(_TLV.size, INVALID_PARAMETERS))
            found.setdefault(tag, self.octets(length, INVALID_PARAMETERS))
            if len(found) > _MOST_TLVS:
                raise Malformed(INVALID_PARAMETERS)
        return found


def read_short(body: bytes) -> Short:
    """Return a submit_sm or deliver_sm. Raises Malformed."""
    read = Reader(body)
    service_type = read.string(INVALID_SERVICE_TYPE)
    source, destination = read.address(INVALID_SOURCE), read.address(INVALID_DESTINATION)
    esm_class, _, _ = read.octets(3)
    read.string(INVALID_SCHEDULE)
    validity = read.string(INVALID_EXPIRY)
    registered_delivery, _, data_coding, _ = read.octets(4)
    text = read.octets(read.octet())
    tlvs = read.rest()
    return Short(
        source=source,
        destination=destination,
        text=text or tlvs.get(Tag.MESSAGE_PAYLOAD, b""),
        esm_class=esm_class,
        data_coding=data_coding,
        registered_delivery=registered_delivery,
        service_type=service_type,
        validity=validity,
        tlvs=tlvs,
    )


def read_data(body: bytes) -> Short:
    """Return a data_sm, whose text is in message_payload. Raises Malformed."""
    read = Reader(body)
    service_type = read.string(INVALID_SERVICE_TYPE)
    source, destination = read.address(INVALID_SOURCE), read.address(INVALID_DESTINATION)
    esm_class, registered_delivery, data_coding = read.octets(3)
    tlvs = read.rest()
    return Short(
        source=source,
        destination=destination,
        text=tlvs.get(Tag.MESSAGE_PAYLOAD, b""),
        esm_class=esm_class,
        data_coding=data_coding,
        registered_delivery=registered_delivery,
        service_type=service_type,
        tlvs=tlvs,
    )


def read_message_id(body: bytes) -> str:
    """Return the id in a submit_sm_resp; empty where an SMSC left it out, or left out its NUL."""
    return body.partition(b"\0")[0][: _LONGEST - 1].decode("latin-1")
