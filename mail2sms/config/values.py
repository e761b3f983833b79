"""Types of values that only mail2sms.yaml has: text in, checked value out. Knows no option by name.

The validation's context is the country that national numbers are read in. What is wrong is told by BadOption; a
secret's text is never part of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, ValidationInfo

from mail2sms import addresses, carriers, hooks, numbers, reasons
from mail2sms.carriers._base import CarrierOptions
from mail2sms.errors import BadNumber, BadOption, Problem
from mail2sms.hooks._base import HookOptions
from mail2sms.model import Msisdn, SenderId
from mail2sms.options import Options, Secret, Written, read_list, read_secret

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+\Z")
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")  # RFC 5322 dot-atom
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}\Z")
_KEY_HASH = re.compile(r"sha256:[0-9a-f]{64}\Z")
ARGON2ID = "$argon2id$"
API_KEY_LENGTH = 24


def _one_text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadOption("expected one text, not a list or a section")
    return value


def read_domain(value: Any) -> str:
    """A domain name, in lower case."""
    name = _one_text(value).lower()
    if not _DOMAIN.match(name):
        raise BadOption(f'"{value}" is not a domain name', "such as sms.acme.example")
    return name


def read_address(value: Any) -> str:
    """An email address, in its one form."""
    address = addresses.canonical(_one_text(value))
    if not _is_address(address):
        raise BadOption(f'"{value}" is not an email address', "such as marie@acme.example")
    return address


def _is_address(canonical: str) -> bool:
    local, at, domain = canonical.rpartition("@")
    return bool(at and _LOCAL.match(addresses.shape(local)) and _DOMAIN.match(domain))


def _as_written(address: str) -> str:
    """Keys stay as written, so that their places are found again; they are compared in lower case."""
    read_address(address)
    return address


def _pattern(value: Any) -> str:
    text = addresses.canonical(_one_text(value))
    if text in {"*", "*@*"}:
        return "*"
    if not _is_address(text.replace("*", "x")):
        raise BadOption(
            f'expected an address or "*@" and a domain, got "{value}"', 'such as "*@acme.example"'
        )
    return text


def _name(value: Any) -> str:
    text = _one_text(value)
    if not _NAME.match(text):
        raise BadOption(f'"{text}" cannot be a name here', "small letters, digits, dots, - and _")
    return text


def _team_name(value: Any) -> str:
    if _name(value).replace("-", "").replace(".", "").isdigit():
        raise BadOption(f'"{value}" would be read as a phone number', "a team's name has a letter")
    return str(value)


def _country(value: Any) -> str:
    return numbers.read_country(_one_text(value))


_BAD_SENDER_ID = {
    "number": "is not a phone number in {country}",
    "length": "has {length} characters; a sender name has at most {limit}",
    "characters": "cannot be a sender: phones may not show {characters}",
    "letter": "cannot be a sender: a name needs a letter",
    "blank": "cannot be a sender: it begins or ends with a blank",
}


def _in_words(text: str, e: BadNumber) -> BadOption:
    facts = defaultdict(lambda: "?", e.facts, value=text)
    if e.reason == "template.bad_sender_id":
        message = f'"{text}" {_BAD_SENDER_ID[e.facts["why"]].format_map(facts)}'
    else:
        bare = {name: fact for name, fact in e.facts.items() if name == "country"}  # the rest is the hint's
        message = reasons.sentence(Problem(reason=e.reason, value=text, facts=bare))
    hint = f'did you mean "{e.hint}"?' if e.hint else ""
    if not hint and "expected" in e.facts:
        hint = "it has {digits} digits; a mobile number there has {expected}".format_map(facts)
    return BadOption(message, hint)


def read_phone(value: Any, info: ValidationInfo) -> Msisdn:
    """A phone number as people write it. Raises BadOption."""
    text = _one_text(value)
    if not info.context and not text.startswith("+"):
        return Msisdn(text)  # `country` is at fault, and that is said already
    try:
        return numbers.read(text, info.context or "")
    except BadNumber as e:
        raise _in_words(text, e) from None


def _own_number(value: Any, info: ValidationInfo) -> Msisdn:
    """A number that is also used as sender ID, so it may be a landline."""
    try:
        sender_id = numbers.read_sender_id(_one_text(value), info.context or "")
    except BadNumber:
        return read_phone(value, info)
    return Msisdn(sender_id) if sender_id.startswith("+") else read_phone(value, info)


def _sender_id(value: Any, info: ValidationInfo) -> SenderId:
    text = _one_text(value)
    try:
        return numbers.read_sender_id(text, info.context or "")
    except BadNumber as e:
        raise _in_words(text, e) from None


def _sender_id_or_number(value: Any, info: ValidationInfo) -> str:
    return "number" if value == "number" else _sender_id(value, info)


def _sender_key(value: Any) -> str:
    return "default" if value == "default" else _country(value)


def _route_target(value: Any) -> str:
    text = _one_text(value)
    if text == "any" or _PREFIX.match(text):
        return text
    if text.startswith("+") or text[:1].isdigit():
        raise BadOption(f'expected a prefix such as "+338", got "{text}"')
    return _country(text)


def _template(value: Any) -> str:
    text = _one_text(value)
    if text in {"strict", "simple", "subject"} or Path(text).is_absolute():
        return text
    raise BadOption(f'expected strict, simple, subject or the path of a file, got "{text}"')


def _database(value: Any) -> str:
    text = _one_text(value)
    if text.startswith("sqlite:"):
        if not re.match(r"sqlite:////[^/?#][^?#]*\Z", text):
            hint = "four slashes: sqlite:////var/lib/mail2sms/mail2sms.db"
            raise BadOption("the path of the SQLite database must be absolute", hint)
        return text
    if not text.startswith(("postgresql://", "postgresql+psycopg://")):
        hint = "sqlite:////var/lib/mail2sms/mail2sms.db or postgresql://mail2sms@host/mail2sms"
        raise BadOption("expected the URL of a SQLite or PostgreSQL database", hint)
    return text


def _url(value: Any) -> str:
    text = _one_text(value)
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or "@" in parts.netloc or any(c.isspace() for c in text):
        raise BadOption("expected a URL that starts with https:// or http://")
    return text.rstrip("/")


def _password(value: Any) -> Any:
    text = _one_text(value)
    if Secret(text).is_literal and not text.startswith(ARGON2ID):
        raise BadOption(
            "a user's password stands here as its argon2id hash", f'a text that starts with "{ARGON2ID}"'
        )
    return text


def _key_hash(value: Any) -> str:
    text = _one_text(value).lower()
    if not _KEY_HASH.fullmatch(text):
        raise BadOption("a key for addresses stands here as its hash", "the verb key makes one")
    return text


def _api_key(value: Any) -> Any:
    text = _one_text(value)
    if Secret(text).is_literal and len(text) < API_KEY_LENGTH:
        raise BadOption(f"an API key has at least {API_KEY_LENGTH} characters; this one has {len(text)}")
    return text


def _one_of(what: str, known: Callable[[], tuple[str, ...]]) -> BeforeValidator:
    def read(value: Any) -> str:
        name = _one_text(value)
        if name not in known():
            raise BadOption(f'unknown {what} "{name}"', f"one of: {', '.join(known())}")
        return name

    return BeforeValidator(read)


class _Carrier(Options):
    """What tells which module a carrier's options are declared by."""

    model_config = ConfigDict(extra="ignore")
    type: Annotated[str, _one_of("carrier type", carriers.types)]


class _Hook(Options):
    """What tells which module a hook's options are declared by."""

    model_config = ConfigDict(extra="ignore")
    format: Annotated[str, _one_of("hook format", hooks.formats)]


def carrier_model(value: Any) -> type[CarrierOptions]:
    """Return the options of the carrier's type."""
    model: type[CarrierOptions] = carriers.load(_Carrier.model_validate(value).type).Options
    return model


def hook_model(value: Any) -> type[HookOptions]:
    """Return the options of the hook's format."""
    model: type[HookOptions] = hooks.load(_Hook.model_validate(value).format).Options
    return model


def _carrier(value: Any, info: ValidationInfo) -> CarrierOptions:
    return carrier_model(value).model_validate(value, context=info.context)


def _hook(value: Any, info: ValidationInfo) -> HookOptions:
    return hook_model(value).model_validate(value, context=info.context)


_AT = "^[^@]+@[^@]+$"
_A_NAME = "^[a-z0-9][a-z0-9._-]{0,62}$"
_TEXT_OR_DIGITS = ("string", "integer")  # YAML 1.2, which editors read, takes +33639980101 for a number

Text = Annotated[str, BeforeValidator(_one_text), Written("a text")]
Domain = Annotated[
    str, BeforeValidator(read_domain), Written("a domain name", "^[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)+$")
]
Address = Annotated[
    str, BeforeValidator(read_address), Written("an email address", _AT, stands_for="ADDRESS")
]
AddressAsWritten = Annotated[
    str, BeforeValidator(_as_written), Written("an email address", _AT, stands_for="ADDRESS")
]
SenderPattern = Annotated[
    str, BeforeValidator(_pattern), Written("an address, or * and a domain (*@acme.example)", "^(\\*|.+@.+)$")
]
Name = Annotated[
    str, BeforeValidator(_name), Written("a name (small letters, digits, dots, - and _)", _A_NAME)
]
TeamName = Annotated[
    str,
    BeforeValidator(_team_name),
    Written("a name (small letters, digits, dots, - and _; not digits alone)", _A_NAME),
]
Country = Annotated[
    str, BeforeValidator(_country), Written("a country code (FR)", "^[A-Z]{2}$", stands_for="COUNTRY")
]
Phone = Annotated[
    Msisdn, BeforeValidator(read_phone), Written("a phone number, in quotes", types=_TEXT_OR_DIGITS)
]
OwnNumber = Annotated[
    Msisdn, BeforeValidator(_own_number), Written("a phone number, in quotes", types=_TEXT_OR_DIGITS)
]
SenderIdOption = Annotated[
    SenderId,
    BeforeValidator(_sender_id),
    Written("a number, a short code or a name of 11 characters", types=_TEXT_OR_DIGITS),
]
SenderIdOrNumber = Annotated[
    str,
    BeforeValidator(_sender_id_or_number),
    Written("number, or a number, a short code or a name of 11 characters", types=_TEXT_OR_DIGITS),
]
SenderKey = Annotated[
    str,
    BeforeValidator(_sender_key),
    Written("default, or a country code", "^(default|[A-Z]{2})$", stands_for="COUNTRY"),
]
RouteTarget = Annotated[
    str,
    BeforeValidator(_route_target),
    Written('any, a country code or a prefix ("+338")', "^(any|[A-Z]{2}|\\+[0-9]+)$", _TEXT_OR_DIGITS),
]
Template = Annotated[
    str,
    BeforeValidator(_template),
    Written("strict, simple, subject or the whole path of a file", "^(strict|simple|subject|/.+)$"),
]
DatabaseUrl = Annotated[
    str,
    BeforeValidator(_database),
    Written("the URL of a database", "^(sqlite:////|postgresql(\\+psycopg)?://).+$"),
]
Url = Annotated[str, BeforeValidator(_url), Written("a URL", "^https?://.+$")]
PasswordHash = Annotated[
    Secret,
    BeforeValidator(read_secret),
    BeforeValidator(_password),
    Written(
        "an argon2id hash, or a secret's name (credential:NAME, file:PATH, env:NAME)",
        "^(\\$argon2id\\$|credential:|file:|env:).+$",
    ),
]
KeyHash = Annotated[
    str, BeforeValidator(_key_hash), Written("a hash that the verb key printed", "^sha256:[0-9a-f]{64}$")
]
ApiKey = Annotated[
    Secret,
    BeforeValidator(read_secret),
    BeforeValidator(_api_key),
    Written(
        "a secret of 24 characters or its name (credential:NAME, file:PATH, env:NAME)",
        "^(.{24,}|(credential|file|env):.+)$",
    ),
]
HookOption = Annotated[HookOptions, BeforeValidator(_hook)]
CarrierOption = Annotated[CarrierOptions, BeforeValidator(_carrier)]
ListOfOne = BeforeValidator(read_list)  # one value stands for a list of one
Mode = Literal["simulate", "trial", "live"]
