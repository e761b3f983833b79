"""Kannel as a gateway between HTTP and an SMSC: its bearerbox and its smsbox, bound to one SMSC by SMPP."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Literal

from tests.servers._server import Server, answers, free_port, program, run

_CONFIG = """
group = core
admin-port = {admin}
admin-password = x
smsbox-port = {box}
log-level = 4
log-file = "{folder}/bearerbox.log"
box-allow-ip = "127.0.0.1"
{core}
group = smsc
smsc = smpp
smsc-id = smsc
host = 127.0.0.1
port = {smsc}
smsc-username = kannel
smsc-password = s3cret
system-type = ""
transceiver-mode = true
reconnect-delay = 1
max-pending-submits = 10

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {send}
log-level = 4
log-file = "{folder}/smsbox.log"

group = sendsms-user
username = u
password = p
max-messages = 10
concatenation = true
"""
_SPOOL = 'store-type = spool\nstore-location = "{folder}/spool"\n'
_REPLIES = """
group = sms-service
keyword = default
catch-all = yes
omit-empty = yes
get-url = "{replies}?from=%p&to=%P&text=%b&charset=%C"
"""


class Kannel(Server):
    """Takes texts on `port`, at /cgi-bin/sendsms with username u and password p, and submits them to an SMSC.

    `replies` is the URL that it calls with each text from a phone; with `spool` what it took survives its end, and
    when that is synced also the machine's, by the file system's attributes: Kannel itself syncs nothing.
    """

    name = "kannel"

    def __init__(
        self, smsc_port: int, *, replies: str = "", spool: Literal["", "plain", "synced"] = ""
    ) -> None:
        self._programs = [program(name, "kannel") for name in ("bearerbox", "smsbox")]
        super().__init__()
        self._admin, self.port = free_port(), free_port()
        (self.folder / "spool").mkdir()
        if spool == "synced":
            run([program("chattr", "e2fsprogs"), "+SD", self.folder / "spool"])
        config = _CONFIG.format(
            admin=self._admin,
            box=free_port(),
            send=self.port,
            smsc=smsc_port,
            folder=self.folder,
            core=_SPOOL.format(folder=self.folder) if spool else "",
        )
        config += _REPLIES.format(replies=replies) if replies else ""
        (self.folder / "kannel.conf").write_text(config, encoding="ascii")

    @property
    def version(self) -> str:
        """As bearerbox says it."""
        told = subprocess.run([self._programs[0], "--version"], capture_output=True, text=True, check=False)
        return told.stdout.split("version", 1)[-1].split()[0].strip("`.'")

    @property
    def pid(self) -> int:
        """Of the parent of both programs, which ends with them."""
        assert self._child is not None
        return self._child.pid

    def _launch(self) -> None:
        bearerbox, smsbox = (f"{path} kannel.conf" for path in self._programs)
        # smsbox ends when there is no bearerbox yet.
        self._spawn(["/bin/sh", "-c", f"{bearerbox} & sleep 2; {smsbox} & wait"])

    def _is_ready(self) -> bool:
        return answers(self._admin) and answers(self.port)

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None and how is not signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, how)
        super()._end(how)
