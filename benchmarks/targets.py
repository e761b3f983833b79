"""What is measured: a server that takes mail on a port, whose CPU time can be read. Here: mail2sms, in four forms.

SQLite or PostgreSQL; paused (the dispatcher waits, so that taking mail is all there is) or running to the simulated
carrier and back to its reports.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from benchmarks import cpu
from benchmarks.load import FICTION
from mail2sms import __version__
from tests.servers import Daemon, PostgreSQL

_CHECKOUT = Path(__file__).resolve().parents[1]
_LIMITS = "limits: {size: 20MB, bytes_in_flight: 400MB}"
_SHOWN = re.compile(rb'^\{"shown": \{.*?"id": "([^"]+)"', re.MULTILINE)
_REPORTED = re.compile(rb'^\{"reported": ', re.MULTILINE)
_PATIENCE_S = 120.0
_LOOK_S = 0.05


class Target(ABC):
    """One server."""

    name: str
    version = ""
    port: int
    prefix = FICTION
    """What the numbers of the phones begin with that it is written to."""
    url = ""
    """Where it takes texts by HTTP: see `load`; "" where it takes mail."""

    @abstractmethod
    def started(self) -> contextlib.AbstractContextManager[Self]:
        """Run it as long as the context lasts.

        Raises StartFailed, CannotInstall, or pytest's skip for a program that is missing.
        """

    @property
    @abstractmethod
    def pid(self) -> int:
        """The process from which all of its processes descend."""

    def cpu_us(self) -> float:
        """Return the CPU time its processes have used so far, without a database server's."""
        return cpu.used_us(self.pid)

    def database_us(self) -> float:
        """Return the CPU time its database server has used so far."""
        return 0.0

    def clear(self) -> None:  # noqa: B027  # most keep nothing, or cannot be told
        """Forget what it was sent, where that would pile up."""


class Mail2sms(Target):
    """Our daemon, as `mail2sms serve` starts it."""

    version = __version__

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_on_postgresql, self.sends = "postgresql" in name, "running" in name
        self._kind = Daemon if self.sends else _Paused
        self._server: PostgreSQL | None = None

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Run it, with a PostgreSQL of its own where it wants one."""
        with contextlib.ExitStack() as stack:
            url = ""
            if self._is_on_postgresql:
                self._server = stack.enter_context(PostgreSQL())
                url = self._server.create_database()
            self._daemon = stack.enter_context(self._kind(database=url, extra=_LIMITS))
            self.port = self._daemon.smtp_port
            self._phones = _Phones(self._daemon.folder / "phones.jsonl")
            yield self

    @property
    def pid(self) -> int:
        """The daemon's."""
        return self._daemon.pid

    @property
    def daemon(self) -> Daemon:
        """The daemon."""
        return self._daemon

    def database_us(self) -> float:
        """Of the PostgreSQL server."""
        return cpu.used_us(self._server._group()) if self._server else 0.0

    def sent(self, accepted: int) -> tuple[int, float]:
        """Wait until so many more messages are on the phones and their reports are in.

        Return how many messages are, and how many seconds the last one took to get there.
        """
        return self._phones.wait(accepted)


class _Paused(Daemon):
    """A daemon whose dispatcher waits."""

    def _launch(self) -> None:
        command = [sys.executable, "-m", "benchmarks.paused", "serve", "--config", str(self.config)]
        self._spawn(command, env={**self._env, "PYTHONPATH": str(_CHECKOUT)})


class _Phones:
    """The simulated phones' file: what it gained since it was last waited for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def wait(self, accepted: int) -> tuple[int, float]:
        begun = out_at = time.monotonic()
        shown: set[bytes] = set()
        reported = 0
        while min(len(shown), reported) < accepted and time.monotonic() < begun + _PATIENCE_S:
            time.sleep(_LOOK_S)
            lines, before = self._new_lines(), len(shown)
            shown.update(_SHOWN.findall(lines))
            reported += len(_REPORTED.findall(lines))
            if len(shown) > before:
                out_at = time.monotonic()
        return len(shown), out_at - begun

    def _new_lines(self) -> bytes:
        if not self._path.exists():
            return b""
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole
