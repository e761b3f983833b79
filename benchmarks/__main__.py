"""`./run bench`: mail2sms beside its peers on this machine, in turns; rates, waits, CPU and their ratios.

Exit code: 0 when all was measured, every mail accepted and, where messages go out, every message sent; 69 when a peer
could not be had; 1 when something went wrong. `./run bench smpp` measures submitting to an SMSC instead, and
`./run bench gateway` the whole road from an email to it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import costs, figures, gateway, smpp
from benchmarks.figures import Case, Figures
from benchmarks.installs import CannotInstall
from benchmarks.measure import measure
from benchmarks.peers import Discard, HoldingPostfix, Mailrise, SmtpSink
from benchmarks.targets import Mail2sms, Target
from tests.servers import StartFailed

CEILING = "smtp-sink"  # no peer: it shows what the load generator can
OURS = ("sqlite-paused", "sqlite-running", "postgresql-paused", "postgresql-running")
PEERS: dict[str, Callable[[], Target]] = {
    "postfix": HoldingPostfix,
    "mailrise": Mailrise,
    "aiosmtpd": Discard,
    CEILING: SmtpSink,
}
CASES = [Case(sessions=n, reuse=reuse) for n in (1, 10, 50) for reuse in (False, True)]
BIG = Case(sessions=4, reuse=True, attachment_bytes=5_000_000)
_BIG_MAILS = 20
_BIG_TARGETS = {"sqlite-paused", "postfix"}
_UNAVAILABLE = 69


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    names = [*OURS, *PEERS]
    cases = [case.name for case in (*CASES, BIG)]
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each time (3)")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="SERVER", help=" ".join(names)
    )
    parser.add_argument(
        "--load", nargs="+", choices=cases, default=cases, metavar="LOAD", help=" ".join(cases)
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second; without --load, of 10n, 10r and 50r"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--costs", action="store_true", help="where our CPU goes, instead of the comparison")
    found = parser.parse_args(argv)
    if found.quick:
        found.rounds, found.seconds = 1, 1.0
        found.load = found.load if found.load is not cases else ["10n", "10r", "50r"]
    return found


def _target(name: str) -> Target:
    return PEERS[name]() if name in PEERS else Mail2sms(name)


def main(argv: Sequence[str]) -> int:
    """Measure what is asked for and print it."""
    if argv[:1] == ["smpp"]:
        return smpp.main(argv[1:])
    if argv[:1] == ["gateway"]:
        return gateway.main(argv[1:])
    options = _arguments(argv)
    cases = [case for case in (*CASES, BIG) if case.name in options.load]
    if options.costs:
        return costs.show(Mail2sms(options.only[0]), cases, options.seconds)
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        running = _start(stack, options.only, missing)
        found = _measure_all(running, cases, options.rounds, options.seconds)
    _print(running, found)
    if options.json:
        options.json.write_text(json.dumps(figures.as_json(found), indent=1), encoding="utf-8")
    complaints = figures.complaints(found)
    for line in (*complaints, *missing):
        print(line, file=sys.stderr)
    return 1 if complaints else _UNAVAILABLE if missing else 0


def _start(stack: contextlib.ExitStack, names: Sequence[str], missing: list[str]) -> list[Target]:
    running = []
    for name in names:
        try:
            running.append(stack.enter_context(_target(name).started()))
        except (StartFailed, CannotInstall, pytest.skip.Exception) as e:
            missing.append(f"{name} is left out: {e}")
    return running


def _measure_all(
    running: Sequence[Target], cases: Sequence[Case], rounds: int, seconds: float
) -> list[Figures]:
    found = []
    turns = itertools.product(range(1, rounds + 1), cases, running)
    for number, case, target in turns:
        is_big = bool(case.attachment_bytes)
        if is_big and target.name not in _BIG_TARGETS:
            continue
        if sys.stderr.isatty():
            print(f"\rround {number} {case.name} {target.name:<20}", end="\r", file=sys.stderr, flush=True)
        ends = {"mails": _BIG_MAILS} if is_big else {"seconds": seconds}
        found.append(measure(target, case, number, **ends))
    return sorted(found, key=lambda f: [case.name for case in cases].index(f.case))


def _print(running: Sequence[Target], found: Sequence[Figures]) -> None:
    print("versions: " + ", ".join(f"{target.name} {target.version}".strip() for target in running))
    peers = [name for name in PEERS if name != CEILING]
    for text in (figures.table(found), figures.ratios(found, OURS, peers), figures.sending(found)):
        if text:
            print(f"\n{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
