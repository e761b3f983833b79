"""Python programs started without importing anything anew: a process that has imported the daemon forks for each.

A start costs a fifth of the CPU, and the tests start hundreds. Only inside pytest: proofs and benchmarks start what the
service starts. /proc/PID/cmdline shows this module, and who sets SSL_CERT_FILE or the like gets a program of its own:
aiohttp reads that when it is imported.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

_CHECKOUT = Path(__file__).resolve().parents[2]
_MESSAGE_BYTES = 256 * 1024
# What `serve` imports on its way: a program that lacks one of these imports it itself.
_IMPORTED = ("mail2sms.daemon", "mail2sms.carriers.simulated", "alembic.command", "uvloop")

_READ_LATE = {"RUNTIME_DIRECTORY", "STATE_DIRECTORY", "PYTHONPATH", "PYTHONUNBUFFERED"}


class Forked:
    """One program, as subprocess.Popen shows it."""

    def __init__(self, parent: Parent, pid: int) -> None:
        self._parent, self.pid = parent, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._parent.exit_code(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + (timeout or 3600)
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        """End it at once."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class Parent:
    """The process that forks; it ends with ours."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(_CHECKOUT)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket, self._lock = ours, threading.Lock()
        self._exits: dict[int, int] = {}

    def start(self, words: Sequence[str], env: Mapping[str, str], folder: Path, log: BinaryIO) -> Forked:
        """Run the module `words[0]` with arguments, in a session of its own."""
        order = json.dumps({"words": list(words), "env": dict(env), "folder": str(folder)}).encode()
        with self._lock:
            socket.send_fds(self._socket, [order], [log.fileno()])
            while True:
                told = json.loads(self._socket.recv(_MESSAGE_BYTES))
                if "code" not in told:
                    return Forked(self, told["pid"])
                self._exits[told["pid"]] = told["code"]

    def exit_code(self, pid: int) -> int | None:
        """Return how a program ended; None if it did not."""
        with self._lock:
            while select.select([self._socket], [], [], 0)[0]:
                told = json.loads(self._socket.recv(_MESSAGE_BYTES))
                self._exits[told["pid"]] = told["code"]
            return self._exits.get(pid)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait(10)


_parent: Parent | None = None


def can_start(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether this is a Python module that can start late: nothing it imports looks at what its environment changes."""
    changed = {name for name, value in env.items() if os.environ.get(name) != value}
    is_late = all(name in _READ_LATE or name.startswith("MAIL2SMS_") for name in changed)
    is_module = list(command[:2]) == [sys.executable, "-m"]
    return is_module and is_late and "MAIL2SMS_PROGRAM" not in changed and "PYTEST_VERSION" in os.environ


def start(command: Sequence[str], env: Mapping[str, str], folder: Path, log: BinaryIO) -> Forked:
    """Start `python -m MODULE ARGUMENTS` in a folder, writing to a log."""
    global _parent  # noqa: PLW0603  # one a process, begun when it is first needed
    if _parent is None:
        _parent = Parent()
        atexit.register(_parent.close)
    return _parent.start(command[2:], env, folder, log)


def _serve(control: socket.socket) -> None:
    """Fork on demand until the tests end; return, in a child, to become what was ordered."""
    wakes, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    both: list[socket.socket | int] = [control, wakes]
    while True:
        ready, _, _ = select.select(both, [], [])
        if wakes in ready:
            os.read(wakes, 4096)
            _tell_of_the_dead(control)
        if control not in ready:
            continue
        order, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 1)
        if not order:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (control.detach(), wakes, waker):
                os.close(descriptor)
            return _become(json.loads(order), descriptors[0])
        os.close(descriptors[0])
        control.send(json.dumps({"pid": pid}).encode())


def _tell_of_the_dead(control: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            told = {"pid": ended[0], "code": os.waitstatus_to_exitcode(ended[1])}
            control.send(json.dumps(told).encode())


def _become(order: Mapping[str, Any], log: int) -> None:
    os.setsid()
    os.chdir(order["folder"])
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = list(order["words"])
    runpy.run_module(order["words"][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in _IMPORTED:
        __import__(name)
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
