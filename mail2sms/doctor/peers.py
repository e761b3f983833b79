"""The others we depend on: smarthost, carriers, chat hooks. They are asked, and nothing is sent through them."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

from mail2sms import carriers
from mail2sms.carriers._base import Carrier, CarrierOptions
from mail2sms.cli import typed
from mail2sms.config.schema import Settings
from mail2sms.doctor import Finding, Patient
from mail2sms.errors import BadOption, DeliveryFailed, SendFailed, Unavailable
from mail2sms.hooks._base import HookOptions
from mail2sms.mailer import Mailer
from mail2sms.money import Money

_ANSWER_S = 8.0
_NOT_TAKEN = "let it take mail from our domain, sent by this machine"
_NOT_REACHED = "relay.smarthost: are address, tls, login and password right? does a firewall stand between?"
_TAKES_NOTHING = (
    "are address and tls right? does a firewall stand between? are we bound already, as often as agreed?"
)
_CREDENTIALS = "look at its options in mail2sms.yaml; the provider's console shows what it saw"


async def smarthost(patient: Patient) -> list[Finding]:
    """The smarthost takes mail from our reply addresses, up to the mail itself."""
    settings = patient.settings
    options = settings.relay.smarthost
    if options is None:
        remedy = ('relay: {smarthost: {address: "smtp.acme.example:587", login: .., password: ..}}',)
        sentence = "none is configured: replies and refusals reach nobody by email"
        return [Finding(name="smarthost", level="warn", sentence=sentence, remedy=remedy)]
    ours, theirs = f"{settings.template_mailbox}@{settings.domain}", f"postmaster@{_home(settings)}"
    try:
        await Mailer(options, hello=settings.domain).probe(ours, theirs)
    except BadOption as e:
        return [Finding(name="smarthost", level="FAIL", sentence=str(e), remedy=(e.hint,) if e.hint else ())]
    except DeliveryFailed as e:
        asked = f" does not take mail from {ours} to {theirs}" if e.is_final else ""
        sentence = f"{options.address}{asked}: {e.detail}"
        way_out = _NOT_TAKEN if e.is_final else _NOT_REACHED
        return [Finding(name="smarthost", level="FAIL", sentence=sentence, remedy=(way_out,))]
    sentence = f"{options.address} takes mail from ...@{settings.domain}"
    return [Finding(name="smarthost", level="ok", sentence=sentence)]


def _home(settings: Settings) -> str:
    """Return the domain that our writers' mailboxes are in."""
    addresses = [*settings.users, *(rule.pattern for rule in settings.senders)]
    domains = [
        address.rpartition("@")[2].lower() for address in addresses if "*" not in address.rpartition("@")[2]
    ]
    return next((domain for domain in domains if domain), settings.domain)


async def all_carriers(patient: Patient) -> list[Finding]:
    """Each carrier knows us."""
    asked = (_carrier(name, options, patient) for name, options in patient.settings.carriers.items())
    return list(await asyncio.gather(*asked))


async def _carrier(name: str, options: CarrierOptions, patient: Patient) -> Finding:
    left: Money | None = None
    answer_s = _ANSWER_S
    try:
        carrier = carriers.load(options.type).build(name, options, patient.state)
        async with asyncio.timeout(answer_s := carrier.probe_s):
            said = await carrier.probe()
            if options.watched_balance is not None:
                left = await _left(carrier)
    except BadOption as e:
        return Finding(name=name, level="FAIL", sentence=str(e), remedy=(e.hint,) if e.hint else ())
    except Unavailable as e:
        sentence = f"{options.type}: {e.detail}"
        return Finding(name=name, level="FAIL", sentence=sentence, remedy=(_TAKES_NOTHING,))
    except SendFailed as e:
        sentence = f"{options.type} says no: {e}"
        return Finding(name=name, level="FAIL", sentence=sentence, remedy=(_CREDENTIALS,))
    except TimeoutError:
        sentence = f"{options.type} does not answer within {answer_s:.0f} s"
        return Finding(name=name, level="FAIL", sentence=sentence, remedy=("does a firewall stand between?",))
    if not said:
        remedy = (f"try it:  {typed('doctor --send-test NUMBER', patient.config)}",)
        return Finding(name=name, level="skip", sentence=f"{options.type} can't be asked", remedy=remedy)
    return _told(name, said, left, options.watched_balance)


async def _left(carrier: Carrier) -> Money:
    try:
        return await carrier.balance()
    finally:
        await carrier.stop()


def _told(name: str, said: str, left: Money | None, below: Money | None) -> Finding:
    if left is None or below is None:
        return Finding(name=name, level="ok", sentence=said)
    sentence = f"{said}; {left} left"
    if left.currency != below.currency:
        remedy = (f"write balance_below in {left.currency}: the two do not compare",)
        return Finding(name=name, level="warn", sentence=sentence, remedy=remedy)
    if left < below:
        remedy = ("top the account up at the provider; at nothing it takes no message any more",)
        return Finding(name=name, level="warn", sentence=f"{sentence}, less than {below}", remedy=remedy)
    return Finding(name=name, level="ok", sentence=sentence)


async def all_hooks(patient: Patient) -> list[Finding]:
    """Each chat server can be reached; nothing is posted."""
    hooks = patient.settings.relay.hooks
    return list(await asyncio.gather(*(_hook(i, hook) for i, hook in enumerate(hooks, 1))))


async def _hook(number: int, hook: HookOptions) -> Finding:
    name = f"hook {number}"
    try:
        url = urlsplit(hook.url.reveal())
    except BadOption as e:
        return Finding(name=name, level="FAIL", sentence=str(e), remedy=(e.hint,) if e.hint else ())
    is_secure, host = url.scheme == "https", url.hostname or ""
    port = url.port or (443 if is_secure else 80)
    where = f"{hook.format} at {host}:{port}"  # the path is the secret
    try:
        async with asyncio.timeout(_ANSWER_S):
            context = ssl.create_default_context() if is_secure else None
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.close()
    except ssl.SSLError as e:
        remedy = ("let the chat server show a certificate that this machine trusts",)
        sentence = f"{where} has no certificate for that name ({e.reason or 'TLS failed'})"
        return Finding(name=name, level="FAIL", sentence=sentence, remedy=remedy)
    except (OSError, TimeoutError) as e:
        why = "does not answer" if isinstance(e, TimeoutError) else str(e.strerror or e)
        remedy = (f"from this machine it must be reachable:  curl -I {url.scheme}://{host}:{port}/",)
        return Finding(name=name, level="FAIL", sentence=f"{where}: {why}", remedy=remedy)
    return Finding(name=name, level="ok", sentence=f"{where} can be reached")
