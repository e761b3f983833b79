"""A PostgreSQL server of one's own, made by initdb and started by pg_ctl as an ordinary user."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
from pathlib import Path

import psycopg

from tests.servers._server import Server, StartFailed, free_port, is_root, program, run

_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
fsync = {fsync}
max_connections = 100
shared_buffers = 64MB
"""


_MEMORY = Path("/dev/shm")  # a folder of its own is made there
_MEMORY_BYTES = 4_000_000_000  # a few hundred databases of a test run, with their logs


class PostgreSQL(Server):
    """Listens on 127.0.0.1 and on a unix socket in `folder`; everybody on this machine is its superuser.

    `in_memory`: where there is room, for tests that ask nothing of the disk: it runs with the same settings.
    """

    name = "postgresql"

    def __init__(self, *, fsync: bool = True, settings: str = "", in_memory: bool = False) -> None:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        self._pg_ctl = program("pg_ctl", "postgresql", beside=folders)
        self._initdb = program("initdb", "postgresql", beside=folders)
        self._as_user = [program("runuser", "util-linux"), "-u", "postgres", "--"] if is_root() else []
        super().__init__(_MEMORY if in_memory and _has_room() else None)
        self.port = free_port()
        self._data = self.folder / "data"
        self._numbers = itertools.count(1)
        self._settings = (
            _SETTINGS.format(port=self.port, folder=self.folder, fsync="on" if fsync else "off") + settings
        )

    def url(self, dbname: str = "postgres") -> str:
        """The database's URL over TCP, as mail2sms.yaml wants it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{dbname}"

    def socket_url(self, dbname: str = "postgres") -> str:
        """The database's URL over the unix socket."""
        return f"postgresql://postgres@/{dbname}?host={self.folder}&port={self.port}"

    def create_database(self) -> str:
        """Make an empty database and return its URL."""
        dbname = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {dbname}")
        return self.url(dbname)

    def close(self) -> None:
        """Stop at once and remove the folder: nobody needs what a last checkpoint would save."""
        try:
            self._end(signal.SIGQUIT)
        finally:
            super().close()

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start again; `immediate` is a crash: clients are cut off and the log is replayed."""
        self._end(signal.SIGQUIT if immediate else signal.SIGTERM)
        self.start()

    @property
    def is_running(self) -> bool:
        """Whether the postmaster lives."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            os.kill(self._postmaster(), 0)
            return True
        return False

    def _launch(self) -> None:
        if not self._data.exists():
            self._create_cluster()
        log = self.folder / "server.log"
        run([*self._as_user, self._pg_ctl, "-D", self._data, "-l", log, "-w", "-t", "60", "start"])

    def _create_cluster(self) -> None:
        if is_root():
            shutil.chown(self.folder, "postgres", "postgres")
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        run([*self._as_user, self._initdb, "-D", self._data, *options], timeout_s=120)
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.write(self._settings)

    def _is_ready(self) -> bool:
        return True  # pg_ctl -w has waited

    def _end(self, how: signal.Signals) -> None:
        if not self.is_running:
            return
        self._dismiss()
        mode = "immediate" if how in {signal.SIGQUIT, signal.SIGKILL} else "fast"
        try:
            run([*self._as_user, self._pg_ctl, "-D", self._data, "-m", mode, "-w", "-t", "20", "stop"])
        except StartFailed:
            os.kill(self._postmaster(), signal.SIGKILL)

    def log(self) -> str:
        """What the server wrote so far."""
        path = self.folder / "server.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _group(self) -> int:
        return self._postmaster()

    def _postmaster(self) -> int:
        return int((self._data / "postmaster.pid").read_text(encoding="ascii").split()[0])


def _has_room() -> bool:
    return _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES
