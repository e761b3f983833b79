"""What the DNS says of our domain: where mail to it goes, and who may send as it."""

from __future__ import annotations

import ipaddress
import socket

from mail2sms.cli import typed
from mail2sms.config.schema import Settings
from mail2sms.doctor import Finding, Patient
from mail2sms.intake import dmarc
from mail2sms.intake.spf import Spf, SpfInvalid, read
from mail2sms.model import RELAYED_PROOFS, Proof


async def mail_exchanger(patient: Patient) -> list[Finding]:
    """Mail to our domain comes here, or somewhere that may pass it on."""
    domain = patient.settings.domain
    exchangers = await patient.dns.mx(domain)
    if exchangers and not exchangers[0][1]:
        return [_nowhere(patient, f"{domain} has a null MX: it says that it takes no mail")]
    hosts = [(f"MX {preference} {host}", host) for preference, host in exchangers] or [("A", domain)]
    named = {what: await patient.dns.addresses(host) for what, host in hosts}
    if not any(named.values()):
        return [_nowhere(patient, f"{domain} has no MX and no address")]
    for what, addresses in named.items():
        ours = [address for address in addresses if is_here(address)]
        if ours:
            return [Finding(name="DNS", level="ok", sentence=f"{domain} {what} ({ours[0]}, this machine)")]
    where = ", ".join(f"{what} ({', '.join(addresses) or 'no address'})" for what, addresses in named.items())
    smtp = patient.settings.listen.smtp
    remedy = (
        f"right if that is your mail server or firewall and passes mail for {domain} on to this machine"
        f"{f' ({smtp.address})' if smtp else ''}",
        f"else:  {domain}. MX 10 NAME-OF-THIS-MACHINE.",
    )
    return [Finding(name="DNS", level="warn", sentence=f"{domain} {where}: not this machine", remedy=remedy)]


def _nowhere(patient: Patient, sentence: str) -> Finding:
    """Nobody finds us by the DNS: right where servers that we know bring all mail, and know the way themselves."""
    domain = patient.settings.domain
    add = f"{domain}. MX 10 NAME-OF-THIS-MACHINE."
    if _is_open(patient.settings):
        return Finding(
            name="DNS", level="FAIL", sentence=f"{sentence}: nobody finds it", remedy=(f"add:  {add}",)
        )
    remedy = (
        f"right if your mail server has its own way here:  {typed('recipe postfix', patient.config)}",
        f"and takes replies from ...@{domain} all the same",
        f"else:  {add}",
    )
    return Finding(name="DNS", level="warn", sentence=sentence, remedy=remedy)


def _is_open(settings: Settings) -> bool:
    """Whether people write to us from anywhere, and not only servers whose networks we know."""
    is_reachable = any(not mail.address.is_loopback for mail in settings.listen.mail().values())
    from_servers = {Proof.NETWORK, *RELAYED_PROOFS}
    return is_reachable and any(rule.proofs - from_servers for rule in settings.senders)


def is_here(address: str) -> bool:
    """Whether an address is one of this machine's: only such can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as door:
            door.bind((address, 0))
    except OSError:
        return False
    return True


async def sender_policy(patient: Patient) -> list[Finding]:
    """Replies come from addresses of our domain: its SPF record must list where they leave."""
    domain, smarthost = patient.settings.domain, patient.settings.relay.smarthost
    try:
        record = await read(patient.dns, domain)
    except SpfInvalid as e:
        return [Finding(name="SPF", level="FAIL", sentence=str(e), remedy=("keep one of them",))]
    if smarthost is None:
        return [Finding(name="SPF", level="skip", sentence="no smarthost: no email is sent")]
    host = smarthost.address.host
    addresses = (host,) if _is_address(host) else await patient.dns.addresses(host)
    public = [address for address in addresses if ipaddress.ip_address(address).is_global]
    if record is None:
        listed = (
            " ".join(f"ip{ipaddress.ip_address(a).version}:{a}" for a in public) or "ip4:WHERE-MAIL-LEAVES"
        )
        add, sentence = f'{domain}. TXT "v=spf1 {listed} -all"', f"{domain} has no SPF record"
        if public or _is_open(patient.settings):
            return [Finding(name="SPF", level="FAIL", sentence=sentence, remedy=(f"add:  {add}",))]
        remedy = (f"right if {host} brings replies to mailboxes of your own alone", f"else:  {add}")
        return [Finding(name="SPF", level="warn", sentence=sentence, remedy=remedy)]
    if not public:
        sentence = f'{domain} has "{record}"; where {host} sends from to the world can\'t be seen from here'
        return [Finding(name="SPF", level="skip", sentence=sentence)]
    return [await _listed(patient, host, address, record) for address in public]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _listed(patient: Patient, host: str, address: str, record: str) -> Finding:
    domain = patient.settings.domain
    try:
        result = await Spf(patient.dns, address).judge(domain)
    except SpfInvalid as e:
        remedy = ("put the record right: receivers take one that can't be read as an error",)
        return Finding(name="SPF", level="FAIL", sentence=str(e), remedy=remedy)
    if result == "pass":
        return Finding(name="SPF", level="ok", sentence=f"{domain} lists {host} ({address})")
    first, _, rest = record.partition(" ")
    kind = f"ip{ipaddress.ip_address(address).version}"
    sentence = f"replies are sent as ...@{domain}, but its SPF does not list {host} ({address}): {result}"
    remedy = (f'change:  {domain}. TXT "{first} {kind}:{address} {rest}"',)
    return Finding(name="SPF", level="FAIL", sentence=sentence, remedy=remedy)


async def proofs(patient: Patient) -> list[Finding]:
    """What rules of `senders` ask of the From domains' own records is there."""
    wanted = {
        (proof, rule.pattern.rpartition("@")[2])
        for rule in patient.settings.senders
        for proof in rule.proofs & {Proof.SPF, Proof.DMARC}
        if "*" not in rule.pattern.rpartition("@")[2]
    }
    return [
        await (_spf_proof if proof is Proof.SPF else _dmarc_proof)(patient, domain)
        for proof, domain in sorted(wanted)
    ]


async def _spf_proof(patient: Patient, domain: str) -> Finding:
    try:
        record = await read(patient.dns, domain)
    except SpfInvalid as e:
        return Finding(name="senders", level="FAIL", sentence=str(e), remedy=("keep one of them",))
    if record is None:
        return _unprovable(domain, "spf", f'{domain}. TXT "v=spf1 mx -all"')
    return Finding(name="senders", level="ok", sentence=f'mail from {domain} is proven by SPF: "{record}"')


async def _dmarc_proof(patient: Patient, domain: str) -> Finding:
    for place in dict.fromkeys([domain, dmarc.organisation(domain) or domain]):
        records = await patient.dns.txt(f"_dmarc.{place}")
        if dmarc.policy(records) is not None:
            sentence = f"mail from {domain} is proven as _dmarc.{place} asks"
            return Finding(name="senders", level="ok", sentence=sentence)
        if records:
            break
    return _unprovable(domain, "dmarc", f'_dmarc.{domain}. TXT "v=DMARC1; p=none"')


def _unprovable(domain: str, word: str, record: str) -> Finding:
    sentence = f"senders asks for {word} of {domain}, which has no such record: all its mail is refused"
    return Finding(name="senders", level="FAIL", sentence=sentence, remedy=(f"add:  {record}",))


async def signature(patient: Patient) -> list[Finding]:
    """mail2sms does not sign: the smarthost may."""
    domain = patient.settings.domain
    if patient.settings.relay.smarthost is None:
        return []
    sentence = f"mail2sms does not sign; let the smarthost sign as d={domain}"
    remedy = (f"then look for its key yourself:  dig TXT SELECTOR._domainkey.{domain}",)
    return [Finding(name="DKIM", level="skip", sentence=sentence, remedy=remedy)]
