"""Limits under 20 clients and kill -9: never exceeded by one, used up to the last, nothing lost, nothing counted twice.

Usage: quotas [sqlite|postgresql]. For each kind of limit a daemon (two on PostgreSQL) gets more mail than the limit
allows, of one to three recipients, and is killed meanwhile; what was not answered is sent again under its Message-ID.
Then what was stored is counted from the messages and held against the limit, the counters, and what was acknowledged.
Control that must fail: a daemon that looks at the counters first, and adds to them after the mail is stored.
"""

from __future__ import annotations

import contextlib
import random
import smtplib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text as sql

from tests.proofs import kill
from tests.proofs._broken import breaker
from tests.servers.daemon import Daemon
from tests.servers.postgresql import PostgreSQL

CLIENTS = 20
_WRITERS = [f"user{n}@acme.example" for n in range(4)]
_PHONES = [f"3363998{n:04d}" for n in range(1000, 1006)]
_PRICE = 70_000  # millionths of a EUR
_CONFIG = """
users: {user0@acme.example: {}, user1@acme.example: {}}
sender_ids: {default: ACME}
"""
_TEAM = "teams: {crew: {quota: 40/month, members: [user0@acme.example, user1@acme.example]}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of limit: how it is configured, whom a stored message counts for, and how much of it."""

    config: str
    limit: int
    of: Callable[[Any], str | None]
    amount: Callable[[Any], int] = lambda row: 1
    key: str


def _team(row: Any) -> str | None:
    return "crew" if row.writer in _WRITERS[:2] else None


def _all(row: Any) -> str:
    return "all"


KINDS = {
    "user": Kind(config="quotas: {user: 40/month}", limit=40, of=lambda row: str(row.writer), key="user"),
    "team": Kind(
        config=_TEAM,
        limit=40,
        of=_team,
        key="team",
    ),
    "number": Kind(
        config="quotas: {number: 25/month}", limit=25, of=lambda row: str(row.msisdn), key="number"
    ),
    "prefix": Kind(
        config="quotas: {prefix: 40/month}", limit=40, of=lambda row: str(row.msisdn[:-4]), key="prefix"
    ),
    "country": Kind(
        config="quotas: {country: {default: 40/month}}",
        limit=40,
        of=lambda row: str(row.region),
        key="country",
    ),
    "total": Kind(config="quotas: {total: 50/month}", limit=50, of=_all, key="total"),
    "parts": Kind(
        config="quotas: {total: 60 parts/month}",
        limit=60,
        of=_all,
        amount=lambda row: int(row.segments),
        key="total",
    ),
    "cost": Kind(
        config="carriers: {sim: {type: simulated, price: {any: 0.07 EUR}}}\nquotas: {cost: 3.50 EUR/month}",
        limit=3_500_000,
        of=_all,
        amount=lambda row: int(row.cost),
        key="cost",
    ),
}


@dataclass(slots=True)
class Figures:
    """What was asked for and what was found."""

    kind: str
    kills: int = 0
    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    stored: int = 0
    used: Counter[str] = field(default_factory=Counter)
    exceeded: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be."""
        return [*self.exceeded, *self.unused, *self.miscounted, *self.lost]

    @property
    def is_kept(self) -> bool:
        """Whether the limit was used up, and never exceeded."""
        return not self.wrong and self.stored > 0

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.sent} mails, {self.kills} kills: {self.acknowledged} acknowledged, {self.refused} "
            f"refused, {self.stored} messages stored; {len(self.used)} limits, {len(self.exceeded)} exceeded, "
            f"{len(self.unused)} not used up, {len(self.miscounted)} miscounted, {len(self.lost)} lost"
        )


class Client(threading.Thread):
    """Sends mails, again when one got no answer. The last ones are of one part to one phone."""

    def __init__(self, number: int, ports: Sequence[int], mails: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self.refused = self.sent = 0
        self._number, self._ports, self._mails = number, ports, mails
        self._chance = random.Random(number)

    def run(self) -> None:
        """Send them all."""
        for count in range(self._mails):
            is_last = count >= self._mails // 2
            phones = self._chance.sample(_PHONES, 1 if is_last else self._chance.randint(1, 3))
            text = "x" if is_last else "x" * self._chance.choice((10, 200, 400))
            writer = _WRITERS[(self._number + count) % len(_WRITERS)]
            name = f"{self._number}.{count}"
            while not self._send(writer, phones, f"{text} {name}", name):
                time.sleep(0.05)
            self.sent += 1

    def _send(self, writer: str, phones: Sequence[str], text: str, name: str) -> bool:
        mail = f"From: {writer}\r\nSubject: x\r\nMessage-ID: <{name}@acme.example>\r\n\r\n{text}\r\n"
        try:
            with smtplib.SMTP(
                "127.0.0.1", self._chance.choice(self._ports), "client.example", timeout=20
            ) as smtp:
                smtp.ehlo_or_helo_if_needed()
                smtp.mail(writer)
                for phone in phones:
                    smtp.rcpt(f"{phone}@sms.acme.example")
                code, reply = smtp.data(mail)
        except (OSError, smtplib.SMTPException):
            return False
        if code == 250 and reply.split()[1].startswith(b"m-"):
            self.acknowledged.append(reply.split()[1].decode())
        elif code == 250 or code >= 500:
            self.refused += 1
        else:
            return False
        return True


def run(
    name: str, database: str = "", *, nodes: int = 1, kills: int = 4, mails: int = 14, patch: str = ""
) -> Figures:
    """Send to daemons (broken by `patch`) with this kind of limit, kill them meanwhile, and compare."""
    kind, figures = KINDS[name], Figures(name)
    with tempfile.TemporaryDirectory(prefix="mail2sms-broken-") as folder, contextlib.ExitStack() as running:
        wrap = breaker(Path(folder), patch) if patch else []
        extra = f"{_CONFIG}{kind.config}\n"
        daemons = [
            running.enter_context(Daemon(database=database, extra=extra, wrap=wrap)) for _ in range(nodes)
        ]
        clients = [Client(n, [each.smtp_port for each in daemons], mails) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        chance = random.Random(name)
        for _ in range(kills):
            time.sleep(chance.uniform(0.1, 0.4))
            killed = chance.choice(daemons)
            killed.kill9()
            killed.start()
            figures.kills += 1
        for client in clients:
            client.join(120)
            assert not client.is_alive(), "a client is never answered"
        for daemon in daemons:
            daemon.stop()
        figures.sent = sum(client.sent for client in clients)
        figures.refused = sum(client.refused for client in clients)
        compare(daemons[0], kind, [id_ for client in clients for id_ in client.acknowledged], figures)
    return figures


_STORED = """
    SELECT m.id, m.msisdn, m.region, m.segments, m.cost, s.writer FROM message m JOIN submission s
    ON s.id = m.submission
"""


def compare(daemon: Daemon, kind: Kind, acknowledged: Sequence[str], figures: Figures) -> None:
    """Hold what is stored against the limit, the counters, and what was acknowledged. The daemons do not run."""
    with kill._database(daemon) as connection:
        rows = connection.execute(sql(_STORED)).all()
        counted = connection.execute(sql("SELECT key, amount FROM counter")).all()
    figures.stored, figures.acknowledged = len(rows), len(acknowledged)
    figures.lost = sorted(set(acknowledged) - {row.id for row in rows})
    least = min(kind.amount(row) for row in rows)
    for row in rows:
        of = kind.of(row)
        if of is not None:
            figures.used[of] += kind.amount(row)
    counters = dict(_of(kind, counted))
    for of, used in figures.used.items():
        if used > kind.limit:
            figures.exceeded.append(f"{of}: {used} of {kind.limit}")
        if kind.limit - used >= least:
            figures.unused.append(f"{of}: {used} of {kind.limit}")
        if counters.get(of) != used:
            figures.miscounted.append(f"{of}: {used} stored, {counters.get(of)} counted")


def _of(kind: Kind, counted: Sequence[Any]) -> Iterator[tuple[str, int]]:
    for row in counted:
        words = row.key.split(" ")
        if words[0] == "quota" and words[2] == kind.key:
            yield words[3], row.amount


APART = """
from dataclasses import replace

from mail2sms.store import Store, Stored, counters
from mail2sms.store.writer import Verb


def add(connection, items):
    for ledger, wishes in items:
        counters.Ledger.lock(connection, wishes)
        ledger.write(connection)
    return [None] * len(items)


ADD = Verb(add)


async def put(self, bundle, put=Store.put):
    wishes = [wish for new in bundle.messages for wish in new.reservations]
    ledger = counters.Ledger(await self.read(counters.taken, [wish.key for wish in wishes]))
    refused = ledger.admit(bundle.messages)
    messages = tuple(replace(new, reservations=()) for new in bundle.messages if new.mt.id not in refused)
    if bundle.messages and not messages:
        return Stored(repeated={}, refused=refused)
    stored = await put(self, replace(bundle, messages=messages))
    if wishes:
        await self._write.run(ADD, (ledger, wishes))
    return replace(stored, refused=refused)


Store.put = put
"""
"""The counters are looked at before the transaction that stores, and added to after it."""


def main(argv: list[str]) -> int:
    """Run the proof on the databases asked for, and its control; 0 when only this was found wrong."""
    is_proven = True
    for database in argv or ["sqlite", "postgresql"]:
        with PostgreSQL() if database == "postgresql" else contextlib.nullcontext() as server:
            for name in KINDS:
                url = server.create_database() if server else ""
                figures = run(name, url, nodes=2 if server else 1, kills=5, mails=20)
                is_proven &= figures.is_kept
                print(f"{database} {figures}{'' if figures.is_kept else ': NOT AS IT MUST BE'}", flush=True)
                print(*figures.wrong[:5], sep="\n", end="", flush=True)
    control = run("total", patch=APART)
    is_proven &= bool(control.exceeded)
    print(f"  control: counted apart: {control.exceeded or 'NOT AS IT MUST BE'}", flush=True)
    return 0 if is_proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
