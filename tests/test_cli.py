"""The command line: exit codes, what goes to which stream, how messages are shown, and the socket's client."""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mail2sms import __version__
from mail2sms.cli import EXPLAINED, Exit, Failed, console, export, find_config, moments, show, terminal, typed
from mail2sms.cli.control import Control, Declined, Event, Happened, Message, Notice
from mail2sms.cli.main import run
from tests.servers import Daemon, minimal_config, wait_until

NOW = datetime(2026, 5, 12, 12, 0, tzinfo=UTC)
PHONE, OURS = "+33639981234", "+33639980101"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, nobody's configuration, and a clock in Paris."""
    monkeypatch.chdir(tmp_path)
    for name in ("MAIL2SMS_CONFIG", "RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def written(path: Path, **changes: str) -> Path:
    """A configuration file; `changes` replace parts of its text."""
    database = f"sqlite:///{path.resolve().parent}/mail2sms.db"
    text = minimal_config(database=database, smtp_port=2525, web_port=8025)
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def message(**changes: Any) -> Message:
    """A queued message of Marie's, a minute old."""
    values: dict[str, Any] = {
        "id": "m-1",
        "to": PHONE,
        "sender_id": OURS,
        "status": "queued",
        "parts": 1,
        "cost": "",
        "encoding": "gsm7",
        "carrier": "sim-a",
        "due_at": NOW,
        "created_at": NOW - timedelta(minutes=1),
        "reason": "",
        "detail": "",
        "writer": "marie@acme.example",
        "subject": "",
        "attempts": 0,
        "text": "",
        "events": (),
        "answer": {},
    }
    return Message(**{**values, **changes})


# Exit codes and streams


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], 0, ""),
        (["--help"], 0, ""),
        ([], 64, "a verb is missing"),
        (["sned"], 64, "Did you mean 'send'?"),
        (["send", "+33639981234"], 64, "numbers and a text are needed"),
        (["messages", "--status", "done"], 64, f"{typed('messages --help')} explains it"),
        (["messages", "--limit", "0"], 64, "--limit"),
        (["messages", "--since", "lately"], 64, '"lately" is no time'),
        (["messages", "--until", "lately"], 64, '"lately" is no time'),
        (["messages", "--json", "--csv"], 64, "not both"),
        (["queue", "retry"], 64, "--all, --carrier NAME"),
        (["queue", "retry", "m-1", "--all"], 64, "not both"),
        (["queue", "retry", "--status", "unknown"], 64, "it may arrive twice"),
        (["queue", "retry", "--status", "delivered"], 64, "--status"),
        (["queue", "hold"], 64, "--carrier NAME"),
        (["queue", "release"], 64, "--carrier NAME"),
        (["queue", "cancel"], 64, f"{typed('queue list')} shows their ids"),
        (["tail", "--socket", "nowhere.sock"], 69, f"is {typed('serve')} running"),
        (["send", "+33639981234", "x", "--at", "soon"], 64, '"soon" is no time'),
        (["serve", "--confg", "x"], 64, "--confg"),
        (["demo", "--smtp", "2525"], 64, "expected host:port"),
        (["demo", "--web", "0.0.0.0:8025"], 64, "not of this machine alone"),
        (["demo", "send"], 64, "TEXT"),
        (["messages"], 78, "name one with --config FILE"),
        (["serve"], 78, "name one with --config FILE"),
        (["serve", "--config", "nowhere.yaml"], 78, "cannot be read"),
        (["message", "m-1", "--socket", "nowhere.sock"], 69, f"is {typed('serve')} running"),
        (["template", "show", "nowhere.txt"], 78, "is no template"),
    ],
)
def test_exit_codes_without_a_daemon(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every foreseeable error has its code, says on standard error what to do, and nothing on standard output."""
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err
    assert (code == 0) == bool(out)


def test_bad_configuration_shows_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """`serve` prints the findings with their lines, `check` too; both exit 78. Which daemon runs can still be told."""
    path = written(Path("mail2sms.yaml"), countries="contries")
    assert run(["serve"]) == Exit.BAD_CONFIG
    assert 'did you mean "countries"?' in capsys.readouterr().err
    assert run(["check", "--no-environment"]) == Exit.BAD_CONFIG
    assert f"{path}:8:1: error" in capsys.readouterr().out
    assert run(["messages"]) == Exit.UNAVAILABLE
    assert f"no daemon listens at {path.resolve().parent}/control.sock" in capsys.readouterr().err
    written(path, database="databse")
    assert run(["messages"]) == Exit.BAD_CONFIG
    assert 'did you mean "database"?' in capsys.readouterr().err


def test_check_of_a_good_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """`--quiet` says nothing, `--json` one document; a folder stands for the file in it."""
    written(Path("mail2sms.yaml"))
    assert run(["check", ".", "--no-environment", "--quiet"]) == Exit.OK
    assert capsys.readouterr().out == ""
    assert run(["check", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["ok"] is True


@pytest.mark.parametrize(
    ("given", "environment", "files", "found"),
    [
        ("a.yaml", "b.yaml", ["mail2sms.yaml"], "a.yaml"),
        (None, "b.yaml", ["mail2sms.yaml"], "b.yaml"),
        (None, None, ["mail2sms.yaml"], "mail2sms.yaml"),
        ("folder", None, ["folder/mail2sms.yaml"], "folder/mail2sms.yaml"),
        (None, "folder", ["folder/mail2sms.yaml"], "folder/mail2sms.yaml"),
    ],
)
def test_where_the_configuration_is(
    given: str | None,
    environment: str | None,
    files: list[str],
    found: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The option comes before the environment, and that before the file that is here."""
    for name in files:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    if environment is not None:
        monkeypatch.setenv("MAIL2SMS_CONFIG", environment)
    assert find_config(Path(given) if given else None) == Path(found)


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """24 lines of 80 columns, with every verb and every exit code."""
    run(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for _, words, _ in console._TABLE:
        assert re.search(rf"[ ,]{words.partition(' ')[0]}\b", "\n".join(lines)), words
    for code, text in EXPLAINED.items():
        assert f"{code:d} {text}" in " ".join(lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["schema", "--help"], "./run schema >"),
        (["messages"], "./run demo needs none"),
        (["serve", "--confg", "x"], "./run serve --help explains it"),
        (["man", "schema"], "mail2sms schema >"),
    ],
)
def test_commands_are_told_as_they_are_typed_here(arguments: list[str], said: str) -> None:
    """In a checkout by its script; manual pages are for what is installed."""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "mail2sms", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root), "MAIL2SMS_PROGRAM": "./run"},
    )
    assert said in done.stdout + done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to standard output."""
    run(["--version"])
    assert capsys.readouterr().out == f"mail2sms {__version__}\n"


def test_the_daemon_loads_neither_typer_nor_rich() -> None:
    """They would cost every daemon megabytes; structlog would bring rich in."""
    code = """if True:
        import sys
        from mail2sms.cli import main
        main.run(["serve", "--config", "nowhere.yaml"])
        import mail2sms.cli.demo_run, mail2sms.daemon
        print([name for name in ("typer", "rich", "rich.console") if sys.modules.get(name)])
    """
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout == "[]\n"


OWN = "Mobile|Handy: {to}\nAbsender: {sender_id}?\n\n{text}\nENDE\n"


@pytest.mark.parametrize("language", ["en", "fr", "de", "it"])
@pytest.mark.parametrize("name", ["strict", "simple", "subject", "order.txt"])
def test_template_show_prints_a_mail_that_works(
    name: str, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole mail, headers and all, would be sent as it is printed, an operator's template too."""
    template = Path(name).resolve() if name.endswith(".txt") else name
    Path("order.txt").write_text(OWN, encoding="utf-8")
    written(
        Path("mail2sms.yaml"),
        **{"country: FR": f"template: {template}\ncountry: FR\nsender_ids: {{FR: ACME}}"},
    )
    assert run(["template", "show", name, "--language", language]) == Exit.OK
    mail = capsys.readouterr().out
    assert [line.partition(":")[0] for line in mail.split("\n")[:3]] == ["To", "From", "Subject"]
    Path("x.eml").write_text(mail, encoding="utf-8")
    assert run(["explain", "x.eml"]) == Exit.OK, mail
    assert "would be SENT to 1 phone" in capsys.readouterr().out


def test_template_show_needs_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """Without one, the strict template; with one that is named, its own template and domain."""
    assert run(["template", "show", "--language", "fr"]) == Exit.OK
    shown = capsys.readouterr().out
    assert shown.startswith("To: sms@sms.acme.example\nFrom: marie@acme.example\nSubject: ")
    assert "\n\nÀ: 06 39 98 12 34\n" in shown
    Path("order.txt").write_text(OWN, encoding="utf-8")
    more = f"template: {Path('order.txt').resolve()}\ntemplate_mailbox: texto\ncountry: FR"
    path = written(Path("other.yaml"), **{"country: FR": more})
    assert run(["template", "show", "--config", str(path)]) == Exit.OK
    assert "To: texto@sms.acme.example" in (shown := capsys.readouterr().out)
    assert "\nMobile: 06 39 98 12 34\n" in shown
    Path("order.txt").write_text("Mobile: {whom}\n\n{text}\n", encoding="utf-8")
    assert run(["template", "show", "order.txt"]) == Exit.BAD_CONFIG
    assert "line 1: there is no {whom}" in capsys.readouterr().err


# How messages are shown


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
    ],
)
def test_span(seconds: float, expected: str) -> None:
    """Two units at most, from seconds to days."""
    assert show.span(seconds) == expected


@pytest.mark.parametrize(
    ("changes", "state", "next_try", "why"),
    [
        ({}, "queued", "now", ""),
        ({"due_at": NOW + timedelta(seconds=26)}, "queued", "in 26 s", ""),
        (
            {"due_at": NOW + timedelta(seconds=26), "reason": "retry", "detail": "503 down", "attempts": 2},
            "queued, retry",
            "in 26 s",
            "503 down; tried 2 times; by sim-a",
        ),
        ({"status": "sending", "attempts": 1}, "sending", "-", "tried once; by sim-a"),
        ({"status": "unknown", "reason": "carrier.unknown"}, "unknown", "-", ""),
    ],
)
def test_queue_row(changes: dict[str, Any], state: str, next_try: str, why: str) -> None:
    """State, next try and why are said once, in the words of the API."""
    row = show.queue_row(message(**changes), NOW)
    assert row[:4] == ("m-1", "1 min", "+33 6 39 98 12 34", "marie@acme.example")
    assert row[4:] == (state, next_try, why)


def test_queue_far_ahead_shows_the_clock() -> None:
    """From an hour on, the next try is a time of this place."""
    due_at = NOW + timedelta(days=2)
    assert show.queue_row(message(due_at=due_at), NOW)[5] == f"{due_at.astimezone():%Y-%m-%d %H:%M %Z}"


def test_what_strangers_wrote_cannot_drive_the_terminal() -> None:
    """Escape sequences in a subject, an address or a carrier's words become blanks."""
    evil = "\x1b]0;owned\x07\x9b2J\r\n"
    event = Event(at=NOW, status="rejected", reason="carrier.rejected", carrier="sim-a", detail=evil)
    shown = [
        *show.timeline(message(subject=evil, writer=evil, text=evil, events=(event,))),
        *show.queue_row(message(writer=evil, detail=evil), NOW),
        *show.message_row(message(writer=evil, detail=evil)),
    ]
    assert all(line.isprintable() for line in shown)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_narrow_terminal_never_cuts_what_is_copied(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids, numbers and times stay whole; what strangers and carriers said gives way."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    waiting = message(
        id="m-1QTFA8K0QARG8EH5", reason="retry", detail="the connection closed " * 9, attempts=2
    )
    row = show.queue_row(waiting, NOW)
    terminal.print_table(show.QUEUE_HEADS, [row])
    head, line, *rest = capsys.readouterr().out.splitlines()
    assert rest == []
    assert head.split()[:2] == ["ID", "AGE"]
    whole = [cell for head, cell in zip(show.QUEUE_HEADS, row, strict=True) if head not in ("FROM", "WHY")]
    assert [cell for cell in whole if cell not in line] == []
    assert "…" in line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("+33639981234", "33639981234"),
        ("=1+1", "'=1+1"),
        ("+33;=1", "'+33;=1"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("Rendez-vous", "Rendez-vous"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(value: str, expected: str) -> None:
    """What a stranger writes is text in a spreadsheet; a number has no `+`."""
    assert export.cell(value) == expected


def test_an_export_is_written_as_it_comes() -> None:
    """The first row is out before the second message is asked for: nothing holds them all."""
    stream, seen = io.StringIO(), []

    def found() -> Iterator[Message]:
        for number in range(3):
            seen.append(stream.getvalue().count("\r\n"))
            yield message(id=f"m-{number}", text="a;b\nc")

    export.write(found(), stream, lambda done: None)
    assert seen == [1, 2, 3]
    assert stream.getvalue().startswith("\ufeffid;created_at;to;from;")
    assert '"a;b\nc"\r\n' in stream.getvalue()


@pytest.mark.parametrize(
    ("cost", "cells", "cell"),
    [
        ("0.045 EUR", ["0,045", "EUR"], "0.045 EUR"),
        ("60 EUR", ["60", "EUR"], "60 EUR"),
        ("", ["", ""], "-"),
    ],
)
def test_a_cost_in_a_spreadsheet_and_in_a_table(cost: str, cells: list[str], cell: str) -> None:
    """An amount with a comma adds up where `;` parts the cells; what is not known is empty, never nothing."""
    stream = io.StringIO()
    export.write([message(cost=cost)], stream, lambda done: None)
    heads, row = (line.split(";") for line in stream.getvalue().splitlines())
    at = heads.index("cost")
    assert (heads[at : at + 2], row[at : at + 2]) == (["cost", "currency"], cells)
    assert dict(zip(show.MESSAGE_HEADS, show.message_row(message(cost=cost)), strict=True))["COST"] == cell


@pytest.mark.parametrize(
    ("cost", "is_dry_run", "expected"),
    [
        (
            "",
            True,
            "would be sent  +33 6 39 98 12 34  GSM-7, 1 part, sender ID +33 6 39 98 01 01, carrier sim-a",
        ),
        (
            "0.045 EUR",
            True,
            "would be sent  +33 6 39 98 12 34  "
            "GSM-7, 1 part, sender ID +33 6 39 98 01 01, carrier sim-a, cost 0.045 EUR",
        ),
        (
            "0.045 EUR",
            False,
            "m-1  +33 6 39 98 12 34  queued  GSM-7, 1 part, sender ID +33 6 39 98 01 01, cost 0.045 EUR",
        ),
    ],
)
def test_what_an_order_became(cost: str, is_dry_run: bool, expected: str) -> None:
    """In one line, with its cost where that is known."""
    assert show.accepted_line(message(cost=cost), is_dry_run=is_dry_run) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "delivered"}, []),
        (
            {"reason": "held", "detail": ""},
            ["Why        held", f"Way out    {typed('queue release m-1')} --config my.yaml lets it go"],
        ),
        (
            {"reason": "retry", "detail": "503 down", "attempts": 1, "due_at": NOW + timedelta(seconds=26)},
            ["Next try   in 26 s", "Why        retry, 503 down; tried once; by sim-a"],
        ),
    ],
)
def test_why_a_message_waits(changes: dict[str, Any], expected: list[str]) -> None:
    """When it goes, why it did not, and what an operator may do."""
    assert show.waits(message(**changes), NOW, Path("my.yaml")) == expected


def test_timeline() -> None:
    """A head, the facts, then one line a step with milliseconds of this place."""
    events = (
        Event(at=NOW, status="queued", reason="", carrier="sim-a", detail=""),
        Event(at=NOW + timedelta(seconds=1.118), status="delivered", reason="", carrier="sim-a", detail=""),
        Event(at=NOW + timedelta(days=1), status="expired", reason="carrier.expired", carrier="sim-a", detail="late"),
    )  # fmt: skip
    head, *facts = show.timeline(
        message(status="expired", subject="Rendez-vous", text="Bonjour,\nà mardi", events=events)
    )
    here, later = NOW.astimezone(), (NOW + timedelta(days=1)).astimezone()
    assert head == "m-1  marie@acme.example -> +33 6 39 98 12 34   expired"
    limit = {
        "kind": "number",
        "of": "+33639981234",
        "limit": "2/day",
        "used": "1",
        "left": "1",
        "until": str(NOW),
    }
    asked = {
        "id": "v-1",
        "status": "released",
        "decided_by": "it",
        "reason": "held.unusual",
        "detail": "90 today",
    }
    told = show.timeline(message(answer={"proof": "dkim", "limits": [limit], "approval": asked}))[-3:]
    assert told == [
        "Proof      dkim",
        f"Counted in number +33 6 39 98 12 34: 2/day; 1 used, 1 left until {here:%Y-%m-%d %H:%M:%S %Z}",
        "Approval   v-1 released by it: held.unusual, 90 today",
    ]
    priced = show.timeline(message(status="expired", cost="0.045 EUR"))
    assert priced[-1] == "Cost       0.045 EUR"
    assert facts == [
        "Subject    Rendez-vous",
        "Text       Bonjour,",
        "           à mardi",
        "Coding     GSM-7, 1 part",
        "Sender ID  +33 6 39 98 01 01",
        f"Day        {here:%Y-%m-%d, times in %Z}",
        f"{here:%H:%M}:00.000  queued         sim-a",
        f"{here:%H:%M}:01.118  delivered      sim-a   1.1 s after the first",
        f"{later:%Y-%m-%d %H:%M}:00.000  expired        sim-a  carrier.expired  late",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-12T14:30+02:00", "2026-05-12T14:30:00+02:00"),
        ("2026-05-12T14:30Z", "2026-05-12T14:30:00+00:00"),
        ("2026-05-13", datetime(2026, 5, 13).astimezone().isoformat()),
        ("23:59", datetime(2026, 5, 12, 23, 59).astimezone().isoformat()),
        ("00:00", datetime(2026, 5, 13, 0, 0).astimezone().isoformat()),
        ("12:00", datetime(2026, 5, 13, 12, 0).astimezone().isoformat()),
    ],
)
def test_at_is_of_this_place(text: str, expected: str) -> None:
    """A time alone is the next such time; without an offset it is local."""
    noon = datetime(2026, 5, 12, 12, 0).astimezone()
    assert moments.read_at(text, noon) == expected


# The client


class _Peer:
    """Something on a unix socket that answers one connection with given bytes, or never."""

    def __init__(self, path: Path, answer: bytes | None) -> None:
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(path))
        self._door.listen()
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._door.accept()
        with connection:
            connection.recv(65_536)
            if self._answer is None:
                connection.recv(1)  # until the client gives up
            else:
                connection.sendall(self._answer)

    def close(self) -> None:
        """Wait for the end of the one connection."""
        self._thread.join()
        self._door.close()


def _http(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (status, len(body), body)


def _problem(status: int, **told: Any) -> bytes:
    return _http(status, json.dumps({"status": status, **told}).encode())


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (
            _problem(422, type="number.invalid", title="short", detail="Long.", hint="+336"),
            Exit.REFUSED,
            "Long. Did you mean +336? (number.invalid)",
        ),
        (
            _problem(422, type="a", title="A", problems=[{"type": "a", "title": "A"}, {"type": "b", "title": "B"}]),
            Exit.REFUSED,
            "A (a)\nB (b)",
        ),
        (_problem(404, type="request.not_found", title="nothing"), Exit.REFUSED, "nothing (request.not_found)"),
        (_problem(403, type="request.forbidden", title="no"), Exit.NOT_ALLOWED, "no (request.forbidden)"),
        (_problem(503, type="system.database", title="later"), Exit.TRY_AGAIN, "later (system.database)"),
        (_problem(500, type="system.error", title="ours"), Exit.UNAVAILABLE, "ours (system.error)"),
        (_http(200, b"<html>"), Exit.UNAVAILABLE, "not as mail2sms does (HTTP 200)"),
        (_http(200, b"[]"), Exit.UNAVAILABLE, "not as mail2sms does"),
        (b"", Exit.UNAVAILABLE, "it may have been done all the same"),
        (b"220 smtp ESMTP\r\n", Exit.UNAVAILABLE, "did not answer"),
        (None, Exit.TRY_AGAIN, "does not answer in time; it may have been done"),
    ],
)  # fmt: skip
def test_answers_become_exit_codes(answer: bytes | None, code: Exit, said: str, tmp_path: Path) -> None:
    """A problem keeps its code and words; what is no answer is told apart from a refusal."""
    path = tmp_path / "control.sock"
    peer = _Peer(path, answer)
    with pytest.raises(Failed) as failure:
        Control(path, timeout_s=0.2).reload()
    peer.close()
    assert failure.value.code == code
    assert said in str(failure.value)
    assert isinstance(failure.value, Declined) == (code not in (Exit.UNAVAILABLE, Exit.TRY_AGAIN)) or answer


# Against the daemon


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon in simulate mode."""
    with Daemon(extra='sender_ids: {default: "+33639980100"}') as running:
        yield running


@pytest.fixture
def socket_option(daemon: Daemon) -> list[str]:
    """How its control socket is named."""
    return ["--socket", str(daemon.folder / "control.sock")]


def test_sent_message_is_delivered_and_shown(
    socket_option: list[str], daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """`send --wait` ends with the delivery; `message` and `messages` tell of it, in words and in JSON."""
    assert (
        run(["send", PHONE, "Bonjour", "--as", "marie@acme.example", "--wait", "--json", *socket_option]) == 0
    )
    out, err = capsys.readouterr()
    receipt = json.loads(out)
    id_ = receipt["items"][0]["id"]
    assert receipt["items"][0]["status"] == "delivered"
    assert err == ""  # no terminal: no bar
    assert [shown["text"] for shown in daemon.phone(PHONE)] == ["Bonjour"]
    assert run(["message", id_, *socket_option]) == 0
    assert f"{id_}  marie@acme.example -> +33 6 39 98 12 34" in capsys.readouterr().out
    assert (
        run(["messages", "--to", "06 39 98 12 34", "--status", "delivered", "--since", "1h", *socket_option])
        == 0
    )
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["ID", "TIME", "TO"]
    assert row.startswith(id_)
    assert run(["messages", "--json", *socket_option]) == 0
    assert id_ in {json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()}  # fmt: skip


def test_one_bad_number_does_not_stop_the_other(
    socket_option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The good one is accepted, the bad one explained, and the exit code says so."""
    assert run(["send", "06 39 98 56 78", "0123", "Bonjour", *socket_option]) == Exit.REFUSED
    out, err = capsys.readouterr()
    assert "+33 6 39 98 56 78  queued" in out
    assert "0123" in err
    assert "(number.invalid)" in err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["send", "0123", "x"], Exit.REFUSED),
        (["send", PHONE, "x" * 1000], Exit.REFUSED),
        (["send", PHONE, "x", "--validity", "2"], Exit.REFUSED),
        (["send", PHONE, "x", "--as", "nobody@acme.example"], Exit.REFUSED),
        (["send", PHONE, "x", "--from", "NOTMINE"], Exit.REFUSED),
        (["send", "+33639980404", "x", "--wait"], Exit.UNAVAILABLE),
        (["message", "m-0"], Exit.REFUSED),
        (["message", "../healthz"], Exit.REFUSED),
        (["queue", "cancel", "m-0", "--yes"], Exit.REFUSED),
    ],
)
def test_refusals_of_the_daemon(arguments: list[str], code: Exit, socket_option: list[str]) -> None:
    """Refused is 65; accepted but not delivered is 69."""
    assert run([*arguments, *socket_option]) == code


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["send", "Hello", "0639981234"], Exit.USAGE, f"the text last: {typed('send 0639981234 Hello')}"),
        (["send", PHONE, " "], Exit.REFUSED, "there is no text to send: it is the last word"),
        (["send", PHONE, "x", "--as", "mary@acme.example"], Exit.REFUSED, "did you mean marie@acme.example?"),
        (["send", PHONE, "x", "--as", "bob"], Exit.REFUSED, "no such user; there are marie@acme.example"),
        (["message", "foo"], Exit.REFUSED, '"foo" is no id: ids look like m-1QHV0WC8E7K9HXJP, or n-... for'),
        (["messages", "--since", "yesterday"], Exit.USAGE, "write it like 2h, 7d or 2026-05-12T14:30"),
        (["send", PHONE, "x", "--at", "noon"], Exit.USAGE, "write it like 08:00 or 2026-05-12T14:30"),
        (
            ["serv"],
            Exit.USAGE,
            f"No such command 'serv'. Did you mean 'serve'? {typed('--help')} explains it\n",
        ),
    ],
)
def test_slips_are_told_with_the_way_out(
    arguments: list[str], code: Exit, said: str, socket_option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was probably meant, or how it is written."""
    socket = socket_option if arguments[0] != "serv" else []
    assert run([*arguments, *socket]) == code
    assert said in capsys.readouterr().err


def test_dry_run_stores_nothing(
    socket_option: list[str],
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What would happen is told; the text comes from standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Ô ?\n".encode())))
    assert run(["send", "06 39 98 99 99", "-", "--dry-run", *socket_option]) == 0
    assert capsys.readouterr().out.startswith("would be sent  +33 6 39 98 99 99  Unicode, 1 part, sender ID")
    assert run(["messages", "--to", "+33639989999", *socket_option]) == 0
    assert capsys.readouterr() == ("", "mail2sms: there are no such messages\n")


def test_queue_and_cancel(
    socket_option: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scheduled message waits until it is cancelled, which is asked about; one that was delivered can't be."""
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert run(["send", "+33639981111", "demain", "--at", at, "--json", *socket_option]) == 0
    id_ = json.loads(capsys.readouterr().out)["items"][0]["id"]
    assert run(["queue", "list", *socket_option]) == 0
    out = capsys.readouterr().out
    assert "queued, schedule" in next(line for line in out.splitlines() if line.startswith(id_))
    assert run(["queue", "list", "--json", *socket_option]) == 0
    assert id_ in {json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()}  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(["queue", "cancel", id_, *socket_option]) == Exit.USAGE
    assert capsys.readouterr() == (
        "",
        "mail2sms: Cancel 1 message for good? Nobody can answer here: --yes agrees\n",
    )
    assert run(["queue", "cancel", id_, "--yes", *socket_option]) == 0
    assert capsys.readouterr().out == f"{id_}  cancelled\n"
    assert run(["send", PHONE, "too late", "--wait", "--json", *socket_option]) == 0
    id_ = json.loads(capsys.readouterr().out)["items"][0]["id"]
    assert run(["queue", "cancel", id_, "-y", *socket_option]) == Exit.REFUSED


def later(socket_option: list[str], capsys: pytest.CaptureFixture[str], number: str = "+33639981111") -> str:
    """Send something tomorrow; return its id."""
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert run(["send", number, "demain", "--at", at, "--json", *socket_option]) == 0
    return str(json.loads(capsys.readouterr().out)["items"][0]["id"])


def test_a_message_is_held_released_and_tried_now(
    socket_option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What it became is said each time, and `queue show` says why it waits."""
    id_ = later(socket_option, capsys)
    assert run(["queue", "hold", id_, *socket_option]) == 0
    assert capsys.readouterr().out == f"{id_}  queued, held\n"
    assert run(["queue", "show", id_, *socket_option]) == 0
    assert capsys.readouterr().out.endswith(f"{typed(f'queue release {id_}')} lets it go\n")
    assert run(["queue", "retry", id_, *socket_option]) == Exit.REFUSED
    assert capsys.readouterr().err == f"mail2sms: {id_}: it is held; release it first\n"
    assert run(["queue", "release", id_, *socket_option]) == 0
    assert capsys.readouterr().out.startswith(f"{id_}  queued, schedule   goes ")
    assert run(["queue", "retry", id_, *socket_option]) == 0
    assert capsys.readouterr().out == f"{id_}  queued   goes now\n"
    other = later(socket_option, capsys)
    assert run(["queue", "cancel", other, "m-0", "--yes", *socket_option]) == Exit.REFUSED
    assert capsys.readouterr() == (f"{other}  cancelled\n", "mail2sms: m-0: there is no such message\n")


def test_a_choice_of_many_is_counted_and_asked_about(
    socket_option: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody to ask is a no; `--yes` is a yes; what was chosen is what is changed."""
    ids = {later(socket_option, capsys) for _ in range(2)}
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(["queue", "hold", "--carrier", "sim", *socket_option]) == Exit.USAGE
    assert "wait for sim. Hold them? Nobody can answer here: --yes agrees" in capsys.readouterr().err
    assert run(["queue", "hold", "--carrier", "sim", "--yes", "--quiet", *socket_option]) == 0
    assert ids <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert run(["queue", "hold", "--carrier", "sim", "--yes", *socket_option]) == 0
    assert capsys.readouterr().err == "mail2sms: there are no such messages\n"
    assert run(["queue", "release", "--carrier", "sim", "--yes", "--json", *socket_option]) == 0
    released = {json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()}
    assert ids <= released
    assert run(["queue", "cancel", *released, "--yes", *socket_option]) == 0


def test_a_refused_mail_is_found_by_its_id(
    socket_option: list[str], daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """The id that SMTP told, among the recent ones or by itself: who is told what, and whether it went; no text."""
    with smtplib.SMTP("127.0.0.1", daemon.smtp_port, timeout=30) as client:
        client.ehlo("client.test.example")
        client.mail("marie@acme.example")
        client.rcpt("sms@sms.acme.example")
        mail = (
            b"From: marie@acme.example\r\nSubject: Rendez-vous\r\n\r\nTwo: 06 39 98 12 34\r\n\r\nSecret\r\n"
        )
        _, told = client.data(mail)
    id_ = told.split()[1].decode()
    assert id_.startswith("n-")
    assert (
        run(["notices", "--kind", "refused", "--to", "MARIE@acme.example", "--since", "1h", *socket_option])
        == 0
    )
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "TIME", "KIND", "TO", "STATUS", "WHY"]
    assert row.split()[0] == id_
    assert run(["message", id_, *socket_option]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{id_}  refused -> marie@acme.example   ")
    assert 'Reason     template.unknown_field  body line 1: there is no field "Two"' in lines
    assert "Subject    Rendez-vous" in lines
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  queued", line) for line in lines)
    assert "Secret" not in "".join(lines)
    for arguments in (["message", id_], ["notices"]):
        assert run([*arguments, "--json", *socket_option]) == 0
        assert id_ in {json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()}
    assert run(["message", "n-0", *socket_option]) == Exit.REFUSED
    assert capsys.readouterr().err == "mail2sms: there is no such notice (request.not_found)\n"
    assert run(["notices", "--about", "m-0", *socket_option]) == 0
    assert capsys.readouterr() == ("", "mail2sms: there are no such notices\n")


def notice(**changes: Any) -> Notice:
    """The email that tells Marie of a reply, which waits."""
    values: dict[str, Any] = {
        "id": "n-1",
        "kind": "reply",
        "channel": "email",
        "to": "marie@acme.example",
        "status": "queued",
        "reason": "",
        "detail": "",
        "message": "",
        "mo": "r-1",
        "created_at": NOW,
        "due_at": NOW + timedelta(seconds=26),
        "subject": "",
        "message_id": "",
        "is_partly": False,
        "problems": (),
        "events": (),
        "answer": {},
    }
    return Notice(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["n-1  reply -> marie@acme.example   queued", "Reply      r-1", "Next try   in 26 s"]),
        (
            {
                "channel": "hook-1",
                "status": "sent",
                "kind": "undelivered",
                "reason": "carrier.expired",
                "mo": "",
            },
            ["n-1  undelivered -> chat   sent", "Reason     carrier.expired"],
        ),
        (
            {
                "kind": "refused",
                "is_partly": True,
                "status": "failed",
                "mo": "",
                "problems": (("a.b", "no \x1b"),),
            },
            ["n-1  partly refused -> marie@acme.example   failed", "Reason     a.b  no"],
        ),
    ],
)
def test_notice_page(changes: dict[str, Any], expected: list[str]) -> None:
    """Whom it tells what of what, and when it is tried again; what others wrote can't drive the terminal."""
    assert show.notice_page(notice(**changes), NOW) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "queued         +33 6 39 98 12 34  <- marie@acme.example  sim-a  retry  down   m-1"),
        (
            {"kind": "mo", "about": "r-1", "to": OURS, "writer": PHONE, "reason": "", "detail": ""},
            "queued         +33 6 39 98 01 01  <- +33 6 39 98 12 34  sim-a   r-1",
        ),
        (
            {"kind": "notice", "about": "n-1", "to": "m@acme.example", "told": "reply", "channel": "email",
             "status": "sent", "carrier": "", "reason": "", "detail": ""},
            "sent           m@acme.example  <- reply   n-1",
        ),
        (
            {"kind": "notice", "about": "n-1", "to": "", "told": "reply", "channel": "hook-1", "carrier": ""},
            "queued         chat  <- reply  retry  down   n-1",
        ),
    ],
)  # fmt: skip
def test_a_line_of_the_tail(changes: dict[str, str], expected: str) -> None:
    """When, what, to whom from whom, why, and the id; of messages, of texts from phones, of notices."""
    said = {"status": "queued", "reason": "retry", "carrier": "sim-a", "detail": "down"}
    about = {
        "about": "m-1",
        "kind": "message",
        "to": PHONE,
        "writer": "marie@acme.example",
        "told": "",
        "channel": "",
    }
    said |= {name: value for name, value in changes.items() if name in said}
    about |= {name: value for name, value in changes.items() if name in about}
    happened = Happened(id=1, **about, event=Event(at=NOW, **said), answer={})  # type: ignore[arg-type]
    assert show.event_line(happened) == f"{NOW.astimezone():%H:%M:%S}  {expected}"


def test_an_export_has_every_message_and_no_formula(
    socket_option: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A byte order mark, semicolons, lines as Excel writes them."""
    assert run(["send", PHONE, "=1+1", "--as", "marie@acme.example", "--wait", *socket_option]) == 0
    capfdbinary.readouterr()
    arguments = ["--to", PHONE, "--from", "Marie@acme.example", "--carrier", "sim", "--since", "1h"]
    assert run(["messages", "--csv", *arguments, *socket_option]) == 0
    head, first, *_ = capfdbinary.readouterr().out.split(b"\r\n")
    assert head.startswith(b"\xef\xbb\xbfid;created_at;to;from;sender_id;status;")
    assert first.split(b";")[2:6] == [b"33639981234", b"marie@acme.example", b"33639980101", b"delivered"]
    assert first.endswith(b";'=1+1")


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 4])
def test_pages_are_one_list(
    socket_option: list[str], limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many a request brings, none is missing, none comes twice, and no more than were wanted."""
    control = Control(Path(socket_option[1]))
    for number in range(4):
        control.send({"to": ["+33639982222"], "text": f"{number}"}, is_dry_run=False)
    whole = [found.id for found in control.messages(to="+33639982222", limit=1000)]
    monkeypatch.setattr("mail2sms.cli.control._PAGE", 2)
    assert [found.id for found in control.every(limit, to="+33639982222")] == whole[:limit]


def test_tail_goes_on_after_a_new_start(capsys: pytest.CaptureFixture[str]) -> None:
    """A line an event; what happened while the socket was closed is not missed; Ctrl-C is 130."""
    with Daemon(extra='sender_ids: {default: "+33639980100"}') as running:
        there = ["--socket", str(running.folder / "control.sock")]
        command = [sys.executable, "-m", "mail2sms", "tail", "--to", PHONE, *there]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None

            def begun() -> bool:
                run(["send", PHONE, "un", *there])
                return bool(select.select([child.stdout], [], [], 0.3)[0])

            assert wait_until(begun, 20)
            running.kill9()
            assert any("waiting for it" in line for line in iter(child.stderr.readline, ""))
            running.start()
            assert run(["send", PHONE, "deux", "--json", *there]) == 0
            id_ = json.loads(capsys.readouterr().out.splitlines()[-1])["items"][0]["id"]
            lines = iter(child.stdout.readline, "")
            seen = [
                line.split() for line in _through(lines, lambda line: id_ in line and "delivered" in line)
            ]
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 130
            assert "nothing was missed" in child.stderr.read()
    assert [words[1] for words in seen if words[-1] == id_] == ["queued", "sending", "enroute", "delivered"]


def _through(lines: Iterator[str], is_last: Callable[[str], bool]) -> Iterator[str]:
    for line in lines:
        yield line
        if is_last(line):
            return


def test_socket_is_found_by_the_configuration(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever names the daemon's configuration reaches the daemon."""
    assert run(["queue", "list", "--config", str(daemon.config)]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_second_daemon_on_the_same_database_is_told_to_wait(daemon: Daemon) -> None:
    """75, in one line, so that a service manager tries again."""
    done = subprocess.run(
        [sys.executable, "-m", "mail2sms", "serve", "--config", str(daemon.config)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
    )
    assert done.returncode == Exit.TRY_AGAIN
    (pid,) = re.findall(r"is in use by another mail2sms \(process (\d+)\); stop that one first", done.stderr)
    assert Path(f"/proc/{pid}").exists()
    assert done.stderr.count("\n") == done.stderr.rstrip().count("\n") + 1


def test_reader_that_has_seen_enough_is_no_error(daemon: Daemon, socket_option: list[str]) -> None:
    """`messages | head` ends quietly."""
    command = [sys.executable, "-m", "mail2sms", "messages", "--json", *socket_option]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == b""
        assert wait_until(lambda: child.poll() is not None, 10)
    assert child.returncode == Exit.OK
