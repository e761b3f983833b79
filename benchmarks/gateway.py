"""`./run bench gateway`: from an email to the SMSC by SMPP, beside Kannel, which takes HTTP and keeps a spool.

Ours takes mail by SMTP, and each 250 follows an fsync; Kannel's 202 follows a write into its spool, which is never
synced. Both have one transceiver bind with a window of ten to the same SMSC. The rate is that of the whole road: from
the first mail or call until the last submit. Kannel must be installed: apt-get install kannel.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest

from benchmarks import figures
from benchmarks.figures import Case, Figures
from benchmarks.load import Answers
from benchmarks.measure import send
from benchmarks.smpp import Simulator, simulator
from benchmarks.targets import Target
from mail2sms import __version__
from tests.servers import Daemon, StartFailed, free_port, program
from tests.servers._server import Server, answers, wait_until

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
_KANNEL = """
group = core
admin-port = {admin}
admin-password = x
smsbox-port = {box}
store-type = spool
store-location = "{folder}/spool"
log-level = 4
log-file = "{folder}/bearerbox.log"
box-allow-ip = "127.0.0.1"

group = smsc
smsc = smpp
smsc-id = smsc
host = 127.0.0.1
port = {smsc}
smsc-username = kannel
smsc-password = s3cret
system-type = ""
transceiver-mode = true
max-pending-submits = 10

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {send}
log-level = 4
log-file = "{folder}/smsbox.log"

group = sendsms-user
username = u
password = p
max-messages = 10
concatenation = true
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


class _Boxes(Server):
    """Kannel's two programs, under one parent that ends with them."""

    name = "kannel"

    def __init__(self, programs: Sequence[str], smsc_port: int) -> None:
        self._programs = programs
        super().__init__()
        self._admin, self.port = free_port(), free_port()
        (self.folder / "spool").mkdir()
        ports = {"admin": self._admin, "box": free_port(), "send": self.port, "smsc": smsc_port}
        config = _KANNEL.format(**ports, folder=self.folder)
        (self.folder / "kannel.conf").write_text(config, encoding="ascii")

    def _launch(self) -> None:
        bearerbox, smsbox = (f"{path} kannel.conf" for path in self._programs)
        # smsbox ends when there is no bearerbox yet.
        self._spawn(["/bin/sh", "-c", f"{bearerbox} & sleep 2; {smsbox} & wait"])

    def _is_ready(self) -> bool:
        return answers(self._admin) and answers(self.port)

    @property
    def pid(self) -> int:
        """Their parent's."""
        assert self._child is not None
        return self._child.pid

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None and how is not signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, how)
        super()._end(how)


class Kannel(_Road):
    """Kannel's bearerbox and smsbox."""

    name, url = "kannel", _SENDSMS

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Run both. Raises pytest's skip where it is not installed."""
        programs = [program(name, "kannel") for name in ("bearerbox", "smsbox")]
        version = subprocess.run([programs[0], "--version"], capture_output=True, text=True, check=False)
        self.version = version.stdout.split("version", 1)[-1].split()[0].strip("`.'")
        with _Boxes(programs, self._smsc.port) as self._boxes:
            self.port = self._boxes.port
            yield self

    @property
    def pid(self) -> int:
        """Of both's parent."""
        return self._boxes.pid


ROADS = {road.name: road for road in (Ours, Kannel)}


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
    print(f"\n{figures.ratios(found, [Ours.name], [Kannel.name])}")
    if options.json:
        options.json.write_text(json.dumps(figures.as_json(found), indent=1), encoding="utf-8")
    complaints = figures.complaints(found)
    for line in (*complaints, *missing):
        print(line, file=sys.stderr)
    return 1 if complaints else _UNAVAILABLE if missing else 0
