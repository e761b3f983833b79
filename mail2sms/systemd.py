"""Telling systemd how we are (sd_notify(3)); silent where there is no systemd."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send one or more `KEY=value` lines to the service manager."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), address)
