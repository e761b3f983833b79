"""What happens in the demo, as server-sent events: one look at the store serves every page that is open.

Events are `message` (a message's status changed), `mail` (an email came) and `sent` (one was handed over); the page
then asks for what it shows.
Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from mail2sms.errors import StoreUnavailable
from mail2sms.store import Search, Store
from mail2sms.store.views import find
from mail2sms.web.inbox import DemoInbox

STREAMS = 20
_LOOK_S, _COMMENT_S = 0.25, 15.0
_KEPT = 256  # events that a page which was away gets later
_WATCHED = 50  # messages, the newest
_AGAIN_MS = 1000

HEADERS = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}


class Feed:
    """The events of one account. Looks only while somebody listens."""

    def __init__(self, store: Store, account: str, inbox: DemoInbox) -> None:
        self._store = store
        self._account = account
        self._inbox = inbox
        self._run = secrets.token_hex(4)
        self._last = 0
        self._kept: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._known: dict[str, int] | None = None
        self._mails = 0
        self._sent = 0
        self._wakes: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        """Whether there are as many streams as there may be."""
        return self._is_closed or len(self._wakes) >= STREAMS

    def close(self) -> None:
        """End all streams."""
        self._is_closed = True
        self._wake()

    async def stream(self, last_id: str) -> AsyncIterator[str]:
        """Yield where we are, then what comes; first what came since `last_id`, as far as that is kept."""
        wake = asyncio.Event()
        self._wakes.add(wake)
        try:
            await self._begin()
            told = self._resumed(last_id)
            yield f"retry: {_AGAIN_MS}\n" + self._event("hello", {}, told)
            while not self._is_closed:
                for number, event in self._since(told):
                    told = number
                    yield event
                if not await _rings(wake):
                    yield ": still here\n\n"
        finally:
            self._wakes.discard(wake)
            if not self._wakes and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def _since(self, told: int) -> list[tuple[int, str]]:
        return [each for each in self._kept if each[0] > told]

    def _resumed(self, last_id: str) -> int:
        """Return after which event to go on; a stranger's id, or one of an earlier start, is as good as none."""
        run, _, number = last_id.partition("-")
        is_ours = run == self._run and number.isascii() and number.isdigit() and len(number) < 19
        return min(int(number), self._last) if is_ours else self._last

    async def _begin(self) -> None:
        if self._looking is None:
            self._looking = asyncio.create_task(self._follow())
            if self._known is None:
                await self._look()

    async def _follow(self) -> None:
        while not self._is_closed:
            await asyncio.sleep(_LOOK_S)
            await self._look()

    async def _look(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # asked again soon
            found = await self._store.read(find, self._account, Search(limit=_WATCHED))
            before = self._known
            self._known = {view.id: view.updated_at for view in found}
            changed = [
                view for view in found if before is not None and before.get(view.id) != view.updated_at
            ]
            for view in reversed(changed):
                self._add("message", {"id": view.id, "status": view.status, "to": view.to})
            for facts in self._new_mails(is_first=before is None):
                self._add("mail", facts)
            self._tell_sent(is_first=before is None)

    def _new_mails(self, *, is_first: bool) -> Iterator[dict[str, Any]]:
        for mail in self._inbox:
            if mail.n > self._mails:
                self._mails = mail.n
                if not is_first:
                    yield {"n": mail.n, "kind": mail.kind}

    def _tell_sent(self, *, is_first: bool) -> None:
        """One event for all since the last look."""
        if self._sent != self._inbox.sent.count:
            self._sent = self._inbox.sent.count
            if not is_first:
                self._add("sent", {})

    def _add(self, name: str, facts: dict[str, Any]) -> None:
        self._last += 1
        self._kept.append((self._last, self._event(name, facts, self._last)))
        self._wake()

    def _event(self, name: str, facts: dict[str, Any], number: int) -> str:
        return f"event: {name}\nid: {self._run}-{number}\ndata: {json.dumps(facts)}\n\n"

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()


async def _rings(wake: asyncio.Event) -> bool:
    """Wait for something to tell; False: it is time for a sign of life."""
    try:
        async with asyncio.timeout(_COMMENT_S):
            await wake.wait()
    except TimeoutError:
        return False
    wake.clear()
    return True
