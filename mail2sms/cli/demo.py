"""`mail2sms demo` and `mail2sms demo send`: arguments, ports, folder. Imports neither typer nor rich.

What runs is in `demo_run`, imported when it does.
"""

from __future__ import annotations

import contextlib
import errno
import smtplib
import socket
import sys
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path

from mail2sms.cli import CONFIG, Exit, Failed, run_loop, tell, typed
from mail2sms.cli.main import Parser
from mail2sms.endpoint import Endpoint
from mail2sms.errors import BadOption, StoreUnavailable
from mail2sms.options import read_endpoint

DOMAIN = "sms.demo.example"
PHONE = "+33639981234"
SMTP_PLACE, WEB_PLACE = Endpoint("127.0.0.1", 2525), Endpoint("127.0.0.1", 8025)
OURS = "# The configuration of the demo"
"""How the configuration of a demo begins, and no other."""
_PORTS = 20  # how many ports are tried after the one that was asked for
_SMTP_S, _KNOCK_S = 20.0, 2.0
_SEEDS = 20_000
_ELSEWHERE = "192.0.2.1"  # RFC 5737: nobody's


def demo_parser() -> Parser:
    """Return the parser of `demo`."""
    parser = Parser("demo", "Everything on this computer: no SMS and no email leaves it.")
    parser.add_argument("--smtp", metavar="HOST:PORT", help=f"where emails are taken ({SMTP_PLACE})")
    parser.add_argument("--web", metavar="HOST:PORT", help=f"where the page and the API are ({WEB_PLACE})")
    parser.add_argument("--no-browser", action="store_true", help="don't open the page")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep everything there, and go on with it")
    parser.add_argument(
        "--seed", metavar="N", type=_count, default=0, help="N messages of the last two weeks"
    )
    parser.add_argument("--lan", action="store_true", help="let a real phone be the simulated one (QR code)")
    parser.epilog = 'demo send "TEXT" hands an email to a running demo.'
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run `demo` or `demo send`; return the exit code. Raises Failed."""
    if list(arguments[:1]) == ["send"]:
        return _send(arguments[1:])
    given = demo_parser().parse_args(arguments)
    smtp = free_place(_place(given.smtp, SMTP_PLACE), None)
    web = free_place(_place(given.web, WEB_PLACE), smtp)
    lan = free_place(Endpoint(_lan_address(), web.port), None) if given.lan else None

    with _folder(given.keep) as folder:
        from mail2sms import log
        from mail2sms.cli.demo_run import Demo

        log.configure("error")
        demo = Demo(
            folder=folder,
            smtp=smtp,
            web=web,
            is_kept=bool(given.keep),
            is_opened=not given.no_browser,
            seed=given.seed,
            lan=lan,
        )
        with contextlib.suppress(KeyboardInterrupt):
            run_loop(demo.run())
    kept = f"everything is in {given.keep}" if given.keep else "nothing was kept"
    after = f"\nNext: {typed('init')}   writes your own mail2sms.yaml in five questions" * sys.stderr.isatty()
    print(f"Stopped; {kept}.{after}", file=sys.stderr)
    return Exit.OK


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Give the demo's folder; one that is not kept goes away with all that is in it. Raises Failed."""
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="mail2sms-demo-") as name:
            yield Path(name)
        return
    if set(str(kept.resolve())) & set("#?"):
        raise Failed(Exit.USAGE, f"{kept}: a database's path can hold no # or ?; keep it elsewhere")
    try:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise Failed(Exit.NOT_ALLOWED, f"{kept} can't be made: {e.strerror}") from e
    config = kept / CONFIG
    if config.exists() and not config.read_text(encoding="utf-8", errors="replace").startswith(OURS):
        raise Failed(
            Exit.NOT_ALLOWED, f"{config} is no demo's, and one would write over it; keep it elsewhere"
        )
    _alone(kept)
    yield kept.resolve()


def _alone(kept: Path) -> None:
    """Before anything there is written: another demo may go on in that folder. Raises Failed."""
    from mail2sms.store import engine

    try:
        engine.lock(f"sqlite:///{kept.resolve()}/mail2sms.db").close()
    except StoreUnavailable as e:
        raise Failed(Exit.TRY_AGAIN, f"{e}: --keep another folder") from e


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _SEEDS):
        raise ArgumentTypeError(f"a number from 1 to {_SEEDS}, please, not {text!r}")
    return int(text)


def _lan_address() -> str:
    """Return this machine's address in its network. Raises Failed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        try:
            door.connect((_ELSEWHERE, 9))  # UDP: nothing is sent, the address is only chosen
        except OSError as e:
            raise Failed(Exit.UNAVAILABLE, "--lan: this machine is in no network") from e
        return str(door.getsockname()[0])


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
        try:
            found = _bound(wish.host, port)
        except OSError as e:
            hint = "; ports below 1024 are root's" * (e.errno == errno.EACCES)
            raise Failed(Exit.NOT_ALLOWED, f"{Endpoint(wish.host, port)}: {e.strerror}{hint}") from e
        if found is None or found == taken:
            continue
        if wish.port not in (0, found.port):
            tell(f"port {wish.port} is taken; using {found.port}")
        return found
    raise Failed(Exit.UNAVAILABLE, f"no port from {wish.port} to {wish.port + _PORTS - 1} is free")


def _bound(host: str, port: int) -> Endpoint | None:
    """Return where one can listen, None where somebody else does. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((host, port))
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            return None
        return Endpoint(host, door.getsockname()[1])


def send_parser() -> Parser:
    """Return the parser of `demo send`."""
    parser = Parser("demo send", "Hand an email to the running demo.")
    parser.add_argument("text", metavar="TEXT", help="what the phone is to show")
    parser.add_argument("--to", metavar="NUMBER", default=PHONE, help=f"the phone ({PHONE})")
    parser.add_argument("--smtp", metavar="HOST:PORT", help="where the demo takes emails (found by itself)")
    return parser


def _send(arguments: Sequence[str]) -> int:
    given = send_parser().parse_args(arguments)
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
    raise Failed(Exit.UNAVAILABLE, f"no demo takes mail at {where}; is {typed('demo')} running?")
