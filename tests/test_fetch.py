"""What came with an MMS, from a provider's webhook to the email: fetched, tried again, or given up and told.

The provider is a server on this machine, named by `api`; what comes from elsewhere is refused by `tests/proofs/media`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from mail2sms import carriers, fetch
from mail2sms.carriers._base import Call, Carrier
from mail2sms.carriers._picture import sunset
from mail2sms.clock import now_ms
from mail2sms.errors import FetchFailed
from mail2sms.fetch import Fetch
from mail2sms.inbound import Inbound
from mail2sms.relay.house import House
from mail2sms.relay.letters import Letters
from mail2sms.render import Render
from mail2sms.store import NoticeClaim, Store
from tests.carriers.signing import proven
from tests.fakes import ACCOUNT, OURS, PHONE
from tests.test_http import serving

ACCOUNT_SID = "AC00000000000000000000000000000001"
EVENTS = "https://sms.acme.example/events/tw"


@dataclass(slots=True)
class Provider:
    """Answers what its paths say, and remembers who asked with which credentials."""

    answers: dict[str, list[bytes]] = field(default_factory=dict)
    asked: list[tuple[str, bool]] = field(default_factory=list)

    async def peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; the last answer of a path is given again and again."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            self.asked.append((path, "authorization: basic" in head.lower()))
            left = self.answers[path]
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
        writer.close()


def found(body: bytes, *more: str) -> bytes:
    """Return a whole answer."""
    head = "".join(f"{line}\r\n" for line in more)
    return f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def status(code: int, *more: str) -> bytes:
    """Return an answer without a body."""
    return "\r\n".join([f"HTTP/1.1 {code} X", *more, "Content-Length: 0", "", ""]).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """A store, a carrier whose API is the provider, the door in, and the loop that fetches."""

    store: Store
    carrier: Carrier
    provider: Provider
    url: str
    inbound: Inbound

    async def texts(self, *paths: str) -> None:
        """A phone sends an MMS with files at these paths."""
        form = {
            "SmsStatus": "received",
            "MessageSid": "MM" + "0" * 32,
            "From": PHONE,
            "To": OURS,
            "Body": "Look",
        }
        form |= {
            f"MediaUrl{n}": path if "://" in path else f"{self.url}{path}" for n, path in enumerate(paths)
        }
        call = Call(body=urlencode(form).encode(), at=now_ms(), ip="192.0.2.1")
        options = {"account": ACCOUNT_SID, "token": "synthetic-auth-token-0001"}
        for event in self.carrier.events(proven("twilio", call, options, EVENTS)):
            await self.inbound.record(event)

    async def email(self) -> Message:
        """Return the email that tells of it, once it is due."""
        async with asyncio.timeout(20):
            while not (notices := await self.store.claim_notices(_CLAIM(now_ms()))):
                await asyncio.sleep(0.01)
        house = House(
            country="FR", domain=ACCOUNT, template_mailbox="sms", language="en", zone="UTC", users={}
        )
        made = await Letters(self.store, house, Render()).email(notices[0])
        assert made is not None
        return message_from_bytes(made.content)


def _CLAIM(now: int) -> NoticeClaim:  # noqa: N802
    return NoticeClaim(channel="email", owner="node", now=now, lease_ms=60_000, limit=1)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Everything between the provider and the email; tries follow one another at once."""
    monkeypatch.setattr(fetch, "_FIRST_PAUSE_MS", 1)
    provider = Provider()
    store = await Store.open(f"sqlite:///{tmp_path}/x.db")
    async with serving(provider.peer) as url:
        module = carriers.load("twilio")
        given = {"type": "twilio", "account": ACCOUNT_SID, "token": "synthetic-auth-token-0001", "api": url}
        carrier = module.build("tw", module.Options.model_validate(given), tmp_path)
        carrier.events_url = EVENTS
        loop = Fetch(store, {"tw": carrier}, ACCOUNT, 100_000)
        running = asyncio.create_task(loop.run())
        yield World(
            store=store,
            carrier=carrier,
            provider=provider,
            url=url,
            inbound=Inbound(store, ACCOUNT, {OURS: "marie@acme.example"}, "", 1000),
        )
        loop.stop()
        await running
        await carrier.stop()
    await store.close()


def files(email: Message) -> list[tuple[str, str | None, bytes]]:
    """Return what is attached: type, name and content."""
    return [
        (part.get_content_type(), part.get_filename(), part.get_payload(decode=True))  # type: ignore[misc]
        for part in email.walk()
        if part.get_content_disposition() == "attachment"
    ]


def words(email: Message) -> str:
    """Return the plain text."""
    plain = next(part for part in email.walk() if part.get_content_type() == "text/plain")
    return bytes(plain.get_payload(decode=True)).decode().replace("\r\n", "\n")  # type: ignore[arg-type]


async def test_a_photo_reaches_the_email(world: World) -> None:
    """Fetched with the account's credentials, and attached as what it is."""
    world.provider.answers = {"/1": [found(sunset(), "Content-Type: text/html")]}
    await world.texts("/1")
    email = await world.email()
    assert files(email) == [("image/png", "photo-1.png", sunset())]
    assert words(email).startswith("Look\n\n[1 photo attached]")
    assert world.provider.asked == [("/1", True)]


async def test_what_is_not_there_yet_is_tried_again(world: World) -> None:
    """A provider's bad minute loses no photo."""
    world.provider.answers = {"/1": [status(503), status(404 + 25), status(500), found(sunset())]}
    await world.texts("/1")
    assert len(files(await world.email())) == 1
    assert len(world.provider.asked) == 4


@pytest.mark.parametrize(
    "answer",
    [
        status(404),
        status(401),
        found(b"<html>not a photo</html>"),
        found(b""),
        found(sunset() + bytes(100_000)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"ffff\r\n"
        + sunset()[:4]
        + bytes(65_531)
        + b"\r\n"
        + b"ffff\r\n"
        + bytes(65_535)
        + b"\r\n0\r\n\r\n",
        status(302, "Location: https://127.0.0.1/x"),
        status(302, "Location: http://169.254.169.254/latest/meta-data"),
        status(302, "Location: file:///etc/passwd"),
        status(302),
    ],
    ids=[
        "gone",
        "forbidden",
        "html",
        "nothing",
        "large",
        "large-in-chunks",
        "us",
        "metadata",
        "file",
        "nowhere",
    ],
)
async def test_what_cannot_be_had_is_told(world: World, answer: bytes) -> None:
    """The text comes with the good file, and says that the other is missing."""
    world.provider.answers = {"/1": [answer], "/2": [found(sunset())]}
    await world.texts("/1", "/2")
    email = await world.email()
    assert len(files(email)) == 1
    assert "1 file that came with this SMS could not be fetched" in words(email)
    assert [path for path, _ in world.provider.asked].count("/1") <= 4


async def test_a_file_may_come_after_its_webhook(world: World) -> None:
    """It is not there at first, and then it is."""
    world.provider.answers = {"/1": [status(404), status(404), found(sunset())]}
    await world.texts("/1")
    assert len(files(await world.email())) == 1


async def test_a_redirect_of_the_provider_is_followed_without_credentials_elsewhere(world: World) -> None:
    """Twilio's media are behind one."""
    world.provider.answers = {"/1": [status(307, "Location: /2")], "/2": [found(sunset())]}
    await world.texts("/1")
    assert len(files(await world.email())) == 1
    assert world.provider.asked == [("/1", True), ("/2", True)]


async def test_somebody_elses_server_is_not_asked(world: World) -> None:
    """Whatever stands in the webhook: it was the phone that chose what it says."""
    other = Provider(answers={"/1": [found(sunset())]})
    async with serving(other.peer) as url:
        await world.texts(f"{url}/1", "https://evil.example/1", "http://api.twilio.com/1")
        email = await world.email()
    assert other.asked == []
    assert files(email) == []
    assert "3 files" in words(email)


async def test_a_carrier_that_is_gone_has_no_files(world: World, tmp_path: Path) -> None:
    """Nobody else has its credentials."""
    wanted = await _tried(world, {}, now_ms())
    assert wanted == ("unsupported", None)


async def test_a_file_is_given_up_after_half_an_hour(world: World) -> None:
    """Until then each try waits longer than the one before."""

    class Never(Carrier):
        async def send(self, part: Any) -> Any:
            """Nothing is sent."""

        async def fetch(self, url: str, limit_bytes: int) -> Any:
            """Nothing is there."""
            raise FetchFailed("unavailable")

    assert (await _tried(world, {"tw": Never("tw")}, now_ms() + 60_000))[1] is not None
    assert (await _tried(world, {"tw": Never("tw")}, now_ms()))[1] is None


async def _tried(world: World, known: dict[str, Carrier], expires_at: int) -> tuple[str, int | None]:
    from mail2sms.store import Wanted

    wanted = Wanted(
        id="r-1-1", mo="r-1", carrier="tw", attempts=1, expires_at=expires_at, url="https://a.example"
    )
    fetched = await Fetch(world.store, known, ACCOUNT, 1000)._tried(wanted)
    return fetched.why, fetched.due_at
