"""Our daemon behind sockets that are kept for it, as systemd keeps them: who connects while it restarts waits."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

from tests.servers.daemon import Daemon

# argv: the names, the descriptors, the command. Ends up as the daemon, under the process id that LISTEN_PID names.
_PASS = """
import fcntl, os, sys
names, descriptors = sys.argv[1], [int(word) for word in sys.argv[2].split(",")]
high = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in descriptors]
for number, each in enumerate(high):
    os.dup2(each, 3 + number)
    os.close(each)
for each in descriptors:
    if each >= 3 + len(high):
        os.close(each)
told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names}
os.execve(sys.argv[3], sys.argv[3:], {**os.environ, **told})
"""


class Activated(Daemon):
    """A daemon that inherits `smtp` and `web`; `stop()` and `start()` keep the sockets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._kept = {"smtp": _listen(self.smtp_port), "web": _listen(self.web_port)}

    def close(self) -> None:
        """Stop it, and let the sockets go."""
        with contextlib.ExitStack() as stack:
            for each in self._kept.values():
                stack.callback(each.close)
            super().close()

    def _launch(self) -> None:
        descriptors = [each.fileno() for each in self._kept.values()]
        words = [":".join(self._kept), ",".join(map(str, descriptors))]
        command = [sys.executable, "-m", "mail2sms", "serve", "--config", str(self.config)]
        checkout = Path(__file__).resolve().parents[2]
        env = {**os.environ, **self._env, "PYTHONPATH": str(checkout)}
        self._spawn([sys.executable, "-c", _PASS, *words, *command], env=env, pass_fds=descriptors)


def _listen(port: int) -> socket.socket:
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", port))
    kept.listen(512)
    return kept
