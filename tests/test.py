"""`./run test [--fast] [pytest arguments]`: the gate. Every tool runs whatever the others said; pytest is last.

`--fast` leaves out the tests that start servers of other projects. The rest is pytest's: `-n 0` turns its four workers
off, a path runs that file alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent
_TOOLS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    # A proof reaches into the product to break it: a name that is not there any more would make its control blind.
    "mypy": ["mypy", "mail2sms", "benchmarks", "tests/proofs"],
    # So that the tests are compiled once; the workers, who all begin with the same file, would each do it.
    "collect": ["pytest", "--collect-only", "-qq", "-n", "0"],
}
# tests/hanging.py ends a test that hangs; where it can't (a loop inside a C library), its worker ends.
_BOUND = [
    "-o",
    "faulthandler_timeout=240",
    "-o",
    "faulthandler_exit_on_timeout=true",
    "--max-worker-restart",
    "0",
]
_PYTEST = ["pytest", "-n", "4", "--dist", "loadfile", "--no-loadscope-reorder", *_BOUND]


def _module(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def _check_tools() -> list[str]:
    """Run the checkers side by side and print each verdict; return the names of those that found something."""
    begun = time.monotonic()
    running = {
        name: subprocess.Popen(
            _module(*words), cwd=_CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for name, words in _TOOLS.items()
    }
    failed = []
    for name, process in running.items():
        output, _ = process.communicate()
        verdict = "ok" if process.returncode == 0 else "FAILED"
        print(f"{name}: {verdict} ({time.monotonic() - begun:.1f} s)", flush=True)
        if process.returncode:
            failed.append(name)
            print(output, flush=True)
    return failed


def main(argv: Sequence[str]) -> int:
    """Return 0 when all of them are content."""
    arguments = [word for word in argv if word != "--fast"]
    if len(arguments) < len(argv):
        arguments += ["-m", "not servers"]
    failed = _check_tools()
    if failed:
        print(f"pytest follows; {', '.join(failed)} failed", flush=True)
    tests = subprocess.run(
        _module(*_PYTEST, *arguments), cwd=_CHECKOUT, stdin=subprocess.DEVNULL, check=False
    )
    return tests.returncode or bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
