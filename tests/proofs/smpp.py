"""SMPP: an SMSC with bad days loses nothing and gets nothing twice; binds come back; any octets are survived.

Usage: smpp [PART ...]. Parts: storm, rebind, cuts, mutations, controls.
`storm`: messages of one to three parts go by dispatcher, store and carrier to an SMSC that drops sessions before and
after taking, answers late, twice, to nobody or not at all, throttles, unbinds, writes garbage, sends receipts first,
twice and by another bind, while phones write and the database fails now and then. `rebind`: 200 sessions end in four
ways. `cuts`: the link breaks after each byte of bind, submit and answers. `mutations`: 100,000 PDUs with wrong octets.
Controls that must fail: a lost answer taken for a no, events acknowledged without being stored, binds that come back
slowly, a reader that trusts lengths.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from mail2sms import log
from mail2sms.carriers import _smpp_binds, _smpp_events, _smpp_window, smpp
from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers._smpp_pdu import Short
from mail2sms.errors import StoreUnavailable, Unavailable
from tests.proofs import _smpp_cuts, _smpp_storm, is_unknown

_REBIND_S = 5.0
_SHOWN = 10


@contextlib.contextmanager
def careless() -> Iterator[None]:
    """Take a lost answer for a no."""

    def no(code: str, detail: str) -> Unavailable:
        return Unavailable(code, detail, retry_after_s=0.05, same_carrier=True)

    with mock.patch.object(_smpp_window, "Uncertain", no):
        yield


@contextlib.contextmanager
def forgetful() -> Iterator[None]:
    """Acknowledge events that are not stored."""

    async def take(self: smpp.Smpp, short: Short, session: Any) -> int:
        assert self._inbound is not None
        assert self._record is not None
        event = self._inbound.read(short, session)
        with contextlib.suppress(StoreUnavailable):
            if event is not None:
                await self._record(event)
        return wire.OK

    with mock.patch.object(smpp.Smpp, "_take", take):
        yield


@contextlib.contextmanager
def slow() -> Iterator[None]:
    """Come back after six seconds."""
    with (
        mock.patch.object(_smpp_binds, "_FIRST_WAIT_S", 12.0),
        mock.patch.object(_smpp_binds, "_LOST_WAIT_S", 12.0),
    ):
        yield


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Read the length of a text where it is thought to be."""

    def read(body: bytes) -> Short:
        return Short(source=wire.Address(1, 1, ""), destination=wire.Address(1, 1, ""), text=body[body[40] :])

    with mock.patch.dict(_smpp_events._READ, dict.fromkeys(_smpp_events._READ, read)):
        yield


def _tell(what: str, figures: object, is_good: bool, wrong: list[str] | None = None) -> bool:
    print(f"{what}: {figures}{'' if is_good else ': NOT AS IT MUST BE'}", flush=True)
    for each in (wrong or [])[:_SHOWN]:
        print(f"    {each}")
    return is_good


def _storm() -> bool:
    is_good = True
    for seed in (1, 2):
        found = _smpp_storm.run(500, seed)
        wrong = found.lost + found.twice + found.stuck + found.texts_lost + found.texts_twice
        is_good &= _tell("storm", found, found.is_kept, wrong)
    return is_good


def _rebind() -> bool:
    waits = sorted(_smpp_storm.rebind(200))
    figures = (
        f"{len(waits)} sessions ended: back after {waits[len(waits) // 2]:.2f} s, at most {waits[-1]:.2f} s"
    )
    return _tell("rebind", figures, waits[-1] < _REBIND_S)


def _cuts() -> bool:
    found = _smpp_cuts.run()
    return _tell("cuts", found, found.is_kept, found.wrong)


def _mutations() -> bool:
    found = _smpp_cuts.mutations(100_000)
    return _tell("mutations", found, found.is_kept, found.crashes)


def _controls() -> bool:
    with careless():
        storm, cuts = _smpp_storm.run(60), _smpp_cuts.run(10)
    with forgetful():
        texts = _smpp_storm.run(60)
    with slow():
        waits = _smpp_storm.rebind(2)
    with trusting():
        crashes = _smpp_cuts.mutations(2_000)
    return all(
        [
            _tell("  control: no answer is a no", storm, bool(storm.twice)),
            _tell("  control: the same, cut", cuts, bool(cuts.wrong)),
            _tell("  control: acknowledged, not stored", texts, bool(texts.texts_lost or texts.stuck)),
            _tell("  control: slow binds", f"{max(waits):.1f} s", max(waits) >= _REBIND_S),
            _tell("  control: lengths are trusted", crashes, bool(crashes.crashes)),
        ]
    )


PARTS: dict[str, Callable[[], bool]] = {
    "storm": _storm,
    "rebind": _rebind,
    "cuts": _cuts,
    "mutations": _mutations,
    "controls": _controls,
}


def main(argv: list[str]) -> int:
    """Run the parts asked for, or all; 0 when all was as it must be and every control was found."""
    if is_unknown(argv, PARTS):
        return 64
    log.configure("critical")
    is_proven = True
    for part in argv or PARTS:
        begun_s = time.monotonic()
        is_proven &= PARTS[part]()
        print(f"  ({part}: {time.monotonic() - begun_s:.0f} s)", flush=True)
    return 0 if is_proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
