"""What lay in a modem's memory, as events: texts, parts of long ones, status reports. Pure.

Sources: 3GPP TS 23.040 sections 9.2.2.1 (deliver), 9.2.2.3 (status report) and 9.2.3.15 (TP-Status).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mail2sms import ids
from mail2sms.carriers import _udh
from mail2sms.carriers._base import CarrierEvent
from mail2sms.heard import MoPart
from mail2sms.model import DeliveryReport, MoMessage, Msisdn, Status

_EXPIRED: Final = 0x46
_ENDED, _RESERVED = 0x40, 0x80
_DAY_MS: Final = 86_400_000
_MOST_SENT: Final = 5000  # ids whose times are remembered
_ZONES_MS, _MOST_AHEAD_MS = 900_000, 15 * 3_600_000  # zones differ by quarters of an hour
_DIGITS: Final = 8  # at the end of a number: with or without its country, they are the same


def status_of(tp_status: int) -> Status:
    """Return what a TP-Status says; 1 to 1F: the centre is done with it, and does not know that it arrived."""
    if tp_status == 0:
        return Status.DELIVERED
    if tp_status >= _RESERVED:
        return Status.UNKNOWN
    if tp_status < _ENDED:
        return Status.ENROUTE
    return Status.EXPIRED if tp_status == _EXPIRED else Status.UNDELIVERABLE


def message_id(reference: int, number: str) -> str:
    """Return how a part is known that a modem took: by TP-MR, which comes again after 256 parts, and the phone.

    Of the number, 16 bits of a digest: ids stand in logs, and so many phones have the same that they name none.
    """
    digits = "".join(filter(str.isdigit, number))[-_DIGITS:]
    return f"{reference}-{hashlib.sha256(digits.encode()).hexdigest()[:4]}"


class Sent:
    """When parts were taken, by their ids, so that a report tells which of several: its clock knows no time zone."""

    def __init__(self) -> None:
        self._times: dict[str, list[int]] = {}
        self._ahead_ms = 0  # the centre's clock

    def note(self, id_: str, now: int) -> None:
        """A part was taken."""
        self._times[id_] = [*self._times.pop(id_, []), now]
        if len(self._times) > _MOST_SENT:
            del self._times[next(iter(self._times))]

    def when(self, id_: str, stamp: str) -> int | None:
        """Return when a part was sent that has this TP-SCTS; None where it can't be told.

        Parts whose id was given once show how clocks and zones differ.
        """
        try:
            at = datetime.fromisoformat(stamp)
        except ValueError:
            return None
        at_ms = int(at.replace(tzinfo=UTC).timestamp() * 1000)
        times = self._times.get(id_, [])
        if len(times) == 1 and abs(at_ms - times[0]) < _MOST_AHEAD_MS:
            self._ahead_ms = round((at_ms - times[0]) / _ZONES_MS) * _ZONES_MS
        return at_ms - self._ahead_ms


class Inbound:
    """Reads for the carrier `name`, whose SIM has the number `to`. `key` is for the ids of texts."""

    def __init__(self, name: str, to: str, key: bytes) -> None:
        self._name, self._to, self._key = name, to, key
        self._sent = Sent()
        self._doubts: dict[str, tuple[str, int]] = {}  # by phone: our id of the attempt, "" of several; when

    def taken(self, reference: int, number: str, now: int) -> str:
        """Return the id of a part that the modem took."""
        id_ = message_id(reference, number)
        self._sent.note(id_, now)
        return id_

    def doubtful(self, number: str, attempt_id: str, now: int) -> None:
        """A part may have been sent: a report of the phone that is of no other part settles it, if it is alone."""
        phone = message_id(0, number)
        _, before = self._doubts.pop(phone, ("", now - _DAY_MS))
        self._doubts[phone] = (attempt_id if now - before >= _DAY_MS else "", now)
        if len(self._doubts) > _MOST_SENT:
            del self._doubts[next(iter(self._doubts))]

    def read(self, item: Mapping[str, Any], now: int) -> CarrierEvent | None:
        """Return the event; None for what is for no person: a notice for a program, or a text of the SIM's own."""
        if item["type"] == "Status_Report":
            return self.report(item, now)
        if item["type"] != "Deliver":
            return None
        _, elements, _ = _udh.apart(bytes.fromhex(item["header"]))
        if _udh.is_for_program(elements, is_octets=not item["text"]):
            return None
        text = bytes.fromhex(item["octets"]).decode("latin-1") or item["text"]
        msisdn, segment = Msisdn(item["number"]), _udh.segment_in(elements)
        if segment is not None:
            return MoPart(
                carrier=self._name,
                msisdn=msisdn,
                to=self._to,
                at=now,
                reference=segment.reference,
                total=segment.total,
                number=segment.number,
                text=text,
                event_id=item["at"],
            )
        said = "\0".join((item["number"], item["at"], item["header"], text))
        event_id = ids.keyed(self._key, said.encode("utf-8", "surrogatepass")).hex()[:32]
        return MoMessage(
            carrier=self._name,
            event_id=event_id,
            msisdn=msisdn,
            to=self._to,
            at=now,
            text=_udh.whole(text),
        )

    def report(self, item: Mapping[str, Any], now: int) -> DeliveryReport:
        """Return a status report: of the part to this phone with this TP-MR that was sent at about its time."""
        id_, status = message_id(item["reference"], item["number"]), status_of(item["status"])
        return DeliveryReport(
            carrier=self._name,
            carrier_message_id=id_,
            status=status,
            at=now,
            event_id=f"{id_}-{item['at']}-{item['status']}",
            code="" if status is Status.DELIVERED else f"ST-{item['status']:02X}",
            attempt_id=self._doubts.get(message_id(0, item["number"]), ("", 0))[0] or None,
            sent_at=self._sent.when(id_, item["at"]),
        )
