"""What `check` says of the proofs of `senders`: what one needs, and what would let anybody in."""

from __future__ import annotations

from collections.abc import Iterator

from mail2sms.config.schema import Settings
from mail2sms.intake import dmarc
from mail2sms.model import Proof
from mail2sms.yamltext import Document, Fault, Steps

_NO_TLS = frozenset({"off", "legacy", "legacy-implicit"})  # or such as proves nothing


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
            "certificates": (
                Proof.CERTIFICATE in rule.proofs,
                rule.certificates,
                "whose certificates count",
                "certificates: [mx.acme.example]",
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
        open_proofs = rule.proofs - {Proof.NETWORK, Proof.LOGIN, Proof.CERTIFICATE}
        if open_proofs and not _is_owned(rule.pattern):
            message = f"anyone can own a domain that {rule.pattern} matches, and prove it"
            yield _error(document, (*steps, "from"), message, "name the domain")


def certificates(settings: Settings, document: Document) -> Iterator[Fault]:
    """Somebody asks clients for certificates, where a rule wants them."""
    asked = [i for i, rule in enumerate(settings.senders) if Proof.CERTIFICATE in rule.proofs]
    if not asked:
        return
    steps: Steps = ("senders", asked[0], "proof")
    if settings.tls is None or settings.tls.client_ca is None:
        message = "nobody is asked for a certificate"
        yield _error(document, steps, message, "add tls.client_ca: /etc/mail2sms/tls/ca.pem")
    elif all(mail.tls in _NO_TLS or mail.login == "required" for mail in settings.listen.mail().values()):
        message = "no listener takes certificates: it would have tls, and no required login"
        yield _error(document, steps, message, 'add "tls: offered" to listen.smtp')


def _is_owned(pattern: str) -> bool:
    """Whether all addresses of a pattern are of one owner's domain."""
    _, star, domain = pattern.rpartition("@")[2].rpartition("*")
    return (not star or domain.startswith(".")) and bool(dmarc.organisation(domain.lstrip(".")))


def _error(document: Document, steps: Steps, message: str, hint: str = "") -> Fault:
    return Fault(message=message, place=document.place(steps), hint=hint, steps=steps)
