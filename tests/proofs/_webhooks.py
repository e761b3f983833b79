"""Webhook requests of all providers, mutated: for the proofs `providers` and `signatures`."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mail2sms.carriers._base import Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from tests.carriers import cases

_BYTES = (
    b"\x00",
    b"\xff",
    b"{",
    b"[" * 50,
    b'"',
    b"&",
    b"=",
    b"%",
    b"%00",
    b"\\ud800",
    b"9" * 400,
    b"null",
    b"+",
    b".",
)
_TOO_LONG_S = 0.05
_UNMARKED = frozenset({"twilio", "plivo"})
_BIG = (
    b"[" * 64_000,
    b'{"a":' * 10_000,
    b"&" * 64_000,
    b"a=1&" * 16_000,
    b"9" * 64_000,
    b'"' + b"\\u0000" * 10_000,
)


@dataclass(kw_only=True, slots=True)
class Figures:
    """What came of mutated requests. `wrong` raised what they must not, `forged` told what no genuine one does."""

    calls: int = 0
    told: int = 0
    refused: int = 0
    unread: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.calls} requests: {self.told} taken, {self.refused} refused, {self.unread} not to be read; "
            f"{len(self.wrong)} raised, {len(self.forged)} forged; the slowest took {1000 * self.slowest_s:.1f} ms"
        )

    @property
    def is_kept(self) -> bool:
        """Whether none raised, and none held the loop."""
        return self.calls > 0 and not self.wrong and self.slowest_s < _TOO_LONG_S


def types() -> list[str]:
    """Return the carrier types that have webhooks."""
    return [name for name in cases.http_types() if "calls" in cases.FILES[name]]


def signed() -> list[str]:
    """Return those whose webhooks are signed."""
    return [name for name in types() if cases.provider(name, Path()).has_signature()]


def genuine(type_name: str) -> list[Call]:
    """Return what the provider's cases send, proven."""
    return [cases.call(type_name, case) for case in cases.FILES[type_name]["calls"] if case["events"]]


def mangled(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with one to three of them changed, cut out, doubled or put in; never the same."""
    made = data
    while made == data:
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(made) + 1)
            end = min(len(made), at + chance.randint(0, 8))
            put = chance.choice((b"", chance.randbytes(1), chance.choice(_BYTES), made[at:end] * 2))
            made = made[:at] + put + made[end:]
    return made


def told(carrier: HttpCarrier, call: Call, figures: Figures, name: str) -> tuple[Any, ...]:
    """Return the events of one call, and count what came of it."""
    begun_s = time.thread_time()
    found: tuple[Any, ...] = ()
    try:
        found = carrier.events(call)
        figures.told += 1
    except PermissionError:
        figures.refused += 1
    except ValueError:
        figures.unread += 1
    except Exception as e:
        figures.wrong.append(f"{name}: {type(e).__name__}: {e}"[:300])
    figures.calls += 1
    figures.slowest_s = max(figures.slowest_s, time.thread_time() - begun_s)
    return found


def forge(type_name: str, count: int, seed: int, carrier: HttpCarrier | None = None) -> Figures:
    """Change proven requests: in body, query, signature or path; none may tell what the genuine ones do not."""
    chance, figures = random.Random(seed), Figures()
    under_test = carrier or cases.provider(type_name, Path())
    calls = genuine(type_name)
    known = {_said(type_name, event) for call in calls for event in under_test.events(call)}
    for number in range(count):
        call = forged(chance.choice(calls), chance)
        new = {_said(type_name, event) for event in told(under_test, call, figures, type_name)} - known
        figures.forged += [f"{type_name} {number}: {event}" for event in new]
    return figures


def _said(type_name: str, event: CarrierEvent) -> str:
    """Return what an event says. Some providers sign names and values in one string without marks between them, so
    that a field can be hidden in its neighbour: their requests may say less, of the same message.
    """
    less = {"code", "optout", "text", "attempt"} if type_name in _UNMARKED else set()
    return str({name: value for name, value in cases.brief(event).items() if name not in less})


def forged(call: Call, chance: random.Random) -> Call:
    ways = [lambda: replace(call, secret=call.secret + "x"), lambda: replace(call, at=call.at + 86_400_000)]
    if call.body:
        ways += [lambda: replace(call, body=mangled(call.body, chance))] * 4
    if call.query:
        ways += [lambda: replace(call, query=mangled(call.query.encode(), chance).decode("latin-1"))] * 4
    if call.headers:
        name = chance.choice(list(call.headers))
        value = mangled(call.headers[name].encode(), chance).decode("latin-1")
        ways += [lambda: replace(call, headers={**call.headers, name: value})] * 2
    return chance.choice(ways)()


def disturb(type_name: str, count: int, seed: int) -> Figures:
    """Let proven requests say anything at all: what is told is judged after the proof, so proofs are left out."""
    chance, figures = random.Random(seed), Figures()
    under_test = cases.provider(type_name, Path())
    calls = genuine(type_name)
    under_test.check_signature = lambda call: None  # type: ignore[method-assign]
    gc.freeze()  # as the daemon does: else what other tests left is looked through, too
    for number, call in enumerate(_disturbed(calls, count, chance)):
        told(under_test, call, figures, f"{type_name} {number}")
    gc.unfreeze()
    return figures


def _disturbed(calls: list[Call], count: int, chance: random.Random) -> Iterator[Call]:
    for big in _BIG:
        yield replace(calls[0], body=big)
        yield replace(calls[0], query=big.decode())
    for _ in range(count - 2 * len(_BIG)):
        call = chance.choice(calls)
        if call.query and chance.random() < 0.5:
            yield replace(call, query=mangled(call.query.encode(), chance).decode("latin-1"))
        else:
            yield replace(call, body=mangled(call.body, chance))


def all_of(figures: list[Figures]) -> Figures:
    """Return the sum."""
    return Figures(
        calls=sum(each.calls for each in figures),
        told=sum(each.told for each in figures),
        refused=sum(each.refused for each in figures),
        unread=sum(each.unread for each in figures),
        slowest_s=max(each.slowest_s for each in figures),
        wrong=[one for each in figures for one in each.wrong],
        forged=[one for each in figures for one in each.forged],
    )
