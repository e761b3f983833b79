"""Whether a domain's SPF record lists a client: check_host of RFC 7208. Asks the DNS, knows nothing of mails.

`ptr` never matches and the macro `p` is "unknown" (RFC 7208 sections 5.5 and 7.3 allow both): the names of a client's
address are the client's to choose, and so is how long its name server takes to tell them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote

from mail2sms.dns import Dns

_LOOKUPS, _VOID_LOOKUPS, _HOSTS = 10, 2, 10  # RFC 7208 section 4.6.4
_NAME = 253
_RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(
    r"(?P<result>[+?~-]?)(?P<name>[a-z][a-z0-9_.-]*)(?P<sign>[:=/]?)(?P<value>[!-~]*)\Z", re.IGNORECASE
)
_LENGTHS = re.compile(r"(?P<host>.*?)(?:/(?P<four>\d{1,3}))?(?://(?P<six>\d{1,3}))?")
_MACRO = re.compile(r"%(?:\{([slodipvh])(\d{0,3})(r?)([.+,/_=-]*)\}|([%_-])|)", re.IGNORECASE)
_PLAIN = {"%": "%", "_": " ", "-": "%20"}
_MECHANISMS = frozenset({"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"})
_COUNTED = frozenset({"include", "a", "mx", "ptr", "exists"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class SpfInvalid(Exception):
    """The record can't be used: every receiver would say so (permerror)."""


@dataclass(frozen=True, slots=True)
class _Mechanism:
    result: str
    name: str
    value: str  # as written after the colon, or the lengths


@dataclass(frozen=True, slots=True)
class _Record:
    mechanisms: tuple[_Mechanism, ...]
    redirect: str


@dataclass(slots=True)
class Spf:
    """One question: may `ip` send for `sender`? `lookups` counts what was asked so far."""

    dns: Dns
    ip: str
    sender: str = ""
    helo: str = ""
    lookups: int = field(default=0, init=False)
    _voids: int = field(default=0, init=False)

    async def judge(self, domain: str) -> str:
        """Return pass, fail, softfail, neutral or none. Raises SpfInvalid, DnsUnanswered."""
        self.sender = self.sender or f"postmaster@{domain}"
        return await self._judge(domain)

    async def _judge(self, domain: str) -> str:
        text = await read(self.dns, domain)
        if text is None:
            return "none"
        record = _parse(text, domain)
        for mechanism in record.mechanisms:
            if await self._matches(mechanism, domain):
                return mechanism.result
        if not record.redirect:
            return "neutral"
        self._count()
        target = self._expand(record.redirect, domain)
        result = await self._judge(target)
        if result == "none":
            raise SpfInvalid(f"{domain} redirects to {target}, which has no SPF record")
        return result

    async def _matches(self, mechanism: _Mechanism, domain: str) -> bool:
        name = mechanism.name
        if name in _COUNTED:
            self._count()
        if name == "all":
            return True
        if name in ("ip4", "ip6"):
            return self._address() in ipaddress.ip_network(mechanism.value, strict=False)
        if name == "ptr":
            return False
        if name == "include":
            return await self._includes(self._expand(mechanism.value, domain), domain)
        if name == "exists":
            found = await self.dns.addresses(self._expand(mechanism.value, domain), ("A",))
            self._check_void(found)
            return bool(found)
        host, four, six = _split(mechanism.value, domain)
        return await self._is_host(name, self._expand(host, domain) if host else domain, four, six)

    async def _includes(self, target: str, domain: str) -> bool:
        result = await self._judge(target)
        if result == "none":
            raise SpfInvalid(f"{domain} includes {target}, which has no SPF record")
        return result == "pass"

    async def _is_host(self, name: str, target: str, four: int, six: int) -> bool:
        hosts = [target]
        if name == "mx":
            exchangers = await self.dns.mx(target)
            self._check_void(exchangers)
            hosts = [host for _, host in exchangers if host]
            if len(hosts) > _HOSTS:
                raise SpfInvalid(f"{target} has more than {_HOSTS} mail exchangers")
        address = self._address()
        kind, length = ("A", four) if address.version == 4 else ("AAAA", six)
        for host in hosts:
            found = await self.dns.addresses(host, (kind,))
            self._check_void(found)
            if any(address in ipaddress.ip_network(f"{each}/{length}", strict=False) for each in found):
                return True
        return False

    def _address(self) -> Address:
        address = ipaddress.ip_address(self.ip.partition("%")[0])
        return getattr(address, "ipv4_mapped", None) or address

    def _check_void(self, found: tuple[object, ...]) -> None:
        self._voids += not found
        if self._voids > _VOID_LOOKUPS:
            raise SpfInvalid(f"its SPF record asks for more than {_VOID_LOOKUPS} names that there are not")

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > _LOOKUPS:
            raise SpfInvalid(f"its SPF record needs more than {_LOOKUPS} lookups")

    # Macros: RFC 7208 section 7

    def _expand(self, text: str, domain: str) -> str:
        """Return a domain-spec with its macros filled in, cut from the left to what a name may have."""

        def fill(found: re.Match[str]) -> str:
            if found[5]:
                return _PLAIN[found[5]]
            return self._macro(found[1], found[2], bool(found[3]), found[4], domain)

        name = _MACRO.sub(fill, text).rstrip(".")
        while len(name) > _NAME:
            name = name.partition(".")[2]
        return name

    def _macro(self, letter: str, digits: str, is_reversed: bool, delimiters: str, domain: str) -> str:
        value = self._value(letter.lower(), domain)
        parts = re.split(f"[{re.escape(delimiters or '.')}]", value)
        if is_reversed:
            parts.reverse()
        if digits:
            parts = parts[-int(digits) :]
        joined = ".".join(parts)
        return quote(joined, safe="") if letter.isupper() else joined

    def _value(self, letter: str, domain: str) -> str:
        local, _, of = self.sender.rpartition("@")
        address = self._address()
        dotted = ".".join(address.exploded.replace(":", "")) if address.version == 6 else str(address)
        return {
            "s": self.sender,
            "l": local or "postmaster",
            "o": of,
            "d": domain,
            "i": dotted,
            "p": "unknown",
            "v": "in-addr" if address.version == 4 else "ip6",
            "h": self.helo or "unknown",
        }[letter]


def _parse(text: str, domain: str) -> _Record:
    """Read a whole record before anything of it counts: RFC 7208 section 4.6."""
    mechanisms: list[_Mechanism] = []
    redirects: list[str] = []
    explained = 0
    for term in text.split()[1:]:
        found = _TERM.fullmatch(term)
        if found is None:
            raise SpfInvalid(f'the SPF record of {domain} has the unknown term "{term}"')
        name = found["name"].lower()
        if found["sign"] == "=" and not found["result"]:
            redirects += [found["value"]] if name == "redirect" else []
            explained += name == "exp"
        else:
            mechanisms.append(_mechanism(found, name, term, domain))
    if len(redirects) > 1 or explained > 1 or redirects == [""]:
        raise SpfInvalid(f"the SPF record of {domain} has more than one redirect or exp")
    for redirect in redirects:
        _check_macros(redirect)
    return _Record(tuple(mechanisms), redirects[0] if redirects else "")


def _mechanism(found: re.Match[str], name: str, term: str, domain: str) -> _Mechanism:
    sign, value = found["sign"], found["value"]
    is_good = name in _MECHANISMS and sign != "=" and bool(sign) == bool(value)
    if name == "all":
        is_good = is_good and not sign
    elif name in ("include", "exists", "ip4", "ip6"):
        is_good = is_good and sign == ":"
    if not is_good:
        raise SpfInvalid(f'the SPF record of {domain} has the unknown term "{term}"')
    if name in ("ip4", "ip6"):
        _check_network(value, int(name[2]))
    elif sign == "/":
        value = f"/{value}"
    if name in ("a", "mx"):
        _split(value, domain)
    if name not in ("ip4", "ip6"):
        _check_macros(value)
    return _Mechanism(_RESULTS[found["result"] or "+"], name, value)


def _check_macros(text: str) -> None:
    for found in _MACRO.finditer(text):
        if not (found[1] or found[5]) or (found[2] and int(found[2]) == 0):
            raise SpfInvalid(f'"{text}" in an SPF record holds no macro that there is')


def _check_network(text: str, version: int) -> None:
    try:
        is_right = ipaddress.ip_network(text, strict=False).version == version
    except ValueError:
        is_right = False
    if not is_right:
        raise SpfInvalid(f'"{text}" in an SPF record is no network')


def _split(value: str, domain: str) -> tuple[str, int, int]:
    """Return the host of `a:host/24//64`, empty for the domain itself, and the prefix lengths."""
    found = _LENGTHS.fullmatch(value)
    four, six = (int(found["four"] or 32), int(found["six"] or 128)) if found else (999, 999)
    if found is None or four > 32 or six > 128:
        raise SpfInvalid(f'"{value}" in the SPF record of {domain} is no host')
    return found["host"], four, six


async def read(dns: Dns, domain: str) -> str | None:
    """Return the SPF record of a domain; None when it has none. Raises SpfInvalid when it has several."""
    records = [text for text in await dns.txt(domain) if text.lower().split(" ")[0] == "v=spf1"]
    if len(records) > 1:
        raise SpfInvalid(f"{domain} has {len(records)} SPF records; one is allowed")
    return records[0] if records else None
