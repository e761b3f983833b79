"""From a device to a modem that can send: the process, the PIN, the message centre, and what stands in the way."""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mail2sms.carriers import _modem_line as lines
from mail2sms.carriers._modem_line import Line, OrderFailed
from mail2sms.carriers._modem_memory import Memory
from mail2sms.carriers._modem_options import Options
from mail2sms.errors import BadOption, Misconfigured, SendFailed, Unavailable

_OPEN_S: Final = 60.0  # gammu asks some twenty questions, and waits long for answers that do not come
_PIN_S: Final = 30.0
_LOOK_S: Final = 60.0
_DEBIANS: Final = Path("/usr/bin/python3")
_NAMES: Final = {"HomeNetwork": "at home", "RoamingNetwork": "roaming"}

# Ours and gammu's words: what the writer may hear, and what the operator does about it; "" where waiting may help.
_WAY_OUT: Final = {
    "no_gammu": ("the program that speaks with the modem is missing", "sudo apt-get install python3-gammu"),
    "no_python": (
        "the program that speaks with the modem cannot be started",
        "python: one that can be executed",
    ),
    "forbidden": ("the modem may not be used", "let this user be in the group dialout, as `unit` does"),
    "pin_missing": ("the SIM wants its PIN", "pin: credential:NAME"),
    "pin_refused": (
        "the SIM did not take its PIN, which is not tried again",
        "write the right one and start again: a SIM locks itself at the third wrong one",
    ),
    "puk": ("the SIM is locked and wants its PUK", "put it into a phone, which asks for it"),
    "other_code": ("the modem wants a code of its own", "unlock it with the program of its maker"),
    "no_centre": ("the SIM knows no message centre", "smsc: the number that its provider tells"),
    "absent": ("the modem is not there", ""),
    "busy": ("the modem is in use", ""),
}
_CODES: Final = {"PUK": "puk", "PIN": "pin_missing"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a modem tells of itself."""

    centre: str
    reports: bool
    model: str
    network: str
    operator: str
    signal: int

    @property
    def is_registered(self) -> bool:
        """Whether a network has it."""
        return self.network in _NAMES

    def __str__(self) -> str:
        where = _NAMES.get(self.network)
        network = f"registered in {self.operator or 'a network'} ({where})" if where else "not registered"
        signal = f"signal {self.signal} %" if self.signal >= 0 else "signal unknown"
        return f"{self.model or 'a modem'}, {network}, {signal}"


def failure(word: str) -> SendFailed:
    """Return what it means that an order before any part ended so: nothing was sent."""
    detail, way_out = _WAY_OUT.get(word, ("the modem does not answer as one", ""))
    return Misconfigured(word, detail) if way_out else Unavailable(word, detail)


def advice(options: Options, failed: SendFailed) -> BadOption:
    """Return what the operator is told of it, and does about it."""
    waiting = {
        "absent": f"is it plugged in? ls -l {options.device.parent}",
        "busy": "another program has it: is it ModemManager? systemctl disable --now ModemManager",
    }
    fallback = "are device and connection right? a stick often has several, and one of them speaks"
    _, way_out = _WAY_OUT.get(failed.code, ("", ""))
    return BadOption(f"{options.device}: {failed.detail}", way_out or waiting.get(failed.code, fallback))


def python(options: Options) -> Path:
    """Return the Python that has gammu, as far as it is known without starting it."""
    if options.python is not None:
        return options.python
    return Path(sys.executable) if importlib.util.find_spec("gammu") else _DEBIANS


async def opened(options: Options, pin: str, memory: Memory) -> tuple[Line, Seen]:
    """Return the line to a modem that can send. Raises Misconfigured or Unavailable."""
    line: Line | None = None
    seen: Seen | None = None
    try:
        await asyncio.to_thread(_look_at, options.device)
        line = await lines.start(python(options))
        wants = await line.ask("open", _OPEN_S, device=str(options.device), connection=options.connection)
        await _unlock(line, wants["wants"], pin, memory)
        order = {"reports": options.report, "centre": options.smsc or ""}
        seen = _seen(await line.ask("look", _LOOK_S, **order))
    except OrderFailed as e:
        raise failure(e.word) from None
    finally:
        if line is not None and seen is None:
            await line.close()
    return line, seen


def _look_at(device: Path) -> None:
    """Say in our words what stands in the way. Blocking; raises OrderFailed."""
    try:
        found = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise OrderFailed("absent") from None
    except PermissionError:
        raise OrderFailed("forbidden") from None
    except OSError:  # EBUSY: opened exclusively
        raise OrderFailed("busy") from None
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise OrderFailed("busy") from None
    finally:
        os.close(found)


async def _unlock(line: Line, wants: str | None, pin: str, memory: Memory) -> None:
    if wants is None:
        await asyncio.to_thread(memory.accepted)
        return
    if wants != "PIN" or not pin:
        raise OrderFailed(_CODES.get(wants, "other_code"))
    if not await asyncio.to_thread(memory.may_try, pin):
        raise OrderFailed("pin_refused")
    try:
        await line.ask("unlock", _PIN_S, pin=pin)
    except OrderFailed as e:
        if e.word not in (lines.TIMEOUT, lines.GONE):
            await asyncio.to_thread(memory.refused)
            raise OrderFailed("pin_refused") from None
        raise
    await asyncio.to_thread(memory.accepted)


def _seen(told: dict[str, Any]) -> Seen:
    centre = str(told["centre"])
    if not centre.strip("+"):
        raise OrderFailed("no_centre")
    return Seen(
        centre=centre,
        reports=bool(told["reports"]),
        model=" ".join(filter(None, (_shown(told["maker"]), _shown(told["model"])))),
        network=str(told["network"]),
        operator=_shown(told["operator"]),
        signal=int(told["signal"]),
    )


def _shown(text: Any) -> str:
    return "".join(filter(str.isprintable, str(text)))[:40]
