"""What passes between systemd and us."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mail2sms import systemd
from mail2sms.errors import BadOption, StoreUnavailable
from mail2sms.store import Store
from mail2sms.store.backlog import Backlog
from mail2sms.watch import Watch, state

_ASK = """
import os
from mail2sms.systemd import inherited, refuse_unknown
os.environ["LISTEN_PID"] = os.environ["LISTEN_PID"] or str(os.getpid())
try:
    passed = inherited()
    refuse_unknown(passed, ("smtp", "web"))
except ValueError as e:
    print("refused:", e)
    raise SystemExit
print({name: [s.proto for s in found] for name, found in passed.items()},
      [s.get_inheritable() for found in passed.values() for s in found],
      [name for name in os.environ if name.startswith("LISTEN_")])
"""


def asked(*kinds: str, names: str, pid: str = "") -> str:
    """What a process says that gets sockets of these kinds as descriptors 3, 4, ..."""
    made = [socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) for kind in kinds]
    for kind, each in zip(kinds, made, strict=True):
        each.bind(("127.0.0.1", 0))
        if kind == "tcp":
            each.listen()
    high = [os.dup(each.fileno()) for each in made]
    moves = "import os\n" + "".join(f"os.dup2({fd}, {100 + i})\n" for i, fd in enumerate(high))
    moves += "".join(f"os.dup2({100 + i}, {3 + i})\n" for i in range(len(high)))
    env = {**os.environ, "LISTEN_FDS": str(len(made)), "LISTEN_FDNAMES": names, "LISTEN_PID": pid}
    done = subprocess.run(
        [sys.executable, "-c", moves + _ASK],
        env={**env, "PYTHONPATH": str(Path(__file__).parents[1])},
        pass_fds=high,
        capture_output=True,
        text=True,
        check=True,
    )
    for fd in high:
        os.close(fd)
    for each in made:
        each.close()
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("kinds", "names", "said"),
    [
        (["tcp", "tcp"], "smtp:web", "{'smtp': [6], 'web': [6]} [False, False] []"),
        (["tcp", "tcp"], "smtp:smtp", "{'smtp': [6, 6]} [False, False] []"),
        (["tcp"], "", 'refused: a socket was passed with the name "unknown", but listen has no such entry'),
        (["tcp"], "http", "(it has: smtp, web)"),
        (["bound"], "smtp", 'refused: the socket passed as "smtp" does not listen'),
        (["udp"], "smtp", 'refused: the socket passed as "smtp" does not listen'),
    ],
)
def test_passed_sockets(kinds: list[str], names: str, said: str) -> None:
    """By name, with their protocol, closed to children; what fits no listener is refused with a reason."""
    assert said in asked(*kinds, names=names)


def test_sockets_of_another_process() -> None:
    """LISTEN_PID names another: they are not ours, and nobody after us is told of them either."""
    assert asked("tcp", names="smtp", pid="1") == "{} [] []"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog(
    environment: dict[str, str], expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute, said in microseconds, and for this process."""
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert systemd.watchdog_s() == expected


@contextmanager
def listening(monkeypatch: pytest.MonkeyPatch, address: str) -> Iterator[socket.socket]:
    """A service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield manager


@pytest.mark.parametrize("is_abstract", [False, True])
def test_notify(is_abstract: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One datagram with a line for each state; a reload tells its moment by the steady clock."""
    with listening(monkeypatch, ("@mail2sms" if is_abstract else "") + str(tmp_path / "notify")) as manager:
        systemd.notify("READY=1", "STATUS=well")
        assert manager.recv(1000) == b"READY=1\nSTATUS=well"
        systemd.notify_reloading()
        first, second = manager.recv(1000).decode().split("\n")
        assert first == "RELOADING=1"
        assert second.removeprefix("MONOTONIC_USEC=").isdigit()


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A manager that is gone is no reason to fail."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nowhere"))
    systemd.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("READY=1")


class Broken(Store):
    """A database that is away."""

    def __init__(self) -> None:
        """Open nothing."""

    async def read(self, *_: object, **__: object) -> None:  # type: ignore[override]
        """Fail."""
        raise StoreUnavailable("away")


async def test_the_watchdog_is_fed_by_progress_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """While a stage stalls nothing is fed, and the state says which; a database that is away is not our stall."""
    stalled: dict[str, str] = {}
    watch = Watch(Broken(), lambda: stalled, lambda: 0)
    with listening(monkeypatch, str(tmp_path / "notify")) as manager:
        await watch.report()
        assert manager.recv(1000) == b"WATCHDOG=1"
        assert manager.recv(1000) == b"STATUS=the database does not answer"
        await watch.report()
        assert manager.recv(1000) == b"WATCHDOG=1"  # and no state: it was told just now
        stalled["dispatch"] = "stalled"
        await watch.report()
        assert manager.recv(1000) == b"STATUS=stalled: dispatch"
        stalled.clear()
        await watch.report()
        assert [manager.recv(1000)[:9] for _ in range(2)] == [b"WATCHDOG=", b"STATUS=th"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Backlog(count=0, oldest=None), "queue empty, 412 sent since the start"),
        (Backlog(count=3, oldest=96_000), "queue 3, oldest 4 s, 412 sent since the start"),
        (
            Backlog(count=1, oldest=100_500),
            "queue 1, oldest 0 s, 412 sent since the start",
        ),  # the clock was set back
    ],
)
def test_state(found: Backlog, said: str) -> None:
    """What a person asks first, in a line."""
    assert state(found, 100_000, 412) == said


def test_refusing_a_socket_names_the_way_out() -> None:
    """The hint says where the name comes from."""
    with pytest.raises(BadOption) as refused:
        systemd.refuse_unknown({"http": []}, ("smtp",))
    assert "FileDescriptorName=" in refused.value.hint
