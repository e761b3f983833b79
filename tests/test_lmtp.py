"""LMTP: what is said, and what becomes of each recipient of one mail."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mail2sms.accept import Accept
from mail2sms.clock import now_ms
from mail2sms.intake.desk import Desk
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.limits import Limits
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.intake.template import compile_template
from mail2sms.model import NO_DSN, Dsn, Msisdn, Proof, User
from mail2sms.options import read_networks
from mail2sms.render import own_folder
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.store import Claim, NoticeClaim, Store, views
from tests.fakes import ACCOUNT, OURS
from tests.listening import BEGIN, HOST, MAIL, Caller, Place, running

GREETING = f"220 {HOST} LMTP mail2sms"
GOOD, GOOD_TOO, BAD = "+33639981234", "+33639985678", "+33639980404"
REFUSED = "550 5.7.1 SMS to this number are not allowed here: special"
NEVER = Dsn(notify=("NEVER",))


async def lmtp_call(place: Place) -> Caller:
    """Connect and say who one is."""
    caller = await place.call(greeting=GREETING)
    assert (await caller.say("LHLO me")).startswith(f"250-{HOST}")
    return caller


@pytest.mark.parametrize(
    ("commands", "codes"),
    [
        ("EHLO me|HELO me|LHLO me", "500 5.5.1|500 5.5.1|250"),
        ("MAIL FROM:<a@b.example>", "503 5.5.1 LHLO first"),
        ("LHLO", "501 5.5.4 syntax: LHLO name"),
        ("LHLO me|MAIL FROM:<a@b.example>|DATA", "250|250|503 5.5.1"),
        ("LHLO me|MAIL FROM:<a@b.example>|RCPT TO:<no@b.example>|DATA", "250|250|550|503 5.5.1"),
    ],
)
async def test_lmtp_has_its_own_words(commands: str, codes: str) -> None:
    """RFC 2033, section 4: LHLO alone, and 503 to DATA when no recipient was taken."""
    async with running(is_lmtp=True) as place:
        caller = await place.call(greeting=GREETING)
        got = [await caller.say(command) for command in commands.split("|")]
        assert all(one.startswith(code) for one, code in zip(got, codes.split("|"), strict=True)), got
    async with running() as place:
        caller = await place.call()
        assert (await caller.say("LHLO me")).startswith("500 5.5.1")


async def test_extensions_of_lmtp() -> None:
    """Those that RFC 2033 demands, and reports."""
    async with running(is_lmtp=True, has_dsn=True) as place:
        caller = await place.call(greeting=GREETING)
        said = [line[4:] for line in (await caller.say("LHLO me")).splitlines()]
        assert {"PIPELINING", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES"} <= set(said)


TWICE = BEGIN + b"RCPT TO:<no@sms.acme.example>\r\nRCPT TO:<33639981234@sms.acme.example>\r\nDATA\r\n"


async def test_each_recipient_gets_a_reply() -> None:
    """In order, twice for who is named twice, none for who was refused at RCPT; the session goes on."""
    async with running(is_lmtp=True) as place:
        caller = await lmtp_call(place)
        assert [(await caller.say(each))[:3] for each in TWICE.splitlines(keepends=True)] == [
            "250", "250", "550", "250", "354",
        ]  # fmt: skip
        assert (await caller.say(MAIL + b".\r\n"))[:3] == "250"
        assert (await caller.reply())[:3] == "250"
        (mail,) = place.desk.mails
        assert mail.has_reply_each
        assert mail.rcpts == ("33639981234@sms.acme.example",) * 2
        assert (await caller.say("NOOP"))[:3] == "250"


@pytest.mark.parametrize(
    ("content", "trouble", "code"),
    [
        (b"a\nb\r\n", None, "554 5.5.2"),
        (b"x" * 2000 + b"\r\n", None, "552 5.3.4"),
        (MAIL, RuntimeError("x"), "451 4.3.0"),
        (MAIL, "451 4.3.0 later", "451 4.3.0"),
    ],
)
async def test_what_befalls_the_mail_befalls_each(content: bytes, trouble: Any, code: str) -> None:
    """A mail that is refused as such, and trouble of ours: as many replies, or the client would wait for ever."""
    async with running(Limits(size_bytes=1000), is_lmtp=True) as place:
        place.desk.replies = [trouble] if trouble else []
        caller = await lmtp_call(place)
        for each in TWICE.splitlines(keepends=True):
            await caller.say(each)
        assert (await caller.say(content + b".\r\n")).startswith(code)
        assert (await caller.reply()).startswith(code)
        assert (await caller.say("NOOP"))[:3] == "250"


# What becomes of the recipients


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/x.db")
    yield opened
    await opened.close()


@pytest.fixture
async def receiver(store: Store) -> AsyncIterator[Receiver]:
    """A bridge that may write to any number of France but one, and knows two teams."""
    templates = {
        name: compile_template((own_folder() / "intake" / f"{name}.txt").read_text(encoding="utf-8"), name)
        for name in ("strict", "simple")
    }
    desk = Desk(
        account=ACCOUNT,
        domain=ACCOUNT,
        country="FR",
        template_mailbox="sms",
        template=templates["strict"],
        simple=templates["simple"],
        teams={"mixed": (Msisdn(BAD), Msisdn(GOOD_TOO)), "none": (Msisdn(BAD),)},
    )
    marie = User(address="marie@acme.example", number=Msisdn(OURS))
    rules = (
        SenderRule(pattern="*@acme.example", networks=read_networks("192.0.2.0/24")),
        SenderRule(pattern="*@acme.example", proofs=frozenset({Proof.LOGIN})),
    )
    routes = (Route(to=(BAD,), via=(), refuse="special"), Route(to=("any",), via=("sim",)))
    policy = Policy(countries=frozenset({"FR"}), sender_ids={"default": "ACME"})
    sandbox = Sandbox()
    identity = Identity(rules, {marie.address: marie}, {}, account=ACCOUNT)
    yield Receiver(desk, identity, Accept(store, policy, routes, 3_600_000), store, sandbox)
    await sandbox.close()


def mail(
    text: str, *mailboxes: str, dsns: tuple[Dsn, ...] = (), login: str | None = None, **more: Any
) -> Envelope:
    """One mail from a mail server."""
    head = "From: marie@acme.example\nMessage-ID: <1@acme.example>\nSubject: x\n"
    return Envelope(
        client=Client(ip="192.0.2.1", login=login),
        mail_from="marie@acme.example",
        rcpts=tuple(f"{mailbox.removeprefix('+')}@{ACCOUNT}" for mailbox in mailboxes),
        content=f"{head}\n{text}".replace("\n", "\r\n").encode(),
        dsns=dsns,
        has_reply_each=more.get("has_reply_each", True),
    )


async def told(store: Store) -> list[tuple[list[str], bool]]:
    """The reasons that the emails owed will give, and whether others got the text."""
    claim = NoticeClaim(channel="email", owner="n", now=now_ms() + 1, lease_ms=1000, limit=50)
    payloads = [json.loads(notice.payload or b"{}") for notice in await store.claim_notices(claim)]
    return [([p["reason"] for p in each["problems"]], each["is_partly"]) for each in payloads]


async def phones(store: Store) -> list[str]:
    """Who is written to."""
    return sorted(m.to for m in await store.read(views.find, ACCOUNT, views.Search()))


async def test_the_stored_get_250_and_the_refused_their_own_5xx(receiver: Receiver, store: Store) -> None:
    """In order, duplicates included; no email says again what the mail server's own report will say."""
    asked = mail("Bonjour", GOOD, BAD, GOOD_TOO, BAD, GOOD)
    replies = await receiver.mail(asked)
    assert [reply[:3] for reply in replies] == ["250", "550", "250", "550", "250"]
    assert replies[1] == replies[3] == REFUSED
    assert replies[0] == replies[4] != replies[2]
    assert await phones(store) == [GOOD, GOOD_TOO]
    assert await told(store) == []
    again = await receiver.mail(asked)
    assert again == replies
    assert await phones(store) == [GOOD, GOOD_TOO]


async def test_when_all_are_refused_each_hears_it(receiver: Receiver, store: Store) -> None:
    """Nothing is stored, nothing is owed."""
    assert await receiver.mail(mail("Bonjour", BAD, BAD)) == (REFUSED, REFUSED)
    assert await receiver.mail(mail("a" * 700, GOOD, GOOD_TOO)) == (
        "550 5.2.3 the text is too long: its 700 characters need 5 SMS, and the limit here is 4",
    ) * 2  # fmt: skip
    assert (await phones(store), await told(store)) == ([], [])


async def test_an_address_of_several_phones(receiver: Receiver, store: Store) -> None:
    """It is taken when one of them is; then only an email can name the others. With none, it is refused."""
    replies = await receiver.mail(mail("Bonjour", "mixed", "none"))
    assert [reply[:3] for reply in replies] == ["250", "550"]
    assert await phones(store) == [GOOD_TOO]
    assert await told(store) == [(["route.refused"], True)]


async def test_what_is_wrong_with_the_mail_is_told_by_email(receiver: Receiver, store: Store) -> None:
    """With the corrected mail, which no mail server's report could bring: 250 for each, and nothing is sent."""
    bad_template = mail("To: 06 39 98 56 78\nColour: red\n\nBonjour\n##\n", GOOD, "sms", BAD)
    replies = await receiver.mail(bad_template)
    assert len(set(replies)) == 1
    assert len(replies) == 3
    assert replies[0].endswith(" not sent, an email says why")
    assert await receiver.mail(bad_template) == replies
    assert await told(store) == [(["template.unknown_field"], False)]
    assert await phones(store) == []


async def test_a_template_with_several_phones_is_one_recipient(receiver: Receiver, store: Store) -> None:
    """Its address is taken when one of its phones is."""
    (reply,) = await receiver.mail(mail(f"To: {GOOD}, {BAD}\n\nBonjour\n##\n", "sms"))
    assert reply.startswith("250 2.0.0 m-")
    assert await told(store) == [(["route.refused"], True)]
    assert await receiver.mail(mail(f"To: {BAD}\n\nBonsoir\n##\n", "sms")) == (REFUSED,)
    assert await told(store) == []


async def test_without_a_database_each_may_come_again(receiver: Receiver, store: Store) -> None:
    """451 for all: nothing was stored for any."""
    await store.close()
    assert await receiver.mail(mail("Bonjour", GOOD, BAD)) == ("451 4.3.0 try again later",) * 2


async def test_who_wants_no_report_gets_none(receiver: Receiver, store: Store) -> None:
    """NOTIFY=NEVER, by SMTP: no email of a refused recipient; when nothing goes, the reply says so itself."""
    smtp = {"has_reply_each": False}
    (reply,) = await receiver.mail(mail("Bonjour", GOOD, BAD, dsns=(NO_DSN, NEVER), **smtp))
    assert reply.startswith("250 2.0.0 m-")
    assert await told(store) == []
    (reply,) = await receiver.mail(mail("Bonsoir", BAD, dsns=(NEVER,), **smtp))
    assert reply == REFUSED
    (reply,) = await receiver.mail(mail("Bonsoir", BAD, "none", dsns=(NEVER, NO_DSN), **smtp))
    assert reply.startswith("250 2.0.0 n-")
    assert len(await told(store)) == 1


async def test_what_is_to_be_reported_is_kept(receiver: Receiver, store: Store) -> None:
    """With each message: of a team by its address, of the template's phones by that of the template."""
    first = Dsn(envelope_id="QQ1", original="rfc822;x@b.example")
    second = Dsn(notify=("SUCCESS", "FAILURE"), report_to="marie@acme.example")
    await receiver.mail(mail("Bonjour", GOOD, "mixed", dsns=(first, second)))
    await receiver.mail(mail(f"To: {GOOD_TOO}\n\nBonsoir\n##\n", "sms", dsns=(NEVER,)))
    claimed = await store.claim(Claim(carrier="sim", owner="n", now=now_ms() + 1, lease_ms=1000, limit=50))
    assert [(c.mt.msisdn, c.mt.dsn) for c in claimed] == [
        (GOOD, first),
        (GOOD_TOO, second),
        (GOOD_TOO, NEVER),
    ]


async def test_a_mail_program_hears_at_once(receiver: Receiver, store: Store) -> None:
    """Who has logged in reads the reply, for each recipient; no email follows."""
    replies = await receiver.mail(mail("Colour: red\n\nx\n##\n", "sms", BAD, login="marie@acme.example"))
    assert [reply[:3] for reply in replies] == ["550", "550"]
    assert await told(store) == []
