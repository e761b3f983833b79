"""HTTP providers with bad days: nothing lost, nothing sent twice, their waits kept; and webhooks that say anything.

Usage: providers [COUNT [WEBHOOKS]]: messages for each kind of fault (1000), mutated requests in all (100000).
The product's own way of asking and of judging answers, at a provider that remembers what it took: 429 and 503 with
and without a wait, 500, 502 and 504, pages, silence, resets, 200 without an id, half a JSON, a gigabyte, a redirect;
and TLS that is none, broken off, of somebody else, or never answers.
Requests to every provider's webhook, whose proofs are left out, with bytes changed, cut and put in.
Control that must fail: a carrier that takes an error page for a no.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping, Sequence

from tests.proofs import _storm, _webhooks

_CONTROL = ("500", "502", "200 without id")


def run(count: int, waits: Mapping[str, int] | None = None) -> list[_storm.Figures]:
    """Send so many messages for each kind of fault."""
    return _storm.run([*_storm.KINDS, *_storm.MORE, _storm.BAD_TLS], count, waits=waits, type_name="provided")


def control(count: int, waits: Mapping[str, int] | None = None) -> list[_storm.Figures]:
    """The same with a carrier that sends again what it should doubt."""
    return _storm.run(list(_CONTROL), count, waits=waits, type_name="forgetful")


def disturb(count: int, seed: int = 1) -> _webhooks.Figures:
    """Mutate so many requests, of all providers together."""
    names = _webhooks.types()
    with contextlib.redirect_stdout(io.StringIO()):  # its log
        return _webhooks.all_of([_webhooks.disturb(name, count // len(names), seed) for name in names])


def main(argv: Sequence[str]) -> int:
    """Print the figures of each kind; 0 when all is as it must be and the control was found."""
    count, requests = (int(argv[0]) if argv else 1000), (int(argv[1]) if argv[1:] else 100_000)
    is_proven, peak_mb = True, 0.0
    for found in run(count):
        print(found, "" if found.is_kept else "NOT AS IT MUST BE", flush=True)
        is_proven &= found.is_kept
        peak_mb = found.peak_mb
    print(f"the daemon's memory: at most {peak_mb:.0f} MB", flush=True)
    webhooks = disturb(requests)
    print(f"webhooks: {webhooks}", *webhooks.wrong[:10], sep="\n    ", flush=True)
    broken = control(max(20, count // 20))
    is_found = any(found.twice for found in broken)
    print(f"  control: an error page is a no: {'found' if is_found else 'NOT FOUND'}")
    return 0 if is_proven and webhooks.is_kept and is_found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
