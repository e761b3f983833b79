"""Reports for machines (RFC 3461, 3464): who gets one, when, and what Python's own parser reads in it."""

from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from mail2sms.accept import Accept
from mail2sms.clock import now_ms
from mail2sms.intake.desk import Desk
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.intake.smtp_dsn import addressed, report_to, returned
from mail2sms.intake.template import compile_template
from mail2sms.lifecycle import Change
from mail2sms.model import NO_DSN, Dsn, Proof, Status
from mail2sms.options import read_networks
from mail2sms.relay import report as reports
from mail2sms.relay.letters import Letters
from mail2sms.render import Render, own_folder
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.store import (
    Blocking,
    Bundle,
    Claim,
    NewMessage,
    Notice,
    NoticeClaim,
    NoticeOutcome,
    Settlement,
    Store,
    views,
)
from mail2sms.store.outcomes import PartOutcome
from tests.fakes import ACCOUNT, NOW, PHONE, mt, submission, writer
from tests.store.test_store import intend, part
from tests.store.test_store import report as carrier_says
from tests.test_letters import HOUSE

HEAD = b"From: marie@acme.example\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nX-Odd: \xe9\r\n\r\n"
MARIE, BOUNCES = "marie@acme.example", "bounces@acme.example"
ALL = Dsn(
    notify=("SUCCESS", "FAILURE", "DELAY"),
    original="rfc822;Marie+SMS@acme.example",
    envelope_id="QQ+314159",
    ret="HDRS",
    report_to=MARIE,
)
HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(f"sqlite:///{tmp_path}/mail2sms.db")
    yield opened
    await opened.close()


@pytest.fixture
async def either(database_url: str) -> AsyncIterator[Store]:
    """The same, on each database."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def put(store: Store, *dsns: Dsn, original: bytes = HEAD, has_receipt: bool = False) -> None:
    """Store one mail with a message for each of these."""
    messages = [mt(f"m-{n}", submission="m-1", dsn=dsn) for n, dsn in enumerate(dsns, 1)]
    mail = submission("m-1", original=original, has_receipt=has_receipt)
    news = tuple(NewMessage(mt=each, reply_key="abcdefghij") for each in messages)
    await store.put(Bundle(id="m-1", at=NOW, submissions=(mail,), messages=news))


async def send(store: Store, outcome: str = "taken", *, is_reported: bool = True, limit: int = 10) -> None:
    """Bring what is due to the carrier, which answers so."""
    status = {"taken": Status.ENROUTE, "refused": Status.REJECTED, "uncertain": Status.UNKNOWN}[outcome]
    reason = {"refused": "carrier.rejected", "uncertain": "carrier.unknown"}.get(outcome, "")
    wanted = Claim(carrier="sim-a", owner="node", now=NOW, lease_ms=60_000, limit=limit)
    for each in [claimed.mt for claimed in await store.claim(wanted)]:
        assert await intend(store, each, f"a-{each.id}")
        ended = PartOutcome(attempt_id=f"a-{each.id}", outcome=outcome, carrier_message_id=f"cid-{each.id}")
        change = Change(status=status, reason=reason)
        assert part(each)
        await store.settle(
            Settlement(mt=each, outcomes=(ended,), change=change, now=NOW, is_reported=is_reported)
        )


async def say(store: Store, id_: str, status: Status) -> None:
    """Let the carrier report."""
    await store.record_report(carrier_says(status, f"cid-{id_}", carrier="sim-a"))


async def due(store: Store, after: int = 10_000) -> list[Notice]:
    """Return what is to be told by now, and is told."""
    wanted = NoticeClaim(channel="email", owner="node", now=NOW + after, lease_ms=60_000, limit=50)
    return await store.claim_notices(wanted)


async def mails(store: Store, after: int = 10_000) -> list[EmailMessage]:
    """Return the emails that leave by then, in the order of kind and reason."""
    letters, found = Letters(store, HOUSE, Render()), []
    for notice in sorted(await due(store, after), key=lambda each: (each.kind, each.reason)):
        outgoing = await letters.email(notice)
        if outgoing is not None:
            assert outgoing.envelope_from == ""
            found.append(read(outgoing.content))
        await store.settle_notice(NoticeOutcome(notice=notice, status="sent", now=NOW))
    return found


def read(content: bytes) -> EmailMessage:
    """Return a mail as Python's parser reads it: 7-bit, with nothing to complain about."""
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not any(each.defects for each in parsed.walk())
    return parsed


def statuses(mail: EmailMessage) -> dict[str, str]:
    """Return the fields of the second part: of the mail and of its one recipient."""
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    status = list(mail.iter_parts())[1]
    assert status.get_content_type() == "message/delivery-status"
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    assert len(blocks) == 2
    return {name: value for block in blocks for name, value in block.items()}  # type: ignore[union-attr]


async def test_a_delivered_message_is_reported_to_who_asked(store: Store) -> None:
    """With what was asked given back, and in words first."""
    await put(store, ALL, NO_DSN)
    await send(store)
    assert await mails(store) == []
    await say(store, "m-1", Status.DELIVERED)
    await say(store, "m-2", Status.DELIVERED)
    (mail,) = await mails(store)
    fields = statuses(mail)
    assert fields.pop("Last-Attempt-Date")
    assert fields == {
        "Original-Envelope-Id": "QQ+314159",
        "Reporting-MTA": "dns; sms.acme.example",
        "Arrival-Date": "Thu, 28 May 2026 20:26:40 +0000",
        "Original-Recipient": "rfc822; Marie+SMS@acme.example",
        "Final-Recipient": "rfc822; 33639981234@sms.acme.example",
        "Action": "delivered",
        "Status": "2.0.0",
    }
    assert (mail["Auto-Submitted"], mail["To"]) == ("auto-replied", MARIE)
    assert mail["In-Reply-To"] == "<m-1@acme.example>"
    words = mail.get_body(("plain",))
    assert words is not None
    assert "was delivered" in words.get_content()
    assert mail["Subject"] == "SMS delivered to +33 6 39 98 12 34"
    head = list(mail.iter_parts())[2]
    assert head.get_content_type() == "text/rfc822-headers"
    assert (
        head.get_payload() == HEAD.rstrip().replace(b"\xe9", b"?").decode().replace("\r\n", "\r\n") + "\r\n"
    )


@pytest.mark.parametrize(
    ("outcome", "action", "status"),
    [("refused", "failed", "5.7.1"), ("uncertain", "delayed", "4.4.2")],
)
async def test_a_failure_is_one_mail_for_people_and_machines(
    either: Store, outcome: str, action: str, status: str
) -> None:
    """Who would get an email anyway gets it in that form; in doubt is no failure where delays are asked for."""
    await put(either, ALL)
    await send(either, outcome)
    (mail,) = [each for each in await mails(either, 70_000) if each["X-Mail2SMS-Reason"] != "dsn.delayed"]
    fields = statuses(mail)
    assert (fields["Action"], fields["Status"]) == (action, status)
    assert fields["Diagnostic-Code"].startswith("smtp; ")
    assert "+33" not in fields["Diagnostic-Code"]
    assert mail["Reply-To"] is None


async def test_the_sender_of_the_envelope_gets_the_report_and_the_writer_the_email(store: Store) -> None:
    """A program's mailbox for bounces must not keep a person from knowing."""
    await put(store, replace(ALL, notify=("FAILURE",), report_to=BOUNCES))
    await send(store, "uncertain")
    report, notice = await mails(store, 70_000)
    assert (report["To"], statuses(report)["Action"], statuses(report)["Status"]) == (
        BOUNCES,
        "failed",
        "5.4.2",
    )
    assert (notice["To"], notice.get_content_type()) == (MARIE, "multipart/alternative")


@pytest.mark.parametrize(
    ("notify", "status", "kinds"),
    [
        (("NEVER",), Status.UNDELIVERABLE, []),
        (("NEVER",), Status.DELIVERED, []),
        (("SUCCESS",), Status.UNDELIVERABLE, []),
        (("FAILURE",), Status.DELIVERED, []),
        (("FAILURE",), Status.UNDELIVERABLE, ["dsn"]),
        ((), Status.UNDELIVERABLE, ["undelivered"]),
        ((), Status.DELIVERED, []),
        (("SUCCESS", "FAILURE"), Status.DELIVERED, ["dsn"]),
    ],
)
async def test_what_is_not_asked_for_is_not_told(
    store: Store, notify: tuple[str, ...], status: Status, kinds: list[str]
) -> None:
    """NOTIFY, word by word."""
    await put(store, Dsn(notify=notify, report_to=MARIE if notify else ""))
    await send(store)
    await say(store, "m-1", status)
    assert [notice.kind for notice in await due(store, HOUR // 2)] == kinds


async def test_where_no_report_can_come_it_was_relayed(store: Store) -> None:
    """At once by a carrier that never tells, else when its time is over; not if it was delivered after all."""
    await put(store, ALL)
    await send(store, is_reported=False)
    (mail,) = await mails(store)
    assert (statuses(mail)["Action"], statuses(mail)["Status"]) == ("relayed", "2.1.9")
    assert mail["Subject"] == "SMS to +33 6 39 98 12 34 handed to the phone network"


@pytest.mark.parametrize(("is_delivered", "actions"), [(False, ["relayed"]), (True, ["delivered"])])
async def test_a_report_that_never_comes_is_waited_for_until_the_end(
    store: Store, is_delivered: bool, actions: list[str]
) -> None:
    """The message's, and an hour."""
    await put(store, replace(ALL, notify=("SUCCESS",)))
    await send(store)
    if is_delivered:
        await say(store, "m-1", Status.DELIVERED)
    assert len(await mails(store, HOUR)) == is_delivered
    found = await mails(store, 3 * HOUR)
    assert [statuses(mail)["Action"] for mail in found] == ([] if is_delivered else actions)


async def test_a_delay_is_told_once_it_is_one(store: Store) -> None:
    """An hour after it was to leave, if it still waits."""
    mail = submission("m-1", original=HEAD)
    waiting = mt("m-1", dsn=replace(ALL, notify=("DELAY",)), expires_at=NOW + DAY)
    new = NewMessage(mt=waiting, reply_key="abcdefghij")
    await store.put(Bundle(id="m-1", at=NOW, submissions=(mail,), messages=(new,)))
    assert await mails(store, HOUR - 1) == []
    (told,) = await mails(store, HOUR)
    assert (statuses(told)["Action"], statuses(told)["Will-Retry-Until"]) == (
        "delayed",
        "Fri, 29 May 2026 20:26:40 +0000",
    )


async def test_an_opt_out_that_cancels_is_reported_too(either: Store) -> None:
    """As a failure, and by no second email."""
    await put(either, ALL)
    await either.block(Blocking(account=ACCOUNT, msisdn=PHONE, now=NOW, source="keyword", who="the phone"))
    (mail,) = await mails(either)
    assert (statuses(mail)["Action"], statuses(mail)["Status"]) == ("failed", "5.7.1")


FULL = HEAD.replace(b"\xe9", b"e") + b"Bonjour\r\n"


@pytest.mark.parametrize(
    ("content", "ret", "notify", "expected"),
    [
        (FULL, "FULL", ("FAILURE",), FULL),
        (FULL, "FULL", ("SUCCESS",), FULL.removesuffix(b"Bonjour\r\n")),
        (FULL, "HDRS", ("FAILURE",), FULL.removesuffix(b"Bonjour\r\n")),
        (FULL, "", ("FAILURE",), FULL.removesuffix(b"Bonjour\r\n")),
        (FULL + b"\xe9", "FULL", ("FAILURE",), FULL.removesuffix(b"Bonjour\r\n")),
        (FULL + b"x" * 999, "FULL", ("FAILURE",), FULL.removesuffix(b"Bonjour\r\n")),
        (FULL + b"x\r\n" * 20_000, "FULL", ("FAILURE",), FULL.removesuffix(b"Bonjour\r\n")),
        (FULL, "FULL", ("NEVER",), b""),
        (FULL, "FULL", (), b""),
    ],
)
def test_what_is_kept_to_be_given_back(
    content: bytes, ret: str, notify: tuple[str, ...], expected: bytes
) -> None:
    """The header, or all of what fits and every server takes; of mails that ask for nothing, nothing."""
    assert returned(content, len(FULL) - 9, [Dsn(ret=ret, notify=notify)]) == expected


async def test_the_whole_mail_comes_back_with_a_failure(store: Store) -> None:
    """As the mail that it was."""
    await put(store, replace(ALL, ret="FULL"), original=FULL)
    await send(store, "refused")
    (mail,) = [each for each in await mails(store) if each.get_content_type() == "multipart/report"]
    back = list(mail.iter_parts())[2]
    assert back.get_content_type() == "message/rfc822"
    (inner,) = back.get_payload()  # type: ignore[misc]
    assert isinstance(inner, EmailMessage)
    assert inner["Subject"] == "café"
    assert inner.get_payload() == "Bonjour\r\n"


@pytest.mark.parametrize(
    ("proof", "mail_from", "expected"),
    [
        (Proof.NETWORK, "bounces@elsewhere.example", "bounces@elsewhere.example"),
        (Proof.LOGIN, "bounces@elsewhere.example", "bounces@elsewhere.example"),
        (Proof.DKIM, "victim@elsewhere.example", MARIE),
        (Proof.DKIM, "bounces@ACME.example", "bounces@ACME.example"),
        (Proof.AUTHENTICATION_RESULTS, "victim@elsewhere.example", MARIE),
    ],
)
def test_nobody_else_is_sent_our_reports(proof: Proof, mail_from: str, expected: str) -> None:
    """What a mail shows proves its author, and nobody in its envelope."""
    assert report_to(mail_from, writer(proof=proof)) == expected


def test_only_who_asks_by_name_has_an_address_for_reports() -> None:
    """Others get emails."""
    dsns = (NO_DSN, Dsn(notify=("NEVER",)), Dsn(notify=("FAILURE",)))
    assert [dsn.report_to for dsn in addressed(dsns, MARIE)] == ["", "", MARIE]


@pytest.mark.parametrize(
    ("original", "shown"),
    [
        ("rfc822;a+b@c.example", "rfc822; a+b@c.example"),
        ("utf-8;büro@c.example", "utf-8; b\\x{FC}ro@c.example"),
        ("utf-8;b\\x{FC}ro@c.example", "utf-8; b\\x{FC}ro@c.example"),
        ("x400;/C=FR; G=Marie", "x400; /C=FR; G=Marie"),
        ("rfc822;a=?utf-8?q?=0ABcc:_x?=@c.example", "rfc822; a= ?utf-8?q?=0ABcc:_x?=@c.example"),
    ],
)
def test_the_first_address_as_it_was_meant(original: str, shown: str) -> None:
    """Decoded, in ASCII, and no encoded word."""
    made = reports.Report(
        dsn=Dsn(original=original),
        recipient="1@x.example",
        action="failed",
        status="5.0.0",
        arrived_at=NOW,
    )
    status = reports.parts("sms.acme.example", made)[0]
    assert f"Original-Recipient: {shown}\r\n".encode() in status


def told(fates: Sequence[Status]) -> str:
    """Return what is expected of a receipt's subject, by hand."""
    failed = sum(fate is Status.UNDELIVERABLE for fate in fates)
    return f"{failed} of {len(fates)} SMS not delivered" if failed else f"All {len(fates)} SMS delivered"


@pytest.mark.parametrize(
    "fates", [[Status.DELIVERED] * 3, [Status.DELIVERED, Status.UNDELIVERABLE, Status.DELIVERED]]
)
async def test_one_receipt_when_all_of_a_mail_is_over(either: Store, fates: list[Status]) -> None:
    """Not before the last, never again, threaded, and its subject is the verdict."""
    await put(either, *[Dsn(has_receipt=True)] * 3, has_receipt=True)
    await send(either)
    found: list[EmailMessage] = []
    for number, status in enumerate(fates, 1):
        assert [each for each in found if "undelivered" not in each["Message-ID"]] == []
        await say(either, f"m-{number}", status)
        found += await mails(either)
    (receipt,) = [each for each in found if each["Message-ID"].startswith("<receipt.")]
    assert receipt["Subject"] == told(fates)
    assert receipt["In-Reply-To"] == "<m-1@acme.example>"
    assert receipt["Auto-Submitted"] == "auto-replied"
    words = receipt.get_body(("plain",))
    assert words is not None
    assert words.get_content().count("+33 6 39 98 12 34:") == 3
    assert await mails(either, 2 * DAY) == []


async def test_a_receipt_waits_no_longer_than_a_day(store: Store) -> None:
    """Then it tells how far it has come."""
    await put(store, *[Dsn(has_receipt=True)] * 2, has_receipt=True)
    await send(store)
    await say(store, "m-1", Status.DELIVERED)
    assert await mails(store) == []
    assert (await store.read(views.counts))["notices"] == 0  # nobody waits for it yet
    (receipt,) = await mails(store, DAY)
    assert receipt["Subject"] == "1 of 2 SMS delivered so far"


async def test_by_a_carrier_that_never_tells_a_receipt_says_so_at_once(store: Store) -> None:
    """There is nothing to wait for."""
    await put(store, *[Dsn(has_receipt=True)] * 2, has_receipt=True)
    await send(store, is_reported=False)
    assert [each["Subject"] for each in await mails(store)] == ["0 of 2 SMS delivered so far"]


async def test_who_was_told_that_the_one_message_failed_gets_no_receipt_of_it(store: Store) -> None:
    """The email says it all."""
    await put(store, Dsn(has_receipt=True), has_receipt=True)
    await send(store, "refused")
    (mail,) = await mails(store)
    assert mail["Message-ID"].startswith("<undelivered.")
    assert await mails(store, 2 * DAY) == []


async def refused(store: Store, dsn: Dsn, to: str) -> list[EmailMessage]:
    """Let a mail that asks for reports so be refused; return what is told of it."""
    identity = Identity(
        (SenderRule(pattern="*@acme.example", networks=read_networks("192.0.2.0/24")),),
        {},
        {},
        account=ACCOUNT,
    )
    strict = compile_template((own_folder() / "intake" / "strict.txt").read_text(encoding="utf-8"), "strict")
    desk = Desk(
        account=ACCOUNT,
        domain=ACCOUNT,
        country="FR",
        template_mailbox="sms",
        template=strict,
        simple=strict,
        teams={},
    )
    policy = Policy(countries=frozenset({"FR"}), sender_ids={"default": "ACME"})
    door = Accept(store, policy, (Route(to=("any",), via=("sim",)),), DAY)
    sandbox = Sandbox()
    mail = Envelope(
        client=Client(ip="192.0.2.1"),
        mail_from=to,
        rcpts=(f"sms@{ACCOUNT}", f"{PHONE[1:]}@{ACCOUNT}"),
        content=b"From: marie@acme.example\r\nSubject: x\r\n\r\nTel: 06 39 98 12 34\r\n\r\nBonjour\r\n",
        dsns=(dsn, NO_DSN),
    )
    (reply,) = await Receiver(desk, identity, door, store, sandbox).mail(mail)
    assert reply.startswith("250 2.0.0 n-")
    await sandbox.close()
    return await mails(store, now_ms() - NOW + 1)


@pytest.mark.parametrize(("to", "kinds"), [(MARIE, ["report"]), (BOUNCES, ["alternative", "report"])])
async def test_a_refused_mail_is_reported_to_who_asked(store: Store, to: str, kinds: list[str]) -> None:
    """Of the recipients that it was asked of; the writer has the words in any case, once."""
    asked = Dsn(notify=("SUCCESS", "FAILURE"), envelope_id="QQ1", original="rfc822;x@y.example", ret="FULL")
    found = await refused(store, asked, to)
    assert sorted(mail.get_content_subtype() for mail in found) == kinds
    (report,) = [mail for mail in found if mail.get_content_subtype() == "report"]
    fields = statuses(report)
    assert (report["To"], fields["Final-Recipient"]) == (to, f"rfc822; sms@{ACCOUNT}")
    assert (fields["Action"], fields["Status"], fields["Original-Envelope-Id"]) == ("failed", "5.6.0", "QQ1")
    assert fields["Diagnostic-Code"].startswith("smtp; 550 5.6.0 body line 1: there is no field")
    assert all("mailto:sms@" in str(mail.get_body(("plain",)).get_content()) for mail in found)  # type: ignore[union-attr]
    assert [part.get_content_type() for part in report.iter_parts()][2] == "message/rfc822"
