"""Kill -9 under load: every 250 is on the phone, visibly pending, or `unknown`; nothing twice outside `unknown`.

Usage: kill [CYCLES] [sqlite|postgresql]. Six clients send without pause, and send again what was not answered, with the
same Message-ID, as mail servers do. The phones' file is the oracle: it is written by the carrier, not by the daemon.
Meanwhile reports come back, and a phone writes: what it was told is taken (202) arrives as an email, and more than once
only under one Message-ID. Every 50 cycles and at the end the database is examined.
"""

from __future__ import annotations

import contextlib
import email
import json
import random
import smtplib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import policy
from http.client import HTTPException
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy import text as sql

from tests.servers.daemon import Daemon
from tests.servers.postgresql import PostgreSQL
from tests.servers.sink import MailSink

CLIENTS = 6
START_S = 5.0
_EXAMINED_EVERY = 50
_WRITING_PHONE, _OURS = "+33639981990", "+33639980101"
_PHONES = [f"3363998{n:04d}" for n in range(1000, 1040)]
_QUIET_S = 120.0


@dataclass(slots=True)
class Figures:
    """What was sent, what was promised, what was found."""

    cycles: int = 0
    acknowledged: int = 0
    on_phone: int = 0
    pending: int = 0
    unknown: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    replies: int = 0
    repeated_replies: int = 0
    broken: list[str] = field(default_factory=list)
    slowest_start_s: float = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether the promise was."""
        return not (self.lost or self.twice or self.broken) and self.acknowledged > 0

    def __str__(self) -> str:
        return (
            f"{self.cycles} kills, {self.acknowledged} acknowledged: {self.on_phone} on the phone, "
            f"{self.pending} pending, {self.unknown} unknown, "
            f"{len(self.lost)} lost, {len(self.twice)} twice outside unknown; "
            f"{self.replies} replies taken, all emailed, {self.repeated_replies} again under the same Message-ID; "
            f"{len(self.broken)} faults in the database; slowest start to ready {self.slowest_start_s:.1f} s"
        )


class Client(threading.Thread):
    """Sends one mail after the other; one that got no answer is sent again."""

    patience_s = 20.0

    def __init__(self, number: int, port: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.stop = port, stop
        self.acknowledged: dict[str, str] = {}  # text -> id
        self.answers: Counter[int] = Counter()  # by reply code; 0: no answer
        self.refused: list[str] = []
        self._number = number

    def run(self) -> None:
        """Send until told to stop."""
        count = 0
        while not self.stop.is_set():
            count += 1
            text = f"client {self._number} mail {count}"
            while not self._send(text) and not self.stop.is_set():
                time.sleep(0.02)

    def _send(self, text: str) -> bool:
        # Chosen by the text: when a mail is sent again, its phone is the same.
        phone = _PHONES[hash_of(text) % len(_PHONES)]
        mail = (
            f"From: marie@acme.example\r\nTo: {phone}@sms.acme.example\r\nSubject: x\r\n"
            f"Message-ID: <{text.replace(' ', '.')}@acme.example>\r\n\r\n{text}\r\n"
        )
        try:
            with smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=self.patience_s) as smtp:
                smtp.ehlo_or_helo_if_needed()
                smtp.mail("marie@acme.example")
                smtp.rcpt(f"{phone}@sms.acme.example")
                code, reply = smtp.data(mail)
        except (OSError, smtplib.SMTPException) as e:
            self.answers[getattr(e, "smtp_code", 0)] += 1
            return False
        self.answers[code] += 1
        if code == 250:
            self.acknowledged[text] = reply.split()[1].decode()
            return True
        if code >= 500:
            self.refused.append(f"{code} {reply!r}")
            return True
        return False


class Writing(threading.Thread):
    """A phone that writes all the time. `taken` are the texts that were answered by 202; `says` is `phone_says`."""

    def __init__(self, says: Callable[[str, str, str], None], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.taken: set[str] = set()
        self._says, self._stop_writing = says, stop

    def run(self) -> None:
        """Write until told to stop; a text that was not taken is not written again."""
        count = 0
        while not self._stop_writing.is_set():
            count += 1
            with contextlib.suppress(OSError, HTTPException, AssertionError):
                self._says(_WRITING_PHONE, f"reply {count}", _OURS)
                self.taken.add(f"reply {count}")
            time.sleep(0.05)


def hash_of(text: str) -> int:
    """Return a number that is the same in every process."""
    return sum(ord(c) * (i + 1) for i, c in enumerate(text))


def run(daemon: Daemon, cycles: int, seed: int = 1, sink: MailSink | None = None) -> Figures:
    """Kill the running daemon `cycles` times under load, let it finish, and compare promises with phones.

    With `sink`, the daemon's smarthost, a phone writes meanwhile.
    """
    figures, chance, stop = Figures(), random.Random(seed), threading.Event()
    clients = [Client(number, daemon.smtp_port, stop) for number in range(CLIENTS)]
    phone = Writing(daemon.phone_says, stop)
    for thread in [*clients, *([phone] if sink else [])]:
        thread.start()
    for cycle in range(1, cycles + 1):
        time.sleep(chance.uniform(0.05, 0.6))
        daemon.kill9()
        figures.cycles += 1
        if cycle % _EXAMINED_EVERY == 0:
            figures.broken += examine(daemon)
        began = time.monotonic()
        daemon.start()
        figures.slowest_start_s = max(figures.slowest_start_s, time.monotonic() - began)
    time.sleep(0.5)
    stop.set()
    for client in clients:
        client.join(30)
    refused = [refusal for client in clients for refusal in client.refused]
    assert not refused, refused[:3]
    acknowledged = {text: id_ for client in clients for text, id_ in client.acknowledged.items()}
    _wait_until_quiet(daemon)
    compare(daemon, acknowledged, figures)
    if sink:
        phone.join(30)
        compare_replies(sink, phone.taken, figures)
    daemon.stop()
    figures.broken += examine(daemon)
    daemon.start()
    return figures


def compare_replies(sink: MailSink, taken: set[str], figures: Figures, patience_s: float = _QUIET_S) -> None:
    """Hold the texts that were taken from the phone against the emails that came."""
    deadline = time.monotonic() + patience_s
    while taken - _emailed(sink).keys() and time.monotonic() < deadline:
        time.sleep(0.2)
    emailed = _emailed(sink)
    figures.replies = len(taken)
    figures.lost += sorted(taken - emailed.keys())
    figures.twice += [said for said, ids in emailed.items() if len(set(ids)) > 1]
    figures.repeated_replies = sum(len(ids) - 1 for ids in emailed.values())


def _emailed(sink: MailSink) -> dict[str, list[str]]:
    """Return the phone's texts that came, with the Message-ID of each coming."""
    found: dict[str, list[str]] = {}
    for raw in sink.messages:
        mail = email.message_from_bytes(raw, policy=policy.default)
        body = mail.get_body(("plain",))
        assert body is not None
        said = body.get_content().splitlines()[0].strip()
        if said.startswith("reply "):
            found.setdefault(said, []).append(str(mail["Message-ID"]))
    return found


_FAULTS = {
    "a status that is not its last event's": """
        SELECT count(*) FROM message m WHERE m.status <> (
            SELECT e.status FROM event e WHERE e.about = m.id ORDER BY e.id DESC LIMIT 1)""",
    "a message without its text": """
        SELECT count(*) FROM message m WHERE NOT EXISTS (SELECT 1 FROM content c WHERE c.id = m.content)""",
    "sending or beyond without an intent": """
        SELECT count(*) FROM message m WHERE m.status IN ('sending', 'enroute', 'delivered', 'undeliverable')
            AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.message = m.id)""",
    "two messages for one mail": """
        SELECT count(*) FROM (SELECT s.message_id FROM message m JOIN submission s ON s.id = m.submission
            GROUP BY s.message_id HAVING count(*) > 1) AS repeated""",
    "an MO without its notice": """
        SELECT count(*) FROM mo WHERE NOT EXISTS (SELECT 1 FROM notice n WHERE n.mo = mo.id)""",
}


def examine(daemon: Daemon) -> list[str]:
    """Return what is wrong in the database of a daemon that does not run; an SQLite file is examined as a copy."""
    with _database(daemon) as connection:
        found = [name for name, query in _FAULTS.items() if connection.scalar(sql(query))]
        if connection.dialect.name == "sqlite":
            answer = connection.scalar(sql("PRAGMA integrity_check"))
            found += [] if answer == "ok" else [f"integrity_check: {answer}"]
            found += ["a foreign key"] * bool(connection.execute(sql("PRAGMA foreign_key_check")).first())
    return found


@contextlib.contextmanager
def _database(daemon: Daemon) -> Iterator[Connection]:
    url = make_url(daemon.database)
    with tempfile.TemporaryDirectory() as folder:
        if url.drivername == "sqlite":
            copy = Path(folder) / "copy.db"
            for end in ("", "-wal"):
                source = Path(f"{url.database}{end}")
                if source.exists():
                    Path(f"{copy}{end}").write_bytes(source.read_bytes())
            url = url.set(database=str(copy))
        else:
            url = url.set(drivername="postgresql+psycopg")
        engine = create_engine(url)
        with engine.connect() as connection:
            yield connection
        engine.dispose()


def _wait_until_quiet(daemon: Daemon) -> None:
    deadline = time.monotonic() + _QUIET_S
    while time.monotonic() < deadline:
        busy = [
            daemon.api(f"/api/v1/messages?status={status}&limit=1")[1]["items"]
            for status in ("queued", "sending")
        ]
        if not any(busy):
            return
        time.sleep(0.2)


def compare(daemon: Daemon, acknowledged: dict[str, str], figures: Figures) -> None:
    """Hold what was promised (texts with their ids) against what the phones show."""
    shown = Counter(line["shown"]["text"] for line in _phones(daemon) if "shown" in line)
    figures.acknowledged = len(acknowledged)
    for text, id_ in acknowledged.items():
        status = "" if shown[text] == 1 else _status(daemon, id_)
        if shown[text] > 1:
            was_in_doubt = "unknown" in _statuses(daemon, id_)
            figures.unknown += was_in_doubt
            if not was_in_doubt:
                figures.twice.append(id_)
        elif shown[text] == 1:
            figures.on_phone += 1
        elif status == "unknown":
            figures.unknown += 1
        elif status in ("queued", "sending"):
            figures.pending += 1
        else:
            figures.lost.append(f"{id_} {status}")
    # What was stored without being acknowledged may be on a phone too, but never twice.
    figures.twice += [text for text, count in shown.items() if count > 1 and text not in acknowledged]


def _phones(daemon: Daemon) -> list[dict[str, Any]]:
    path = daemon.folder / "phones.jsonl"
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def _status(daemon: Daemon, id_: str) -> str:
    code, message = daemon.api(f"/api/v1/messages/{id_}")
    return str(message["status"]) if code == 200 else f"{code}"


def _statuses(daemon: Daemon, id_: str) -> set[str]:
    code, message = daemon.api(f"/api/v1/messages/{id_}")
    return {event["status"] for event in message["events"]} if code == 200 else set()


def main(argv: list[str]) -> int:
    """Run the proof on the databases asked for; 0 when nothing was lost or sent twice, and all starts were quick."""
    cycles = int(argv[0]) if argv else 500
    is_good = True
    for kind in argv[1:] or ["sqlite", "postgresql"]:
        with PostgreSQL() if kind == "postgresql" else contextlib.nullcontext() as server, MailSink() as sink:
            database = server.create_database() if server else ""
            with Daemon(database=database, smarthost_port=sink.port) as daemon:
                figures = run(daemon, cycles, sink=sink)
        print(f"{kind}: {figures}", flush=True)
        print(*figures.lost[:5], *figures.twice[:5], *figures.broken[:5], sep="\n", end="", flush=True)
        is_good &= figures.is_kept and figures.slowest_start_s <= START_S
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
