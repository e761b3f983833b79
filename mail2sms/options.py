"""Types of configuration values: text in, checked value out. Pure.

Every scalar of mail2sms.yaml arrives as the text that was written (`NO` is Norway, `06...` a number, `22:00` a
time), and the type of the option decides. Each module declares its own options as a pydantic model of these types;
`config` puts them together. A value that can't be read raises `BadOption` with a hint.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mail2sms.endpoint import UNIX, Endpoint
from mail2sms.errors import BadOption


class Options(BaseModel):
    """Base of all option models: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


@dataclass(frozen=True, slots=True)
class Written:
    """How a value is written in mail2sms.yaml, beside its validator: for the reference and for editors.

    `words` are for people, `pattern` and `types` for JSON Schema. `show` writes a default as people would; `stands_for`
    is what a key of this type is called where none is given. With `is_list`, several may be written as a list.
    """

    words: str
    pattern: str = ""
    types: tuple[str, ...] = ("string",)
    show: Callable[[Any], str] = str
    stands_for: str = "NAME"
    is_list: bool = False


_YES, _NO = frozenset({"yes", "true", "on"}), frozenset({"no", "false", "off"})
_DURATION = re.compile(r"(\d{1,9})\s*(ms|s|m|h|d|y)\Z")
_DURATION_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "y": 31_536_000_000}
_SIZE = re.compile(r"(\d{1,9})\s*(B|kB|KB|MB|GB)\Z")
_UNIT = "add a unit"
_SIZE_BYTES = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1_000_000, "GB": 1_000_000_000}
_RATE = re.compile(r"(\d{1,9})\s*/\s*(s|second|m|minute|h|hour|d|day)\Z")
_RATE_S = {"s": 1, "second": 1, "m": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}


def read_flag(value: Any) -> bool:
    """`yes`, `no`, `on`, `off`, `true`, `false`, in any case."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise BadOption(f'expected yes or no, got "{value}"')


def write_flag(flag: bool) -> str:
    """Return a flag as it is written."""
    return "yes" if flag else "no"


def read_count(value: Any) -> int:
    """A whole number without sign."""
    text = str(value).strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise BadOption(f'expected a whole number, got "{value}"')


@dataclass(frozen=True, slots=True)
class Whole:
    """Reads a whole number from `low` to `high`."""

    low: int
    high: int

    def __call__(self, value: Any) -> int:
        """Return it. Raises BadOption."""
        number = read_count(value)
        if not self.low <= number <= self.high:
            raise BadOption(f"expected a number from {self.low} to {self.high}, got {number}")
        return number


def whole(low: int, high: int) -> BeforeValidator:
    """Return the validator of a whole number from `low` to `high`."""
    return BeforeValidator(Whole(low, high))


def read_duration_ms(value: Any) -> int:
    """`30s`, `15m`, `12h`, `90d`: milliseconds. A bare number is refused."""
    if isinstance(value, int):
        return value
    text = str(value).strip()
    found = _DURATION.match(text)
    if found:
        return int(found[1]) * _DURATION_MS[found[2]]
    raise BadOption(
        f'expected a duration such as 30s, 15m, 12h or 90d, got "{value}"', _UNIT * text.isdigit()
    )


def read_size_bytes(value: Any) -> int:
    """`500kB`, `10MB`: bytes, powers of ten. A bare number is refused."""
    if isinstance(value, int):
        return value
    text = str(value).strip()
    found = _SIZE.match(text)
    if found:
        return int(found[1]) * _SIZE_BYTES[found[2]]
    raise BadOption(f'expected a size such as 500kB or 10MB, got "{value}"', _UNIT * text.isdigit())


def write_duration(milliseconds: int) -> str:
    """Return a duration as it is written, in the largest unit that is exact."""
    unit = max((u for u, ms in _DURATION_MS.items() if milliseconds % ms == 0), key=_DURATION_MS.__getitem__)
    return f"{milliseconds // _DURATION_MS[unit]}{unit}"


def write_size(size_bytes: int) -> str:
    """Return a size as it is written."""
    unit = max((u for u, one in _SIZE_BYTES.items() if size_bytes % one == 0), key=_SIZE_BYTES.__getitem__)
    return f"{size_bytes // _SIZE_BYTES[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` in every `per_s` seconds."""

    count: int
    per_s: int

    def __str__(self) -> str:
        return f"{self.count}/{next((n for n, s in _RATE_S.items() if s == self.per_s and len(n) > 1), 's')}"


def read_rate(value: Any) -> Rate:
    """`20/s`, `6/hour`, `200/day`."""
    if isinstance(value, Rate):
        return value
    text = str(value).strip()
    found = _RATE.match(text)
    if found and not int(found[1]):
        raise BadOption(f'"{text}" would let nothing through', "at least 1, such as 1/day")
    if found:
        return Rate(int(found[1]), _RATE_S[found[2]])
    raise BadOption(f'expected a rate such as 20/s, 6/hour or 200/day, got "{value}"', _UNIT * text.isdigit())


_UNIX_PATH_BYTES = 107  # sockaddr_un
_AN_ENDPOINT, _PORTS = "127.0.0.1:2525", 65_536


def read_endpoint(value: Any, example: str = _AN_ENDPOINT) -> Endpoint:
    """`host:port`, `[::1]:25`."""
    if isinstance(value, Endpoint):
        return value
    host, colon, port = str(value).strip().rpartition(":")
    is_number = port.isascii() and port.isdigit()
    if is_number and int(port[:9]) >= _PORTS:
        raise BadOption(f"the port {port} is too high", f"at most {_PORTS - 1}")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and is_number) or "/" in host:
        example = f"127.0.0.1:{port}" if is_number and not colon else example
        raise BadOption(f'expected host:port, got "{value}"', f"for example {example}")
    return Endpoint(host, int(port))


def read_door(value: Any) -> Endpoint:
    """`host:port`, or `unix:/path`."""
    if isinstance(value, Endpoint) or not str(value).startswith(UNIX):
        return read_endpoint(value)
    path = str(value).removeprefix(UNIX)
    if not path.startswith("/") or len(path.encode()) > _UNIX_PATH_BYTES:
        hint = "such as unix:/run/mail2sms-lmtp/socket"
        raise BadOption(f'expected unix: and an absolute path, got "{value}"', hint)
    return Endpoint(path, 0)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network:
    """Raises ValueError; BadOption for an address with the length of its network, which means one or the other."""
    network = ipaddress.ip_network(text, strict=False)
    address = text.partition("/")[0]
    if ipaddress.ip_address(address) != network.network_address:
        message = f"{text} is an address of the network {network}: which is meant?"
        raise BadOption(message, f"write {network}, or {address} alone")
    return network


def read_networks(value: Any) -> tuple[Network, ...]:
    """One address or network in CIDR form, or a list of them."""
    items = value if isinstance(value, list | tuple) else [value]
    found: list[Network] = []
    for item in items:
        if isinstance(item, ipaddress.IPv4Network | ipaddress.IPv6Network):
            found.append(item)
            continue
        try:
            found.append(_network(str(item).strip()))
        except BadOption:
            raise
        except ValueError:
            raise BadOption(
                f'expected an IP address or network, got "{item}"', "such as 10.1.0.0/24"
            ) from None
    return tuple(found)


def read_zone(value: Any) -> str:
    """An IANA time zone name."""
    try:
        ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadOption(f'"{value}" is not a time zone', "such as Europe/Paris") from None
    return str(value)


SECRETS_FOLDER = Path("/etc/mail2sms/secrets")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as the configuration names it; its value is read when asked for and never shown.

    `credential:NAME` (systemd's $CREDENTIALS_DIRECTORY/NAME, else SECRETS_FOLDER/NAME), `file:PATH`, `env:NAME`,
    or the literal.
    """

    reference: str

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    @property
    def is_literal(self) -> bool:
        """Whether the secret itself stands in the configuration."""
        return not self.reference.startswith(("credential:", "file:", "env:"))

    def reveal(self) -> str:
        """Return the secret. Raises BadOption, naming the place and not the value, when it can't be had."""
        kind, _, name = self.reference.partition(":")
        if self.is_literal:
            return self.reference
        if kind == "env":
            value = os.environ.get(name, "")
            if not value:
                raise BadOption(f"the environment variable {name} is not set")
            return value
        path = Path(name) if kind == "file" else _credential(name)
        try:
            value = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as e:
            is_passed = kind == "credential" and bool(os.environ.get("CREDENTIALS_DIRECTORY"))
            hint = (
                "systemd passes credentials at the start: write the unit anew, then restart"
                if is_passed
                else ""
            )
            place = "" if kind == "file" else f" from {path}"
            why = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text"
            raise BadOption(f"the secret {self.reference} cannot be read{place}: {why}", hint) from e
        if not value:
            raise BadOption(f"the secret {self.reference} is empty")
        return value


def _credential(name: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if "/" in name or name in {"", ".", ".."}:
        raise BadOption(f'"{name}" is not the name of a credential')
    path = Path(folder) / name
    return path if folder and path.exists() else SECRETS_FOLDER / name


def read_secret(value: Any) -> Secret:
    """Keep the reference; the value is read when needed."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise BadOption("expected one text, not a list or a section")
    if not value:
        raise BadOption("a secret may not be empty", "credential:NAME, file:PATH or env:NAME")
    return Secret(value)


def read_path(value: Any) -> Path:
    """The whole path of a file."""
    path = Path(value) if isinstance(value, str) else Path()
    if not path.is_absolute():
        raise BadOption(f'expected a path that starts with "/", got "{value}"')
    return path


def read_list(value: Any) -> Any:
    """One value stands for a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


_NUMBER = ("integer", "string")  # an editor reads YAML 1.2, where 4 is a number; we read text
Flag = Annotated[
    bool,
    BeforeValidator(read_flag),
    Written("yes or no", "^(yes|no|on|off|true|false)$", ("boolean", "string"), show=write_flag),
]
Count = Annotated[int, BeforeValidator(read_count), Written("a whole number", "^[0-9]+$", _NUMBER)]
DurationMs = Annotated[
    int,
    BeforeValidator(read_duration_ms),
    Written("a duration (30s, 15m, 12h, 2d)", "^[0-9]+ *(ms|s|m|h|d|y)$", show=write_duration),
]
SizeBytes = Annotated[
    int,
    BeforeValidator(read_size_bytes),
    Written("a size (500kB, 10MB)", "^[0-9]+ *(B|kB|KB|MB|GB)$", show=write_size),
]
RateOption = Annotated[
    Rate,
    BeforeValidator(read_rate),
    Written("a rate (20/s, 200/day)", "^[0-9]+ */ *(s|second|m|minute|h|hour|d|day)$"),
]
EndpointOption = Annotated[
    Endpoint, BeforeValidator(read_endpoint), Written("host:port", "^(\\[[0-9A-Fa-f:.]+\\]|[^:]+):[0-9]+$")
]
DoorOption = Annotated[
    Endpoint,
    BeforeValidator(read_door),
    Written("host:port or unix:/path", "^(unix:/.+|(\\[[0-9A-Fa-f:.]+\\]|[^:]+):[0-9]+)$"),
]
Networks = Annotated[
    tuple[Network, ...],
    BeforeValidator(read_networks),
    Written("an IP address or network (10.1.0.0/24)", "^[0-9A-Fa-f:.]+(/[0-9]+)?$", is_list=True),
]
Zone = Annotated[str, BeforeValidator(read_zone), Written("a time zone (Europe/Paris)")]
SecretOption = Annotated[
    Secret,
    BeforeValidator(read_secret),
    Written("a secret: credential:NAME, file:PATH, env:NAME or itself", types=("string", "integer")),
]
Names = Annotated[tuple[str, ...], BeforeValidator(read_list)]
AbsolutePath = Annotated[Path, BeforeValidator(read_path), Written("the whole path of a file", "^/")]
