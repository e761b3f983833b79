"""The options under `listen`: the doors, each with the address where it listens and what it asks of who comes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator

from mail2sms.config.values import Url
from mail2sms.endpoint import Endpoint
from mail2sms.options import (
    DoorOption,
    EndpointOption,
    Networks,
    Options,
    SizeBytes,
    Written,
    read_endpoint,
    whole,
)


class MailListener(Options):
    """What all doors that mail comes through have."""

    address: EndpointOption
    """Where it listens. Example: 127.0.0.1:2525"""
    proxy: Networks = ()
    """Load balancers that say first whom they bring (PROXY protocol), by address. Example: 10.1.0.2"""


class SmtpListener(MailListener):
    """Mail from your mail server. `login: optional` lets networks of `senders` in beside people who log in."""

    tls: Literal["off", "offered", "required", "implicit"] = "off"
    """Whether STARTTLS is there; required: no mail without it; implicit: TLS from the start. Example: offered"""
    login: Literal["no", "optional", "required"] = "no"
    """Whether people log in; optional: networks of senders need not. Example: optional"""


class SubmissionListener(SmtpListener):
    """Mail from people's mail programs (RFC 6409)."""

    tls: Literal["off", "offered", "required", "implicit"] = "required"
    """required: STARTTLS before all else (port 587); implicit: TLS from the start (port 465). Example: implicit"""
    login: Literal["no", "optional", "required"] = "required"
    """Whether people log in. Example: required"""


class SubmissionsListener(MailListener):
    """Mail from people's mail programs, with TLS from the start, beside `submission` (RFC 8314)."""

    login: Literal["optional", "required"] = "required"
    """Whether people log in. Example: required"""

    @property
    def tls(self) -> Literal["implicit"]:
        """There is nothing else at port 465."""
        return "implicit"


class DevicesListener(MailListener):
    """Mail from old printers, UPSs and the like: only at a private address, for what is known to be unsafe."""

    address: EndpointOption
    """Where it listens: a private address of this machine, for logins may come in clear. Example: 10.1.0.5:2525"""
    tls: Literal["off", "legacy", "legacy-implicit"] = "off"
    """legacy: STARTTLS is there, down to TLS 1.0; legacy-implicit: such TLS from the start. Example: legacy"""
    login: Literal["no", "optional", "required"] = "optional"
    """Whether devices log in, with TLS or without; optional: networks of senders need not. Example: optional"""


class LmtpListener(MailListener):
    """Mail from a mail server, which hears of each recipient alone what became of it (RFC 2033)."""

    address: DoorOption
    """Where it listens: host:port, or a socket of this machine. Example: unix:/run/mail2sms-lmtp/socket"""

    @property
    def tls(self) -> Literal["off"]:
        """It is for the machine itself or its own network."""
        return "off"

    @property
    def login(self) -> Literal["no"]:
        """A mail server proves itself by its network."""
        return "no"


AnyMailListener = SmtpListener | SubmissionsListener | DevicesListener | LmtpListener


def _read_web(value: Any) -> Endpoint:
    return read_endpoint(value, "127.0.0.1:8025")


_WRITTEN = next(each for each in get_args(EndpointOption) if isinstance(each, Written))
WebEndpointOption = Annotated[Endpoint, BeforeValidator(_read_web), _WRITTEN]


class WebListener(Options):
    """API and carriers' events. `url` is how others reach it."""

    address: WebEndpointOption
    """Where it listens. Example: 127.0.0.1:8025"""
    url: Url
    """How browsers and carriers reach it from outside. Example: https://sms.acme.example"""


class Limits(Options):
    """Ceilings of the SMTP listeners. Networks of `senders` are exempt from `per_ip`."""

    connections: Annotated[int, whole(1, 100_000)] = 200
    """Connections at once, over all listeners. Example: 200"""
    per_ip: Annotated[int, whole(1, 100_000)] = 10
    """Connections at once of one client; networks of senders are exempt. Example: 10"""
    bytes_in_flight: SizeBytes = 64_000_000
    """All mails together that are being received. Example: 64MB"""
    recipients: Annotated[int, whole(1, 10_000)] = 50
    """Recipients of one mail. Example: 50"""
    size: SizeBytes = 1_000_000
    """One mail with its attachments. Example: 1MB"""


class Listen(Options):
    """The doors."""

    smtp: SmtpListener | None = None
    """Mail from your mail server."""
    submission: SubmissionListener | None = None
    """Mail from people's mail programs (RFC 6409)."""
    submissions: SubmissionsListener | None = None
    """The same with TLS from the start: mail programs try port 465 first, or 587."""
    devices: DevicesListener | None = None
    """Mail from old devices in your own network, with old TLS or none."""
    lmtp: LmtpListener | None = None
    """Mail from your mail server, with an answer for each recipient (RFC 2033)."""
    web: WebListener | None = None
    """The API, and what carriers report."""

    def mail(self) -> dict[str, AnyMailListener]:
        """Return the listeners that take mail, by name."""
        every: dict[str, AnyMailListener | None] = {
            "smtp": self.smtp,
            "submission": self.submission,
            "submissions": self.submissions,
            "devices": self.devices,
            "lmtp": self.lmtp,
        }
        return {name: listener for name, listener in every.items() if listener}

    def addresses(self) -> dict[str, Endpoint]:
        """Return where each configured listener listens, by name."""
        found: dict[str, Endpoint] = {name: listener.address for name, listener in self.mail().items()}
        return {**found, "web": self.web.address} if self.web else found
