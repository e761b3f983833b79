"""The servers and clients that other tests lean on really start, speak and stop."""

from __future__ import annotations

import email
import os
import signal
import subprocess
import sys
from email.message import Message
from pathlib import Path

import psycopg
import pytest

from tests.servers import (
    CLIENTS,
    Inbox,
    MailSink,
    Postfix,
    PostgreSQL,
    StartFailed,
    minimal_config,
    wait_until,
)
from tests.servers._forks import Forked
from tests.servers._server import Server, answers

pytestmark = pytest.mark.servers

SENDER, TO = "marie@acme.example", "33639981234@sms.acme.example"
MAIL = (
    b"From: Marie Dubois <marie@acme.example>\r\n"
    b"To: 33639981234@sms.acme.example\r\n"
    b"Subject: Noon\r\n"
    b"Message-ID: <1@acme.example>\r\n"
    b"\r\n"
    b"Lunch at noon?\r\n"
    b".a line that begins with a dot\r\n"
    b"%DATE% is no date\r\n"
)


def sent(client: str, port: int) -> tuple[int, str]:
    """Send MAIL by one client."""
    return CLIENTS[client](MAIL, "127.0.0.1", port, SENDER, TO)


def lines(message: Message) -> list[str]:
    """The body's lines."""
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().splitlines()


def test_postgresql_gives_empty_databases(postgresql: PostgreSQL) -> None:
    """Each database is new, durable, and reached by TCP and by the socket."""
    first, second = postgresql.create_database(), postgresql.create_database()
    assert first != second
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE t (n int)")
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    with psycopg.connect(postgresql.socket_url(second.rpartition("/")[2])) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() == (0,)


def test_postgresql_survives_a_crash() -> None:
    """What was committed before an immediate restart is there after it, on the same port."""
    with PostgreSQL() as server:
        url = server.create_database()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS n")
        server.restart(immediate=True)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM t").fetchone() == (7,)
        assert "was not properly shut down" in server.log()


@pytest.mark.parametrize("client", CLIENTS)
def test_client_sends_one_mail(client: str, mail_sink: MailSink) -> None:
    """Each client delivers the subject and every line of the text, and says 0."""
    code, output = sent(client, mail_sink.port)
    assert code == 0, output
    (mail,) = mail_sink.mails
    assert (mail.sender, mail.recipients) == (SENDER, (TO,))
    message = email.message_from_bytes(mail.content)
    assert message["Subject"] == "Noon"
    assert lines(message) == MAIL.decode().partition("\r\n\r\n")[2].splitlines()


@pytest.mark.parametrize("client", CLIENTS)
def test_client_tells_a_refusal(client: str, mail_sink: MailSink) -> None:
    """A 550 is an exit code other than 0, and its words reach the user."""
    mail_sink.reply = "550 5.1.3 not a number"
    code, output = sent(client, mail_sink.port)
    assert code != 0
    assert "5.1.3 not a number" in output
    assert not mail_sink.mails


def test_two_postfixes_relay_side_by_side(mail_sink: MailSink) -> None:
    """Instances share nothing: each relays its own mail, and what the next hop puts off waits in its queue."""
    route = {"sms.acme.example": mail_sink.port}
    with Postfix(route) as first, Postfix(route) as second:
        assert sent("smtplib", first.port)[0] == 0
        assert sent("smtplib", second.port)[0] == 0
        assert all(b"Lunch at noon?" in content for content in mail_sink.wait_for(2))
        assert wait_until(lambda: not first.queue() + second.queue(), 10)
        mail_sink.reply = "451 4.3.0 later"
        assert sent("smtplib", first.port)[0] == 0
        assert wait_until(lambda: "status=deferred" in first.log(), 10)
        assert [mail["sender"] for mail in first.queue()] == [SENDER]
        assert second.queue() == []
        mail_sink.reply = "250 2.0.0 taken"
        first.flush()
        mail_sink.wait_for(3)


def test_inbox_shows_what_was_sent(inbox: Inbox) -> None:
    """Postfix hands the mail to Dovecot, and IMAP shows it."""
    code, output = CLIENTS["smtplib"](MAIL, "127.0.0.1", inbox.smtp_port, "bridge@sms.acme.example", SENDER)
    assert code == 0, output
    (content,) = inbox.wait_for(1)
    message = email.message_from_bytes(content)
    assert message["Message-ID"] == "<1@acme.example>"
    inbox.clear()
    assert inbox.messages() == []


class _Sleeper(Server):
    """Says so and sleeps; `code` makes it fail instead."""

    name = "sleeper"

    def __init__(self, code: str = "import time; time.sleep(600)") -> None:
        super().__init__()
        self._code = f"print('awake', flush=True); {code}"

    def _launch(self) -> None:
        self._spawn([sys.executable, "-c", self._code])

    def _is_ready(self) -> bool:
        return "awake" in self.log() and "exit" not in self._code


def test_failed_start_shows_the_log() -> None:
    """A server that ends at once is an error with its log, and its folder is gone."""
    server = _Sleeper("raise SystemExit('no exit')")
    with pytest.raises(StartFailed, match="awake\nno exit"), server:
        pass
    assert not server.folder.exists()


def test_killed_test_run_leaves_nothing() -> None:
    """When the test run itself is killed, its servers end and their folders go."""
    code = (
        "from tests.test_servers import _Sleeper; import os, signal; s = _Sleeper(); s.start();"
        "print(s._child.pid, s.folder, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid, folder = done.stdout.split()
    assert wait_until(lambda: not Path(folder).exists(), 10)
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10)


def test_stopped_server_frees_its_port(mail_sink: MailSink) -> None:
    """After the context nobody listens and the folder is gone."""
    with Postfix({"sms.acme.example": mail_sink.port}) as server:
        assert answers(server.port)
    assert wait_until(lambda: not answers(server.port), 10)  # its last child may still be ending
    assert not server.folder.exists()


def test_minimal_config_takes_other_values() -> None:
    """A key of `extra` replaces the minimal one, so that no key stands twice."""
    text = minimal_config(
        database="sqlite:////x.db", smtp_port=1, web_port=2, mode="trial", extra="country: DE\nteams: {}"
    )
    assert 'database: "sqlite:////x.db"' in text
    assert "mode: trial" in text
    assert [line for line in text.splitlines() if line.startswith("country")] == ["country: DE"]
    assert text.endswith("teams: {}\n")


def test_a_forked_program_is_like_any_other() -> None:
    """Its environment, folder, log, session and end are its own."""
    server = _Sleeper()
    try:
        env = {"MAIL2SMS_CONFIG": "here.yaml"}
        (server.folder / "here.yaml").write_text("domain: 5")
        server._spawn([sys.executable, "-m", "mail2sms", "serve"], env=env)
        assert isinstance(server._child, Forked)
        assert server._child.wait(10) == 78
        assert "here.yaml can't be used" in server.log()
        server._spawn([sys.executable, "-m", "timeit", "-n1", "import time; time.sleep(60)"], env={})
        assert wait_until(lambda: os.getsid(server._group()) == server._group(), 10)
        server._child.kill()
        assert server._child.wait(10) == -signal.SIGKILL
    finally:
        server.close()
