"""Two daemons on one PostgreSQL with the same phones, a load on both, and what is held against it afterwards."""

from __future__ import annotations

import contextlib
import email
import itertools
import json
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import psutil
import psycopg
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.proofs import kill
from tests.servers._server import wait_until
from tests.servers.daemon import _CHECKOUT, Daemon
from tests.servers.sink import MailSink

CLIENTS = 6
_AROUND_S = 2.0  # a mail comes again after a fault that was so near to its first coming
_AIMS = 200
_PATIENCE_S = 2.0
_SETTLED_S = 60.0


class Node(Daemon):
    """One of two daemons; `hampered` is what `tests.servers.hampered` takes."""

    name = "node"

    def __init__(self, hampered: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._env["MAIL2SMS_HAMPERED"] = json.dumps(hampered)

    def freeze(self) -> None:
        """Stop its clock, as the pause of a virtual machine does."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on as if nothing had been."""
        os.kill(self.pid, signal.SIGCONT)

    def freeze_in_transaction(self, pair: Pair) -> bool:
        """Stop its clock while it holds locks in the database, if that can be hit; else at some moment."""
        ports = [c.laddr.port for c in psutil.Process(self.pid).net_connections() if c.raddr]
        query = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND client_port = ANY(%s)"
        for _ in range(_AIMS):
            self.freeze()
            if pair.rows(query, ports):
                return True
            self.resume()
            time.sleep(0.01)
        self.freeze()
        return False

    def count(self, event: str) -> int:
        """How often it has logged this event."""
        return len(re.findall(rf"\b{event}\b", self.log()))

    def _launch(self) -> None:
        command = [sys.executable, "-m", "tests.servers.hampered", "serve", "--config", str(self.config)]
        self._spawn(command, env={**self._env, "PYTHONPATH": str(_CHECKOUT)})


class TimedSink(MailSink):
    """A sink that knows when each mail came."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[str, float]] = []  # Message-ID, time

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the mail. Called by aiosmtpd."""
        assert isinstance(envelope.content, bytes)
        id_ = email.message_from_bytes(envelope.content)["Message-ID"]
        self.came.append((id_, time.monotonic()))
        return await super().handle_DATA(server, session, envelope)


class Pair:
    """Both nodes, which start at once on an empty database, and the mailbox that their relay fills."""

    def __init__(self, database: str, hampered: dict[str, Any], other: dict[str, Any] | None = None) -> None:
        self.database = database
        self.sink = TimedSink()
        first = Node(hampered, database=database, smarthost_port=self.sink.port)
        # Of the same phones: the first node's.
        extra = f'carriers: {{sim: {{type: simulated, phones: "{first.folder}/phones.jsonl"}}}}\n'
        more = hampered if other is None else other
        second = Node(more, database=database, smarthost_port=self.sink.port, extra=extra)
        self.nodes = (first, second)
        self._hearing = itertools.cycle(self.nodes)

    def __enter__(self) -> Self:
        try:
            self.sink.start()
            starts = [threading.Thread(target=node.start) for node in self.nodes]
            for start in starts:
                start.start()
            for start in starts:
                start.join()
            assert all(node.is_running for node in self.nodes), [node.log()[-2000:] for node in self.nodes]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.close()
        self.sink.stop()

    def phone_says(self, msisdn: str, text: str, to: str) -> None:
        """Let a phone write; its carrier brings it to one node and the other by turns."""
        next(self._hearing).phone_says(msisdn, text, to)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(query.encode(), values).fetchall()


class Mailing(kill.Client):
    """Turns to its next node when one does not answer, as a mail server does that has two MX records."""

    def __init__(
        self, number: int, ports: tuple[int, ...], stop: threading.Event, patience_s: float = 20.0
    ) -> None:
        super().__init__(number, ports[number % len(ports)], stop)
        self.patience_s = patience_s
        self._ports = itertools.cycle(ports)
        self.answered_at = time.monotonic()
        self.longest_s = 0.0  # without a 250

    def _send(self, text: str) -> bool:
        is_answered = super()._send(text)
        if is_answered:
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - self.answered_at)
            self.answered_at = now
        else:
            self.port = next(self._ports)
        return is_answered


@dataclass(slots=True)
class Load:
    """What was promised so far, and when something was broken."""

    pair: Pair
    clients: list[Mailing]
    phone: kill.Writing
    faults: list[tuple[float, float]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How often something was broken."""
        return len(self.faults)

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """Note when it began and ended."""
        began = time.monotonic()
        yield
        self.faults.append((began, time.monotonic()))

    def wait_for_answers(self) -> None:
        """Wait until every client had a 250 again."""
        now = time.monotonic()
        assert wait_until(lambda: all(c.answered_at > now for c in self.clients), 60), "no 250 any more"


@dataclass(slots=True)
class Figures:
    """What was found; `found` is what the proof `kill` finds."""

    what: str
    count: int = 0
    found: kill.Figures = field(default_factory=kill.Figures)
    answers: Counter[int] = field(default_factory=Counter)
    again: list[str] = field(default_factory=list)  # on a phone more than once, whatever their statuses say
    untrue: list[str] = field(default_factory=list)  # the status says otherwise than the phone
    strange: list[str] = field(default_factory=list)  # emailed again though nothing was broken then
    doubted: int = 0
    settled: int = 0
    stale: int = 0
    longest_s: float = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether the promise was."""
        return self.found.is_kept and not (self.again or self.untrue or self.strange)

    def __str__(self) -> str:
        found = self.found
        return (
            f"{self.count} {self.what}, {found.acknowledged} acknowledged: {found.on_phone} on the phone, "
            f"{found.pending} pending, {found.unknown} unknown and on none, "
            f"{len(found.lost)} lost, {len(self.again)} on a phone twice; "
            f"of all stored {self.doubted} passed through unknown, and {self.settled} of these were delivered; "
            f"the fence stopped {self.stale}; {len(self.untrue)} statuses untrue; "
            f"{found.replies} replies taken, all emailed, {found.repeated_replies} again under the same Message-ID "
            f"({len(self.strange)} of them far from any fault); {len(found.broken)} faults in the database; "
            f"the clients' answers: {_told(self.answers)}; the longest without a 250 {self.longest_s:.1f} s"
        )

    def details(self) -> list[str]:
        """A few of each thing that must not be."""
        lists = (self.found.lost, self.found.twice, self.found.broken, self.again, self.untrue, self.strange)
        return [one for each in lists for one in each[:5]]


def _told(answers: Counter[int]) -> str:
    return ", ".join(f"{count} {code or 'none'}" for code, count in sorted(answers.items()))


@contextlib.contextmanager
def loading(pair: Pair, *, is_pinned: bool = False) -> Iterator[Load]:
    """Let clients and a phone write to both nodes. `is_pinned`: each client has one node only, and waits long."""
    stop, ports = threading.Event(), tuple(node.smtp_port for node in pair.nodes)
    if is_pinned:
        clients = [Mailing(n, (ports[n % 2],), stop) for n in range(CLIENTS)]
    else:
        clients = [Mailing(n, ports, stop, _PATIENCE_S) for n in range(CLIENTS)]
    load = Load(pair, clients, kill.Writing(pair.phone_says, stop))
    try:
        for thread in (*clients, load.phone):
            thread.start()
        load.wait_for_answers()
        yield load
    finally:
        stop.set()
        for thread in (*clients, load.phone):
            thread.join(60)


def run(
    pair: Pair, what: str, count: int, break_: Callable[[Load], None], *, is_pinned: bool = False
) -> Figures:
    """Break something so often under load, let both nodes finish, and compare promises with phones and mailbox."""
    figures = Figures(what)
    with loading(pair, is_pinned=is_pinned) as load:
        for _ in range(count):
            with load.fault():
                break_(load)
            load.wait_for_answers()
    _compare(load, figures)
    return figures


def _compare(load: Load, figures: Figures) -> None:
    pair, clients = load.pair, load.clients
    refused = [refusal for client in clients for refusal in client.refused]
    assert not refused, refused[:3]
    figures.count = load.count
    figures.longest_s = max(client.longest_s for client in clients)
    figures.answers = sum((client.answers for client in clients), Counter())
    wait_until(lambda: not _moving(pair), _SETTLED_S, every_s=0.3)
    acknowledged = {text: id_ for client in clients for text, id_ in client.acknowledged.items()}
    kill.compare(pair.nodes[0], acknowledged, figures.found)
    kill.compare_replies(pair.sink, load.phone.taken, figures.found, patience_s=90)
    _look_closer(load, figures)
    for node in pair.nodes:
        node.stop()
    figures.found.broken += kill.examine(pair.nodes[0])


def _moving(pair: Pair) -> bool:
    moving = "SELECT 1 FROM message WHERE status IN ('queued', 'sending', 'enroute') LIMIT 1"
    return bool(pair.rows(moving))


def _shown(pair: Pair) -> Counter[str]:
    return Counter(line["shown"]["id"] for line in kill._phones(pair.nodes[0]) if "shown" in line)


def again(pair: Pair) -> list[str]:
    """Return the messages that a phone shows more than once."""
    return [id_ for id_, times in _shown(pair).items() if times > 1]


def _look_closer(load: Load, figures: Figures) -> None:
    pair = load.pair
    shown = _shown(pair)
    figures.again = again(pair)
    expected = {True: "delivered", False: "unknown"}
    statuses = pair.rows("SELECT id, status FROM message")
    figures.untrue = [f"{id_} {status}" for id_, status in statuses if status != expected[id_ in shown]]
    doubted = "SELECT DISTINCT m.id, m.status FROM message m JOIN event e ON e.about = m.id AND e.status = 'unknown'"
    ends = Counter(status for _, status in pair.rows(doubted))
    figures.doubted, figures.settled = ends.total(), ends["delivered"]
    figures.stale = sum(node.count("mt_stale") for node in pair.nodes)
    figures.strange = strange(pair.sink.came, load.faults)


def strange(came: list[tuple[str, float]], faults: list[tuple[float, float]]) -> list[str]:
    """Return the mails that came again though nothing was broken when they first came."""
    first: dict[str, float] = {}
    found = []
    for id_, at in came:
        is_explained = any(
            begin - _AROUND_S <= first.get(id_, at) <= end + _AROUND_S for begin, end in faults
        )
        if id_ in first and not is_explained:
            found.append(f"{id_} after {at - first[id_]:.1f} s")
        first.setdefault(id_, at)
    return found
