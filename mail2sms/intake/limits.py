"""How much of everything strangers may have of the SMTP listeners: connections, bytes held, wrong passwords. Pure.

One `Budget` is shared by all listeners of the daemon. It knows no socket and no clock: `now` is an argument.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the listeners allow. `connections` and `bytes_in_flight` hold over all listeners together."""

    connections: int = 200
    per_ip: int = 10
    bytes_in_flight: int = 64_000_000
    recipients: int = 50
    size_bytes: int = 1_000_000
    mails_per_connection: int = 1000
    errors: int = 10
    command_s: float = 60
    data_s: float = 300
    min_bytes_per_s: int = 500


_FAILED_LOGINS, _LOCKED_S = 10, 600
_REMEMBERED_NETWORKS = 10_000


def neighbourhood(ip: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 that one IPv6 customer has for himself."""
    if ":" not in ip:
        return ip
    return f"{int(ipaddress.IPv6Address(ip)) >> 64:x}::/64"


class Budget:
    """What is taken of the limits right now, by all listeners. Clients are told apart by `neighbourhood`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.connections = 0
        self.bytes_in_flight = 0
        self._per_ip: Counter[str] = Counter()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # count, time of the first

    def connect(self, ip: str, *, is_exempt: bool) -> str:
        """Take one connection; return the name of the limit that forbids it, or nothing. Exempt: only the total."""
        if self.connections >= self.limits.connections:
            return "connections"
        if not is_exempt and self._per_ip[neighbourhood(ip)] >= self.limits.per_ip:
            return "per_ip"
        self.connections += 1
        self._per_ip[neighbourhood(ip)] += 1
        return ""

    def disconnect(self, ip: str) -> None:
        """Give back what `connect` took."""
        self.connections -= 1
        key = neighbourhood(ip)
        self._per_ip[key] -= 1
        if not self._per_ip[key]:
            del self._per_ip[key]

    def reserve(self, size_bytes: int) -> bool:
        """Take room for that much mail, or nothing at all."""
        if self.bytes_in_flight + size_bytes > self.limits.bytes_in_flight:
            return False
        self.bytes_in_flight += size_bytes
        return True

    def release(self, size_bytes: int) -> None:
        """Give back what `reserve` took."""
        self.bytes_in_flight -= size_bytes

    def login_failed(self, ip: str, now_s: float) -> None:
        """Count a wrong password. Only the latest networks are remembered, so that they can't fill the memory."""
        key = neighbourhood(ip)
        count, since = self._failures.pop(key, (0, now_s))
        if now_s - since >= _LOCKED_S:
            count, since = 0, now_s
        self._failures[key] = (count + 1, since)
        if len(self._failures) > _REMEMBERED_NETWORKS:
            self._failures.popitem(last=False)

    def is_locked(self, ip: str, now_s: float) -> bool:
        """Whether too many passwords were wrong from there in the last ten minutes."""
        count, since = self._failures.get(neighbourhood(ip), (0, now_s))
        return count >= _FAILED_LOGINS and now_s - since < _LOCKED_S
