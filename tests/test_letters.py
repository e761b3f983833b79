"""A refused notice offers what its writer meant, and nothing else; a held one tells why a message waits."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mail2sms.errors import Problem, Refusal
from mail2sms.lifecycle import Wish
from mail2sms.model import Origin, Status, User
from mail2sms.money import read as read_money
from mail2sms.relay.house import House
from mail2sms.relay.letters import Letters, Refusals
from mail2sms.render import Render
from mail2sms.store import Change, NewNotice, Notice, NoticeClaim, Store, Wished
from mail2sms.store.teaching import refused_notice
from tests.fakes import ACCOUNT, NOW, bundle, writer
from tests.fuzz_templates import CONTEXT, shipped
from tests.store.test_approvals import mail as guarded
from tests.store.test_store import claim, intend, settlement

HOUSE = House(
    domain="sms.acme.example", country="FR", template_mailbox="sms", language="en", zone="Europe/Paris"
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/mail2sms.db")
    yield opened
    await opened.close()


def notice(mail: str) -> NewNotice:
    """Return the notice of a mail that the strict template refuses."""
    with pytest.raises(Refusal) as caught:
        shipped("strict").read(mail, CONTEXT)
    return refused_notice("n-1", writer(), Origin(source="smtp"), caught.value, NOW)


@pytest.mark.parametrize(
    ("mail", "offered"),
    [
        ("Tel: 06 39 98 12 35\n\nHi", "33639981235"),
        ("To: Marie <06 39 98 12 35>\n\nHi", "33639981235"),
        ("Tel: 06 39 98 12 34\n\nHi", "33639981234"),  # the example, but the writer's own
        ("To: 06 39 98 12\n\nHi", ""),
        ("Hello", ""),
        ("To: \n\nHi", ""),
        ("To: 06 39 98 12 35\nTo: 06 39 98 12 36\n\nHi", ""),
        ("Tel: 06 39 98 12 35\nRef: 1\n\nHi", ""),  # an address says no more than a number
        ("Tel: 06 39 98 12 35\n\n", ""),  # the text would be the example
        ("".join(f"x{n}: y\n" for n in range(120)) + "\nHi", ""),  # that To is missing is told no more
    ],
)
def test_the_easier_address_is_never_that_of_the_example(mail: str, offered: str) -> None:
    """The corrected mail has a number in it even where the writer gave none."""
    text = Refusals(HOUSE, Render()).refused(notice(mail)).content.decode()
    assert ("Easier: write to" in text) == bool(offered)
    assert f"{offered}@sms.acme.example" in text


@pytest.mark.parametrize(
    ("mail", "is_told"),
    [("Hello", True), ("To:\n\nHello", True), ("Ref: 1\n\nHello", False), ("To: 06\n\nHello", False)],
)
def test_who_has_only_a_text_is_told_of_the_address(mail: str, is_told: bool) -> None:
    """They need no template; whoever says more than a text does."""
    text = Refusals(HOUSE, Render()).refused(notice(mail)).content.decode()
    assert ("Easier: put the phone number in front of @sms.acme.example" in text) is is_told


async def waits(store: Store, payload: bytes | None, status: Status = Status.QUEUED) -> Notice:
    """Store a message with the notice that it waits, and return the notice as the loop gets it."""
    return await about(store, "held", "held.operator", status, payload)


async def about(store: Store, kind: str, reason: str, status: Status, payload: bytes | None = None) -> Notice:
    """Store a message with a notice about it, and return the notice as the loop gets it."""
    new = NewNotice(
        id="n-1",
        account=ACCOUNT,
        kind=kind,
        channel="email",
        address="marie@acme.example",
        created_at=NOW,
        due_at=NOW,
        expires_at=NOW + 60_000,
        reason=reason,
        message="m-1",
        payload=payload,
    )
    await store.put(replace(bundle(status=status), notices=(new,)))
    claim = NoticeClaim(channel="email", owner="node", now=NOW, lease_ms=60_000, limit=1)
    return (await store.claim_notices(claim))[0]


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (None, "Partirà appena verrà sbloccato."),
        (b'{"until": null}', "Se sarà ancora in attesa giovedì 28 maggio alle 23.26, non verrà inviato"),
        (b'{"until": 1780003600000}', "Partirà giovedì 28 maggio alle 23.26."),
    ],
)
async def test_a_message_that_waits_is_told_with_what_is_known(
    payload: bytes | None, told: str, store: Store
) -> None:
    """In the reader's language and zone, threaded to their mail."""
    marie = User(address="marie@acme.example", language="it")
    house = replace(HOUSE, users={marie.address: marie})
    outgoing = await Letters(store, house, Render()).email(await waits(store, payload))
    assert outgoing is not None
    mail = email.message_from_bytes(outgoing.content, policy=email.policy.default)
    assert mail["Subject"] == "SMS in attesa per +33 6 39 98 12 34"
    assert mail["In-Reply-To"] == "<m-1@acme.example>"
    body = mail.get_body(("plain",))
    assert body is not None
    assert told in body.get_content()
    assert "annullare il messaggio m-1" in body.get_content()


@pytest.mark.parametrize(
    ("reason", "status", "can_answer"),
    [
        ("carrier.unknown_number", Status.UNDELIVERABLE, False),
        ("carrier.undeliverable", Status.UNDELIVERABLE, True),
        ("carrier.expired", Status.EXPIRED, True),
        ("carrier.unknown", Status.UNKNOWN, True),
    ],
)
async def test_nobody_is_offered_to_answer_a_number_that_does_not_exist(
    reason: str, status: Status, can_answer: bool, store: Store
) -> None:
    """An answer would come back as the same notice; of other failures it may be the next try."""
    outgoing = await Letters(store, HOUSE, Render()).email(await about(store, "undelivered", reason, status))
    assert outgoing is not None
    mail = email.message_from_bytes(outgoing.content, policy=email.policy.default)
    assert ("+r" in str(mail["Reply-To"])) is can_answer


@pytest.mark.parametrize("status", list(Status))
async def test_what_waits_no_more_is_not_told_as_waiting(status: Status, store: Store) -> None:
    """The smarthost was away, and meanwhile it was sent or cancelled."""
    letters = Letters(store, HOUSE, Render())
    held = await waits(store, None, status)
    assert (await letters.email(held) is None) == (status is not Status.QUEUED)
    assert await letters.hook_event(held) is None  # chats are told of replies and failures


@pytest.mark.parametrize(
    ("web_url", "found"),
    [
        ("https://sms.acme.example/", "https://sms.acme.example/help?lang=de"),
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025/help?lang=de"),
        ("", ""),
    ],
)
def test_where_help_is(web_url: str, found: str) -> None:
    """In the reader's language."""
    assert replace(HOUSE, web_url=web_url).help_url("de") == found


@pytest.mark.parametrize(
    ("costs", "is_taken", "told"),
    [
        (("0.045 EUR", "0.08 EUR"), False, "Nothing was charged."),
        (("0.045 EUR", "0.08 EUR"), True, "It may have been charged (0.045\u00a0EUR)."),
        ((), False, "It may have been charged."),
    ],
)
async def test_a_failure_tells_what_it_cost(
    costs: tuple[str, ...], is_taken: bool, told: str, store: Store
) -> None:
    """Nothing when no carrier took it; its price when one may have."""
    await store.put(bundle(costs=tuple(map(read_money, costs)), expires_at=NOW + 1000))
    if is_taken:
        (claimed,) = await claim(store)
        assert await intend(store, claimed.mt)
        doubt = Change(status=Status.UNKNOWN, reason="carrier.unknown")
        await store.settle(settlement(claimed.mt, "uncertain", doubt))
    await store.expire(NOW + 2000)
    wanted = NoticeClaim(channel="email", owner="node", now=NOW + 3_600_000, lease_ms=60_000, limit=1)
    (notice,) = await store.claim_notices(wanted)
    outgoing = await Letters(store, HOUSE, Render()).email(notice)
    assert outgoing is not None
    body = email.message_from_bytes(outgoing.content, policy=email.policy.default).get_body(("plain",))
    assert body is not None
    assert told in body.get_content()


async def test_who_is_asked_hears_of_what_still_waits(store: Store) -> None:
    """The first of the mail was let go by itself: the others still need an answer; when none waits, nobody does."""
    await store.put(guarded())
    claim = NoticeClaim(channel="email", owner="node", now=NOW, lease_ms=60_000, limit=10)
    asked = sorted(await store.claim_notices(claim), key=lambda each: each.kind)
    letters = Letters(store, HOUSE, Render())
    for released, left in (("", "2 messages"), ("m-1-0", "1 message"), ("m-1-1", "")):
        if released:
            wished = Wished(account=ACCOUNT, id=released, wish=Wish.RELEASE, now=NOW, is_quiet=True)
            assert await store.wish(wished)
        mails = [await letters.email(each) for each in asked]
        assert [each.kind for each in asked] == ["approval", "held"]
        assert [mail is not None for mail in mails] == [bool(left)] * 2
        for mail in filter(None, mails):
            assert ("m-1-1" in mail.content.decode()) is (released == "m-1-0")
        assert mails[0] is None or left.split()[0] in mails[0].content.decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb", "a\nb"),
        ("x" * 16_384, "x" * 16_384),
        ("x" * 16_385, "x" * 16_384 + "…"),
        ("a\n" * 999 + "b", "a\n" * 999 + "b"),
        ("a\n" * 5000, "a\n" * 999 + "a…"),
    ],
)
def test_a_text_that_is_sent_back_is_bounded_in_characters_and_lines(text: str, expected: str) -> None:
    """Each line is written twice, by a template, on the event loop."""
    refusal = Refusal(Problem(reason="text.too_long"), text=text)
    told = refused_notice("n-1", writer(), Origin(source="email"), refusal, NOW)
    assert json.loads(told.payload or b"")["text"] == expected
