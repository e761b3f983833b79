"""What SMTP answers to one mail, and what is then on disk: a store, the door in and the shipped templates."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_string
from pathlib import Path
from typing import Any

import psutil
import pytest

from mail2sms.accept import Accept
from mail2sms.clock import now_ms
from mail2sms.ids import conversation_of, reply_key
from mail2sms.intake import reading
from mail2sms.intake.desk import Desk
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.intake.template import Template, compile_template
from mail2sms.model import Msisdn, Proof, User
from mail2sms.options import read_networks
from mail2sms.render import own_folder
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.store import Blocking, NoticeClaim, Store, views
from mail2sms.web import help
from tests.fakes import ACCOUNT, OURS, PHONE

MARIE = User(address="marie@acme.example", number=Msisdn(OURS), language="fr")
RELAY = Client(ip="192.0.2.1")
PROGRAM = Client(ip="198.51.100.7", login="marie@acme.example", is_tls=True)
NUMBER, TEMPLATE = f"{PHONE[1:]}@{ACCOUNT}", f"sms@{ACCOUNT}"
BAD_FIELD = "To: 06 39 98 56 78\nColour: red\n\nBonjour\n##\n"
LONG = "a" * 160 + " “b”"  # is sent with plain quotes
TOO_LONG = "Colour: red\n\n" + "a" * 700


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/x.db")
    yield opened
    await opened.close()


def _template(name: str) -> Template:
    return compile_template((own_folder() / "intake" / f"{name}.txt").read_text(encoding="utf-8"), name)


def _identity() -> Identity:
    rules = (
        SenderRule(pattern="*@acme.example", networks=read_networks("192.0.2.0/24")),
        SenderRule(pattern="*@acme.example", proofs=frozenset({Proof.LOGIN})),
    )
    return Identity(rules, {MARIE.address: MARIE}, {}, account=ACCOUNT)


def _desk_of_france() -> Desk:
    return Desk(
        account=ACCOUNT,
        domain=ACCOUNT,
        country="FR",
        template_mailbox="sms",
        template=_template("strict"),
        simple=_template("simple"),
        teams={},
    )


@pytest.fixture
async def receiver(store: Store) -> AsyncIterator[Receiver]:
    """The reading side of a bridge for France."""
    policy = Policy(countries=frozenset({"FR"}), sender_ids={"default": "ACME"})
    desk = _desk_of_france()
    sandbox = Sandbox()
    yield Receiver(
        desk,
        _identity(),
        Accept(store, policy, (Route(to=("any",), via=("sim",)),), 3_600_000),
        store,
        sandbox,
    )
    await sandbox.close()


def _mail(
    text: str, *rcpts: str, client: Client = RELAY, sender: str = "marie@acme.example", **headers: str
) -> Envelope:
    fields = {"From": sender, "Subject": "x", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in fields.items())
    content = f"{head}\n{text}".replace("\n", "\r\n").encode()
    return Envelope(client=client, mail_from=sender, rcpts=rcpts, content=content)


async def answer(receiver: Receiver, envelope: Envelope) -> str:
    """The one reply to a mail."""
    (reply,) = await receiver.mail(envelope)
    return reply


async def _notices(store: Store) -> list[dict[str, Any]]:
    """What the emails that are owed will say."""
    claim = NoticeClaim(channel="email", owner="n", now=now_ms() + 1, lease_ms=1000, limit=50)
    return [json.loads(notice.payload or b"{}") for notice in await store.claim_notices(claim)]


def _reasons(notice: dict[str, Any]) -> list[str]:
    return [problem["reason"] for problem in notice["problems"]]


async def _texts(store: Store) -> list[str]:
    return [message.text for message in await store.read(views.find, ACCOUNT, views.Search())]


@pytest.mark.parametrize(
    ("client", "offers_login", "expected"),
    [
        (RELAY, False, None),
        (RELAY, True, None),
        (PROGRAM, True, None),
        (Client(ip="198.51.100.7"), True, "530 5.7.0 log in first"),
        (Client(ip="198.51.100.7"), False, "550 5.7.1 this sender may not send SMS here"),
        (Client(ip=""), False, "550 5.7.1 this sender may not send SMS here"),
        (
            Client(ip="198.51.100.7", login="paul@other.example"),
            True,
            "550 5.7.1 this sender may not send SMS here",
        ),
    ],
)
async def test_who_can_prove_nothing_is_refused_before_the_mail(
    receiver: Receiver, client: Client, offers_login: bool, expected: str | None
) -> None:
    """By network or login; where a login would help, the reply says so."""
    assert receiver.begin(client, offers_login=offers_login) == expected


@pytest.mark.parametrize(
    ("client", "sender"),
    [
        (RELAY, "marie@other.example"),
        (PROGRAM, "paul@acme.example"),
        (RELAY, "a@acme.example, b@acme.example"),
    ],
)
async def test_the_proof_comes_before_what_costs(
    receiver: Receiver, store: Store, client: Client, sender: str
) -> None:
    """An HTML mail of somebody who may not write starts no process to read it; no email is owed for it."""
    mail = _mail("<p>Bonjour", NUMBER, client=client, sender=sender, Content_Type="text/html")
    before = psutil.Process().children()
    assert (await answer(receiver, mail)).startswith("550 5.7.1 ")
    assert psutil.Process().children() == before
    assert await _notices(store) == []


async def test_html_of_a_proven_writer_is_read(receiver: Receiver, store: Store) -> None:
    """By its own process."""
    assert (await answer(receiver, _mail("<p>Bonjour", NUMBER, Content_Type="text/html"))).startswith("250 ")
    assert await _texts(store) == ["Bonjour"]


async def test_the_template_is_read_once_for_a_number_too(receiver: Receiver, store: Store) -> None:
    """No phone shows its fields, whichever address named the phone; the writer's mistakes stop all of it."""
    mail = _mail("To: 06 39 98 56 78\nRef: 1\n\nBonjour\n##\nMarie", NUMBER, TEMPLATE)
    assert (await answer(receiver, mail)).startswith("250 2.0.0 m-")
    assert await _texts(store) == ["Bonjour", "Bonjour"]
    assert (await answer(receiver, _mail("Bonsoir", NUMBER, TEMPLATE))).startswith("250 2.0.0 m-")
    assert sorted(await _texts(store)) == ["Bonjour", "Bonjour", "Bonsoir"]
    assert (await answer(receiver, _mail(BAD_FIELD, NUMBER, TEMPLATE))).startswith("250 2.0.0 n-")
    (notice,) = await _notices(store)
    assert _reasons(notice) == ["template.unknown_field"]
    assert notice["corrected"].startswith("To: 06 39 98 56 78, +33 6 39 98 12 34\n\n")
    assert len(await _texts(store)) == 3


async def test_an_answer_by_the_template_shows_no_fields_either(receiver: Receiver, store: Store) -> None:
    """To a conversation and to the template mailbox at once."""
    await answer(receiver, _mail("Bonjour", NUMBER))
    key = reply_key(store.reply_secret, conversation_of(ACCOUNT, OURS, PHONE))
    mail = _mail("To: 06 39 98 56 78\n\nEncore\n##", f"{PHONE[1:]}+r{key}@{ACCOUNT}", TEMPLATE)
    assert (await answer(receiver, mail)).startswith("250 2.0.0 m-")
    assert sorted(await _texts(store)) == ["Bonjour", "Encore", "Encore"]


async def test_when_nothing_can_go_one_email_tells_all(receiver: Receiver, store: Store) -> None:
    """A writer behind a relay is told by email: 250, and no SMS; the same mail again tells nothing more."""
    mail = _mail(TOO_LONG, TEMPLATE, Message_ID="<1@acme.example>")
    reply = await answer(receiver, mail)
    assert reply.startswith("250 2.0.0 n-")
    assert reply.endswith(" not sent, an email says why")
    (notice,) = await _notices(store)
    assert _reasons(notice) == ["template.unknown_field", "template.missing_field"]
    assert notice["source"][0] == "Colour: red"
    assert await answer(receiver, mail) == reply
    assert await _notices(store) == []
    assert await _texts(store) == []


async def test_each_part_of_a_mail_that_comes_in_parts_is_told(receiver: Receiver, store: Store) -> None:
    """Relays split a mail by its recipients: the second refusal is about others, the first once more is not."""
    phones = [Msisdn("+33639980123"), Msisdn("+33639980145")]
    for phone in phones:
        await store.block(Blocking(account=ACCOUNT, msisdn=phone, now=now_ms(), source="api"))
    first, second = (
        _mail("Bonjour", f"{phone[1:]}@{ACCOUNT}", Message_ID="<1@acme.example>") for phone in phones
    )
    replies = [await answer(receiver, mail) for mail in (first, second, first)]
    assert replies[0] == replies[2] != replies[1]
    notices = await _notices(store)
    assert [_reasons(notice) for notice in notices] == [["optout"]] * 2
    assert len({notice["problems"][0]["facts"]["to"] for notice in notices}) == 2


@pytest.mark.parametrize(
    ("headers", "reply", "reasons"),
    [
        ({"Content_Type": "multipart/mixed"}, "250 2.0.0 n-", ["mail.unreadable"]),
        ({"Content_Type": "image/png"}, "250 2.0.0 n-", ["mail.no_text"]),
        ({"Content_Type": "image/png", "Auto_Submitted": "auto-replied"}, "550 5.7.1 automatic mail", []),
        ({"Content_Type": "multipart/report"}, "550 5.7.1 automatic mail", []),
    ],
)
async def test_a_mail_that_cannot_be_read_is_told_to_its_writer(
    receiver: Receiver, store: Store, headers: dict[str, str], reply: str, reasons: list[str]
) -> None:
    """Who wrote it is proven by the header alone; nobody answers a machine."""
    assert (await answer(receiver, _mail("x", NUMBER, **headers))).startswith(reply)
    assert [_reasons(notice) for notice in await _notices(store)] == ([reasons] if reasons else [])


async def test_when_nothing_can_go_a_mail_program_is_told_at_once(receiver: Receiver, store: Store) -> None:
    """Who has logged in reads the reply; no email follows."""
    reply = await answer(receiver, _mail(TOO_LONG, TEMPLATE, client=PROGRAM))
    assert reply.startswith("550 5.6.0 ")
    assert await _notices(store) == []
    assert await _texts(store) == []


async def test_after_so_many_emails_an_hour_the_reply_itself_says_no(
    receiver: Receiver, store: Store
) -> None:
    """A machine that repeats its mistake doesn't fill a mailbox; another writer still hears of his."""
    for number in range(20):
        wrong = BAD_FIELD.replace("Bonjour", f"Bonjour {number // 3}")
        mail = _mail(wrong, TEMPLATE, Message_ID=f"<{number}@acme.example>")
        assert (await answer(receiver, mail)).startswith("250 2.0.0 n-")
    assert (await answer(receiver, _mail(BAD_FIELD, TEMPLATE))).startswith("550 5.6.0 ")
    other = _mail(BAD_FIELD, TEMPLATE, sender="paul@acme.example")
    assert (await answer(receiver, other)).startswith("250 2.0.0 n-")
    assert len(await _notices(store)) == 21


async def test_a_mail_that_comes_again_after_its_time_is_the_same_mail(
    receiver: Receiver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose 250 was lost must not hear that nothing was sent; another text under its Message-ID is another mail."""
    soon = datetime.fromtimestamp(now_ms() / 1000 + 60, UTC)
    text = f"To: 06 39 98 56 78\nAt: {soon:%Y-%m-%d %H:%M:%S}Z\n\n{{}}\n##\n"
    mail, other = (
        _mail(text.format(words), TEMPLATE, Message_ID="<1@acme.example>") for words in (LONG, "Bonsoir")
    )
    reply = await answer(receiver, mail)
    assert reply.startswith("250 2.0.0 m-")
    later = now_ms() + 120_000
    monkeypatch.setattr(reading, "now_ms", lambda: later)
    assert await answer(receiver, mail) == reply
    assert await _notices(store) == []
    assert (await answer(receiver, other)).startswith("250 2.0.0 n-")
    assert await _texts(store) == ["a" * 160 + ' "b"']


@pytest.mark.parametrize("rcpts", [(NUMBER,), (TEMPLATE,), (NUMBER, TEMPLATE)])
async def test_without_a_database_the_client_keeps_the_mail(
    receiver: Receiver, store: Store, rcpts: tuple[str, ...]
) -> None:
    """451, whether the mail or its refusal could not be stored."""
    await store.close()
    assert await answer(receiver, _mail(BAD_FIELD, *rcpts)) == "451 4.3.0 try again later"


async def test_a_reply_address_is_for_who_wrote_there(receiver: Receiver, store: Store) -> None:
    """Whoever got hold of it may not speak as its number, but is told why."""
    assert (await answer(receiver, _mail("Bonjour", NUMBER))).startswith("250 2.0.0 m-")
    key = reply_key(store.reply_secret, conversation_of(ACCOUNT, OURS, PHONE))
    address = f"{PHONE[1:]}+r{key}@{ACCOUNT}"
    assert (await answer(receiver, _mail("Encore", address))).startswith("250 2.0.0 m-")
    reply = await answer(receiver, _mail("Moi aussi", address, sender="ups@acme.example"))
    assert reply.startswith("250 2.0.0 n-")
    (notice,) = await _notices(store)
    assert _reasons(notice) == ["conversation.not_yours"]
    assert notice["text"] == "Moi aussi"
    assert sorted(await _texts(store)) == ["Bonjour", "Encore"]


@pytest.mark.parametrize("language", help.LANGUAGES)
async def test_the_mails_of_the_help_page_work(receiver: Receiver, store: Store, language: str) -> None:
    """Each becomes the SMS that stands beside it, and nothing else."""
    expected = []
    for name in help.EXAMPLES:
        shown = help.example(name, language)
        headers = message_from_string(shown.mail)
        key = reply_key(store.reply_secret, conversation_of(ACCOUNT, OURS, PHONE))
        rcpt = re.sub(r"\+r\w{10}@", f"+r{key}@", headers["To"]).replace(help.DOMAIN, ACCOUNT)
        phones = shown.mail.count("06 39 98") - shown.mail.count("+33 6 39 98")
        content = shown.mail.replace("\n", "\r\n").encode()
        mail = Envelope(client=RELAY, mail_from="marie@acme.example", rcpts=(rcpt,), content=content)
        assert (await answer(receiver, mail)).startswith("250 2.0.0 m-"), name
        expected += [shown.text] * max(1, phones)
    assert sorted(await _texts(store)) == sorted(expected)
    assert await _notices(store) == []
