"""The system clock jumps under load: nothing is lost, twice, in doubt, too early, or late by more than it was to wait.

Usage: clock [sqlite|postgresql]. One hour forth and back twenty times, then a day forth and a day back; every second
jump at the worst moment for a lease. Meanwhile mails and API calls come in, first attempts fail, replies cannot be
relayed at once, messages are held for later, a mail is sent again, and a writer has used up an allowance. Last, two
daemons whose clocks are an hour apart share one PostgreSQL. Controls that must fail: leases by the wall clock, a retry
that waits for the time it was given, and allowances and mails forgotten as soon as the clock says so.
"""

from __future__ import annotations

import contextlib
import smtplib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text as sql

from tests.proofs import kill
from tests.proofs._broken import breaker
from tests.servers._server import wait_until
from tests.servers.daemon import _CHECKOUT, Daemon
from tests.servers.jumping import Clock
from tests.servers.postgresql import PostgreSQL
from tests.servers.sink import MailSink

MINUTE = 60_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
JUMPS = (*(HOUR, 0, -HOUR, 0) * 5, DAY, 0, -DAY, 0)
CLIENTS = 3
_FAILS_ONCE, _OURS, _WRITING = "+33639980503", "+33639980101", "+33639981990"
_BURST = [f"+3363998{n:04d}" for n in range(2000, 2050)]
_ALLOWED = 20  # emails about one kind of refusal to one writer in an hour
_AT_LAST = 3 * DAY


@dataclass(slots=True)
class Figures:
    """What was asked for and what was found."""

    jumps: int = 0
    acknowledged: int = 0
    on_phone: int = 0
    held: int = 0
    replies: int = 0
    sent_again: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be."""
        kinds = (self.lost, self.twice, self.doubted, self.expired, self.early, self.forgotten)
        return [one for kind in kinds for one in kind]

    @property
    def is_kept(self) -> bool:
        """Whether all was as if the clock had not jumped."""
        return not self.wrong and self.on_phone > 0

    def __str__(self) -> str:
        return (
            f"{self.jumps} jumps, {self.acknowledged} acknowledged: {self.on_phone} on the phone, "
            f"{len(self.lost)} late or lost, {len(self.twice)} twice, {len(self.doubted)} in doubt, "
            f"{len(self.expired)} expired that should not; {self.held} held, {len(self.early)} of them not at their "
            f"time; {self.replies} replies emailed; {self.sent_again} mails sent again and refusals over the "
            f"allowance, {len(self.forgotten)} not known any more; "
            f"failed attempts made again after at most {self.slowest_s:.1f} s"
        )


class Jumping(Daemon):
    """A daemon on a machine whose clock is off."""

    name = "jumping"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.clock = Clock(self.folder / "clock")
        self._env["MAIL2SMS_CLOCK"] = str(self.folder / "clock")

    @property
    def now_ms(self) -> int:
        """What its clock shows."""
        return _now_ms() + self.clock.offset_ms

    def order(self, to: Sequence[str], text: str, **more: str) -> list[str]:
        """Ask for messages through the API; return their ids."""
        status, answer = self.api("/api/v1/messages", "POST", {"to": list(to), "text": text, **more})
        assert status == 202, (status, answer)
        return [item["id"] for item in answer["items"]]

    def _launch(self) -> None:
        command = [sys.executable, "-m", "tests.servers.jumping", "serve", "--config", str(self.config)]
        self._spawn([*self.wrap, *command], env={**self._env, "PYTHONPATH": str(_CHECKOUT)})


class Client(kill.Client):
    """Sends at a pace that the carrier keeps up with."""

    def _send(self, text: str) -> bool:
        time.sleep(0.03)
        return super()._send(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A message for later; `may_expire` says that it will, when the clock is a day ahead."""

    id: str
    due_at: int
    may_expire: bool = False


@dataclass(slots=True)
class Scene:
    """A running daemon, what was asked of it, and how far its clock is off when it shows the right time."""

    daemon: Jumping
    sink: MailSink
    base_ms: int
    patience_s: float  # after each jump
    end_s: float  # for everything to be done
    figures: Figures = field(default_factory=Figures)
    ordered: list[str] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    first_id: str = ""

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Let clients send meanwhile."""
        stop = threading.Event()
        clients = [Client(number, self.daemon.smtp_port, stop) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            stop.set()
            for client in clients:
                client.join(30)
        refused = [refusal for client in clients for refusal in client.refused]
        assert not refused, refused[:3]
        self.ordered += [id_ for client in clients for id_ in client.acknowledged.values()]

    def prepare(self) -> None:
        """Hold messages for later, send the mail that comes again, use up the allowance."""
        self.hold(2 * HOUR)
        self.hold(30 * HOUR)
        self.hold(2 * HOUR, validity="2h")
        _, self.first_id = _mail(self.daemon.smtp_port, "33639981234", "first", "Bonjour")
        codes = [self._refused(f"refused-{n}") for n in range(_ALLOWED + 1)]
        assert codes == [250] * _ALLOWED + [550], codes

    def hold(self, wait_ms: int, validity: str = "") -> None:
        """Ask for a message at the time that the clock shows in so long."""
        due_at = (self.daemon.now_ms + wait_ms) // 1000 * 1000
        at = datetime.fromtimestamp(due_at / 1000, UTC).isoformat()
        id_ = self.daemon.order(
            ["+33639981235"], "later", at=at, **({"validity": validity} if validity else {})
        )[0]
        self.held.append(Held(id=id_, due_at=due_at, may_expire=bool(validity)))

    def jump(self, offset_ms: int, *, is_at_worst: bool) -> None:
        """Let the clock jump while messages wait, fail and are under way, and see that nothing waits any longer."""
        figures = self.figures
        retries = self.daemon.order([_FAILS_ONCE], f"retry {figures.jumps}")
        self.sink.reply = "451 4.3.0 later"
        self.daemon.phone_says(_WRITING, f"reply {figures.jumps}", _OURS)
        self.ordered += retries
        for half in ("one", "two"):  # together they take longer than until the next look after the leases
            self.ordered += self.daemon.order(_BURST, f"burst {half} {figures.jumps}")
        time.sleep(0.1)
        self.daemon.clock.jump(self.base_ms + offset_ms, is_at_worst=is_at_worst)
        began = time.monotonic()
        assert wait_until(lambda: not self.daemon.clock.is_pending, 10), "the leases are not looked after"
        self.sink.reply = "250 2.0.0 taken"
        figures.jumps += 1
        wait_until(lambda: set(retries) <= self.shown().keys(), self.patience_s, every_s=0.1)
        figures.slowest_s = max(figures.slowest_s, time.monotonic() - began)
        self.settle()
        self._ask_again(offset_ms)
        if offset_ms == DAY:
            self.hold(HOUR)

    def settle(self) -> None:
        """Wait until the queues were swept at this time, and what was held until now is on its phone."""
        sweeps = self.daemon.clock.sweeps
        assert wait_until(lambda: self.daemon.clock.sweeps > sweeps + 1, 20), "the queues are not swept"
        now = self.daemon.now_ms
        due = {held.id for held in self.held if held.due_at <= now and not held.may_expire}
        wait_until(lambda: due <= self.shown().keys(), self.end_s, every_s=0.1)

    def _ask_again(self, offset_ms: int) -> None:
        """A mail of less than a day ago is known by its id; an allowance that is used up stays so for its hour."""
        if offset_ms < DAY:
            self.figures.sent_again += 1
            code, id_ = _mail(self.daemon.smtp_port, "33639981234", "first", "Bonjour")
            if (code, id_) != (250, self.first_id):
                self.figures.forgotten.append(f"the first mail was {self.first_id}, now {code} {id_}")
        if offset_ms == 0:
            self.figures.sent_again += 1
            code = self._refused(f"refused-again-{self.figures.jumps}")
            if code != 550:
                self.figures.forgotten.append(f"the allowance: {code}")

    def _refused(self, name: str) -> int:
        return _mail(self.daemon.smtp_port, "sms", name, f"To: 0123\r\n\r\nBonjour, {name}")[0]

    def finish(self) -> None:
        """Let everything end that is not held, then also that; compare with the phones and look into the events."""
        wait_until(lambda: set(self.ordered) <= self.shown().keys(), self.end_s, every_s=0.2)
        self._count_replies()
        before = self.shown()
        self.daemon.clock.jump(self.base_ms + _AT_LAST)
        due = {held.id for held in self.held if not held.may_expire}
        self.settle()
        self.compare(before)
        self.figures.lost += [f"held {id_}" for id_ in due - self.shown().keys()]
        self.daemon.stop()
        self.look_into_events({held.id for held in self.held if held.may_expire})

    def compare(self, before: Counter[str]) -> None:
        """Hold what was asked for against the phones, now and (without what was held) `before`."""
        shown, figures = self.shown(), self.figures
        figures.acknowledged, figures.held = len(self.ordered), len(self.held)
        figures.on_phone = sum(shown[id_] == 1 for id_ in self.ordered)
        figures.lost += [id_ for id_ in self.ordered if id_ not in before]
        figures.twice += [id_ for id_, times in shown.items() if times > 1]
        times = {line["shown"]["id"]: line["shown"]["at"] for line in self._lines() if "shown" in line}
        figures.early += [h.id for h in self.held if h.id in times and times[h.id] < h.due_at]

    def look_into_events(self, must_expire: set[str]) -> None:
        """See that nothing was ever in doubt, and nothing but this given up. The daemon does not run."""
        with kill._database(self.daemon) as connection:
            query = sql("SELECT DISTINCT about, status FROM event WHERE status IN ('unknown', 'expired')")
            found = connection.execute(query).all()
        self.figures.doubted += [f"{row.about} was in doubt" for row in found if row.status == "unknown"]
        expired = {row.about for row in found if row.status == "expired"}
        self.figures.expired += [f"{id_} expired" for id_ in expired - must_expire]
        self.figures.lost += [f"{id_} did not expire" for id_ in must_expire - expired]

    def _count_replies(self) -> None:
        wanted = {f"reply {n}" for n in range(self.figures.jumps)}
        wait_until(lambda: wanted <= kill._emailed(self.sink).keys(), self.end_s, every_s=0.2)
        came = kill._emailed(self.sink).keys()
        self.figures.replies = len(came)
        self.figures.lost += sorted(wanted - came)

    def shown(self) -> Counter[str]:
        """How often each message is on a phone."""
        return Counter(line["shown"]["id"] for line in self._lines() if "shown" in line)

    def _lines(self) -> list[dict[str, Any]]:
        return kill._phones(self.daemon)


def _mail(port: int, to: str, name: str, text: str) -> tuple[int, str]:
    """Send a mail; return the reply code and the id that it names."""
    mail = (
        f"From: marie@acme.example\r\nTo: {to}@sms.acme.example\r\nSubject: x\r\n"
        f"Message-ID: <{name}@acme.example>\r\n\r\n{text}\r\n"
    )
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=20) as smtp:
        smtp.ehlo_or_helo_if_needed()
        smtp.mail("marie@acme.example")
        smtp.rcpt(f"{to}@sms.acme.example")
        code, reply = smtp.data(mail)
    return code, reply.decode().split()[1]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _base_ms() -> int:
    """How far a clock is off that shows ten minutes past the hour: what happens by the hour must not happen here."""
    return 10 * MINUTE - _now_ms() % HOUR


def run(
    database: str = "",
    jumps: Sequence[int] = JUMPS,
    *,
    patience_s: float = 20.0,
    end_s: float = 30.0,
    patch: str = "",
) -> Figures:
    """Start a daemon (broken by `patch`), and let its clock be off by each of `jumps`, one after the other."""
    with tempfile.TemporaryDirectory(prefix="mail2sms-broken-") as folder, MailSink() as sink:
        wrap = breaker(Path(folder), patch) if patch else []
        daemon = Jumping(database=database, smarthost_port=sink.port, wrap=wrap)
        base_ms = _base_ms()
        daemon.clock.jump(base_ms)
        with daemon:
            scene = Scene(daemon, sink, base_ms, patience_s, end_s)
            scene.prepare()
            with scene.load():
                for number, offset_ms in enumerate(jumps):
                    scene.jump(offset_ms, is_at_worst=number % 2 == 0)
            scene.finish()
    return scene.figures


def run_pair(database: str, load_s: float = 10.0) -> Figures:
    """Let two daemons share a database while the second one's clock is an hour ahead; then stop that one."""
    figures, base_ms = Figures(), _base_ms()
    with MailSink() as sink, contextlib.ExitStack() as running:
        scenes: list[Scene] = []
        for ahead_ms in (0, HOUR):
            daemon = Jumping(database=database, smarthost_port=sink.port)
            daemon.clock.jump(base_ms + ahead_ms)
            if scenes:  # the same phones
                (daemon.folder / "phones.jsonl").symlink_to(scenes[0].daemon.folder / "phones.jsonl")
            running.enter_context(daemon)
            scenes.append(Scene(daemon, sink, base_ms, 20.0, 30.0, figures))
        right, ahead = scenes
        with right.load(), ahead.load():
            for scene in scenes:
                scene.hold(2 * HOUR)
                scene.ordered += scene.daemon.order([_FAILS_ONCE, *_BURST[1:]], "to either")
            time.sleep(load_s)
        retry = ahead.daemon.order([_FAILS_ONCE], "left behind")
        wait_until(lambda: ahead.daemon.api(f"/api/v1/messages/{retry[0]}")[1]["attempts"] > 0, 10)
        ahead.daemon.stop()
        began = time.monotonic()
        right.ordered += [*ahead.ordered, *retry]
        right.held += ahead.held
        wait_until(lambda: set(right.ordered) <= right.shown().keys(), 30, every_s=0.2)
        figures.slowest_s = time.monotonic() - began
        right.settle()
        right.compare(right.shown())
        right.daemon.stop()
        right.look_into_events(set())
    return figures


WALL = """
import time
from types import SimpleNamespace

from mail2sms.store import rows

rows.time = SimpleNamespace(monotonic_ns=lambda: time.time_ns())
"""
"""Leases are measured by the wall clock."""

LATE = """
from mail2sms.store import Store

async def bring_forward(self, now):
    return False

Store.bring_forward = bring_forward
"""
"""What was to wait for seconds waits until its time comes again."""

FORGETFUL = """
from mail2sms.store import put

put._SPARE_MS = 0
"""
"""Counters and repeat keys go as soon as the clock says that they are over."""

CONTROLS = {
    "leases by the wall clock": (WALL, "doubted"),
    "waits by the wall clock": (LATE, "lost"),
    "forgotten on the dot": (FORGETFUL, "forgotten"),
}
"""What is broken, and what must be found then."""


def run_control(name: str) -> list[str]:
    """Run with one thing broken, a day forth and back; return what was found of the kind that must be."""
    patch, kind = CONTROLS[name]
    figures = run(jumps=(DAY, 0), patience_s=0.2, end_s=6.0, patch=patch)
    found: list[str] = getattr(figures, kind)
    return found


def main(argv: list[str]) -> int:
    """Run the proof on the databases asked for, and its controls; 0 when only these were found wrong."""
    is_proven = True
    for kind in argv or ["sqlite", "postgresql"]:
        with PostgreSQL() if kind == "postgresql" else contextlib.nullcontext() as server:
            is_proven &= _tell(kind, run(server.create_database() if server else ""))
            if server:
                is_proven &= _tell("two clocks an hour apart", run_pair(server.create_database()))
    for name in CONTROLS:
        found = run_control(name)
        is_proven &= bool(found)
        print(
            f"  control: {name}: {len(found)} found{f', such as {found[0]}' if found else ': NOT AS IT MUST BE'}",
            flush=True,
        )
    return 0 if is_proven else 1


def _tell(what: str, figures: Figures) -> bool:
    print(f"{what}: {figures}{'' if figures.is_kept else ': NOT AS IT MUST BE'}", flush=True)
    print(*figures.wrong[:5], sep="\n", end="", flush=True)
    return figures.is_kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
