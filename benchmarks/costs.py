"""Where our CPU goes: py-spy's samples, by thread and function, as microseconds for each mail.

What each thread uses is the kernel's own count, without py-spy. The samples of a second run divide it: those in which
the thread worked. py-spy also sees threads that wait (for the disk, for work, for the GIL): these are told apart by
the C function they wait in, and shown as shares of the time.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cpu, installs
from benchmarks.figures import Case
from benchmarks.measure import send
from benchmarks.targets import Target

_SAMPLES_PER_S = 150
_WARM_UP_S = 1.0
_LEAST_US = 1.5  # less is not shown
_TOP = 40
_FRAME = re.compile(r"(.+) \((.+?)(?::\d+)?\)")
_THREAD = re.compile(r"thread \((\d+)\): ?(.*)")
_OUTERMOST = ("<frozen runpy>", "benchmarks/", "mail2sms/cli/", "uvloop/__init__", "threading.py")
# C functions that a thread waits in, innermost first: what stands nearest decides.
_WAITS = {
    "fdatasync": "for the disk",
    "fsync": "for the disk",
    "epoll_pwait": "for work",
    "epoll_wait": "for work",
    "PyThread_acquire_lock_timed": "for work",
    "lock_PyThread_acquire_lock": "for work",
    "_queue_SimpleQueue_get_impl": "for work",
    "pthread_cond_timedwait": "for the GIL",
    "take_gil": "for the GIL",
}
_NEAR = 5  # frames


@dataclass(frozen=True, slots=True)
class _Stack:
    """One line of py-spy's raw output: outermost function first. `wait`: for what it waits, nothing when it works."""

    thread: int
    thread_name: str
    functions: tuple[str, ...]
    wait: str
    count: int

    @property
    def python(self) -> tuple[str, ...]:
        """Those that are Python."""
        return tuple(f for f in self.functions if ".py)" in f or "<string>" in f)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThreadCost:
    """One thread, in microseconds for each mail: all of it, in the kernel, and all of it by several keys.

    `waits`: shares of the time.
    """

    name: str
    total_us: float
    kernel_us: float
    waits: dict[str, float]
    tables: dict[str, dict[str, float]]


def show(target: Target, cases: Sequence[Case], seconds: float) -> int:
    """Print the costs of each case, and where the samples are kept for a flame graph."""
    programs = installs.installed("py-spy")
    kept = installs.folder() / "costs"
    kept.mkdir(parents=True, exist_ok=True)
    with target.started():
        for case in cases:
            send(target, case, seconds=_WARM_UP_S)
            raw = kept / f"{target.name}-{case.name}.raw"
            rate, used = _used(target, case, seconds)
            stacks = _sampled(programs / "py-spy", target, case, seconds, raw)
            print(f"\n{target.name} {case.name}: {rate:.0f} mails/s; samples in {raw}")
            for cost in _costs(stacks, used):
                print(_shown(cost), flush=True)
    return 0


def _used(target: Target, case: Case, seconds: float) -> tuple[float, dict[int, tuple[float, float]]]:
    """Return the rate, and what each thread used for each mail: all of it, and in the kernel."""
    before, kernel_before = cpu.threads_us(target.pid), cpu.threads_kernel_us(target.pid)
    answers = send(target, case, seconds=seconds)
    after, kernel_after = cpu.threads_us(target.pid), cpu.threads_kernel_us(target.pid)
    mails = max(1, answers.accepted)
    used = {
        thread: (
            (after[thread] - before.get(thread, 0)) / mails,
            (kernel_after[thread] - kernel_before.get(thread, 0)) / mails,
        )
        for thread in after
    }
    return mails / answers.elapsed_s, used


def _sampled(program: Path, target: Target, case: Case, seconds: float, raw: Path) -> list[_Stack]:
    options = ["--threads", "--native", "--format", "raw", "--rate", str(_SAMPLES_PER_S)]
    command = [str(program), "record", "--pid", str(target.pid), *options]
    command += ["--duration", str(max(1, round(seconds))), "--output", str(raw)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as spy:
        send(target, case, seconds=seconds + _WARM_UP_S)
        said, _ = spy.communicate(timeout=120)
    if spy.returncode:
        raise installs.CannotInstall(f"py-spy cannot sample here: {said[-300:]}")
    return [_stack(line) for line in raw.read_text(encoding="utf-8").splitlines()]


def _stack(line: str) -> _Stack:
    frames, _, count = line.rpartition(" ")
    words = frames.split(";")
    thread = _THREAD.fullmatch(words[0])
    assert thread, line
    found = [frame for frame in map(_FRAME.fullmatch, words[1:]) if frame]
    waits = [_WAITS[frame[1]] for frame in reversed(found[-_NEAR:]) if frame[1] in _WAITS]
    functions = tuple(f"{f[1]} ({f[2]})" for f in found if not f[2].startswith(_OUTERMOST))
    # A lock of Python's waits in the same function of the C library as the GIL.
    wait = "for work" if "for work" in waits else next(iter(waits), "")
    return _Stack(int(thread[1]), thread[2] or "?", functions, wait, int(count))


def _costs(stacks: Sequence[_Stack], used: dict[int, tuple[float, float]]) -> Iterable[ThreadCost]:
    for thread, (total_us, kernel_us) in sorted(used.items(), key=lambda item: -item[1][0]):
        mine = [stack for stack in stacks if stack.thread == thread]
        works = [stack for stack in mine if not stack.wait and stack.functions]
        if total_us < _LEAST_US or not works:
            continue
        waits = Counter[str]()
        for stack in mine:
            if stack.wait:
                waits[stack.wait] += stack.count
            if stack.wait == "for the GIL" and stack.python:
                waits[f"  in {stack.python[-1]}"] += stack.count
        all_of_it = sum(stack.count for stack in mine)
        yield ThreadCost(
            name=mine[0].thread_name,
            total_us=total_us,
            kernel_us=kernel_us,
            waits={name: count / all_of_it for name, count in waits.most_common(12)},
            tables=_tables(works, total_us / sum(stack.count for stack in works)),
        )


def _tables(works: Sequence[_Stack], share_us: float) -> dict[str, dict[str, float]]:
    counts = {title: Counter[str]() for title in ("by module", "in itself", "with what it calls", "in C")}
    for stack in works:
        python = stack.python or ("the interpreter's own ()",)
        counts["by module"][_module(python[-1])] += stack.count
        counts["in itself"][python[-1]] += stack.count
        counts["with what it calls"].update(dict.fromkeys(python, stack.count))
        if stack.functions[-1] != python[-1] and not stack.functions[-1].startswith("0x"):
            counts["in C"][f"{stack.functions[-1]} for {python[-1].partition(' ')[0]}"] += stack.count
    return {
        title: {name: count * share_us for name, count in found.most_common(_TOP)}
        for title, found in counts.items()
    }


def _module(function: str) -> str:
    """Our modules by name, libraries as a whole."""
    path = function.rpartition("(")[2].rstrip(")")
    return path if path.startswith("mail2sms/") else path.split("/")[0]


def _shown(cost: ThreadCost) -> str:
    lines = [
        f"  thread {cost.name}: {cost.total_us:.0f} us a mail, {cost.kernel_us:.0f} of them in the kernel"
    ]
    if cost.waits:
        lines.append("    waits, of its time")
        lines += [f"    {share:7.1%}  {name}" for name, share in cost.waits.items() if share >= 0.005]
    for title, values in cost.tables.items():
        lines.append(f"    {title}")
        lines += [f"    {us:7.1f}  {name}" for name, us in values.items() if us >= _LEAST_US]
    return "\n".join(lines)
