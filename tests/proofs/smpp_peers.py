"""SMPP beside those who wrote it independently: node-smpp, smpp34, smpplib and Kannel read us, and we read them.

Usage: smpp-peers [PEER ...]. Peers: node, smpp34, smpplib, kannel; each is fetched on first use, Kannel must be
installed. `node`, `smpp34`: our carrier sends texts of all kinds to their SMSC, which tells what it read. `smpplib`:
ten thousand PDUs, written by one and read by the other. `kannel`: its bearerbox drives the SMSC of our tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from benchmarks import installs
from benchmarks.installs import CannotInstall
from mail2sms import log, segments
from mail2sms.carriers import _gsm, smpp
from mail2sms.carriers._base import CarrierEvent
from mail2sms.errors import SendFailed
from mail2sms.model import DeliveryReport, MoMessage, Msisdn, Part, SenderId, Status, Taken
from tests.servers import free_port
from tests.servers.kannel import Kannel
from tests.servers.smsc import Smsc, written

_SERVERS = Path(__file__).resolve().parents[1] / "servers"
_TEXTS = ("Bonjour", "{[€]} ~^|\\ @£$ àéù ÄÖÜß", "Дa 😀 漢字", "a" * 400, "я" * 150, "😀" * 80)
_WITHIN_S = 15.0
_TO = "+33639981234"


@dataclass(slots=True)
class Figures:
    """What was compared, and what differed."""

    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, theirs: object, ours: object) -> None:
        """Compare one thing."""
        self.compared += 1
        if theirs != ours:
            self.wrong.append(f"{what}: {theirs!r} is not {ours!r}"[:300])

    @property
    def is_kept(self) -> bool:
        """Whether all was the same."""
        return self.compared > 0 and not self.wrong

    def __str__(self) -> str:
        return f"{self.compared} compared, {len(self.wrong)} differ"


def parts(carrier: smpp.Smpp, text: str, number: int) -> list[Part]:
    """Return a text as the dispatcher hands it over."""
    pieces, encoding = carrier.split(text), segments.encoding(text)
    return [
        Part(
            message=f"m-{number}",
            index=index,
            count=len(pieces),
            attempt_id=f"a-{number}-{index}",
            attempt=1,
            msisdn=Msisdn(_TO),
            sender_id=SenderId("ACME"),
            encoding=encoding,
            segments=segments.count(text) if len(pieces) == 1 else 1,
            text=piece,
            reference=number,
        )
        for index, piece in enumerate(pieces)
    ]


async def send_all(carrier: smpp.Smpp, texts: Sequence[str]) -> list[tuple[Part, Taken | SendFailed]]:
    """Send texts part by part, throttled ones again."""
    ended: list[tuple[Part, Taken | SendFailed]] = []
    for number, text in enumerate(texts, 1):
        for part in parts(carrier, text, number):
            outcome: Taken | SendFailed
            for _ in range(3):
                try:
                    outcome = await carrier.send(part)
                    break
                except SendFailed as failure:
                    outcome = failure
            ended.append((part, outcome))
    return ended


@contextlib.asynccontextmanager
async def told_by(*command: str, env: dict[str, str] | None = None) -> AsyncIterator[tuple[int, list[Any]]]:
    """Run an SMSC that prints its port, then a JSON line for each thing that happens; give both."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env={**os.environ, **(env or {})}
    )
    assert process.stdout is not None
    port, lines = int(await process.stdout.readline()), list[Any]()

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            lines.append(json.loads(line))

    reading = asyncio.create_task(read())
    try:
        yield port, lines
    finally:
        reading.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def until(condition: Callable[[], object], within_s: float = _WITHIN_S) -> None:
    """Wait until something is so, or for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def carrier_at(port: int, **more: Any) -> AsyncIterator[tuple[smpp.Smpp, list[CarrierEvent]]]:
    """Run our carrier, bound there."""
    events: list[CarrierEvent] = []

    async def record(event: CarrierEvent) -> None:
        events.append(event)

    options = smpp.Options(
        type="smpp", address=f"127.0.0.1:{port}", system_id="acme", password="s3cret", **more
    )
    carrier = smpp.build("peer", options, Path())
    await carrier.start(record)
    await until(carrier.room)
    try:
        yield carrier, events
    finally:
        await carrier.stop()


async def _node(figures: Figures) -> None:
    node = which("node")
    if node is None:
        raise CannotInstall("there is no node")
    installs.installed_node("smpp")
    env = {"NODE_PATH": str(installs.folder() / "node" / "node_modules")}
    for long in ("udh8", "udh16", "sar", "payload"):
        async with told_by(node, str(_SERVERS / "node_smsc.js"), env=env) as (port, told):
            async with carrier_at(port, long=long, message_ids="hex-in-answers") as (carrier, events):
                ended = await send_all(carrier, _TEXTS)
                wanted = 2 * len(ended)
                await until(lambda count=wanted: len(events) >= count)
            await until(lambda: any("unbind" in line for line in told))
        read = [line for line in told if "text" in line]
        figures.same(f"{long}: texts", [line["text"] for line in read], [part.text for part, _ in ended])
        figures.same(
            f"{long}: addresses",
            [(*line["from"], *line["to"]) for line in read],
            [(5, 0, "ACME", 1, 1, _TO[1:])] * len(ended),
        )
        for (part, _), line in zip(ended, read, strict=False):
            if part.count > 1:
                figures.same(
                    f"{long}: segment",
                    _segment(long, line),
                    (part.reference & 0xFF, part.count, part.index + 1),
                )
        ids = [outcome.carrier_message_id for _, outcome in ended if isinstance(outcome, Taken)]
        figures.same(f"{long}: ids", ids, [str(int(line["id"], 16)) for line in read])
        reports = [event for event in events if isinstance(event, DeliveryReport)]
        figures.same(f"{long}: receipts", sorted(r.carrier_message_id for r in reports), sorted(ids))
        figures.same(f"{long}: delivered", {r.status for r in reports}, {Status.DELIVERED})
        mos = {event.text for event in events if isinstance(event, MoMessage)}
        figures.same(f"{long}: replies", mos, {f"Да 😀 {n}" for n in range(2, len(ended) + 2)})
        figures.same(
            f"{long}: answers",
            {v for line in told for k, v in line.items() if k in ("receipt", "reply", "enquired")},
            {0},
        )
        figures.same(f"{long}: unbind", told[-1], {"unbind": True})


def _segment(long: str, line: dict[str, Any]) -> tuple[int, int, int] | None:
    if long == "sar":
        ref, total, number = line["sar"]
        return ref, total, number
    header = bytes.fromhex(line["udh"][0]) if line["udh"] else b""
    return (header[-3], header[-2], header[-1]) if len(header) >= 5 else None


_SMPP34 = """
import asyncio, json, sys, smpp34

async def serve(port):
    server = smpp34.Server("127.0.0.1", port, system_id="smpp34")
    await server.start()
    print(port, flush=True)
    number = 0
    while True:
        event = await server.next()
        if isinstance(event, smpp34.SubmitSmEvent):
            number += 1
            print(json.dumps({"text": event.short_message.hex(), "esm": event.esm_class, "coding": event.data_coding,
                "from": event.source_addr, "to": event.destination_addr}), flush=True)
            event.accept(f"id-{number}")

asyncio.run(serve(int(sys.argv[1])))
"""


async def _smpp34(figures: Figures) -> None:
    python = str(installs.installed("smpp34") / "python")
    async with (
        told_by(python, "-c", _SMPP34, str(free_port())) as (port, told),
        carrier_at(port) as (carrier, _),
    ):
        ended = await send_all(carrier, _TEXTS)
        await until(lambda: len(told) >= len(ended))
    figures.same("taken", {type(outcome) for _, outcome in ended}, {Taken})
    for (part, _), line in zip(ended, told, strict=True):
        octets = bytes.fromhex(line["text"])[6 if line["esm"] & 0x40 else 0 :]
        text = octets.decode("utf-16-be") if line["coding"] == 8 else _gsm.decode(octets)
        figures.same("text", text, part.text)
        figures.same("addresses", (line["from"], line["to"]), ("ACME", _TO[1:]))


_SMPPLIB = """
import json, sys
from smpplib import client, command, consts, smpp
class Quiet:
    def next_sequence(self): return 1
    sequence = 1
for line in sys.stdin:
    asked = json.loads(line)
    if "hex" in asked:
        raw = bytes.fromhex(asked["hex"])
        pdu = smpp.parse_pdu(raw, client=Quiet(), allow_unknown_opt_params=True)
        told = {"from": pdu.source_addr, "to": pdu.destination_addr, "text": pdu.short_message or b"",
            "payload": pdu.message_payload, "esm": pdu.esm_class, "coding": pdu.data_coding,
            "validity": pdu.validity_period}
        told = {k: (v.hex() if isinstance(v, bytes) else v) for k, v in told.items()}
    else:
        fields = {k: bytes.fromhex(v) if k == "short_message" else v for k, v in asked.items()}
        pdu = smpp.make_pdu("deliver_sm", client=Quiet(), **fields)
        told = {"hex": pdu.generate().hex()}
    print(json.dumps(told), flush=True)
"""


async def _smpplib(figures: Figures, count: int = 10_000) -> None:
    python = str(installs.installed("smpplib") / "python")
    chance = random.Random(1)  # the same every time
    asked, expected = _smpplib_questions(count, chance)
    done = subprocess.run(
        [python, "-c", _SMPPLIB],
        input="\n".join(map(json.dumps, asked)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        figures.wrong.append(done.stderr[-300:])
    for line, want in zip(done.stdout.splitlines(), expected, strict=False):
        told = json.loads(line)
        figures.same("fields", _read_back(told["hex"]) if "hex" in told else told, want)
    figures.same("answers", len(done.stdout.splitlines()), count)


def _smpplib_questions(
    count: int, chance: random.Random
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from mail2sms.carriers import _smpp_pdu as wire

    asked: list[dict[str, Any]] = []
    expected: list[dict[str, Any]] = []
    for number in range(count):
        source, to = str(chance.randrange(10**11)), str(chance.randrange(10**12))
        text = chance.randbytes(chance.choice((0, 1, 70, 140, 254)))
        esm, coding = chance.choice((0, 4, 0x40)), chance.choice((0, 3, 8))
        if number % 2:
            fields = {"source_addr": source, "destination_addr": to, "esm_class": esm, "data_coding": coding}
            asked.append({**fields, "short_message": text.hex()})
            expected.append({"from": source, "to": to, "text": text.hex(), "esm": esm, "coding": coding})
            continue
        long = text * 3 if number % 4 else text
        short = wire.Short(
            source=wire.Address(1, 1, source),
            destination=wire.Address(1, 1, to),
            text=long,
            esm_class=esm,
            data_coding=coding,
            validity="000002000000000R",
        )
        asked.append({"hex": wire.pdu(wire.Command.SUBMIT_SM, number + 1, wire.submit(short)).hex()})
        is_long = len(long) > 254
        expected.append(
            {
                "from": source.encode().hex(),
                "to": to.encode().hex(),
                "text": "" if is_long else long.hex(),
                "payload": long.hex() if is_long else None,
                "esm": esm,
                "coding": coding,
                "validity": b"000002000000000R".hex(),
            }
        )
    return asked, expected


def _read_back(octets: str) -> dict[str, Any]:
    from mail2sms.carriers import _smpp_pdu as wire
    from mail2sms.carriers._smpp_read import read_short

    ((_, _, _, body),) = wire.Frames().feed(bytes.fromhex(octets))
    short = read_short(body)
    return {
        "from": short.source.digits,
        "to": short.destination.digits,
        "text": short.text.hex(),
        "esm": short.esm_class,
        "coding": short.data_coding,
    }


async def _kannel(figures: Figures) -> None:
    calls: list[str] = []

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        calls.append(line)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    ours = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Smsc(password="s3cret").started() as smsc:
        try:
            boxes = Kannel(smsc.port, replies=f"{ours}/mo")
        except pytest.skip.Exception as e:
            raise CannotInstall(str(e)) from None
        await asyncio.to_thread(boxes.start)
        try:
            await until(lambda: smsc.binds)
            await _drive(figures, smsc, boxes.port, f"{ours}/dlr", calls)
        finally:
            await asyncio.to_thread(boxes.close)


async def _drive(figures: Figures, smsc: Smsc, port: int, reports: str, calls: list[str]) -> None:
    texts = [f"Hello {n} @£$ {{}}" for n in range(20)] + ["a" * 400]
    for number, text in enumerate(texts):
        report = f"{reports}?n={number}&kind=%d"
        fields = {
            "username": "u",
            "password": "p",
            "from": "ACME",
            "to": _TO,
            "text": text,
            "charset": "UTF-8",
        }
        fields |= {"dlr-mask": "31", "dlr-url": report, "coding": "0"}
        url = f"http://127.0.0.1:{port}/cgi-bin/sendsms?{urllib.parse.urlencode(fields)}"
        answer = await asyncio.to_thread(lambda to=url: urllib.request.urlopen(to, timeout=10).status)
        figures.same("sendsms", answer, 202)
    await until(lambda: len(smsc.taken) >= 23)
    await until(lambda: sum("/dlr" in call and "kind=1" in call for call in calls) >= 21)
    alone = [taken.short for taken in smsc.taken if not taken.short.esm_class & 0x40]
    figures.same("texts", sorted(_gsm.decode(short.text) for short in alone), sorted(texts[:20]))
    joined = "".join(_gsm.decode(t.short.text[6:]) for t in smsc.taken if t.short.esm_class & 0x40)
    figures.same("long text", joined, texts[20])
    delivered = {int(call.partition("n=")[2].partition("&")[0]) for call in calls if "kind=1" in call}
    figures.same("receipts", delivered, set(range(21)))
    figures.same("reply", await smsc.deliver(written(b"Yes I come", to="38600")), 0)
    await until(lambda: any(call.startswith("/mo") for call in calls))
    mo = next((call for call in calls if call.startswith("/mo")), "")
    figures.same("reply", urllib.parse.parse_qs(mo.partition("?")[2]).get("text"), ["Yes I come"])
    figures.same("enquire_link", await smsc.peers[0].ask(0x15, b""), 0)


PEERS: dict[str, Callable[[Figures], Coroutine[Any, Any, None]]] = {
    "node": _node,
    "smpp34": _smpp34,
    "smpplib": _smpplib,
    "kannel": _kannel,
}


def main(argv: list[str]) -> int:
    """Compare with the peers asked for, or all; 0 when nothing differed and none was missing."""
    unknown = set(argv) - PEERS.keys()
    if unknown:
        print(
            f"there is no peer {', '.join(sorted(unknown))}; there are: {', '.join(PEERS)}", file=sys.stderr
        )
        return 64
    log.configure("critical")
    is_proven = True
    for name in argv or PEERS:
        figures = Figures()
        try:
            asyncio.run(PEERS[name](figures))
        except CannotInstall as e:
            print(f"{name}: left out: {e}")
            is_proven = False
            continue
        print(f"{name}: {figures}{'' if figures.is_kept else ': NOT AS IT MUST BE'}", flush=True)
        for each in figures.wrong[:10]:
            print(f"    {each}")
        is_proven &= figures.is_kept
    return 0 if is_proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
