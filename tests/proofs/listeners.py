"""The doors: no relay, no mail hidden in another, nothing from before TLS, and honest mail among a thousand slow ones.

Usage: listeners [FACTOR]. FACTOR shrinks the numbers of connections (1 is full size). Every form of a relay, end of a
mail and command before TLS is tried at `smtp`, `lmtp` and, where it differs, `devices` of a daemon as a mail server
would run it. Then, with `limits: {connections: 1200}` and all of 127.0.0.0/8 as the network of `senders`, so that no
limit of strangers helps: slow connections (a byte a second) with honest mail between them, and mails of a megabyte
that all arrive at once. Last, what the connections beyond the default limits are told.
Controls that must fail: daemons that relay, that take a bare line end for the end of a mail, that obey what came
before TLS, that let everybody in, and that have no budget of bytes.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proofs import _broken, _doors, _flood
from tests.servers import free_port
from tests.servers.certificates import certificate
from tests.servers.daemon import Daemon

P99_S, SLOW_MB, FULL_MB, REFUSED_S = 2.0, 200.0, 350.0, 0.1
_CONNECTIONS, _MAILS, _PAUSE_S = 1000, 200, 0.05
_MAIL_BYTES = 950_000
_HELLO = {"smtp": b"EHLO", "lmtp": b"LHLO", "devices": b"EHLO"}


@dataclass(slots=True)
class Doors:
    """A daemon with all its doors; `ports` are those that take mail."""

    daemon: Daemon
    ports: dict[str, int]
    certificate: Path

    def messages(self, number: str) -> list[str]:
        """The ids of what was stored for one phone."""
        _, found = self.daemon.api(f"/api/v1/messages?to=%2B{number}&limit=100")
        return [item["id"] for item in found["items"]]


@contextmanager
def doors(patch: str = "", *, extra: str = "") -> Iterator[Doors]:
    """Start it; `patch` breaks it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        cert, key = certificate(folder)
        ports, web = {name: free_port() for name in _HELLO}, free_port()
        listeners = [
            f'smtp: {{address: "127.0.0.1:{ports["smtp"]}", tls: offered}}',
            f'lmtp: {{address: "127.0.0.1:{ports["lmtp"]}"}}',
            f'devices: {{address: "127.0.0.1:{ports["devices"]}"}}',
            f'web: {{address: "127.0.0.1:{web}", url: "http://127.0.0.1:{web}"}}',
        ]
        config = f"listen: {{{', '.join(listeners)}}}\ntls: {{certificate: {cert}, key: {key}}}\n{extra}"
        wrap = _broken.breaker(folder, patch) if patch else ()
        daemon = stack.enter_context(Daemon(extra=config, web_port=web, wrap=wrap))
        yield Doors(daemon, ports, cert)


# What must have no effect


@dataclass(slots=True)
class Effects:
    """What came of it: how much was tried, and all that was taken."""

    tried: int = 0
    taken: list[str] = field(default_factory=list)


def relays(place: Doors) -> Effects:
    """Ask each door for a relay, in every form."""
    found = Effects()
    for name, hello in _HELLO.items():
        found.tried += 4 * len(_doors.RELAYS)
        found.taken += [f"{name}: {each}" for each in _doors.relayed(place.ports[name], hello)]
    return found


def smuggled(place: Doors) -> Effects:
    """Hide a mail behind each end that is none: refused, and on `devices` mended, but never two."""
    found = Effects()
    for name, hello in _HELLO.items():
        for end, said in _doors.smuggled(place.ports[name], hello):
            found.tried += 1
            expected = b"554 5.5.2" if name != "devices" else b"250 2.0.0"
            hidden = place.messages(_doors.HIDDEN)
            if not said.startswith((expected, b"550 5.2.3")) or hidden:
                found.taken.append(f"{name} {end!r}: {said!r}, hidden: {hidden}")
    return found


def injected(place: Doors) -> Effects:
    """Say something in clear together with STARTTLS."""
    context = ssl.create_default_context(cafile=str(place.certificate))
    context.check_hostname = False
    found = _doors.injected(place.ports["smtp"], context)
    return Effects(len(_doors.INJECTIONS), [*found, *place.messages(_doors.HIDDEN)])


# What must not be felt

MANY = 'senders: [{from: "*@acme.example", network: 127.0.0.0/8}]\n'


def _limits(connections: int) -> str:
    return f"{MANY}limits: {{connections: {connections}}}\n"


def slow(factor: float = 1.0) -> _flood.Slow:
    """Honest mail between slow connections, all of them of the network of `senders`."""
    connections = round(_CONNECTIONS * factor)
    _flood.may_open(connections)
    with doors(extra=_limits(round(1200 * factor))) as place:
        flood = _flood.slow(
            place.ports["smtp"], connections, round(_MAILS * factor), _PAUSE_S, place.daemon.rss_mb
        )
        return asyncio.run(flood)


def full(factor: float = 1.0, patch: str = "") -> _flood.Full:
    """A megabyte from each at the same time, with room for 64 MB (or the same part of it)."""
    connections = round(_CONNECTIONS * factor)
    _flood.may_open(connections)
    room = f"bytes_in_flight: {round(64_000_000 * factor)}B"
    limits = f"{MANY}limits: {{connections: {round(1200 * factor)}, {room}}}\n"
    with doors(patch, extra=limits) as place:
        return asyncio.run(_flood.full(place.ports["smtp"], connections, _MAIL_BYTES, place.daemon.rss_mb))


def excess(patch: str = "") -> _flood.Excess:
    """Half as many strangers again as the default limits allow."""
    with doors(patch) as place:
        return asyncio.run(_flood.excess(place.ports["smtp"], 300))


# What they say, and what they find

BROKEN = (
    ("relays", "a daemon that relays", _broken.RELAYS, relays),
    ("ends", "a bare line end that ends a mail", _broken.LOOSE_ENDS, smuggled),
    ("injection", "commands from before TLS that are obeyed", _broken.KEEPS_CLEAR_TEXT, injected),
)


def _shown(what: str, found: Effects) -> bool:
    print(f"{what}: {found.tried} tried, {len(found.taken)} with an effect", flush=True)
    for each in found.taken[:10]:
        print(f"    {each}")
    return found.tried > 0 and not found.taken


def _control(what: str, *, is_found: bool) -> bool:
    print(f"  control: {what}: {'found' if is_found else 'NOT FOUND'}", flush=True)
    return is_found


def _effects() -> bool:
    with doors() as place:
        is_good = _shown(f"relay, {len(_doors.RELAYS)} forms, 4 senders, 3 doors", relays(place))
        is_good &= _shown(f"mails in mails, {len(_doors.ENDS)} ends, 3 doors", smuggled(place))
        is_good &= _shown("commands before TLS", injected(place))
    for _, what, patch, attempt in BROKEN:
        with doors(patch) as place:
            is_good &= _control(what, is_found=bool(attempt(place).taken))
    return is_good


def _floods(factor: float) -> bool:
    found = slow(factor)
    print(
        f"{found.held} connections at a byte a second held; honest mails {dict(found.codes)}, "
        f"p50 {sorted(found.waits_s)[len(found.waits_s) // 2] * 1000:.0f} ms, p99 {found.p99_s * 1000:.0f} ms; "
        f"RSS {found.rss_mb:.0f} MB",
        flush=True,
    )
    is_good = found.codes.keys() == {"250"} and found.p99_s < P99_S and found.rss_mb < SLOW_MB
    is_good &= found.held == round(_CONNECTIONS * factor)
    many = full(factor)
    print(
        f"{many.codes.total()} mails of 950 kB at once: {dict(many.codes)}; RSS {many.rss_mb:.0f} MB",
        flush=True,
    )
    is_good &= many.codes.keys() == {"250", "452"} and many.rss_mb < FULL_MB
    over = excess()
    print(
        f"300 strangers, default limits: {dict(over.codes)}; 421 after at most {over.longest_s * 1000:.0f} ms",
        flush=True,
    )
    is_good &= over.codes == {"220": 150, "421": 150} and over.longest_s < REFUSED_S
    unbounded = full(factor, _broken.NO_BUDGET)
    print(f"  without a budget: {dict(unbounded.codes)}, RSS {unbounded.rss_mb:.0f} MB")
    is_good &= _control("no budget of bytes", is_found="452" not in unbounded.codes)
    return is_good & _control("everybody is let in", is_found="421" not in excess(_broken.NO_LIMIT).codes)


def main(argv: list[str]) -> int:
    """Print the figures; 0 when nothing had an effect, all is within the aims, and every control was found."""
    factor = float(argv[0]) if argv else 1.0
    is_good = _effects()
    return 0 if _floods(factor) & is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
