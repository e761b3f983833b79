"""Between carrier and provider: `unknown` exactly when a byte of the request went out and no full answer came.

Usage: boundary [EVERY] [PART ...]. Parts: hold, resend, tls, idle, kernel, storm, letters, controls. EVERY: 1 cuts
after every byte; a greater number takes a sample that is as much smaller, of everything.
A carrier of the tests posts through `mail2sms.http`, which all HTTP carriers use, to a provider that remembers what it
took; a proxy between them breaks connections. Mails come in by SMTP, statuses are read from the API. `hold`, `resend`:
what `on_unknown` says. `idle`: what servers do to kept connections between requests. `kernel`: ends at the moment of
writing. `storm`: a provider with bad days. `letters`: the way to the smarthost.
Controls that must fail: carriers that mistake a lost answer for a no, and what never left for a doubt; mailers that
lose a mail, and that give it another Message-ID when it is sent again.
"""

from __future__ import annotations

import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.proofs import _cases, _kernel, _letters, _storm
from tests.proofs._lanes import ENROUTE, UNKNOWN, Seen, lanes

FORMS = ("length/once", "length", "chunked/once", "chunked", "until-close/once")
_LANES = {"length/once": 8, "length": 6, "chunked/once": 3, "chunked": 3, "until-close/once": 3}
_TLS_LANES = 20
TLS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of many cases; each is one message."""

    seen: Sequence[Seen]

    @property
    def wrong(self) -> list[str]:
        """Those that are not as they must be."""
        return [each.wrong for each in self.seen if each.wrong]

    @property
    def doubts_without_reason(self) -> int:
        """How many were `unknown` although nothing of them had gone out."""
        return sum(UNKNOWN in each.was and each.case.status not in (UNKNOWN, "") for each in self.seen)

    @property
    def most_taken(self) -> int:
        """How often the provider took the message that it took most often."""
        return max(each.taken for each in self.seen)

    @property
    def is_kept(self) -> bool:
        """Whether all is as it must be."""
        return bool(self.seen) and not self.wrong

    def __str__(self) -> str:
        those = [each for each in self.seen if each.case.name not in ("before", "measured")]
        statuses = Counter(each.status for each in those)
        again = sum(each.attempts > 1 for each in those)
        return (
            f"{len(those)} faults: {statuses[UNKNOWN]} unknown, {statuses[ENROUTE]} enroute, {statuses['rejected']} "
            f"rejected; {again} sent again; none taken more than {self.most_taken} times; "
            f"{self.doubts_without_reason} in doubt without a reason; {len(self.wrong)} wrong"
        )


def run_cuts(
    on_unknown: str, every: int, *, type_name: str = "posting", forms: Sequence[str] = FORMS, most: int = 8
) -> Figures:
    """Cut plain connections after each byte, on at most so many lanes of each form."""
    made = [form for form in forms for _ in range(min(most, _LANES[form]))]
    with lanes(made, type_name=type_name, on_unknown=on_unknown) as each:
        cuts = {form: _cases.cuts(each.lengths(form), on_unknown=on_unknown, every=every) for form in forms}
        seen = each.run(cuts)
        each.look_again(seen)
    return Figures(seen)


def run_ways(on_unknown: str) -> Figures:
    """Let everything else happen that servers do, on new and on kept connections."""
    ways = _cases.other_ways(on_unknown)
    cases = {"length/once": ways + _cases.outages(), "length": ways}
    with lanes([*cases] * _LANES["length"], on_unknown=on_unknown) as each:
        seen = each.run(cases)
        each.look_again(seen)
    return Figures(seen)


def run_idle() -> Figures:
    """Only what a server does to a connection that is kept, between two requests."""
    with lanes(["length"]) as each:
        return Figures(each.run({"length": _cases.while_idle()}))


def run_tls(version: ssl.TLSVersion, every: int, most: int = _TLS_LANES) -> Figures:
    """The same with TLS, whose handshake can fail too."""
    form = "length/once"
    with lanes([form] * most, tls=version) as each:
        said, heard = each.exchange(form)
        is_13 = version is ssl.TLSVersion.TLSv1_3
        cases = _cases.over_tls(said, heard, each.impostor, every, is_13=is_13)
        return Figures(each.run({form: cases}))


def run_outages(type_name: str) -> Figures:
    """Only connections that do not come about."""
    with lanes(["length/once"], type_name=type_name) as each:
        return Figures(each.run({"length/once": _cases.outages()}))


def _tell(what: str, figures: object, is_good: bool, wrong: Sequence[str] = ()) -> bool:
    print(f"{what}: {figures}{'' if is_good else ': NOT AS IT MUST BE'}", flush=True)
    for each in wrong[:_SHOWN]:
        print(f"    {each}")
    return is_good


def _policy(on_unknown: str) -> Callable[[int], bool]:
    def prove(every: int) -> bool:
        cuts, ways = run_cuts(on_unknown, every), run_ways(on_unknown)
        is_good = _tell(f"{on_unknown}, cuts", cuts, cuts.is_kept, cuts.wrong)
        return _tell(f"{on_unknown}, other ways", ways, ways.is_kept, ways.wrong) and is_good

    return prove


def _tls(every: int) -> bool:
    is_good = True
    for name, version in TLS.items():
        figures = run_tls(version, every)
        is_good &= _tell(name, figures, figures.is_kept, figures.wrong)
    return is_good


def _idle(every: int) -> bool:
    figures = run_idle()
    return _tell("idle", figures, figures.is_kept, figures.wrong)


def _offered(every: int) -> bool:
    figures = _kernel.run(max(20, 400 // every))
    wrong = figures.wrong + figures.baseless
    return _tell("kernel", figures, not wrong, wrong)


def _bad_days(every: int) -> bool:
    is_good, count = True, max(20, 1000 // every)
    storms = {"hold": [*_storm.KINDS, _storm.MIXED], "resend": [_storm.MIXED]}
    for on_unknown, kinds in storms.items():
        for found in _storm.run(kinds, count, on_unknown=on_unknown):
            wrong = found.lost + found.twice + found.wrong + found.early
            is_good &= _tell(f"storm, {on_unknown}", found, found.is_kept, wrong)
    expiry = _storm.expire(max(10, 200 // every), 10)
    return _tell("expiry", expiry, expiry.is_kept, expiry.late) and is_good


def _mails(every: int) -> bool:
    figures = _letters.run(every)
    return _tell("letters", figures, figures.is_kept, figures.lost + figures.renamed + figures.twice)


def _controls(every: int) -> bool:
    twice = run_cuts("hold", 40, type_name="careless", forms=("length/once",))
    doubts = run_outages("anxious")
    lost, renamed = _letters.run(100, _letters.CONTENT), _letters.run(100, _letters.RENAMED)
    return all(
        [
            _tell("  control: no answer is a no", twice, twice.most_taken > 1),
            _tell("  control: not sent is a doubt", doubts, doubts.doubts_without_reason > 0),
            _tell("  control: what did not leave is forgotten", lost, bool(lost.lost)),
            _tell("  control: a new Message-ID each time", renamed, bool(renamed.renamed)),
        ]
    )


PARTS: dict[str, Callable[[int], bool]] = {
    "hold": _policy("hold"),
    "resend": _policy("resend"),
    "tls": _tls,
    "idle": _idle,
    "kernel": _offered,
    "storm": _bad_days,
    "letters": _mails,
    "controls": _controls,
}


def main(argv: list[str]) -> int:
    """Run the parts asked for, or all; 0 when all was as it must be and every control was found."""
    every = int(argv[0]) if argv else 1
    is_proven = True
    for part in argv[1:] or PARTS:
        begun_s = time.monotonic()
        is_proven &= PARTS[part](every)
        print(f"  ({part}: {time.monotonic() - begun_s:.0f} s)", flush=True)
    return 0 if is_proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
