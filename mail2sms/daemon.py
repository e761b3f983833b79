"""The daemon: every part built by hand from the configuration, started in order, stopped in reverse.

This is the one screen that shows what is connected to what. Parts know each other only by what they are given here.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mail2sms import __version__, carriers, hooks
from mail2sms.accept import Accept
from mail2sms.carriers._base import Carrier
from mail2sms.carriers.simulated import Options as SimulatedOptions
from mail2sms.carriers.simulated import Simulated
from mail2sms.carriers.simulated import build as build_simulated
from mail2sms.clock import now_ms
from mail2sms.config import derived
from mail2sms.config.schema import Settings
from mail2sms.dispatch import Dispatch
from mail2sms.hooks._base import HookOptions
from mail2sms.http import Http
from mail2sms.inbound import Inbound
from mail2sms.intake.envelope import ListenerOptions
from mail2sms.intake.identity import Identity
from mail2sms.intake.limits import Budget
from mail2sms.intake.listener import listen
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.log import log
from mail2sms.mailer import Mailer
from mail2sms.model import SenderId, derive_id
from mail2sms.options import Endpoint
from mail2sms.places import control_path, state_folder
from mail2sms.relay.letters import Letters
from mail2sms.relay.loop import Channels, Relay
from mail2sms.render import Render
from mail2sms.store import Recovery, Store
from mail2sms.store.engine import is_sqlite
from mail2sms.systemd import notify
from mail2sms.web.app import ApiKey, Context, build
from mail2sms.web.demo import DemoInbox
from mail2sms.web.server import WebServer

_GRACE_S = 30.0
_STALLED_S = 30.0
_GC_THRESHOLDS = (10_000, 20, 20)


@dataclass(slots=True)
class Daemon:
    """Everything that runs, in the order it was started."""

    settings: Settings
    folder: Path
    demo_inbox: DemoInbox | None = None
    store: Store = field(init=False)
    accept: Accept = field(init=False)
    inbound: Inbound = field(init=False)
    carriers: dict[str, Carrier] = field(init=False)
    dispatch: Dispatch = field(init=False)
    relay: Relay = field(init=False)
    sandbox: Sandbox = field(init=False)
    addresses: dict[str, Endpoint] = field(default_factory=dict)
    _http: Http = field(init=False)
    _mailer: Mailer | None = None
    _opened: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _loops: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Open the store, take back what a crash left, connect the carriers, then open the doors.

        What was opened is closed again when a later part can't be.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        settings = self.settings
        owner = f"{os.uname().nodename[:20]}-{secrets.token_hex(4)}"
        hooks_by_name = {_hook_name(option): option for option in settings.relay.hooks}
        self.store = await Store.open(
            settings.database, {name: tuple(option.on) for name, option in hooks_by_name.items()}
        )
        self._opened.push_async_callback(self.store.close)
        recovery = Recovery(
            now=now_ms(), on_unknown=settings.on_unknown, is_first=is_sqlite(settings.database)
        )
        log.info("store_recovered", count=await self.store.recover(recovery))
        self.carriers = _build_carriers(settings, self.folder)
        policy = derived.policy(settings, _simulated_number(self.carriers))
        self.accept = Accept(self.store, policy, settings.route_table(), settings.validity)
        self.inbound = Inbound(
            self.store,
            settings.account,
            _owners(settings),
            settings.default_mailbox or "",
            settings.reply_window,
        )
        for carrier in self.carriers.values():
            await carrier.start(self.inbound.record)
            self._opened.push_async_callback(carrier.stop)
        self.dispatch = Dispatch(self.store, self.carriers, owner, settings.on_unknown)
        self._http = Http()
        self._opened.push_async_callback(self._http.close)
        if settings.relay.smarthost is not None:
            self._mailer = Mailer(settings.relay.smarthost, hello=settings.domain)
            self._opened.push_async_callback(self._mailer.close)
        built = {name: hooks.load(option.format).build(option) for name, option in hooks_by_name.items()}
        channels = Channels(mailer=self._mailer, hooks=built, http=self._http)
        self.relay = Relay(
            self.store, Letters(self.store, derived.house(settings), Render()), channels, owner
        )
        self._loops = [asyncio.create_task(self.dispatch.run()), asyncio.create_task(self.relay.run())]
        self._opened.push_async_callback(self._stop_loops)
        await self._open_doors()

    async def _open_doors(self) -> None:
        settings = self.settings
        self.sandbox = Sandbox()
        self._opened.push_async_callback(self.sandbox.close)
        identity = Identity(
            rules=settings.sender_rules(),
            users=settings.all_users(),
            passwords=_passwords(settings),
            account=settings.account,
            language=settings.language,
            zone=settings.timezone,
        )
        self._opened.callback(identity.close)
        receiver = Receiver(derived.desk(settings), identity, self.accept, self.store, self.sandbox)
        budget = Budget(derived.limits(settings))
        context = _tls_context(settings)
        for name, option in settings.listen.mail().items():
            options = ListenerOptions(
                hostname=settings.domain, tls=option.tls, login=option.login, context=context
            )
            listener = await listen(option.address, options, budget, receiver, identity.is_known_network)
            self._opened.push_async_callback(listener.stop, _GRACE_S)
            self.addresses[name] = listener.addresses[0]
        await self._open_web(identity.is_known_network)

    async def _open_web(self, exempt: Callable[[str], bool]) -> None:
        settings = self.settings
        context = Context(
            account=settings.account,
            domain=settings.domain,
            country=settings.country,
            mode=settings.mode,
            store=self.store,
            accept=self.accept,
            inbound=self.inbound,
            carriers=self.carriers,
            keys=_keys(settings),
            users=settings.all_users(),
            template_mailbox=settings.template_mailbox,
            language=settings.language,
            template_example=partial(derived.template(settings.template).example, settings.country),
            demo_inbox=self.demo_inbox,
            demo_smtp=self.addresses.get("smtp"),
            health=self.health,
        )
        control = WebServer(build(context, is_control=True), path=control_path(self.folder))
        servers = [control]
        if settings.listen.web is not None:
            servers.append(WebServer(build(context), endpoint=settings.listen.web.address, exempt=exempt))
        for server in servers:
            await server.start()
            self._opened.push_async_callback(server.stop)
        if settings.listen.web is not None:
            self.addresses["web"] = settings.listen.web.address

    def health(self) -> dict[str, str]:
        """Return what does not work, by part; empty when all does."""
        late = {"dispatch": self.dispatch.progressed_s, "relay": self.relay.progressed_s}
        if self._mailer is None and not self.settings.relay.hooks:
            late.pop("relay")
        now_s = time.monotonic()
        return {part: "stalled" for part, at_s in late.items() if now_s - at_s > _STALLED_S}

    async def stop(self) -> None:
        """Refuse newcomers, finish what is under way, then close what the others need: the reverse of the start."""
        await self._opened.aclose()

    async def _stop_loops(self) -> None:
        self.dispatch.stop()
        self.relay.stop()
        await asyncio.wait(self._loops, timeout=_GRACE_S)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until a loop fails (which is raised: better restarted than half alive)."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait([waiting, *self._loops], return_when=asyncio.FIRST_COMPLETED)
        log.info("daemon_stopping")
        notify("STOPPING=1")
        waiting.cancel()
        ended = [task for task in self._loops if task.done()]
        await self.stop()
        for task in ended:
            task.result()
            raise RuntimeError("a loop ended by itself")


async def serve(settings: Settings, config: Path) -> None:
    """Run the service until it is told to stop. Raises StoreUnavailable, OSError when it can't begin."""
    log.info("daemon_started", version=__version__, mode=settings.mode)
    daemon = Daemon(settings=settings, folder=state_folder(settings.database, config))
    await daemon.start()
    for name, address in daemon.addresses.items():
        log.info("daemon_ready", listener=name, address=str(address))
    gc.collect()
    gc.freeze()  # what is here now stays: looking through it again and again costs pauses of 100 ms
    gc.set_threshold(*_GC_THRESHOLDS)
    notify("READY=1")
    await daemon.run()
    log.info("daemon_stopped")


def _hook_name(option: HookOptions) -> str:
    """A hook is known by where it posts: what is owed to it must not reach another room after an edit."""
    return derive_id("hook", option.format, option.url.reveal())


def _build_carriers(settings: Settings, folder: Path) -> dict[str, Carrier]:
    built: dict[str, Carrier] = {}
    for name, options in settings.carriers.items():
        if settings.mode == "simulate" and not isinstance(options, SimulatedOptions):
            built[name] = build_simulated(name, SimulatedOptions(type="simulated"), folder)
        else:
            built[name] = carriers.load(options.type).build(name, options, folder)
    return built


def _simulated_number(built: Mapping[str, Carrier]) -> SenderId | None:
    """Return the number that stands in for API calls without a sender; None unless a carrier is simulated."""
    simulated = [carrier for carrier in built.values() if isinstance(carrier, Simulated)]
    return SenderId(simulated[0].number) if simulated else None


def _owners(settings: Settings) -> dict[str, str]:
    """Return whose mailbox is behind each of our numbers."""
    owners = {user.number: address for address, user in settings.all_users().items() if user.number}
    for team in settings.all_teams().values():
        mailbox = team.email or (team.members[0] if team.members else "")
        if team.number and mailbox:
            owners[team.number] = mailbox
    return {str(number): address for number, address in owners.items()}


def _passwords(settings: Settings) -> dict[str, str]:
    """Return the argon2id hashes by address. Raises BadOption when one can't be read."""
    return {
        address.lower(): user.password.reveal()
        for address, user in settings.users.items()
        if user.password is not None
    }


def _keys(settings: Settings) -> tuple[ApiKey, ...]:
    return tuple(
        ApiKey(
            name=option.name,
            secret=option.key,
            may=frozenset(option.may),
            sender_id=option.sender_id,
            reply_to=option.reply_to,
        )
        for option in settings.api.keys
    )


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls.certificate, settings.tls.key)
    return context
