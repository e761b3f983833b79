"""Ten storms under 20 clients and kill -9: each alarm is counted in one SMS, and the SMS say the exact numbers.

Usage: storms [sqlite|postgresql]. Ten devices, each with its own `wait`, `repeat` and `limit`, send alarms by 20
clients to a daemon (two on PostgreSQL) that is killed meanwhile; what was not answered, and every fifth mail that
was, comes again under its Message-ID. Then what the SMS say is held against what was answered: alarms told, above
the limit, and left out must add up for each device; no limit is exceeded and no text sent again too early. Controls
that must fail: a daemon that counts in memory and writes every third alarm, and one that knows no mail again.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import smtplib
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text as sql

from tests.proofs import kill
from tests.proofs._broken import breaker
from tests.servers.daemon import Daemon
from tests.servers.postgresql import PostgreSQL

CLIENTS, STORMS = 20, 10
_PHONES = ("+33639981001", "+33639981002")
_SKEW_MS = 1000  # between the clocks that two decisions are made by
_COUNTS = (
    re.compile(r"^\S+: (?P<alarms>\d+) alarms in "),
    re.compile(r"\((?P<alarms>\d+) times in [^()]+\)$"),
    re.compile(r"^\S+: (?P<more>\d+) more alarms until "),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """One storm: how its device is set, and how many texts it has."""

    name: str
    wait_s: int
    repeat_s: int
    limit: int
    texts: int

    @property
    def config(self) -> str:
        """Return the device."""
        options = ["to: oncall", f"network: 127.0.0.1, from: {self.name}@acme.example", 'text: "{subject}"']
        options += [f"wait: {self.wait_s}s"] if self.wait_s else []
        options += [f"repeat: {self.repeat_s}s"] if self.repeat_s else []
        options += [f"limit: {self.limit}/minute"] if self.limit else []
        return f"  {self.name}: {{{', '.join(options)}}}"


def storms() -> list[Rules]:
    """Return ten storms of all kinds, always the same."""
    chance = random.Random("storms")
    return [
        Rules(
            name=f"ups-{number}",
            wait_s=chance.choice((0, 1, 2, 3)),
            repeat_s=chance.choice((0, 2, 30)),
            limit=chance.choice((0, 2, 5)),
            texts=chance.choice((1, 2, 5, 1000)),
        )
        for number in range(STORMS)
    ]


@dataclass(slots=True)
class Figures:
    """What was sent and what was found."""

    kills: int = 0
    mails: int = 0
    again: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    sms: int = 0
    told: int = 0
    above: int = 0
    left_out: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether every number is exact."""
        return not self.wrong and self.sms > 0

    def __str__(self) -> str:
        return (
            f"{self.mails} mails of {STORMS} storms ({self.again} sent again), {self.kills} kills: "
            f"{sum(self.answered.values())} answered; {self.sms} SMS tell {self.told} alarms and count {self.above} "
            f"above limits, {self.left_out} are left out as repeats; {len(self.wrong)} wrong"
        )


class Client(threading.Thread):
    """Sends its share of each storm, again what got no answer, and every fifth mail twice."""

    def __init__(self, number: int, ports: Sequence[int], rules: Sequence[Rules], mails: int) -> None:
        super().__init__(daemon=True)
        self.answered: Counter[str] = Counter()
        self.again = 0
        self._number, self._ports, self._rules, self._mails = number, ports, rules, mails
        self._chance = random.Random(number)

    def run(self) -> None:
        """Send them all."""
        for count in range(self._mails):
            rules = self._rules[(self._number + count) % len(self._rules)]
            name = f"{self._number}.{count}"
            subject = f"alarm {self._chance.randrange(rules.texts)}"
            while not self._send(rules.name, subject, name):
                self.again += 1
                time.sleep(0.05)
            self.answered[rules.name] += 1
            if count % 5 == 0:
                self.again += 1
                while not self._send(rules.name, subject, name):
                    time.sleep(0.05)

    def _send(self, device: str, subject: str, name: str) -> bool:
        mail = f"From: {device}@acme.example\r\nSubject: {subject}\r\nMessage-ID: <{name}@{device}>\r\n\r\n"
        port = self._chance.choice(self._ports)
        try:
            with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=20) as smtp:
                smtp.ehlo_or_helo_if_needed()
                smtp.mail("")
                smtp.rcpt(f"{device}@sms.acme.example")
                code, _ = smtp.data(mail)
        except (OSError, smtplib.SMTPException):
            return False
        return code == 250


def run(
    database: str = "",
    *,
    nodes: int = 1,
    kills: int = 2,
    mails: int = 20,
    is_whole: bool = False,
    patch: str = "",
) -> Figures:
    """Let the storms come down on daemons (broken by `patch`), kill them meanwhile, and compare.

    `is_whole`: wait until every SMS is on the phones; else what waits is looked at in the database.
    """
    figures, rules = Figures(), storms()
    devices = "\n".join(["devices:", *(each.config for each in rules)])
    phones = ", ".join(f'"{phone}"' for phone in _PHONES)
    extra = f'{devices}\nteams: {{oncall: {{phones: [{phones}]}}}}\nsender_ids: {{default: "+33639980100"}}\n'
    with tempfile.TemporaryDirectory(prefix="mail2sms-broken-") as folder, contextlib.ExitStack() as running:
        wrap = breaker(Path(folder), patch) if patch else []
        daemons = [
            running.enter_context(Daemon(database=database, extra=extra, wrap=wrap)) for _ in range(nodes)
        ]
        clients = [Client(n, [each.smtp_port for each in daemons], rules, mails) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        chance = random.Random("kills")
        for _ in range(kills):
            time.sleep(chance.uniform(0.1, 0.4))
            killed = chance.choice(daemons)
            killed.kill9()
            killed.start()
            figures.kills += 1
        for client in clients:
            client.join(240)
            assert not client.is_alive(), "a client is never answered"
        figures.mails = CLIENTS * mails
        figures.again = sum(client.again for client in clients)
        figures.answered = sum((client.answered for client in clients), Counter[str]())
        if is_whole:
            _wait(daemons[0])
        shown = _phones(daemons)
        for daemon in daemons:
            daemon.stop()
        compare(daemons[0], rules, shown, figures, is_whole=is_whole)
    return figures


def _wait(daemon: Daemon) -> None:
    """Wait until nothing waits any more."""
    until = time.monotonic() + 150
    while time.monotonic() < until:
        status, found = daemon.api("/api/v1/messages?status=queued&limit=1")
        if status == 200 and not found["items"]:
            time.sleep(1)
            return
        time.sleep(0.5)
    raise AssertionError("some SMS never leave")


def _phones(daemons: Sequence[Daemon]) -> dict[str, str]:
    """Return what the phones show, by the message's id: each node has simulated phones of its own."""
    shown: dict[str, str] = {}
    for daemon, phone in itertools.product(daemons, _PHONES):
        for sms in daemon.phone(phone):
            assert sms["id"] not in shown, "an SMS came twice"
            shown[sms["id"]] = sms["text"]
    return shown


_FOLDS = """
    SELECT f.id, f.kind, f.alarms, f.left_out, f.first_at, substr(s.machine, 8) AS device, c.data, m.id AS message,
    m.status, first.data AS begun FROM fold f JOIN submission s ON s.id = f.id JOIN content c ON c.id = f.id
    JOIN message m ON m.submission = f.id LEFT JOIN content first ON first.id = f.id || '-first' ORDER BY f.first_at
"""


def compare(
    daemon: Daemon, rules: Sequence[Rules], shown: dict[str, str], figures: Figures, *, is_whole: bool
) -> None:
    """Hold what the SMS say against what was answered. The daemons do not run."""
    with kill._database(daemon) as connection:
        rows = connection.execute(sql(_FOLDS)).all()
    folds: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        folds[row.id].append(row)
    by_device: dict[str, list[Any]] = defaultdict(list)
    for id_, messages in folds.items():
        _look_at(id_, messages, shown, figures, is_whole=is_whole)
        by_device[messages[0].device].append(messages[0])
    for each in rules:
        _add_up(each, by_device[each.name], figures)


def _look_at(
    id_: str, messages: list[Any], shown: dict[str, str], figures: Figures, *, is_whole: bool
) -> None:
    """One SMS: all its phones are told the same number, the one that was counted."""
    row, text = messages[0], bytes(messages[0].data).decode()
    figures.sms += 1
    said = next((found for pattern in _COUNTS if (found := pattern.search(text))), None)
    number = int(next(iter(said.groupdict().values()))) if said else 1
    is_more = said is not None and "more" in said.groupdict()
    if len(messages) != len(_PHONES) or number != row.alarms or is_more != (row.kind == "more"):
        figures.wrong.append(f"{id_}: {row.alarms} counted, and the SMS says: {text!r}")
    for message in messages:
        if shown.get(message.message, None if is_whole else text) != text:
            figures.wrong.append(f"{message.message}: {text!r} is not what the phone shows")
    figures.told += row.alarms if row.kind == "send" else 0
    figures.above += row.alarms if row.kind == "more" else 0
    figures.left_out += row.left_out


def _add_up(rules: Rules, folds: list[Any], figures: Figures) -> None:
    """One device: its alarms are all there, its limit holds, no text was sent again too early."""
    counted = sum(fold.alarms + fold.left_out for fold in folds)
    if counted != figures.answered[rules.name]:
        figures.wrong.append(f"{rules.name}: {figures.answered[rules.name]} answered, {counted} counted")
    sent = [fold for fold in folds if fold.kind == "send"]
    windows = Counter(fold.first_at // 60_000 for fold in sent)
    if rules.limit and any(count > rules.limit for count in windows.values()):
        figures.wrong.append(f"{rules.name}: {max(windows.values())} SMS in a minute, at most {rules.limit}")
    last: dict[str, int] = {}
    for fold in sent:
        text = bytes(fold.begun or fold.data).decode().partition(" (")[0]
        if text in last and fold.first_at - last[text] < rules.repeat_s * 1000 - _SKEW_MS:
            figures.wrong.append(f"{rules.name}: {text!r} again after {fold.first_at - last[text]} ms")
        last[text] = fold.first_at


IN_MEMORY = """
from collections import Counter
from mail2sms.store import storms

counted = Counter()

def write(connection, raised, choice, write=storms.write):
    counted[raised.storm] += 1
    if not choice.decision.into or counted[raised.storm] % 3 == 0:
        write(connection, raised, choice)

storms.write = write
"""
"""Only every third alarm that joins others is written; the rest is forgotten."""

NEVER_KNOWN = """
from mail2sms import repeats

def alarm_key(submission):
    return submission.alarm and repeats.digest(submission.id)

repeats.alarm_key = alarm_key
"""
"""A mail that comes again is another."""


def main(argv: list[str]) -> int:
    """Run the proof on the databases asked for, and its controls; 0 when only these were found wrong."""
    is_proven = True
    for database in argv or ["sqlite", "postgresql"]:
        with PostgreSQL() if database == "postgresql" else contextlib.nullcontext() as server:
            url = server.create_database() if server else ""
            figures = run(url, nodes=2 if server else 1, kills=6, mails=100, is_whole=True)
            is_proven &= figures.is_kept
            print(f"{database}: {figures}{'' if figures.is_kept else ': NOT AS IT MUST BE'}", flush=True)
            print(*figures.wrong[:5], sep="\n", end="", flush=True)
    for name, patch in (("counted in memory", IN_MEMORY), ("no mail known again", NEVER_KNOWN)):
        control = run(patch=patch, kills=0)
        is_proven &= bool(control.wrong)
        print(f"  control: {name}: {control.wrong[:1] or 'NOT AS IT MUST BE'}", flush=True)
    return 0 if is_proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
