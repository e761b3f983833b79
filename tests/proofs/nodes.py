"""Two nodes on one PostgreSQL: whatever stops or dies, nothing is lost, nothing is on a phone twice.

Usage: nodes [PART...], by default all: stops, kills, restarts, bell, shares, reservations, controls.
Both nodes take mail from clients that turn to the other one when they get no answer, both send to the same phones,
phones write to both, and both relays fill one mailbox. `stops`: 100 times a node, or both, stand still (SIGSTOP)
until their shortened leases are over, half of them in the middle of a transaction, and go on as if nothing had been;
4 times with the real lease. `kills`: kill -9 of either, 100 times. `restarts`: 50 times the database crashes, and is
back at once or after 8 s. `bell`: how soon one node sends what the other took, with and without NOTIFY. `shares`:
what each sends of what one took. `reservations`: two processes reserve up to a limit through restarts. With
`on_unknown: hold` no text may be on a phone twice, not even one that was in doubt: what stood still between intent
and first byte has become `unknown` and goes out once. The controls, without a fence and with careless counting, must
fail.
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import psycopg

from tests.proofs import is_unknown, kill
from tests.proofs._nodes import Figures, Load, Mailing, Pair, again, loading, run
from tests.proofs._reserving import EVERYBODY, Work
from tests.servers._server import wait_until
from tests.servers.daemon import _CHECKOUT
from tests.servers.postgresql import PostgreSQL

SHORT = {"lease_ms": 1500, "pause_s": 0.05}
APART = {**SHORT, "is_apart": True}
BROKEN = {**APART, "pause_s": 0.15, "broken": ["fence"]}
_REAL_LEASE_S = 15.0
_AWAY_S = 8.0  # longer than the writer tries by itself
_CALM_S = 0.6
BACK_S = 10.0
LATE_MS = 2_500
FAIR = 0.25


class Stopping:
    """Lets a node, or both, stand still past their leases and go on; half of them while they hold locks."""

    def __init__(self, lease_s: float, seed: int = 1) -> None:
        self.hits = 0  # in the middle of a transaction
        self._lease_s, self._chance = lease_s, random.Random(seed)

    def __call__(self, load: Load) -> None:
        time.sleep(self._chance.uniform(0, _CALM_S))
        # Where both stand still, a node may claim again what it lost before it notices.
        nodes = self._chance.sample(load.pair.nodes, 1 if self._chance.random() < 0.7 else 2)
        for node in nodes:
            if self._chance.random() < 0.5:
                self.hits += node.freeze_in_transaction(load.pair)
            else:
                node.freeze()
        time.sleep(self._lease_s * self._chance.uniform(1.1, 2.0))
        for node in nodes:
            node.resume()


def stops(pair: Pair, count: int, lease_s: float) -> Figures:
    """Let nodes stand still so often."""
    stopping = Stopping(lease_s)
    figures = run(pair, "", count, stopping)
    figures.what = f"stops past a lease of {lease_s:g} s ({stopping.hits} aimed into a transaction)"
    return figures


def unfenced(pair: Pair, most: int = 10) -> tuple[int, int]:
    """Let one node stand still and go on until a phone shows something twice; return how much, after how many stops."""
    with loading(pair) as load:
        while not again(pair) and load.count < most:
            with load.fault():
                pair.nodes[0].freeze()
                time.sleep(1.5 * SHORT["lease_ms"] / 1000)
                pair.nodes[0].resume()
            load.wait_for_answers()
            wait_until(lambda: bool(again(pair)), _CALM_S)
    return len(again(pair)), load.count


def killing(chance: random.Random) -> Callable[[Load], None]:
    """Return what kills either node and starts it again."""

    def kill_one(load: Load) -> None:
        time.sleep(chance.uniform(0, _CALM_S))
        node = chance.choice(load.pair.nodes)
        node.kill9()
        time.sleep(chance.uniform(0, _CALM_S))
        node.start()

    return kill_one


def restarting(server: PostgreSQL, chance: random.Random, *, long_every: int = 0) -> Callable[[Load], None]:
    """Return what restarts the database as after a crash; one time of `long_every` it stays away."""

    def restart(load: Load) -> None:
        time.sleep(chance.uniform(0, _CALM_S))
        if long_every and load.count % long_every == long_every - 1:
            server._end(signal.SIGQUIT)
            time.sleep(_AWAY_S)
            server.start()
        else:
            server.restart(immediate=True)

    return restart


def mixed(pair: Pair, server: PostgreSQL, rounds: int) -> Figures:
    """Each of the three in turn; leases are short."""
    chance = random.Random(6)
    stopping = Stopping(SHORT["lease_ms"] / 1000)
    faults: list[Callable[[Load], None]] = [stopping, killing(chance), restarting(server, chance)]
    return run(pair, "stops, kills and restarts", rounds * 3, lambda load: faults[load.count % 3](load))


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from each 250 of one node to the phone that the other node's carrier reached."""

    of: list[int]

    @property
    def median(self) -> float:
        """Half of them were as quick."""
        return statistics.median(self.of)

    def __str__(self) -> str:
        return f"{len(self.of)} mails: median {self.median:.0f} ms, slowest {max(self.of)} ms"


def delays(pair: Pair, count: int, seed: int = 4) -> Delays:
    """Send so many mails to the first node, which sends nothing itself, at random moments."""
    chance, client = random.Random(seed), Mailing(0, (pair.nodes[0].smtp_port,), threading.Event())
    taken: dict[str, int] = {}
    for number in range(count):
        time.sleep(chance.uniform(0, _CALM_S))
        text = f"bell {seed} {number}"
        assert client._send(text)
        taken[client.acknowledged[text]] = time.time_ns() // 1_000_000
    assert wait_until(lambda: taken.keys() <= _shown_at(pair).keys(), 30), "not on the phones"
    shown = _shown_at(pair)
    return Delays([max(0, shown[id_] - at) for id_, at in taken.items()])


def _shown_at(pair: Pair) -> dict[str, int]:
    lines = kill._phones(pair.nodes[0])
    return {line["shown"]["id"]: line["shown"]["at"] for line in lines if "shown" in line}


def shares(pair: Pair, load_s: float, clients: int = 4) -> tuple[int, int]:
    """Let clients of the first node send for so long; return how many messages each node handed over."""
    stop = threading.Event()
    threads = [Mailing(n, (pair.nodes[0].smtp_port,), stop) for n in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(load_s)
    stop.set()
    for thread in threads:
        thread.join(30)
    sent = sum(len(thread.acknowledged) for thread in threads)
    assert wait_until(lambda: len(_shown_at(pair)) >= sent, 60, every_s=0.3), "not on the phones"
    assert wait_until(lambda: sum(node.count("mt_enroute") for node in pair.nodes) >= sent, 20)
    first, second = (node.count("mt_enroute") for node in pair.nodes)
    return first, second


@dataclass(slots=True)
class Counts:
    """What reservations led to: for each key its limit, its counter, and the messages stored under it."""

    answers: Counter[str] = field(default_factory=Counter)
    keys: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    restarts: int = 0
    deadlocks: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether each counter is what is stored, and within its limit."""
        counts = self.keys.values()
        return bool(counts) and all(amount == stored <= limit for limit, amount, stored in counts)

    @property
    def is_full(self) -> bool:
        """Whether each limit is reached exactly."""
        return self.is_kept and all(limit == stored for limit, _, stored in self.keys.values())

    def __str__(self) -> str:
        counts = self.keys.values()
        above = sum(stored > limit for limit, _, stored in counts)
        wrong = sum(amount != stored for _, amount, stored in counts)
        most = max((stored, limit) for limit, _, stored in counts)
        answers = ", ".join(f"{count} {answer}" for answer, count in sorted(self.answers.items()))
        return (
            f"{self.restarts} restarts of the database, {len(counts)} counters: {above} limits exceeded, "
            f"{wrong} that differ from what is stored; {most[0]} stored under the widest limit, which is {most[1]}; "
            f"answers: {answers}; {self.deadlocks} deadlocks"
        )


def reserve(server: PostgreSQL, work: Work, restarts_: int = 0, seed: int = 5) -> Counts:
    """Let two processes do the work at once, while the database is restarted so often."""
    chance, counts = random.Random(seed), Counts()
    before = server.log().count("deadlock detected")
    work = replace(work, url=server.create_database())
    commands = [replace(work, name=name).command() for name in ("one", "two")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, cwd=_CHECKOUT, stdin=pipe, stdout=pipe) for command in commands]
    for process in processes:
        assert process.stdout and process.stdout.readline() == b"ready\n"
    for process in processes:  # both at once
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    wait_until(lambda: _stored(work.url) > 0, 30)
    while counts.restarts < restarts_ and all(process.poll() is None for process in processes):
        time.sleep(chance.uniform(0, _CALM_S))
        server.restart(immediate=True)
        counts.restarts += 1
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        counts.answers += Counter(json.loads(output.splitlines()[-1]))
    with psycopg.connect(work.url) as connection:
        for key, amount in connection.execute("SELECT key, amount FROM counter").fetchall():
            name = "m-%" if key == EVERYBODY else f"m-{key}-%"
            found = connection.execute("SELECT count(*) FROM message WHERE id LIKE %s", [name]).fetchone()
            limit = work.limit_of_all if key == EVERYBODY else work.limit
            counts.keys[key] = (limit, amount, found[0] if found else 0)
    counts.deadlocks = server.log().count("deadlock detected") - before
    return counts


def _stored(url: str) -> int:
    try:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT count(*) FROM message").fetchone()
            return int(row[0]) if row else 0
    except psycopg.Error:
        return 0


def _prove_stops(server: PostgreSQL) -> bool:
    with Pair(server.create_database(), APART, SHORT) as pair:
        figures = stops(pair, 100, SHORT["lease_ms"] / 1000)
        # Else no stop came between claim and intent, or none between intent and answer.
        is_good = _tell(figures) and figures.stale > 0 < figures.doubted
    with Pair(server.create_database(), {"pause_s": SHORT["pause_s"]}) as pair:
        return _tell(stops(pair, 4, _REAL_LEASE_S)) and is_good


def _prove_kills(server: PostgreSQL) -> bool:
    with Pair(server.create_database(), {"pause_s": SHORT["pause_s"]}) as pair:
        return _tell(run(pair, "kills", 100, killing(random.Random(2))))


def _prove_restarts(server: PostgreSQL) -> bool:
    with Pair(server.create_database(), {}) as pair:
        break_ = restarting(server, random.Random(3), long_every=10)
        what = f"immediate restarts of the database, 5 of them {_AWAY_S:g} s long"
        figures = run(pair, what, 50, break_, is_pinned=True)
        return _tell(figures) and figures.longest_s <= _AWAY_S + BACK_S


def _prove_bell(server: PostgreSQL) -> bool:
    with Pair(server.create_database(), {"broken": ["claims"]}, {}) as pair:
        heard = delays(pair, 40)
        print(f"bell: from a 250 of one node to a phone by the other: {heard}", flush=True)
        server.restart(immediate=True)
        time.sleep(3)
        restarted = delays(pair, 40, 40)
        print(f"bell: after a restart of the database: {restarted}", flush=True)
    with Pair(server.create_database(), {"broken": ["claims", "bell"]}, {}) as pair:
        lost = delays(pair, 40)
        print(f"bell: every NOTIFY lost: {lost}", flush=True)
    return (
        max(map(max, (heard.of, restarted.of, lost.of))) <= LATE_MS
        and heard.median < lost.median > restarted.median
    )


def _prove_shares(server: PostgreSQL) -> bool:
    is_fair = True
    for what, hampered in (("at once", {}), ("in 0.2 s", {"send_s": 0.2})):
        with Pair(server.create_database(), hampered) as pair:
            first, second = shares(pair, 20)
        share = second / (first + second)
        print(
            f"shares: the carrier answers {what}, one node takes {first + second} messages: it sends {first}, "
            f"the other {second} ({share:.0%})",
            flush=True,
        )
        is_fair &= share >= FAIR
    return is_fair


_ONE_KEY = Work(url="", name="", count=900, limit=1000, limit_of_all=1000)
_MANY_KEYS = Work(url="", name="", count=1500, users=20, widest=3, limit=220, limit_of_all=4000)


def _prove_reservations(server: PostgreSQL) -> bool:
    is_good = True
    for what, work in (("one limit", _ONE_KEY), ("20 limits and one for all", _MANY_KEYS)):
        for times in (0, 10):
            paced = replace(work, pause_s=0.5 * bool(times))
            counts = reserve(server, paced, times)
            is_right = (counts.is_full if work is _ONE_KEY else counts.is_kept) and counts.restarts == times
            print(f"reservations, {what}: {counts}{'' if is_right else ': NOT AS IT MUST BE'}", flush=True)
            is_good &= is_right
    return is_good


def _prove_controls(server: PostgreSQL) -> bool:
    with Pair(server.create_database(), BROKEN) as pair:
        twice, stopped = unfenced(pair)
    print(f"  control: no fence: {twice} on a phone twice after {stopped} stops", flush=True)
    counts = reserve(server, replace(_MANY_KEYS, pause_s=0.3, is_broken=True))
    print(f"  control: careless counting: {counts}", flush=True)
    return twice > 0 and not counts.is_kept


def _tell(figures: Figures) -> bool:
    print(f"{figures}{'' if figures.is_kept else ': NOT AS IT MUST BE'}", flush=True)
    for one in figures.details():
        print(f"  {one}", flush=True)
    return figures.is_kept


PARTS = {
    "stops": _prove_stops,
    "kills": _prove_kills,
    "restarts": _prove_restarts,
    "bell": _prove_bell,
    "shares": _prove_shares,
    "reservations": _prove_reservations,
    "controls": _prove_controls,
}


def main(argv: list[str]) -> int:
    """Run the parts asked for; 0 when each found what it must."""
    if is_unknown(argv, PARTS):
        return 64
    with PostgreSQL() as server:
        wrong = [name for name in argv or PARTS if not PARTS[name](server)]
    print(f"not as it must be: {', '.join(wrong)}" if wrong else "all as it must be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
