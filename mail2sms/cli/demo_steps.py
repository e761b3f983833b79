"""What happens in the demo, step by step, as the terminal shows it: read from the store and from the demo inbox.

Knows how a step reads, not where it is printed. Everything here is simulated, so texts and numbers are shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mail2sms import numbers
from mail2sms.cli.show import coding, count, number, printable
from mail2sms.model import Msisdn
from mail2sms.store import EventView, MessageView, MoView, Search, Store
from mail2sms.store.mo_views import read_mo
from mail2sms.store.views import find, read_one
from mail2sms.web.inbox import DemoInbox, DemoMail

_POLL_S = 0.4
_FOLLOWED = 500  # messages, the newest

_ID_WIDTH = 19
_HIDDEN = frozenset({"sending"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing that happened. `facts` are for programs, `text` for people; `message` is an id or nothing."""

    at: int
    event: str
    message: str
    text: str
    facts: dict[str, str | int] = field(default_factory=dict)

    @property
    def moment(self) -> datetime:
        """When it was, in UTC."""
        return datetime.fromtimestamp(self.at / 1000, UTC)

    def as_line(self, columns: int) -> str:
        """Return the step for people, with the time of this place; the message's id where that leaves room enough."""
        event = self.event.replace("_", " ").replace("sms in", "SMS in")
        line = f"{self.moment.astimezone():%H:%M:%S}  {event:13}  {self.text}"
        width = columns - _ID_WIDTH
        has_id = self.message.startswith("m-") and len(line) < width  # other ids are good for nothing here
        return f"{line:{width}}{self.message}" if has_id else line


class Steps:
    """Follows one account from now on and says each step once."""

    def __init__(self, store: Store, account: str, inbox: DemoInbox, since: int) -> None:
        self._store = store
        self._account = account
        self._inbox = inbox
        self._since = since
        self._told: dict[str, tuple[int, int]] = {}  # message -> when it changed, how many events were told
        self._mails = max((mail.n for mail in inbox), default=0)

    async def follow(self, say: Callable[[Step], None]) -> None:
        """Say what happens until cancelled. Raises StoreUnavailable."""
        while True:
            for step in await self.new():
                say(step)
            await asyncio.sleep(_POLL_S)

    async def new(self) -> list[Step]:
        """Return what happened since the last call, in order."""
        steps: list[Step] = []
        search = Search(since=self._since, limit=_FOLLOWED)
        for found in reversed(await self._store.read(find, self._account, search)):
            updated_at, _ = self._told.get(found.id, (0, 0))
            view = None
            if found.updated_at != updated_at or found.id not in self._told:
                view = await self._store.read(read_one, self._account, found.id)
            if view is not None:
                steps += self._of_message(view)
        for mail in self._inbox:
            if mail.n > self._mails:
                self._mails = mail.n
                mo = await self._store.read(read_mo, mail.about, mail.to) if mail.kind == "reply" else None
                steps += of_mail(mail, mo)
        return sorted(steps, key=lambda step: step.at)

    def _of_message(self, view: MessageView) -> Iterator[Step]:
        _, told = self._told.get(view.id, (0, 0))
        self._told[view.id] = (view.updated_at, len(view.events))
        if not told:
            yield from of_arrival(view)
        for event in view.events[max(told, 1) :]:
            if event.status not in _HIDDEN:
                yield of_event(view, event)


def of_arrival(view: MessageView) -> Iterator[Step]:
    """Yield the email, if it was one, that it was accepted, and where it goes."""
    to = number(view.to)
    if view.message_id is not None and "@" in view.writer:
        subject = f'  "{printable(view.subject)}"' if view.subject else ""
        yield Step(
            at=view.created_at,
            event="email",
            message=view.id,
            text=f"{printable(view.writer)} -> {to}{subject}",
            facts={"from": view.writer, "to": view.to, "subject": view.subject},
        )
    size = f"{count(len(view.text), 'character')}, {coding(view.encoding)}, {count(view.parts, 'part')}"
    left = [f"{each.kind} left out" for each in view.left_out]
    cost = [f"cost {view.cost} (simulated)"] if view.cost else []
    yield Step(
        at=view.created_at,
        event="accepted",
        message=view.id,
        text=f"{to}  {', '.join([size, *left, *cost])}",
        facts={
            "to": view.to,
            "parts": view.parts,
            "cost": str(view.cost or ""),
            "encoding": view.encoding,
            "text": view.text,
        },
    )
    region = numbers.region(Msisdn(view.to))
    yield Step(
        at=view.created_at,
        event="routed",
        message=view.id,
        text=f"{to}  {region} -> {', else '.join(view.route)}  as {number(view.sender_id)}",
        facts={"to": view.to, "region": region, "carrier": view.carrier, "sender_id": view.sender_id},
    )


def of_event(view: MessageView, event: EventView) -> Step:
    """Return what a change of a message's status says."""
    said = [event.carrier, event.reason, event.detail]
    if event.status == "delivered":
        said = [f"after {(event.at - view.created_at) / 1000:.1f} s"]
    facts: dict[str, str | int] = {
        "to": view.to,
        "carrier": event.carrier,
        "reason": event.reason,
        "detail": event.detail,
    }
    text = "  ".join([number(view.to), *filter(None, said)])
    return Step(at=event.at, event=event.status, message=view.id, text=printable(text), facts=facts)


def of_mail(mail: DemoMail, mo: MoView | None) -> Iterator[Step]:
    """Yield what a phone wrote, if the mail is about that, and the mail itself."""
    if mo is not None:
        photos = f"  and {count(len(mo.photos), 'photo')}" if mo.photos else ""
        yield Step(
            at=mo.at,
            event="sms_in",
            message=mo.id,
            text=f'{number(mo.msisdn)}  "{printable(mo.text)}"{photos}',
            facts={"from": mo.msisdn, "to": mo.our_address, "text": mo.text, "photos": len(mo.photos)},
        )
    yield Step(
        at=mail.at,
        event="email_out",
        message=mail.about,
        text=f'-> {printable(mail.to)}  "{printable(mail.subject)}"  (in the demo inbox)',
        facts={"to": mail.to, "subject": mail.subject, "kind": mail.kind, "n": mail.n},
    )
