"""`mail2sms recipe`: what it prints is typed into the real thing, where that is here."""

from __future__ import annotations

import re
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mail2sms.cli import typed
from mail2sms.cli.main import run
from tests.servers import Postfix, free_port, minimal_config, program, wait_until
from tests.servers.daemon import Daemon

CONFIG = Path(__file__).resolve().parent.parent / "mail2sms.yaml"
NAMES = ("postfix", "exim", "google", "m365", "script", "ups")
PHONE = "+33639981234"


def printed(capsys: pytest.CaptureFixture[str], name: str, config: Path = CONFIG) -> str:
    """A recipe as it is printed."""
    assert run(["recipe", name, "--config", str(config)]) == 0
    return capsys.readouterr().out


def test_the_list_of_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name and without a configuration: each with what it is for."""
    assert run(["recipe"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert tuple(line.split()[0] for line in lines) == NAMES
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_filled_in(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the configuration's domain, within 100 columns; what to check afterwards names the configuration."""
    text = printed(capsys, name)
    assert "sms.acme.example" in text
    assert "{" not in re.sub(r"\{\"to\".*\}|(api|lmtp): \{.*\}", "", text)
    assert "None" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert typed("messages --limit 1", CONFIG) in text.partition("# Check afterwards:\n")[2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["recipe", "postfx", "--config", str(CONFIG)], 64, 'did you mean "postfix"?'),
        (["recipe", "sendmail", "--config", str(CONFIG)], 64, "there are postfix, exim"),
        (["recipe", "postfix", "--config", "nowhere.yaml"], 78, "cannot be read"),
    ],
)
def test_what_there_is_no_recipe_for(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is none, a configuration that is missing."""
    assert run(arguments) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("a-long-random-key-for-tests-only-0001", "Bearer KEY"),
        ("file:/etc/mail2sms/booking", "Bearer $(cat /etc/mail2sms/booking)"),
        ("env:BOOKING_KEY", "Bearer $BOOKING_KEY"),
        ("credential:booking", "Bearer KEY"),
    ],
)
def test_no_secret_is_printed(
    key: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell gets it from where it is kept; one that stands in the file stays there."""
    api = f'api: {{keys: [{{name: booking, key: "{key}", may: [send]}}]}}'
    text = minimal_config(database="sqlite:////x/x.db", smtp_port=2525, web_port=8025, extra=api)
    config = tmp_path / "mail2sms.yaml"
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    said = printed(capsys, "script", config)
    assert shown in said
    assert "a-long-random" not in said


def test_a_recipe_needs_a_door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mail server has nowhere to hand mail to without listen.smtp; a script still has the API."""
    listen = 'listen: {web: {address: "127.0.0.1:8025", url: "http://127.0.0.1:8025"}}'
    text = minimal_config(database="sqlite:////x/x.db", smtp_port=2525, web_port=8025, extra=listen)
    config = tmp_path / "mail2sms.yaml"
    config.write_text(text, encoding="utf-8")
    config.chmod(0o600)
    assert run(["recipe", "postfix", "--config", str(config)]) == 78
    assert "listen.smtp" in capsys.readouterr().err
    assert "swaks" not in printed(capsys, "script", config)


# Typed into the real thing


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon to hand mail and texts to."""
    with Daemon(extra="carriers: {sim: {type: simulated, delay: 20ms}}\n") as running:
        yield running


@pytest.fixture(scope="module")
def lmtp_daemon() -> Iterator[Daemon]:
    """One that takes mail by LMTP alone."""
    lmtp, web = free_port(), free_port()
    doors = (
        f'lmtp: {{address: "127.0.0.1:{lmtp}"}}, web: {{address: "127.0.0.1:{web}", url: "http://127.0.0.1"}}'
    )
    with Daemon(extra=f"listen: {{{doors}}}\n", web_port=web) as running:
        yield running


def test_by_which_way_postfix_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By LMTP where there is one, as lmtp(8) writes it; else by SMTP, and LMTP is recommended."""
    config = tmp_path / "mail2sms.yaml"
    for listen, way in (
        ('lmtp: {address: "127.0.0.1:2424"}, smtp: {address: "127.0.0.1:2525"}', "lmtp:inet:127.0.0.1:2424"),
        ('lmtp: {address: "0.0.0.0:2424"}', "lmtp:inet:127.0.0.1:2424"),
        ('lmtp: {address: "[::1]:2424"}', "lmtp:inet:[::1]:2424"),
        ("lmtp: {address: unix:/run/mail2sms-lmtp/socket}", "lmtp:unix:/run/mail2sms-lmtp/socket"),
        ('smtp: {address: "127.0.0.1:2525"}', "smtp:[127.0.0.1]:2525"),
    ):
        text = minimal_config(
            database="sqlite:////x/x.db", smtp_port=1, web_port=2, extra=f"listen: {{{listen}}}"
        )
        config.write_text(text, encoding="utf-8")
        config.chmod(0o600)
        said = printed(capsys, "postfix", config)
        assert f"sms.acme.example    {way}\n" in said
        assert ("Better by LMTP" in said) == way.startswith("smtp")
        assert ("chroot" in said) == (":unix:" in way)


@pytest.mark.servers
@pytest.mark.parametrize("protocol", ["lmtp", "smtp"])
def test_postfix_configured_by_the_recipe_hands_mail_over(
    protocol: str, daemon: Daemon, lmtp_daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed lines of main.cf and of the table, as they are but for their folder, in a real Postfix."""
    daemon = lmtp_daemon if protocol == "lmtp" else daemon
    text = printed(capsys, "postfix", daemon.config).replace("/etc/postfix", str(tmp_path))
    settings = re.findall(r"^transport_maps = .+$", text, re.MULTILINE)
    table = re.findall(rf"^sms\.acme\.example +{protocol}:.+$", text, re.MULTILINE)
    assert (len(settings), len(table)) == (1, 1)
    (tmp_path / "transport").write_text(f"{table[0]}\n", encoding="utf-8")
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    mail = "From: marie@acme.example\r\nSubject: x\r\n\r\nDepuis Postfix\r\n"
    with Postfix(settings=settings[0]) as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port, "client.example", timeout=30) as smtp:
            smtp.sendmail("marie@acme.example", [f"{PHONE[1:]}@sms.acme.example"], mail)
        assert wait_until(lambda: bool(daemon.phone(PHONE)), 20), postfix.log()
        assert [line["text"] for line in daemon.phone(PHONE)] == ["Depuis Postfix"]
        assert wait_until(lambda: postfix.queue() == [], 20)
        check = next(line for line in text.splitlines() if line.startswith("postmap -q"))
        said = subprocess.run(check.split(), capture_output=True, text=True, check=True, timeout=20)
        assert said.stdout.strip() == table[0].split()[1]


@pytest.mark.servers
@pytest.mark.parametrize(
    ("word", "package", "secret"), [("curl", "curl", "KEY"), ("swaks", "swaks", ""), ("printf", "msmtp", "")]
)
def test_a_script_sends_by_each_line_of_the_recipe(
    word: str, package: str, secret: str, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """curl, swaks and msmtp, typed as printed; only the key is filled in, and the phone is another."""
    program("msmtp" if word == "printf" else word, package)
    phone = f"+336399870{len(word):02}"
    text = re.sub(r"(\\|\|)\n +", r"\1 ", printed(capsys, "script", daemon.config)).replace("\\ ", "")
    line = next(line for line in text.splitlines() if line.startswith(word)).replace(PHONE[1:], phone[1:])
    line = line.replace("Bearer KEY", "Bearer a-long-random-key-for-tests-only-0001")
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, check=False, timeout=30, cwd=daemon.folder
    )
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert wait_until(lambda: len(daemon.phone(phone)) == 1, 20)
    assert daemon.phone(phone)[0]["text"] == "The backup has failed"
