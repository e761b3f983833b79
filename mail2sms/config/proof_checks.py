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
        yield from _teams(settings, document, i)
        open_proofs = rule.proofs - {Proof.NETWORK, Proof.LOGIN, Proof.CERTIFICATE, Proof.ADDRESS_KEY}
        if open_proofs and not _is_owned(rule.pattern):
            message = f"anyone can own a domain that {rule.pattern} matches, and prove it"
            yield _error(document, (*steps, "from"), message, "name the domain")


def _teams(settings: Settings, document: Document, at: int) -> Iterator[Fault]:
    rule, steps = settings.sender_rules()[at], ("senders", at, "teams")
    if not rule.is_for_teams:
        return
    if Proof.LOGIN not in rule.proofs:
        yield _error(document, steps, "as a team writes who has logged in", "add proof: login")
    elif not any(
        rule.matches(address) and team.members for address, team in settings.team_mailboxes().items()
    ):
        message = "no team with members has an email that this rule is about"
        yield _warning(document, steps, message, "add teams.NAME.email")


def keys(settings: Settings, document: Document) -> Iterator[Fault]:
    """Whoever writes by a key has one, and no two have the same; a key without a rule proves nothing."""
    asked = [i for i, rule in enumerate(settings.sender_rules()) if Proof.ADDRESS_KEY in rule.proofs]
    owners: dict[str, str] = {}
    for address, user in settings.users.items():
        for i, key in enumerate(user.keys):
            steps: Steps = ("users", address, "keys", i)
            if owners.setdefault(key, address) != address:
                message = f"this is the key of {owners[key]} too: it would not say who writes"
                yield _error(document, steps, message, f"the verb key makes another for {address}")
            elif not asked:
                yield _warning(document, steps, "no rule of senders takes keys", "add proof: key")
    rules = settings.sender_rules()
    for i in asked:
        if not any(user.keys and rules[i].matches(address) for address, user in settings.all_users().items()):
            message = "nobody that this rule is about has a key"
            yield _warning(document, ("senders", i, "proof"), message, "the verb key makes one")


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


def _warning(document: Document, steps: Steps, message: str, hint: str) -> Fault:
    place = document.place(steps)
    return Fault(message=message, place=place, hint=hint, steps=steps, is_warning=True)


def _error(document: Document, steps: Steps, message: str, hint: str = "") -> Fault:
    return Fault(message=message, place=document.place(steps), hint=hint, steps=steps)
