"""A Dovecot of one's own: LMTP in, IMAP out, Maildirs in a private folder."""

from __future__ import annotations

import grp
import imaplib
import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers._server import Server, free_port, greets, is_root, program

PASSWORD = "secret-of-the-tests"
_LIBEXEC = Path("/usr/lib/dovecot")

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_fsync = never
passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%Lu {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%Lu {folder}/users
  default_fields = uid={mail} gid={mail_group} home={folder}/mail/%Lu
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
  unix_listener lmtp {{
    mode = 0
  }}
}}
"""


class Dovecot(Server):
    """Keeps the mail of `users` (addresses; all with PASSWORD). `lmtp_port` takes mail, `imap_port` shows it."""

    name = "dovecot"

    def __init__(self, *users: str) -> None:
        self._dovecot = program("dovecot", "dovecot-imapd")
        for protocol in ("imap", "lmtp"):
            program(protocol, f"dovecot-{protocol}d", beside=[_LIBEXEC])
        super().__init__()
        self.users = users
        self.imap_port, self.lmtp_port = free_port(), free_port()
        (self.folder / "mail").mkdir()
        lines = "".join(f"{user}:{PASSWORD}::::::\n" for user in users)
        (self.folder / "users").write_text(lines, encoding="utf-8")
        if is_root():
            names = {"internal": "dovecot", "internal_group": "dovecot", "login": "dovenull"}
            names |= {"mail": "mail", "mail_group": "mail"}
            shutil.chown(self.folder / "mail", "mail", "mail")
        else:
            me, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
            names = {"internal": me, "internal_group": group, "login": me, "mail": me, "mail_group": group}
        config = _CONFIG.format(folder=self.folder, imap=self.imap_port, lmtp=self.lmtp_port, **names)
        (self.folder / "dovecot.conf").write_text(config, encoding="utf-8")

    @contextmanager
    def imap(self, user: str) -> Iterator[imaplib.IMAP4]:
        """A logged-in IMAP connection."""
        with imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=20) as connection:
            connection.login(user, PASSWORD)
            yield connection

    def messages(self, user: str) -> list[bytes]:
        """The INBOX of one user, oldest first."""
        with self.imap(user) as connection:
            _, (count,) = connection.select("INBOX", readonly=True)
            if count in {None, b"0"}:
                return []
            _, found = connection.fetch("1:*", "(BODY.PEEK[])")
        return [item[1] for item in found if isinstance(item, tuple)]

    def clear(self, user: str) -> None:
        """Remove everything from one user's INBOX."""
        with self.imap(user) as connection:
            _, (count,) = connection.select("INBOX")
            if count not in {None, b"0"}:
                connection.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
                connection.expunge()

    def _launch(self) -> None:
        self._spawn([self._dovecot, "-F", "-c", self.folder / "dovecot.conf"])

    def _is_ready(self) -> bool:
        return greets(self.imap_port) and greets(self.lmtp_port)
