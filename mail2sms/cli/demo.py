"""`mail2sms demo`: the whole bridge on this machine, with simulated phones and a mailbox of its own.

The real daemon with a configuration made here; only its smarthost is ours. Imports neither typer nor rich.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import smtplib
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path

from mail2sms import __version__, config, log
from mail2sms.cli import CONFIG, Exit, Failed, read_settings, run_loop, tell
from mail2sms.cli.demo_steps import Step, Steps
from mail2sms.cli.main import Parser
from mail2sms.daemon import Daemon
from mail2sms.errors import BadOption
from mail2sms.intake.envelope import Client, Envelope, ListenerOptions
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.listener import listen
from mail2sms.model import now_ms
from mail2sms.options import Endpoint, read_endpoint
from mail2sms.web.demo import DemoInbox

DOMAIN = "sms.demo.example"
SMTP_PLACE, WEB_PLACE = Endpoint("127.0.0.1", 2525), Endpoint("127.0.0.1", 8025)
_PHONE = "+33639981234"
_PORTS = 20  # how many ports are tried after the one that was asked for
_MAIL_BYTES = 50_000_000
_SMTP_S, _KNOCK_S = 20.0, 2.0

_YAML = """\
# The configuration of mail2sms demo, made anew at each start. mail2sms.yaml of the project shows all there is.
domain: {domain}
country: FR
language: en
mode: simulate
database: {database}
listen:
  smtp: {{address: "{smtp}"}}
  web: {{address: "{web}", url: "http://{web}"}}
senders: [{{from: "*", network: [127.0.0.0/8, "::1"]}}]    # whoever is on this machine
users:
  marie@{domain}: {{name: Marie Dubois, number: "+33639980101"}}
  paul@{domain}: {{name: Paul Martin, number: "+33639980102"}}
  zoe@{domain}: {{name: Zoe Smith, number: "+447700900103"}}
teams:
  oncall: {{phones: ["+33639981234", "+33639985678"], members: [paul@{domain}]}}
default_mailbox: reception@{domain}
sender_ids: {{default: "+33639980100"}}    # a number: every phone can answer
countries: [FR, GB, US, CA, DE, IT, CH, BE, ES, SE, AU, NL]
carriers: {{sim-a: {{type: simulated}}, sim-b: {{type: simulated}}}}
routes: [{{to: any, via: [sim-a, sim-b]}}]
relay: {{smarthost: {{address: "{inbox}"}}}}
api: {{keys: [{{name: demo, key: "{key}", may: [read, send]}}]}}
"""

_WELCOME = """\
mail2sms {version} demo. Everything is simulated: no SMS and no email leaves this computer.

  Look        http://{web}/demo{browser}
  Send email  to  {phone}@{domain}      any number works; this one is a French fiction number
              via {smtp:<28} no password, no TLS
  API         curl -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
                -d '{{"to":"+{phone}","text":"Hello"}}' http://{web}/api/v1/messages

  Numbers that misbehave:  ...0404 does not exist       ...0503 carrier down, the second takes over
                           ...0408 no delivery report   ...0429 throttled once
                           ...7867 answers STOP         ...0606 answers with a photo

  Send one from here:      mail2sms demo send "Votre colis est arrivé"       Ctrl-C stops{forgets}
"""


def run(arguments: Sequence[str]) -> int:
    """Run `demo` or `demo send`; return the exit code. Raises Failed."""
    if arguments[:1] == ["send"]:
        return _send(arguments[1:])
    parser = Parser("mail2sms demo", "Everything on this computer: no SMS and no email leaves it.")
    parser.add_argument("--smtp", metavar="HOST:PORT", help=f"where emails are taken ({SMTP_PLACE})")
    parser.add_argument("--web", metavar="HOST:PORT", help=f"where the page and the API are ({WEB_PLACE})")
    parser.add_argument("--no-browser", action="store_true", help="don't open the page")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep everything there, and go on with it")
    parser.epilog = 'mail2sms demo send "TEXT" hands an email to a running demo.'
    given = parser.parse_args(arguments)
    smtp = free_place(_place(given.smtp, SMTP_PLACE), None)
    web = free_place(_place(given.web, WEB_PLACE), smtp)
    log.configure("warning")
    with _folder(given.keep) as folder:
        demo = _Demo(
            folder=folder, smtp=smtp, web=web, is_kept=bool(given.keep), is_opened=not given.no_browser
        )
        with contextlib.suppress(KeyboardInterrupt):
            run_loop(demo.run())
    kept = f"everything is in {given.keep}" if given.keep else "nothing was kept"
    print(f"Stopped; {kept}.", file=sys.stderr)
    return Exit.OK


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Give the demo's folder; one that is not kept goes away with all that is in it."""
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="mail2sms-demo-") as name:
            yield Path(name)
        return
    try:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise Failed(Exit.NOT_ALLOWED, f"{kept} can't be made: {e.strerror}") from e
    yield kept.resolve()


def _place(text: str | None, default: Endpoint) -> Endpoint:
    if text is None:
        return default
    try:
        place = read_endpoint(text)
    except BadOption as e:
        raise Failed(Exit.USAGE, f"{e}; {e.hint}") from e
    if not place.is_loopback:
        raise Failed(Exit.USAGE, f"{place} is not of this machine alone; the demo takes mail from anybody")
    return place


def free_place(wish: Endpoint, taken: Endpoint | None) -> Endpoint:
    """Return the endpoint (port 0: any), or the next free port after it, which is said. Raises Failed."""
    for port in range(wish.port, min(wish.port + _PORTS, 65_536)):
        found = _bound(wish.host, port)
        if found is None or found == taken:
            continue
        if wish.port not in (0, found.port):
            tell(f"port {wish.port} is taken; using {found.port}")
        return found
    raise Failed(Exit.UNAVAILABLE, f"no port from {wish.port} to {wish.port + _PORTS - 1} is free")


def _bound(host: str, port: int) -> Endpoint | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((host, port))
        except OSError:
            return None
        return Endpoint(host, door.getsockname()[1])


def configuration(*, folder: Path, smtp: Endpoint, web: Endpoint, inbox: Endpoint, key: str) -> str:
    """Return the demo's mail2sms.yaml."""
    database = json.dumps(f"sqlite:///{folder}/mail2sms.db", ensure_ascii=False)
    return _YAML.format(domain=DOMAIN, database=database, smtp=smtp, web=web, inbox=inbox, key=key)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Demo:
    """One run of the demo."""

    folder: Path
    smtp: Endpoint
    web: Endpoint
    is_kept: bool
    is_opened: bool

    async def run(self) -> None:
        """Start everything, say what happens, and stop when told to."""
        inbox = DemoInbox(self.folder / "inbox" if self.is_kept else None)
        sink = await listen(
            Endpoint("127.0.0.1", 0),
            ListenerOptions(hostname=f"inbox.{DOMAIN}"),
            Budget(Limits(size_bytes=_MAIL_BYTES, bytes_in_flight=2 * _MAIL_BYTES)),
            _Mailbox(inbox),
            lambda ip: True,
        )
        key = secrets.token_urlsafe(24)
        settings = self._settings(sink.addresses[0], key)
        daemon = Daemon(settings=settings, folder=self.folder, demo_inbox=inbox)
        started_at = now_ms()
        await daemon.start()
        self._greet(key)
        following = asyncio.create_task(Steps(daemon.store, DOMAIN, inbox, started_at).follow(_say))
        try:
            await daemon.run()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)  # the store was closed under it
            await sink.stop(1.0)

    def _settings(self, inbox: Endpoint, key: str) -> config.Settings:
        path = self.folder / CONFIG
        path.touch(mode=0o600)  # it holds the API key
        text = configuration(folder=self.folder, smtp=self.smtp, web=self.web, inbox=inbox, key=key)
        path.write_text(text, encoding="utf-8")
        return read_settings(path)

    def _greet(self, key: str) -> None:
        """Say where everything is; a program gets one JSON object."""
        page = f"http://{self.web}/demo"
        will_open = self.is_opened and _has_display()
        if sys.stdout.isatty():
            text = _WELCOME.format(
                version=__version__,
                web=self.web,
                smtp=str(self.smtp),
                domain=DOMAIN,
                phone=_PHONE.removeprefix("+"),
                key=key,
                browser="            (opening your browser; --no-browser to stop that)" * will_open,
                forgets="" if self.is_kept else " and forgets everything",
            )
        else:
            places = {"smtp": str(self.smtp), "web": str(self.web), "page": page}
            text = json.dumps({"event": "ready", "domain": DOMAIN, **places, "key": key})
        print(text, flush=True)
        if will_open:
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()


def _has_display() -> bool:
    """Whether a browser would open a window: one for terminals would fight for ours."""
    has_window = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.stdout.isatty() and (has_window or sys.platform == "darwin")


def _say(step: Step) -> None:
    if sys.stdout.isatty():
        print(step.as_line(), flush=True)
        return
    about = {"at": step.moment.isoformat(), "event": step.event, "message": step.message}
    print(json.dumps({**about, **step.facts}, ensure_ascii=False), flush=True)


class _Mailbox:
    """Takes every mail into the demo inbox; see `envelope.Handler`."""

    def __init__(self, inbox: DemoInbox) -> None:
        self._inbox = inbox

    def rcpt(self, client: Client, address: str) -> None:
        """Anybody has a mailbox here."""

    async def login(self, client: Client, name: str, password: str) -> bool:
        """Nobody needs to log in."""
        return False

    async def mail(self, envelope: Envelope) -> str:
        """Keep the mail."""
        return f"250 2.0.0 kept as {self._inbox.add(envelope.content)}"


def _send(arguments: Sequence[str]) -> int:
    parser = Parser("mail2sms demo send", "Hand an email to the running demo.")
    parser.add_argument("text", metavar="TEXT", help="what the phone is to show")
    parser.add_argument("--to", metavar="NUMBER", default=_PHONE, help=f"the phone ({_PHONE})")
    parser.add_argument("--smtp", metavar="HOST:PORT", help="where the demo takes emails (found by itself)")
    given = parser.parse_args(arguments)
    wish = _place(given.smtp, SMTP_PLACE)
    ports = range(wish.port, wish.port + (1 if given.smtp else _PORTS))
    to = given.to.replace(" ", "")
    sender, recipient = f"marie@{DOMAIN}", to if "@" in to else f"{to}@{DOMAIN}"
    try:
        code, reply = _submit(wish.host, ports, sender, recipient, _compose(sender, recipient, given.text))
    except UnicodeError as e:
        raise Failed(Exit.USAGE, "text and number are written in UTF-8, the number in ASCII") from e
    except OSError as e:  # smtplib's own errors too
        raise Failed(Exit.UNAVAILABLE, "the demo closed the connection") from e
    print(f"{code} {reply}")
    if code >= 400:
        return Exit.REFUSED if code >= 500 else Exit.TRY_AGAIN
    return Exit.REFUSED if reply.startswith("2.0.0 n-") else Exit.OK  # a notice tells why


def _compose(sender: str, recipient: str, text: str) -> bytes:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = f"Marie Dubois <{sender}>", recipient, "From the terminal"
    mail["Date"], mail["Message-ID"] = formatdate(localtime=True), make_msgid(domain=DOMAIN)
    mail.set_content(text)
    return mail.as_bytes()


def _submit(host: str, ports: range, sender: str, recipient: str, mail: bytes) -> tuple[int, str]:
    """Return the listener's last word: its refusal, or what it said to the mail."""
    with _connected(host, ports) as client:
        client.ehlo()
        code, reply = client.mail(sender, ["BODY=8BITMIME"])
        if code < 400:
            code, reply = client.rcpt(recipient)
        if code < 400:
            code, reply = client.data(mail)
    return code, reply.decode("ascii", "replace")


def _connected(host: str, ports: range) -> smtplib.SMTP:
    """Return a connection to the first port where a demo answers. Raises Failed."""
    for port in ports:
        client = smtplib.SMTP(local_hostname="localhost", timeout=_KNOCK_S)
        try:
            code, banner = client.connect(host, port)
        except OSError:  # nobody, or nobody who speaks SMTP
            client.close()
            continue
        if code == 220 and DOMAIN.encode() in banner and client.sock is not None:
            client.sock.settimeout(_SMTP_S)
            return client
        client.close()
    where = f"{host}:{ports[0]}" + (f" to {ports[-1]}" if len(ports) > 1 else "")
    raise Failed(Exit.UNAVAILABLE, f"no demo takes mail at {where}; is mail2sms demo running?")
