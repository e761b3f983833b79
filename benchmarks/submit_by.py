"""Submits to an SMSC by one library, with so many unanswered at once, for so long: `submit_by.py NAME PORT WINDOW S`.

Each library is used as its own documents do, and given whatever makes it quicker. Prints what came of it as JSON; run
by the Python of the library's environment.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_WARM_UP_S = 0.5
_TEXT, _FROM, _TO = "Your table is booked for 20:00 tomorrow.", "ACME", "33639981234"


class Count:
    """Counts answers from the end of the warm-up until the time is over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._from_s = self._until_s = 0.0
        self.answers, self._began_s, self._cpu_s = 0, 0.0, 0.0

    def answered(self) -> bool:
        """Count one; return whether to go on."""
        now_s = time.perf_counter()
        if not self._until_s:
            self._from_s = now_s + _WARM_UP_S
            self._until_s = self._from_s + self._seconds
        if now_s < self._from_s:
            return True
        if not self._began_s:
            self._began_s, self._cpu_s = now_s, time.process_time()
        self.answers += 1
        return now_s < self._until_s

    def tell(self) -> None:
        """Print it."""
        elapsed_s, cpu_s = time.perf_counter() - self._began_s, time.process_time() - self._cpu_s
        print(json.dumps({"answers": self.answers, "elapsed_s": elapsed_s, "cpu_s": cpu_s}), flush=True)


def mail2sms(port: int, window: int, count: Count) -> None:
    """The carrier, as the dispatcher calls it, in the event loop that the daemon has."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import uvloop

    uvloop.run(_mail2sms(port, window, count))


async def _mail2sms(port: int, window: int, count: Count) -> None:
    from mail2sms import log
    from mail2sms.carriers import smpp
    from mail2sms.model import Msisdn, Part, SenderId

    log.configure("critical")
    options = smpp.Options(
        type="smpp", address=f"127.0.0.1:{port}", system_id="bench", password="bench", window=str(window)
    )
    carrier = smpp.build("bench", options, Path())

    async def record(_: object) -> None:
        """Nothing comes."""

    await carrier.start(record)
    while not carrier.room():
        await asyncio.sleep(0.01)
    expires_at = time.time_ns() // 1_000_000 + 86_400_000

    def part(number: int) -> Part:
        return Part(
            message=f"m-{number}",
            index=0,
            count=1,
            attempt_id=f"a-{number}",
            attempt=1,
            msisdn=Msisdn(f"+{_TO}"),
            sender_id=SenderId(_FROM),
            encoding="gsm7",
            segments=1,
            text=_TEXT,
            expires_at=expires_at,
        )

    parts = itertools.cycle(
        [part(number) for number in range(1000)]
    )  # the dispatcher makes them, not the carrier

    async def submit() -> None:
        while True:
            await carrier.send(next(parts))
            if not count.answered():
                return

    await asyncio.gather(*(submit() for _ in range(window)))
    count.tell()
    await carrier.stop()


def aiosmpplib(port: int, window: int, count: Count) -> None:
    """Its queue is kept filled; it has no window of its own."""
    import uvloop

    uvloop.run(_aiosmpplib(port, window, count))


async def _aiosmpplib(port: int, window: int, count: Count) -> None:
    from aiosmpplib import ESME, NPI, TON, AbstractHook, PhoneNumber, SubmitSm, SubmitSmResp

    over = asyncio.Event()

    async def submit() -> None:
        source, to = PhoneNumber(_FROM, TON.ALPHANUMERIC, NPI.UNKNOWN), PhoneNumber(_TO)
        message = SubmitSm(short_message=_TEXT, source=source, destination=to)
        await esme.broker.enqueue(message)

    class Hook(AbstractHook):  # type: ignore[misc, unused-ignore]
        async def sending(self, *_: Any) -> None:
            """Nothing to do."""

        async def received(self, message: Any, pdu: bytes, client_id: str) -> None:
            if isinstance(message, SubmitSmResp):
                if count.answered():
                    await submit()
                else:
                    over.set()

        async def send_error(self, *about: Any) -> None:
            raise SystemExit(f"aiosmpplib: {about}")

    esme = ESME("127.0.0.1", port, "bench", "bench", hook=Hook(), log_level=50)
    for _ in range(window):
        await submit()
    running = asyncio.create_task(esme.start())
    await over.wait()
    count.tell()
    await esme.stop()
    await asyncio.wait([running], timeout=2)


def smpplib(port: int, window: int, count: Count) -> None:
    """Synchronous: it sends until the window is full, then reads one answer for each that it sends."""
    import logging

    import smpplib.client
    import smpplib.consts

    logging.disable()
    client = smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True)
    client.set_message_sent_handler(lambda pdu: None)
    client.connect()
    client.bind_transceiver(system_id="bench", password="bench")
    ton = smpplib.consts

    def submit() -> None:
        client.send_message(
            source_addr_ton=ton.SMPP_TON_ALNUM,
            source_addr=_FROM,
            dest_addr_ton=ton.SMPP_TON_INTL,
            dest_addr_npi=ton.SMPP_NPI_ISDN,
            destination_addr=_TO,
            short_message=_TEXT.encode(),
            registered_delivery=True,
        )

    for _ in range(window):
        submit()
    client.read_once()
    while count.answered():
        submit()
        client.read_once()
    count.tell()


def smpp34(port: int, window: int, count: Count) -> None:
    """In Rust; awaited from so many tasks."""
    asyncio.run(_smpp34(port, window, count))


async def _smpp34(port: int, window: int, count: Count) -> None:
    import smpp34

    client = smpp34.Client("127.0.0.1", port, "bench", "bench", window_size=window)
    session = await client.connect()

    async def submit() -> None:
        while True:
            await session.submit_sm(
                _TO,
                _TEXT.encode(),
                source_addr=_FROM,
                source_addr_ton=5,
                dest_addr_ton=1,
                dest_addr_npi=1,
                registered_delivery=1,
            )
            if not count.answered():
                return

    await asyncio.gather(*(submit() for _ in range(window)))
    count.tell()
    os._exit(0)  # 1.5.0 crashes when Python ends


if __name__ == "__main__":
    name, port, window, seconds = sys.argv[1:]
    sys.path = [each for each in sys.path if Path(each or ".").resolve() != Path(__file__).resolve().parent]
    globals()[name](int(port), int(window), Count(float(seconds)))
