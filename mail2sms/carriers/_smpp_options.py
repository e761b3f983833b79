"""What is agreed with an SMSC: the options of `type: smpp`."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers._base import CarrierOptions, OptionFinding
from mail2sms.carriers._smpp_receipt import Ids
from mail2sms.carriers._smpp_status import Kind
from mail2sms.carriers._smpp_text import Alphabet, Long
from mail2sms.errors import BadOption
from mail2sms.options import (
    AbsolutePath,
    DurationMs,
    EndpointOption,
    Flag,
    SecretOption,
    Written,
    whole,
)
from mail2sms.rates import Rates

_TON = re.compile(r"([0-7])/([0-9]|1[0-8])\Z")
_STATUS = re.compile(r"0x[0-9A-Fa-f]{1,8}\Z")
_NO_ROOM = "SMPP has no room for more: write it as the provider has it"


def _ton(value: Any) -> str:
    if not _TON.match(str(value)):
        raise BadOption(f'expected type of number and numbering plan, got "{value}"', "such as 1/1 or 5/0")
    return str(value)


def _status(value: Any) -> int:
    if not _STATUS.match(str(value)):
        raise BadOption(f'expected a command_status in hexadecimal, got "{value}"', "such as 0x401")
    return int(str(value), 16)


def _text(most: int, hint: str = "") -> BeforeValidator:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()) or len(value) > most:
            raise BadOption(f"expected a text of at most {most} ASCII characters", hint)
        return value

    return BeforeValidator(read)


TonOption = Annotated[str, BeforeValidator(_ton), Written("TON/NPI (1/1)", "^[0-7]/[0-9]+$")]
StatusKey = Annotated[
    int, BeforeValidator(_status), Written("a command_status", "^0x[0-9A-Fa-f]+$", stands_for="STATUS")
]


class Options(CarrierOptions):
    """An account at an SMSC that speaks SMPP 3.4."""

    address: EndpointOption
    """Where the SMSC takes binds. Example: smpp.provider.example:3550"""
    system_id: Annotated[str, _text(15, _NO_ROOM)]
    """Our name there. Example: acme"""
    password: SecretOption
    """The password of the account; beyond 8 characters not every SMSC takes it whole. Example: credential:smpp"""
    system_type: Annotated[str, _text(12, _NO_ROOM)] = ""
    """Where the provider asks for one. Example: VMA"""
    tls: Literal["off", "on"] = "off"
    """Whether the connection is TLS from its first byte; without it, use a tunnel. Example: on"""
    tls_name: Annotated[str, _text(253)] = ""
    """The name in the SMSC's certificate, where it is not that of the address. Example: smpp.provider.example"""
    ca: AbsolutePath | None = None
    """Who signed the SMSC's certificate, PEM; by default those that this machine trusts. Example: /etc/ssl/smpp.pem"""
    certificate: AbsolutePath | None = None
    """Our certificate with its chain, PEM, where the SMSC asks for one. Example: /etc/ssl/acme.pem"""
    key: AbsolutePath | None = None
    """The private key of `certificate`, PEM, without a passphrase. Example: /etc/ssl/acme.key"""
    bind: Literal["transceiver", "separate", "transmitter"] = "transceiver"
    """One bind for both ways, one for each way, or one that only sends. Example: separate"""
    binds: Annotated[int, whole(1, 32)] = 1
    """How many of them at once, on each node: no more than agreed. Example: 2"""
    window: Annotated[int, whole(1, 1000)] = 10
    """Parts on each bind that the SMSC has not answered yet. Example: 10"""
    enquire: DurationMs = 30_000
    """After so long without a word the SMSC is asked whether it lives. Example: 30s"""
    timeout: DurationMs = 60_000
    """A part that the SMSC does not answer for so long may have been sent. Example: 60s"""
    is_asked: ClassVar[bool] = True
    """Where the SMSC offers query_sm."""
    query: DurationMs = 0
    """When no receipt came for so long, the SMSC is asked (query_sm), where it offers that. Example: 6h"""
    alphabet: Literal["gsm", "gsm-packed", "latin1"] = "gsm"
    """What data_coding 0 means there: GSM-7 in one octet each, packed, or Latin-1. Example: latin1"""
    data_coding: Annotated[int, whole(0, 255)] = 0
    """Of texts in that alphabet; Unicode is always 8. Example: 1"""
    long: Literal["udh8", "udh16", "sar", "payload"] = "udh8"
    """How long texts go: in parts with a header (8 or 16 bits of reference), SAR, or whole. Example: payload"""
    number: TonOption = "1/1"
    """TON/NPI of numbers as sender ID. Example: 1/1"""
    short_code: TonOption = "3/0"
    """TON/NPI of short codes as sender ID; providers differ. Example: 3/1"""
    name: TonOption = "5/0"
    """TON/NPI of names as sender ID. Example: 5/0"""
    phone: TonOption = "1/1"
    """TON/NPI of the phones written to. Example: 1/1"""
    country: Annotated[str, _text(2)] = ""
    """Of phones that the SMSC names without a country code. Example: FR"""
    service_type: Annotated[str, _text(5, _NO_ROOM)] = ""
    """Where the provider asks for one. Example: CMT"""
    validity: Literal["relative", "absolute", "none"] = "relative"
    """How the SMSC is told until when to try; none: its own default. Example: absolute"""
    receipts: Literal["all", "failures", "none"] = "all"
    """The delivery receipts to ask for. Example: failures"""
    receipts_by_text: Flag = False
    """Whether receipts come without a mark, known by their text alone: phones could write it too. Example: yes"""
    message_ids: Literal["same", "hex-in-answers", "hex-in-receipts"] = "same"
    """Where ids are hexadecimal, if answers and receipts write the same id differently. Example: hex-in-answers"""
    statuses: dict[StatusKey, Literal["throttle", "retry", "config", "refuse"]] = Field(default_factory=dict)
    """What the provider means by a command_status of its own. Example: {"0x401": refuse}"""

    @model_validator(mode="after")
    def _files_belong_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if self.tls == "off" and (self.ca or self.certificate or self.tls_name):
            raise ValueError("ca, certificate, key and tls_name need tls: on")
        return self

    def findings(self) -> Iterator[OptionFinding]:
        """A password and texts in clear; what many SMSCs do not take."""
        if self.password.is_literal:
            yield from self.judge("password", self.password.reference)
        if self.tls == "off" and not self.address.is_private:
            yield OptionFinding(
                option="address",
                message="without TLS password and texts can be read on the way",
                hint="tls: on, or a tunnel to a private address",
            )
        if self.long == "udh16":
            yield OptionFinding(
                option="long",
                message="with udh16 long texts may need one part more than is counted and paid for",
                hint="udh8 where the provider takes it",
            )

    def judge(self, option: str, secret: str) -> Iterator[OptionFinding]:
        """A password that no bind of ours can hold."""
        if option == "password" and not wire.holds_password(secret):
            yield OptionFinding(
                option=option,
                message=f"no bind can hold this password: at most {wire.LONGEST_PASSWORD} characters of Latin-1",
                hint="ask the provider for one of at most 8 characters, as SMPP 3.4 has it",
                is_warning=False,
            )

    @property
    def rates(self) -> Rates:
        """Parts are segments, unless the SMSC makes them."""
        return replace(super().rates, by_segment=self.parts is not Long.PAYLOAD)

    @property
    def texts(self) -> Alphabet:
        """The alphabet of data_coding 0."""
        return Alphabet(self.alphabet)

    @property
    def parts(self) -> Long:
        """How long texts go."""
        return Long(self.long)

    @property
    def ids(self) -> Ids:
        """How ids compare."""
        return Ids(self.message_ids)

    @property
    def kinds(self) -> dict[int, Kind]:
        """What the provider's own statuses mean."""
        return {status: Kind(word) for status, word in self.statuses.items()}


def tls_context(options: Options) -> ssl.SSLContext | None:
    """Return the client's TLS, which always checks the SMSC's certificate. Reads files; raises BadOption."""
    if options.tls == "off":
        return None
    try:
        context = ssl.create_default_context(cafile=options.ca)
    except OSError as e:  # ssl.SSLError is one
        raise BadOption(f"ca: {options.ca} cannot be used ({_why(e)})", "a PEM file") from e
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.certificate is None:
        return context
    try:
        context.load_cert_chain(options.certificate, options.key, password=lambda: "")
    except OSError as e:
        raise BadOption(f"certificate, key: they cannot be used ({_why(e)})", "PEM, and of one pair") from e
    return context


def _why(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or "no PEM"
