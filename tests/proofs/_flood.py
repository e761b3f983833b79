"""Many clients at once: slow ones that hold their place, honest ones between them, and more mail than there is room."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.proofs._doors import DOMAIN, PHONE, WRITER

_PATIENCE_S = 60
_MAIL_HEAD = (
    f"From: {WRITER}\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain\r\n\r\nBonjour\r\n--b\r\nContent-Type: application/octet-stream\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n"
).encode()
_LINE = b"A" * 76 + b"\r\n"
_END = b"\r\n--b--\r\n.\r\n"


def may_open(connections: int) -> None:
    """Let this process have so many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 500
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def address(number: int) -> str:
    """Return one of the many addresses of this machine."""
    return f"127.{1 + number // 60_000}.{number // 250 % 240}.{number % 250 + 1}"


@dataclass(slots=True)
class Client:
    """One connection, from an address of its own."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: str
    greeted_s: float

    async def reply(self) -> str:
        """Return the last line of the next reply; empty at the end of the connection."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                line = b" -  "
                while line[3:4] == b"-" or line == b" -  ":
                    line = await self.reader.readline()
        except (OSError, TimeoutError):
            return ""
        return line.decode("latin-1").strip()

    async def say(self, words: str) -> str:
        """Send a command and return the reply."""
        self.writer.write(f"{words}\r\n".encode())
        return await self.reply()


async def call(port: int, number: int) -> Client:
    """Connect, and hear what is said first, and after how long."""
    begun_s = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address(number), 0))
    client = Client(reader, writer, "", 0.0)
    client.greeting = await client.reply()
    client.greeted_s = time.monotonic() - begun_s
    return client


async def hang_up(clients: Sequence[Client]) -> None:
    """Close all."""
    for client in clients:
        client.writer.close()
    for client in clients:
        with contextlib.suppress(OSError):
            await client.writer.wait_closed()


async def _send(port: int, number: int, text: str) -> tuple[str, float]:
    """Send one honest mail; return the reply and how long all of it took."""
    begun_s = time.monotonic()
    client = await call(port, number)
    said = client.greeting
    for words in (
        "EHLO me", f"MAIL FROM:<{WRITER}>", f"RCPT TO:<{PHONE}@{DOMAIN}>", "DATA",
        f"From: {WRITER}\r\nMessage-ID: <{text}@acme.example>\r\nSubject: x\r\n\r\n{text}\r\n.",
    ):  # fmt: skip
        if said[:1] not in {"2", "3"}:
            break
        said = await client.say(words)
    took_s = time.monotonic() - begun_s
    await hang_up([client])
    return said, took_s


@dataclass(kw_only=True, slots=True)
class Slow:
    """What honest mail met between slow connections."""

    held: int
    codes: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    rss_mb: float = 0.0

    @property
    def p99_s(self) -> float:
        """How long all but one in a hundred took at most."""
        return sorted(self.waits_s)[int(len(self.waits_s) * 0.99)] if self.waits_s else float("inf")


async def slow(port: int, connections: int, mails: int, pause_s: float, rss_mb: Callable[[], float]) -> Slow:
    """Hold so many connections open at a byte a second, and send honest mails one after the other meanwhile."""
    clients = [await call(port, number) for number in range(connections)]
    for client in clients:
        client.writer.write(b"EHLO me\r\n")
    found = Slow(held=sum(client.greeting.startswith("220") for client in clients))

    async def drip() -> None:
        while True:
            for client in clients:
                client.writer.write(b"x")
            await asyncio.sleep(1)

    dripping = asyncio.create_task(drip())
    for number in range(mails):
        said, took_s = await _send(port, 100_000 + number % 50, f"honest {number}")
        found.codes[said[:3]] += 1
        found.waits_s.append(took_s)
        if number % 20 == 0:
            found.rss_mb = max(found.rss_mb, rss_mb())
        await asyncio.sleep(pause_s)
    dripping.cancel()
    found.held = min(found.held, sum(not client.reader.at_eof() for client in clients))
    await hang_up(clients)
    return found


@dataclass(kw_only=True, slots=True)
class Full:
    """What became of many mails that came at once: the codes after their ends, and the most memory meanwhile."""

    codes: Counter[str] = field(default_factory=Counter)
    rss_mb: float = 0.0


async def full(port: int, connections: int, size_bytes: int, rss_mb: Callable[[], float]) -> Full:
    """Send so many large mails side by side, all but their ends, and then those."""
    found = Full()
    clients = [await call(port, number) for number in range(connections)]
    for client in clients:
        for words in ("EHLO me", f"MAIL FROM:<{WRITER}>", f"RCPT TO:<{PHONE}@{DOMAIN}>", "DATA"):
            said = await client.say(words)
        assert said[:3] == "354", said
        client.writer.write(_MAIL_HEAD)
    pieces = max(1, (size_bytes - len(_MAIL_HEAD)) // (500 * len(_LINE)))
    for _ in range(pieces):  # side by side: each has a part of its mail in
        for client in clients:
            client.writer.write(_LINE * 500)
            await client.writer.drain()
        found.rss_mb = max(found.rss_mb, rss_mb())
    for client in clients:
        client.writer.write(_END)
    replies = asyncio.gather(*(client.reply() for client in clients))
    while not replies.done():
        found.rss_mb = max(found.rss_mb, rss_mb())
        await asyncio.wait([replies], timeout=0.2)
    found.codes.update(said[:3] for said in await replies)
    await hang_up(clients)
    return found


@dataclass(kw_only=True, slots=True)
class Excess:
    """What more connections than there may be were told first, and after how long the last of the refused knew."""

    codes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0


async def excess(port: int, connections: int) -> Excess:
    """Open so many, each from its own address, and keep them."""
    found = Excess()
    clients = [await call(port, number) for number in range(connections)]
    for client in clients:
        found.codes[client.greeting[:3]] += 1
        if client.greeting.startswith("421"):
            found.longest_s = max(found.longest_s, client.greeted_s)
    await hang_up(clients)
    return found
