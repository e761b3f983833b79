"""README.md is true: what it says to type is typed, in its order, in a copy of the program and from an empty home.

Only places differ: ports that are free, and folders that go away. Lines need what they name; `run` needs nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest

from mail2sms.web import help
from tests.servers import free_port, program, wait_until

CHECKOUT = Path(__file__).resolve().parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
COPIED = ("run", "requirements.lock", "mail2sms", "templates", "tests")
BLOCK = re.compile(r"^```(sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MESSAGE = re.compile(r"\bm-[0-9A-Z]{16}\b")
OPTIONAL = {"swaks": "swaks", "curl": "curl"}  # program -> Debian package
THIS = {"./run test"}
STAYS = ("./run demo", "./run serve --config /etc/mail2sms")
PASSWORD = "correct horse"
SAYS = {
    "./run demo send": "250 2.0.0 m-",
    "swaks": "250 2.0.0 m-",
    "./run init": "Next   1",
    "./run check": "ok\n",
    "./run send": "queued",
    "./run messages": "+33 6 39 98 12 34",
    "./run message ": "Sender ID  +33 6 39 98 01 01",
    "curl -H": '"status":"queued"',
    "curl http": '"text":"Hello"',
    "./run health": "dispatch",
    "./run reload": "reloaded",
    "./run explain": "would be SENT to 1 phone",
    "./run unit": "DynamicUser=yes",
    "./run prove": "latency",
}
"""What a line must print, beside ending well."""


def blocks() -> list[tuple[str, str]]:
    """The shell and YAML blocks in order; of shell, each line for itself."""
    found: list[tuple[str, str]] = []
    for kind, text in BLOCK.findall(README):
        lines = text.replace("\\\n", " ").splitlines() if kind == "sh" else [text]
        found += [(kind, line) for line in lines]
    return found


class Reader:
    """Somebody at a terminal who types what is written, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web, smtp = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.submission = free_port()
        self.places = {
            "127.0.0.1:2525": smtp,
            "127.0.0.1:8025": self.web,
            "0.0.0.0:587": f"127.0.0.1:{self.submission}",
            '"127.0.0.1:25"': f'"127.0.0.1:{free_port()}"',
            "/etc/mail2sms": f"{folder}/etc",
            "/var/lib/mail2sms": f"{folder}/var",
            "./run demo send": f"./run demo send --smtp {smtp}",
        }
        self.env = {"PATH": os.environ["PATH"], "HOME": f"{folder}/home", "TMPDIR": str(folder)}
        self.env |= {"LC_ALL": "C.UTF-8", "MAIL2SMS_VENV": sys.prefix}
        self.running: tuple[str, subprocess.Popen[bytes]] | None = None
        self.options: dict[str, str] = {}
        self.message = ""
        self.missing: list[str] = []
        (folder / "home").mkdir()
        for name in COPIED:
            _copy(CHECKOUT / name, folder / name)

    def types(self, line: str) -> None:
        """Run a line of shell, or start what goes on until it is stopped."""
        if line in STAYS:
            self.stop()
            self._start(line)
            return
        word = line.split(maxsplit=1)[0]
        if word in OPTIONAL and shutil.which(word) is None:
            self.missing.append(f"{word} is not installed: apt-get install {OPTIONAL[word]}")
            return
        done = subprocess.run(
            ["/bin/sh", "-c", MESSAGE.sub(self.message, self._here(line))],
            cwd=self.folder,
            env=self.env,
            input=f"{PASSWORD}\n",  # without a terminal, getpass reads it from here
            capture_output=True,
            text=True,
            start_new_session=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        expected = [said for start, said in SAYS.items() if line.startswith(start)]
        assert all(said in done.stdout for said in expected), (line, done.stdout, done.stderr)
        if made := MESSAGE.search(done.stdout):
            self.message = made[0]

    def configures(self, text: str) -> None:
        """Write mail2sms.yaml, or put these options in the place of the same ones; a daemon that runs starts anew."""
        for option in re.split(r"^(?=\w)", self._here(text), flags=re.MULTILINE):
            self.options[option.partition(":")[0]] = option
        (self.folder / "etc").mkdir(exist_ok=True)
        (self.folder / "etc/mail2sms.yaml").write_text("".join(self.options.values()), encoding="utf-8")
        line = self.running[0] if self.running else ""
        self.stop()
        if line.startswith("./run serve"):
            self.types(line)

    def stop(self) -> None:
        """End what is running as Ctrl-C does."""
        if self.running is None:
            return
        line, child = self.running
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=30) == 0, line
        self.running = None

    def _start(self, line: str) -> None:
        ours = f" --smtp {self.places['127.0.0.1:2525']} --web {self.web}" if "demo" in line else ""
        with (self.folder / "log").open("w") as log:
            child = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {self._here(line)}{ours}"],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running = (line, child)
        wait_until(lambda: child.poll() is not None or self._is_healthy(), 60)
        assert child.poll() is None, (self.folder / "log").read_text(encoding="utf-8")

    def _is_healthy(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{self.web}/healthz") as answer:
            return bool(answer.status == 200)
        return False

    def _here(self, text: str) -> str:
        for written, place in self.places.items():
            text = text.replace(written, place)
        return text


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A reader of README.md with a fresh copy, and with the environment that runs this test."""
    with (CHECKOUT / "requirements.lock").open("rb") as lock:
        sums = subprocess.run(["cksum"], stdin=lock, stdout=subprocess.PIPE, check=True).stdout
    stamp = Path(sys.prefix, ".installed")
    if not stamp.exists() or stamp.read_bytes().split() != sums.split():
        pytest.skip("run would build this environment anew: start the tests with ./run test")
    with tempfile.TemporaryDirectory(prefix="mail2sms-readme-") as folder:
        found = Reader(Path(folder))
        try:
            yield found
        finally:
            if found.running:
                found.running[1].kill()
                found.running[1].wait()


def test_what_it_says_to_type_works(reader: Reader) -> None:
    """Every block from the first to the last; a password that was hashed as shown opens the door."""
    program("openssl", "openssl")
    for kind, text in blocks():
        if kind == "yaml":
            reader.configures(text)
        elif text not in THIS:
            reader.types(text)
    with smtplib.SMTP("127.0.0.1", reader.submission, "client.example", timeout=30) as client:
        trusted = ssl.create_default_context(cafile=f"{reader.folder}/etc/cert.pem")
        trusted.check_hostname = False  # it is for the name that people connect to
        client.starttls(context=trusted)
        client.login("marie@acme.example", PASSWORD)
        mail = b"From: marie@acme.example\r\nSubject: x\r\n\r\nHello\r\n"
        assert client.sendmail("marie@acme.example", ["0639981234@sms.acme.example"], mail) == {}
    reader.stop()
    if reader.missing:
        pytest.skip("; ".join(reader.missing))


def test_everything_known_of_it_is_in_it(reader: Reader) -> None:
    """What the test replaces or expects is still written there."""
    lines = [text for kind, text in blocks() if kind == "sh"]
    assert not [start for start in SAYS if not any(line.startswith(start) for line in lines)]
    assert not [place for place in reader.places if place not in README]
    assert {*THIS, *STAYS} <= set(lines)


@pytest.mark.parametrize("name", help.EXAMPLES)
def test_its_mails_are_those_that_work(name: str) -> None:
    """The three that the help page shows, which are sent through the listener elsewhere."""
    shown = help.example(name, "en")
    for text in (shown.mail, shown.text):
        assert indent(text, "    ") in README


def test_its_links_lead_somewhere() -> None:
    """Links to files of the repository."""
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    assert not [link for link in links if "://" not in link and not (CHECKOUT / link).exists()]
