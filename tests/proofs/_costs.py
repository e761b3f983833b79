"""What one input costs: CPU of the thread that the event loop runs in, and of the process beside it. For `inputs`.

Everything that runs on the loop's thread for an input runs here too, in the product's own code and order: what it waits
for is answered at once, outside of what is measured. The sandbox's work is done between the loop's steps, as `away_s`.
"""

from __future__ import annotations

import functools
import io
import json
import random
import re
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from mail2sms import numbers, segments
from mail2sms.accept import Accept
from mail2sms.addresses import canonical
from mail2sms.errors import BadNumber, Refusal
from mail2sms.ids import conversation_of
from mail2sms.intake import headers, quotes, sandbox
from mail2sms.intake.desk import Desk
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.html import to_text
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.mime import Letter
from mail2sms.intake.receive import Receiver
from mail2sms.intake.smtp_syntax import Collector, CommandRefused, read_mail_parameters, read_path
from mail2sms.intake.template import Order
from mail2sms.model import Conversation, Msisdn, Proof, User
from mail2sms.options import read_networks
from mail2sms.relay.house import House
from mail2sms.relay.letters import Letters
from mail2sms.render import Render
from mail2sms.routing import Route
from mail2sms.rules._base import Facts, Policy
from mail2sms.store import Bundle, NewNotice, Notice, answers
from mail2sms.store.put import Stored
from tests import fuzz_templates, fuzz_texts
from tests.fakes import ACCOUNT, OURS, PHONE

Result = TypeVar("Result")

_CHUNK = 65_536  # bytes that a connection gives at once
_MOST_SEGMENTS = 255  # of a message, 3GPP TS 23.040 section 9.2.3.24.1
_KEY = "abcdefghij"
_SIGNED = 0.7  # of the mails that have no author
_RELAY, _PROGRAM = Client(ip="127.0.0.1"), Client(ip="198.51.100.7", login="marie@acme.example", is_tls=True)
_MAILBOXES = ("sms", PHONE[1:], f"{PHONE[1:]}+r{_KEY}", "oncall", "0639981235")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_COUNTRIES = ("FR", "US", "IT", "GB", "DK")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of CPU, of the loop's thread and of the sandbox; `outcome` is a word for counting."""

    loop_s: float
    away_s: float = 0.0
    outcome: str = ""


class Clock:
    """Adds up what the loop's thread and the sandbox spend on one input."""

    def __init__(self) -> None:
        self.loop_s = self.away_s = 0.0

    def here(self, work: Callable[..., Result], *words: Any) -> Result:
        """Do this on the loop's thread."""
        began = time.thread_time()
        try:
            return work(*words)
        finally:
            self.loop_s += time.thread_time() - began

    def away(self, work: Callable[[], Result]) -> Result:
        """Do this in the sandbox's process."""
        began = time.thread_time()
        try:
            return work()
        finally:
            self.away_s += time.thread_time() - began

    def drive(self, task: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine as the loop does, step by step; what it waits for is done elsewhere."""
        answer: Any = None
        while True:
            try:
                work = self.here(task.send, answer)
            except StopIteration as e:
                return e.value  # type: ignore[no-any-return]
            answer = self.away(work)


class _Elsewhere:
    """Awaited, it lets the clock's owner do the work between two steps of the loop."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    def __await__(self) -> Generator[Callable[[], Any], Any, Any]:
        return (yield self._work)


class _Sandbox:
    """The sandbox's code in this process. What it raises beyond Refusal kills the real one, and is raised here."""

    async def read(self, raw: bytes, writer: str, has_left: Callable[[], bool]) -> Letter:
        """Read it there, and its answer here."""

        def work() -> bytes:
            sink = io.BytesIO()
            sandbox._answer(raw, to_text, sink)
            return sink.getvalue()[4:]

        answer: bytes = await _Elsewhere(work)
        return sandbox._letter(json.loads(answer))


class _Store:
    """Forgets everything but the last bundle; the one conversation that it knows is Marie's."""

    reply_secret = b"secret"

    def __init__(self) -> None:
        self.notices: tuple[NewNotice, ...] = ()

    async def put(self, bundle: Bundle) -> Stored:
        """Take it."""
        self.notices = bundle.notices
        return Stored(repeated={})

    async def read(self, query: Any, *words: Any) -> Any:
        """Know one reply key, and nothing of phones."""
        if query is answers.read:
            return Facts()
        if words[-1] != _KEY:
            return None
        id_ = conversation_of(ACCOUNT, OURS, PHONE)
        writers = frozenset({"marie@acme.example"})
        return Conversation(id=id_, account=ACCOUNT, our_address=OURS, msisdn=PHONE, writers=writers)


class Bridge:
    """The reading side of a bridge, whose store forgets."""

    def __init__(self) -> None:
        self.store = cast(Any, _Store())
        beside = cast(Any, _Sandbox())
        policy = Policy(countries=frozenset({"FR"}), sender_ids={"default": "ACME"})
        accept = Accept(self.store, policy, (Route(to=("any",), via=("sim",)),), 3_600_000)
        rules = (
            SenderRule(pattern="*", networks=read_networks("127.0.0.1")),
            SenderRule(pattern="*@acme.example", proofs=frozenset({Proof.LOGIN})),
        )
        marie = User(address="marie@acme.example", number=Msisdn(OURS), language="fr")
        self.identity = Identity(rules, {marie.address: marie}, {}, account=ACCOUNT)
        desk = Desk(
            account=ACCOUNT,
            domain=ACCOUNT,
            country="FR",
            template_mailbox="sms",
            template=fuzz_templates.shipped("strict"),
            simple=fuzz_templates.shipped("simple"),
            teams={"oncall": (Msisdn("+33639980001"), Msisdn("+33639980002"))},
        )
        self.receiver = Receiver(desk, self.identity, accept, self.store, beside)
        house = House(
            domain=ACCOUNT, country="FR", template_mailbox="sms", language="fr", zone="Europe/Paris"
        )
        self.letters = Letters(self.store, house, Render())
        self.budget = Budget(Limits())


bridge = functools.cache(Bridge)


def forget() -> None:
    """Empty every cache of the product, so that what is measured again costs again."""
    for name in [name for name in sys.modules if name.startswith("mail2sms")]:
        for value in list(vars(sys.modules[name]).values()):
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()


def mail(raw: bytes, chance: random.Random) -> Cost:
    """From the bytes after DATA to the reply; then, if it was refused by email, that email. The dearer call counts."""
    ours, taking, telling = bridge(), Clock(), Clock()
    if chance.random() < _SIGNED and b"from:" not in raw[:_CHUNK].lower():
        raw = b"From: marie@acme.example\r\n" + raw  # else strangers' mails end at their missing author
    mailboxes = chance.choice((("sms",), ("sms",), _MAILBOXES[1:2], chance.sample(_MAILBOXES, 3)))
    envelope = Envelope(
        client=chance.choice((_RELAY,) * 9 + (_PROGRAM,)),
        mail_from="marie@acme.example",
        rcpts=tuple(f"{name}@{ACCOUNT}" for name in mailboxes),
        content=raw,
    )
    ours.store.notices = ()
    taking.here(_collect, raw, ours.budget)
    (reply,) = taking.drive(ours.receiver.mail(envelope))
    assert reply.startswith(("250 ", "5")) and "\n" not in reply, reply
    for new in ours.store.notices:
        letter = telling.drive(ours.letters.email(_claimed(new)))
        assert letter is not None
    loop_s = max(taking.loop_s, telling.loop_s)
    outcome = reply[:10] if reply[0] == "5" else "not sent, told" if "not sent" in reply else "taken"
    return Cost(loop_s, taking.away_s, outcome)


def _collect(raw: bytes, budget: Budget) -> None:
    """Take a mail as a connection brings it."""
    collector = Collector(budget, is_trusted=True)
    sent = raw.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n"
    for at in range(0, len(sent), _CHUNK):
        if collector.feed(sent[at : at + _CHUNK]):
            break
    try:
        collector.content()
    except CommandRefused:
        pass  # such as for a lone line feed; the readers must stand it all the same
    finally:
        collector.release()


async def beside(raw: bytes, real: sandbox.Sandbox) -> Cost:
    """Have a mail read as the daemon does, with the real sandbox: what its pipes cost the loop is in it."""
    began, outcome = time.thread_time(), "read"
    try:
        head = headers.split(raw, 0, len(raw))
        await sandbox.read_letter(raw, head, real, "marie@acme.example", lambda: False)
    except Refusal as e:
        outcome = e.problems[0].reason
    return Cost(time.thread_time() - began, outcome=outcome)


def _claimed(new: NewNotice) -> Notice:
    return Notice(
        id=new.id,
        account=new.account,
        kind=new.kind,
        channel=new.channel,
        address=new.address,
        reason=new.reason,
        attempts=1,
        fence=1,
        created_at=new.created_at,
        expires_at=new.expires_at,
        mo=None,
        message=None,
        payload=new.payload,
    )


def _strip(text: str) -> tuple[str, tuple[Any, ...]]:
    stripped = quotes.strip(text)
    return stripped.text, stripped.left_out


def template(text: str, chance: random.Random) -> Cost:
    """Read a mail's text by one of the templates, as intake does."""
    shipped = _templates()[chance.choice(("strict",) * 8 + ("subject", "simple"))]
    subject = chance.choice(("06 39 98 12 34", "Bonjour", "x" * 200, "@oncall, +33639981235"))
    context = replace(fuzz_templates.CONTEXT, strip=_strip)
    clock = Clock()
    found: Order | Refusal
    try:
        found = clock.here(shipped.read, text[: fuzz_templates.LARGEST], context, subject)
    except Refusal as e:
        found = e
    if isinstance(found, Refusal):
        fuzz_templates.check_refusal(shipped, found)
        return Cost(clock.loop_s, outcome=found.problems[0].reason)
    assert found.text, "an order without text"
    return Cost(clock.loop_s, outcome="taken")


@functools.cache
def _templates() -> dict[str, Any]:
    return {name: fuzz_templates.shipped(name) for name in ("strict", "simple", "subject")}


def path(argument: str, chance: random.Random) -> Cost:
    """Read the argument of MAIL or RCPT, and decide about the recipient."""
    clock = Clock()
    keyword = chance.choice(("FROM:", "TO:")) if argument[:3].upper() != "TO:" else "TO:"
    try:
        address, rest = clock.here(read_path, argument, keyword)
        clock.here(read_mail_parameters, rest)
    except CommandRefused as e:
        reply = str(e)
        assert reply[0] == "5" and reply.isprintable() and reply.isascii(), reply
        return Cost(clock.loop_s, outcome=reply[:9])
    if not address:
        return Cost(clock.loop_s, outcome="nobody")
    local, _, domain = address.rpartition("@")
    assert len(local.encode()) <= 64 and len(domain.encode()) <= 255 and address.isprintable(), address
    verdict = clock.here(bridge().receiver.rcpt, _RELAY, address)
    if verdict is not None and not isinstance(verdict, str):
        verdict = clock.drive(_awaited(verdict))
    assert verdict is None or (verdict[0] == "5" and "\n" not in verdict and "\r" not in verdict), verdict
    return Cost(clock.loop_s, outcome=(verdict or "250 taken")[:9])


async def _awaited(verdict: Any) -> Any:
    return await verdict


def author(value: str, chance: random.Random) -> Cost:
    """Read a From field, and decide who that is. Whom two could read differently is nobody."""
    clock = Clock()
    addresses, name = clock.here(headers.authors, [value])
    assert len(name) <= 100 and not _CONTROL.search(name), name
    for address in filter(None, addresses):
        assert address.isascii() or address == canonical(address), address
        assert address.isprintable() and address.count("@") == 1, address
        assert not set(address) & set(' <>()[]\\,;:"'), address
    try:
        writer = clock.here(bridge().identity.author, _RELAY, addresses, "marie@acme.example")
    except Refusal as e:
        return Cost(clock.loop_s, outcome=e.problems[0].reason)
    assert writer.address == canonical(addresses[0])
    return Cost(clock.loop_s, outcome="taken")


def number(text: str, chance: random.Random) -> Cost:
    """Read a number, an address's local part and a sender ID, and show what was found."""
    clock, found, country = Clock(), 0, chance.choice(_COUNTRIES)
    for read in (numbers.read, numbers.from_local_part, numbers.read_sender_id):
        try:
            msisdn = clock.here(read, text, country)
        except BadNumber:
            continue
        if msisdn is None:
            continue
        found += 1
        assert len(msisdn) <= 16 and msisdn.isprintable(), msisdn
        if msisdn[0] == "+" and read is not numbers.read_sender_id:
            assert msisdn[1:].isascii() and msisdn[1:].isdigit(), msisdn
            clock.here(numbers.region, Msisdn(msisdn))
            clock.here(numbers.display, Msisdn(msisdn))
    return Cost(clock.loop_s, outcome=f"{found} of 3 readings")


def text(words: str, chance: random.Random) -> Cost:
    """Strip it of quotes; clean, fold and count it, and split what may be sent: as intake, accept and dispatch do."""
    clock = Clock()
    stripped = clock.here(quotes.strip, words)
    assert len(stripped.text) <= len(words)
    ready = clock.here(lambda: segments.fold(segments.clean(words)))
    refused = clock.here(segments.unsendable, ready)
    coding, size = clock.here(segments.encoding, ready), clock.here(segments.count, ready)
    if not refused and size <= _MOST_SEGMENTS:
        clock.here(segments.split, ready)
    fuzz_texts.check_segments(words)
    outcome = "unsendable" if refused else "too long" if size > _MOST_SEGMENTS else coding.value
    return Cost(clock.loop_s, outcome=outcome)
