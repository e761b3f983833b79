"""Proof of the sender out of the mail itself: DKIM, SPF, DMARC, ARC, and what a relay of ours has seen.

A few mails of one client are looked at at a time, the cheap proofs first. When the DNS gives no answer, the mail is
neither proven nor refused: its sender tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from mail2sms.dns import Dns, DnsUnanswered
from mail2sms.errors import Problem, Refusal
from mail2sms.intake import arc, auth_results, dmarc
from mail2sms.intake.auth_results import Results
from mail2sms.intake.dkim import Unusable
from mail2sms.intake.envelope import Envelope
from mail2sms.intake.evidence import Evidence, Signers
from mail2sms.intake.identity import Author, SenderRule
from mail2sms.intake.limits import neighbourhood
from mail2sms.model import Proof

_THREADS = 2
_MAILS, _MAILS_PER_CLIENT = 32, 4  # that are looked at; the others wait
_WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What came of one proof of one rule. `unknown`: the DNS did not answer."""

    rule: SenderRule
    proof: Proof
    result: Literal["pass", "fail", "unknown"]
    why: str


class Mailauth:
    """Looks at mails. Belongs to one event loop."""

    def __init__(self, dns: Dns | None = None, clock: Callable[[], float] = time.time) -> None:
        """Without `dns` the machine's name servers are asked."""
        self._dns = dns
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mailauth")
        self._room = asyncio.Semaphore(_MAILS)
        self._clients: dict[str, asyncio.Semaphore] = {}
        self._present: Counter[str] = Counter()

    def close(self) -> None:
        """Let the threads end when what is looked at is done."""
        self._threads.shutdown(wait=False)

    async def proof(self, author: Author, envelope: Envelope, why_no_key: str = "") -> Proof:
        """Return the first proof that holds. Raises Refusal: none does, or it can't be known now."""
        tried = await self.attempts(author, envelope)
        if tried and tried[-1].result == "pass":
            return tried[-1].proof
        is_unknown = any(each.result == "unknown" for each in tried)
        said = dict.fromkeys(f"{each.proof}: {each.why}" for each in tried if each.why)
        why = "; ".join([why_no_key, *said] if why_no_key else said)
        reason = "sender.proof_unknown" if is_unknown else "sender.proof_missing"
        raise Refusal(Problem(reason=reason, facts={"why": why}))

    async def attempts(self, author: Author, envelope: Envelope) -> tuple[Tried, ...]:
        """Return what came of each proof, up to the first that holds."""
        tried: list[Tried] = []
        async with self._turn(neighbourhood(envelope.client.ip)):
            loop = asyncio.get_running_loop()
            mail = Evidence(author.address, envelope, self._names, self._threads, self._clock())
            await loop.run_in_executor(self._threads, dmarc.organisation, mail.domain)  # reads its list once
            until_s = loop.time() + _WITHIN_S
            for rule, proof in [(rule, proof) for rule, proofs in author.in_mail for proof in proofs]:
                tried.append(await _attempt(mail, rule, proof, until_s))
                if tried[-1].result == "pass":
                    break
        return tuple(tried)

    def _names(self) -> Dns:
        """Return whom to ask; most configurations never do. Raises DnsUnanswered when the machine knows nobody."""
        if self._dns is None:
            self._dns = Dns()
        return self._dns

    @asynccontextmanager
    async def _turn(self, client: str) -> AsyncIterator[None]:
        self._present[client] += 1
        mine = self._clients.setdefault(client, asyncio.Semaphore(_MAILS_PER_CLIENT))
        try:
            async with mine, self._room:
                yield
        finally:
            self._present[client] -= 1
            if not self._present[client]:
                del self._present[client], self._clients[client]


async def _attempt(mail: Evidence, rule: SenderRule, proof: Proof, until_s: float) -> Tried:
    try:
        async with asyncio.timeout_at(until_s):
            await _PROOFS[proof](mail, rule)
    except Unusable as e:
        return Tried(rule=rule, proof=proof, result="fail", why=str(e))
    except (DnsUnanswered, TimeoutError):
        return Tried(rule=rule, proof=proof, result="unknown", why="no answer from the DNS")
    return Tried(rule=rule, proof=proof, result="pass", why="")


async def _by_dkim(mail: Evidence, rule: SenderRule) -> None:
    """A signature of the author's organisation."""
    _require_dkim(await mail.dkim(), mail.domain, is_strict=False)


def _require_dkim(found: Signers, domain: str, *, is_strict: bool) -> None:
    if any(dmarc.is_aligned(signer, domain, is_strict=is_strict) for signer in found.passed):
        return
    if found.is_unknown:
        raise DnsUnanswered(f"a key of {domain}")
    others = [f"{signer} is not {domain} itself" for signer in found.passed]
    raise Unusable("; ".join(dict.fromkeys([*found.wrong, *others])) or "the mail has no signature")


async def _by_spf(mail: Evidence, rule: SenderRule) -> None:
    """The envelope's sender is of the author's organisation, whose SPF record lists the client."""
    result = await mail.spf()
    if result != "pass":
        raise Unusable(f"{mail.envelope.client.ip} is not listed: {result}")


async def _by_dmarc(mail: Evidence, rule: SenderRule) -> None:
    """One of both, as close as the author's domain asks."""
    records = await mail.dns.txt(f"_dmarc.{mail.domain}")
    organisation = dmarc.organisation(mail.domain)
    if not records and organisation not in ("", mail.domain):
        records = await mail.dns.txt(f"_dmarc.{organisation}")
    policy = dmarc.policy(records)
    if policy is None:
        raise Unusable(f"{mail.domain} has no DMARC record")
    is_unknown, wrong = False, list[str]()
    for way in (_dmarc_dkim, _dmarc_spf):
        try:
            await way(mail, policy)
        except Unusable as e:
            wrong.append(str(e))
        except DnsUnanswered:
            is_unknown = True
        else:
            return
    if is_unknown:
        raise DnsUnanswered(mail.domain)
    raise Unusable(", and ".join(wrong))


async def _dmarc_dkim(mail: Evidence, policy: dmarc.Policy) -> None:
    _require_dkim(await mail.dkim(), mail.domain, is_strict=policy.is_strict_dkim)


async def _dmarc_spf(mail: Evidence, policy: dmarc.Policy) -> None:
    sender = mail.envelope.mail_from.rpartition("@")[2]
    if not dmarc.is_aligned(sender, mail.domain, is_strict=policy.is_strict_spf):
        raise Unusable("the envelope's sender is of another domain")
    result = await mail.spf()
    if result != "pass":
        raise Unusable(f"{mail.envelope.client.ip} is not listed: {result}")


async def _by_arc(mail: Evidence, rule: SenderRule) -> None:
    """A sealer that the rule names was the last one to seal, and saw dmarc pass for the author's domain."""
    link = arc.newest(mail.fields, mail.now_s)
    if link is None:
        raise Unusable("the mail has no seal")
    if link.seal.domain not in rule.sealers:
        raise Unusable(f"{link.seal.domain} is no sealer of the rule")
    if link.results is None:
        raise Unusable("what the sealer saw cannot be read")
    _require_dmarc([link.results], mail.domain, link.seal.domain)
    await mail.verify(link.message)
    await mail.verify_bytes(link.seal, lambda: link.sealed)


async def _by_results(mail: Evidence, rule: SenderRule) -> None:
    """Our relay saw dmarc pass."""
    _require_dmarc(_results(mail, rule.hops, rule.authserv_id.lower()), mail.domain, rule.authserv_id)


async def _by_microsoft(mail: Evidence, rule: SenderRule) -> None:
    """Microsoft, which brought the mail, saw dmarc pass, and nothing against it (compauth)."""
    seen = _results(mail, rule.hops, "")
    _require_dmarc(seen, mail.domain, "Microsoft")
    overall = [result.result for each in seen for result in each.results if result.method == "compauth"]
    if set(overall) - {"pass"}:
        raise Unusable(f"compauth={overall[0]}")


def _results(mail: Evidence, hops: int, server: str) -> list[Results]:
    """Return what the relay's own lines say. Raises Unusable when one can't be read: it may say no."""
    found = [auth_results.read(line) for line in mail.believed(hops)]
    if None in found:
        raise Unusable("an Authentication-Results line of the relay cannot be read")
    return [each for each in found if each is not None and each.server == server]


def _require_dmarc(seen: Sequence[Results], domain: str, who: str) -> None:
    """Raise Unusable unless all that is said of DMARC is that it passed for this very domain."""
    dmarc_results = [result for each in seen for result in each.results if result.method == "dmarc"]
    if not dmarc_results:
        raise Unusable(f"{who} says nothing of DMARC")
    for result in dmarc_results:
        if result.result != "pass":
            raise Unusable(f"{who} says dmarc={result.result}")
        if result.all("header.from") != (domain,):
            raise Unusable(f"{who} says dmarc=pass of another domain")


_PROOFS: dict[Proof, Callable[[Evidence, SenderRule], Awaitable[None]]] = {
    Proof.AUTHENTICATION_RESULTS: _by_results,
    Proof.MICROSOFT_RESULTS: _by_microsoft,
    Proof.DKIM: _by_dkim,
    Proof.SPF: _by_spf,
    Proof.DMARC: _by_dmarc,
    Proof.ARC: _by_arc,
}
