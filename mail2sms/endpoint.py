"""Where a server listens or is found: a host and a port, or the path of a unix socket. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

UNIX = "unix:"
# Where strangers can't come from: RFC 1918, RFC 4193, and what is of one link. Python's `is_private` has 0.0.0.0 too.
_PRIVATE = tuple(
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host (name or address, without brackets) and a TCP port; or the path of a unix socket, and no port."""

    host: str
    port: int

    def __str__(self) -> str:
        if self.is_unix:
            return f"{UNIX}{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_unix(self) -> bool:
        """Whether it is a path."""
        return self.host.startswith("/")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost" or self.is_unix:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_private(self) -> bool:
        """Whether only this machine and its own network can reach it; a name may become any address."""
        if self.is_loopback:
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return any(address in network for network in _PRIVATE)
