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
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from mail2sms import __version__, hooks
from mail2sms.assembly import Base, Parts, assemble, build_carriers, simulated_number
from mail2sms.carriers._base import Carrier, CarrierEvent
from mail2sms.certificates import Certificate, Renewal
from mail2sms.clock import now_ms
from mail2sms.config import derived, reload
from mail2sms.config.schema import Settings
from mail2sms.dispatch import Dispatch
from mail2sms.endpoint import Endpoint
from mail2sms.errors import BadOption, StoreUnavailable
from mail2sms.fetch import Fetch
from mail2sms.hooks._base import HookOptions
from mail2sms.http import Http
from mail2sms.ids import derive_id
from mail2sms.intake.envelope import Handler
from mail2sms.intake.limits import Budget
from mail2sms.intake.listener import Listener, listen
from mail2sms.intake.mailauth import Mailauth
from mail2sms.intake.sandbox import Sandbox
from mail2sms.intake.template import TemplateInvalid
from mail2sms.intake.vigil import Vigils
from mail2sms.log import log, where
from mail2sms.places import control_path, state_folder
from mail2sms.relay.loop import Channels, Relay
from mail2sms.retention import Retention
from mail2sms.store import Recovery, Store
from mail2sms.store.engine import is_sqlite
from mail2sms.systemd import inherited, notify, notify_reloading, refuse_unknown
from mail2sms.watch import Watch
from mail2sms.web.app import Context, Reloaded, build, change
from mail2sms.web.context import CertificateState
from mail2sms.web.demo import DemoInbox
from mail2sms.web.server import WebServer

_GRACE_S = 27.0  # for all that is under way when we are told to stop: with the goodbyes half a minute
_STALLED_S = 30.0
_JOIN_S = 60.0
_GC_THRESHOLDS = (10_000, 20, 20)
# As many names may be looked up at once (each hangs when its name server does) without keeping other work waiting.
_THREADS = 64


@dataclass(slots=True)
class Daemon:
    """Everything that runs, in the order it was started.

    `config` is the file that a reload reads; without it there is none. `sockets` were passed by systemd. `front` may
    put itself between the listeners and who decides.
    """

    settings: Settings
    folder: Path
    demo_inbox: DemoInbox | None = None
    front: Callable[[Handler], Handler] = lambda handler: handler
    config: Path | None = None
    sockets: Mapping[str, list[socket.socket]] = field(default_factory=dict)
    store: Store = field(init=False)
    parts: Parts = field(init=False)
    carriers: dict[str, Carrier] = field(init=False)
    dispatch: Dispatch = field(init=False)
    relay: Relay = field(init=False)
    fetch: Fetch = field(init=False)
    addresses: dict[str, Endpoint] = field(default_factory=dict)
    _base: Base = field(init=False)
    _budget: Budget = field(init=False)
    _renewal: Renewal = field(init=False)
    _vigils: Vigils = field(init=False)
    _listeners: dict[str, Listener] = field(default_factory=dict)
    _servers: list[WebServer] = field(default_factory=list)
    _opened: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _loops: list[asyncio.Task[None]] = field(default_factory=list)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _told_at: dict[str, int] = field(default_factory=dict)  # by carrier: its webhook
    _stop_by_s: float = 0.0
    _reloading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self) -> None:
        """Open the store, take back what a crash left, connect the carriers, then open the doors.

        What was opened is closed again when a later part can't be.
        """
        try:
            async with self._reloading:  # not before all is there to be swapped
                await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        settings = self.settings
        refuse_unknown(dict(self.sockets), tuple(settings.listen.addresses()))
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
        self.carriers = build_carriers(settings, self.folder)
        sandbox = Sandbox()
        self._opened.push_async_callback(sandbox.close)
        mailauth, number = Mailauth(), simulated_number(self.carriers)
        self._opened.callback(mailauth.close)
        self._base = Base(store=self.store, sandbox=sandbox, mailauth=mailauth, simulated_number=number)
        self.parts = assemble(settings, self._base)
        self._opened.push_async_callback(self._close_parts)
        for carrier in self.carriers.values():
            await carrier.start(self._record)
            self._opened.push_async_callback(carrier.stop)
        self.dispatch = Dispatch(self.store, self.carriers, owner, settings.on_unknown, settings.account)
        self.dispatch.attempts.policy, self.dispatch.attempts.links = (
            self.parts.accept.policy,
            self.parts.links,
        )
        self.fetch = Fetch(self.store, self.carriers, settings.account, settings.media.received)
        http = Http()
        self._opened.push_async_callback(http.close)
        built = {name: hooks.load(option.format).build(option) for name, option in hooks_by_name.items()}
        channels = Channels(mailer=self.parts.mailer, hooks=built, http=http)
        self.relay = Relay(self.store, self.parts.letters, channels, owner)
        self.relay.subscribe(settings.account, self.parts.digests)
        self._renewal = Renewal(self._renew)
        self._renewal.use(settings.tls, self.parts.certificate)
        self._keep(asyncio.create_task(self._renewal.run()))
        self._keep(asyncio.create_task(self._join_overdue()))
        self._vigils = Vigils(self.store, settings.account, derived.watched(settings))
        keeping = Retention(self.store, settings.account, self._kept_ms)
        for upkeep in (self._vigils.run(), keeping.run()):
            task = asyncio.create_task(upkeep)
            self._keep(task)
            self._opened.callback(task.cancel)
        self._loops = [asyncio.create_task(stage.run()) for stage in (self.dispatch, self.relay, self.fetch)]
        self._opened.push_async_callback(self._stop_loops)
        self._opened.push_async_callback(self._close_doors)
        await self._open_doors()

    async def _record(self, event: CarrierEvent) -> None:
        await self.parts.inbound.record(event)

    async def _join_overdue(self) -> None:
        """Once a minute: long texts from phones that will not be whole any more."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self.parts.inbound.join_overdue()
            await asyncio.sleep(_JOIN_S)

    def _kept_ms(self) -> Mapping[str, int]:
        return self.settings.retention.kept_ms()

    def _is_exempt(self, ip: str) -> bool:
        return self.parts.identity.is_known_network(ip)

    async def _open_doors(self) -> None:
        settings, parts = self.settings, self.parts
        self._budget = Budget(parts.limits)
        for name, option in settings.listen.mail().items():
            options = derived.listener(settings, name, parts.certificate)
            place = self.sockets.get(name) or option.address
            is_exempt = parts.identity.is_known_network
            listener = await listen(place, options, self._budget, self.front(parts.receiver), is_exempt)
            self._listeners[name] = listener
            self.addresses[name] = listener.addresses[0]
        context = self._context(parts)
        await self.serve(WebServer(build(context, is_control=True), path=control_path(self.folder)))
        if settings.listen.web is not None:
            web = self.sockets.get("web") or settings.listen.web.address
            await self.serve(WebServer(build(context), endpoint=web, exempt=self._is_exempt))
            self.addresses["web"] = settings.listen.web.address

    async def serve(self, server: WebServer) -> None:
        """Start a web server that is stopped with our own."""
        await server.start()
        self._servers.append(server)

    @property
    def context(self) -> Context:
        """What is served over the web now."""
        return self._context(self.parts)

    def _context(self, parts: Parts) -> Context:
        settings = parts.settings
        return Context(
            account=settings.account,
            domain=settings.domain,
            country=settings.country,
            mode=settings.mode,
            store=self.store,
            accept=parts.accept,
            inbound=parts.inbound,
            carriers=self.carriers,
            told_at=self._told_at,
            keys=parts.keys,
            users=settings.all_users(),
            template_mailbox=settings.template_mailbox,
            language=settings.language,
            template_example=partial(parts.desk.template.example, settings.country),
            demo_inbox=self.demo_inbox,
            demo_smtp=self.addresses.get("smtp"),
            health=self.health,
            spent=lambda: self.dispatch.attempts.spent,
            links=parts.links,
            pictures=self._base.pictures,
            certificate=self._certificate,
            reload=self.reload if self.config is not None else None,
        )

    def health(self) -> dict[str, str]:
        """Return what does not work, by part; empty when all does."""
        late = {
            "dispatch": self.dispatch.progressed_s,
            "relay": self.relay.progressed_s,
            "fetch": self.fetch.progressed_s,
        }
        now_s = time.monotonic()
        return {part: "stalled" for part, at_s in late.items() if now_s - at_s > _STALLED_S}

    def _certificate(self) -> CertificateState | None:
        days = self._renewal.days_left()
        return None if days is None else CertificateState(days=days, fault=self._renewal.fault)

    async def reload(self) -> Reloaded:
        """Read the file again and apply what needs no restart; with an error in it nothing is changed."""
        assert self.config is not None
        async with self._reloading:
            notify_reloading()
            try:
                return await self._reload(self.config)
            finally:
                notify("READY=1")

    async def _reload(self, config: Path) -> Reloaded:
        found = await asyncio.to_thread(reload.read, config, self.settings)
        if isinstance(found, reload.Refused):
            log.error("reload_refused", count=found.count, line=found.line)
            return Reloaded(refused=found.report)
        try:
            parts = await asyncio.to_thread(assemble, found.settings, self._base)
        except (BadOption, TemplateInvalid, OSError, UnicodeDecodeError) as e:  # gone since it was looked at
            log.error("reload_refused", error=where(e))
            return Reloaded(refused=f"{config}: {e}")
        self._adopt(parts)
        log.info("daemon_reloaded", applied=", ".join(found.applied), restart=", ".join(found.restart))
        return Reloaded(applied=found.applied, restart=found.restart)

    def _adopt(self, parts: Parts) -> None:
        """Swap all parts in one turn of the loop. What is under way finishes with what it began with."""
        before, self.parts, self.settings = self.parts, parts, parts.settings
        self.dispatch.attempts.on_unknown = parts.settings.on_unknown
        self._vigils.watched = derived.watched(parts.settings)
        self.dispatch.attempts.policy, self.dispatch.attempts.links = parts.accept.policy, parts.links
        self.fetch.limit_bytes = parts.settings.media.received
        self._budget.limits = parts.limits
        dismissed = before.changed_logins(parts)
        for listener in self._listeners.values():
            listener.adopt(self.front(parts.receiver), parts.identity.is_known_network, dismissed)
        self._renewal.use(parts.settings.tls, parts.certificate)
        self._renew(parts.certificate)
        context = self._context(parts)
        for server in self._servers:
            change(server.app, context, parts.key_ring)
        self.relay.adopt(parts.letters, parts.mailer)
        self.relay.subscribe(parts.settings.account, parts.digests)
        before.identity.retire()
        if before.mailer is not None:
            self._keep(asyncio.create_task(before.mailer.close()))

    def _renew(self, certificate: Certificate | None) -> None:
        for name, listener in self._listeners.items():
            listener.renew(derived.listener(self.settings, name, certificate).context)

    def _reload_soon(self) -> None:
        if not self._stop_by_s:
            self._keep(asyncio.create_task(self.reload()))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Refuse newcomers, finish what is under way, then close what the others need: the reverse of the start."""
        self._stop_by_s = asyncio.get_running_loop().time() + _GRACE_S
        await self._opened.aclose()

    def _left_s(self) -> float:
        return max(0.0, self._stop_by_s - asyncio.get_running_loop().time())

    def _end_loops(self) -> None:
        for stop in (self.dispatch.stop, self.relay.stop, self.fetch.stop):
            stop()

    async def _close_doors(self) -> None:
        """All at once, while what was sent before still gets its answers; nothing new is sent."""
        self._end_loops()
        closing = [listener.stop(self._left_s()) for listener in self._listeners.values()]
        await asyncio.gather(*closing, *(server.stop() for server in self._servers))

    async def _stop_loops(self) -> None:
        self._end_loops()
        await asyncio.wait(self._loops, timeout=self._left_s())

    async def _close_parts(self) -> None:
        self.parts.identity.close()
        if self.parts.mailer is not None:
            await self.parts.mailer.close()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until a loop fails (which is raised: better restarted than half alive).

        A second signal ends the process where it stands: what was acknowledged is on disk.
        """
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hear(number: int) -> None:
            if stopping.is_set() and self.config is not None:
                _die(number)
            stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, hear, number)
        if self.config is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        watching = asyncio.create_task(
            Watch(self.store, self.health, lambda: self.dispatch.attempts.sent).run()
        )
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait([waiting, *self._loops], return_when=asyncio.FIRST_COMPLETED)
        log.info("daemon_stopping")
        notify("STOPPING=1", "WATCHDOG=1", "STATUS=finishing what is under way")
        waiting.cancel()
        watching.cancel()
        ended = [task for task in self._loops if task.done()]
        stopping.set()
        await self.stop()
        for task in ended:
            task.result()
            raise RuntimeError("a loop ended by itself")


async def serve(settings: Settings, config: Path) -> None:
    """Run the service until it is told to stop. Raises StoreUnavailable, OSError when it can't begin."""
    log.info("daemon_started", version=__version__, mode=settings.mode)
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="worker")
    asyncio.get_running_loop().set_default_executor(threads)
    folder = state_folder(settings.database, config)
    daemon = Daemon(settings=settings, folder=folder, config=config, sockets=inherited())
    await daemon.start()
    doors = ", ".join(f"{name} {address}" for name, address in daemon.addresses.items())
    log.info("daemon_ready", address=doors)
    gc.collect()
    gc.freeze()  # what is here now stays: looking through it again and again costs pauses of 100 ms
    gc.set_threshold(*_GC_THRESHOLDS)
    notify("READY=1")
    await daemon.run()
    log.info("daemon_stopped")


def _hook_name(option: HookOptions) -> str:
    """A hook is known by where it posts: what is owed to it must not reach another room after an edit."""
    return derive_id("hook", option.format, option.url.reveal())


def _die(number: int) -> NoReturn:
    """End at once, by the signal that was sent: nothing that we would still do is needed for what is promised."""
    loop = asyncio.get_running_loop()
    loop.remove_signal_handler(number)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)
