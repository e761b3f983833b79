"""Real servers and clients of other projects, and our own daemon, started by the tests from private folders.

Each server is a context manager; the fixtures are in `fixtures`. No systemd, nothing of the machine's own services.
"""

from tests.servers._server import Server, StartFailed, free_port, program, wait_until
from tests.servers.clients import CLIENTS
from tests.servers.daemon import Daemon, minimal_config
from tests.servers.dovecot import Dovecot
from tests.servers.inbox import Inbox
from tests.servers.nameserver import NameServer
from tests.servers.postfix import Postfix
from tests.servers.postgresql import PostgreSQL
from tests.servers.sink import Mail, MailSink

__all__ = [
    "CLIENTS",
    "Daemon",
    "Dovecot",
    "Inbox",
    "Mail",
    "MailSink",
    "NameServer",
    "Postfix",
    "PostgreSQL",
    "Server",
    "StartFailed",
    "free_port",
    "minimal_config",
    "program",
    "wait_until",
]
