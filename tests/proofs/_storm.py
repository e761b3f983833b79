"""A provider with bad days: 1,000 messages for each kind of fault, all at once, with a tenth or so of them at fault.

For the proofs `boundary` and `providers`. The provider remembers what it took, so it can tell what was lost and what
came twice; its clock tells whether it was left alone for as long as it had asked, and whether anything came after its
expiry.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from ssl import TLSVersion
from tempfile import TemporaryDirectory
from typing import Any

from tests.proofs._lanes import PostingDaemon, configuration, connect, messages, send
from tests.servers._background import Background
from tests.servers._server import wait_until
from tests.servers.certificates import certificate, server_context
from tests.servers.cutting import AtOnce, Cut, Fault, Leads, Proxy, Says, Silence
from tests.servers.daemon import Daemon
from tests.servers.provider import TAKEN, Answer, Order, Provider

LOWEST_RATE, HIGHEST_RATE = 0.05, 0.20
_CLIENTS = 4
_SLACK_S = 0.002  # two clocks of one machine, read one after the other
_PROMPT_S = 1.0  # from the decision to the provider
_TIMEOUT = "1s"
_QUIET_S = 600.0
_MOST_CONNECTIONS = 20_000
_WITHIN_HELLO = 600  # bytes of a server's first flight, of which its certificate is most
_MOST_MB = 400.0  # of the daemon's memory, however much an answer is
_PAGE = b"<html><h1>502 Bad Gateway</h1></html>"

Judge = Callable[[random.Random], Answer]


def _wait(status: int, longest_s: int) -> Judge:
    """Not taken; come again in so many seconds."""

    def judge(chance: random.Random) -> Answer:
        headers = {"Retry-After": str(chance.randint(1, longest_s))} if longest_s else {}
        return Answer(is_taken=False, status=status, headers=headers)

    return judge


def _doubt(**words: Any) -> Judge:
    """Nobody can tell from the answer whether it was taken: sometimes it was."""
    return lambda chance: Answer(is_taken=chance.random() < 0.5, name="doubt", **words)


KINDS: dict[str, Judge] = {
    "429": _wait(429, 0),
    "429 with Retry-After": _wait(429, 3),
    "503 with Retry-After": _wait(503, 3),
    "500": _doubt(status=500),
    "502": _doubt(status=502, body=_PAGE),
    "504": _doubt(status=504, body=b""),
    "hang": _doubt(ending="hang"),
    "reset": _doubt(ending="reset"),
    "garbage": _doubt(status=200, body=_PAGE),
    "200 without id": _doubt(status=200, body=b'{"status": "ok"}'),
}
MORE: dict[str, Judge] = {
    "redirect": _doubt(status=302, headers={"Location": "http://127.0.0.1:9/elsewhere"}),
    "half a JSON": _doubt(status=200, body=b'{"id": "p-00000001'),
    "a gigabyte": _doubt(status=200, body=b" ", more=1_000_000_000),
}
"""Kinds that only the proof `providers` has."""
MIXED = "all of them"
BAD_TLS = "bad TLS"
"""Where no connection is fit to be spoken on: nothing of a message is at the provider then."""


@dataclass(kw_only=True, slots=True)
class Figures:
    """What came of the messages with one kind of fault."""

    kind: str
    messages: int = 0
    faults: int = 0
    doubtful: int = 0
    taken: int = 0
    unknown: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    late_s: float = 0.0
    resent_s: list[float] = field(default_factory=list)
    waits_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    peak_mb: float = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether nothing was lost, nothing twice, nothing doubted without a reason or sent too early."""
        found = self.lost or self.twice or self.wrong or self.early
        is_quiet = self.unknown <= self.doubtful and self.messages > 0
        return not found and is_quiet and self.peak_mb < _MOST_MB

    def __str__(self) -> str:
        words = [
            f"{self.messages} messages, {self.faults} faults ({self.doubtful} doubtful): {self.taken} taken, "
            f"{self.unknown} unknown, {len(self.lost)} lost, {len(self.twice)} too often, {len(self.wrong)} wrong"
        ]
        if self.late_s:
            words.append(f"Retry-After: {len(self.early)} too early, at most {self.late_s:.2f} s late")
        for rank, found in sorted(self.waits_s.items()):
            words.append(f"wait {rank}: {len(found)} of {min(found):.1f} to {max(found):.1f} s")
        if self.resent_s:
            words.append(f"sent again after {min(self.resent_s):.1f} to {max(self.resent_s):.1f} s")
        return f"{self.kind}: {'; '.join(words)}"


class Storm:
    """A daemon with a carrier for each kind, and the provider that fails."""

    def __init__(self, kinds: Sequence[str], seed: int) -> None:
        self.kinds = list(kinds)
        self._chance = random.Random(seed)
        self._rates = {kind: self._chance.uniform(LOWEST_RATE, HIGHEST_RATE) for kind in kinds}

    def judge(self, message: str, text: str) -> Answer:
        """Answer one order: every try has the same odds."""
        kind = self.kinds[int(text.split()[1])]
        if kind == BAD_TLS or self._chance.random() >= self._rates[kind]:
            return TAKEN
        every = KINDS | MORE
        return every[self._chance.choice(list(KINDS)) if kind == MIXED else kind](self._chance)

    def spoil(self, connections: int, impostor: int) -> list[Fault | None]:
        """Return what happens to so many connections of TLS: mostly nothing."""
        ways: list[Callable[[], Fault]] = [
            lambda: Leads(impostor),  # whose certificate nobody has signed
            lambda: Says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
            lambda: AtOnce(self._chance.choice(["close", "reset"])),
            lambda: Cut(
                "server", self._chance.randint(0, _WITHIN_HELLO), self._chance.choice(["close", "reset"])
            ),
            Silence,
        ]
        rate = self._rates[BAD_TLS]
        return [
            self._chance.choice(ways)() if self._chance.random() < rate else None for _ in range(connections)
        ]


@contextmanager
def raging(
    kinds: Sequence[str],
    seed: int,
    on_unknown: str = "hold",
    waits: Mapping[str, int] | None = None,
    type_name: str = "posting",
) -> Iterator[tuple[Daemon, Provider, Proxy]]:
    """Start a daemon and a provider that fails, with what its TLS passes through; the daemon's waits are its own
    unless others are given.
    """
    storm = Storm(kinds, seed)
    with TemporaryDirectory(prefix="mail2sms-tls-") as folder, Background() as background:
        cert, key = certificate(Path(folder))
        other = server_context(*certificate(Path(folder), "impostor"), TLSVersion.TLSv1_3)
        provider = Provider(background, storm.judge, server_context(cert, key, TLSVersion.TLSv1_3))
        proxy = Proxy(background, provider.tls_port, is_kept=False)
        if BAD_TLS in kinds:
            proxy.arm(*storm.spoil(_MOST_CONNECTIONS, Provider(background, context=other).tls_port))
        urls = {
            f"c{n:02}": f"https://127.0.0.1:{proxy.port}/length/once"
            if kind == BAD_TLS
            else f"http://127.0.0.1:{provider.port}/length"
            for n, kind in enumerate(kinds)
        }
        extra = configuration(urls, type_name, f", timeout: {_TIMEOUT}") + f"on_unknown: {on_unknown}\n"
        env = {"SSL_CERT_FILE": str(cert)}
        with PostingDaemon(waits or {}, mode="live", extra=extra, env=env) as daemon:
            yield daemon, provider, proxy


def run(
    kinds: Sequence[str],
    count: int,
    seed: int = 1,
    on_unknown: str = "hold",
    waits: Mapping[str, int] | None = None,
    type_name: str = "posting",
) -> list[Figures]:
    """Send `count` messages for each kind, wait until all is over, and compare."""
    with raging(kinds, seed, on_unknown, waits, type_name) as (daemon, provider, proxy):
        ids = _send(daemon, len(kinds), count)
        _wait_until_quiet(daemon)
        time.sleep(3 if waits is None else 1)  # nothing may come now
        found = messages(daemon)
        assert set(ids) == set(found)
        most = 1 if on_unknown == "hold" else 2
        figures = [
            _compare(kind, [i for i in ids if ids[i] == n], found, provider.orders, most)
            for n, kind in enumerate(kinds)
        ]
        for each in figures:
            each.peak_mb = daemon.peak_mb()
            if each.kind == BAD_TLS:
                each.faults = sum(link.fault is not None for link in proxy.links)
        return figures


def _send(daemon: Daemon, kinds: int, count: int) -> dict[str, int]:
    """Send from several clients at once; return the number of its kind for each message."""

    def client(number: int) -> list[tuple[str, int]]:
        with connect(daemon) as smtp:
            return [
                (send(smtp, f"+3363998{n % kinds:02}00", f"storm {n % kinds:02} {n:06}"), n % kinds)
                for n in range(number, count * kinds, _CLIENTS)
            ]

    with ThreadPoolExecutor(_CLIENTS) as threads:
        return {id_: kind for found in threads.map(client, range(_CLIENTS)) for id_, kind in found}


def _wait_until_quiet(daemon: Daemon) -> None:
    paths = [f"/api/v1/messages?status={status}&limit=1" for status in ("queued", "sending")]
    is_quiet = wait_until(
        lambda: not any(daemon.api(path)[1]["items"] for path in paths), _QUIET_S, every_s=0.5
    )
    assert is_quiet, "messages wait for ever"


def _compare(
    kind: str, ids: Sequence[str], found: Mapping[str, Any], orders: Sequence[Order], most: int
) -> Figures:
    figures = Figures(kind=kind, messages=len(ids))
    by_message: dict[str, list[Order]] = {id_: [] for id_ in ids}
    for order in orders:
        if order.message in by_message:
            by_message[order.message].append(order)
    for id_, those in by_message.items():
        taken, status = sum(order.answer.is_taken for order in those), found[id_]["status"]
        figures.faults += sum(order.answer is not TAKEN for order in those)
        doubtful = sum(order.answer.name == "doubt" for order in those)
        figures.doubtful += doubtful
        figures.taken += taken > 0
        figures.unknown += status == "unknown"
        if (status, taken > 0) not in {("enroute", True), ("unknown", True), ("unknown", False)}:
            figures.lost.append(f"{id_} {status}")
        if taken > most:
            figures.twice.append(id_)
        is_doubtful = bool(those) and those[-1].answer.name == "doubt"
        if doubtful > most or (status == "unknown") != is_doubtful:
            figures.wrong.append(f"{id_} {status}")
        _time(figures, those)
    return figures


def _time(figures: Figures, orders: Sequence[Order]) -> None:
    """Compare how long the provider was left alone with what it had asked for."""
    rank = 0
    for before, after in itertools.pairwise(orders):
        waited_s, asked = after.at - before.at, before.answer.headers.get("Retry-After")
        if asked is not None:
            figures.late_s = max(figures.late_s, waited_s - int(asked))
            if waited_s < int(asked) - _SLACK_S:
                figures.early.append(f"{after.message}: {waited_s:.3f} s, not {asked}")
        elif before.answer.name == "doubt":
            figures.resent_s.append(waited_s)
        else:
            rank += 1
            figures.waits_s[rank].append(waited_s)


@dataclass(kw_only=True, slots=True)
class Expiry:
    """What came of messages that a provider never takes. `late` were decided to be sent after their expiry.

    The decision is the intent; until its commit is on the disk and the request at the provider some time goes by:
    `delayed_s` are the orders that crossed the expiry in it.
    """

    messages: int = 0
    orders: int = 0
    expired: int = 0
    late: list[str] = field(default_factory=list)
    delayed_s: list[float] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether all were given up, nothing was decided afterwards, and nothing took long after that."""
        is_prompt = max(self.delayed_s, default=0) < _PROMPT_S
        return (
            self.expired == self.messages > 0 and self.orders > self.messages and not self.late and is_prompt
        )

    def __str__(self) -> str:
        worst_ms = 1000 * max(self.delayed_s, default=0)
        return (
            f"never taken: {self.messages} messages, sent {self.orders} times, {self.expired} expired, "
            f"{len(self.late)} sent on a decision after their expiry; {len(self.delayed_s)} arrived after it that were "
            f"decided before, at most {worst_ms:.0f} ms late"
        )


def expire(count: int, validity_s: int) -> Expiry:
    """Send messages of this validity by the API to a provider that always asks to wait for one second."""
    later = Answer(is_taken=False, status=429, headers={"Retry-After": "1"})
    with ExitStack() as stack:
        provider = Provider(stack.enter_context(Background()), lambda message, text: later)
        extra = configuration({"c00": f"http://127.0.0.1:{provider.port}/length"}) + (
            'api: {keys: [{name: test, key: "a-long-random-key-for-tests-only-0001", may: [read, send]}]}\n'
        )
        daemon = stack.enter_context(PostingDaemon({}, mode="live", extra=extra))
        for number in range(count):
            wish = {"to": "+33639980000", "text": f"late {number}", "validity": f"{validity_s}s"}
            code, said = daemon.api("/api/v1/messages", "POST", wish)
            assert code == 202, said
        _wait_until_quiet(daemon)
        time.sleep(2)
        found = {id_: daemon.api(f"/api/v1/messages/{id_}")[1] for id_ in messages(daemon)}
    figures = Expiry(messages=len(found), orders=len(provider.orders))
    for id_, message in found.items():
        figures.expired += message["status"] == "expired"
        decided = [event["at"] for event in message["events"] if event["status"] == "sending"]
        figures.late += [f"{id_}: decided at {at}" for at in decided if at >= message["expires_at"]]
    for order in provider.orders:
        over_s = order.at - datetime.fromisoformat(found[order.message]["expires_at"]).timestamp()
        if over_s > 0:
            figures.delayed_s.append(over_s)
    return figures
