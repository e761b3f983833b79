"""What systemd and we tell each other: sockets it passes, readiness, state, watchdog. Silent where there is no systemd.

sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3), without their library.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

from mail2sms.errors import BadOption

_FIRST_FD = 3  # SD_LISTEN_FDS_START
_NAMES = "FileDescriptorName= in the socket unit says which listener it is for"


def inherited() -> dict[str, list[socket.socket]]:
    """Take the listening sockets that were passed to this process, by name; children will not see them.

    Raises BadOption for a descriptor that is no listening socket.
    """
    told = {name: os.environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES")}
    if told["PID"] != str(os.getpid()) or not told["FDS"].isdigit():
        return {}
    names = told["FDNAMES"].split(":") if told["FDNAMES"] else []
    found: dict[str, list[socket.socket]] = {}
    for number in range(int(told["FDS"])):
        name = names[number] if number < len(names) else "unknown"
        found.setdefault(name, []).append(_adopt(_FIRST_FD + number, name))
    return found


def _adopt(descriptor: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        # Family and protocol are asked of the kernel: with proto=0 asyncio would not set TCP_NODELAY.
        passed = socket.socket(fileno=descriptor)
    except OSError as e:
        raise BadOption(f'what was passed as "{name}" is no socket ({e.strerror})', _NAMES) from e
    if not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise BadOption(f'the socket passed as "{name}" does not listen', "ListenStream= and Accept=no")
    return passed


def refuse_unknown(passed: dict[str, list[socket.socket]], listeners: tuple[str, ...]) -> None:
    """Raise BadOption when a socket was passed that no listener of the configuration would serve."""
    for name in passed:
        if name not in listeners:
            known = ", ".join(listeners) or "none"
            message = (
                f'a socket was passed with the name "{name}", but listen has no such entry (it has: {known})'
            )
            raise BadOption(message, _NAMES)


def is_watched() -> bool:
    """Whether somebody listens to `notify`."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def watchdog_s() -> float | None:
    """Return within how many seconds WATCHDOG=1 is expected each time; None when it is not."""
    given, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not given.isdigit() or int(given) == 0 or pid not in {"", str(os.getpid())}:
        return None
    return int(given) / 1_000_000


def notify(*states: str) -> None:
    """Send one or more `KEY=value` lines to the service manager."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with (
        contextlib.suppress(OSError),  # a manager that does not listen is no reason to stop
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.sendto("\n".join(states).encode(), address)


def notify_reloading() -> None:
    """Say that a reload begins; `READY=1` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
