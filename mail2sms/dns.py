"""Asks the DNS: the only importer of dnspython. Answers are values; "there is none" is an empty one.

Answers are kept for as long as they say, an hour at most; that there is none for a minute, that nobody answered for a
few seconds: whoever makes us ask the same again and again costs one question.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from mail2sms.endpoint import Endpoint

_TIMEOUT_S = 4.0
_TRY_S = 2.0
_KEPT_ANSWERS = 4096
_IMPOSSIBLE = (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.IDNAException)
_KEPT_S, _KEPT_NONE_S, _KEPT_FAULT_S = 3600.0, 60.0, 5.0

Found = TypeVar("Found")


class DnsUnanswered(Exception):
    """No name server answered, or it could not say: nothing is known of the name."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came: records, or why there was no answer; good until then."""

    records: tuple[Any, ...]
    fault: str
    until_s: float


class Dns:
    """Asks the machine's name servers, or the one that is given."""

    def __init__(
        self,
        server: Endpoint | None = None,
        timeout_s: float = _TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
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
        self._clock = clock
        self._answers: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[_Answer]] = {}

    async def mx(self, domain: str) -> tuple[tuple[int, str], ...]:
        """Return preference and host of each mail exchanger, the preferred first. Host "" means: no mail (RFC 7505)."""
        found = await self._ask(
            domain, "MX", lambda r: (int(r.preference), r.exchange.to_text(omit_final_dot=True))
        )
        return tuple(sorted((preference, host.lower().rstrip(".")) for preference, host in found))

    async def addresses(self, host: str, kinds: tuple[str, ...] = ("A", "AAAA")) -> tuple[str, ...]:
        """Return the IPv4 and IPv6 addresses of a host, or those of the kinds that are wanted."""
        found = [await self._ask(host, kind, lambda r: str(r.address)) for kind in kinds]
        return tuple(address for some in found for address in some)

    async def txt(self, name: str) -> tuple[str, ...]:
        """Return the TXT records of a name, each as one text (RFC 7208 section 3.3)."""
        return await self._ask(name, "TXT", lambda r: b"".join(r.strings).decode("utf-8", "replace"))

    async def _ask(self, name: str, kind: str, read: Callable[[Any], Found]) -> tuple[Found, ...]:
        key = (name.lower().rstrip("."), kind)
        answer = self._answers.get(key)
        if answer is None or answer.until_s <= self._clock():
            answer = await self._ask_anew(key)
        self._answers.move_to_end(key)
        if answer.fault:
            raise DnsUnanswered(f"no answer about {name} ({answer.fault})")
        return tuple(read(record) for record in answer.records)

    async def _ask_anew(self, key: tuple[str, str]) -> _Answer:
        """Ask once, however many want to know at the same time."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._resolve(*key))
            task.add_done_callback(lambda _: self._asking.pop(key))
        answer = await asyncio.shield(task)
        self._answers[key] = answer
        if len(self._answers) > _KEPT_ANSWERS:
            self._answers.popitem(last=False)
        return answer

    async def _resolve(self, name: str, kind: str) -> _Answer:
        records, fault, good_s = (), "", _KEPT_NONE_S
        try:
            found = await self._resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, *_IMPOSSIBLE):
            pass
        except dns.exception.DNSException as e:  # time-outs, SERVFAIL
            fault, good_s = type(e).__name__, _KEPT_FAULT_S
        else:
            records = tuple(found)
            good_s = min(_KEPT_S, found.rrset.ttl if found.rrset is not None else 0)
        return _Answer(records, fault, self._clock() + good_s)
