"""The daemon as a service, from outside: reload, health, stopping under load, restarting behind kept sockets."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.proofs._lanes import PostingDaemon, configuration, connect
from tests.proofs._lanes import send as order
from tests.servers import Daemon, wait_until
from tests.servers.activated import Activated
from tests.servers.daemon import KEY

PHONE, FRIEND = "+33639981234", "33639981234@sms.acme.example"
CHECKOUT = Path(__file__).resolve().parents[2]


def ask(daemon: Daemon, *verb: str) -> tuple[int, str, str]:
    """One verb of the command line, over the control socket."""
    command = [sys.executable, "-m", "mail2sms", *verb, "--socket", str(daemon.folder / "control.sock")]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def send(port: int, text: str) -> None:
    """One mail over a connection of its own. Raises SMTPException or OSError."""
    mail = f"From: marie@acme.example\r\nTo: {FRIEND}\r\nMessage-ID: <{text}@acme.example>\r\n\r\n{text}\r\n"
    connection = smtplib.SMTP("127.0.0.1", port, local_hostname="client.test.example", timeout=30)
    try:
        connection.sendmail("marie@acme.example", [FRIEND], mail)
    finally:
        connection.close()


class Clients:
    """Programs that send one mail after the other, each until it is acknowledged."""

    def __init__(self, port: int, count: int = 4) -> None:
        self.acknowledged: list[str] = []
        self.refused_connections = 0
        self._port = port
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def _run(self, number: int) -> None:
        sent = 0
        while not self._is_over.is_set():
            text = f"mail-{number}-{sent}"
            try:
                send(self._port, text)
            except ConnectionRefusedError:
                self.refused_connections += 1
            except (smtplib.SMTPException, OSError):
                continue  # 421, or cut while it was said: the same mail again
            else:
                self.acknowledged.append(text)
                sent += 1

    def have_sent(self, count: int) -> None:
        """Wait for so many acknowledged mails more."""
        wanted = len(self.acknowledged) + count
        assert wait_until(lambda: len(self.acknowledged) >= wanted, 30)

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def shown(daemon: Daemon) -> list[str]:
    """What the phone shows, in order of the alphabet."""
    return sorted(message["text"] for message in daemon.phone(PHONE))


def assert_all_there(daemon: Daemon, clients: Clients) -> None:
    """Everything acknowledged is on the phone, once; a mail whose 250 was not heard may be there, once."""
    acknowledged = set(clients.acknowledged)
    assert wait_until(lambda: acknowledged <= set(shown(daemon)), 30)
    texts = shown(daemon)
    assert len(texts) == len(set(texts))


# Reload

EXTRA = "countries: [FR]\nmax_parts: 4\n"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon whose configuration the tests change."""
    with Daemon(extra=EXTRA) as running:
        yield running


@contextmanager
def changed(daemon: Daemon, old: str, new: str) -> Iterator[None]:
    """The configuration with other words, for a while."""
    before = daemon.config.read_text(encoding="utf-8")
    assert old in before
    daemon.config.write_text(before.replace(old, new), encoding="utf-8")
    yield
    daemon.config.write_text(before, encoding="utf-8")
    assert ask(daemon, "reload")[0] == 0


def verdict(daemon: Daemon, to: str) -> int:
    """What RCPT says."""
    with smtplib.SMTP("127.0.0.1", daemon.smtp_port, timeout=30) as connection:
        connection.ehlo("client.test.example")
        connection.mail("marie@acme.example")
        return connection.rcpt(to)[0]


def test_a_reload_is_in_force_at_once(daemon: Daemon) -> None:
    """What the mails, the API and the operator are told follows the file; what must wait is named."""
    german = "4915123456789@sms.acme.example"
    assert verdict(daemon, german) == 550
    words = "countries: [FR, DE]\nsender_ids: {default: ACME}\non_unknown: resend\nvalidity: 3d"
    with changed(daemon, "countries: [FR]", words):
        code, out, err = ask(daemon, "reload")
        assert (code, err) == (0, "")
        said = "reloaded: sender_ids.default changed, countries +DE, on_unknown hold -> resend, validity changed\n"
        assert out == said
        assert verdict(daemon, german) == 250
        with changed(daemon, "domain: sms.acme.example", "domain: sms.other.example"):
            out = ask(daemon, "reload")[1]
            assert "reloaded: nothing else changed" in out
            assert "restart needed for: domain sms.acme.example -> sms.other.example\n" in out
    assert verdict(daemon, german) == 550


def test_a_reload_with_errors_changes_nothing(daemon: Daemon) -> None:
    """The findings come back as `check` shows them, exit 78; the daemon goes on."""
    with changed(daemon, "max_parts: 4", "max_parts: many\ncontries: [FR]"):
        code, out, err = ask(daemon, "reload")
        assert (code, out) == (78, "")
        assert f"{daemon.config}:" in err
        assert 'did you mean "countries"?' in err
        assert "2 errors" in err
        assert "nothing was changed" in err
        assert '"event": "reload_refused"' in daemon.log()
        send(daemon.smtp_port, "refused-before")
    assert wait_until(lambda: "refused-before" in shown(daemon), 10)


def test_sighup_reloads(daemon: Daemon) -> None:
    """As `systemctl reload` does it."""
    with changed(daemon, "max_parts: 4", "max_parts: 3"):
        os.kill(daemon.pid, signal.SIGHUP)
        assert wait_until(lambda: "max_parts 4 -> 3" in daemon.log(), 10)


def test_an_api_key_is_replaced(daemon: Daemon) -> None:
    """The old one opens nothing from then on; who has a key may not reload."""
    assert daemon.api("/api/v1/reload", "POST")[0] == 403
    with changed(daemon, "a-long-random-key-for-tests-only-0001", "a-long-random-key-for-tests-only-0002"):
        assert ask(daemon, "reload")[1] == "reloaded: 1 API key changed\n"
        assert daemon.api("/api/v1/queue")[0] == 401
    assert daemon.api("/api/v1/queue")[0] == 200


def test_a_mail_that_has_begun_ends_as_it_began(daemon: Daemon) -> None:
    """Its recipients were accepted by the old rules, and so it is; the next one is not."""
    with changed(daemon, '"*@acme.example"', '"*@other.example"'):
        with smtplib.SMTP("127.0.0.1", daemon.smtp_port, timeout=30) as connection:
            connection.ehlo("client.test.example")
            connection.mail("marie@acme.example")
            assert connection.rcpt(FRIEND)[0] == 250
            assert ask(daemon, "reload")[1] == "reloaded: sender 1 changed\n"
            assert connection.data(b"From: marie@acme.example\r\n\r\nbegun before\r\n")[0] == 250
            connection.mail("marie@acme.example")
            connection.rcpt(FRIEND)
            code, words = connection.data(b"From: marie@acme.example\r\n\r\nbegun after\r\n")
            assert (code, words[:5]) == (550, b"5.7.1")
        assert wait_until(lambda: "begun before" in shown(daemon), 10)


def test_health(daemon: Daemon) -> None:
    """Every part by name, and 0."""
    code, out, err = ask(daemon, "health")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "store     ok",
        "dispatch  ok",
        "relay     ok",
        "queue     empty",
        "mode      simulate",
    ]


# Stopping and restarting


def end(daemon: Daemon, *signals: signal.Signals) -> int:
    """Send signals, one after the other was heard; return the exit code."""
    for number in signals:
        os.kill(daemon.pid, number)
        assert wait_until(lambda: "daemon_stopping" in daemon.log(), 10)
    assert daemon._child is not None
    code = daemon._child.wait(timeout=45)
    daemon.stop()  # whatever it left behind
    return code


def test_stopping_under_load_loses_nothing() -> None:
    """SIGTERM ends with 0, nothing that a carrier may have is left in doubt, and all of it is there afterwards."""
    with Daemon() as daemon, Clients(daemon.smtp_port) as clients:
        clients.have_sent(40)
        assert end(daemon, signal.SIGTERM) == 0
        clients.__exit__()
        assert "mt_unknown" not in daemon.log()
        daemon.start()
        assert_all_there(daemon, clients)
        assert "mt_unknown" not in daemon.log()


class SlowProvider(BaseHTTPRequestHandler):
    """Takes an order, and says so when it is let go on."""

    asked, go_on = threading.Event(), threading.Event()

    def do_POST(self) -> None:
        """Take it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.set()
        self.go_on.wait(30)
        self.send_response(202)
        self.end_headers()
        self.wfile.write(b'{"id": "p-1", "status": "queued"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_stopping_waits_for_a_carriers_answer() -> None:
    """A request under way gets its answer, and so the message is in no doubt."""
    server = HTTPServer(("127.0.0.1", 0), SlowProvider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    extra = configuration({"slow": f"http://127.0.0.1:{server.server_port}/"}, more=", timeout: 20s")
    with PostingDaemon({}, mode="live", extra=extra) as daemon:
        with connect(daemon) as connection:
            order(connection, "+33639980012", "under way")
        assert SlowProvider.asked.wait(30)
        os.kill(daemon.pid, signal.SIGTERM)
        assert wait_until(lambda: "daemon_stopping" in daemon.log(), 10)
        SlowProvider.go_on.set()
        assert end(daemon) == 0
        after = daemon.log().partition("daemon_stopping")[2]
        assert "mt_enroute" in after
        assert "daemon_stopped" in after
    server.shutdown()
    server.server_close()


def test_the_second_signal_ends_at_once() -> None:
    """A request whose body never comes holds the stop up; who asks twice does not wait, and has lost nothing."""
    with Daemon() as daemon:
        send(daemon.smtp_port, "kept")
        with socket.create_connection(("127.0.0.1", daemon.web_port)) as slow:
            head = f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{".encode())
            assert wait_until(lambda: "kept" in shown(daemon), 10)
            assert end(daemon, signal.SIGTERM, signal.SIGTERM) == -signal.SIGTERM
        daemon.start()
        assert shown(daemon) == ["kept"]


def test_restarting_behind_kept_sockets_refuses_nobody() -> None:
    """Twice under load: every connection is taken, every acknowledged mail arrives, once."""
    with Activated() as daemon, Clients(daemon.smtp_port) as clients:
        for _ in range(2):
            clients.have_sent(20)
            daemon.stop()
            daemon.start()
        clients.have_sent(20)
        clients.__exit__()
        assert clients.refused_connections == 0
        assert_all_there(daemon, clients)


def test_a_socket_for_no_listener_is_refused() -> None:
    """Exit 78, and the way out."""
    daemon = Activated()
    daemon._kept["http"] = daemon._kept.pop("web")
    try:
        daemon._launch()
        assert daemon._child is not None
        assert daemon._child.wait(timeout=30) == 78
        assert 'a socket was passed with the name "http"' in daemon.log()
        assert "FileDescriptorName=" in daemon.log()
    finally:
        daemon.close()
