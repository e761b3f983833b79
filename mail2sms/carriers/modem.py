"""A GSM modem with a SIM card, through gammu in a process of its own: sends parts, reads what came, then deletes it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mail2sms import segments
from mail2sms.carriers import _modem_open as modems
from mail2sms.carriers import _modem_trace as traces
from mail2sms.carriers import _udh
from mail2sms.carriers._base import Abilities, Carrier, Record
from mail2sms.carriers._modem_inbound import Inbound
from mail2sms.carriers._modem_line import GONE, TIMEOUT, Line, OrderFailed
from mail2sms.carriers._modem_link import Link
from mail2sms.carriers._modem_memory import Memory
from mail2sms.carriers._modem_open import Seen
from mail2sms.carriers._modem_options import Options
from mail2sms.carriers._modem_reader import Reader
from mail2sms.clock import now_ms
from mail2sms.errors import BadOption, SendFailed, Unavailable, Uncertain
from mail2sms.model import Part, Taken

__all__ = ["Modem", "Options", "build"]

_DAY_M, _LONGEST_M = 1440, 30 * 1440  # minutes


class Modem(Carrier):
    """One modem."""

    probe_s = 18.0  # gammu asks some twenty questions
    window = 1  # it takes one part after the other, and alarms go first
    abilities = Abilities(title="GSM modem", senders="the SIM card's number", tested="gammu, AT commands")

    def __init__(self, name: str, options: Options, folder: Path) -> None:
        super().__init__(name)
        self._options, self._folder = options, folder
        self.reports = options.report
        self._link: Link | None = None
        self._inbound: Inbound | None = None

    def split(self, text: str) -> tuple[str, ...]:
        return tuple(segment.text for segment in segments.split(text))

    def room(self) -> int:
        return 0 if self._link is not None and self._link.is_returning else self.window

    def is_back(self) -> bool:
        return self._link is not None and self._link.is_back()

    async def start(self, record: Record) -> None:
        """Open it in the background. Raises BadOption when the PIN can't be had, or nothing can be kept."""
        pin, memory = await asyncio.to_thread(self._prepare)
        self._inbound = Inbound(self.name, self._options.number, memory.key())
        self._link = Link(self.name, self._options, pin, memory, Reader(self.name, self._inbound, record))

    def _prepare(self) -> tuple[str, Memory]:
        pin = self._options.pin.reveal() if self._options.pin is not None else ""
        if pin and not (pin.isascii() and pin.isdigit() and 4 <= len(pin) <= 8):
            raise BadOption("pin: a PIN has four to eight digits", "it was not tried")
        try:
            memory = Memory(self._folder, self.name)
            memory.key()
        except OSError as e:
            raise BadOption(f"{self._folder}: nothing can be kept there ({e.strerror})") from e
        return pin, memory

    async def send(self, part: Part) -> Taken:
        """Hand over one part: in doubt from when its last byte may have left until the modem has told its fate."""
        link, inbound = self._link, self._inbound
        if link is None or inbound is None:
            raise Unavailable("stopped", "the modem is not open")
        async with link.turn:
            line, seen = link.line, link.seen
            if line is None or seen is None:
                raise type(link.why)(link.why.code, link.why.detail)
            self.reports = seen.reports
            try:
                return await self._sent(part, line, seen, inbound, is_trusted=link.is_trusted)
            except SendFailed as failed:
                is_doubt = isinstance(failed, Uncertain)
                if is_doubt:
                    inbound.doubtful(part.msisdn, part.attempt_id, now_ms())
                if is_doubt or failed.code in (TIMEOUT, GONE) or failed.code.startswith("ERR_"):
                    await link.drop(line, failed)  # it did not say clearly what happened: it is started anew
                raise

    async def _sent(self, part: Part, line: Line, seen: Seen, inbound: Inbound, *, is_trusted: bool) -> Taken:
        try:
            answer = await line.ask("send", self._options.timeout / 1000, **self._order(part, seen))
        except OrderFailed as e:
            raise traces.failure(line.trace(), e.word, is_trusted=is_trusted) from None
        reference = int(answer["reference"])
        if reference < 0:  # OK alone: it may be the answer to something else
            raise Uncertain("no_reference", "the modem did not say whether it was sent")
        return Taken(carrier_message_id=inbound.taken(reference, part.msisdn, now_ms()))

    def _order(self, part: Part, seen: Seen) -> dict[str, Any]:
        is_joined = part.count > 1
        header = _udh.header(_udh.Segment(part.reference, part.count, part.index + 1)) if is_joined else b""
        return {
            "number": part.msisdn,
            "text": part.text,
            "is_unicode": part.encoding != segments.Encoding.GSM7,
            "header": header.hex(),
            "centre": seen.centre,
            "validity": _validity(part.expires_at, now_ms()),
            "reports": self._options.report,
        }

    async def probe(self) -> str:
        """Open it as the daemon does. Raises BadOption with what to do."""
        pin, memory = await asyncio.to_thread(self._prepare)
        try:
            line, seen = await modems.opened(self._options, pin, memory)
        except SendFailed as e:
            if e.code == "busy" and (said := memory.seen()):
                return f"the daemon has {self._options.device}: {said}"
            raise modems.advice(self._options, e) from None
        await line.close()
        if not seen.is_registered:
            raise BadOption(f"{self._options.device}: {seen}", "is its antenna there? is the SIM active?")
        return f"{self._options.device}: {seen}"

    async def stop(self) -> None:
        """End the process; what was under way has been answered."""
        if self._link is not None:
            await self._link.stop()


def _validity(expires_at: int, now: int) -> str:
    """Return until when the centre tries, as gammu wants it: at least five minutes, at most thirty days."""
    left_m = (expires_at - now) // 60_000 if expires_at else _DAY_M * 3
    return f"{min(max(5, left_m), _LONGEST_M)}M"


def build(name: str, options: Options, folder: Path) -> Modem:
    """Return the carrier; in `folder` it keeps which PIN was refused."""
    return Modem(name, options, folder)
