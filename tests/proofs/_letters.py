"""The way to the smarthost, cut at every byte: a reply email arrives, and again only where its taking was in doubt.

For the proof `boundary`. Many mails are under way at once, so it is told from the proxy's transcripts which of them a
cut met: only one whose last dot had passed, and whose 250 had not, may arrive again, under the same Message-ID.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proofs._broken import breaker
from tests.proofs._lanes import PostingDaemon, connect, send
from tests.servers._background import Background
from tests.servers._server import wait_until
from tests.servers.cutting import Cut, How, Link, Proxy
from tests.servers.daemon import Daemon
from tests.servers.sink import MailSink

PHONE, OURS = "+33639981234", "+33639980101"
_WAITS = {"FIRST_WAIT_MS": 50, "LONGEST_WAIT_MS": 200, "POLL_MS": 100}
_HOWS: tuple[How, How] = ("reset", "close")
_ARRIVE_WITHIN_S = 500.0
_MAIL = re.compile(rb"\r\nDATA\r\n(.*?)\r\n\.\r\n", re.DOTALL)
_TEXT = re.compile(rb"reply (\d{6})")
_ID = re.compile(rb"^Message-ID: *(\S+)", re.MULTILINE | re.IGNORECASE)
_TAKEN = b"250 2.0.0 taken\r\n"

CONTENT = """
from mail2sms import mailer
from mail2sms.errors import DeliveryFailed

async def deliver(self, *words, _deliver=mailer.Mailer.deliver):
    try:
        await _deliver(self, *words)
    except DeliveryFailed:
        pass

mailer.Mailer.deliver = deliver
"""
"""A mail that did not leave counts as delivered."""

RENAMED = """
import re, secrets
from mail2sms import mailer

async def deliver(self, content, *words, _deliver=mailer.Mailer.deliver):
    fresh = b"Message-ID: <" + secrets.token_hex(8).encode() + b"@"
    await _deliver(self, re.sub(rb"Message-ID: <[^@]*@", fresh, content), *words)

mailer.Mailer.deliver = deliver
"""
"""Every try has a Message-ID of its own."""


@dataclass(kw_only=True, slots=True)
class Figures:
    """How many sessions were cut and what that did to the mails."""

    planned: int = 0
    left: int = 0
    cuts: int = 0
    before_the_dot: int = 0
    after_the_dot: int = 0
    mails: int = 0
    arrived: int = 0
    again: int = 0
    lost: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether every mail arrived, and none again without a reason or under another name."""
        return not (self.lost or self.renamed or self.twice or self.left) and self.arrived == self.mails > 0

    def __str__(self) -> str:
        return (
            f"{self.cuts} SMTP sessions cut ({self.planned} planned), {self.before_the_dot} before a mail's last dot "
            f"had passed, {self.after_the_dot} between it and its 250: {self.arrived} of {self.mails} mails arrived, "
            f"{self.again} copies under the same Message-ID, {len(self.lost)} lost, "
            f"{len(self.renamed)} under two Message-IDs, {len(self.twice)} again without a reason"
        )


def run(every: int = 1, patch: str = "") -> Figures:
    """Cut after each byte (`every`: a sample) of both sides, in sessions with one mail and in the second one of some.

    `patch`: what breaks the daemon, for a control.
    """
    with ExitStack() as stack:
        sink = stack.enter_context(MailSink())
        proxy = Proxy(stack.enter_context(Background()), sink.port)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mail2sms-broken-")))
        daemon = stack.enter_context(
            PostingDaemon(_WAITS, smarthost_port=proxy.port, wrap=breaker(folder, patch) if patch else ())
        )
        with connect(daemon) as smtp:
            send(smtp, PHONE, "Bonjour")
        cuts, sacrificed = _plan(_measure(daemon, proxy, sink), every)
        proxy.arm(*cuts)
        sink.clear()
        begun = len(proxy.links)
        texts = [_say(daemon, number) for number in range(10, 10 + sacrificed)]
        wait_until(lambda: _is_over(sink, texts), _ARRIVE_WITHIN_S if not patch else 4, every_s=0.2)
        time.sleep(1)  # nothing may come now
        figures = _compare(proxy.links[begun:], sink.messages, texts)
        figures.planned, figures.left = len(cuts), len(proxy.faults)
        return figures


def _measure(daemon: Daemon, proxy: Proxy, sink: MailSink) -> list[tuple[int, int]]:
    """Return how many bytes client and server had said after the first and the second mail of a session."""
    marks = []
    for number in range(2):
        _say(daemon, number)
        sink.wait_for(number + 1)
        assert wait_until(lambda: proxy.links[-1].heard.endswith(_TAKEN), 5)
        marks.append((len(proxy.links[-1].said), len(proxy.links[-1].heard)))
    assert len(proxy.links) == 1
    return marks


def _plan(marks: Sequence[tuple[int, int]], every: int) -> tuple[list[Cut], int]:
    """Return the cuts, shuffled, and how many mails it takes to suffer them."""
    (said, heard), (said_twice, heard_twice) = marks
    first = [Cut("client", n, how) for how in _HOWS for n in range(0, said + 1, every)]
    first += [Cut("server", n, how) for how in _HOWS for n in range(0, heard + 1, every)]
    # Each of these lets a mail through before it strikes.
    second = [Cut("client", n, how) for how in _HOWS for n in range(said + 1, said_twice + 1, every * 20)]
    second += [Cut("server", n, how) for how in _HOWS for n in range(heard + 1, heard_twice + 1, every * 3)]
    # These cut around the last dot and its answer: what the rule is about.
    edges = [Cut("client", said - n, how) for how in _HOWS for n in range(8)]
    edges += [Cut("server", heard - n, how) for how in _HOWS for n in range(20)]
    cuts = [*first, *second, *edges]
    random.Random(1).shuffle(cuts)
    return cuts, 2 * len(second) + len(edges) + 20


def _say(daemon: Daemon, number: int) -> bytes:
    daemon.phone_says(PHONE, f"reply {number:06}", OURS)
    return b"%06d" % number


def _is_over(sink: MailSink, texts: Sequence[bytes]) -> bool:
    there = {_text(content) for content in sink.messages}
    return there.issuperset(texts)


def _text(content: bytes) -> bytes:
    found = _TEXT.search(content)
    return found[1] if found else b""


def _compare(links: Sequence[Link], contents: Sequence[bytes], texts: Sequence[bytes]) -> Figures:
    figures = Figures(mails=len(texts))
    doubtful: Counter[bytes] = Counter()
    for link in links:
        whole = [_text(found[1]) for found in _MAIL.finditer(bytes(link.passed))]
        unanswered = whole[bytes(link.heard).count(_TAKEN) :]
        doubtful.update(unanswered)
        figures.cuts += link.is_cut
        figures.after_the_dot += link.is_cut and bool(unanswered)
        figures.before_the_dot += link.is_cut and not unanswered
    names: dict[bytes, list[bytes]] = defaultdict(list)
    for content in contents:
        found = _ID.search(content)
        names[_text(content)].append(found[1] if found else b"")
    for text in texts:
        arrived = names[text]
        figures.arrived += bool(arrived)
        if not arrived:
            figures.lost.append(text.decode())
        elif len(set(arrived)) > 1:
            figures.renamed.append(text.decode())
        elif len(arrived) > 1 + doubtful[text]:
            figures.twice.append(text.decode())
        else:
            figures.again += len(arrived) - 1
    return figures
