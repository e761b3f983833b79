"""`mail2sms init`: what is asked, what is refused, and a file that is good for check and for the daemon."""

from __future__ import annotations

import io
import smtplib
import sys
from pathlib import Path

import pytest

from mail2sms import carriers, config
from mail2sms.cli import Exit, typed
from mail2sms.cli.main import run
from tests.servers import Daemon, wait_until

ALL = ["--domain", "sms.acme.example", "--senders", "*@acme.example", "--country", "FR", "--mode", "simulate"]
ALL += ["--carrier", "simulated"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, nobody at the keyboard, a French terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO())


class _Keyboard(io.StringIO):
    """Somebody who types these lines."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def _posting(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more carrier module, with options of its own."""
    folder = str(Path(__file__).parent / "servers/carriers")
    monkeypatch.setattr(carriers, "__path__", [*carriers.__path__, folder])


def test_the_defaults_are_a_configuration_that_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    """One option is enough; what was written passes its check, in a folder and a file that are ours alone."""
    assert run(["init", "new", "--domain", "SMS.Acme.example", "--yes"]) == Exit.OK
    out = capsys.readouterr().out
    assert "Environment  ok" in out
    assert typed("doctor", Path("new/mail2sms.yaml")) in out
    assert out.startswith("Wrote  new/mail2sms.yaml")
    path = Path("new/mail2sms.yaml")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    settings = config.load(path)
    assert (settings.domain, settings.country, settings.mode) == ("sms.acme.example", "FR", "simulate")
    assert settings.senders[0].pattern == "*@acme.example"
    assert settings.sender_ids == {"default": "ACME"}


def test_a_trial_without_phones_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could be written to."""
    assert run(["init", "new", *ALL, "--mode", "trial"]) == Exit.OK
    assert "Next   1  write your own phones into new/mail2sms.yaml" in capsys.readouterr().out


def test_every_answer_can_be_an_option(_posting: None) -> None:
    """Nobody is asked; networks stand beside the senders, phones make a trial."""
    senders = "it@acme.co.uk, *@acme.co.uk 10.1.0.20"
    asked = ["--domain", "sms.acme.co.uk", "--senders", senders, "--country", "GB"]
    asked += ["--mode", "07700 900123, +33639981234", "--carrier", "posting"]
    asked += ["--option", "api=https://sms.example/v1", "--option", "timeout=3s"]
    asked += ["--listen", "127.0.0.1:2599", "--web", "127.0.0.1:8099", "--smarthost", "127.0.0.1:2600"]
    assert run(["init", "other.yaml", *asked]) == Exit.OK
    settings = config.load(Path("other.yaml"))
    assert [rule.pattern for rule in settings.senders] == ["it@acme.co.uk", "*@acme.co.uk"]
    assert [str(network) for network in settings.senders[1].network] == ["10.1.0.20/32"]
    assert settings.mode == "trial"
    assert settings.own_numbers() == {"+447700900123", "+33639981234"}
    assert str(settings.listen.addresses()["smtp"]) == "127.0.0.1:2599"
    option = settings.carriers["posting"].model_dump()
    assert (option["api"], option["timeout"]) == ("https://sms.example/v1", 3000)
    assert str(settings.relay.smarthost.address) == "127.0.0.1:2600"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --domain, --senders, --carrier, --country, --mode; --yes takes the defaults"),
        (["--yes"], "give --domain"),
        (["--domain", "sms.acme.example"], "give --senders, --carrier, --country, --mode"),
        ([*ALL, "--domain", "acme"], '--domain: "acme" is not a domain name'),
        ([*ALL, "--senders", "10.1.0.20"], "--senders: who may send is missing"),
        ([*ALL, "--senders", "acme.example"], '"*@acme.example" is everybody there'),
        ([*ALL, "--senders", "*@acme.example 0.0.0.0/0"], "the whole internet"),
        ([*ALL, "--senders", "*@acme.example mail"], "expected an IP address"),
        ([*ALL, "--carrier", "pigeon"], "simulated, sinch"),
        ([*ALL, "--country", "UK"], "write GB"),
        ([*ALL, "--mode", "live"], "with a simulated carrier would reach no phone"),
        ([*ALL, "--mode", "0123"], '--mode: "0123"'),
        ([*ALL, "--listen", "25"], "--listen: expected host:port"),
        ([*ALL, "--smarthost", "25"], "--smarthost: expected host:port"),
        ([*ALL, "--option", "api"], "expected KEY=VALUE"),
        ([*ALL, "--option", "api=x"], "simulated has no api"),
    ],
)
def test_bad_options(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """64, what is wrong, and nothing is written."""
    assert run(["init", "new", *arguments]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert not Path("new").exists()


def test_a_carrier_says_what_it_needs(_posting: None, capsys: pytest.CaptureFixture[str]) -> None:
    """What its module declares without a default."""
    assert run(["init", "new", *ALL, "--carrier", "posting", "--mode", "trial"]) == Exit.USAGE
    assert "posting needs it: --option api=..." in capsys.readouterr().err


@pytest.mark.parametrize("target", ["there.yaml", "folder"])
def test_nothing_is_overwritten(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is there stays as it is: another is to be named, so it is a matter of usage."""
    Path("folder").mkdir()
    for name in ("there.yaml", "folder/mail2sms.yaml"):
        Path(name).write_text("mine")
    assert run(["init", target, *ALL]) == Exit.USAGE
    assert "stays as it is" in capsys.readouterr().err
    assert [Path(name).read_text() for name in ("there.yaml", "folder/mail2sms.yaml")] == ["mine"] * 2


def test_five_questions(
    _posting: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defaults in brackets; a bad answer is explained and asked for again; a carrier's options follow it."""
    typed = [
        "",
        "sms acme",
        "sms.acme.example",
        "",
        "99",
        "posting",
        "https://sms.example/v1",
        "XX",
        "",
        "no",
    ]
    monkeypatch.setattr(sys, "stdin", _Keyboard("\n".join([*typed, ""])))
    assert run(["init", "new"]) == Exit.OK
    out, err = capsys.readouterr()
    for question in (
        "1/5  Domain",
        "2/5  Who may send?",
        "[*@acme.example]",
        "posting         A carrier as most",
        "[FR]",
    ):
        assert question in out
    for said in (
        "an answer is needed",
        '"sms acme" is not a domain name',
        'no carrier "99"',
        '"XX" is not a two-letter',
    ):
        assert said in err
    settings = config.load(Path("new/mail2sms.yaml"))
    assert (settings.mode, settings.country, list(settings.carriers)) == ("live", "FR", ["posting"])


def test_somebody_who_leaves_in_the_middle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written."""
    monkeypatch.setattr(sys, "stdin", _Keyboard("sms.acme.example\n"))
    assert run(["init", "new"]) == Exit.USAGE
    assert "nothing was written" in capsys.readouterr().err
    assert not Path("new").exists()


def test_the_daemon_starts_with_it_and_sends() -> None:
    """From the answers to a text on a phone."""
    daemon = Daemon()
    daemon.config.unlink()
    ports = ["--listen", f"127.0.0.1:{daemon.smtp_port}", "--web", f"127.0.0.1:{daemon.web_port}"]
    assert run(["init", str(daemon.config), *ALL, *ports]) == Exit.OK
    with daemon:
        with smtplib.SMTP("127.0.0.1", daemon.smtp_port) as client:
            client.sendmail(
                "marie@acme.example",
                "33639981234@sms.acme.example",
                "From: marie@acme.example\r\nSubject: x\r\n\r\nBonjour\r\n",
            )
        assert wait_until(
            lambda: [shown["text"] for shown in daemon.phone("+33639981234")] == ["Bonjour"], 10
        )
