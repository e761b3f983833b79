"""The benchmarks still run: the load generator, what it measures, and the tables of it. No figure is judged here."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from benchmarks import figures
from benchmarks.figures import Case
from benchmarks.gateway import Ours
from benchmarks.load import Load
from benchmarks.measure import measure, run
from benchmarks.smpp import simulator
from benchmarks.targets import Mail2sms, Target
from tests.servers import MailSink


class Sink(Target):
    """A server in this process."""

    name = "sink"
    pid = 0

    def __init__(self, sink: MailSink) -> None:
        self.port = sink.port

    def started(self) -> None:  # type: ignore[override]
        """It runs already."""

    def cpu_us(self) -> float:
        """Nothing that could be told apart."""
        return 0.0


@pytest.mark.parametrize(
    "case", [Case(sessions=1, reuse=False), Case(sessions=3, reuse=True)], ids=lambda c: c.name
)
def test_every_mail_is_sent_once_and_differs(mail_sink: MailSink, case: Case) -> None:
    """20 mails beside one of each session that warms up, each with a Message-ID and a text of its own."""
    found = measure(Sink(mail_sink), case, 1, mails=20)
    assert (found.accepted, found.failures) == (20, {})
    assert len(set(mail_sink.messages)) == 20 + case.sessions
    ids = {
        line for mail in mail_sink.messages for line in mail.splitlines() if line.startswith(b"Message-ID")
    }
    assert len(ids) == 20 + case.sessions


def test_refusals_are_counted_and_told(mail_sink: MailSink) -> None:
    """The negative control: what was not accepted is no mail of the table, and is complained of."""
    mail_sink.reply = "451 4.3.0 later"
    found = measure(Sink(mail_sink), Case(sessions=2, reuse=True), 1, mails=5)
    assert (found.accepted, found.rate) == (0, 0.0)
    assert "451 4.3.0 later" in figures.complaints([found])[0]


def test_an_attachment_is_as_large_as_asked(mail_sink: MailSink) -> None:
    """And arrives whole."""
    case = Case(sessions=1, reuse=True, attachment_bytes=1_000_000)
    assert measure(Sink(mail_sink), case, 1, mails=1).accepted == 1
    assert all(990_000 < len(mail) < 1_010_000 for mail in mail_sink.messages)
    assert all(mail.endswith(b"--=-7Qm--\r\n") for mail in mail_sink.messages)


def test_our_daemon_is_measured_until_every_message_is_out() -> None:
    """20 mails, their messages on the phones and their reports; then the tables."""
    target = Mail2sms("sqlite-running")
    with target.started():
        found = measure(target, Case(sessions=4, reuse=True), 1, mails=20)
    assert (found.accepted, found.sent, found.failures) == (20, 20, {})
    assert found.cpu_us > 0
    paused = replace(found, target="sqlite-paused", sent=None, rate=found.rate * 2)
    peer = replace(found, target="peer", sent=None, rate=found.rate / 4)
    all_of_them = [paused, found, peer]
    assert "sqlite-running" in figures.table(all_of_them)
    assert "8.00" in figures.ratios(all_of_them, ["sqlite-paused"], ["peer"])
    assert figures.sending(all_of_them).splitlines()[1].split()[-1] == "50"
    assert figures.complaints(all_of_them) == []
    assert figures.complaints([replace(found, sent=19)])


def test_a_paused_daemon_keeps_what_it_takes() -> None:
    """What comes in stays queued."""
    target = Mail2sms("sqlite-paused")
    with target.started():
        assert measure(target, Case(sessions=2, reuse=True), 1, mails=6).accepted == 6
        status, answer = target.daemon.api("/api/v1/messages?status=queued")
        assert (status, len(answer["items"])) == (200, 8)


def test_what_goes_through_our_gateway_is_counted_at_the_smsc() -> None:
    """Every mail that was accepted is one submit, and the rate ends with the last of them."""
    with simulator() as smsc, Ours(smsc).started() as ours:
        found = ours.measure(Case(sessions=4, reuse=True), 1, 0.3)
    assert found.accepted > 4
    assert (found.sent, found.failures) == (found.accepted, {})
    assert 0 < found.rate < found.accepted / 0.3
    assert figures.complaints([found]) == []


@pytest.mark.parametrize(("status", "accepted"), [(202, 9), (503, 0)])
def test_calls_are_sent_once_and_differ(status: int, accepted: int) -> None:
    """9 over 3 kept connections, as a gateway's HTTP API takes them; refused ones are counted and told."""
    asked: list[str] = []

    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = "/sendsms?to={phone}&text={text}"
        load = Load(port=server.server_port, sessions=3, reuse=True, name="calls", mails=9, url=url)
        told = run("api", load)
        server.shutdown()
    assert (told.accepted, sum(told.failures.values())) == (accepted, 9 - accepted)
    assert len(set(asked)) == len(asked) == 9
    queries = [parse_qs(path.partition("?")[2]) for path in asked]
    assert all(query["to"][0].startswith("3363998") for query in queries)
    assert all(query["text"][0].startswith("Bonjour, votre rendez-vous") for query in queries)
