"""What `accept` makes of submissions, and what it says no to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mail2sms import segments
from mail2sms.accept import Accept, NothingGoes
from mail2sms.clock import now_ms
from mail2sms.errors import Problem, Refusal
from mail2sms.ids import conversation_of, reply_key
from mail2sms.model import Conversation, Msisdn, Origin, Proof, SenderId
from mail2sms.money import read
from mail2sms.quiet import Quiet, read_period
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.rules._limits import Limit, Quotas
from mail2sms.store import Blocking, Bundle, NoticeClaim, Store, Stored, views
from tests.fakes import ACCOUNT, NOW, OURS, PHONE, submission, writer

ROUTES = (Route(to=("FR",), via=("sim-a", "sim-b")),)
OTHER = Msisdn("+33639985678")
BRITISH = Msisdn("+447700900123")


def accept_with(store: Store, **policy: object) -> Accept:
    """Return the door with a changed policy."""
    values = {"countries": frozenset({"FR"}), "sender_ids": {"default": "ACME"}, **policy}
    return Accept(store, Policy(**values), ROUTES, 3_600_000)  # type: ignore[arg-type]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/x.db")
    yield opened
    await opened.close()


async def test_one_message_for_each_recipient(store: Store) -> None:
    """The first has the submission's id, which the client is told."""
    receipt = await accept_with(store).accept([submission(recipients=(PHONE, OTHER))])
    assert receipt.id == "m-1"
    assert [(m.id, m.msisdn, m.sender_id) for m in receipt.messages] == [
        ("m-1", PHONE, OURS),
        ("m-1-2", OTHER, OURS),
    ]
    stored = await store.read(views.read_one, ACCOUNT, "m-1-2")
    assert stored is not None
    assert stored.route == ("sim-a", "sim-b")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("a" * 155 + " “b” …", "a" * 155 + ' "b" ...'),  # two parts of GSM-7, not three of Unicode
        ("a\tb \n\n", "a b"),
        ("Bonjour “b”", "Bonjour “b”"),  # nothing would be saved
    ],
)
async def test_what_is_stored_is_what_was_counted(store: Store, written: str, sent: str) -> None:
    """The carrier gets the text with plain typography, in the encoding that is billed."""
    receipt = await accept_with(store).accept([submission(text=written)])
    stored = await store.read(views.read_one, ACCOUNT, "m-1")
    assert stored is not None
    assert (stored.text, stored.parts, stored.encoding) == (
        sent,
        segments.count(sent),
        segments.encoding(sent),
    )
    assert receipt.messages[0].text == sent


async def test_the_cost_is_decided_before_anything_is_stored(store: Store) -> None:
    """Parts at the price of the first carrier; kept with the message, and with what it would be by the next one."""
    prices = {"sim-a": {"FR": read("0.045 EUR")}, "sim-b": {"any": read("0.08 EUR")}}
    receipt = await accept_with(store, prices=prices).accept([submission(text="a" * 161)])
    assert receipt.messages[0].costs == (read("0.09 EUR"), read("0.16 EUR"))
    stored = await store.read(views.read_one, ACCOUNT, "m-1")
    assert stored is not None
    assert stored.cost == receipt.messages[0].cost == read("0.09 EUR")


async def test_what_a_mail_costs_is_logged_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it together, if all of it is known; the same mail again costs nothing new."""
    logged: list[tuple[str, str | None]] = []
    record = SimpleNamespace(info=lambda event, **fields: logged.append((event, fields["cost"])))
    monkeypatch.setattr("mail2sms.accept.log", record)
    door = accept_with(store, prices={"sim-a": {"FR": read("0.045 EUR")}})
    origin = Origin(source="smtp", message_id="<1@acme.example>")
    for id_, to in (("m-1", (PHONE,)), ("m-2", (PHONE, OTHER)), ("m-3", (PHONE, OTHER))):
        await door.accept([submission(id_, origin=origin, recipients=to)])
    await accept_with(store).accept([submission("m-4")])
    assert logged == [
        ("mail_accepted", "0.045 EUR"),
        ("mail_accepted", "0.045 EUR"),
        ("mail_repeated", None),
        ("mail_accepted", None),
    ]


async def test_a_resent_mail_is_answered_with_the_first_id(store: Store) -> None:
    """Sender, Message-ID, recipient and text are the same: one SMS."""
    door = accept_with(store)
    origin = submission("m-1").origin
    await door.accept([submission("m-1")])
    again = await door.accept([submission("m-2", origin=origin)])
    assert (again.id, again.is_repeat) == ("m-1", True)
    other_text = await door.accept([submission("m-3", origin=origin, text="Autre chose")])
    assert other_text.id == "m-3"
    assert (await accept_with(store).accept([submission("m-4", origin=Origin(source="smtp"))])).id == "m-4"


@pytest.mark.parametrize(
    ("changes", "policy", "reason"),
    [
        ({"recipients": (BRITISH,)}, {}, "country.not_allowed"),
        ({"text": "a" * 613}, {}, "text.too_long"),
        ({"text": " \n\t "}, {}, "text.empty"),
        ({"text": "a\x07b"}, {}, "text.unsendable"),
        ({"recipients": (PHONE,) * 3}, {"recipients": 2}, "recipients.too_many"),
        ({"writer": writer(number=None)}, {"sender_ids": {}}, "sender_id.none"),
        ({"sender_id": "BANK"}, {}, "sender_id.not_yours"),
        ({}, {"mode": "trial", "ours": frozenset({OTHER})}, "number.fiction"),
        ({}, {"mode": "live"}, "number.fiction"),
        (
            {"recipients": (Msisdn("+33612345678"),)},
            {"mode": "trial", "ours": frozenset({OTHER})},
            "trial.not_ours",
        ),
    ],
)
async def test_what_may_not_go_is_refused(
    store: Store, changes: dict[str, object], policy: dict[str, object], reason: str
) -> None:
    """By its code, and nothing is stored."""
    with pytest.raises(Refusal) as caught:
        await accept_with(store, **policy).accept([submission(**changes)])
    assert reason in [problem.reason for problem in caught.value.problems]
    assert await store.read(views.find, ACCOUNT, views.Search()) == []


@pytest.mark.parametrize(
    ("writer_changes", "declared", "sender_ids", "expected"),
    [
        ({}, None, {}, OURS),
        ({}, None, {"FR": "ACME"}, "ACME"),
        ({}, None, {"FR": "number", "default": "ACME"}, OURS),
        ({"number": None}, None, {"default": "ACME"}, "ACME"),
        ({"number": None}, None, {"FR": "number", "default": "ACME"}, "ACME"),
        ({}, "acme", {"default": "ACME"}, "ACME"),
        ({}, "06 39 98 01 01", {"default": "ACME"}, OURS),
        ({"number": None, "proof": Proof.KEY}, None, {}, "+33639980000"),
    ],
)
async def test_the_sender_id_is_chosen_in_order(
    store: Store,
    writer_changes: dict[str, object],
    declared: str | None,
    sender_ids: dict[str, str],
    expected: str,
) -> None:
    """Declared, then the country's, then the writer's own, then the default."""
    door = accept_with(store, sender_ids=sender_ids, simulated_number=SenderId("+33639980000"))
    asked = submission(writer=writer(**writer_changes), sender_id=declared)
    assert (await door.accept([asked])).messages[0].sender_id == expected


async def test_an_answer_goes_out_under_the_address_that_was_written_to(store: Store) -> None:
    """Whatever the rules would choose for a new message."""
    conversation = Conversation(
        id="c",
        account=ACCOUNT,
        our_address="+33639980199",
        msisdn=PHONE,
        writers=frozenset({"marie@acme.example"}),
    )
    message = (await accept_with(store).accept([submission(conversation=conversation)])).messages[0]
    assert message.sender_id == "+33639980199"


@pytest.mark.parametrize(
    ("address", "owned", "may"),
    [
        ("ups@acme.example", (), False),
        ("paul@acme.example", (SenderId("+33639980199"),), True),
    ],
)
async def test_holding_a_reply_address_is_no_right_to_its_number(
    store: Store, address: str, owned: tuple[SenderId, ...], may: bool
) -> None:
    """Who never wrote there needs the number's right; a forwarded mail gives none."""
    answered = Conversation(id="c", account=ACCOUNT, our_address="+33639980199", msisdn=PHONE)
    asked = submission(writer=writer(address=address, number=None), conversation=answered)
    door = accept_with(store, owned={address: owned})
    if may:
        assert (await door.accept([asked])).messages[0].sender_id == "+33639980199"
    else:
        with pytest.raises(Refusal) as caught:
            await door.accept([asked])
        assert caught.value.problems[0].reason == "conversation.not_yours"


async def test_a_key_does_not_send_as_the_owner_of_its_reply_address(store: Store) -> None:
    """`reply_to` is free text: it opens no team's number."""
    door = accept_with(store, owned={"jean@acme.example": (SenderId("+33639980777"),)})
    asker = writer(address="jean@acme.example", number=None, proof=Proof.KEY)
    with pytest.raises(Refusal):
        await door.accept([submission(writer=asker, sender_id="+33639980777")])


async def test_one_bad_recipient_does_not_stop_the_others(store: Store) -> None:
    """The good are sent; an email says which were not."""
    receipt = await accept_with(store).accept([submission(recipients=(PHONE, BRITISH))])
    assert [message.msisdn for message in receipt.messages] == [PHONE]
    claim = NoticeClaim(channel="email", owner="n", now=NOW, lease_ms=1000, limit=5)
    notice = (await store.claim_notices(claim))[0]
    payload = json.loads(notice.payload or b"")
    assert (notice.reason, payload["problems"][0]["facts"]["to"]) == (
        "country.not_allowed",
        "+44 7700 900123",
    )
    assert payload["is_partly"] is True


async def test_a_refusal_is_told_once_per_mail_and_not_without_end(store: Store) -> None:
    """The same mail again tells nothing new; after twenty an hour, three of the same words, the refusal comes out."""
    door = accept_with(store)
    refusal = Refusal(Problem(reason="template.no_text"))
    origin = Origin(source="smtp", subject="x")
    first = await door.tell_refusal(writer(), origin, refusal, "<1@a>")
    assert await door.tell_refusal(writer(), origin, refusal, "<1@a>") == first
    claim = NoticeClaim(channel="email", owner="n", now=now_ms(), lease_ms=1000, limit=5)
    assert json.loads((await store.claim_notices(claim))[0].payload or b"")["is_partly"] is False
    for number in (2, 3):
        await door.tell_refusal(writer(), origin, refusal, f"<{number}@a>")
    with pytest.raises(Refusal):
        await door.tell_refusal(writer(), origin, refusal, "<4@a>")
    others = [Refusal(*refusal.problems, text=f"{number}") for number in range(4, 22)]
    for number, other in enumerate(others[:-1], 4):
        await door.tell_refusal(writer(), origin, other, f"<{number}@a>")
    with pytest.raises(Refusal):
        await door.tell_refusal(writer(), origin, others[-1], "<21@a>")
    await door.tell_refusal(writer(address="paul@acme.example"), origin, refusal, "<22@a>")


async def test_a_preview_stores_nothing(store: Store) -> None:
    """What would be sent, and no more."""
    would = await accept_with(store).preview([submission(text="é" * 161)])
    messages = would.messages
    assert (messages[0].segments, messages[0].encoding) == (2, "gsm7")
    assert await store.read(views.find, ACCOUNT, views.Search()) == []


def test_conversations_and_their_keys_are_stable() -> None:
    """The same pair, the same address, for ever; another secret, another key."""
    one = conversation_of(ACCOUNT, OURS, PHONE)
    assert one == conversation_of(ACCOUNT, OURS, PHONE) != conversation_of(ACCOUNT, OURS, OTHER)
    key = reply_key(b"secret", one)
    assert len(key) == 10
    assert key == reply_key(b"secret", one) != reply_key(b"other", one)


async def test_who_opted_out_is_not_written_to(store: Store) -> None:
    """From that number alone, and the others of the mail get it; the refusal says since when and what helps."""
    await store.block(
        Blocking(account=ACCOUNT, msisdn=PHONE, now=NOW, source="keyword", our_address=OURS, keyword="STOP")
    )
    with pytest.raises(Refusal) as refused:
        await accept_with(store).accept([submission()])
    problem = refused.value.problems[0]
    assert problem.reason == "optout"
    assert problem.facts["since"] == "2026-05-28"
    assert problem.facts["start"] == "+33 6 39 98 01 01"
    both = submission("m-both", recipients=(PHONE, OTHER))
    receipt = await accept_with(store).accept([both])
    assert [mt.msisdn for mt in receipt.messages] == [OTHER]
    assert [(phone.msisdn, phone.problem.reason) for phone in receipt.verdict.refused] == [(PHONE, "optout")]


async def test_a_mail_that_waits_for_the_morning_is_told_once(store: Store) -> None:
    """One email for all its recipients, with the moment; what is told by an API needs none."""
    night = Quiet(periods=(read_period("00:00-23:59"),))
    door = accept_with(store, quiet_hours={"FR": night}, is_quiet_for_all=True)
    await door.accept([submission(recipients=(PHONE, OTHER))])
    await door.accept([submission("m-2", origin=Origin(source="api"))])
    wanted = NoticeClaim(channel="email", owner="n", now=NOW + 1, lease_ms=1000, limit=9)
    found = await store.claim_notices(wanted)
    assert [(n.kind, n.reason, n.message) for n in found] == [("held", "held.quiet_hours", "m-1")]
    told = json.loads(found[0].payload or b"")
    assert told["others"] == 1
    assert NOW < told["until"] < NOW + 86_400_000


THIRD, FAR = Msisdn("+33639985679"), Msisdn("+33612345678")
ONE, TWO = (Limit(1, "messages", "day"),), (Limit(2, "messages", "day"),)


@pytest.mark.parametrize(
    ("quotas", "recipients", "taken", "left_out"),
    [
        (Quotas(user=TWO), (PHONE, OTHER), [PHONE, OTHER], {}),
        (Quotas(number=ONE), (PHONE, OTHER), [PHONE, OTHER], {}),
        # one phone over its limit leaves the others alone
        (Quotas(prefix=ONE), (OTHER, THIRD, FAR), [OTHER, FAR], {THIRD: "quota.prefix"}),
        (Quotas(countries={"default": ONE}), (PHONE, OTHER), [PHONE], {OTHER: "quota.country"}),
        # of the writer's and of all: everything or nothing
        (Quotas(user=TWO), (PHONE, OTHER, THIRD), [], dict.fromkeys((PHONE, OTHER, THIRD), "quota.user")),
        (Quotas(total=ONE), (PHONE, OTHER), [], {PHONE: "quota.total", OTHER: "quota.total"}),
        # what its own limit leaves out needs no room of the others
        (Quotas(prefix=ONE, total=TWO), (OTHER, THIRD, FAR), [OTHER, FAR], {THIRD: "quota.prefix"}),
    ],
)
async def test_what_fits_into_the_limits(
    store: Store,
    quotas: Quotas,
    recipients: tuple[Msisdn, ...],
    taken: list[Msisdn],
    left_out: dict[Msisdn, str],
) -> None:
    """A preview says the same beforehand, and takes nothing."""
    door = accept_with(store, quotas=quotas)
    for _ in range(2):
        if taken:
            seen = await door.preview([submission(recipients=recipients)])
        else:
            with pytest.raises(Refusal):
                await door.preview([submission(recipients=recipients)])
    if not taken:
        with pytest.raises(Refusal) as caught:
            await door.accept([submission(recipients=recipients)])
        assert {problem.reason for problem in caught.value.problems} == set(left_out.values())
        assert await store.read(views.find, ACCOUNT, views.Search()) == []
        return
    receipt = await door.accept([submission(recipients=recipients)])
    for found in (seen, receipt.verdict):
        assert [each.msisdn for each in found.messages] == taken
        refused = found.refused
        assert {phone.msisdn: phone.problem.reason for phone in refused} == left_out


async def test_a_mail_that_comes_again_is_not_counted_again(store: Store) -> None:
    """Nor refused by a limit that it filled itself; what is new in it is."""
    door = accept_with(store, quotas=Quotas(user=ONE))
    origin = submission("m-1").origin
    await door.accept([submission("m-1")])
    for n in range(2, 5):
        again = await door.accept([submission(f"m-{n}", origin=origin)])
        assert (again.id, again.is_repeat) == ("m-1", True)
    with_more = await door.accept([submission("m-5", origin=origin, recipients=(PHONE, OTHER))])
    assert [mt.id for mt in with_more.messages] == ["m-1"]
    assert [phone.problem.reason for phone in with_more.verdict.refused] == ["quota.user"]
    with pytest.raises(Refusal):
        await door.accept([submission("m-6")])


async def test_a_refused_mail_takes_nothing_and_is_new_when_it_comes_again(store: Store) -> None:
    """The next window takes it, by the same Message-ID."""
    limit = (Limit(1, "messages", "minute"),)
    door = accept_with(store, quotas=Quotas(user=limit, number=TWO))
    await door.accept([submission("m-1")])
    for n in (2, 3):
        with pytest.raises(Refusal):
            await door.accept([submission(f"m-{n}", origin=submission("again").origin)])
    later = NOW + 60_000
    taken = await door.accept([submission("m-4", origin=submission("again").origin, created_at=later)])
    assert (taken.id, taken.is_repeat) == ("m-4", False)


async def test_the_writer_is_told_once_whom_a_limit_left_out(store: Store) -> None:
    """By an email, since SMTP has one answer for all; also when the mail comes again."""
    door = accept_with(store, quotas=Quotas(countries={"FR": ONE}))
    origin = submission("m-1").origin
    for id_ in ("m-1", "m-2"):
        await door.accept([submission(id_, origin=origin, recipients=(PHONE, OTHER))])
    claim = NoticeClaim(channel="email", owner="n", now=NOW, lease_ms=60_000, limit=10)
    (told,) = await store.claim_notices(claim)
    (problem,) = json.loads(told.payload or b"")["problems"]
    assert (problem["reason"], problem["facts"]["to"]) == ("quota.country", "+33 6 39 98 56 78")


async def test_whom_a_limit_leaves_out_is_told_with_what_goes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one transaction: after a second that fails, a mail without Message-ID would come again, and be sent twice."""
    puts: list[Bundle] = []
    put = store.put

    async def counted(bundle: Bundle) -> Stored:
        puts.append(bundle)
        return await put(bundle)

    monkeypatch.setattr(store, "put", counted)
    door = accept_with(store, quotas=Quotas(countries={"FR": ONE}))
    await door.accept([submission("m-1", recipients=(PHONE, OTHER))])
    claim = NoticeClaim(channel="email", owner="n", now=NOW, lease_ms=60_000, limit=10)
    assert (len(puts), [each.reason for each in await store.claim_notices(claim)]) == (1, ["quota.country"])


@pytest.mark.parametrize("owner", ["keeper@acme.example", ""])
async def test_who_looks_after_a_machine_hears_whom_a_limit_left_out(store: Store, owner: str) -> None:
    """Once an hour, be it at each mail; the machine has no inbox, and nothing is sent to nobody."""
    machine = writer(address="")
    door = accept_with(store, quotas=Quotas(prefix=ONE))
    for id_, taken in (("m-1", OTHER), ("m-2", FAR)):
        await door.accept([submission(id_, recipients=(taken, THIRD), writer=machine)], owner)
    claim = NoticeClaim(channel="email", owner="n", now=NOW, lease_ms=60_000, limit=10)
    assert [each.address for each in await store.claim_notices(claim)] == [owner] * bool(owner)


async def test_of_a_mail_that_came_before_who_is_new_and_left_out_is_told(store: Store) -> None:
    """A relay may bring one mail in several transactions."""
    door = accept_with(store, quotas=Quotas(countries={"FR": ONE}))
    origin = submission("m-1").origin
    await door.accept([submission("m-1", origin=origin)])
    for id_ in ("m-2", "m-3"):
        await door.accept([submission(id_, origin=origin, recipients=(PHONE, OTHER))])
    await door.accept([submission("m-4", origin=origin, recipients=(PHONE, OTHER, THIRD))])
    claim = NoticeClaim(channel="email", owner="n", now=NOW, lease_ms=60_000, limit=10)
    found = [json.loads(each.payload or b"")["problems"] for each in await store.claim_notices(claim)]
    assert sorted(problem["facts"]["to"].count("+33") for (problem,) in found) == [1, 2]


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"user": (Limit(1, "messages", "day"),)}, ["marie@acme.example", "paul@acme.example"]),
        ({"number": (Limit(1, "messages", "day"),)}, ["+33639981234"]),  # not of each of thousands
        ({"total": (Limit(1, "messages", "day"), Limit(9, "parts", "day"))}, ["all"]),
        ({"user": (Limit(9, "messages", "day"),)}, []),
    ],
)
async def test_administrators_hear_once_that_a_limit_is_reached(
    store: Store, limits: dict[str, tuple[Limit, ...]], told: list[str]
) -> None:
    """Once in its window, though other doors refuse more; each administrator."""
    admins = ("it@acme.example", "boss@acme.example")
    for n in range(3):
        door = accept_with(store, quotas=Quotas(**limits, approvers=admins))  # type: ignore[arg-type]
        for who in ("marie@acme.example", "paul@acme.example"):
            for phone in (PHONE, OTHER):
                asked = submission(f"m-{n}-{who}-{phone}", recipients=(phone,), writer=writer(address=who))
                with contextlib.suppress(NothingGoes):
                    await door.accept([asked])
    claim = NoticeClaim(channel="email", owner="n", now=NOW + 1, lease_ms=1000, limit=50)
    found = [notice for notice in await store.claim_notices(claim) if notice.kind == "limit"]
    assert sorted((notice.address, json.loads(notice.payload or b"")["of"]) for notice in found) == sorted(
        (admin, of) for admin in admins for of in told
    )
