"""The demo: its configuration, its ports, what its terminal tells, and a whole run from the first line to the last."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mail2sms import config
from mail2sms.cli import Failed, typed
from mail2sms.cli.demo import DOMAIN, free_place
from mail2sms.cli.demo_run import configuration
from mail2sms.cli.demo_steps import Step, Steps, of_arrival, of_event, of_mail
from mail2sms.cli.main import run
from mail2sms.endpoint import Endpoint
from mail2sms.model import Photo
from mail2sms.money import read as read_money
from mail2sms.prices import costs
from mail2sms.store import EventView, MessageView, MoView, Store, engine
from mail2sms.web.inbox import DemoInbox, read
from tests.fakes import ACCOUNT, NOW, OURS, PHONE, bundle

HERE, WEB = Endpoint("127.0.0.1", 0), Endpoint("127.0.0.1", 8025)


def settings(folder: str) -> config.Settings:
    """The demo's settings for a folder."""
    text = configuration(folder=Path(folder), smtp=HERE, web=WEB, inbox=HERE, key="k" * 32)
    return config.load(Path(folder) / "mail2sms.yaml", text)


def view(**changes: Any) -> MessageView:
    """A message of Marie's by email."""
    values: dict[str, Any] = {
        "id": "m-1",
        "submission": "m-1",
        "conversation": "c-1",
        "writer": "marie@sms.demo.example",
        "subject": "Rendez-vous",
        "to": PHONE,
        "sender_id": OURS,
        "status": "queued",
        "reason": "",
        "detail": "",
        "parts": 1,
        "cost": None,
        "encoding": "gsm7",
        "class_": "transactional",
        "carrier": "sim-a",
        "route": ("sim-a", "sim-b"),
        "attempts": 0,
        "created_at": NOW,
        "updated_at": NOW,
        "due_at": NOW,
        "expires_at": NOW,
        "reference": None,
        "message_id": "<1@sms.demo.example>",
        "text": "Bonjour",
    }
    return MessageView(**{**values, **changes})


# Configuration and ports


@pytest.mark.parametrize("folder", ["/kept/demo", "/kept/with blank", '/kept/a"quote', "/kept/été #1"])
def test_configuration_is_a_good_one(folder: str) -> None:
    """The real loader takes it, wherever the folder is; `#` and `?` alone are no part of a database URL."""
    if "#" in folder:
        with pytest.raises(config.ConfigInvalid):
            settings(folder)
        return
    found = settings(folder)
    assert found.database == f"sqlite:///{folder}/mail2sms.db"
    assert found.domain == DOMAIN
    assert found.mode == "simulate"


def test_every_conversation_can_be_answered() -> None:
    """Whoever writes, the phone sees a number of ours; and an SMS that answers nobody has a mailbox."""
    found = settings("/kept/demo")
    assert set(found.sender_ids) == {"default"}
    assert found.sender_ids["default"].startswith("+")
    assert all(user.number for user in found.all_users().values())
    assert found.default_mailbox


def test_only_this_machine_may_send() -> None:
    """Any From is accepted, from loopback alone."""
    (rule,) = settings("/kept/demo").sender_rules()
    assert rule.pattern == "*"
    assert all(network.is_loopback for network in rule.networks)


def test_taken_port_gives_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    """And it is said; the other listener's port is not free either; port 0 is any."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = free_place(Endpoint("127.0.0.1", port), None)
        assert found.port > port
        assert f"port {port} is taken; using {found.port}" in capsys.readouterr().err
    assert free_place(found, found).port > found.port
    assert free_place(HERE, None).port > 0


def test_place_that_cannot_be_had_is_not_called_taken() -> None:
    """Nobody else is there, so the next port would be no better."""
    with pytest.raises(Failed, match=r"192\.0\.2\.77:8025: Cannot assign requested address"):
        free_place(Endpoint("192.0.2.77", 8025), None)


def test_no_free_port_is_an_error() -> None:
    """There is nothing after the last port."""
    with socket.socket() as taken, pytest.raises(Failed, match="is free"):
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 65_535))
        taken.listen()
        free_place(Endpoint("127.0.0.1", 65_535), None)


# Steps


def test_arrival_of_an_email() -> None:
    """The mail, then what it costs; no control character of the subject survives."""
    email, accepted, routed = of_arrival(view(subject="a\x1b[31mb", cost=read_money("0.045 EUR")))
    assert email.text == 'marie@sms.demo.example -> +33 6 39 98 12 34  "a [31mb"'
    assert accepted.text == "+33 6 39 98 12 34  7 characters, GSM-7, 1 part, cost 0.045 EUR (simulated)"
    assert (accepted.facts["text"], accepted.facts["cost"]) == ("Bonjour", "0.045 EUR")
    assert routed.text == "+33 6 39 98 12 34  FR -> sim-a, else sim-b  as +33 6 39 98 01 01"


def test_arrival_by_the_api_is_no_email() -> None:
    """A message without Message-ID was not mailed; one without a price has no cost."""
    accepted, routed = of_arrival(view(message_id=None))
    assert (accepted.event, routed.event) == ("accepted", "routed")
    assert accepted.text.endswith("1 part")


def test_every_country_has_its_price() -> None:
    """By both carriers, the second one dearer, so that a failover shows."""
    found = settings("/kept/demo")
    for country in found.countries:
        first, second = costs(("sim-a", "sim-b"), country, 1, found.price_table())
        assert first
        assert second
        assert second.millionths > first.millionths


@pytest.mark.parametrize(
    ("status", "carrier", "reason", "detail", "text"),
    [
        ("enroute", "sim-a", "", "", "sim-a"),
        ("delivered", "sim-a", "", "", "after 1.1 s"),
        ("queued", "sim-b", "retry", "503 carrier down", "sim-b  retry  503 carrier down"),
    ],
)
def test_event(status: str, carrier: str, reason: str, detail: str, text: str) -> None:
    """A delivery tells how long it took, everything else who said what."""
    event = EventView(at=NOW + 1100, status=status, reason=reason, carrier=carrier, detail=detail)
    assert of_event(view(), event).text == f"+33 6 39 98 12 34  {text}"


def test_reply_is_two_steps() -> None:
    """What the phone wrote, and the email that brings it."""
    raw = b"From: a@b\r\nTo: marie@sms.demo.example\r\nSubject: Re: Hi\r\nMessage-ID: <in.1@x>\r\n\r\nOui"
    mo = MoView(
        id="r-1",
        account=ACCOUNT,
        conversation="c-1",
        msisdn=PHONE,
        our_address=OURS,
        reply_key="k",
        started_at=NOW,
        at=NOW,
        last=None,
        text="Oui",
        photos=(Photo(name="a.png", media_type="image/png", content=b""),),
    )
    sms_in, email_out = of_mail(read(1, NOW, raw), mo)
    assert sms_in.text == '+33 6 39 98 12 34  "Oui"  and 1 photo'
    assert email_out.text == '-> marie@sms.demo.example  "Re: Hi"  (in the demo inbox)'


def test_line_has_columns() -> None:
    """Time, event, message, text; ids that nothing can be done with are left out."""
    step = Step(at=NOW, event="sms_in", message="r-1", text="x")
    assert step.as_line(80)[8:] == f"  {'SMS in':13}  x"
    line = Step(at=NOW, event="accepted", message="m-1", text="x").as_line(80)
    assert line.split()[1:] == ["accepted", "x", "m-1"]
    long = Step(at=NOW, event="accepted", message="m-1", text="x" * 50)
    assert long.as_line(80).endswith("x")
    assert long.as_line(100) == f"{long.as_line(80)}      m-1"


async def test_steps_are_told_once(tmp_path: Path) -> None:
    """What is in the store and the inbox is told in order, and not again; what was there before is not told."""
    store = await Store.open(f"sqlite:///{tmp_path}/mail2sms.db")
    inbox = DemoInbox()
    inbox.add(b"Subject: before\r\n\r\n")
    steps = Steps(store, ACCOUNT, inbox, NOW)
    try:
        assert await steps.new() == []
        await store.put(bundle("m-1"))
        await store.put(bundle("m-2"))
        assert [(s.event, s.message) for s in await steps.new()] == [
            ("email", "m-1"),
            ("accepted", "m-1"),
            ("routed", "m-1"),
            ("email", "m-2"),
            ("accepted", "m-2"),
            ("routed", "m-2"),
        ]
        await store.cancel(ACCOUNT, "m-1", NOW + 1)
        inbox.add(b"Subject: after\r\n\r\n")
        assert [(s.event, s.message) for s in await steps.new()] == [("cancelled", "m-1"), ("email_out", "")]
        assert await steps.new() == []
    finally:
        await store.close()


# A whole run


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short name: a control socket is made in it, whose path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="m2s-") as folder:
        yield Path(folder)


def own_environment(tmp_path: Path) -> dict[str, str]:
    """What a demo is started with: this checkout, and a folder of its own."""
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)}
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        environment.pop(name, None)
    return environment


@contextmanager
def demo(tmp_path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running demo whose output is piped, and its first line."""
    command = [sys.executable, "-m", "mail2sms", "demo", "--no-browser", "--smtp", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--web", "127.0.0.1:0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=own_environment(tmp_path),
    ) as child:
        assert child.stdout is not None
        try:
            yield child, json.loads(child.stdout.readline())
        finally:
            child.kill()


def until(child: subprocess.Popen[str], event: str) -> list[dict[str, Any]]:
    """Return the lines up to the first of this event."""
    assert child.stdout is not None
    lines: list[dict[str, Any]] = []
    while not lines or lines[-1]["event"] != event:
        lines.append(json.loads(child.stdout.readline()))
    return lines


def ended(child: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str]:
    """Stop the demo; return its exit code and last words."""
    child.send_signal(how)
    _, err = child.communicate(timeout=20)
    return child.returncode, err


def shown(page: str, title: str) -> str:
    """The card of an email on the page."""
    with urllib.request.urlopen(page) as answer:
        found: list[str] = re.findall(r"<article id=\"s-.*?</article>", answer.read().decode(), re.DOTALL)
    (card,) = [each for each in found if title in each]
    return card


def events(lines: Sequence[dict[str, Any]]) -> list[str]:
    """The names of what happened."""
    return [line["event"] for line in lines]


def test_a_text_goes_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Email in, SMS out, photo back, email out; Ctrl-C ends well and leaves nothing."""
    with demo(tmp_path) as (child, ready):
        assert run(["demo", "send", "Bonjour", "--to", "06 39 98 06 06", "--smtp", ready["smtp"]]) == 0
        assert capsys.readouterr().out.startswith("250 2.0.0 m-")
        told = until(child, "email_out")
        assert {"email", "accepted", "enroute", "delivered", "sms_in", "email_out"} <= set(events(told))
        assert told[-1]["to"] == f"marie@{DOMAIN}"
        assert run(["demo", "send", "x", "--to", "0123456", "--smtp", ready["smtp"]]) == 65
        assert run(["demo", "send", "no form", "--to", "sms", "--smtp", ready["smtp"]]) == 65
        assert until(child, "email_out")[-1]["kind"] == "refused"
        assert ended(child, signal.SIGINT) == (0, "Stopped; nothing was kept.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "look"),
    [
        ({"SSH_CONNECTION": "192.0.2.5 50000 192.0.2.9 22", "DISPLAY": ":9"}, "@192.0.2.9)"),
        ({"DISPLAY": ":9", "BROWSER": "w3m"}, "(open it in a browser of this computer)"),
        ({"DISPLAY": ":9", "BROWSER": "true %s"}, "(opening your browser"),
    ],
)
def test_terminal_says_how_to_look(tmp_path: Path, environment: dict[str, str], look: str) -> None:
    """Over SSH no browser is opened at the far end, nor one for terminals over this one; 80 columns are enough."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mail2sms", "demo", "--smtp", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    names = ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    bare = {name: value for name, value in own_environment(tmp_path).items() if name not in names}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=bare | environment) as child:
        os.close(theirs)
        with os.fdopen(ours, encoding="utf-8") as terminal:
            try:
                lines = [
                    *iter(
                        lambda: terminal.readline().rstrip(), "  Stop        Ctrl-C, which forgets everything"
                    )
                ]
            finally:
                child.kill()
    assert any(look in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_kept_demo_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --keep, the folder holds the configuration for the other verbs, and the next demo has the data."""
    folder = tmp_path / "kept"
    keys, cards = set(), []
    for number in (1, 2):
        with demo(tmp_path, "--keep", str(folder)) as (child, ready):
            keys.add(ready["key"])
            if number == 1:
                assert run(["demo", "send", "An email", "--smtp", ready["smtp"]]) == 0
                until(child, "delivered")
            cards.append(shown(ready["page"], "From the terminal"))
            assert run(["send", PHONE, f"text {number}", "--config", str(folder)]) == 0
            until(child, "delivered")
            capsys.readouterr()
            assert run(["messages", "--json", "--config", str(folder)]) == 0
            texts = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
            assert sorted(texts) == ["An email", *(f"text {n}" for n in range(1, number + 1))]
            assert ended(child, signal.SIGTERM) == (0, f"Stopped; everything is in {folder}.\n")
    assert (folder / "mail2sms.yaml").stat().st_mode & 0o777 == 0o600
    assert len(keys) == 1
    assert "Template simple" in cards[0]
    assert cards[0] == cards[1]


def test_demo_is_not_kept_over_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that is no demo's stays as it is, and nothing is put beside it, nor where no database can be."""
    (tmp_path / "mail2sms.yaml").write_text("domain: sms.acme.example\n")
    ports = ["--smtp", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    assert run(["demo", "--no-browser", *ports, "--keep", str(tmp_path)]) == 77
    assert f"{tmp_path}/mail2sms.yaml is no demo's" in capsys.readouterr().err
    assert run(["demo", "--no-browser", *ports, "--keep", str(tmp_path / "a #1")]) == 64
    assert [path.read_text() for path in tmp_path.iterdir()] == ["domain: sms.acme.example\n"]


def test_send_without_a_demo_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody, or somebody else, at the port: exit 69."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert run(["demo", "send", "x", "--smtp", f"127.0.0.1:{port}"]) == 69
    assert f"is {typed('demo')} running?" in capsys.readouterr().err


def test_the_folder_of_a_demo_that_runs_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its configuration is not written anew under it."""
    with engine.lock(f"sqlite:///{tmp_path}/mail2sms.db"):
        assert run(["demo", "--no-browser", "--keep", str(tmp_path)]) == 75
    said = capsys.readouterr().err
    assert said.endswith("--keep another folder\n")
    assert f"(process {os.getpid()})" in said
    assert not (tmp_path / "mail2sms.yaml").exists()
