"""The daemon's system calls, as strace saw them: how to record them and how to read them.

A line's place in the log is its time: the tracer sees a call's end before the thread goes on, so what one thread did
because of another stands below it. Written for strace 6.1.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.servers._server import program, wait_until
from tests.servers.daemon import Daemon

_BYTES = 8192  # of each argument: more than a page, and than any mail that is sent here
_ENDS_WITHIN_S = 30.0
_LINE = re.compile(
    r"(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()"
    r"(?P<words>.*?)(?: <unfinished \.\.\.>|\) += (?P<result>-?\w+|\?)(?P<rest>[ <][^\"]*)?)",
    re.DOTALL,
)
_FILE = re.compile(r"\d+<(?P<path>[^>]*)>")
_DATA = re.compile(r'"((?:[^"\\]|\\.)*)"(?P<cut>\.\.\.)?')
_OFFSET = re.compile(r", (\d+)\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call: `began` and `ended` are lines of the log."""

    name: str
    words: str
    result: int
    began: int
    ended: int

    @property
    def path(self) -> str:
        """The file of its first argument; `socket:[INODE]` is a connection."""
        found = _FILE.match(self.words)
        return found["path"] if found else ""

    @property
    def data(self) -> bytes:
        """The bytes that were written or read."""
        found = _DATA.search(self.words)
        assert found and not found["cut"], self.words[:200]
        return found[1].encode("latin-1").decode("unicode_escape").encode("latin-1")

    @property
    def offset(self) -> int:
        """The last argument: where a pwrite64 begins, how long a file is after ftruncate."""
        found = _OFFSET.search(self.words)
        assert found, self.words[-200:]
        return int(found[1])


def recorder(log: Path, *calls: str) -> list[str | Path]:
    """Return the command before the daemon's that writes these calls of all its threads to `log`."""
    # -DD: the daemon stays our child, and the tracer outlives it until the log is whole.
    options = ["-DD", "-f", "--seccomp-bpf", "-q", "-y", "-s", str(_BYTES), "-e", "signal=none"]
    return [program("strace", "strace"), *options, "-e", f"trace={','.join(calls)}", "-o", log]


def stop(daemon: Daemon) -> None:
    """Stop a daemon that is recorded, and wait until its log is whole."""
    status = Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
    tracer = psutil.Process(int(re.findall(r"^TracerPid:\t(\d+)", status, re.MULTILINE)[0]))
    daemon.stop()
    assert wait_until(lambda: not _lives(tracer), _ENDS_WITHIN_S), "strace does not end"


def _lives(tracer: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(tracer.is_running() and tracer.status() != psutil.STATUS_ZOMBIE)
    return False


def read(log: Path) -> Iterator[Call]:
    """Read the calls in the order in which they ended; those that never ended are left out."""
    begun: dict[str, tuple[int, str]] = {}
    with log.open(encoding="latin-1", newline="\n") as lines:
        for number, line in enumerate(lines):
            found = _LINE.fullmatch(line.rstrip("\n"))
            if not found:
                assert "+++" in line or "???" in line or "detached" in line, line[:200]
                continue
            thread = found["thread"]
            if found["result"] is None:
                begun[thread] = (number, found["words"])
                continue
            began, words = begun.pop(thread) if found["resumed"] else (number, "")
            result = int(found["result"], 0) if found["result"] != "?" else -1
            name = found["name"] or found["resumed"]
            yield Call(name=name, words=words + found["words"], result=result, began=began, ended=number)
