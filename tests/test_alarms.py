"""Machines' mails from SMTP to the queue: odd mails, storms, acknowledgement and silence, on both databases."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from mail2sms import config
from mail2sms.accept import Accept
from mail2sms.acknowledge import is_meant
from mail2sms.clock import now_ms
from mail2sms.config import derived
from mail2sms.inbound import Inbound
from mail2sms.intake import reading
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.lifecycle import after_uncertain
from mail2sms.media import Links
from mail2sms.model import MessageClass, MoMessage, Msisdn, Status
from mail2sms.pictures import Pictures
from mail2sms.store import Claim, NoticeClaim, Store, Vigil, views
from tests.config_cases import PATH, whole
from tests.fakes import ACCOUNT, NOW, bundle, mt

MAILS = Path(__file__).parent / "mails"
OURS = "+33639980100"
A, B = Msisdn("+33639981234"), Msisdn("+33639985678")
CONFIG = """\
teams: {oncall: {phones: ["+33639981234", "+33639985678"]}}
timezone: Europe/Paris
sender_ids: {default: "+33639980100"}
quiet_hours: {FR: "00:00-24:00"}
quiet_for: all
listen: {devices: {address: "127.0.0.1:2525"}}
devices:
  odd: {network: 10.0.0.1, to: oncall, max_parts: 1, text: "{subject}: {body|one_line}"}
  ups-1:
    {network: 10.0.0.2, to: oncall, text: "{subject}", wait: 30s, repeat: 30m, limit: 2/hour, replies_to: it@x.example}
  nas: {login: nas, password: "$argon2id$x", to: "+33639981234", expires: 2h, quota: 2/day}
  open: {network: 10.0.0.4, from: "*@plc.example"}
"""
ODD, UPS, NAS, OPEN = (
    Client(ip="10.0.0.1", helo="ups"),
    Client(ip="10.0.0.2"),
    Client(ip="198.51.100.7", login="nas"),
    Client(ip="10.0.0.4"),
)


@dataclass
class House:
    """The doors, as the daemon builds them, on an empty store. `now` is the clock of mails."""

    store: Store
    receiver: Receiver
    inbound: Inbound
    now: int = field(default_factory=now_ms)

    async def mail(self, client: Client, content: bytes, *rcpts: str, mail_from: str = "") -> str:
        """Return what is answered to a mail."""
        each = tuple(rcpt if "@" in rcpt else f"{rcpt}@{ACCOUNT}" for rcpt in rcpts)
        envelope = Envelope(client=client, mail_from=mail_from, rcpts=each, content=content)
        return (await self.receiver.mail(envelope))[0]

    async def says(self, subject: str, *, after_s: int = 0, id_: str = "") -> str:
        """Let the UPS say something some time later."""
        self.now += after_s * 1000
        message_id = f"Message-ID: <{id_}@ups-1>\n" if id_ else ""
        return await self.mail(UPS, f"Subject: {subject}\n{message_id}\nx\n".encode(), "ups-1")

    async def texts(self) -> list[str]:
        """Return what the first phone will be told, the oldest first."""
        found = await self.store.read(views.find, ACCOUNT, views.Search(to=A))
        return [view.text for view in sorted(found, key=lambda view: (view.created_at, view.id))]

    async def notices(self) -> list[tuple[str, str, str]]:
        """Return the emails that are owed: kind, to whom, why."""
        claim = NoticeClaim(channel="email", owner="n", now=self.now + 1000, lease_ms=1000, limit=50)
        return [(one.kind, one.address, one.reason) for one in await self.store.claim_notices(claim)]


@contextlib.asynccontextmanager
async def opened(
    url: str,
    extra: str = "",
    *,
    base: str = CONFIG,
    links: Links | None = None,
    pictures: Pictures | None = None,
) -> AsyncIterator[House]:
    """Build everything that a mail goes through; `extra` is more of the configuration."""
    settings = config.load(PATH, whole(base + extra))
    store = await Store.open(url)
    devices = derived.devices(settings)
    identity = Identity(settings.sender_rules(), {}, {}, account=ACCOUNT, devices=devices)
    policy, sandbox = derived.policy(settings), Sandbox()
    accept = Accept(store, policy, settings.route_table(), settings.validity, links)
    receiver = Receiver(derived.desk(settings), identity, accept, store, sandbox, pictures=pictures)
    told = derived.acknowledge(settings, policy)
    inbound = Inbound(store, ACCOUNT, {}, "", settings.reply_window, derived.consent(settings, policy), told)
    try:
        yield House(store, receiver, inbound)
    finally:
        await sandbox.close()
        identity.close()
        await store.close()


@pytest.fixture
async def house(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A house on each kind of database."""
    async with opened(database_url) as built:
        monkeypatch.setattr(reading, "now_ms", lambda: built.now)
        yield built


@pytest.fixture
async def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A house where the kind of database makes no difference."""
    async with opened(f"sqlite:///{tmp_path}/x.db") as built:
        monkeypatch.setattr(reading, "now_ms", lambda: built.now)
        yield built


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fire-panel-bare", "ALARM ZONE 3: ALARM ZONE 3 SMOKE DETECTOR 12 09:41:07"),
        ("nas-1970", "[nas] Volume 1 degraded: Volume 1 on nas is degraded: disk 3 failed."),
        (
            "ups-latin1",
            "ONDULEUR UPS-1: batterie déchargée: Événement : batterie déchargée à 20 % "
            "Durée estimée : 4 min Température : 41 C",
        ),
        ("printer-no-message-id", "Toner low: Toner black is low (5 %). Location: 2nd floor"),
        ("ups-html-only", "UPS-2: On battery: Event Input power failed Runtime 12 min Température 24 C"),
        ("fire-panel-bare-lf", "FIRE ZONE 4: FIRE ALARM ZONE 4 DETECTOR 17 STAIRCASE B 12/05/26 04:12"),
        ("nas-utf8-header", "Datenträger 3 ist überhitzt (61 C): Datenträger 3 ist überhitzt."),
        ("pbx-empty-subject", "Voicemail from +33 6 39 98 56 78, 0:42"),
        ("logger-long-line", "Temperature: " + "".join(f"CH{n:02}={n:2}.5C;" for n in range(1, 14)) + "C..."),
        ("scanner-no-body", "Paper jam in tray 2"),
        ("plc-padded", "PUMP 2 FAILURE: PUMP 2 FAILURE  PRESSURE 0.4 BAR"),
        ("recorder-encoded", "Dépassement T1: Dépassement T1 : 85 C, seuil 80 C"),
        ("cron-output", None),
        ("bounce", None),
        ("out-of-office", None),
        ("two-from", None),
    ],
)
async def test_whatever_a_machine_writes_is_sent(small: House, name: str, text: str | None) -> None:
    """No Message-ID, no Date, no MIME, automatic, without a sender, with two: it is known by its network."""
    reply = await small.mail(ODD, (MAILS / f"{name}.eml").read_bytes(), "sms")
    assert reply.startswith("250 2.0.0 m-")
    (sent,) = await small.texts()
    assert sent == (text or sent) and len(sent) <= 160


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"Subject: Door open\n\n", "Door open"),
        (b"Subject: Door open\n", "Door open"),
        (b"Content-Type: text/html\n\n<p>Door <b>open</b></p>", "Door open"),
        (b"Subject: Door\nContent-Type: image/jpeg\nContent-Transfer-Encoding: base64\n\nAAAA\n", "Door"),
        (b"\n\nDoor open\n", "Door open"),
        (b"\n\n", "odd"),
        (b"Subject: a\x07b\x00c\n\nx\x1b[31my", "a b c: x[31my"),
        (b"Subject: s\n\n" + b"word " * 100, "s: " + ("word " * 31).strip() + "..."),
    ],
)
async def test_an_alarm_is_never_lost_for_its_words(small: House, content: bytes, text: str) -> None:
    """Without subject, text or both; with what no phone shows; too long: cut at a word."""
    assert (await small.mail(ODD, content, "odd")).startswith("250 2.0.0 m-")
    (sent,) = await small.texts()
    assert " ".join(sent.split()) == text


async def test_where_it_goes(small: House) -> None:
    """To the phones that are set, whatever it writes to; without any, to the addresses; each in no hour quiet."""
    await small.mail(ODD, b"Subject: x\n\n", "33639989999", "oncall", "sms", "odd")
    found = await small.store.read(views.find, ACCOUNT, views.Search())
    assert {(view.to, view.reason) for view in found} == {(A, ""), (B, "")}
    assert (await small.mail(OPEN, b"From: a@plc.example\n\nx", "33639989999")).startswith("250")
    assert len(await small.store.read(views.find, ACCOUNT, views.Search(to=Msisdn("+33639989999")))) == 1


@pytest.mark.parametrize(
    ("client", "content", "rcpt", "reply"),
    [
        (Client(ip="10.0.0.9"), b"From: x@plc.example\n\nx", "odd", "550 5.7.1"),
        (OPEN, b"From: x@other.example\n\nx", "33639989999", "550 5.7.1"),  # not its From
        (OPEN, b"From: x@plc.example\n\nx", "odd", "550 5.1.3"),  # another device's mailbox names nobody
        (Client(ip="127.0.0.1"), b"From: marie@acme.example\n\nx", "odd", "550 5.1.1"),  # a person's mail
        (ODD, b"X-Mail2SMS-Message: m-1\n\nx", "odd", "550 5.7.1"),  # our own mail came back
        (Client(ip="10.0.0.1", login="marie@acme.example"), b"\n\nx", "odd", "550 5.7.1"),
    ],
)
async def test_who_is_no_device(small: House, client: Client, content: bytes, rcpt: str, reply: str) -> None:
    """A mailbox of a device is its own; who is not known gets nowhere."""
    assert (await small.mail(client, content, rcpt, mail_from="x@plc.example")).startswith(reply)
    assert await small.texts() == []


async def test_what_is_too_old_is_refused_but_not_what_was_taken(small: House) -> None:
    """A mail that comes again after its time hears that it was taken."""
    mail = b"Date: %s\nMessage-ID: <1@nas>\nSubject: x\n\n"
    at = small.now - 3_600_000
    first = mail % dated(at)
    assert (await small.mail(NAS, first, "nas")).startswith("250")
    (view,) = await small.store.read(views.find, ACCOUNT, views.Search())
    assert abs(view.expires_at - (at + 7_200_000)) <= 1000
    small.now += 7_200_000
    assert (await small.mail(NAS, first, "nas")).startswith(f"250 2.0.0 {view.id}")
    late = first.replace(b"<1@", b"<2@")
    assert (await small.mail(NAS, late, "nas")).startswith(
        "550 5.4.7 this was written 3h ago, and what is older than 2h"
    )


def dated(at: int) -> bytes:
    """Return a Date."""
    return format_datetime(datetime.fromtimestamp(at / 1000, UTC)).encode()


async def test_a_device_has_its_quota(small: House) -> None:
    """And hears so itself."""
    replies = [await small.mail(NAS, b"Subject: %d\n\n" % n, "nas") for n in range(3)]
    assert [reply[:9] for reply in replies] == ["250 2.0.0", "250 2.0.0", "550 5.7.1"]
    assert await small.notices() == []


async def test_a_storm_is_told_together(house: House) -> None:
    """What comes while the first still waits joins it, unless it came before; each phone is told the same."""
    replies = {await house.says(f"Zone {n}", after_s=1, id_=str(n)) for n in range(12)}
    assert await house.says("Zone 5", id_="5") in replies
    assert len(replies) == 1
    (text,) = await house.texts()
    assert text == "ups-1: 12 alarms in 11 s\nFirst: Zone 0\nLast: Zone 11"
    views_ = await house.store.read(views.find, ACCOUNT, views.Search())
    assert {(view.to, view.text, view.reason) for view in views_} == {(A, text, "storm"), (B, text, "storm")}


async def test_what_is_being_sent_is_joined_no_more(house: House) -> None:
    """One phone's message was claimed: what comes is told by another SMS, to both."""
    await house.says("Zone 1")
    claim = Claim(carrier="sim", owner="n", now=house.now + 30_000, lease_ms=60_000, limit=1)
    assert len(await house.store.claim(claim)) == 1
    await house.says("Zone 2", after_s=1)
    assert await house.texts() == ["Zone 1", "Zone 2"]


async def test_one_cancelled_phone_keeps_no_others_from_joining(house: House) -> None:
    """The operator cancelled one phone's message."""
    first = (await house.says("Zone 1")).split()[2]
    await house.store.cancel(ACCOUNT, f"{first}-2", house.now)
    await house.says("Zone 2", after_s=1)
    assert await house.texts() == ["ups-1: 2 alarms in 1 s\nFirst: Zone 1\nLast: Zone 2"]


async def test_the_same_is_said_once_and_counted(house: House) -> None:
    """Until it is sent again: then with how often it was left out."""
    first = await house.says("On battery")
    for _ in range(3):
        assert await house.says("On battery", after_s=60) == first
    await house.says("On battery", after_s=1800)
    texts = await house.texts()
    assert texts[0] == "On battery"
    assert texts[1].startswith("On battery (3 more since ")


async def test_above_the_limit_one_sms_says_how_many(house: House) -> None:
    """When the hour ends."""
    house.now = house.now - house.now % 3_600_000 + 60_000
    for n in range(9):
        await house.says(f"Zone {n}", after_s=40)
    *sent, more = sorted(
        await house.store.read(views.find, ACCOUNT, views.Search(to=A)), key=lambda view: view.due_at
    )
    assert [view.text for view in sent] == ["Zone 0", "Zone 1"]
    assert more.text.startswith("ups-1: 7 more alarms until ")
    assert more.text.endswith("\nLast: Zone 8")
    assert more.due_at % 3_600_000 == 0


async def test_many_at_once_are_all_counted(house: House) -> None:
    """In one batch of the writer, too."""
    await asyncio.gather(*(house.says(f"Zone {n}", id_=str(n)) for n in range(50)))
    (text,) = await house.texts()
    assert text.startswith("ups-1: 50 alarms in 1 s")


async def test_ok_acknowledges(house: House) -> None:
    """The others are told who, the owner by an email; the same alarm is quiet until it has stopped for a while."""
    await house.says("On battery")
    await house.says("Low battery", after_s=1)
    await answer(house, "Ok!", "1")
    (told,) = [text for phone, text in await both(house) if phone == B and "taking care" in text]
    assert told == "ups-1: +33 6 39 98 12 34 is taking care of it\n" + (await house.texts())[0]
    assert await house.notices() == [("reply", "it@x.example", "alarm.acknowledged")]
    for _ in range(4):
        await house.says("Low battery", after_s=1500)
    assert len(await house.texts()) == 1
    await house.says("Low battery", after_s=1801)
    assert len(await house.texts()) == 2


async def test_the_second_ok_tells_nobody(house: House) -> None:
    """But the owner."""
    await house.says("On battery")
    await answer(house, "ok", "1")
    await answer(house, "OK", "2", phone=B)
    assert sum("taking care" in text for _, text in await both(house)) == 1
    assert len(await house.notices()) == 2


@pytest.mark.parametrize(
    ("text", "is_ok"),
    [
        ("OK", True),
        (" ok. ", True),
        ("Okay", True),
        ("ack", True),
        ("ok?? who", False),
        ("OK?", False),
        ("no", False),
        ("👍", True),
        ("👍🏽 ", True),
        ("👍👍!", True),
        ("👌\ufe0f", True),
        ("OK 👍", True),
        ("ok 👎", False),
        ("👎", False),
        ("👍 mais qui ?", False),
        ("🙂", False),
        ("!", False),
        ("Vu", True),
        ("Reçu.", True),
        ("bien recu", True),
        ("Pris !", True),
        ("Je m’en occupe", True),
        ("vu hier", False),
        ("pas vu", False),
        ("j’ai pris un taxi", False),
        ("Gesehen", True),
        ("verstanden!", True),
        ("Übernommen", True),
        ("uebernommen", True),
        ("nicht verstanden", False),
        ("Ricevuto", True),
        ("VISTO", True),
        ("Ci penso io", True),
        ("non visto", False),
        ("got it", True),
        ("", False),
    ],
)
def test_what_means_ok(text: str, is_ok: bool) -> None:
    """The whole text."""
    mo = MoMessage(carrier="sim", event_id="1", msisdn=A, to=OURS, at=NOW, text=text)
    assert is_meant(mo) is is_ok


async def answer(house: House, text: str, id_: str, phone: Msisdn = A) -> None:
    """Let a phone answer."""
    await house.inbound.record(
        MoMessage(carrier="sim", event_id=id_, msisdn=phone, to=OURS, at=house.now, text=text)
    )


async def both(house: House) -> list[tuple[str, str]]:
    """Return who is told what."""
    found = await house.store.read(views.find, ACCOUNT, views.Search())
    return [(view.to, view.text) for view in found]


async def test_silence_is_told_once_and_so_is_the_return(house: House) -> None:
    """Time when nobody listened does not count."""
    minute = 60_000

    async def look() -> bool:
        vigil = Vigil(
            account=ACCOUNT,
            name="ups-1",
            silent_ms=10 * minute,
            to="it@x.example",
            now=house.now,
            most_ms=2 * minute,
        )
        return await house.store.watch(vigil)

    await house.says("Test")
    seen = []
    for step in (1, 1000, *[1] * 8):  # the daemon was down for 1,000 minutes
        house.now += step * minute
        seen.append(await look())
    assert seen == [False] * 8 + [True, False]
    await house.says("Back", after_s=minute // 1000)
    await house.says("Back again", after_s=1)
    assert [notice[:2] for notice in await house.notices()] == [
        ("silent", "it@x.example"),
        ("back", "it@x.example"),
    ]


async def test_alarms_go_first(house: House) -> None:
    """However long others have waited."""
    for n in range(5):
        await house.store.put(
            bundle(f"m-bulk-{n}", due_at=NOW - 1000, expires_at=NOW + 10**12, route=("sim",))
        )
    await house.mail(ODD, b"Subject: fire\n\n", "odd")
    claim = Claim(carrier="sim", owner="n", now=house.now, lease_ms=60_000, limit=3)
    first = await house.store.claim(claim)
    assert [claimed.mt.class_ for claimed in first].count(MessageClass.ALARM) == 2
    assert len(first) == 3


@pytest.mark.parametrize(
    ("class_", "status"), [(MessageClass.ALARM, Status.QUEUED), (MessageClass.TRANSACTIONAL, Status.UNKNOWN)]
)
def test_an_alarm_rather_comes_twice_than_never(class_: MessageClass, status: Status) -> None:
    """Whatever on_unknown says of others; once."""
    message: Any = mt(class_=class_)
    assert after_uncertain(message, "", NOW, "hold").status is status
