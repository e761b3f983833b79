"""`./run bench gateway`: from an email to the SMSC by SMPP, beside Kannel, which takes HTTP and keeps a spool.

Ours takes mail by SMTP, and each 250 follows an fsync; Kannel's 202 follows a write into its spool, which it never
syncs: a second one has a spool whose files and folders are synchronous, which makes its 202 worth as much. All have one
transceiver bind with a window of ten to the same SMSC. The rate is that of the whole road: from the first mail or call
until the last submit. Kannel must be installed: apt-get install kannel.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import pytest

from benchmarks import figures
from benchmarks.figures import Case, Figures
from benchmarks.load import Answers
from benchmarks.measure import send
from benchmarks.smpp import Simulator, simulator
from benchmarks.targets import Target
from mail2sms import __version__
from tests.servers import Daemon, StartFailed, kannel
from tests.servers._server import wait_until

CASES = [Case(sessions=n, reuse=True) for n in (10, 50)]
_PHONES = "3361234"  # mobile numbers, of which none is an example: they go no further than the simulator
_WARM_UP_S, _PATIENCE_S, _LOOK_S = 0.5, 120.0, 0.02
_UNAVAILABLE = 69
_OURS = """
countries: [FR]
sender_ids: {{default: ACME}}
carriers: {{smsc: {{type: smpp, address: "127.0.0.1:{port}", system_id: ours, password: s3cret, receipts: none}}}}
routes: [{{to: any, via: [smsc]}}]
"""
_SENDSMS = "/cgi-bin/sendsms?username=u&password=p&from=ACME&to={phone}&text={text}"


class _Road(Target):
    """What takes messages and submits them to the SMSC."""

    prefix = _PHONES

    def __init__(self, smsc: Simulator) -> None:
        self._smsc = smsc

    def send(self, case: Case, seconds: float) -> tuple[Answers, int, float]:
        """Send for so long; return the answers, how many submits came of it, and when the last one came."""
        before, _ = self._smsc.taken()
        told = send(self, case, seconds=seconds)
        wait_until(lambda: self._smsc.taken()[0] - before >= told.accepted, _PATIENCE_S, every_s=_LOOK_S)
        time.sleep(_LOOK_S)  # for one too many
        count, last_s = self._smsc.taken()
        return told, count - before, last_s

    def measure(self, case: Case, number: int, seconds: float) -> Figures:
        """Measure in round `number`, after a short load that is not counted."""
        self.send(case, _WARM_UP_S)
        used = self.cpu_us()
        told, submits, last_s = self.send(case, seconds)
        used = self.cpu_us() - used
        return Figures(
            target=self.name,
            case=case.name,
            round=number,
            accepted=told.accepted,
            rate=submits / (last_s - told.began_s) if submits else 0.0,
            p50_ms=told.p50_ms,
            p99_ms=told.p99_ms,
            cpu_us=used / max(1, told.accepted),
            database_us=0.0,
            load_us=told.cpu_us,
            failures=told.failures,
            sent=submits,
            sent_s=last_s - told.began_s - told.elapsed_s,
        )


class Ours(_Road):
    """Our daemon on SQLite."""

    name, version = "mail2sms", __version__

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Run it, bound."""
        self._daemon = Daemon(mode="live", extra=_OURS.format(port=self._smsc.port))
        self._daemon.config.chmod(0o600)  # it holds secrets
        with self._daemon:
            self.port = self._daemon.smtp_port
            yield self

    @property
    def pid(self) -> int:
        """The daemon's."""
        return self._daemon.pid


class Kannel(_Road):
    """Kannel's bearerbox and smsbox, and its spool as it is."""

    name, url = "kannel", _SENDSMS
    spool: ClassVar[Literal["plain", "synced"]] = "plain"

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Run both. Raises pytest's skip where it is not installed."""
        with kannel.Kannel(self._smsc.port, spool=self.spool) as self._boxes:
            self.port, self.version = self._boxes.port, self._boxes.version
            yield self

    @property
    def pid(self) -> int:
        """Of both's parent."""
        return self._boxes.pid


class SyncedKannel(Kannel):
    """The same with a spool on which every write waits for the disk, as ours do."""

    name, spool = "kannel, synced", "synced"


ROADS = {road.name: road for road in (Ours, Kannel, SyncedKannel)}


def main(argv: Sequence[str]) -> int:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(prog="./run bench gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each time (3)")
    parser.add_argument("--only", nargs="+", choices=ROADS, default=list(ROADS), metavar="GATEWAY")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    options = parser.parse_args(argv)
    found, missing = [], []
    with contextlib.ExitStack() as stack:
        smsc = stack.enter_context(simulator())
        running: list[_Road] = []
        for name in options.only:
            try:
                running.append(stack.enter_context(ROADS[name](smsc).started()))
            except (StartFailed, pytest.skip.Exception) as e:
                missing.append(f"{name} is left out: {e}")
        for number, case, road in itertools.product(range(1, options.rounds + 1), CASES, running):
            found.append(road.measure(case, number, options.seconds))
        print("versions: " + ", ".join(f"{road.name} {road.version}" for road in running))
    found.sort(key=lambda each: [case.name for case in CASES].index(each.case))
    print(f"\n{figures.table(found)}")
    print(f"\n{figures.ratios(found, [Ours.name], [Kannel.name, SyncedKannel.name])}")
    if options.json:
        options.json.write_text(json.dumps(figures.as_json(found), indent=1), encoding="utf-8")
    complaints = figures.complaints(found)
    for line in (*complaints, *missing):
        print(line, file=sys.stderr)
    return 1 if complaints else _UNAVAILABLE if missing else 0
