"""One run of the demo: the real daemon with a configuration made here, and a mailbox of our own as its smarthost."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import secrets
import shutil
import sys
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from mail2sms import __version__
from mail2sms.cli import CONFIG, PROGRAM, read_settings, tell
from mail2sms.cli.demo import DOMAIN, OURS, PHONE, SMTP_PLACE
from mail2sms.cli.demo_doors import Front, Mailbox
from mail2sms.cli.demo_seed import seed
from mail2sms.cli.demo_steps import Step, Steps
from mail2sms.cli.qr import drawn
from mail2sms.clock import now_ms
from mail2sms.config import Settings
from mail2sms.daemon import Daemon
from mail2sms.endpoint import Endpoint
from mail2sms.errors import BadOption
from mail2sms.intake.envelope import ListenerOptions
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.listener import listen
from mail2sms.intake.sandbox import Sandbox
from mail2sms.options import read_zone
from mail2sms.web import demo_lan
from mail2sms.web.demo import DemoInbox
from mail2sms.web.server import WebServer

_MAIL_BYTES = 50_000_000

_YAML = (
    OURS
    + """, made anew at each start; its API key stays. mail2sms.yaml of the project shows
# all there is.
domain: {domain}
country: FR
language: en
timezone: {zone}
mode: simulate
database: {database}
listen:
  smtp: {{address: "{smtp}"}}
  web: {{address: "{web}", url: "http://{web}"}}
senders: [{{from: "*", network: [127.0.0.0/8, "::1"]}}]    # whoever is on this machine
users:
  marie@{domain}: {{name: Marie Dubois, number: "+33639980101"}}
  paul@{domain}: {{name: Paul Martin, number: "+33639980102", language: fr}}
  zoe@{domain}: {{name: Zoe Smith, number: "+447700900103"}}
teams:
  oncall: {{phones: ["+33639981234", "+33639985678"], members: [paul@{domain}]}}
devices:
  ups:
    network: [127.0.0.0/8, "::1"]
    from: ups@{domain}
    to: oncall
    text: "{{subject}}. {{body|lines:2|one_line}}"
    wait: 3s
    repeat: 10m
    replies_to: it@{domain}
default_mailbox: reception@{domain}
sender_ids: {{default: "+33639980100"}}    # a number: every phone can answer
countries: [FR, GB, US, CA, DE, IT, CH, BE, ES, SE, AU, NL]
mms: link
limits: {{size: 10MB}}
carriers:
  sim-a:
    type: simulated
    price: {{FR: 0.045 EUR, GB: 0.038 EUR, DE: 0.071 EUR, US: 0.0079 EUR, any: 0.08 EUR}}
    mms_price: {{US: 0.02 EUR, CA: 0.02 EUR}}
  sim-b: {{type: simulated, price: {{FR: 0.052 EUR, any: 0.095 EUR}}}}
routes: [{{to: any, via: [sim-a, sim-b]}}]
relay: {{smarthost: {{address: "{inbox}"}}}}
api: {{keys: [{{name: demo, key: "{key}", may: [read, send]}}]}}
"""
)

_KEY = re.compile(r'key: "([\w-]{24,})"')

_WELCOME = """\
mail2sms {version} demo. Everything is simulated: nothing leaves this computer.

  Look        {page}
              {look}
  Send email  to  {phone}@{domain}   (or any mobile number)
              via {smtp}, no password, no TLS
  API         curl -H 'Authorization: Bearer {key}' \\
                -H 'Content-Type: application/json' \\
                -d '{{"to":"+{phone}","text":"Hello"}}' \\
                http://{web}/api/v1/messages

  Numbers that misbehave:
              ...0404 does not exist       ...0503 first carrier down
              ...0408 no delivery report   ...0429 throttled once
              ...7867 answers STOP         ...0606 answers with a photo
              ...0000 takes it and never says so

  Send one    {program} demo send{at} "Votre colis est arrivé"
  Stop        Ctrl-C{forgets}
"""

_PHONE = """
  A real phone in the same network becomes the simulated one: scan this with
  its camera (once; then it is yours). Only the phone's page is open to the
  network. What is written there travels unencrypted.

{code}
  {page}
"""

# How the page is looked at, and where that is decided: nobody wants a browser at the far end of an SSH connection, or
# one for terminals in the place of this text.
_OPENING = "(opening your browser; --no-browser to stop that)"
_BY_HAND = "(open it in a browser of this computer)"
_BY_SSH = "(you came by SSH; first, on your own computer:\n               ssh -NL {port}:{web} {user}@{host})"
_TERMINAL_BROWSERS = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})


def configuration(*, folder: Path, smtp: Endpoint, web: Endpoint, inbox: Endpoint, key: str) -> str:
    """Return the demo's mail2sms.yaml."""
    database = json.dumps(f"sqlite:///{folder}/mail2sms.db", ensure_ascii=False)
    places = {"smtp": smtp, "web": web, "inbox": inbox}
    return _YAML.format(domain=DOMAIN, zone=_zone(), database=database, key=key, **places)


def _zone() -> str:
    """This machine's time zone, since people here write and read the times; UTC where it can't be told."""
    name = os.environ.get("TZ") or str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    try:
        return read_zone(name)
    except BadOption:
        return "UTC"


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo:
    """One run of the demo."""

    folder: Path
    smtp: Endpoint
    web: Endpoint
    is_kept: bool
    is_opened: bool
    seed: int = 0
    lan: Endpoint | None = None

    async def run(self) -> None:
        """Start everything, say what happens, and stop when told to."""
        key = self._key()
        inbox = DemoInbox(self.folder / "inbox" if self.is_kept else None, program=PROGRAM)
        sink = await listen(
            Endpoint("127.0.0.1", 0),
            ListenerOptions(hostname=f"inbox.{DOMAIN}"),
            Budget(Limits(size_bytes=_MAIL_BYTES, bytes_in_flight=2 * _MAIL_BYTES)),
            Mailbox(inbox),
            lambda ip: True,
        )
        settings = self._settings(sink.addresses[0], key)
        sandbox = Sandbox()
        daemon = Daemon(
            settings=settings,
            folder=self.folder,
            demo_inbox=inbox,
            front=lambda behind: Front(behind, inbox, sandbox),
        )
        started_at = now_ms()
        await daemon.start()
        is_seeded = bool(self.seed) and await seed(daemon, self.seed, started_at)
        if self.seed and not is_seeded:
            tell(f"there are messages in {self.folder} already; no history is added")
        phone_page = await self._open_phone(daemon)
        self._greet(key, phone_page, is_seeded=is_seeded)
        following = asyncio.create_task(Steps(daemon.store, DOMAIN, inbox, started_at).follow(_say))
        try:
            await daemon.run()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)  # the store was closed under it
            await sandbox.close()
            await sink.stop(1.0)

    async def _open_phone(self, daemon: Daemon) -> str:
        """Serve the phone in the local network, if that is wanted; return the address of its page."""
        if self.lan is None:
            return ""
        pairing = demo_lan.Pairing(self.lan)
        await daemon.serve(WebServer(demo_lan.build(daemon.context, pairing), endpoint=self.lan))
        return pairing.page

    def _key(self) -> str:
        """Return the API key of the demo that is kept here, else a new one."""
        path = self.folder / CONFIG
        found = _KEY.search(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
        return found[1] if found else secrets.token_urlsafe(24)

    def _settings(self, inbox: Endpoint, key: str) -> Settings:
        path = self.folder / CONFIG
        path.touch(mode=0o600)  # it holds the API key
        text = configuration(folder=self.folder, smtp=self.smtp, web=self.web, inbox=inbox, key=key)
        path.write_text(text, encoding="utf-8")
        return read_settings(path)

    def _greet(self, key: str, phone_page: str, *, is_seeded: bool) -> None:
        """Say where everything is; a program gets one JSON object."""
        page = f"http://{self.web}/demo"
        ssh_host = _ssh_host()
        will_open = self.is_opened and sys.stdout.isatty() and not ssh_host and _has_browser()
        if sys.stdout.isatty():
            by_ssh = _BY_SSH.format(port=self.web.port, web=self.web, user=getpass.getuser(), host=ssh_host)
            text = _WELCOME.format(
                version=__version__,
                page=page,
                look=by_ssh if ssh_host else _OPENING if will_open else _BY_HAND,
                web=self.web,
                smtp=str(self.smtp),
                program=PROGRAM,
                domain=DOMAIN,
                phone=PHONE.removeprefix("+"),
                key=key,
                at="" if self.smtp == SMTP_PLACE else f" --smtp {self.smtp}",
                forgets="" if self.is_kept else ", which forgets everything",
            )
            if is_seeded:
                text += (
                    f"  History     {self.seed} messages of the last two weeks, with replies and failures\n"
                )
            if phone_page:
                text += _PHONE.format(code=drawn(phone_page), page=phone_page)
        else:
            places = {"smtp": str(self.smtp), "web": str(self.web), "page": page}
            if phone_page:
                places["phone_page"] = phone_page
            text = json.dumps({"event": "ready", "domain": DOMAIN, **places, "key": key})
        print(text, flush=True)
        if will_open:
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()


def _has_browser() -> bool:
    """Whether a browser would open a window here."""
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")) and sys.platform != "darwin":
        return False
    try:
        return getattr(webbrowser.get(), "name", "") not in _TERMINAL_BROWSERS
    except webbrowser.Error:
        return False


def _ssh_host() -> str:
    """Return which address of this machine its user has come to by SSH, if so."""
    found = os.environ.get("SSH_CONNECTION", "").split()
    return found[2] if len(found) == 4 else ""


def _say(step: Step) -> None:
    if sys.stdout.isatty():
        print(step.as_line(shutil.get_terminal_size().columns), flush=True)
        return
    about = {"at": step.moment.isoformat(), "event": step.event, "message": step.message}
    print(json.dumps({**about, **step.facts}, ensure_ascii=False), flush=True)
