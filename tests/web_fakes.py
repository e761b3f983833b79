"""A whole bridge in one loop, without the daemon: store, simulated carrier, doors, loops, listeners and the web stage.

`python -m tests.web_fakes PORT` serves it for looking at the demo page by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import aiohttp

from mail2sms.accept import Accept
from mail2sms.carriers.simulated import Options as SimulatedOptions
from mail2sms.carriers.simulated import Simulated
from mail2sms.carriers.simulated import build as build_simulated
from mail2sms.cli.demo_doors import Front, Mailbox
from mail2sms.dispatch import Dispatch
from mail2sms.endpoint import Endpoint
from mail2sms.http import Http
from mail2sms.inbound import Inbound
from mail2sms.intake import template
from mail2sms.intake.desk import Desk
from mail2sms.intake.envelope import ListenerOptions
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.listener import listen
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.mailer import Mailer, SmarthostOptions
from mail2sms.model import Msisdn, Proof, SenderId, User
from mail2sms.money import read
from mail2sms.options import Secret, read_networks
from mail2sms.relay.house import House
from mail2sms.relay.letters import Letters
from mail2sms.relay.loop import Channels, Relay
from mail2sms.render import Render, own_folder
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.store import Store
from mail2sms.web.app import ApiKey, Context, build
from mail2sms.web.demo import DemoInbox
from mail2sms.web.server import WebServer

Found = TypeVar("Found")
DOMAIN = "sms.demo.example"
LOOPBACK = Endpoint("127.0.0.1", 0)
MARIE = User(address=f"marie@{DOMAIN}", name="Marie Dubois", number=Msisdn("+33639980101"))
BOTH, READER, SENDER = (
    "a-key-that-may-everything-01",
    "a-key-that-may-only-read-001",
    "a-key-that-may-only-send-001",
)
KEYS = (
    ApiKey(name="both", secret=Secret(BOTH), may=frozenset({"read", "send"}), reply_to="desk@acme.example"),
    ApiKey(name="reader", secret=Secret(READER), may=frozenset({"read"})),
    ApiKey(name="sender", secret=Secret(SENDER), may=frozenset({"send"}), sender_id="ACME Shop"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What a test talks to; `http` knows the base URL and no key."""

    context: Context
    http: aiohttp.ClientSession
    control: aiohttp.ClientSession
    sim: Simulated
    dispatch: Dispatch
    web: Endpoint
    socket: Path

    def keyed(self, key: str = BOTH) -> dict[str, str]:
        """Return the headers of a request with a key."""
        return {"Authorization": f"Bearer {key}"}


@contextlib.asynccontextmanager
async def world(folder: Path, *, is_demo: bool = False, **changes: object) -> AsyncIterator[World]:
    """Serve the web stage over a real store and a simulated carrier; `changes` are to the context."""
    async with contextlib.AsyncExitStack() as stack:
        store = await Store.open(f"sqlite:///{folder}/x.db")
        stack.push_async_callback(store.close)
        sim = build_simulated("sim", SimulatedOptions(type="simulated", delay=100), folder)
        context = replace(_context(store, sim), **changes)  # type: ignore[arg-type]
        await sim.start(context.inbound.record)
        stack.push_async_callback(sim.stop)
        dispatch = Dispatch(store, {"sim": sim}, "node", "hold", context.account)
        context = replace(context, spent=lambda: dispatch.attempts.spent)
        loop = asyncio.create_task(dispatch.run())
        if is_demo:
            context = await stack.enter_async_context(_mail(context, folder))
        server = WebServer(build(context), endpoint=LOOPBACK)
        control = WebServer(build(context, is_control=True), path=folder / "control.sock")
        for each in (server, control):
            await each.start()
            stack.push_async_callback(each.stop)
        web = server.addresses[0]
        unix = aiohttp.UnixConnector(str(folder / "control.sock"))
        yield World(
            context=context,
            http=await stack.enter_async_context(aiohttp.ClientSession(f"http://{web}")),
            control=await stack.enter_async_context(
                aiohttp.ClientSession("http://localhost", connector=unix)
            ),
            sim=sim,
            dispatch=dispatch,
            web=web,
            socket=folder / "control.sock",
        )
        dispatch.stop()
        await loop


def _context(store: Store, sim: Simulated) -> Context:
    policy = Policy(
        countries=frozenset({"FR"}),
        sender_ids={"FR": "number"},
        owned={MARIE.address: (SenderId("+33639980101"),)},
        recipients=5,
        simulated_number=SenderId(sim.number),
        prices={"sim": {"FR": read("0.045 EUR")}},
    )
    return Context(
        account=DOMAIN,
        domain=DOMAIN,
        country="FR",
        mode="simulate",
        store=store,
        accept=Accept(store, policy, [Route(to=("any",), via=("sim",))], 3_600_000),
        inbound=Inbound(store, DOMAIN, {"+33639980101": MARIE.address}, "", 3_600_000),
        carriers={"sim": sim},
        keys=KEYS,
        users={MARIE.address: MARIE},
    )


async def ask(endpoint: Endpoint, request: bytes) -> bytes:
    """Send bytes and return all that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        writer.write(request)
        while more := await reader.read(1000):
            answer += more
    writer.close()
    return answer


async def until(look: Callable[[], Awaitable[Found | None]]) -> Found:
    """Return what `look` finds, once it finds something."""
    async with asyncio.timeout(10):
        while not (found := await look()):
            await asyncio.sleep(0.01)
    return found


@contextlib.asynccontextmanager
async def _mail(context: Context, folder: Path) -> AsyncIterator[Context]:
    """Add the mail side: an SMTP listener in front, the relay and the demo inbox behind."""
    inbox = DemoInbox(folder / "inbox")
    rule = SenderRule(pattern="*", networks=read_networks("127.0.0.1"), proofs=frozenset({Proof.NETWORK}))
    identity = Identity(
        rules=(rule,), users=context.users, passwords={}, account=DOMAIN, language="en", zone="UTC"
    )
    sandbox = Sandbox()
    receiver = Receiver(_desk(), identity, context.accept, context.store, sandbox)
    options = ListenerOptions(hostname=DOMAIN)
    front = Front(receiver, inbox, sandbox)
    smtp = await listen(LOOPBACK, options, Budget(Limits()), front, lambda ip: True)
    sink = await listen(LOOPBACK, options, Budget(Limits()), Mailbox(inbox), lambda ip: True)
    mailer = Mailer(SmarthostOptions(address=sink.addresses[0]))
    house = House(
        country="FR", domain=DOMAIN, template_mailbox="sms", language="en", zone="UTC", users=context.users
    )
    http = Http()
    channels = Channels(mailer=mailer, hooks={}, http=http)
    relay = Relay(context.store, Letters(context.store, house, Render()), channels, "node")
    loop = asyncio.create_task(relay.run())
    yield replace(context, demo_inbox=inbox, demo_smtp=smtp.addresses[0])
    relay.stop()
    await loop
    await mailer.close()
    await http.close()
    await smtp.stop(1)
    await sink.stop(1)
    await sandbox.close()


def _desk() -> Desk:
    def read(name: str) -> template.Template:
        path = own_folder() / "intake" / f"{name}.txt"
        return template.compile_template(path.read_text(encoding="utf-8"), name)

    return Desk(
        account=DOMAIN,
        domain=DOMAIN,
        country="FR",
        template_mailbox="sms",
        template=read("strict"),
        simple=read("simple"),
        teams={},
    )


async def _serve(port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), is_demo=True) as served:
            extra = WebServer(build(served.context), endpoint=Endpoint("127.0.0.1", port))
            await extra.start()
            print(f"http://127.0.0.1:{port}/demo  smtp {served.context.demo_smtp}", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
