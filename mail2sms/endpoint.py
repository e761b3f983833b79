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

# Addresses that hold another one, or are led on to one: NAT64 (RFC 6052, 8215), 6to4 (RFC 3056), Teredo (RFC 4380),
# IPv4-compatible ones (RFC 4291 section 2.5.5.1).
_LED_ON = tuple(
    ipaddress.ip_network(each)
    for each in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet, as it stands: not ours, nor a link's, nor led on to one."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _LED_ON if network.version == address.version)
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
