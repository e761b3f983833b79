"""What becomes of a machine's mail that is not sent or not delivered: who is told, and how."""

from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mail2sms.intake import reading
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.lifecycle import Change
from mail2sms.model import DeliveryReport, Dsn, Status
from mail2sms.relay.letters import Letters
from mail2sms.render import Render
from mail2sms.store import Claim, Notice, NoticeClaim, days
from tests.fakes import ACCOUNT
from tests.store.test_store import intend, settlement
from tests.test_alarms import House, dated, opened
from tests.test_letters import HOUSE

EXTRA = """\
  tell: {network: 10.0.0.5, to: oncall, text: "{subject}", replies_to: it@x.example, expires: 2h, quota: 6/day}
  mute: {network: 10.0.0.6, to: oncall, text: "{subject}", quota: 2/day}
"""
TELL, MUTE = Client(ip="10.0.0.5"), Client(ip="10.0.0.6")
DIGEST = 'relay: {smarthost: {address: "127.0.0.1:25"}, digest: {to: boss@x.example}}\n'


@pytest.fixture
async def house(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A house with machines of these kinds, on each kind of database."""
    async with opened(database_url, EXTRA + DIGEST) as built:
        monkeypatch.setattr(reading, "now_ms", lambda: built.now)
        yield built


async def owed(house: House) -> list[Notice]:
    """Return what is to be told by email."""
    claim = NoticeClaim(channel="email", owner="n", now=house.now + 1000, lease_ms=60_000, limit=50)
    return await house.store.claim_notices(claim)


async def told(house: House, notice: Notice) -> email.message.EmailMessage:
    """Return the email of a notice."""
    outgoing = await Letters(house.store, HOUSE, Render()).email(notice)
    assert outgoing is not None
    return email.message_from_bytes(outgoing.content, policy=email.policy.default)  # type: ignore[return-value]


async def test_what_is_refused_is_answered_to_the_machine_and_told_to_its_owner(house: House) -> None:
    """A machine reads no reply: an email names it, says why, and gives the text back."""
    replies = [await house.mail(TELL, b"Subject: Fire %d\n\n" % (n // 8), "tell") for n in range(12)]
    assert [reply[:3] for reply in replies] == ["250"] * 3 + ["550"] * 9
    notices = [notice for notice in await owed(house) if notice.kind == "refused"]
    assert {(notice.address, notice.reason) for notice in notices} == {("it@x.example", "quota.user")}
    assert 1 <= len(notices) < 9
    mail = await told(house, notices[0])
    assert mail["Subject"] == "SMS not sent: Fire 0" and mail["Auto-Submitted"] == "auto-replied"
    plain = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert plain.startswith("An SMS of tell was not sent. Nothing was charged.") and "Fire 0" in plain


async def test_what_came_too_late_is_told_once_but_not_what_was_taken(house: House) -> None:
    """A mail that comes again after its time was sent: nobody is told otherwise."""
    mail = b"Message-ID: <%d@x>\nSubject: x\nDate: %s\n\n"
    taken, late = mail % (1, dated(house.now)), mail % (2, dated(house.now))
    assert (await house.mail(TELL, taken, "tell")).startswith("250")
    house.now += 3 * 3_600_000
    assert (await house.mail(TELL, taken, "tell")).startswith("250")
    for _ in range(3):
        assert (await house.mail(TELL, late, "tell")).startswith("550 5.4.7")
    assert [n.reason for n in await owed(house) if n.kind == "refused"] == ["device.too_old"]


async def test_without_replies_to_who_gets_the_digest_is_told(house: House) -> None:
    """Somebody looks after the service."""
    for n in range(2):
        await house.mail(MUTE, b"Subject: Fire %d\n\n" % n, "mute")
    assert [(n.kind, n.address) for n in await owed(house)] == [("refused", "boss@x.example")]


async def fail(house: House) -> None:
    """Let the carrier have all that waits, and the phones be gone."""
    claim = Claim(carrier="sim", owner="n", now=house.now, lease_ms=60_000, limit=50)
    for claimed in await house.store.claim(claim):
        assert await intend(house.store, claimed.mt, f"a-{claimed.mt.id}", now=house.now)
        taken = settlement(claimed.mt, "taken", Change(status=Status.ENROUTE), f"cid-{claimed.mt.id}")
        outcomes = tuple(replace(each, attempt_id=f"a-{claimed.mt.id}") for each in taken.outcomes)
        await house.store.settle(replace(taken, outcomes=outcomes, now=house.now))
        report = DeliveryReport(
            carrier="sim",
            carrier_message_id=f"cid-{claimed.mt.id}",
            status=Status.UNDELIVERABLE,
            at=house.now,
            event_id=claimed.mt.id,
            code="unknown_subscriber",
        )
        await house.store.record_report(report)


async def test_what_is_not_delivered_is_told_to_the_owner_and_reported_where_that_was_asked(
    house: House,
) -> None:
    """An email; a machine (or the server it sends by) that asked by NOTIFY gets a report, at its envelope's sender."""
    dsns = (Dsn(notify=("FAILURE",), envelope_id="Q1", ret="FULL"),)
    envelope = Envelope(
        client=TELL,
        mail_from="ups@plant.example",
        rcpts=(f"tell@{ACCOUNT}",),
        content=b"Subject: Fire\r\n\r\nzone 3\r\n",
        dsns=dsns,
    )
    assert (await house.receiver.mail(envelope))[0].startswith("250")
    await fail(house)
    notices = {(notice.kind, notice.address): notice for notice in await owed(house)}
    assert set(notices) == {("undelivered", "it@x.example"), ("dsn", "ups@plant.example")}
    report = await told(house, notices["dsn", "ups@plant.example"])
    assert report.get_content_type() == "multipart/report"
    raw = report.as_string()
    assert "Original-Envelope-Id: Q1" in raw and "Action: failed" in raw and "zone 3" in raw
    plain = await told(house, notices["undelivered", "it@x.example"])
    assert plain.get_content_type() == "multipart/alternative"


@pytest.mark.parametrize(("mail_from", "notify"), [("", ("FAILURE",)), ("ups@plant.example", ())])
async def test_no_report_where_none_was_asked_or_nobody_can_get_it(
    house: House, mail_from: str, notify: tuple[str, ...]
) -> None:
    """An empty sender has no mailbox."""
    envelope = Envelope(
        client=TELL,
        mail_from=mail_from,
        rcpts=(f"tell@{ACCOUNT}",),
        content=b"Subject: Fire\r\n\r\n",
        dsns=(Dsn(notify=notify),),
    )
    await house.receiver.mail(envelope)
    await fail(house)
    assert {(n.kind, n.address) for n in await owed(house)} == {("undelivered", "it@x.example")}


async def test_the_digest_tells_of_machines(house: House) -> None:
    """How many of their mails how many SMS told, and who is silent; whose message did not arrive; what was refused."""
    for _ in range(5):
        await house.says("On battery", after_s=1)
    for n in range(2):
        await house.mail(MUTE, b"Subject: Fire %d\n\n" % n, "mute")
    house.now += 60_000
    await fail(house)
    span = days.Span(account=ACCOUNT, since=house.now - 3_600_000, until=house.now + 3_600_000)
    day = await house.store.read(days.read_day, span)
    assert day.devices == (
        days.DeviceView(name="mute", mails=1, texts=1),
        days.DeviceView(name="ups-1", mails=5, texts=1),
    )
    assert {each.writer for each in day.failed} == {"mute", "ups-1"}
    assert day.refused == {"quota.user": 1}
    own = await house.store.read(days.read_day, replace(span, writer="it@x.example"))
    assert own.devices == ()
