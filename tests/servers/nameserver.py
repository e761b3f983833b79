"""A name server of this process, over UDP: answers from a zone, says that there is no such name, or says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from mail2sms.endpoint import Endpoint
from tests.servers._background import Background

Zone = Mapping[str, Mapping[str, Sequence[str]]]
"""Name -> kind of record -> records as in a zone file. The kind SILENCE: there is no answer about the name."""


class NameServer(asyncio.DatagramProtocol):
    """A context manager. `zone` may be changed at any time; `asked` are the questions so far."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self._background = Background()
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers."""
        assert self._transport is not None
        return Endpoint(*self._transport.get_extra_info("sockname")[:2])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question. Called by asyncio."""
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = (
            question.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.asked.append(f"{name} {kind}")
        records = self.zone.get(name, {})
        if "SILENCE" in records:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        if not records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        for text in records.get(kind, ()):
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, text))
        assert self._transport is not None
        self._transport.sendto(response.to_wire(), addr)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))

    async def _close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def __enter__(self) -> Self:
        self._background.__enter__()
        self._background.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._background.run(self._close())
        self._background.__exit__()
