"""What mails prove costs little: whom we ask, how much, and how many at once. The cases are in the proof `spoof`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mail2sms.dns import Dns, DnsUnanswered
from mail2sms.errors import Refusal
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.mailauth import Mailauth
from mail2sms.model import Proof
from mail2sms.options import read_networks
from tests import signing
from tests.proofs import _spoofs
from tests.proofs._spoofs import MARIE, NOW_S, STRANGER, mail
from tests.servers import NameServer


@pytest.fixture
def server() -> Iterator[NameServer]:
    """The names of the proof."""
    with NameServer(_spoofs.zone()) as server:
        yield server


def _rule(*proofs: Proof, pattern: str = "*@acme.example", **more: Any) -> SenderRule:
    return SenderRule(pattern=pattern, proofs=frozenset(proofs), **more)


def _envelope(content: bytes, ip: str = STRANGER, mail_from: str = MARIE) -> Envelope:
    return Envelope(client=Client(ip=ip), mail_from=mail_from, rcpts=(_spoofs.PHONE,), content=content)


async def _prove(dns: Any, envelope: Envelope, *rules: SenderRule, sender: str = MARIE) -> str:
    identity = Identity(rules, {}, {}, account="sms.acme.example")
    looks = Mailauth(dns, clock=lambda: NOW_S)
    try:
        author = identity.author(envelope.client, (sender,), envelope.mail_from)
        return (author.proof or await looks.proof(author, envelope)).value
    except Refusal as e:
        return f"{e.problems[0].reason} {e.problems[0].facts.get('why', '')}".strip()
    finally:
        looks.close()
        identity.close()


SIGNED = signing.sign(mail("1"), "acme.example", by="acme")


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (mail("1"), 0),
        (signing.sign(mail("1"), "evil.example", by="evil"), 0),
        (SIGNED.replace(b"Hello", b"Hullo"), 0),
        (signing.sign(mail("1"), "acme.example", by="acme", x="1"), 0),
        (signing.sign(mail("1", to="bob@partner.example"), "acme.example", by="acme"), 0),
        (signing.seal(mail("1"), "evil.example", "dmarc=pass header.from=acme.example", by="evil"), 0),
        (SIGNED, 1),
        (b"".join(signing.signature(mail("1"), "acme.example", s=f"x{n}") for n in range(50)) + mail("1"), 5),
    ],
)
async def test_who_is_asked(server: NameServer, content: bytes, asked: int) -> None:
    """What can't count costs no question: strangers don't make us ask name servers, theirs least of all."""
    rule = _rule(Proof.DKIM, Proof.SPF, Proof.ARC, sealers=frozenset({"lists.example"}))
    await _prove(Dns(server.endpoint), _envelope(content, mail_from=_spoofs.EVE), rule)
    assert len(server.asked) == asked, server.asked


async def test_what_costs_nothing_comes_first(server: NameServer) -> None:
    """A network before a signature, whatever the order of the rules; the results of a relay before the DNS."""
    dns = Dns(server.endpoint)
    network = SenderRule(pattern="*@acme.example", networks=read_networks(STRANGER))
    assert await _prove(dns, _envelope(SIGNED), _rule(Proof.DKIM), network) == "network"
    relayed = _rule(Proof.DKIM, Proof.MICROSOFT_RESULTS, networks=read_networks(STRANGER))
    head = b"Authentication-Results: dmarc=pass header.from=acme.example\r\nReceived: x\r\n"
    assert await _prove(dns, _envelope(head + SIGNED), relayed) == "microsoft_results"
    assert server.asked == []
    assert await _prove(dns, _envelope(SIGNED), relayed) == "dkim"


async def test_one_proof_that_holds_is_enough(server: NameServer) -> None:
    """Others may fail, or not be known; only when none holds does it matter."""
    rule = _rule(Proof.DKIM, Proof.SPF, Proof.DMARC)
    server.zone = {**server.zone, "acme.example": {"SILENCE": []}, "_dmarc.acme.example": {"SILENCE": []}}
    dns = Dns(server.endpoint, timeout_s=0.05)
    assert await _prove(dns, _envelope(SIGNED), rule) == "dkim"
    told = await _prove(dns, _envelope(mail("1")), rule)
    assert told.startswith(
        "sender.proof_unknown dkim: the mail has no signature; spf: no answer from the DNS"
    )
    told = await _prove(
        dns, _envelope(mail("1"), mail_from=_spoofs.EVE), replace(rule, proofs=frozenset({Proof.SPF}))
    )
    assert told == "sender.proof_missing spf: the envelope's sender is of another organisation"


async def test_a_machine_without_name_servers_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that it can't know."""

    def nobody() -> Dns:
        raise DnsUnanswered("this machine names no name server")

    monkeypatch.setattr("mail2sms.intake.mailauth.Dns", nobody)
    assert (await _prove(None, _envelope(SIGNED), _rule(Proof.DKIM))).startswith("sender.proof_unknown")


class Slow:
    """A name server that answers when it is told to, and counts how many wait."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waiting: list[str] = []

    async def txt(self, name: str) -> tuple[str, ...]:
        """Wait."""
        self.waiting.append(name)
        await self.gate.wait()
        return ()


async def test_few_mails_of_one_client_are_looked_at_at_once() -> None:
    """The others wait, and those of another client do not wait for them."""
    slow, looks = Slow(), Mailauth(None, clock=lambda: NOW_S)
    looks._dns = slow  # type: ignore[assignment]
    identity = Identity((_rule(Proof.DKIM),), {}, {}, account="sms.acme.example")
    author = identity.author(Client(ip=STRANGER), (MARIE,), MARIE)

    async def settle(count: int) -> None:
        async with asyncio.timeout(10):
            while len(slow.waiting) < count:
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(looks.attempts(author, _envelope(SIGNED))) for _ in range(10)]
    await settle(4)
    tasks.append(asyncio.create_task(looks.attempts(author, _envelope(SIGNED, ip="192.0.2.1"))))
    await settle(5)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(slow.waiting) == 5
    slow.gate.set()
    for tried in await asyncio.gather(*tasks):
        assert [each.result for each in tried] == ["fail"]
    assert not looks._clients
    looks.close()
    identity.close()
