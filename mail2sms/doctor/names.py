"""What the DNS says of our domain: where mail to it goes, and who may send as it."""

from __future__ import annotations

import ipaddress
import socket

from mail2sms.doctor import Finding, Patient
from mail2sms.doctor.spf import Spf, SpfInvalid, read


async def mail_exchanger(patient: Patient) -> list[Finding]:
    """Mail to our domain comes here, or somewhere that may pass it on."""
    domain = patient.settings.domain
    exchangers = await patient.dns.mx(domain)
    if exchangers and not exchangers[0][1]:
        return [_bad(f"{domain} has a null MX: it says that it takes no mail", domain)]
    hosts = [(f"MX {preference} {host}", host) for preference, host in exchangers] or [("A", domain)]
    named = {what: await patient.dns.addresses(host) for what, host in hosts}
    if not any(named.values()):
        return [_bad(f"{domain} has no MX and no address: mail to it goes nowhere", domain)]
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


def _bad(sentence: str, domain: str) -> Finding:
    return Finding(
        name="DNS", level="FAIL", sentence=sentence, remedy=(f"add:  {domain}. MX 10 NAME-OF-THIS-MACHINE.",)
    )


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
        remedy = (f'add:  {domain}. TXT "v=spf1 {listed} -all"',)
        return [Finding(name="SPF", level="FAIL", sentence=f"{domain} has no SPF record", remedy=remedy)]
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


async def signature(patient: Patient) -> list[Finding]:
    """mail2sms does not sign: the smarthost may."""
    domain = patient.settings.domain
    if patient.settings.relay.smarthost is None:
        return []
    sentence = f"mail2sms does not sign; let the smarthost sign as d={domain}"
    remedy = (f"then look for its key yourself:  dig TXT SELECTOR._domainkey.{domain}",)
    return [Finding(name="DKIM", level="skip", sentence=sentence, remedy=remedy)]
