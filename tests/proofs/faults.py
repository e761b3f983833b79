"""The disk fails at the Nth write or fsync, or is full: no 250 without its message, and it recovers by itself.

Usage: faults [HIGHEST_N] [EVERY]. SQLite only; N = 1, 1 + EVERY, ... Two clients send without pause, and send again
what was not taken. strace lets one call fail, or (every tenth N) that one and all after it until it goes; then the
daemon is left to recover, or is killed at once, as a failing machine would, and started on a whole disk. Last, a small
tmpfs is filled to the brim (needs root). Control that must lose some: a daemon that does not look at what the database
says.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.proofs import kill
from tests.proofs._broken import ALWAYS_CONTENT, breaker
from tests.servers._server import is_root, program, wait_until
from tests.servers._server import run as run_tool
from tests.servers.daemon import Daemon

CLIENTS = 2
RECOVERS_WITHIN_S = 10.0
_FIRES_WITHIN_S = 60.0
_HELD_S = 0.5
_QUIET_S = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`call` fails with `error`: once, or on and on."""

    call: str
    error: str
    is_lasting: bool = False

    def __str__(self) -> str:
        return f"{self.error} from {self.call}{' on and on' * self.is_lasting}"


FAULTS = tuple(
    Fault(call, error, is_lasting)
    for call, error in itertools.product(("fdatasync", "pwrite64"), ("EIO", "ENOSPC"))
    for is_lasting in (False, True)
)


@dataclass(slots=True)
class Figures:
    """What was asked for and answered, and what was there afterwards."""

    faults: int = 0
    kills: int = 0
    exits: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    found: kill.Figures = field(default_factory=kill.Figures)

    @property
    def is_kept(self) -> bool:
        """Whether no promise was broken, and no other answer given than yes and "later"."""
        is_expected = set(self.codes) <= {0, 250, 451, 452}  # 0: the connection broke, as at a kill
        is_whole = not self.found.lost and not self.found.twice and self.found.acknowledged > 0
        return is_expected and is_whole and self.slowest_s <= RECOVERS_WITHIN_S

    def __str__(self) -> str:
        codes = ", ".join(f"{n} x {code or 'cut off'}" for code, n in sorted(self.codes.items()))
        return (
            f"{self.faults} faults, {self.kills} kills, {self.exits} exits by itself; answers: {codes}; "
            f"back after at most {self.slowest_s:.1f} s; {self.found.acknowledged} acknowledged: "
            f"{self.found.on_phone} on the phone, {self.found.unknown} unknown, {self.found.pending} pending, "
            f"{len(self.found.lost)} lost, {len(self.found.twice)} twice"
        )


class Client(kill.Client):
    """A client of the kill proof that remembers every answer, with its time."""

    def __init__(self, number: int, port: int, stop: threading.Event) -> None:
        super().__init__(number, port, stop)
        self.codes: Counter[int] = Counter()
        self.accepted_at_s = 0.0

    def _send(self, text: str) -> bool:
        phone = f"3363998{1000 + kill.hash_of(text) % 40:04d}@sms.acme.example"
        mail = (
            f"From: marie@acme.example\r\nTo: {phone}\r\nSubject: x\r\n"
            f"Message-ID: <{text.replace(' ', '.')}@acme.example>\r\n\r\n{text}\r\n"
        )
        begun_s, code, reply = time.monotonic(), 0, b""
        quiet = contextlib.suppress(OSError)  # SMTPException is one
        with quiet, smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=30) as smtp:
            smtp.ehlo_or_helo_if_needed()
            smtp.mail("marie@acme.example")
            smtp.rcpt(phone)
            code, reply = smtp.data(mail)
        self.codes[code] += 1
        if code == 250:
            self.acknowledged[text] = reply.split()[1].decode()
            self.accepted_at_s = begun_s
        return code == 250


@contextlib.contextmanager
def clients(daemon: Daemon, figures: Figures) -> Iterator[Sequence[Client]]:
    """Let the clients send meanwhile; then wait until nothing is under way, and compare."""
    stop = threading.Event()
    running = [Client(number, daemon.smtp_port, stop) for number in range(CLIENTS)]
    for client in running:
        client.start()
    try:
        yield running
    finally:
        stop.set()
        for client in running:
            client.join(60)
    for client in running:
        figures.codes += client.codes
    # What was promised must have outlived the process, so that no memory of it can help.
    daemon.kill9()
    daemon.start()
    acknowledged = {text: id_ for client in running for text, id_ in client.acknowledged.items()}
    wait_until(lambda: not _is_busy(daemon), _QUIET_S, every_s=0.2)
    kill.compare(daemon, acknowledged, figures.found)


def _is_busy(daemon: Daemon) -> bool:
    paths = [f"/api/v1/messages?status={status}&limit=1" for status in ("queued", "sending")]
    return any(daemon.api(path)[1]["items"] for path in paths)


def run(
    numbers: Sequence[int], faults: Sequence[Fault] = FAULTS, before: Sequence[str | Path] = ()
) -> Figures:
    """Let each fault happen at each N, to a daemon started by the words `before`."""
    figures = Figures()
    with Daemon(wrap=before) as daemon, clients(daemon, figures) as running:
        for turn, (number, fault) in enumerate(itertools.product(numbers, faults)):
            _fail(daemon, fault, number, figures, is_killed=turn % 3 == 2)
            _recover(daemon, running, figures)
    return figures


def _fail(daemon: Daemon, fault: Fault, number: int, figures: Figures, *, is_killed: bool) -> None:
    log = daemon.folder / "calls"
    log.unlink(missing_ok=True)
    when = f"{number}{'+' * fault.is_lasting}"
    rule = ["-e", f"trace={fault.call}", "-e", f"inject={fault.call}:error={fault.error}:when={when}"]
    command = [program("strace", "strace"), "-f", "-p", str(daemon.pid), *rule, "-o", str(log)]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        fired = wait_until(lambda: log.exists() and b"(INJECTED)" in log.read_bytes(), _FIRES_WITHIN_S)
        assert fired or not daemon.is_running, f"{fault} at {number} did not happen"
        if fault.is_lasting:
            time.sleep(_HELD_S)
        figures.faults += 1
        if is_killed:
            figures.kills += 1
            daemon.kill9()
    finally:
        tracer.send_signal(signal.SIGINT)  # which lets go of the daemon
        tracer.wait(30)


def _recover(daemon: Daemon, running: Sequence[Client], figures: Figures) -> None:
    """Wait until every client's mails are taken again."""
    if not daemon.is_running:
        daemon.start()
    well_s = time.monotonic()
    is_back = wait_until(lambda: all(c.accepted_at_s > well_s for c in running), RECOVERS_WITHIN_S + 5)
    figures.slowest_s = max(figures.slowest_s, time.monotonic() - well_s)
    assert is_back, (
        f"no mail is taken {RECOVERS_WITHIN_S + 5} s after the fault; {figures}\n{daemon.log()[-3000:]}"
    )


def run_full(times: int, size_mb: int = 24) -> Figures:
    """Fill a small disk under the database so often, and empty it again."""
    figures = Figures()
    with (
        _small_disk(size_mb) as disk,
        Daemon(database=f"sqlite:///{disk}/mail2sms.db") as daemon,
        clients(daemon, figures) as running,
    ):
        for turn in range(times):
            _fill(disk / "ballast")
            assert _refuses(running), "a full disk refuses nothing"
            figures.faults += 1
            if turn % 2:
                figures.kills += 1
                daemon.kill9()
            (disk / "ballast").unlink()
            _recover(daemon, running, figures)
    return figures


def _refuses(running: Sequence[Client]) -> bool:
    def laters() -> int:
        return sum(client.codes[451] + client.codes[452] for client in running)

    enough = laters() + 10 * CLIENTS
    return wait_until(lambda: laters() >= enough, _FIRES_WITHIN_S)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


@contextlib.contextmanager
def _small_disk(size_mb: int) -> Iterator[Path]:
    if not is_root():
        pytest.skip("mounting a tmpfs needs root")
    with TemporaryDirectory(prefix="mail2sms-disk-") as folder:
        run_tool([program("mount", "mount"), "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", folder])
        try:
            yield Path(folder)
        finally:
            run_tool([program("umount", "mount"), "--lazy", folder])


def run_careless(numbers: Sequence[int]) -> Figures:
    """The control: mails that could not be written are answered like those that were."""
    faults = [Fault("fdatasync", "EIO", is_lasting=True), Fault("pwrite64", "ENOSPC", is_lasting=True)]
    with TemporaryDirectory(prefix="mail2sms-broken-") as folder:
        return run(numbers, faults, breaker(Path(folder), ALWAYS_CONTENT))


def main(argv: list[str]) -> int:
    """Run the proof and its control; 0 when only the control broke a promise."""
    highest = int(argv[0]) if argv else 200
    every = int(argv[1]) if argv[1:] else 1
    numbers = range(1, highest + 1, every)
    once = run(numbers, [fault for fault in FAULTS if not fault.is_lasting])
    print(f"sqlite: {once}", flush=True)
    lasting = run(numbers[::10], [fault for fault in FAULTS if fault.is_lasting])
    print(f"lasting, every tenth N: {lasting}", flush=True)
    full = run_full(6)
    print(f"full disk: {full}", flush=True)
    careless = run_careless([1, 2])
    print(f"  control: errors of the database ignored: {careless}", flush=True)
    is_kept = once.is_kept and lasting.is_kept and full.is_kept
    return 0 if is_kept and careless.found.lost else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
