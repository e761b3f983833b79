"""A Postfix of one's own: configuration, queue and log in a private folder, nothing shared with the machine's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from tests.servers._server import Server, free_port, greets, is_root, program, run

# maillog_file on stdout instead of syslog: several instances never mix their logs.
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
myhostname = relay.test.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
local_recipient_maps =
notify_classes =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
transport_maps = {routes}
default_transport = {default}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
smtp_connect_timeout = 5s
default_destination_concurrency_limit = 10
{settings}
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
pickup unix n - n 60 1 pickup
postlog unix-dgram n - n - 1 postlogd
"""

_QUEUE_FOLDERS = ["active", "bounce", "corrupt", "defer", "deferred", "flush"]
_QUEUE_FOLDERS += ["hold", "incoming", "private", "saved", "trace"]


class Postfix(Server):
    """Takes every mail from loopback on `port`; `routes` maps a domain to the loopback SMTP port that gets its mail.

    `default` is where all other domains go: a Postfix transport, by default a refusal.
    """

    name = "postfix"

    def __init__(
        self,
        routes: Mapping[str, int] | None = None,
        *,
        default: str = "error:5.1.2 no such domain here",
        settings: str = "",
    ) -> None:
        self._postfix = program("postfix", "postfix")
        self._postqueue = program("postqueue", "postfix")
        if not is_root():
            pytest.skip("Postfix starts only as root: its queue belongs to several users")
        super().__init__()
        self.port = free_port()
        self._config = self.folder / "etc"
        for name in ("etc", "data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        self._make_queue()
        lines = " ".join(
            f"{{ {domain} = smtp:[127.0.0.1]:{port} }}" for domain, port in (routes or {}).items()
        )
        table = f"inline:{{ {lines} }}" if lines else ""
        main = _MAIN.format(folder=self.folder, routes=table, default=default, settings=settings)
        for name, text in (("main.cf", main), ("master.cf", _MASTER.format(port=self.port))):
            (self._config / name).write_text(text, encoding="utf-8")
            os.utime(self._config / name, (0, 0))  # Postfix waits for files written this second: it costs two

    def queue(self) -> list[dict[str, Any]]:
        """What waits: one entry per mail, as `postqueue -j` shows it."""
        return [json.loads(line) for line in run([self._postqueue, "-c", self._config, "-j"]).splitlines()]

    def flush(self) -> None:
        """Try everything that waits now."""
        run([self._postqueue, "-c", self._config, "-f"])

    def _make_queue(self) -> None:
        """Make the folders as `postfix check` would: that takes two seconds, for checks of the machine's own files."""
        queue = self.folder / "queue"
        queue.mkdir()
        (queue / "pid").mkdir()
        for name in _QUEUE_FOLDERS:
            (queue / name).mkdir(mode=0o700)
            shutil.chown(queue / name, "postfix")
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            (queue / name).mkdir()
            shutil.chown(queue / name, "postfix", "postdrop")
            (queue / name).chmod(mode)

    def _launch(self) -> None:
        (self.folder / "queue/quick-start").touch()  # start without those checks
        self._spawn([self._postfix, "-c", self._config, "start-fg"])

    def _is_ready(self) -> bool:
        return "daemon started" in self.log() and greets(self.port)

    def _group(self) -> int:
        # The master leads a session of its own; the child that we started is the script that waits for it.
        with contextlib.suppress(OSError, ValueError):
            return int((self.folder / "queue/pid/master.pid").read_text(encoding="ascii"))
        return super()._group()

    def _end(self, how: signal.Signals) -> None:
        master = self._group() if self._child is not None else 0
        super()._end(how)
        with contextlib.suppress(ProcessLookupError):
            if master:
                os.killpg(master, signal.SIGKILL)
