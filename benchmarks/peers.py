"""The peers. Whatever they can be given to be quick and still do their work, they have: see each one's docstring."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from benchmarks import installs
from benchmarks.targets import Target
from tests.servers import Postfix, Server, free_port, program
from tests.servers._server import greets, run

_HERE = Path(__file__).resolve().parent
_HOLD = """
smtpd_recipient_restrictions = check_client_access static:HOLD, permit_mynetworks, reject
message_size_limit = 20000000
default_process_limit = 100
"""
_BACKLOG = 1000


class HoldingPostfix(Target):
    """Postfix that puts every mail on hold: taken and fsynced, never looked at again. Its default settings else."""

    name = "postfix"

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Run it with a queue of its own."""
        with Postfix(default="smtp:[127.0.0.1]:9", settings=_HOLD) as self._postfix:
            self.port = self._postfix.port
            settings = ["-c", str(self._postfix._config)]
            self.version = run([program("postconf", "postfix"), *settings, "-h", "mail_version"]).strip()
            self._clear = [program("postsuper", "postfix"), *settings, "-d", "ALL", "hold"]
            yield self

    @property
    def pid(self) -> int:
        """The master's, of which smtpd, cleanup, qmgr and the others are children."""
        return self._postfix._group()

    def clear(self) -> None:
        """Empty the queue."""
        run(self._clear)


class _Command(Server):
    """A server that is one command."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__()
        self.port = free_port()
        self.command: list[str] = []

    def _launch(self) -> None:
        self._spawn(self.command, env={**os.environ, "PYTHONUNBUFFERED": "1"})

    def _is_ready(self) -> bool:
        return greets(self.port)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._child is not None
        return self._child.pid


class _Commanded(Target):
    """A peer that is one command, of a package to install or of the machine's own."""

    package = ""
    _server: _Command

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Run it in a folder of its own."""
        if self.package:
            installs.installed(self.package)  # before there is a folder to leave behind
            self.version = installs.version(self.package)
        server = _Command(self.name)
        server.command = self._command(server)
        with server as self._server:
            self.port = server.port
            yield self

    @property
    def pid(self) -> int:
        """Its process."""
        return self._server.pid

    def _command(self, server: _Command) -> list[str]:
        raise NotImplementedError


class SmtpSink(_Commanded):
    """Postfix's smtp-sink, in C, that keeps nothing: nothing is quicker, and the load generator must be."""

    name = "smtp-sink"

    def __init__(self) -> None:
        self._program = program("smtp-sink", "postfix")

    def _command(self, server: _Command) -> list[str]:
        who = ["-u", "nobody"] if os.geteuid() == 0 else []
        return [self._program, *who, f"127.0.0.1:{server.port}", str(_BACKLOG)]


class Discard(_Commanded):
    """Bare aiosmtpd that keeps nothing."""

    name = package = "aiosmtpd"

    def _command(self, server: _Command) -> list[str]:
        programs = installs.installed(self.package)
        return [str(programs / "python"), str(_HERE / "discard.py"), str(server.port)]


class Mailrise(_Commanded):
    """mailrise: its 250 comes after its notification, here an HTTP POST to a server that only says 200."""

    name = package = "mailrise"

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Run it, and where it posts to."""
        self._web = free_port()
        posted = [sys.executable, str(_HERE / "notified.py"), str(self._web)]
        with subprocess.Popen(posted) as notified:
            try:
                with super().started():
                    yield self
            finally:
                notified.terminate()

    def _command(self, server: _Command) -> list[str]:
        programs = installs.installed(self.package)
        config = server.folder / "mailrise.conf"
        config.write_text(
            f"listen: {{host: 127.0.0.1, port: {server.port}}}\n"
            f'configs: {{"*@*": {{urls: ["json://127.0.0.1:{self._web}/"]}}}}\n',
            encoding="utf-8",
        )
        return [str(programs / "mailrise"), str(config)]
