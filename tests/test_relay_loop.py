"""The loop back to people, when the store fails it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mail2sms.clock import now_ms
from mail2sms.endpoint import Endpoint
from mail2sms.errors import StoreUnavailable
from mail2sms.http import Http
from mail2sms.mailer import Mailer, SmarthostOptions
from mail2sms.relay import loop
from mail2sms.store import Bundle, NewNotice, Notice, Store
from tests.fakes import ACCOUNT


class Letters:
    """The database does not answer once; then there is nothing to tell any more."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended = asyncio.Event()

    async def email(self, notice: Notice) -> None:
        """Note which notice is asked for."""
        self.asked.append(notice.id)
        if len(self.asked) == 1:
            raise StoreUnavailable("OperationalError")
        self.ended.set()


async def test_what_could_not_be_read_is_tried_again_before_its_lease_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that restarts must not keep a reply for a minute."""
    monkeypatch.setattr(loop, "next_attempt_at", lambda attempts, now, chance: now)
    store, letters, now = await Store.open(f"sqlite:///{tmp_path}/x.db"), Letters(), now_ms()
    times = {"created_at": now, "due_at": now, "expires_at": now + 60_000}
    about = {"account": ACCOUNT, "kind": "reply", "channel": "email", "address": "marie@acme.example"}
    await store.put(Bundle(id="n-1", at=now, notices=(NewNotice(id="n-1", **about, **times),)))  # type: ignore[arg-type]
    mailer, http = Mailer(SmarthostOptions(address=Endpoint("127.0.0.1", 1))), Http()
    channels = loop.Channels(mailer=mailer, hooks={}, http=http)
    relay = loop.Relay(store, letters, channels, "node")  # type: ignore[arg-type]
    with capture_logs() as logged:
        running = asyncio.create_task(relay.run())
        async with asyncio.timeout(10):
            await letters.ended.wait()
        relay.stop()
        await running
    assert letters.asked == ["n-1", "n-1"]
    assert [(line["event"], line.get("reason")) for line in logged] == [
        ("notice_retry", "store"),
        ("notice_dropped", None),  # nothing was sent, and nothing is said to have been
    ]
    await mailer.close()
    await http.close()
    await store.close()
