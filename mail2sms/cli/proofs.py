"""The proofs of a sender, in words."""

from __future__ import annotations

from mail2sms.cli.recipes import plain_network
from mail2sms.intake.identity import SenderRule
from mail2sms.model import Proof


def asks(rule: SenderRule, author: str) -> str:
    """Return the proofs of a rule in words."""
    networks = ", ".join(map(plain_network, rule.networks))
    domain, sealers = author.rpartition("@")[2], ", ".join(sorted(rule.sealers))
    words = {
        Proof.NETWORK: f"mail from {networks}",
        Proof.LOGIN: f"a login as {author}",
        Proof.CERTIFICATE: f"a client certificate of {', '.join(sorted(rule.certificates))}",
        Proof.DKIM: f"a DKIM signature of {domain}",
        Proof.SPF: f"a client that the SPF record of {domain} lists",
        Proof.DMARC: f"DKIM or SPF as the DMARC record of {domain} asks",
        Proof.ARC: f"an ARC seal of {sealers} that says dmarc=pass",
        Proof.AUTHENTICATION_RESULTS: f"dmarc=pass by {rule.authserv_id}, from {networks}",
        Proof.MICROSOFT_RESULTS: f"dmarc=pass by Microsoft, from {networks}",
    }
    return " or ".join(text for proof, text in words.items() if proof in rule.proofs)
