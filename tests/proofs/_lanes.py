"""Many carriers of one daemon side by side, each with a proxy of its own before one provider: for the proof `boundary`.

On a lane one message is under way at a time, so whatever its proxy did, it did to that message.
"""

from __future__ import annotations

import contextlib
import itertools
import smtplib
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tests.servers._background import Background
from tests.servers.certificates import certificate, server_context
from tests.servers.cutting import Fault, How, Link, Proxy, ends
from tests.servers.daemon import _CHECKOUT, Daemon
from tests.servers.provider import Provider

UNKNOWN, ENROUTE, REJECTED, QUEUED = "unknown", "enroute", "rejected", "queued"
_OVER = frozenset({UNKNOWN, ENROUTE, REJECTED, "expired", "undeliverable", "delivered", "cancelled"})
_WAITS = _OVER | {QUEUED}
_ENDS_WITHIN_S = 30.0
_TRIES_TO_REUSE = 5
_IDLE_S = 0.1  # time enough for the daemon to see what happened to a connection that is kept
_PAGE = 1000
SHORT_WAITS = {"FIRST_WAIT_MS": 100, "LONGEST_WAIT_MS": 400, "RESEND_AFTER_MS": 400, "POLL_MS": 100}
_LONG_AFTER_S = 1.0  # more than all of these


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is done to one message, and what must come of it: its status, how often it was sent and how often taken.

    `outage`: the proxy refuses or ignores connections until the message waits for its next try. `idle`: what the
    server says on the connection that is kept, or how it ends it, before the message. `attempts` 0: one or more. An
    empty `status`: whatever it was, it must fit what was taken (see `Seen.wrong`).
    """

    name: str
    faults: tuple[Fault, ...] = ()
    outage: Literal["", "refuse", "ignore"] = ""
    idle: bytes | How | None = None
    status: str = ENROUTE
    attempts: int = 1
    taken: int = 1


@dataclass(kw_only=True, slots=True)
class Seen:
    """What came of it. `left` are faults that did not happen; `again` is what was found when all was over."""

    case: Case
    id: str
    status: str
    was: frozenset[str]
    attempts: int
    taken: int = 0
    left: int = 0
    again: str = ""

    @property
    def wrong(self) -> str:
        """What is not as it must be, empty when all is."""
        case = self.case
        if self.again:
            return f"{self}; later {self.again}"
        if self.left:
            return f"{self}; {self.left} faults did not happen"
        if not case.status:
            is_fitting = (self.status, self.taken) in {(ENROUTE, 1), (UNKNOWN, 0), (UNKNOWN, 1)}
            return "" if is_fitting and (self.attempts <= 2 or case.outage) else str(self)
        is_false_doubt = UNKNOWN in self.was and case.status != UNKNOWN
        found = (self.status, self.taken, self.attempts if case.attempts else 0)
        is_right = found == (case.status, case.taken, case.attempts) and not is_false_doubt
        return "" if is_right else f"{self}; not {case.status}, {case.attempts} times, {case.taken} times"

    def __str__(self) -> str:
        return (
            f"{self.id} {self.case.name}: {self.status}, sent {self.attempts} times, taken {self.taken} times"
        )


class PostingDaemon(Daemon):
    """The daemon with the tests' carriers, in live mode, its waits as in `waits`."""

    def __init__(
        self, waits: Mapping[str, int], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        shortened = {f"MAIL2SMS_{name}": str(ms) for name, ms in waits.items()}
        super().__init__(env={**shortened, **(env or {})}, **options)
        self.config.chmod(0o600)  # in live mode a key that others can read is an error

    def _launch(self) -> None:
        words = [sys.executable, "-m", "tests.servers.posting", "serve", "--config", str(self.config)]
        self._spawn([*self.wrap, *words], env={**self._env, "PYTHONPATH": str(_CHECKOUT)})


def configuration(urls: Mapping[str, str], type_name: str = "posting", more: str = "") -> str:
    """Return the YAML of carriers by name at these URLs; the phones +3363998NN.. are the NNth one's."""
    carriers = ", ".join(f'{name}: {{type: {type_name}, api: "{url}"{more}}}' for name, url in urls.items())
    routes = ", ".join(f'{{to: "+3363998{n:02}", via: {name}}}' for n, name in enumerate(urls))
    # Nobody here has a number: in live mode those for examples are no sender IDs.
    return (
        f"carriers: {{{carriers}}}\nroutes: [{routes}]\nsender_ids: {{default: ACME}}\n"
        "users: {marie@acme.example: {name: Marie Dubois}}\nrelay: {}\n"
    )


def send(smtp: smtplib.SMTP, phone: str, text: str) -> str:
    """Send a mail that is an SMS; return the id in its 250."""
    to = f"{phone.removeprefix('+')}@sms.acme.example"
    mail = (
        f"From: marie@acme.example\r\nTo: {to}\r\nSubject: x\r\n"
        f"Message-ID: <{text.replace(' ', '.')}.{to}>\r\n\r\n{text}\r\n"
    )
    smtp.ehlo_or_helo_if_needed()
    smtp.mail("marie@acme.example")
    smtp.rcpt(to)
    code, reply = smtp.data(mail)
    assert code == 250, (code, reply)
    return reply.split()[1].decode()


def connect(daemon: Daemon) -> smtplib.SMTP:
    """Return a connection to the daemon's listener."""
    return smtplib.SMTP("127.0.0.1", daemon.smtp_port, "client.example", timeout=60)


def messages(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """Return all messages by id, as the API shows them."""
    found: dict[str, dict[str, Any]] = {}
    before = ""
    while True:
        page = daemon.api(f"/api/v1/messages?limit={_PAGE}{before}")[1]
        found |= {item["id"]: item for item in page["items"]}
        if not page["next"]:
            return found
        before = f"&before={page['next']}"


class Lane:
    """A carrier, the proxy before it, and its phone. `form` is the path at the provider."""

    def __init__(self, number: int, form: str, proxy: Proxy, *, is_tls: bool = False) -> None:
        self.form, self.proxy = form, proxy
        self.name = f"c{number:02}"
        self.phone = f"+3363998{number:02}00"
        self.url = f"http{'s' * is_tls}://127.0.0.1:{proxy.port}/{form}"
        self.is_kept = _is_kept(form)
        self._texts = itertools.count(1)

    def text(self) -> str:
        """Return the next text: all are of one length, and so are the requests."""
        return f"{self.name} text {next(self._texts):06}"


def _is_kept(form: str) -> bool:
    return not form.endswith("/once")


class Lanes:
    """A daemon, its lanes and the provider behind them all. `impostor` is a port with another's certificate."""

    def __init__(self, daemon: Daemon, provider: Provider, lanes: Sequence[Lane], impostor: int = 0) -> None:
        self.daemon, self.provider, self.lanes, self.impostor = daemon, provider, lanes, impostor

    def run(self, cases: Mapping[str, Sequence[Case]]) -> list[Seen]:
        """Let every case of each form happen on a lane of that form, the lanes at the same time."""
        work: list[tuple[Lane, list[Case]]] = []
        for form, wanted in cases.items():
            those = [lane for lane in self.lanes if lane.form == form]
            assert those or not wanted, f"no lane for {form}"
            work += [(lane, list(wanted[n :: len(those)])) for n, lane in enumerate(those)]
        with ThreadPoolExecutor(len(work)) as threads:
            done = list(threads.map(lambda one: self._run_lane(*one), work))
        return [seen for each in done for seen in each]

    def _run_lane(self, lane: Lane, cases: Sequence[Case]) -> list[Seen]:
        return [seen for case in cases for seen in self._run_case(lane, case)]

    def _run_case(self, lane: Lane, case: Case) -> Iterator[Seen]:
        """On a lane that keeps connections, until the fault met one that was used before."""
        for _ in range(_TRIES_TO_REUSE if lane.is_kept else 0):
            yield self.once(lane, Case(name="before"))
            link = lane.proxy.links[-1]
            before = len(link.said)
            yield self.once(lane, case)
            if len(link.said) > before or case.idle or case.outage:
                return
        assert not lane.is_kept, f"{lane.name}: no connection is used again: {case}"
        yield self.once(lane, case)

    def once(self, lane: Lane, case: Case) -> Seen:
        """Let a case happen on a lane, whatever its connections are."""
        lane.proxy.arm(*case.faults)
        if case.outage:
            lane.proxy.refuse() if case.outage == "refuse" else lane.proxy.ignore()
        if case.idle:
            link = lane.proxy.links[-1]
            lane.proxy.call(lambda: _spoil(link, case.idle))
            time.sleep(_IDLE_S)
        id_ = self.send(lane)
        if case.outage:
            self._await(id_, lambda found: found["status"] in _WAITS and found["attempts"] > 0)
            lane.proxy.listen()
        return self.see(lane, case, id_)

    def send(self, lane: Lane) -> str:
        """Send the next mail of a lane; return its message."""
        with connect(self.daemon) as smtp:
            return send(smtp, lane.phone, lane.text())

    def see(self, lane: Lane, case: Case, id_: str) -> Seen:
        """Wait until the work on a message is over, and say what came of it."""
        found = self._await(id_, lambda found: found["status"] in _OVER)
        left = len(lane.proxy.faults)
        lane.proxy.arm()
        return Seen(
            case=case,
            id=id_,
            status=found["status"],
            was=frozenset(event["status"] for event in found["events"]),
            attempts=found["attempts"],
            taken=self.provider.taken()[id_],
            left=left,
        )

    def _await(self, id_: str, is_met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end, pause_s = time.monotonic() + _ENDS_WITHIN_S, 0.03
        while True:
            found: dict[str, Any] = self.daemon.api(f"/api/v1/messages/{id_}")[1]
            if is_met(found):
                return found
            assert time.monotonic() < end, found
            time.sleep(pause_s)
            pause_s = min(0.3, pause_s * 1.3)

    def look_again(self, seen: Sequence[Seen]) -> None:
        """Note what has changed after all waits, and after a restart: nothing may.

        But a provider may be slow: what it has read by now counts as taken at once, and is judged with the rest.
        """
        time.sleep(_LONG_AFTER_S)
        self.daemon.stop()
        self.daemon.start()
        time.sleep(_LONG_AFTER_S)
        after, taken = messages(self.daemon), self.provider.taken()
        for each in seen:
            each.taken = each.taken or taken[each.id]
            now = (after[each.id]["status"], after[each.id]["attempts"], taken[each.id])
            if now != (each.status, each.attempts, each.taken):
                each.again = "{}, sent {} times, taken {} times".format(*now)

    def exchange(self, form: str) -> tuple[bytes, bytes]:
        """Return the bytes of a request and of its answer on a lane of this form."""
        lane = next(lane for lane in self.lanes if lane.form == form)
        self.once(lane, Case(name="before"))
        link = lane.proxy.links[-1]
        said, heard = len(link.said), len(link.heard)
        self.once(lane, Case(name="measured"))
        if lane.proxy.links[-1] is not link:
            link, said, heard = lane.proxy.links[-1], 0, 0
        time.sleep(_IDLE_S)  # what comes after the answer, as TLS may
        return bytes(link.said[said:]), bytes(link.heard[heard:])

    def lengths(self, form: str) -> tuple[int, int]:
        """Return how many bytes they have."""
        request, answer = self.exchange(form)
        return len(request), len(answer)


def _spoil(link: Link, how: bytes | How | None) -> None:
    if isinstance(how, bytes):
        link.writer.write(how)
    elif how is not None:
        ends(link, how)


@contextlib.contextmanager
def lanes(
    forms: Sequence[str],
    *,
    type_name: str = "posting",
    on_unknown: str = "hold",
    wrap: Sequence[str | Path] = (),
    tls: ssl.TLSVersion | None = None,
) -> Iterator[Lanes]:
    """Start a daemon with a lane for each of `forms`, which may come more than once."""
    with TemporaryDirectory(prefix="mail2sms-tls-") as folder, Background() as background:
        context, env, impostor = None, {}, 0
        if tls is not None:
            cert, key = certificate(Path(folder))
            context, env = server_context(cert, key, tls), {"SSL_CERT_FILE": str(cert)}
            other = server_context(*certificate(Path(folder), "impostor"), tls)
            impostor = Provider(background, context=other).tls_port
        provider = Provider(background, context=context)
        upstream = provider.port if tls is None else provider.tls_port
        made = [
            Lane(number, form, Proxy(background, upstream, is_kept=_is_kept(form)), is_tls=tls is not None)
            for number, form in enumerate(forms)
        ]
        extra = (
            configuration({lane.name: lane.url for lane in made}, type_name) + f"on_unknown: {on_unknown}\n"
        )
        with PostingDaemon(SHORT_WAITS, mode="live", extra=extra, env=env, wrap=wrap) as daemon:
            yield Lanes(daemon, provider, made, impostor)
