"""What every started server shares: a private folder, free ports, a start that ends in "ready" or shows its log.

Nothing outlives the tests: a watcher ends the server and removes its folder even when the run itself is killed.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.servers import _forks

# Below the kernel's own range, so that no outgoing connection takes a port between two starts; and a share for each of
# pytest's workers (gw0, gw1, ..), so that no other test does.
_WORKERS = 8
_MINE = int(os.environ.get("PYTEST_XDIST_WORKER", f"gw{_WORKERS - 1}").removeprefix("gw")) % _WORKERS
_PORTS = range(20_000 + _MINE, 32_000, _WORKERS)
_given: set[int] = set()

# $1 the process group, $2 the folder. A line on stdin is a good end; its end without a line is ours.
_WATCHER = """
read -r line && exit
kill -TERM "-$1" 2>/dev/null && sleep 1
kill -KILL "-$1" 2>/dev/null
rm -rf "$2"
"""


class StartFailed(RuntimeError):
    """A server did not become ready; the text ends with its log."""


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on, never the same twice in one process."""
    for port in random.SystemRandom().sample(_PORTS, 200):
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise StartFailed("no free port")


def program(name: str, package: str, *, beside: Sequence[Path] = ()) -> str:
    """Return the path of a program; without it the test is skipped, and the reason names the Debian package."""
    folders = [*(str(folder) for folder in beside), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


def wait_until(ready: Callable[[], bool], timeout_s: float, *, every_s: float = 0.02) -> bool:
    """Ask until the answer is yes; False when time is up."""
    end = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)
    return True


def answers(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def greets(port: int) -> bool:
    """Whether a server on a loopback port says something first, as SMTP, LMTP and IMAP do."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return bool(connection.recv(1))
    return False


def run(command: Sequence[str | Path], *, timeout_s: float = 60) -> str:
    """Run a tool to its end and return what it printed; StartFailed with its output when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd="/",
    )
    if done.returncode:
        raise StartFailed(f"{command[0]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Server:
    """One real server in a folder of its own; a context manager.

    A subclass says how to `_launch`, what `_is_ready`, and how to `_end` when it differs.
    """

    name = "server"
    start_timeout_s = 30.0

    def __init__(self, folder: Path | None = None) -> None:
        # Not pytest's tmp_path: that is closed to the other users that some servers run as, and too long for sockets.
        self.folder = Path(tempfile.mkdtemp(prefix=f"mail2sms-{self.name}-", dir=folder))
        self.folder.chmod(0o755)
        self.started_in_s = 0.0
        self._child: subprocess.Popen[bytes] | _forks.Forked | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it serves. Raises StartFailed with the log's end."""
        begun = time.monotonic()
        try:
            self._launch()
            if not wait_until(self._is_ready_or_dead, self.start_timeout_s) or not self._is_ready():
                raise StartFailed(f"{self.name} did not start; its log ends:\n{self.log()[-4000:]}")
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        self.started_in_s = time.monotonic() - begun
        self._watch()

    def stop(self) -> None:
        """Stop in order, as the service's owner would; by force when that takes too long."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """Stop and remove the folder."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """Everything it has logged so far."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def is_running(self) -> bool:
        """Whether the process that was started still lives."""
        return self._child is not None and self._child.poll() is None

    def _launch(self) -> None:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _group(self) -> int:
        """The process group that ends with the server."""
        assert self._child is not None
        return self._child.pid

    def _is_ready_or_dead(self) -> bool:
        return not self.is_running or self._is_ready()

    def _spawn(
        self,
        command: Sequence[str | Path],
        *,
        env: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        words = [str(word) for word in command]
        with (self.folder / "log").open("ab") as log:
            if env is not None and not pass_fds and _forks.can_start(words, env):
                self._child = _forks.start(words, env, self.folder, log)
                return
            self._child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
                env=env,
                pass_fds=pass_fds,
            )

    def _end(self, how: signal.Signals) -> None:
        if self._child is None:
            return
        self._dismiss()
        with contextlib.suppress(ProcessLookupError):
            # In order means that the main process ends its helpers itself.
            (os.killpg if how is signal.SIGKILL else os.kill)(self._group(), how)
        try:
            self._child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        # What the main process left behind must not keep a port or a file.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child = None

    def _watch(self) -> None:
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "watcher", str(self._group()), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _dismiss(self) -> None:
        if self._watcher is not None:
            self._watcher.communicate(b"done\n")
            self._watcher = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_root() -> bool:
    """Whether servers can be started as users of their own."""
    return os.geteuid() == 0
