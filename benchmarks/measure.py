"""One measurement: the load generator as a process of its own, the server's CPU time before and after."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from itertools import count
from pathlib import Path

from benchmarks.figures import Case, Figures
from benchmarks.load import Answers, Load
from benchmarks.targets import Mail2sms, Target

_LOAD = Path(__file__).resolve().parent / "load.py"
_WARM_UP_S = 0.3
_TIMEOUT_S = 300
_numbers = count(1)


class LoadFailed(RuntimeError):
    """The load generator did not come to its end."""


def send(target: Target, case: Case, *, seconds: float = 0.0, mails: int = 0) -> Answers:
    """Send mails in the way of the case, until so many seconds are over or so many mails are sent."""
    load = Load(
        port=target.port,
        sessions=case.sessions,
        reuse=case.reuse,
        name=f"{next(_numbers)}-{target.name}",  # a mail that comes twice would be known
        seconds=seconds,
        mails=mails,
        attachment_bytes=case.attachment_bytes,
        prefix=target.prefix,
        url=target.url,
    )
    return run(target.name, load)


def run(name: str, load: Load) -> Answers:
    """Run the load generator. Raises LoadFailed, with the name of what was measured."""
    command = [sys.executable, "-S", "-E", str(_LOAD), json.dumps(asdict(load))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise LoadFailed(f"{name}: {done.stderr.strip()[-300:]}")
    return Answers(**json.loads(done.stdout))


def measure(target: Target, case: Case, number: int, *, seconds: float = 0.0, mails: int = 0) -> Figures:
    """Measure in round `number`, after a short load that is not counted."""
    warm = send(target, case, mails=case.sessions) if mails else send(target, case, seconds=_WARM_UP_S)
    _sent(target, warm.accepted)
    before, database_before = target.cpu_us(), target.database_us()
    answers = send(target, case, seconds=seconds, mails=mails)
    sent = _sent(target, answers.accepted)
    used, database_used = target.cpu_us() - before, target.database_us() - database_before
    target.clear()
    accepted = answers.accepted
    return Figures(
        target=target.name,
        case=case.name,
        round=number,
        accepted=accepted,
        rate=accepted / answers.elapsed_s if accepted else 0.0,
        p50_ms=answers.p50_ms,
        p99_ms=answers.p99_ms,
        cpu_us=used / max(1, accepted),
        database_us=database_used / max(1, accepted),
        load_us=answers.cpu_us,
        failures=answers.failures,
        sent=sent[0] if sent else None,
        sent_s=sent[1] if sent else None,
    )


def _sent(target: Target, accepted: int) -> tuple[int, float] | None:
    return target.sent(accepted) if isinstance(target, Mail2sms) and target.sends else None
