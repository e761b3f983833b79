"""Hostile input: nothing uncaught, nothing over a second, and never more than 50 ms of the event loop's time.

Usage: inputs [COUNT] [SEED], or inputs KIND NUMBER [SEED] for one input again. COUNT generated inputs in all, shared
out by `SHARES`: mails are a quarter of them and most of the time. Before them come the fixed ones of `tests.torture`,
each in several ways. What is measured is CPU of the loop's thread (see `_costs`), from a mail's bytes to its reply;
what the sandbox does for it is measured apart. What looks dear is measured again three times with empty caches, and
the least counts.
Controls that must fail: a reader that raises, and one that takes 60 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from unittest.mock import patch

import structlog

from mail2sms import segments
from mail2sms.intake import quotes
from mail2sms.intake.sandbox import Sandbox
from tests import fuzz_addresses, fuzz_letters, fuzz_mails, fuzz_templates, fuzz_texts, torture
from tests.proofs import _costs
from tests.proofs._costs import Cost

LOOP_S, AWAY_S = 0.05, 1.0
SHARES = {"mails": 0.25, "templates": 0.25, "addresses": 0.20, "numbers": 0.15, "texts": 0.15}
_SUSPICIOUS_S = 0.02  # looked at again: another process may have cooled the caches, a collection may have run
_HANGS_AFTER_S = 20
_WAYS = 6  # in which a fixed input is tried: recipients, clients, templates, countries
_CHUNK = 500
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """How inputs are made and what is done with them; `fixed` are the torture inputs by name."""

    make: Callable[[random.Random], Any]
    take: Callable[[Any, random.Random], Cost]
    fixed: Mapping[str, Any]


def _mail(chance: random.Random) -> bytes:
    return fuzz_mails.mutant(chance) if chance.random() < 0.5 else fuzz_letters.mail(chance)


def _address(chance: random.Random) -> tuple[bool, str]:
    is_path = chance.random() < 0.5
    return is_path, (fuzz_addresses.path if is_path else fuzz_addresses.author)(chance)


def _take_address(address: tuple[bool, str], chance: random.Random) -> Cost:
    is_path, words = address
    return _costs.path(words, chance) if is_path else _costs.author(words, chance)


def _text(chance: random.Random) -> str:
    return fuzz_texts.text(chance) if chance.random() < 0.95 else fuzz_texts.long_text(chance)


_ADDRESSES = {
    **{f"path {name}": (True, words) for name, words in torture.PATHS.items()},
    **{f"From {name}": (False, words) for name, words in torture.AUTHORS.items()},
}
KINDS = {
    "mails": Kind(_mail, _costs.mail, torture.MAILS),
    "templates": Kind(fuzz_templates.mail, _costs.template, torture.TEMPLATES),
    "addresses": Kind(_address, _take_address, _ADDRESSES),
    "numbers": Kind(fuzz_texts.number, _costs.number, torture.NUMBERS),
    "texts": Kind(_text, _costs.text, torture.TEXTS),
}


@dataclass(kw_only=True, slots=True)
class Figures:
    """What came of so many inputs. The slowest are (seconds on the loop, seconds in the sandbox, which)."""

    inputs: int = 0
    loop_s: float = 0.0
    away_s: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    uncaught: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    blocking: list[str] = field(default_factory=list)
    slowest: list[tuple[float, float, str]] = field(default_factory=list)

    def add(self, cost: Cost, which: str) -> None:
        """Count one."""
        self.inputs += 1
        self.loop_s += cost.loop_s
        self.away_s += cost.away_s
        self.outcomes[cost.outcome] += 1
        if cost.loop_s > LOOP_S:
            self.blocking.append(f"{which}: {cost.loop_s * 1000:.0f} ms of the loop")
        if max(cost.loop_s, cost.away_s) > AWAY_S:
            self.slow.append(f"{which}: {cost.loop_s + cost.away_s:.1f} s")
        self.slowest.append((cost.loop_s, cost.away_s, which))
        if len(self.slowest) > _CHUNK:
            self._trim()

    def join(self, other: Figures) -> None:
        """Count all that another has counted."""
        for name in ("inputs", "loop_s", "away_s", "outcomes", "uncaught", "slow", "blocking", "slowest"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._trim()

    def _trim(self) -> None:
        kept = sorted(self.slowest, reverse=True)[:_SHOWN]
        kept += sorted(self.slowest, key=lambda each: -each[1])[:_SHOWN]
        self.slowest = list(dict.fromkeys(kept))

    @property
    def is_kept(self) -> bool:
        """Whether nothing went wrong."""
        return self.inputs > 0 and not (self.uncaught or self.slow or self.blocking)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common(4))
        dearest = max((each[0] for each in self.slowest), default=0)
        dearest_away = max((each[1] for each in self.slowest), default=0)
        return (
            f"{self.inputs} inputs ({outcomes}, ...), {len(self.uncaught)} uncaught, {len(self.slow)} over 1 s, "
            f"{len(self.blocking)} over 50 ms of the loop; of the loop "
            f"{self.loop_s * 1e6 / max(1, self.inputs):.0f} us each, at most {dearest * 1000:.1f} ms; of the sandbox "
            f"at most {dearest_away * 1000:.0f} ms"
        )


class Hangs(Exception):
    """An input takes too long for us to wait."""


def _give_up(signum: int, frame: FrameType | None) -> None:
    raise Hangs(f"no end after {_HANGS_AFTER_S} s")


def _measure(kind: Kind, made: Any, chance_of: Callable[[], random.Random]) -> Cost:
    """Return what an input costs: the least of several times, if it looks dear."""
    cost = kind.take(made, chance_of())
    for _ in range(3 if max(cost.loop_s, cost.away_s / 10) > _SUSPICIOUS_S else 0):
        _costs.forget()
        again = kind.take(made, chance_of())
        cost = Cost(min(cost.loop_s, again.loop_s), min(cost.away_s, again.away_s), again.outcome)
    return cost


def _try(figures: Figures, kind: Kind, which: str, made: Any, seed: str) -> None:
    previous = signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, _HANGS_AFTER_S)
    try:
        cost = _measure(kind, made, lambda: random.Random(seed))
    except Hangs as e:
        figures.inputs += 1
        figures.slow.append(f"{which}: {e}")
    except Exception as e:  # whatever it is, the product let it out
        figures.inputs += 1
        figures.uncaught.append(f"{which}: {e!r}"[:500])
    else:
        figures.add(cost, which)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def generate(name: str, number: int, seed: int) -> tuple[Any, str]:
    """Return the input of this number, and the seed of what else is chosen for it."""
    own = f"{name} {number} {seed}"
    return KINDS[name].make(random.Random(own)), own


def run_chunk(name: str, start: int, count: int, seed: int) -> Figures:
    """Try so many generated inputs of a kind, from one number on."""
    figures = Figures()
    for number in range(start, start + count):
        made, own = generate(name, number, seed)
        _try(figures, KINDS[name], f"{name} {number} {seed}", made, own)
    return figures


def run_fixed(name: str, only: Sequence[str] = (), ways: int = _WAYS) -> Figures:
    """Try the torture inputs of a kind, each in several ways."""
    figures, kind = Figures(), KINDS[name]
    for which in only or kind.fixed:
        for way in range(ways):
            _try(figures, kind, f"{name}, {which} ({way})", kind.fixed[which], f"{which} {way}")
    return figures


def _begin() -> None:
    """A worker's log goes nowhere."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


def run_beside() -> Figures:
    """Have the fixed mails read with the real sandbox, one after the other in one loop."""

    async def read_all() -> Figures:
        figures, real = Figures(), Sandbox()
        for which, raw in torture.MAILS.items():
            costs = [await _costs.beside(raw, real) for _ in range(2)]
            figures.add(min(costs, key=lambda cost: cost.loop_s), f"with the real sandbox, {which}")
        await real.close()
        return figures

    return asyncio.run(read_all())


def run(count: int, seed: int, processes: int) -> Iterator[tuple[str, Figures]]:
    """Try the fixed inputs and `count` generated ones; yield what came of each kind."""
    # Not forked: a child should begin as a daemon does, with nothing read yet.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
        yield "mails, fixed, with the real sandbox", pool.submit(run_beside).result()
        for name in KINDS:
            many = round(count * SHARES[name])
            begun_s = time.monotonic()
            fixed = pool.submit(run_fixed, name)
            chunks = [
                pool.submit(run_chunk, name, start, min(_CHUNK, many - start), seed)
                for start in range(0, many, _CHUNK)
            ]
            yield f"{name}, fixed", fixed.result()
            figures = Figures()
            for chunk in chunks:
                figures.join(chunk.result())
            yield f"{name}, generated in {time.monotonic() - begun_s:.0f} s", figures


@contextlib.contextmanager
def raising(text: str) -> Iterator[None]:
    """A control: the reader of quotes stumbles over this text."""
    strip = quotes.strip

    def broken(words: str) -> Any:
        if text in words:
            raise IndexError("list index out of range")
        return strip(words)

    with patch.object(quotes, "strip", broken):
        yield


@contextlib.contextmanager
def burning(seconds: float) -> Iterator[None]:
    """A control: cleaning a text takes so long."""
    clean = segments.clean

    def slow(words: str) -> str:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        return clean(words)

    with patch.object(segments, "clean", slow):
        yield


def _control(what: str, found: Sequence[str]) -> bool:
    print(f"  control: {what}: {f'found, {found[0][:90]}' if found else 'NOT FOUND'}", flush=True)
    return bool(found)


def _rank(where: str, costs: Sequence[tuple[float, str]]) -> None:
    print(f"the slowest ten, by CPU of {where}:")
    for seconds, which in sorted(costs, reverse=True)[:_SHOWN]:
        print(f"    {seconds * 1000:.1f} ms: {which}")


def _again(name: str, number: int, seed: int) -> int:
    made, own = generate(name, number, seed)
    print(repr(made))
    print(_measure(KINDS[name], made, lambda: random.Random(own)))
    return 0


def main(argv: list[str]) -> int:
    """Print the figures and the slowest; 0 when nothing went wrong and both controls were found."""
    if argv and argv[0] in KINDS:
        return _again(argv[0], int(argv[1]), int(argv[2]) if argv[2:] else 1)
    count, seed = int(argv[0]) if argv else 1_000_000, int(argv[1]) if argv[1:] else 1
    processes = os.cpu_count() or 1
    print(f"{count} generated inputs, seed {seed}, {processes} processes; shares {SHARES}", flush=True)
    everything = Figures()
    for what, figures in run(count, seed, processes):
        print(f"{what}: {figures}", flush=True)
        everything.join(figures)
    print(f"in all: {everything}")
    for each in [*everything.uncaught, *everything.slow, *everything.blocking][:50]:
        print(f"    {each}")
    _rank("the loop", [(loop_s, which) for loop_s, _, which in everything.slowest])
    _rank("the sandbox", [(away_s, which) for _, away_s, which in everything.slowest])
    with raising("Bonjour"):
        is_found = _control("a reader that raises", run_chunk("templates", 0, 300, seed).uncaught)
    with burning(0.06):
        is_found &= _control("a reader that takes 60 ms", run_chunk("texts", 0, 5, seed).blocking)
    return 0 if everything.is_kept and is_found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
