"""How we present ourselves in emails, and how each of their readers reads. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mail2sms.ids import approval_key
from mail2sms.model import User
from mail2sms.relay.compose import Addressee


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """How we present ourselves: our domain, the template mailbox, and whose language and zone is what."""

    domain: str
    country: str
    template_mailbox: str
    language: str
    zone: str
    users: Mapping[str, User] = field(default_factory=dict)
    web_url: str = ""
    may_mean_stop: Callable[[str], bool] = lambda text: False

    def addressee(self, address: str, language: str = "") -> Addressee:
        """Return how this person reads: as the configuration says, else as the house does."""
        user = self.users.get(address.lower())
        wanted = (user.language if user else None) or language or self.language
        zone = (user.zone if user else None) or self.zone
        return Addressee(to=address, language=wanted, zone=zone, domain=self.domain)

    def help_url(self, language: str) -> str:
        """Return where mails that work are shown; "" when nothing is served."""
        return f"{self.web_url.rstrip('/')}/help?lang={language}" if self.web_url else ""

    def approval_url(self, id_: str, address: str, secret: bytes) -> str:
        """Return where this approver decides; "" when nothing is served."""
        key = approval_key(secret, id_, address)
        return f"{self.web_url.rstrip('/')}/approve/{id_}.{key}" if self.web_url else ""

    @property
    def template_address(self) -> str:
        """Where mail that follows the template goes."""
        return f"{self.template_mailbox}@{self.domain}"

    def reply_address(self, msisdn: str, our_address: str, key: str) -> str:
        """Return the address that answers a conversation; "" when a name was written to or wrote."""
        if not (our_address.startswith("+") and msisdn.startswith("+")):
            return ""
        return f"{msisdn[1:]}+r{key}@{self.domain}"
