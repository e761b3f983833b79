"""Machines that answer each other stop: another bridge, auto-responders, bounces, bots at the phone.

    ./run prove loops

Real daemons. At each end stands a machine that answers whatever comes, at once and for ever: a mailbox that answers
every email, a phone that answers every SMS, another daemon. A person starts it once; then it is counted what each
machine has brought about when nothing has happened for a while. Controls: the same with its guard taken out; then it
does not stop by itself.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import itertools
import smtplib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.proofs._broken import breaker
from tests.servers._server import free_port
from tests.servers.daemon import DOMAIN, Daemon
from tests.servers.sink import MailSink

MARIE, PHONE, OURS = "marie@acme.example", "+33639981234", "+33639980101"
OTHER, THEIR_PHONE, THEIRS = "sms.other.example", "+33639985555", "+33639980102"
_QUIET_S = 2.5  # nothing for so long: it is over
_ENOUGH = 8  # of one machine: it does not stop
_MARKED = {
    "Auto-Submitted": "auto-replied",
    "X-Auto-Response-Suppress": "All",
    "Precedence": "auto_reply",
    "X-Autoreply": "yes",
}


@dataclass(slots=True)
class Counts:
    """What happened, and when it last did: `sms` by machines (without the person's), `emails` about mails."""

    sms: int = 0
    emails: int = 0
    texts: int = 0
    at_s: float = field(default_factory=time.monotonic)

    def note(self, what: str) -> None:
        """Count one."""
        setattr(self, what, getattr(self, what) + 1)
        self.at_s = time.monotonic()

    def settle(self) -> None:
        """Return when it is over, or goes on for ever."""
        self.at_s = time.monotonic()
        while time.monotonic() - self.at_s < _QUIET_S and max(self.sms, self.emails) < _ENOUGH:
            time.sleep(0.05)


class Bot:
    """A phone that answers every SMS."""

    def __init__(
        self, daemon: Daemon, phone: str, ours: str, say: Callable[[int], str], counts: Counts
    ) -> None:
        self._daemon, self._phone, self._ours, self._say, self._counts = daemon, phone, ours, say, counts
        self._answered = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._is_over.wait(0.05):
            shown = [line for line in self._daemon.phone(self._phone) if line.get("from") == self._ours]
            for _ in shown[self._answered :]:
                self._answered += 1
                self._counts.note("sms")
                self._daemon.phone_says(self._phone, self._say(self._answered), self._ours)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)


class Responder(MailSink):
    """A mailbox that answers every email, whatever it says of itself; `marks` are what its answers say."""

    def __init__(
        self, say: Callable[[int], str], counts: Counts, *, is_threaded: bool = True, **marks: str
    ) -> None:
        super().__init__()
        self.daemon_port = 0
        self._say, self._counts, self._is_threaded, self._marks = say, counts, is_threaded, marks
        self._answered = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Take it, and answer it soon."""
        reply = await super().handle_DATA(server, session, envelope)
        threading.Thread(target=self._answer, args=(envelope.content,), daemon=True).start()
        return reply

    def _answer(self, content: bytes) -> None:
        theirs = email.message_from_bytes(content, policy=email.policy.default)
        if theirs["Message-ID"].startswith("<in."):
            self._counts.note("texts")
        else:
            self._counts.note("emails")
        self._answered += 1
        ours = EmailMessage()
        ours["From"], ours["To"] = MARIE, theirs["Reply-To"] or theirs["From"]
        ours["Subject"] = f"Auto: {theirs['Subject']}"
        ours["Message-ID"] = f"<auto-{self._answered}-{time.monotonic_ns()}@acme.example>"
        if self._is_threaded:
            ours["In-Reply-To"] = theirs["Message-ID"]
        for name, value in self._marks.items():
            ours[name.replace("_", "-")] = value
        ours.set_content(self._say(self._answered))
        refused_or_over = contextlib.suppress(smtplib.SMTPException, OSError)
        with refused_or_over, smtplib.SMTP("127.0.0.1", self.daemon_port) as smtp:
            smtp.send_message(ours, MARIE)


def send(daemon: Daemon, to: str, text: str, sender: str = MARIE, head: str = "") -> None:
    """Let a person (or something worse) send one mail."""
    number = time.monotonic_ns()
    content = f"From: {MARIE}\r\nTo: {to}\r\nMessage-ID: <p{number}@acme.example>\r\nSubject: x\r\n{head}\r\n{text}\r\n"
    if "From:" in head:
        content = content.partition("\r\n")[2]
    with contextlib.suppress(smtplib.SMTPException), smtplib.SMTP("127.0.0.1", daemon.smtp_port) as smtp:
        smtp.sendmail(sender, [to], content)


@contextmanager
def running(patch: str, **options: Any) -> Iterator[Daemon]:
    """A daemon whose guard is taken out by `patch`."""
    with tempfile.TemporaryDirectory(prefix="mail2sms-loops-") as folder:
        wrap = breaker(Path(folder), patch) if patch else ()
        with Daemon(wrap=wrap, **options) as daemon:
            yield daemon


def two_bridges(patch: str) -> Counts:
    """Two daemons whose people are each other's phones, with phones that answer."""
    counts, ports = Counts(), (free_port(), free_port())
    extra = (
        'domain: {domain}\nsenders: [{{from: "*", network: 127.0.0.1}}]\nsender_ids: {{default: "{ours}"}}\n'
        "users: {{{owner}: {{number: '{ours}'}}}}\n"
    )
    mine = extra.format(domain=DOMAIN, ours=OURS, owner=f"{THEIR_PHONE[1:]}@{OTHER}")
    theirs = extra.format(domain=OTHER, ours=THEIRS, owner=f"{PHONE[1:]}@{DOMAIN}")
    with ExitStack() as stack:
        one = stack.enter_context(running(patch, smtp_port=ports[0], smarthost_port=ports[1], extra=mine))
        two = stack.enter_context(running(patch, smtp_port=ports[1], smarthost_port=ports[0], extra=theirs))
        stack.enter_context(Bot(one, PHONE, OURS, lambda n: f"one {n}", counts))
        stack.enter_context(Bot(two, THEIR_PHONE, THEIRS, lambda n: f"two {n}", counts))
        one.phone_says(PHONE, "Bonjour", OURS)
        counts.note("texts")
        counts.settle()
    return counts


def _mailbox_and_phone(patch: str, responder: Responder, counts: Counts, say: Callable[[int], str]) -> Counts:
    with responder, running(patch, smarthost_port=responder.port) as daemon:
        responder.daemon_port = daemon.smtp_port
        with Bot(daemon, PHONE, OURS, say, counts):
            send(daemon, f"{PHONE[1:]}@{DOMAIN}", "Bonjour")
            counts.settle()
    counts.sms -= 1  # the person's own
    return counts


def responder_says_so(patch: str) -> Counts:
    """An auto-responder that marks what it writes, in one way after another, and a bot."""
    counts = Counts()
    marks = itertools.cycle(_MARKED.items())

    class Marking(Responder):
        def _answer(self, content: bytes) -> None:
            self._marks = dict([next(marks)])
            super()._answer(content)

    responder = Marking(lambda _: "Absente", counts)
    return _mailbox_and_phone(patch, responder, counts, lambda _: "Merci")


def responder_and_bot(patch: str) -> Counts:
    """An auto-responder that marks nothing, and a bot; each always says the same."""
    counts = Counts()
    return _mailbox_and_phone(patch, Responder(lambda _: "Absente", counts), counts, lambda _: "Merci")


def responder_and_bot_that_count(patch: str) -> Counts:
    """The same, but both number what they say, so that nothing comes twice: three quick ones are enough."""
    counts = Counts()
    responder = Responder(lambda n: f"Absente (dossier {n})", counts)
    return _mailbox_and_phone(patch, responder, counts, lambda n: f"Ticket {n}")


def responder_to_notices(patch: str) -> Counts:
    """An auto-responder that answers the email about a refused mail."""
    return _to_notices(patch, Responder(lambda _: "Absente", counts := Counts()), counts)


def responder_out_of_thread(patch: str) -> Counts:
    """The same, without any word of what it answers: after three of the same words no email answers any more."""
    responder = Responder(lambda _: "Absente", counts := Counts(), is_threaded=False)
    return _to_notices(patch, responder, counts)


def _to_notices(patch: str, responder: Responder, counts: Counts) -> Counts:
    with responder, running(patch, smarthost_port=responder.port) as daemon:
        responder.daemon_port = daemon.smtp_port
        send(daemon, f"sms@{DOMAIN}", "Tel: 06 39 98 12 34\r\n\r\nBonjour")
        counts.settle()
    counts.emails -= 1  # about the person's own
    return counts


_BOUNCES = (
    ("", "Auto-Submitted: auto-replied\r\n"),
    ("", ""),
    (MARIE, 'Content-Type: multipart/report; report-type=delivery-status; boundary="x"\r\n'),
    (MARIE, "From: MAILER-DAEMON@acme.example\r\n"),
    (MARIE, "Return-Path: <>\r\n"),
)


def bounces(patch: str) -> Counts:
    """Bounces of our replies, the oldest kinds too, come to the address that answers the phone."""
    counts = Counts()
    with MailSink() as sink, running(patch, smarthost_port=sink.port) as daemon:
        daemon.phone_says(PHONE, "Bonjour", OURS)
        (content,) = sink.wait_for(1)
        to = email.message_from_bytes(content)["Reply-To"].strip("<>")
        for sender, head in _BOUNCES:
            send(daemon, to, "Undelivered mail returned to sender", sender, head)
        counts.settle()
        counts.sms = len([line for line in daemon.phone(PHONE) if line.get("from") == OURS])
    return counts


def keyword_bot(patch: str) -> Counts:
    """A phone that answers what STOP and HELP are answered, by the same word."""
    counts = Counts()
    with running(patch) as daemon:
        with Bot(daemon, PHONE, OURS, lambda _: "HELP", counts):
            daemon.phone_says(PHONE, "HELP", OURS)
            counts.settle()
        with Bot(daemon, THEIR_PHONE, OURS, lambda _: "STOP", stop := Counts()):
            daemon.phone_says(THEIR_PHONE, "STOP", OURS)
            stop.settle()
    counts.sms = max(counts.sms, stop.sms)
    return counts


UNMARKED = """
from mail2sms.intake import mime
mime._is_automatic = lambda fields: False
"""
UNGUARDED = """
from mail2sms.rules import loops
loops.guards = lambda *words: ()
"""
DEAF = """
from mail2sms.intake import reading
from mail2sms.rules import loops
reading._answers_notice = lambda *words: False
loops._TOLD = 100
"""
ANSWERED = (
    UNMARKED
    + """
from dataclasses import replace
from mail2sms.intake import reading
reading._MACHINES = frozenset()

async def read(self, envelope, _read=reading.Reader.read):
    return await _read(self, replace(envelope, mail_from=envelope.mail_from or "x@acme.example"))

reading.Reader.read = read
"""
)
FORGETFUL = """
from mail2sms import consent
consent._DAY_MS = 1
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One pair of machines, at most how much they may bring about, and the guard that a control takes out."""

    run: Callable[[str], Counts]
    most: int
    patch: str

    def is_kept(self, counts: Counts) -> bool:
        """Whether it stopped in time."""
        return max(counts.sms, counts.emails) <= self.most


CASES = {
    "two bridges": Case(two_bridges, 0, UNMARKED),
    "responder that says so": Case(responder_says_so, 0, UNMARKED + UNGUARDED),
    "responder and bot": Case(responder_and_bot, 1, UNGUARDED),
    "responder and bot that count": Case(responder_and_bot_that_count, 3, UNGUARDED),
    "responder to notices": Case(responder_to_notices, 0, DEAF),
    "responder out of thread": Case(responder_out_of_thread, 3, DEAF),
    "bounces": Case(bounces, 0, ANSWERED),
    "keyword bot": Case(keyword_bot, 1, FORGETFUL),
}


def main(argv: list[str]) -> int:
    """Run every case, and its control."""
    is_kept = True
    for name, case in CASES.items():
        counts, broken = case.run(""), case.run(case.patch)
        is_right, is_found = case.is_kept(counts), not case.is_kept(broken)
        is_kept &= is_right and is_found
        print(
            f"{name}: {counts.sms} SMS and {counts.emails} emails by machines (at most {case.most})"
            f"{'' if is_right else ' WRONG'}; without the guard {broken.sms} SMS and {broken.emails} emails"
            f"{'' if is_found else ' CONTROL NOT FOUND'}",
            flush=True,
        )
    print("kept" if is_kept else "NOT KEPT")
    return not is_kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
