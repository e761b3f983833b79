"""Who was first, the end of a connection or the request? The kernel knows: strace shows what was handed to it.

For the proof `boundary`: connections that end as soon as they are there, and kept ones that end just when the next
request is written. In doubt is what the kernel took without an answer to follow, and nothing that it was not offered;
where it refused what it was offered, both are right.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.proofs import _cases, _strace
from tests.proofs._lanes import Case, Lane, Lanes, Seen, lanes
from tests.servers.cutting import How, ends

_CALLS = ("write", "writev", "sendto", "sendmsg")
_ORDER = re.compile(rb'\{"message": "(m-\w+)", "attempt"')
_HOWS: tuple[How, How] = ("reset", "close")
_AROUND_S = 0.003  # how far from the moment of writing an end is meant to come
_RECENT = 15


@dataclass(kw_only=True, slots=True)
class Figures:
    """What the kernel had taken, had refused or was not offered when the connection ended; and what is wrong.

    `baseless` are doubts about what was never offered.
    """

    messages: int = 0
    taken: int = 0
    refused: int = 0
    spared: int = 0
    answered: int = 0
    baseless: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.messages} messages on connections that end when they are written: {self.taken} that the kernel "
            f"took are in doubt, {self.refused} that it refused are too; {self.spared} that it was not offered were "
            f"sent again; {self.answered} answered; {len(self.baseless)} in doubt although they were never offered, "
            f"{len(self.wrong)} else wrong"
        )


def run(count: int, type_name: str = "posting") -> Figures:
    """Let so many connections end as soon as they are there, and as many kept ones at the moment of writing."""
    with TemporaryDirectory(prefix="mail2sms-calls-") as folder:
        log = Path(folder, "calls")
        with lanes(
            ["length/once", "length"] * 2, type_name=type_name, wrap=_strace.recorder(log, *_CALLS)
        ) as each:
            with ThreadPoolExecutor(len(each.lanes)) as threads:
                share = count // 2
                seen = [
                    one
                    for found in threads.map(lambda lane: _end(each, lane, share), each.lanes)
                    for one in found
                ]
            _strace.stop(each.daemon)
        return _compare(seen, _offered(log))


def _end(each: Lanes, lane: Lane, count: int) -> list[Seen]:
    if lane.is_kept:
        return list(_end_kept(each, lane, count))
    refused = Case(name="refused", outage="refuse", status="")
    return [
        each.once(lane, case) for case in (refused, *(_cases.at_once(_HOWS[n % 2]) for n in range(count)))
    ]


def _end_kept(each: Lanes, lane: Lane, count: int) -> Iterator[Seen]:
    """Aim at the moment when the request is written, as it was seen from the mails before."""
    chance, after_s = random.Random(1), list[float]()
    for number in range(count):
        opening = each.send(lane)
        sent_s = time.monotonic()
        yield each.see(lane, Case(name="before it", status=""), opening)
        link = lane.proxy.links[-1]
        after_s.append(link.last_said_s - sent_s)
        aim_s = median(after_s[-_RECENT:]) + chance.uniform(-_AROUND_S, _AROUND_S)
        id_ = each.send(lane)
        time.sleep(max(0.0, aim_s))
        lane.proxy.call(lambda link=link, how=_HOWS[number % 2]: ends(link, how))
        yield each.see(lane, Case(name=f"{_HOWS[number % 2]} while it is written", status=""), id_)


def _offered(log: Path) -> dict[str, list[bool]]:
    """Return for each message how often it was offered to the kernel, and whether it took it."""
    offered: dict[str, list[bool]] = {}
    for call in _strace.read(log):
        found = _ORDER.search(call.data) if call.path.startswith("socket:") else None
        if found:
            offered.setdefault(found[1].decode(), []).append(call.result > 0)
    return offered


def _compare(seen: list[Seen], offered: dict[str, list[bool]]) -> Figures:
    figures = Figures()
    for each in seen:
        if each.wrong:
            figures.wrong.append(each.wrong)
        figures.messages += 1
        match each.status, offered.get(each.id, []):
            case "unknown", [True]:
                figures.taken += 1
            case "unknown", [False]:
                figures.refused += 1
            case "enroute", [True]:
                figures.spared += each.attempts > 1
                figures.answered += each.attempts == 1
            case "enroute", [False, True]:
                figures.spared += 1
            case "unknown", []:
                figures.baseless.append(f"{each}; never offered to the kernel")
            case _, calls:
                figures.wrong.append(
                    f"{each}; offered to the kernel {len(calls)} times, taken {sum(calls)} times"
                )
    return figures
