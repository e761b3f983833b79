"""The options of `devices`: machines that send mail, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from mail2sms import numbers
from mail2sms.alarm import Storm
from mail2sms.config.quotas import LimitsOption, read_limit
from mail2sms.config.values import (
    Address,
    ListOfOne,
    Name,
    PasswordHash,
    SenderIdOption,
    SenderPattern,
    read_phone,
)
from mail2sms.errors import BadOption
from mail2sms.intake import expressions
from mail2sms.intake.devices import Device
from mail2sms.intake.expressions import Expression, ExpressionInvalid
from mail2sms.model import MessageClass, Msisdn
from mail2sms.options import DurationMs, Networks, Options, Written, whole
from mail2sms.rules._limits import MESSAGES, Limit

if TYPE_CHECKING:
    from mail2sms.config.schema import Settings

DEFAULT_TEXT = r"{subject}\n{body}"
_LIMIT_EXAMPLE = "such as 6/hour; minute, hour or day"


def _expression(value: Any) -> Expression:
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str):
        raise BadOption("expected one text, not a list or a section")
    try:
        return expressions.read(value)
    except ExpressionInvalid as e:
        raise BadOption(str(e), e.hint, column=e.column, width=e.width) from e


def _quoted(text: Expression) -> str:
    """Return it as it is written."""
    return f"'{text}'"


def _limit(value: Any) -> Limit:
    limit = value if isinstance(value, Limit) else read_limit(value)
    if limit.unit != MESSAGES or limit.window == "month":
        raise BadOption(f'expected so many SMS in a time, got "{value}"', _LIMIT_EXAMPLE)
    if limit.amount == 0:
        raise BadOption("a device that may send nothing is no device", _LIMIT_EXAMPLE)
    return limit


def _phone_or_team(value: Any, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise BadOption("expected a team or a phone number")
    looks_like_number = value.strip().lstrip("+(0123456789 .-)/") == ""
    return read_phone(value, info) if looks_like_number else value


PhoneOrTeam = Annotated[
    str,
    BeforeValidator(_phone_or_team),
    Written("a team, or a phone number in quotes", types=("string", "integer")),
]
TextOfDevice = Annotated[
    Expression,
    BeforeValidator(_expression),
    Written('a text with fields of the mail in braces ("{subject}: {body|first_line}")', show=_quoted),
]
StormLimit = Annotated[
    Limit,
    BeforeValidator(_limit),
    Written("so many in a time (6/hour)", "^[0-9]+ */ *(minute|hour|day)$"),
]


class DeviceOption(Options):
    """A machine: known by a login, or by its network. What is too long for it is cut, and storms become one SMS."""

    login: Name | None = None
    """The name that it logs in with. Example: ups-1"""
    password: PasswordHash | None = None
    """For its login: the argon2id hash, never the password itself. Example: file:/etc/mail2sms/ups-1"""
    network: Networks = ()
    """Mail from there is the device's. Example: 10.1.0.40"""
    pattern: SenderPattern | None = Field(None, alias="from")
    """Only mail from this address, where others send from its network too. Example: ups-1@acme.example"""
    to: Annotated[tuple[PhoneOrTeam, ...], ListOfOne] = ()
    """Who gets it, whatever address at the domain it writes to; none: that address. Example: oncall"""
    text: TextOfDevice = expressions.read(DEFAULT_TEXT)
    """What the SMS says. Example: UPS: {subject}, {body|first_line|80}"""
    max_parts: Annotated[int, whole(1, 255)] | None = None
    """A longer text is cut; else `max_parts` of all. Example: 1"""
    pictures: Literal["off", "mms", "link"] = "off"
    """Its pictures: as MMS where they can go, else left out (mms) or behind a link (link). Example: mms"""
    sender_ids: Annotated[tuple[SenderIdOption, ...], ListOfOne] = ()
    """What phones show; a number can be answered. Example: +33639980100"""
    replies_to: Address | None = None
    """Who gets what phones answer, and hears of what was not sent and of silence. Example: it@acme.example"""
    expires: DurationMs | None = None
    """What was written longer ago is not sent any more. Example: 2h"""
    wait: DurationMs | None = None
    """What comes within this time is told by one SMS. Example: 30s"""
    repeat: DurationMs | None = None
    """The same text is not sent again within this time. Example: 30m"""
    limit: StormLimit | None = None
    """So many SMS in a time; then one that tells how many more there were. Example: 6/hour"""
    silent_after: DurationMs | None = None
    """Not heard of for so long, `replies_to` is told, and again when it is back. Example: 26h"""
    quota: LimitsOption = ()
    """How much it may send, instead of `quotas.user`. Example: 50/day"""
    class_: Literal["alarm", "transactional"] = Field("alarm", alias="class")
    """alarm: goes first, waits for no morning, and is sent again when a carrier's answer was lost. Example: alarm"""


def devices(
    settings: Settings, teams: dict[str, tuple[Msisdn, ...]], words: dict[str, str]
) -> tuple[Device, ...]:
    """Return the devices as mails are read for them. `teams` are phones by name, `words` those of Storm."""
    return tuple(_device(name, option, settings, teams, words) for name, option in settings.devices.items())


def _device(
    name: str,
    option: DeviceOption,
    settings: Settings,
    teams: dict[str, tuple[Msisdn, ...]],
    words: dict[str, str],
) -> Device:
    phones = [phone for to in option.to for phone in teams.get(to.lower(), (Msisdn(to),))]
    limit = option.limit
    return Device(
        name=name,
        text=option.text,
        login=option.login or "",
        networks=option.network,
        pattern=option.pattern or "",
        phones=tuple(dict.fromkeys(phones)),
        max_parts=min(option.max_parts or settings.max_parts, settings.max_parts),
        expires_ms=option.expires,
        storm=Storm(
            wait_ms=option.wait or 0,
            repeat_ms=option.repeat or 0,
            limit=limit.amount if limit else 0,
            window=limit.window if limit else "hour",
            zone=settings.timezone,
            words=words,
        ),
        replies_to=option.replies_to or "",
        owner=option.replies_to or next(iter(settings.relay.digest.to if settings.relay.digest else ()), ""),
        class_=MessageClass(option.class_),
        language=settings.language,
        zone=settings.timezone,
    )


def is_phone(to: str) -> bool:
    """Whether one of `to` is a phone, as it was read."""
    return to.startswith("+")


def is_fiction(to: str) -> bool:
    """Whether one of `to` is a number that no phone has."""
    return is_phone(to) and numbers.is_fiction(Msisdn(to))
