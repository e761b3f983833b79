"""What `check` says of the proofs of `senders`: what one needs, and what would let anybody in."""

from __future__ import annotations

from collections.abc import Iterator

from mail2sms.config.schema import Settings
from mail2sms.config.yamltext import Document, Fault, Steps
from mail2sms.intake import dmarc
from mail2sms.model import Proof


def proofs(settings: Settings, document: Document) -> Iterator[Fault]:
    """What belongs to a proof is there, and nothing that no proof uses."""
    for i, rule in enumerate(settings.senders):
        steps: Steps = ("senders", i)
        needs = {
            "network": (rule.is_relayed, rule.network, "whose results are believed", "network: 10.1.0.20"),
            "authserv_id": (
                Proof.AUTHENTICATION_RESULTS in rule.proofs,
                rule.authserv_id,
                "anyone can write Authentication-Results; those of which server count",
                "authserv_id: mx.acme.example",
            ),
            "sealers": (
                Proof.ARC in rule.proofs,
                rule.sealers,
                "whose seals count",
                "sealers: [lists.acme.example]",
            ),
        }
        for name, (is_needed, value, question, hint) in needs.items():
            if is_needed and not value:
                message = f"{question}? A rule like this needs {name}"
                yield _error(document, (*steps, "proof"), message, f"add {hint}")
            elif value and not is_needed and name != "network":
                yield _error(document, (*steps, name), f"no proof of this rule uses {name}")
        if rule.hops != 1 and not rule.is_relayed:
            yield _error(document, (*steps, "hops"), "no proof of this rule uses hops")
        open_proofs = [word for word in rule.proof if word != "login"]
        if open_proofs and not _is_owned(rule.pattern):
            message = f"anyone can own a domain that {rule.pattern} matches, and prove it"
            yield _error(document, (*steps, "from"), message, "name the domain")


def _is_owned(pattern: str) -> bool:
    """Whether all addresses of a pattern are of one owner's domain."""
    _, star, domain = pattern.rpartition("@")[2].rpartition("*")
    return (not star or domain.startswith(".")) and bool(dmarc.organisation(domain.lstrip(".")))


def _error(document: Document, steps: Steps, message: str, hint: str = "") -> Fault:
    return Fault(message=message, place=document.place(steps), hint=hint, steps=steps)
