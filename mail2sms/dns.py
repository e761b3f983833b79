"""Asks the DNS: the only importer of dnspython. Answers are values; "there is none" is an empty one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

from mail2sms.options import Endpoint

_TIMEOUT_S = 4.0
_TRY_S = 2.0

Found = TypeVar("Found")


class DnsUnanswered(Exception):
    """No name server answered, or it could not say: nothing is known of the name."""


class Dns:
    """Asks the machine's name servers, or the one that is given."""

    def __init__(self, server: Endpoint | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        """Raises DnsUnanswered when the machine has no name server."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=server is None)
        except dns.exception.DNSException as e:
            raise DnsUnanswered("this machine names no name server") from e
        if server is not None:
            self._resolver.nameservers = [server.host]
            self._resolver.port = server.port
        self._resolver.lifetime = timeout_s
        self._resolver.timeout = min(_TRY_S, timeout_s)

    async def mx(self, domain: str) -> tuple[tuple[int, str], ...]:
        """Return preference and host of each mail exchanger, the preferred first. Host "" means: no mail (RFC 7505)."""
        found = await self._ask(
            domain, "MX", lambda r: (int(r.preference), r.exchange.to_text(omit_final_dot=True))
        )
        return tuple(sorted((preference, host.lower().rstrip(".")) for preference, host in found))

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Return the IPv4 and IPv6 addresses of a host."""
        found = [await self._ask(host, kind, lambda r: str(r.address)) for kind in ("A", "AAAA")]
        return tuple(address for some in found for address in some)

    async def txt(self, name: str) -> tuple[str, ...]:
        """Return the TXT records of a name, each as one text (RFC 7208 section 3.3)."""
        return await self._ask(name, "TXT", lambda r: b"".join(r.strings).decode("utf-8", "replace"))

    async def _ask(self, name: str, kind: str, read: Callable[[Any], Found]) -> tuple[Found, ...]:
        try:
            answer = await self._resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except dns.exception.DNSException as e:  # time-outs, SERVFAIL, names that can't be
            raise DnsUnanswered(f"no answer about {name} ({type(e).__name__})") from e
        return tuple(read(record) for record in answer)
