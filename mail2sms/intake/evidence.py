"""What one mail shows of who wrote it: its signatures, its envelope's sender, and what relays have written on it.

Asks only what could count for the author's domain: signatures of other organisations and other envelope senders cost
no question to the DNS, so nobody makes us ask name servers of their choice. What costs CPU runs in threads.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial

from mail2sms.addresses import canonical
from mail2sms.dns import Dns, DnsUnanswered
from mail2sms.intake import dkim, dmarc, headers
from mail2sms.intake.dkim import Signature, Unusable
from mail2sms.intake.envelope import Envelope
from mail2sms.intake.spf import Spf, SpfInvalid

_SIGNATURES = 5  # of the author's organisation, the topmost first
_OLD_S = 5 * 86_400  # mail servers try for so long (RFC 5321 section 4.5.4.1)
_DATE_CHARACTERS = 64
_ONCE = ("to", "cc", "subject", "date", "message-id", "content-type", "content-transfer-encoding")
_BETWEEN = re.compile(r"[\s<>,;:()]+")


@dataclass(slots=True)
class Signers:
    """What came of the signatures of the author's organisation: who signed well, and what is wrong with the others."""

    passed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    is_unknown: bool = False


class Evidence:
    """One mail that is looked at; what several proofs need is found once."""

    def __init__(
        self, author: str, envelope: Envelope, dns: Callable[[], Dns], threads: Executor, now_s: float
    ) -> None:
        self.domain = author.rpartition("@")[2]
        self.envelope = envelope
        self.now_s = now_s
        raw = envelope.content
        self.fields = headers.raw_fields(raw)  # as whoever reads the mail finds them
        self._head, body_at = headers.split(raw, 0, len(raw))
        self._body = raw[body_at:]
        self._dns = dns
        self._threads = threads
        self._dkim: Signers | None = None
        self._spf: str | None = None

    @property
    def dns(self) -> Dns:
        """Whom to ask. Raises DnsUnanswered when there is nobody."""
        return self._dns()

    async def dkim(self) -> Signers:
        """Return what came of the signatures; every one up to a bound."""
        if self._dkim is None:
            self._dkim = await self._verify_all()
        return self._dkim

    async def _verify_all(self) -> Signers:
        found = Signers()
        for made in self._signatures(found)[:_SIGNATURES]:
            try:
                await self.verify(made)
            except Unusable as e:
                found.wrong.append(f"{made.domain}: {e}")
            except DnsUnanswered:
                found.is_unknown = True
            else:
                found.passed.append(made.domain)
        return found

    def _signatures(self, found: Signers) -> list[Signature]:
        """Return the signatures of the author's organisation that may prove something."""
        made: list[Signature] = []
        for at, each in enumerate(self.fields):
            if each[0] != "dkim-signature":
                continue
            try:
                signature = dkim.read(each, at, self.now_s)
            except Unusable as e:
                found.wrong.append(str(e))
                continue
            if dmarc.is_aligned(signature.domain, self.domain):
                made.append(signature)
            else:
                found.wrong.append(f"{signature.domain} is another organisation")
        return made

    async def verify(self, made: Signature) -> None:
        """Raise Unusable unless a signature of this mail holds, or DnsUnanswered. The text first: that asks nobody."""
        self._check_purpose(made)
        await self._in_thread(partial(dkim.check_body, made, self._body))
        await self.verify_bytes(made, partial(dkim.head_bytes, self.fields, made))

    async def verify_bytes(self, made: Signature, signed: Callable[[], bytes]) -> None:
        """Raise Unusable unless these bytes were signed, or DnsUnanswered."""
        records = await self.dns.txt(made.key_name)
        await self._in_thread(lambda: dkim.check(made, signed(), dkim.key(records)))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _check_purpose(self, made: Signature) -> None:
        """Raise Unusable for a mail that was signed for others, or long ago, or that reads otherwise now.

        Whoever has a signed mail could hand it to us again and again, for any phone. So what is signed is held
        against the envelope: recipients must stand in a signed To or Cc, and a signed Date be of these days. A second
        field of a kind, which nobody signed, would be read instead of the first.
        """
        values = {name: self._head.all(name) for name in _ONCE}
        for name, found in values.items():
            if len(found) > 1:
                raise Unusable(f"the mail has two {name} fields")
        if values["subject"] and "subject" not in made.signed:
            raise Unusable("it does not sign the Subject")
        if "to" in made.signed:
            lines = values["to"] + (values["cc"] if "cc" in made.signed else [])
            named = set(_BETWEEN.split(" ".join(lines).lower()))
            if not all(rcpt.lower() in named for rcpt in self.envelope.rcpts):
                raise Unusable("its signed To names others than the envelope")
        if "date" in made.signed and any(_is_old(date, self.now_s) for date in values["date"]):
            raise Unusable("its signed Date is long ago")

    def believed(self, hops: int) -> list[str]:
        """Return the Authentication-Results above the last of the Received lines that our relay put on.

        Nothing when there are fewer of those: then none is known to be the relay's.
        """
        lines: list[str] = []
        received = 0
        for name, raw in self.fields:
            if name == "authentication-results":
                lines.append(dkim.value_of((name, raw)).replace(b"\r\n", b"").decode("latin-1"))
            received += name == "received"
            if received == hops:
                return lines
        return []

    async def spf(self) -> str:
        """Return what SPF says of the envelope's sender. Raises Unusable for an unaligned one, DnsUnanswered."""
        sender, client = canonical(self.envelope.mail_from), self.envelope.client
        domain = sender.rpartition("@")[2]
        if not dkim.is_host(domain) or not dmarc.is_aligned(domain, self.domain):
            raise Unusable("the envelope's sender is of another organisation")
        if not client.ip:
            raise Unusable("the client has no address")
        if self._spf is None:
            try:
                self._spf = await Spf(self.dns, client.ip, sender, client.helo).judge(domain)
            except SpfInvalid as e:
                self._spf = str(e)
        return self._spf


def _is_old(date: str, now_s: float) -> bool:
    try:
        return parsedate_to_datetime(date[:_DATE_CHARACTERS]).timestamp() < now_s - _OLD_S
    except (ValueError, OverflowError, TypeError, IndexError):
        return True
