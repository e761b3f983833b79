"""The load generator: sessions that send mails without pause, and what they were answered. A process of its own.

Usage: load JSON, the fields of `Load`; it prints the fields of `Answers` as JSON. Standard library alone. Nothing is
pipelined. Every mail has a Message-ID and a text of its own, and the phones take turns; the rest is bytes made before.
One thread and epoll, because it must cost far less than what it measures: `./run bench` shows it against smtp-sink.
With `url` the same texts go to an HTTP server, over kept connections.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

DOMAIN = "sms.acme.example"
SENDER = "marie@acme.example"
FICTION = "3363998"
_ENDINGS = tuple(f"{n:04d}" for n in range(1000, 3000))  # none of the simulated carrier's that misbehave
_GIVE_UP_S = 60.0
_READ_BYTES = 65536
_KINDS = 5  # of failures that are told apart
_EHLO = b"EHLO client.acme.example\r\n"
_MAIL = f"MAIL FROM:<{SENDER}>\r\n".encode()
_DATA, _QUIT = b"DATA\r\n", b"QUIT\r\n"
_GREETING, _HELLO, _FROM, _TO, _GO, _DOT, _BYE = range(7)  # what the next reply is about
_EXPECTED = {_GREETING: b"2", _HELLO: b"2", _FROM: b"2", _TO: b"2", _GO: b"3", _DOT: b"2", _BYE: b"2"}
_HEADERS = (
    "Received: from desk.acme.example (desk.acme.example [10.1.0.7])\r\n"
    "\tby mail.acme.example (Postfix) with ESMTPSA id 4Zk1xY2Qz7;\r\n"
    "\tTue, 04 Aug 2026 09:30:00 +0200 (CEST)\r\n"
    f"From: Marie Dubois <{SENDER}>\r\n"
    "Subject: Rendez-vous\r\n"
    "Date: Tue, 04 Aug 2026 09:30:00 +0200\r\n"
    "MIME-Version: 1.0\r\n"
)
_PLAIN = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
_MIXED = (
    'Content-Type: multipart/mixed; boundary="=-7Qm"\r\n\r\n--=-7Qm\r\n'
    "Content-Type: text/plain; charset=utf-8\r\n\r\n"
)
_TEXT = "Bonjour, votre rendez-vous de demain est a 10 h 30 au cabinet, rue des Lilas. Numero "
_ATTACHED = (
    "\r\n--=-7Qm\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
    'Content-Disposition: attachment; filename="plan.pdf"\r\n\r\n'
)
_LINE_OF_BASE64 = "JVBERi0xLjcKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0ZURl\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What to send: until `seconds` are over or `mails` are sent (0: no such end).

    `name` is in every Message-ID. `attachment_bytes`: of base64, in every mail. `prefix`: what phones' numbers begin
    with, before four digits. `url`: a path with its query, which the phone and the text end: {phone}, {text}.
    """

    port: int
    sessions: int
    reuse: bool
    name: str
    seconds: float = 0.0
    mails: int = 0
    attachment_bytes: int = 0
    prefix: str = FICTION
    url: str = ""


@dataclass(kw_only=True, slots=True)
class Answers:
    """What was answered. `waits`: milliseconds from the final dot to its reply, for p50 and p99; `failures`: counted.

    `began_s` is on the machine's monotonic clock; `elapsed_s` ends with the last reply to a final dot; `cpu_us` is this
    process's own for each mail.
    """

    accepted: int = 0
    began_s: float = 0.0
    elapsed_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_us: float = 0.0
    mail_bytes: int = 0
    failures: dict[str, int] = field(default_factory=dict)


class _Mails:
    """Makes one mail after the other."""

    def __init__(self, load: Load) -> None:
        phones = [f"{load.prefix}{ending}" for ending in _ENDINGS]
        attachment = _LINE_OF_BASE64 * (load.attachment_bytes // len(_LINE_OF_BASE64))
        self._before = [f"{_HEADERS}To: {phone}@{DOMAIN}\r\nMessage-ID: <".encode() for phone in phones]
        self._rcpts = [f"RCPT TO:<{phone}@{DOMAIN}>\r\n".encode() for phone in phones]
        self._between = f".{load.name}@acme.example>\r\n{_MIXED if attachment else _PLAIN}".encode()
        self._text = _TEXT.encode()
        self._after = (f"{_ATTACHED}{attachment}--=-7Qm--\r\n.\r\n" if attachment else "\r\n.\r\n").encode()
        self._load, self._count = load, 0

    def next(self) -> tuple[bytes, bytes]:
        """Return its RCPT command and its content with the final dot."""
        self._count += 1
        number, phone = b"%d" % self._count, self._count % len(_ENDINGS)
        content = self._before[phone] + number + self._between + self._text + number + self._after
        return self._rcpts[phone], content

    def next_request(self) -> bytes:
        """Return a GET request for its text and phone."""
        self._count += 1
        load, phone = self._load, f"{self._load.prefix}{_ENDINGS[self._count % len(_ENDINGS)]}"
        text = f"{_TEXT}{self._count}".replace(",", "%2C").replace(" ", "+")
        path = load.url.format(phone=phone, text=text)
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\n\r\n".encode()


class _Session:
    """One client: a connection after the other, or one for all that it sends."""

    __slots__ = ("_rest", "_run", "_sent_at", "_socket", "_unread", "is_open")

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._rest = self._unread = b""
        self._sent_at = 0.0
        self.is_open = False
        self.connect()

    def connect(self) -> None:
        """Open a connection."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect(("127.0.0.1", self._run.load.port))
        self._socket.setblocking(False)
        self._unread, self._rest, self.is_open = b"", b"", True
        self._run.watch(self._socket.fileno(), self)
        self._connected()

    def ready(self, event: int) -> None:
        """Write what is left, or read what came."""
        if event & select.EPOLLOUT:
            self._write(self._rest)
            return
        try:
            data = self._socket.recv(_READ_BYTES)
        except OSError as e:
            self._lost(type(e).__name__)
            return
        if not data:
            self._lost("connection closed")
            return
        self._unread += data
        reply = self._unread
        if self._is_whole(reply):
            self._unread = b""
            self._answered(reply)

    def _connected(self) -> None:
        raise NotImplementedError

    def _is_whole(self, reply: bytes) -> bool:
        raise NotImplementedError

    def _answered(self, reply: bytes) -> None:
        raise NotImplementedError

    def _is_done(self) -> bool:
        """Whether the server may close the connection."""
        return False

    def _write(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            self._lost(type(e).__name__)
            return
        was_waiting, self._rest = bool(self._rest), data[sent:]
        if was_waiting != bool(self._rest):
            wanted = select.EPOLLOUT if self._rest else select.EPOLLIN
            self._run.epoll.modify(self._socket.fileno(), wanted)
        if not self._rest:
            self._sent_at = time.perf_counter()

    def _lost(self, why: str) -> None:
        if not self._is_done():
            self._run.failed(why)
        self._close()

    def _close(self) -> None:
        self._run.forget(self._socket.fileno())
        self._socket.close()
        self.is_open = False
        if self._run.has_time():
            self.connect()


class _SmtpSession(_Session):
    """Sends mails."""

    __slots__ = ("_content", "_step")

    def _connected(self) -> None:
        """The server speaks first."""
        self._step, self._content = _GREETING, b""

    def _is_whole(self, reply: bytes) -> bool:
        start = reply.rfind(b"\n", 0, -1)
        return reply.endswith(b"\r\n") and reply[start + 4 : start + 5] == b" "

    def _is_done(self) -> bool:
        return self._step == _BYE

    def _answered(self, reply: bytes) -> None:
        step = self._step
        if step == _DOT:
            self._run.answered(time.perf_counter() - self._sent_at)
        if not reply.startswith(_EXPECTED[step]):
            self._run.failed(reply.decode("ascii", "replace").strip())
            if step == _DOT:
                self._run.accepted -= 1
            self._close()
        elif step == _FROM:
            rcpt, self._content = self._run.mails.next()
            self._say(_TO, rcpt)
        elif step == _TO:
            self._say(_GO, _DATA)
        elif step == _GO:
            self._say(_DOT, self._content)
        elif step == _BYE:
            self._close()
        elif step == _GREETING:
            self._say(_HELLO, _EHLO)
        elif step == _DOT and not self._run.load.reuse:
            self._say(_BYE, _QUIT)
        elif self._run.goes_on():
            self._say(_FROM, _MAIL)
        else:
            self._say(_BYE, _QUIT)

    def _say(self, step: int, data: bytes) -> None:
        self._step = step
        self._write(data)


class _HttpSession(_Session):
    """Sends texts to an HTTP API by GET."""

    __slots__ = ()

    def _connected(self) -> None:
        self._ask()

    def _ask(self) -> None:
        if self._run.goes_on():
            self._write(self._run.mails.next_request())
        else:
            self._close()

    def _is_whole(self, reply: bytes) -> bool:
        head, blank, body = reply.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        return bool(blank) and len(body) >= int(length or 0)

    def _answered(self, reply: bytes) -> None:
        if reply.split(b" ", 2)[1:2] in ([b"200"], [b"202"]):
            self._run.answered(time.perf_counter() - self._sent_at)
            self._ask()
        else:
            self._run.failed(reply.decode("ascii", "replace").splitlines()[0])
            self._close()


class _Run:
    """All sessions, and what they count."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.mails = _Mails(load)
        self.epoll = select.epoll()
        self.accepted = 0
        self._begun = 0
        self._failures: Counter[str] = Counter()
        self._waits: list[float] = []
        self._sessions: dict[int, _Session] = {}
        self._start = self._last = time.perf_counter()
        self._end = self._start + (load.seconds or _GIVE_UP_S)

    def watch(self, handle: int, session: _Session) -> None:
        self._sessions[handle] = session
        self.epoll.register(handle, select.EPOLLIN)

    def forget(self, handle: int) -> None:
        self.epoll.unregister(handle)
        del self._sessions[handle]

    def has_time(self) -> bool:
        """Whether another mail is to be sent."""
        return time.perf_counter() < self._end and not (self.load.mails and self._begun >= self.load.mails)

    def goes_on(self) -> bool:
        """The same; when it is, the mail has begun."""
        goes_on = self.has_time()
        self._begun += goes_on
        return goes_on

    def answered(self, wait_s: float) -> None:
        self.accepted += 1
        self._waits.append(wait_s)
        self._last = time.perf_counter()

    def failed(self, why: str) -> None:
        known = why if why in self._failures or len(self._failures) < _KINDS else "others"
        self._failures[known[:200]] += 1

    def send(self) -> Answers:
        """Send until the end; a server that does not answer is given up after a minute."""
        for _ in range(self.load.sessions):
            (_HttpSession if self.load.url else _SmtpSession)(self)
        patience = self._end + _GIVE_UP_S
        while self._sessions:
            for handle, event in self.epoll.poll(1.0):
                session = self._sessions.get(handle)
                if session is not None:
                    session.ready(event)
            if time.perf_counter() > patience:
                self.failed(f"no answer for {_GIVE_UP_S:.0f} s")
                break
        return self._answers()

    def _answers(self) -> Answers:
        waits = sorted(self._waits) or [0.0]
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Answers(
            accepted=self.accepted,
            began_s=self._start,
            elapsed_s=self._last - self._start,
            p50_ms=waits[len(waits) // 2] * 1000,
            p99_ms=waits[int(len(waits) * 0.99)] * 1000,
            cpu_us=(used.ru_utime + used.ru_stime) * 1e6 / max(1, self.accepted),
            mail_bytes=len(self.mails.next()[1]),
            failures=dict(self._failures),
        )


def main(argv: list[str]) -> int:
    """Send what the JSON in the first argument asks for."""
    load = Load(**json.loads(argv[0]))
    print(json.dumps(asdict(_Run(load).send())), flush=True)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # without the interpreter's tidying up: the next measurement waits
