"""Whether a domain's SPF record lists an address (RFC 7208). Asks the DNS, knows nothing of mails.

Macros and `ptr` and `exists` with them need a mail to be judged: they never match here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from mail2sms.dns import Dns

_LOOKUPS = 10  # RFC 7208 section 4.6.4
_RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}


class SpfInvalid(Exception):
    """The record can't be used: every receiver would say so (permerror)."""


@dataclass(slots=True)
class Spf:
    """One question: is `ip` listed? `lookups` counts what was asked so far."""

    dns: Dns
    ip: str
    lookups: int = field(default=0, init=False)

    async def judge(self, domain: str) -> str:
        """Return pass, fail, softfail, neutral or none. Raises SpfInvalid, DnsUnanswered."""
        record = await read(self.dns, domain)
        if record is None:
            return "none"
        redirect = ""
        for term in record.split()[1:]:
            name, equals, value = term.partition("=")
            if equals and ":" not in name and "/" not in name:
                redirect = value if name.lower() == "redirect" else redirect
            elif await self._matches(term.lstrip("+-~?"), domain):
                return _RESULTS.get(term[0], "pass")
        if not redirect:
            return "neutral"
        self._count()
        return await self.judge(redirect)

    async def _matches(self, mechanism: str, domain: str) -> bool:
        name, _, value = mechanism.partition(":")
        name, slash, prefix = name.lower().partition("/")
        if name in ("ip4", "ip6"):
            return self._is_in(value)
        if name == "all":
            return True
        if name not in ("a", "mx", "include", "exists", "ptr"):
            raise SpfInvalid(f'the SPF record of {domain} has the unknown term "{mechanism}"')
        self._count()
        target, other_slash, other = value.partition("/")
        if "%" in target or name in ("exists", "ptr"):
            return False
        if name == "include":
            return await self.judge(target) == "pass"
        lengths = (prefix if slash else other if other_slash else "").partition("//")
        found = self._hosts(name, target or domain)
        return any([self._is_in(_with_length(address, lengths)) async for address in found])

    async def _hosts(self, name: str, target: str) -> AsyncIterator[str]:
        hosts = [target] if name == "a" else [host for _, host in await self.dns.mx(target) if host]
        for host in hosts[:_LOOKUPS]:
            for address in await self.dns.addresses(host):
                yield address

    def _is_in(self, network: str) -> bool:
        try:
            return ipaddress.ip_address(self.ip) in ipaddress.ip_network(network, strict=False)
        except ValueError as e:
            raise SpfInvalid(f'"{network}" in an SPF record is no network') from e

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > _LOOKUPS:
            raise SpfInvalid(f"its SPF record needs more than {_LOOKUPS} lookups")


def _with_length(address: str, lengths: tuple[str, str, str]) -> str:
    length = lengths[2] if ":" in address else lengths[0]
    return f"{address}/{length}" if length else address


async def read(dns: Dns, domain: str) -> str | None:
    """Return the SPF record of a domain; None when it has none. Raises SpfInvalid when it has several."""
    records = [text for text in await dns.txt(domain) if text.lower().split(" ")[0] == "v=spf1"]
    if len(records) > 1:
        raise SpfInvalid(f"{domain} has {len(records)} SPF records; one is allowed")
    return records[0] if records else None
