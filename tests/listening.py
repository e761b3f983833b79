"""A listener on loopback with a handler that keeps what it gets, and clients that say exactly what they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mail2sms.endpoint import Endpoint
from mail2sms.intake.envelope import Client, Envelope, ListenerOptions
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.listener import Listener, listen

HOST = "sms.acme.example"
GREETING = f"220 {HOST} ESMTP mail2sms"
STRANGER = "127.0.0.9"
BEGIN = b"MAIL FROM:<marie@acme.example>\r\nRCPT TO:<33639981234@sms.acme.example>\r\n"
MAIL = b"From: marie@acme.example\r\nSubject: x\r\n\r\nBonjour\r\n"


class Desk:
    """A handler that keeps what it gets. `replies` are given in turn, then 250."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.asked: list[str] = []
        self.replies: list[str | Exception] = []
        self.gate: asyncio.Event | None = None
        self.waiting = asyncio.Semaphore(0)
        self.begun: list[tuple[Client, bool]] = []
        self.stranger = "550 5.7.1 not here"

    def begin(self, client: Client, *, offers_login: bool) -> str | None:
        self.begun.append((client, offers_login))
        return self.stranger if client.ip == STRANGER and client.login is None else None

    def rcpt(self, client: Client, address: str) -> str | Awaitable[str | None] | None:
        self.asked.append(address)
        if address.startswith("later-"):
            return self.rcpt_later(client, address.removeprefix("later-"))
        if address.startswith("crash@"):
            raise RuntimeError(address)
        return "550 5.1.1 no such address" if address.startswith("no@") else None

    async def rcpt_later(self, client: Client, address: str) -> str | None:
        await asyncio.sleep(0)
        verdict = self.rcpt(client, address)
        assert verdict is None or isinstance(verdict, str)
        return verdict

    async def login(self, client: Client, name: str, password: str) -> bool:
        if name == "crash":
            raise RuntimeError(password)
        return (name, password) in {("marie@acme.example", "tr0mpette"), ("paul@acme.example", "clé")}

    async def mail(self, envelope: Envelope) -> tuple[str, ...]:
        if self.gate is not None:
            self.waiting.release()
            await self.gate.wait()
        self.mails.append(envelope)
        reply = self.replies.pop(0) if self.replies else f"250 2.0.0 m-{len(self.mails)}"
        if isinstance(reply, Exception):
            raise reply
        return envelope.each(reply)


class Caller:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def reply(self) -> str:
        """Return the next whole reply, its lines joined by newlines; empty at the end of the connection."""
        lines: list[str] = []
        async with asyncio.timeout(10):
            while not lines or lines[-1][3:4] == "-":
                line = (await self.reader.readline()).decode()
                if not line:
                    break
                lines.append(line.removesuffix("\r\n"))
        return "\n".join(lines)

    async def say(self, data: str | bytes) -> str:
        """Send a command (text gets its CRLF, bytes go as they are) and return the reply."""
        self.writer.write(data if isinstance(data, bytes) else data.encode() + b"\r\n")
        return await self.reply()

    async def replies(self, data: bytes) -> list[str]:
        """Send bytes, and return all replies until the listener closes."""
        self.writer.write(data)
        found: list[str] = []
        while reply := await self.reply():
            found.append(reply)
        return found

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS, as far as EHLO."""
        await self.say("EHLO me")
        assert await self.say("STARTTLS") == "220 2.0.0 ready to start TLS"
        await self.writer.start_tls(context, server_hostname="localhost")
        assert await self.say("MAIL FROM:<a@b.example>") == "503 5.5.1 EHLO first"

    async def start_mail(self) -> None:
        """Go as far as the 354."""
        assert (await self.say("EHLO me")).endswith("250 ENHANCEDSTATUSCODES")
        assert await self.say("MAIL FROM:<marie@acme.example>") == "250 2.1.0 OK"
        assert await self.say("RCPT TO:<33639981234@sms.acme.example>") == "250 2.1.5 OK"
        assert (await self.say("DATA")).startswith("354 ")


class Place:
    """A running listener and its clients."""

    def __init__(self, listener: Listener, desk: Desk) -> None:
        self.listener, self.desk = listener, desk
        self.callers: list[Caller] = []

    @property
    def port(self) -> int:
        return self.listener.addresses[0].port

    async def call(self, ip: str = "127.0.0.1", greeting: str = GREETING) -> Caller:
        """Connect and hear the greeting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(ip, 0))
        caller = Caller(reader, writer)
        self.callers.append(caller)
        if greeting:
            assert await caller.reply() == greeting
        return caller


@asynccontextmanager
async def running(
    limits: Limits | None = None,
    exempt: Callable[[str], bool] = lambda ip: False,
    budget: Budget | None = None,
    **options: object,
) -> AsyncIterator[Place]:
    """A listener on loopback; at the end everything that it took of the budget must be given back."""
    is_shared, budget = budget is not None, budget or Budget(limits or Limits())
    desk = Desk()
    chosen = ListenerOptions(hostname=HOST, **options)  # type: ignore[arg-type]
    listener = await listen(Endpoint("127.0.0.1", 0), chosen, budget, desk, exempt)
    place = Place(listener, desk)
    try:
        yield place
    finally:
        await listener.stop(1)
        for caller in place.callers:
            caller.writer.close()
            with contextlib.suppress(OSError):
                await caller.writer.wait_closed()
    assert is_shared or (budget.connections, budget.bytes_in_flight) == (0, 0)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "chain.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", chain], check=True, capture_output=True)
    return chain, key


@pytest.fixture
def context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """The listener's side of TLS."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(*certificate)
    return made


@pytest.fixture
def client_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """A client that trusts it."""
    made = ssl.create_default_context(cafile=str(certificate[0]))
    made.check_hostname = False
    return made
