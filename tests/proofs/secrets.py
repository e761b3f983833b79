"""No text, number, address or secret that passes through a daemon is found in its log, metrics or the URLs it asks.

    ./run prove secrets

A daemon with all its doors; planted words, numbers, addresses, passwords and keys go through every one of them:
taken, refused for each reason, garbled, asked for by the wrong; its smarthost and its chat room answer with what they
were given, and its own parts fail with it: a carrier, a letter, the reader of HTML, a thread, a forgotten task, a
destructor. Controls: a daemon that logs one of them, in an event of ours, in another's, or as an error's text.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import re
import signal
import smtplib
import socket
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import argon2
from aiosmtpd.smtp import AuthResult

from tests.proofs._broken import breaker
from tests.servers._server import free_port, wait_until
from tests.servers.certificates import certificate
from tests.servers.daemon import DOMAIN, Daemon
from tests.servers.sink import MailSink

WORD, SUBJECT, NAME = "Zwiebelkuchen", "Quittengelee", "Rosalinde"
PHONES = ("+33639987654", "+33639983210", "+33639987867", "+33639980404", "+33639980000")
WRITER, STRANGER = "rosalinde@acme.example", "fremdling@elsewhere.example"
PASSWORD, WRONG_PASSWORD = "correct-horse-7411-battery", "wrong-horse-8522-battery"
API_KEY, WRONG_KEY = "key-9633-of-the-booking-system", "key-0744-of-nobody-at-all-here"
HOOK_SECRET, SMARTHOST_PASSWORD = "whsec_c2VjcmV0LW9mLXRoZS1jaGF0LXJvb20=", "smarthost-1855-password"
OURS = "+33639980101"
_SILENCE_S = 0.2
_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

PLANTED = {
    "a text": WORD,
    "a subject": SUBJECT,
    "a name": NAME,
    "an address": WRITER,
    "a stranger's address": STRANGER,
    "a password": PASSWORD,
    "a wrong password": WRONG_PASSWORD,
    "an API key": API_KEY,
    "a wrong API key": WRONG_KEY,
    "the secret of a hook": HOOK_SECRET.removeprefix("whsec_"),
    "the password at the smarthost": SMARTHOST_PASSWORD,
    **{f"the number ..{phone[-4:]}": phone[3:] for phone in PHONES},
}
"""What is planted, by what it is; numbers as far as all ways to write them have it."""


def forms(planted: str) -> Iterator[str]:
    """Yield how something may be written."""
    yield planted
    yield quote(planted, safe="")
    yield planted.encode().hex()
    for shift in range(3):
        whole = base64.b64encode(b" " * shift + planted.encode()).decode()
        yield whole[4 if shift else 0 : len(whole) - len(whole) % 4 - 4]
    if planted.isdigit():
        yield " ".join([planted[0], *re.findall("..", planted[1:])])


def leaks(where: str, text: str) -> list[str]:
    """Return what is found of all that is planted."""
    lowered = text.lower()
    return [
        f"{what} in {where}: ...{_around(lowered, form.lower())}..."
        for what, planted in PLANTED.items()
        for form in forms(planted)
        if len(form) >= 6 and form.lower() in lowered
    ]


def _around(text: str, found: str) -> str:
    at = text.index(found)
    return text[max(0, at - 60) : at + len(found) + 20].replace("\n", " ")


@dataclass(slots=True)
class Figures:
    """How much was done and looked at, and what was found."""

    asked: int = 0
    looked_at: dict[str, int] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)
    found: list[str] = field(default_factory=list)

    def look(self, where: str, text: str) -> None:
        """Search a text."""
        self.looked_at[where] = self.looked_at.get(where, 0) + len(text)
        self.found += leaks(where, text)

    @property
    def is_kept(self) -> bool:
        """Whether enough was done, and nothing found."""
        return not self.found and self.asked >= 60 and self.looked_at.get("the log", 0) > 5_000

    def __str__(self) -> str:
        looked = ", ".join(f"{size} characters of {where}" for where, size in self.looked_at.items())
        return (
            f"{self.asked} things done, {len(self.events)} kinds of events; {looked}: {len(self.found)} found"
        )


class Room(http.server.BaseHTTPRequestHandler):
    """A chat room that answers with what it was told, and fails."""

    urls: list[str] = []  # noqa: RUF012  # of the run

    def do_POST(self) -> None:
        """Remember the URL, refuse with the body."""
        Room.urls.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(500, WORD)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Echo(MailSink):
    """A smarthost that wants a password, and refuses with what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.passwords: list[bytes] = []
        self._controller.SMTP_kwargs.update(authenticator=self._authenticate, auth_require_tls=False)

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        self.passwords.append(data.password)
        return AuthResult(success=True)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """Take some, name the others."""
        if "boom" in address:
            return f"550 5.1.1 <{address}> {NAME} is not here, {PHONES[0]}"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"


FAILING = f"""
import asyncio, threading
from mail2sms.carriers.simulated import Simulated
from mail2sms.intake import html
from mail2sms.relay.letters import Letters

async def send(self, part, _send=Simulated.send):
    if "Kaputt" in part.text:
        async def lost():
            raise ValueError(part.text + part.msisdn)
        asyncio.ensure_future(lost())
        threading.Thread(target=lambda: int(part.text)).start()
        class Gone:
            def __del__(self):
                raise ValueError(part.text)
        Gone()
        raise RuntimeError(part.text + part.msisdn + "{PASSWORD}")
    return await _send(self, part)

async def email(self, notice, _email=Letters.email):
    outgoing = await _email(self, notice)
    if outgoing is not None and b"Kaputt" in outgoing.content:
        raise LookupError(outgoing.content.decode())
    return outgoing

def to_text(page, _to_text=html.to_text):
    if "Kaputt" in page:
        raise KeyError(page)
    return _to_text(page)

Simulated.send, Letters.email, html.to_text = send, email, to_text
"""
"""Its own parts fail with what they hold."""


@contextmanager
def running(patch: str) -> Iterator[tuple[Daemon, dict[str, int], Echo]]:
    """A daemon with all doors; returns their ports too."""
    Room.urls = []
    room = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Room)
    threading.Thread(target=room.serve_forever, daemon=True).start()
    ports = {name: free_port() for name in ("smtp", "submission", "devices", "lmtp", "web")}
    with ExitStack() as stack:
        stack.callback(room.server_close)
        stack.callback(room.shutdown)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mail2sms-secrets-")))
        cert, key = certificate(folder)
        sink = stack.enter_context(Echo())
        doors = ", ".join(
            f'{name}: {{address: "127.0.0.1:{port}"{more}}}'
            for (name, port), more in zip(
                ports.items(),
                ("", "", ", tls: legacy", "", f', url: "http://127.0.0.1:{ports["web"]}"'),
                strict=True,
            )
        )
        smarthost = f'address: "127.0.0.1:{sink.port}", login: sms, password: {SMARTHOST_PASSWORD}'
        url = f"http://127.0.0.1:{room.server_port}/x"
        hook = f'{{on: [reply, failed], url: "{url}", format: webhook, secret: {HOOK_SECRET}}}'
        extra = (
            f"listen: {{{doors}}}\ntls: {{certificate: {cert}, key: {key}}}\n"
            'senders: [{from: "*@acme.example", network: 127.0.0.1}, {from: "*@acme.example", proof: [login, dkim]}]\n'
            f"users: {{{WRITER}: {{name: {NAME}, number: '{OURS}', password: '{_HASHER.hash(PASSWORD)}'}}}}\n"
            f"relay: {{smarthost: {{{smarthost}}}, hooks: [{hook}]}}\n"
            f"api: {{keys: [{{name: booking, key: {API_KEY}, may: [read, send]}}]}}\n"
            "carriers: {sim: {type: simulated, delay: 10ms}}\n"
        )
        wrap = breaker(folder, FAILING + patch)
        with Daemon(extra=extra, wrap=wrap, smtp_port=ports["smtp"], web_port=ports["web"]) as daemon:
            yield daemon, ports, sink


def _head(sender: str = WRITER, more: str = "") -> str:
    id_ = f"<{time.monotonic_ns()}@acme.example>"
    return f"From: {NAME} <{sender}>\r\nSubject: {SUBJECT}\r\nMessage-ID: {id_}\r\n{more}"


_NUMBER = f"{PHONES[0][1:]}@{DOMAIN}"
MAILS: tuple[tuple[str, str, str, str], ...] = (
    *((f"{phone[1:]}@{DOMAIN}", WRITER, _head(), f"{WORD} {phone}") for phone in PHONES),
    (_NUMBER, WRITER, _head(), f"Kaputt {WORD}"),
    (_NUMBER, WRITER, _head(more="Content-Type: text/html\r\n"), f"<p>Kaputt {WORD}"),
    (_NUMBER, WRITER, _head(more="Disposition-Notification-To: x\r\n"), f"{WORD} bitte"),
    (f"sms@{DOMAIN}", WRITER, _head(), f"To: {PHONES[0]}, {WORD}\r\nFarbe: {WORD}\r\n\r\n{WORD}\r\n##"),
    (f"sms@{DOMAIN}", WRITER, _head(), f"Tel: {PHONES[1]}\r\nFrom: {NAME}\r\nAt: {WORD}\r\n\r\n{WORD}\r\n##"),
    (f"sms@{DOMAIN}", "boom@acme.example", _head("boom@acme.example"), WORD),
    (_NUMBER, WRITER, _head(), WORD * 200),
    (_NUMBER, WRITER, _head(), ""),
    (_NUMBER, STRANGER, _head(STRANGER), WORD),
    (_NUMBER, "", _head(), WORD),
    (_NUMBER, WRITER, _head(more="Auto-Submitted: auto-replied\r\n"), WORD),
    (_NUMBER, WRITER, _head() + f"From: {STRANGER}\r\n", WORD),
    (_NUMBER, WRITER, _head(more=f"X: {WORD * 999}\r\n"), WORD),
    (_NUMBER, WRITER, _head(more="Received: x\r\n" * 60), WORD),
    (_NUMBER, WRITER, _head(), f"{WORD}\n.\r{WORD}\0"),
    (f"{PHONES[0][1:]}+raaaaaaaaaa@{DOMAIN}", WRITER, _head(), WORD),
    (f"{WORD}@{DOMAIN}", WRITER, _head(), WORD),
    (f"{PHONES[0][1:]}@elsewhere.example", WRITER, _head(), WORD),
    (f"{PHONES[0][1:-2]}@{DOMAIN}", WRITER, _head(), WORD),
    (f"447700900123@{DOMAIN}", WRITER, _head(), WORD),
)  # fmt: skip
"""Recipient, envelope sender, header, text: taken, and refused for each kind of reason."""


def _post(port: int, to: str, sender: str, content: bytes, **options: Any) -> None:
    with contextlib.suppress(smtplib.SMTPException, OSError), smtplib.SMTP("127.0.0.1", port) as smtp:
        if options.get("login"):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            smtp.starttls(context=context)
            smtp.login(*options["login"])
        smtp.ehlo("client.example")
        smtp.mail(sender, options.get("mail", ()))
        smtp.rcpt(to, options.get("rcpt", ()))
        smtp.docmd("DATA")
        smtp.send(content + b"\r\n.\r\n")
        smtp.getreply()


def _by_smtp(daemon: Daemon, ports: dict[str, int]) -> Iterator[Callable[[], Any]]:
    for to, sender, head, text in MAILS:
        content = f"{head}\r\n{text}".encode()
        yield lambda to=to, sender=sender, content=content: _post(ports["smtp"], to, sender, content)
    taken = f"{_head()}\r\n{WORD} noch einmal".encode()
    asked = {
        "mail": ["RET=FULL", f"ENVID={WORD}"],
        "rcpt": ["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{WRITER}"],
    }
    for to in (_NUMBER, f"{PHONES[3][1:]}@{DOMAIN}"):
        yield lambda to=to: _post(ports["smtp"], to, WRITER, taken + to.encode(), **asked)
    for login in (
        (WRITER, PASSWORD),
        (WRITER, WRONG_PASSWORD),
        (STRANGER, WRONG_PASSWORD),
        (WRONG_PASSWORD, PASSWORD),
    ):
        for port in ("submission", "devices"):
            yield lambda port=port, login=login: _post(ports[port], _NUMBER, WRITER, taken, login=login)
    yield lambda: _post(ports["devices"], _NUMBER, WRITER, f"{_head()}\n{WORD} Alarm".encode())


_LINES = (
    f"AUTH PLAIN {base64.b64encode(f'x{WRITER}{WRONG_PASSWORD}'.encode()).decode()}",
    f"{WORD} {PHONES[0]}",
    f"MAIL FROM:<{WRITER}\0>",
    f"MAIL FROM:<{WRITER}> {WORD}={WORD}",
    f"RCPT TO:<{PHONES[0][1:]}@{DOMAIN}>",
    f"VRFY {WRITER}",
    f"EHLO {WORD}{WORD * 200}",
    f"DATA {WORD}",
    f"LHLO {NAME}",
)


def _garbled(ports: dict[str, int]) -> Iterator[Callable[[], Any]]:
    for name in ("smtp", "submission", "devices", "lmtp"):
        yield lambda name=name: _talk(ports[name], ("EHLO x", *_LINES))
        yield lambda name=name: _talk(ports[name], ("LHLO x", "STARTTLS", WORD))
    mail = ("LHLO x", f"MAIL FROM:<{WRITER}>", f"RCPT TO:<{_NUMBER}>", f"RCPT TO:<{WORD}@{DOMAIN}>", "DATA")
    yield lambda: _talk(ports["lmtp"], (*mail, f"{_head()}\r\n{WORD}\r\n.", "QUIT"))
    yield lambda: _talk(ports["web"], (f"GET /{WORD}{PHONES[0]} HTTP/1.1", f"X: {API_KEY}", ""))
    yield lambda: _talk(ports["web"], (f"{WORD} / {WORD}", ""))


def _talk(port: int, lines: tuple[str, ...]) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as link:
        link.settimeout(_SILENCE_S)
        for line in lines:
            link.sendall(line.encode() + b"\r\n")
            time.sleep(0.01)
        while link.recv(65536):
            pass


def _by_http(daemon: Daemon, figures: Figures) -> Iterator[Callable[[], Any]]:
    def ask(
        path: str, method: str = "GET", body: bytes | None = None, key: str = API_KEY, **more: str
    ) -> None:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **more}
        url = f"http://127.0.0.1:{daemon.web_port}{path}"
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                answer.read()
        except urllib.error.HTTPError as e:
            with e:
                said = e.read().decode(errors="replace")
            if key == WRONG_KEY:  # a stranger learns nothing
                figures.look("what strangers are told", said)

    phone = quote(PHONES[0])
    order = f'{{"to": "{PHONES[0]}", "text": "{WORD}"}}'.encode()
    again = order.replace(WORD.encode(), f"{WORD} {WORD}".encode())
    for key in (API_KEY, WRONG_KEY):
        for method, path, body in (
            ("POST", "/api/v1/messages", order),
            ("POST", "/api/v1/messages", order[:-3]),
            ("POST", "/api/v1/messages", order.replace(b"text", WORD.encode())),
            ("POST", "/api/v1/messages", order.replace(PHONES[0].encode(), WORD.encode())),
            ("POST", "/api/v1/messages?dry_run=true", order),
            ("GET", f"/api/v1/messages?to={phone}&status={WORD}", None),
            ("GET", f"/api/v1/messages/{WORD}", None),
            ("GET", f"/api/v1/notices?to={WRITER}", None),
            ("GET", f"/approve/v-{WORD}.{WORD}", None),
            ("POST", f"/events/{WORD}?text={WORD}", order),
            ("POST", "/events/sim", order),
        ):
            yield lambda m=method, p=path, b=body, k=key: ask(p, m, b, k)
    for body in (order, order, again):
        yield lambda body=body: ask("/api/v1/messages", "POST", body, **{"Idempotency-Key": WORD * 2})
    for text in (f"{WORD} zurück", "STOP", f"Kaputt {WORD}"):
        for number in (PHONES[0], PHONES[1]):
            said = f'{{"text": "{text}", "to": "{OURS}"}}'.encode()
            yield lambda n=number, s=said: ask(f"/sim/phones/{quote(n)}", "POST", s)
    yield lambda: ask("/metrics")
    yield lambda: ask(f"/help?lang={WORD}")


def run(patch: str = "") -> Figures:
    """Do it all, and look everywhere."""
    figures = Figures()
    with running(patch) as (daemon, ports, sink):
        for source in (_by_smtp(daemon, ports), _garbled(ports), _by_http(daemon, figures)):
            with ThreadPoolExecutor(10) as pool:  # who fails to log in has to wait
                asked = [pool.submit(one) for one in source]
            figures.asked += len([one.result() for one in asked])
        assert wait_until(lambda: len(sink.mails) >= 5 and len(Room.urls) >= 2, 20), (
            len(sink.mails),
            Room.urls,
        )
        sink.reply = f"451 4.3.0 {WORD} <{WRITER}> later"
        _post(ports["smtp"], f"sms@{DOMAIN}", WRITER, f"{_head()}\r\nTel: {PHONES[1]}\r\n\r\n{WORD}".encode())
        daemon.config.write_text(daemon.config.read_text() + f"\n{WORD}: {PASSWORD}\n", encoding="utf-8")
        os.kill(daemon.pid, signal.SIGHUP)
        assert wait_until(lambda: "reload_refused" in daemon.log(), 10)
        assert sink.passwords
        for path in ("/metrics", "/healthz"):
            figures.look(path, str(daemon.api(path)[1]))
        daemon.stop()
        log = daemon.log()
    figures.look("the log", log)
    figures.look("the URLs of a chat room", "\n".join(Room.urls))
    figures.events = set(re.findall(r'"event": ?"(\w+)"', log))
    return figures


IN_AN_EVENT = """
from mail2sms.store import teaching
from mail2sms.log import log
refused_notice = teaching.refused_notice

def told(id_, writer, *words, **more):
    log.info("mail_refused", where=writer.address)
    return refused_notice(id_, writer, *words, **more)

teaching.refused_notice = told
"""
ERRORS_TEXT = """
from mail2sms.dispatch import attempts
attempts.where = repr
"""
ANOTHERS = """
import logging
from mail2sms import log
log._Placed = logging.Formatter
"""
TRACEBACK = """
import sys, threading
from mail2sms import log

def configure(level="info", _configure=log.configure, _hook=threading.excepthook):
    _configure(level)
    threading.excepthook = _hook

log.configure = configure
"""
CONTROLS = {
    "an address in an event": IN_AN_EVENT,
    "the text of an error": ERRORS_TEXT,
    "the traceback of a task": ANOTHERS,
    "the traceback of a thread": TRACEBACK,
}


def main(argv: list[str]) -> int:
    """Print the figures; 0 when nothing was found, but in the controls."""
    figures = run()
    print(figures, flush=True)
    print(f"  events: {', '.join(sorted(figures.events))}")
    for each in figures.found[:20]:
        print(f"    {each}")
    is_kept = figures.is_kept
    for what, patch in CONTROLS.items():
        broken = run(patch)
        is_kept &= bool(broken.found)
        print(f"  control: {what}: {broken.found[0][:160] if broken.found else 'NOT FOUND'}", flush=True)
    return not is_kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
