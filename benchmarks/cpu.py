"""The CPU time that a server has used, with everything it started: microseconds, ended children included."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def used_us(pid: int) -> float:
    """Return the CPU time of a process and of all that descend from it, those that ended and were waited for too."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(_own_us(process.pid) + _ended_us(process.pid) for process in processes)


def threads_us(pid: int) -> dict[int, float]:
    """Return the CPU time of each thread that lives, by its id."""
    tasks = Path(f"/proc/{pid}/task")
    return {
        int(task.name): int((task / "schedstat").read_text().split()[0]) / 1000 for task in tasks.iterdir()
    }


def threads_kernel_us(pid: int) -> dict[int, float]:
    """The same of the time in the kernel, in hundredths of a second."""
    tasks = Path(f"/proc/{pid}/task")
    return {int(task.name): float(_stat(task)[12]) * _TICK_US for task in tasks.iterdir()}


def _own_us(pid: int) -> float:
    try:
        # The CPU clock of another process (clock_getcpuclockid(3)): /proc counts in hundredths of a second.
        return time.clock_gettime_ns((~pid << 3) | 2) / 1000
    except OSError:  # it ended since: its parent knows
        return 0.0


def _ended_us(pid: int) -> float:
    try:
        fields = _stat(Path(f"/proc/{pid}"))
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) * float(_TICK_US)


def _stat(process: Path) -> list[bytes]:
    """The fields of proc(5) from the third on; stime is the 13th here, cutime and cstime follow."""
    # The second, a name, may hold blanks and parentheses.
    return (process / "stat").read_bytes().rpartition(b")")[2].split()
