"""No 250 before its commit is on the disk: each one's own rows were written and fsynced between mail and answer.

Usage: fsync [MAILS] [sqlite|postgresql]. SQLite: strace watches the daemon, and every 250 it writes is held against
what it wrote and synced before. PostgreSQL: a trigger notes each transaction's synchronous_commit, and at the moment
of the 250 the log's flushed position is held against the commit's own, although the database's default is off.
Controls that must fail: synchronous=NORMAL, eatmydata, and synchronous_commit off in the transaction itself.
"""

from __future__ import annotations

import re
import smtplib
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from tests.proofs import _strace
from tests.proofs._broken import NOT_SYNCED, breaker
from tests.servers._server import program
from tests.servers.daemon import Daemon
from tests.servers.postgresql import PostgreSQL

SESSIONS = 4
NEARLY_NONE = 0.1  # without fsync in commits, a checkpoint still syncs, and some 250 comes after it
_CALLS = ("read", "write", "writev", "sendto", "sendmsg", "pwrite64", "fsync", "fdatasync")
_ANSWER = re.compile(rb"250 2\.0\.0 (m-\w+)\r\n")
_ID = re.compile(rb"m-[0-9A-Z]{16}")


@dataclass(kw_only=True, slots=True)
class Figures:
    """How many mails got a 250, as their writers saw it and as was seen here; how many of those were on the disk."""

    received: int
    seen: int = 0
    durable: int = 0
    is_always_on: bool = True

    @property
    def is_kept(self) -> bool:
        """Whether every 250 was true."""
        return self.received == self.seen == self.durable > 0 and self.is_always_on

    @property
    def is_broken(self) -> bool:
        """Whether the audit found what a control did."""
        return self.received == self.seen > 0 and self.durable <= self.seen * NEARLY_NONE

    def __str__(self) -> str:
        return f"{self.durable} of {self.seen} were on the disk before their 250 ({self.received} received)"


def send(port: int, count: int, told: Callable[[str], None] = lambda _: None, *, tries: int = 1) -> list[str]:
    """Send so many mails in sessions side by side; return the ids in their 250s, after telling each at once."""

    def session(number: int) -> list[str]:
        with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60) as smtp:
            smtp.ehlo()
            ids = []
            for n in range(number, count, sessions):
                ids.append(_send(smtp, n, tries))
                told(ids[-1])
        return ids

    sessions = min(SESSIONS, count)
    with ThreadPoolExecutor(sessions) as threads:
        return [id_ for ids in threads.map(session, range(sessions)) for id_ in ids]


def _send(smtp: smtplib.SMTP, number: int, tries: int) -> str:
    phone = f"3363998{1000 + number % 40:04d}@sms.acme.example"
    mail = f"From: marie@acme.example\r\nTo: {phone}\r\nSubject: x\r\n\r\nmail {number}\r\n"
    code, reply = 0, b""
    for _ in range(tries):
        smtp.mail("marie@acme.example")
        smtp.rcpt(phone)
        code, reply = smtp.data(mail)
        if code == 250:
            return reply.split()[1].decode()
    raise AssertionError((code, reply))


def run(count: int, before: Sequence[str | Path] = ()) -> Figures:
    """Send so many mails to a daemon with SQLite, started by the words `before`, and audit its calls."""
    with TemporaryDirectory(prefix="mail2sms-calls-") as folder:
        log = Path(folder, "calls")
        with Daemon(wrap=[*before, *_strace.recorder(log, *_CALLS)]) as daemon:
            received = send(daemon.smtp_port, count)
            _strace.stop(daemon)
        return _audit(log, len(received))


def _audit(log: Path, received: int) -> Figures:
    """Count the 250s whose id was written to the log of the database and synced there since the mail was read."""
    figures = Figures(received=received)
    read: dict[str, int] = {}  # connection -> when the last bytes came
    written: dict[str, int] = {}  # id -> when its first row was written
    synced = [(-1, -1)]  # when the syncs of the log began and ended
    for call in _strace.read(log):
        is_socket = call.path.startswith("socket:")
        if call.name == "read" and is_socket and call.result > 0:
            read[call.path] = call.ended
        elif call.name == "pwrite64" and call.path.endswith(".db-wal"):
            for id_ in _ID.findall(call.data):
                written.setdefault(id_.decode(), call.ended)
        elif call.name in ("fsync", "fdatasync") and call.path.endswith(".db-wal") and call.result == 0:
            synced.append((call.began, call.ended))
        elif is_socket and call.name in ("write", "writev", "sendto", "sendmsg"):
            for answer in _ANSWER.findall(call.data):
                figures.seen += 1
                came, stored = read[call.path], written.get(answer.decode(), -1)
                covering = (began >= stored > came and ended < call.began for began, ended in synced[-50:])
                figures.durable += any(covering)
    return figures


def run_eatmydata(count: int) -> Figures:
    """The control whose fsync does nothing."""
    return run(count, [program("eatmydata", "eatmydata")])


def run_normal(count: int) -> Figures:
    """The control whose commits do not call fsync."""
    with TemporaryDirectory(prefix="mail2sms-broken-") as folder:
        return run(count, breaker(Path(folder), NOT_SYNCED))


# At the commit, which is when a deferred trigger runs.
_NOTE = """
CREATE EXTENSION IF NOT EXISTS pg_walinspect;
CREATE TABLE noted (id text PRIMARY KEY, is_on boolean NOT NULL, xid xid NOT NULL);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO noted VALUES (NEW.id, current_setting('synchronous_commit') = 'on', pg_current_xact_id()::xid);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION note();
"""
_LOOSEN = """
CREATE FUNCTION loosen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN NULL;
END $$;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TRIGGER loosen BEFORE INSERT OR UPDATE OR DELETE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION loosen()', name);
    END LOOP;
END $$;
"""
_COMMITS = """
SELECT noted.id, noted.is_on, commits.end_lsn - '0/0'::pg_lsn
FROM noted JOIN pg_get_wal_records_info(%s::pg_lsn, pg_current_wal_flush_lsn()) AS commits USING (xid)
WHERE commits.resource_manager = 'Transaction' AND commits.record_type = 'COMMIT'
"""


def server() -> PostgreSQL:
    """Return a PostgreSQL that flushes late what nobody asked it to flush."""
    return PostgreSQL(settings="wal_writer_delay = 10s\n")


def run_postgresql(postgresql: PostgreSQL, count: int, *, is_loosened: bool = False) -> Figures:
    """Send so many mails, one by one; the database's default is off. `is_loosened`: so are its transactions."""
    url = postgresql.create_database()
    flushed: dict[str, int] = {}
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET synchronous_commit = off")
    with Daemon(database=url) as daemon, psycopg.connect(url, autocommit=True) as watcher:
        assert _one(watcher, "SHOW synchronous_commit") == "off"
        watcher.execute(_NOTE + (_LOOSEN if is_loosened else ""))
        start = _one(watcher, "SELECT pg_current_wal_insert_lsn()")

        def told(id_: str) -> None:
            flushed[id_] = int(str(_one(watcher, "SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")))

        received = [id_ for _ in range(count) for id_ in send(daemon.smtp_port, 1, told)]
        watcher.execute("SELECT pg_switch_wal()")  # which flushes what a control left behind
        commits = {row[0]: (row[1], row[2]) for row in watcher.execute(_COMMITS, [start])}
    return Figures(
        received=len(received),
        seen=sum(id_ in commits for id_ in received),
        durable=sum(id_ in commits and flushed[id_] >= commits[id_][1] for id_ in received),
        is_always_on=all(is_on for is_on, _ in commits.values()),
    )


def _one(connection: psycopg.Connection[tuple[object, ...]], query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def main(argv: list[str]) -> int:
    """Run the proof and its controls on the databases asked for; 0 when every 250 was true and no control's was."""
    count = int(argv[0]) if argv else 1000
    is_proven = True
    for kind in argv[1:] or ["sqlite", "postgresql"]:
        if kind == "postgresql":
            with server() as postgresql:
                is_proven &= _tell(
                    "postgresql, default synchronous_commit=off", run_postgresql(postgresql, count)
                )
                loosened = run_postgresql(postgresql, min(count, 100), is_loosened=True)
                is_proven &= _tell("  control: off in the transaction", loosened, is_control=True)
        else:
            is_proven &= _tell("sqlite", run(count))
            is_proven &= _tell("  control: synchronous=NORMAL", run_normal(min(count, 200)), is_control=True)
            is_proven &= _tell("  control: eatmydata", run_eatmydata(min(count, 200)), is_control=True)
    return 0 if is_proven else 1


def _tell(what: str, figures: Figures, *, is_control: bool = False) -> bool:
    is_good = figures.is_broken if is_control else figures.is_kept
    print(f"{what}: {figures}{'' if is_good else ': NOT AS IT MUST BE'}", flush=True)
    return is_good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
