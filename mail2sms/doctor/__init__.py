"""The doctor: what `check` can't know, since it is not on this machine alone. Looks, and changes nothing.

Every look is a coroutine that returns findings; all run at once, each within its time. A finding that is not ok has
a remedy: what to type, or what to write where.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mail2sms.cli import typed
from mail2sms.config.schema import Settings
from mail2sms.dns import Dns, DnsUnanswered

Level = Literal["ok", "skip", "warn", "FAIL"]
LOOK_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of the doctor's. `skip`: there is nothing to look at; the remedy says how there would be."""

    name: str
    level: Level
    sentence: str
    remedy: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """What is looked at: the configuration, where its daemon's socket and state are, and whom to ask for names.

    `config` is the file where it was named: commands name it too. `mounts` is the kernel's list of what is mounted.
    """

    settings: Settings
    socket: Path
    state: Path
    dns: Dns
    now_ms: int
    config: Path | None = None
    mounts: Path = Path("/proc/self/mounts")


Look = Callable[[Patient], Awaitable[list[Finding]]]


async def examine(
    patient: Patient, looks: tuple[tuple[str, Look], ...], within_s: float = LOOK_S
) -> list[Finding]:
    """Take all looks at once; the findings are in the order of `looks`."""
    found = await asyncio.gather(*(_look(name, look, patient, within_s) for name, look in looks))
    return [finding for findings in found for finding in findings]


async def _look(name: str, look: Look, patient: Patient, within_s: float) -> list[Finding]:
    try:
        async with asyncio.timeout(within_s):
            return await look(patient)
    except TimeoutError:
        return [Finding(name=name, level="FAIL", sentence=f"no answer within {within_s:.0f} s")]
    except DnsUnanswered as e:
        other = typed("doctor --dns 9.9.9.9:53", patient.config)
        way_out = f"look at /etc/resolv.conf, or ask another name server: {other}"
        return [Finding(name=name, level="FAIL", sentence=str(e), remedy=(way_out,))]
