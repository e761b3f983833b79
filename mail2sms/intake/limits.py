"""How much of everything strangers may have of the SMTP listeners: connections, bytes held, wrong passwords. Pure.

One `Budget` is shared by all listeners of the daemon. A quarter of it is kept for trusted clients: networks of
`senders` and people who have logged in. It knows no socket and no clock: `now` is an argument.
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


_KEPT = 4  # of so many connections and bytes one is kept for trusted clients


def neighbourhood(ip: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 that one IPv6 customer has for himself."""
    if ":" not in ip:
        return ip
    return f"{int(ipaddress.IPv6Address(ip)) >> 64:x}::/64"


class Budget:
    """What is taken of the limits right now, by all listeners. Clients are told apart by `neighbourhood`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.lockout = Lockout()
        self.connections = 0
        self.bytes_in_flight = 0
        self._strangers = 0
        self._strange_bytes = 0
        self._per_ip: Counter[str] = Counter()

    def connect(self, ip: str, *, is_exempt: bool) -> str:
        """Take one connection; return the name of the limit that forbids it, or nothing. Exempt: only the total."""
        total = self.limits.connections
        is_share_taken = self._strangers >= total - total // _KEPT
        if self.connections >= total or (is_share_taken and not is_exempt):
            return "connections"
        if not is_exempt and self._per_ip[neighbourhood(ip)] >= self.limits.per_ip:
            return "per_ip"
        self.connections += 1
        self._strangers += not is_exempt
        self._per_ip[neighbourhood(ip)] += 1
        return ""

    def trust(self) -> None:
        """A stranger has logged in: its place is free for another."""
        self._strangers -= 1

    def disconnect(self, ip: str, *, is_trusted: bool) -> None:
        """Give back what `connect` took."""
        self.connections -= 1
        self._strangers -= not is_trusted
        key = neighbourhood(ip)
        self._per_ip[key] -= 1
        if not self._per_ip[key]:
            del self._per_ip[key]

    def room(self, *, is_trusted: bool) -> int:
        """Return how many bytes could be reserved now."""
        total = self.limits.bytes_in_flight
        left = total - self.bytes_in_flight
        return left if is_trusted else min(left, total - total // _KEPT - self._strange_bytes)

    def reserve(self, size_bytes: int, *, is_trusted: bool) -> bool:
        """Take room for that much mail, or nothing at all."""
        if size_bytes > self.room(is_trusted=is_trusted):
            return False
        self._take(size_bytes, is_trusted=is_trusted)
        return True

    def release(self, size_bytes: int, *, is_trusted: bool) -> None:
        """Give back what `reserve` took."""
        self._take(-size_bytes, is_trusted=is_trusted)

    def _take(self, size_bytes: int, *, is_trusted: bool) -> None:
        self.bytes_in_flight += size_bytes
        self._strange_bytes += 0 if is_trusted else size_bytes


# Wrong passwords

_WINDOW_S = 600
_PLACE_FAILURES, _PLACE_LOCKED_S = 10, 600
_NAME_FAILURES, _NAME_LOCKED_S = 20, 60
_REMEMBERED = 10_000  # the latest, so that strangers can't fill the memory
_NAME_CHARACTERS = 100


class _Failures:
    """Failures by key: so many within ten minutes lock it for a while, then it starts anew."""

    def __init__(self, limit: int, locked_s: float) -> None:
        self._limit, self._locked_s = limit, locked_s
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()  # with the start

    def add(self, key: str, now_s: float) -> None:
        count, since_s = self._counts.pop(key, (0, now_s))
        if now_s - since_s >= (_WINDOW_S if count < self._limit else self._locked_s):
            count, since_s = 0, now_s
        count += 1
        self._counts[key] = (count, now_s if count == self._limit else since_s)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)

    def is_locked(self, key: str, now_s: float) -> bool:
        count, since_s = self._counts.get(key, (0, now_s))
        return count >= self._limit and now_s - since_s < self._locked_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """Who tries to log in. `is_shared`: the address is many people's, such as that of a network of `senders`."""

    ip: str
    name: str
    is_shared: bool

    @property
    def login(self) -> str:
        """The login name, as it is counted."""
        return self.name.lower()[:_NAME_CHARACTERS]

    @property
    def pair(self) -> str:
        """Address and name."""
        return f"{neighbourhood(self.ip)} {self.login}"

    @property
    def place(self) -> str:
        """What is locked: the address, or one name at an address that is shared."""
        return self.pair if self.is_shared else neighbourhood(self.ip)


class Lockout:
    """Wrong passwords, by place and by name.

    A name that is guessed from many places is locked for a minute only, and never for who logged in there before:
    else strangers could keep a person out.
    """

    def __init__(self) -> None:
        self._places = _Failures(_PLACE_FAILURES, _PLACE_LOCKED_S)
        self._names = _Failures(_NAME_FAILURES, _NAME_LOCKED_S)
        self._known: OrderedDict[str, None] = OrderedDict()

    def why(self, attempt: Attempt, now_s: float) -> str:
        """Return the name of the limit that forbids to try, or nothing."""
        if self._places.is_locked(attempt.place, now_s):
            return "logins_of_place"
        if attempt.pair not in self._known and self._names.is_locked(attempt.login, now_s):
            return "logins_of_name"
        return ""

    def failed(self, attempt: Attempt, now_s: float) -> None:
        """Count a wrong password."""
        self._places.add(attempt.place, now_s)
        self._names.add(attempt.login, now_s)

    def succeeded(self, attempt: Attempt) -> None:
        """From there this name has been right."""
        self._known[attempt.pair] = None
        self._known.move_to_end(attempt.pair)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
