"""The proofs of a sender, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from mail2sms.cli.recipes import plain_network
from mail2sms.errors import Refusal
from mail2sms.intake import address_keys, headers
from mail2sms.intake.envelope import Envelope
from mail2sms.intake.identity import Author, Identity, Peer, SenderRule
from mail2sms.intake.mailauth import Tried
from mail2sms.model import Proof


def author(content: bytes) -> str:
    """Return the one address of the From header, as the listener reads it; nothing when it is none."""
    try:
        fields = headers.split(content, 0, len(content))[0].all("from")
    except Refusal:
        return ""
    found = headers.authors(fields)[0] if len(fields) == 1 else ()
    return found[0] if len(found) == 1 else ""


def asks(rule: SenderRule, author: str) -> str:
    """Return the proofs of a rule in words."""
    networks = ", ".join(map(plain_network, rule.networks))
    domain, sealers = author.rpartition("@")[2], ", ".join(sorted(rule.sealers))
    words = {
        Proof.NETWORK: f"mail from {networks}",
        Proof.LOGIN: f"a login as {author}",
        Proof.CERTIFICATE: f"a client certificate of {', '.join(sorted(rule.certificates))}",
        Proof.ADDRESS_KEY: f"a key of {author} in the address, such as NUMBER+kKEY@",
        Proof.DKIM: f"a DKIM signature of {domain}",
        Proof.SPF: f"a client that the SPF record of {domain} lists",
        Proof.DMARC: f"DKIM or SPF as the DMARC record of {domain} asks",
        Proof.ARC: f"an ARC seal of {sealers} that says dmarc=pass",
        Proof.AUTHENTICATION_RESULTS: f"dmarc=pass by {rule.authserv_id}, from {networks}",
        Proof.MICROSOFT_RESULTS: f"dmarc=pass by Microsoft, from {networks}",
    }
    return " or ".join(text for proof, text in words.items() if proof in rule.proofs)


def client_attempts(
    rules: Sequence[SenderRule], peer: Peer, author: str, held: SenderRule | None
) -> Iterator[Tried]:
    """Yield the proofs that the client itself could have brought and did not, up to the rule that `held`."""
    for rule in rules:
        if not author or not rule.matches(author):
            continue
        if rule == held:
            return
        for proof in (Proof.NETWORK, Proof.LOGIN, Proof.CERTIFICATE):
            if proof in rule.proofs:
                yield Tried(rule=rule, proof=proof, result="fail", why=_why_not(rule, proof, peer))


def key_attempts(identity: Identity, author: Author, envelope: Envelope) -> Iterator[Tried]:
    """Yield what the keys in the addresses prove."""
    if author.by_key is None:
        return
    keys = {key for rcpt in envelope.rcpts if (key := _key(rcpt))}
    why = identity.why_no_key(author.address, keys, envelope.client.ip)
    result: Literal["pass", "fail"] = "fail" if why else "pass"
    yield Tried(rule=author.by_key, proof=Proof.ADDRESS_KEY, result=result, why=why)


def _key(rcpt: str) -> str:
    try:
        return address_keys.split(rcpt.rpartition("@")[0])[1]
    except address_keys.KeyCut:
        return ""


def _why_not(rule: SenderRule, proof: Proof, peer: Peer) -> str:
    if peer.login is not None:
        return f"{peer.login} has logged in, and writes as nobody else"
    if proof is Proof.NETWORK:
        return f"{peer.ip} is not in {', '.join(map(plain_network, rule.networks))}"
    if proof is Proof.LOGIN:
        return "nobody has logged in"
    return f"no certificate of {', '.join(sorted(rule.certificates))}"
