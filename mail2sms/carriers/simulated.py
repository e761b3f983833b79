"""The simulated carrier: phones in a file, and numbers that misbehave by their last four digits.

The phones live in a file of their own, appended to before `send` answers and never in the store's transactions: like
real phones they survive the daemon, so that file is what "nothing lost, nothing twice" is measured against. Reports
that were not yet recorded when the daemon died are sent again at the next start, as a carrier would.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mail2sms.carriers._base import Abilities, Carrier, CarrierOptions, Record
from mail2sms.carriers._picture import sunset
from mail2sms.errors import StoreUnavailable, Unavailable, Uncertain
from mail2sms.media import Mms
from mail2sms.model import DeliveryReport, MoMessage, Msisdn, Part, Photo, Status, Taken
from mail2sms.options import DurationMs

MISBEHAVIOUR = {
    "0404": "does not exist: reported undeliverable",
    "0503": "its first carrier is down: the next one takes over",
    "0408": "no delivery report ever comes",
    "0429": "throttled once, then taken",
    "0606": "answers with a photo",
    "7867": "answers STOP",
    "0000": "takes the message, closes the connection without an answer, never reports",
}
"""Numbers that misbehave, by their last four digits."""

_THROTTLE_S = _AGAIN_S = 1.0
_SILENT = frozenset({"0408", "0000"})


class Options(CarrierOptions):
    """How the simulated phones behave."""

    delay: DurationMs = 300
    """How long a phone takes to report. Example: 300ms"""
    number: str = "+33639980000"
    """What shows as sender when an API call names none. Example: +33639980000"""
    phones: str = ""
    """The phones' file, for nodes that share it; by default one beside the database."""


@dataclass(slots=True)
class Phones:
    """The phones' file: one JSON line per event, appended whole; several processes may share it.

    Lines are `shown` (a message arrived), `lost` (taken, but no such phone) and `reported` (its report was recorded).
    """

    path: Path
    _read: int = 0
    _shown: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _unreported: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, line: dict[str, Any]) -> None:
        """Write one line; it is in the page cache when this returns, so it outlives the process."""
        data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.write(handle, data) != len(data):
                raise OSError(errno.ENOSPC, "the phones' disk is full")
        finally:
            os.close(handle)

    def shown(self, msisdn: str) -> list[dict[str, Any]]:
        """Return what the phone shows, oldest first. Reads the file: not on the event loop."""
        with self._lock:
            self._catch_up()
        keys = ("id", "text", "from", "to", "parts", "at")
        shown = self._shown.get(msisdn, [])
        return [{key: line[key] for key in (*keys, *("media",) * ("media" in line))} for line in shown]

    def unreported(self) -> list[dict[str, Any]]:
        """Return the shown lines whose report is still owed. Reads the file: not on the event loop."""
        with self._lock:
            self._catch_up()
        return list(self._unreported.values())

    def _catch_up(self) -> None:
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for raw in whole.splitlines():
            with contextlib.suppress(ValueError):  # a line torn by a full disk
                self._apply(json.loads(raw))

    def _apply(self, line: dict[str, Any]) -> None:
        if "reported" in line:
            self._unreported.pop(line["reported"], None)
            return
        entry = line.get("shown") or line["lost"]
        if "shown" in line:
            self._shown.setdefault(entry["to"], []).append(entry)
        if entry["to"][-4:] not in _SILENT:
            self._unreported[entry["cid"]] = entry


class Simulated(Carrier):
    """Answers in the place of a carrier of any name."""

    window = 50
    abilities = Abilities(title="simulated phones", mms=Mms(), tested="all proofs")

    def __init__(self, name: str, options: Options, phones: Phones) -> None:
        super().__init__(name)
        self._delay_s = options.delay / 1000
        self.number = options.number
        self.phones = phones
        self._record: Record | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped: set[tuple[str, str]] = set()  # phones that have said STOP, and to which number

    async def start(self, record: Record) -> None:
        """Begin, and send again the reports that were owed."""
        self._record = record
        for entry in await asyncio.to_thread(self.phones.unreported):
            if entry["carrier"] == self.name:
                self._later(self._report(entry))

    async def send(self, part: Part) -> Taken:
        """Show the text on the phone and answer, or misbehave as the number says."""
        ending = part.msisdn[-4:]
        if part.attempt == 1 and ending == "0503":
            raise Unavailable("503", "carrier down")
        if part.attempt == 1 and ending == "0429":
            raise Unavailable("429", "throttled", retry_after_s=_THROTTLE_S, same_carrier=True)
        entry = {
            "id": part.message,
            "cid": part.attempt_id,
            "carrier": self.name,
            "text": part.text,
            "from": part.sender_id,
            "to": part.msisdn,
            "parts": part.segments,
            "at": _now(),
        }
        if part.media:
            entry["media"] = [media.url for media in part.media]
        try:
            self.phones.append({"lost" if ending == "0404" else "shown": entry})
        except OSError as e:
            raise Unavailable("disk", "the phones' file cannot be written") from e
        if ending == "0000":
            raise Uncertain("closed", "the connection closed before the answer")
        if ending not in _SILENT:
            self._later(self._report(entry))
        return Taken(carrier_message_id=part.attempt_id)

    async def probe(self) -> str:
        return "simulated: no SMS is sent"

    async def says(self, msisdn: Msisdn, to: str, text: str, photos: tuple[Photo, ...] = ()) -> str:
        """The phone writes to one of our numbers; returns the event's id after it was stored."""
        assert self._record is not None
        event_id = f"sim-{time.time_ns():x}"
        mo = MoMessage(
            carrier=self.name, event_id=event_id, msisdn=msisdn, to=to, at=_now(), text=text, photos=photos
        )
        await self._record(mo)
        return event_id

    async def stop(self) -> None:
        """Reports not yet due are owed, and sent at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _report(self, entry: dict[str, Any]) -> None:
        await asyncio.sleep(self._delay_s)
        ending = entry["to"][-4:]
        failed = ending == "0404"
        report = DeliveryReport(
            carrier=self.name,
            carrier_message_id=entry["cid"],
            status=Status.UNDELIVERABLE if failed else Status.DELIVERED,
            at=_now(),
            event_id=f"report-{entry['cid']}",
            code="unknown_subscriber" if failed else "",
            attempt_id=entry["cid"],  # it echoes our reference: a lost answer is settled by the report
        )
        await self._until_stored(report)
        photo = Photo(name="photo.png", media_type="image/png", content=sunset())
        answers = {"7867": ("STOP", ()), "0606": ("Here is the photo", (photo,))}
        if ending in answers and (entry["to"], entry["from"]) not in self._stopped:
            text, photos = answers[ending]
            if text == "STOP":  # once: nobody answers the confirmation
                self._stopped.add((entry["to"], entry["from"]))
            await self._until_stored(
                MoMessage(
                    carrier=self.name,
                    event_id=f"answer-{entry['cid']}",  # the same after a restart: repeats are dropped
                    msisdn=Msisdn(entry["to"]),
                    to=entry["from"],
                    at=_now(),
                    text=text,
                    photos=photos,
                )
            )
        self.phones.append({"reported": entry["cid"]})

    async def _until_stored(self, event: DeliveryReport | MoMessage) -> None:
        """Bring an event again until it is taken, as carriers do."""
        assert self._record is not None
        while True:
            try:
                return await self._record(event)
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_S)


def build(name: str, options: Options, folder: Path) -> Simulated:
    """Return a simulated carrier that answers under `name`; its phones live in `folder`."""
    phones = Path(options.phones) if options.phones else folder / "phones.jsonl"
    return Simulated(name, options, Phones(phones))


def _now() -> int:
    return time.time_ns() // 1_000_000
