"""What the web stage is given: the doors, the store, and what the configuration says about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from mail2sms.accept import Accept
from mail2sms.carriers._base import Carrier
from mail2sms.endpoint import Endpoint
from mail2sms.inbound import Inbound
from mail2sms.media import Links
from mail2sms.model import MessageClass, User
from mail2sms.options import Secret
from mail2sms.pictures import Pictures
from mail2sms.render import Render
from mail2sms.store import Store
from mail2sms.web.inbox import DemoInbox


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """One key of `api.keys`. What it sends shows `sender_id`; replies go to `reply_to`."""

    name: str
    secret: Secret
    may: frozenset[str]
    sender_id: str | None = None
    reply_to: str | None = None
    class_: MessageClass = MessageClass.TRANSACTIONAL


@dataclass(frozen=True, kw_only=True, slots=True)
class Reloaded:
    """What became of a reload: what is new, what waits for a restart. `refused`: why nothing was changed at all."""

    applied: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateState:
    """The certificate of the listeners: good for so many days; `fault` says why its renewed files can't be used."""

    days: int
    fault: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What is served, for whom, and through which doors.

    `template_example` shows the template filled in, in a language. `health` tells what does not work, by part; `spent`
    what was paid since the start, by carrier and currency, in millionths. `reload` reads the configuration's file
    again, if there is one. `told_at`: when each carrier's webhook was last told something. With `demo_inbox` this is
    the demo, whose mails go to `demo_smtp`. `links` prove the URLs of pictures.
    """

    account: str
    domain: str
    country: str
    mode: str
    store: Store
    accept: Accept
    inbound: Inbound
    carriers: Mapping[str, Carrier]
    keys: tuple[ApiKey, ...] = ()
    users: Mapping[str, User] = field(default_factory=dict)
    template_mailbox: str = "sms"
    language: str = "en"
    template_example: Callable[[str], str] = str
    render: Render = field(default_factory=Render)
    health: Callable[[], Mapping[str, str]] = dict
    certificate: Callable[[], CertificateState | None] = lambda: None
    spent: Callable[[], Mapping[tuple[str, str], int]] = dict
    reload: Callable[[], Awaitable[Reloaded]] | None = None
    told_at: dict[str, int] = field(default_factory=dict)
    links: Links | None = None
    pictures: Pictures = field(default_factory=Pictures)
    demo_inbox: DemoInbox | None = None
    demo_smtp: Endpoint | None = None

    @property
    def is_demo(self) -> bool:
        """Whether the demo page is served."""
        return self.demo_inbox is not None


async def _context(request: Request) -> Context:  # async: FastAPI runs plain functions in threads
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(_context)]
"""The parameter by which a route gets the context."""
