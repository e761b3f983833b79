"""`./run bench smpp`: submits to one SMSC by mail2sms and by the SMPP libraries there are, in turns.

A client has its window full of unanswered submits and sends the next one for each answer. CPU is the client's own.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import which

from benchmarks import figures, installs
from benchmarks.figures import Figures
from benchmarks.installs import CannotInstall

_HERE = Path(__file__).resolve().parent
_OURS, _NODE = "mail2sms", "node-smpp"
CLIENTS = (_OURS, "smpp34", _NODE, "smpplib", "aiosmpplib")
WINDOWS = (1, 10, 100)
_FASTER = {"aiosmpplib": ("uvloop",)}  # what makes a library quicker
_UNAVAILABLE = 69


def _command(client: str) -> list[str]:
    """Return what runs a client. Raises CannotInstall."""
    if client == _NODE:
        node = which("node")
        if node is None:
            raise CannotInstall("there is no node")
        installs.installed_node("smpp")
        return [node, str(_HERE / "submit_by.js")]
    if client == _OURS:
        return [sys.executable, str(_HERE / "submit_by.py"), client]
    programs = installs.installed(client, *_FASTER.get(client, ()))
    return [str(programs / "python"), str(_HERE / "submit_by.py"), client]


def measure(
    client: str, command: Sequence[str], port: int, window: int, seconds: float, number: int
) -> Figures:
    """Let one client submit for so long."""
    env = {**os.environ, "NODE_PATH": str(installs.folder() / "node" / "node_modules")}
    words = [*command, str(port), str(window), str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60 + seconds, check=False, env=env)
    failures = {} if done.returncode == 0 else {(done.stderr.strip() or "no output")[-200:]: 1}
    told = json.loads(done.stdout.splitlines()[-1]) if not failures else {}
    answers = int(told.get("answers", 0))
    return Figures(
        target=client,
        case=f"window {window}",
        round=number,
        accepted=answers,
        rate=answers / told["elapsed_s"] if answers else 0.0,
        p50_ms=0.0,
        p99_ms=0.0,
        cpu_us=told.get("cpu_s", 0.0) * 1_000_000 / max(1, answers),
        database_us=0.0,
        load_us=0.0,
        failures=failures,
    )


class Simulator:
    """An SMSC that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stdin is not None
        self._answers, self._questions = process.stdout, process.stdin
        self.port = int(self._answers.readline())

    def taken(self) -> tuple[int, float]:
        """Return how many submits it has taken, and when the last one came, on the machine's monotonic clock."""
        self._questions.write("\n")
        self._questions.flush()
        count, last_s = self._answers.readline().split()
        return int(count), float(last_s)


@contextlib.contextmanager
def simulator() -> Iterator[Simulator]:
    """Run the SMSC."""
    with subprocess.Popen(
        [sys.executable, str(_HERE / "smsc.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Simulator(process)
        finally:
            process.terminate()


def main(argv: Sequence[str]) -> int:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(prog="./run bench smpp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each time (2)")
    parser.add_argument("--only", nargs="+", choices=CLIENTS, default=list(CLIENTS), metavar="CLIENT")
    parser.add_argument("--window", nargs="+", type=int, default=list(WINDOWS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    options = parser.parse_args(argv)
    commands, missing = {}, []
    for client in options.only:
        try:
            commands[client] = _command(client)
        except CannotInstall as e:
            missing.append(f"{client} is left out: {e}")
    found = []
    with simulator() as smsc:
        turns = itertools.product(range(1, options.rounds + 1), options.window, commands)
        for number, window, client in turns:
            found.append(measure(client, commands[client], smsc.port, window, options.seconds, number))
    found.sort(key=lambda each: options.window.index(int(each.case.split()[1])))
    print(figures.submits(found))
    print(f"\n{figures.ratios(found, [_OURS], [client for client in commands if client != _OURS])}")
    if options.json:
        options.json.write_text(json.dumps(figures.as_json(found), indent=1), encoding="utf-8")
    complaints = figures.complaints(found)
    for line in (*complaints, *missing):
        print(line, file=sys.stderr)
    return 1 if complaints else _UNAVAILABLE if missing else 0
