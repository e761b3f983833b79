"""What is kept for so long is gone then, everywhere: searched for in the database's own file, or a dump of it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection, func, make_url, select

from mail2sms import inbound
from mail2sms.accept import Accept, Call
from mail2sms.alarm import Alarm, Storm
from mail2sms.heard import MoPart
from mail2sms.ids import conversation_of
from mail2sms.intake import reading
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.lifecycle import Change
from mail2sms.model import Dsn, MoMessage, Msisdn, Origin, Photo, Proof, Status
from mail2sms.retention import Retention
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.rules._limits import Limit, Quotas
from mail2sms.store import Blocking, Claim, NoticeClaim, NoticeOutcome, PartOutcome, Settlement, Store, views
from mail2sms.store.engine import is_sqlite, sqlite_path
from mail2sms.store.schema import metadata
from tests.fakes import ACCOUNT, OURS, bundle, submission, writer
from tests.store.test_store import intend
from tests.test_alarms import UPS, House, opened

DAY = 86_400_000
KEPT = {"photos": 30 * DAY, "texts": 90 * DAY, "records": 730 * DAY}
WORD, PHONE = "Kanarienvogel", Msisdn("+33639987351")
TALK = conversation_of(ACCOUNT, OURS, PHONE)
PHOTO = b"\x89PNG Kolibri"
MARIE = Client(ip="127.0.0.1")
STRICT = f"""\
From: marie@acme.example
Subject: {WORD} of the subject
Message-ID: <a@acme.example>
Disposition-Notification-To: marie@acme.example

To: {PHONE}

{WORD} of the template
"""


@pytest.fixture
async def house(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A house on each kind of database."""
    async with opened(database_url) as built:
        for module in (reading, inbound):
            monkeypatch.setattr(module, "now_ms", lambda: built.now)
        yield built


def raw(url: str) -> bytes:
    """Return all bytes of a database: the file when nobody has it open any more, or what pg_dump writes."""
    if is_sqlite(url):
        path = sqlite_path(url)
        return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    known = make_url(url)
    where = ["-h", known.host or "", "-p", str(known.port), "-U", known.username or "", known.database or ""]
    return subprocess.run(
        ["pg_dump", "--inserts", *where], check=True, capture_output=True, timeout=60
    ).stdout


def found(url: str, *wanted: bytes) -> dict[bytes, int]:
    """Return how often each stands there, as text or as PostgreSQL writes bytes."""
    content = raw(url)
    return {one: content.count(one) + content.count(one.hex().encode()) for one in wanted}


async def plant(house: House, now: int) -> None:
    """Bring the word and the number in by every way there is."""
    store = house.store
    for client, content, rcpt, dsns in (
        (MARIE, STRICT.encode(), "sms", (Dsn(notify=("SUCCESS", "FAILURE"), ret="FULL"),)),
        (
            MARIE,
            STRICT.replace("To:", "Tu:").replace("<a@", "<b@").encode(),
            "sms",
            (Dsn(notify=("FAILURE",)),),
        ),
        (UPS, f"Subject: {WORD} 1\n\n".encode(), "ups-1", ()),
        (UPS, f"Subject: {WORD} 2\n\n".encode(), "ups-1", ()),
        (UPS, f"Subject: {WORD} 2\n\n".encode(), "ups-1", ()),
    ):
        envelope = Envelope(
            client=client,
            mail_from="marie@acme.example",
            rcpts=(f"{rcpt}@{ACCOUNT}",),
            content=content,
            dsns=dsns,
        )
        assert (await house.receiver.mail(envelope))[0].startswith("250")
    quotas = Quotas(approval_above=(Limit(0, "messages", "mail"),), approvers=("it@acme.example",))
    countries = frozenset({"FR"})
    policy = Policy(countries=countries, sender_ids={"default": str(OURS)}, quotas=quotas)
    asked = submission(
        "m-api",
        writer=writer(proof=Proof.KEY, address="booking"),
        text=f"{WORD} by the API",
        recipients=(PHONE,),
        origin=Origin(source="api"),
        created_at=now,
        reference="order-1",
    )
    door = Accept(store, policy, [Route(to=("any",), via=("sim",))], DAY)
    call = Call(account=ACCOUNT, client="booking", key="k", fingerprint="f")
    await door.answer(asked, call, lambda verdict: f'{{"to": "{PHONE}", "items": {len(verdict.messages)}}}')
    storm = Storm(wait_ms=60_000, repeat_ms=60_000, words=dict.fromkeys(("alarms", "more"), "{last}"))
    for number in range(2):
        id_ = f"m-alarm-{number}"
        new = bundle(
            id_,
            text=f"{WORD} {number}",
            msisdn=PHONE,
            conversation=TALK,
            created_at=now,
            due_at=now,
            expires_at=now + DAY,
        )
        alarm = replace(new.submissions[0], alarm=Alarm(device="nas", storm=storm), recipients=(PHONE,))
        await store.put(replace(new, at=now, submissions=(alarm,)))
    said = {"carrier": "sim", "msisdn": PHONE, "to": OURS, "at": now}
    photo = Photo(name=f"{WORD}.png", media_type="image/png", content=PHOTO)
    await house.inbound.record(MoMessage(event_id="1", text=f"{WORD} of the phone", photos=(photo,), **said))
    await house.inbound.record(MoMessage(event_id="2", text="OK", **said))
    for reference, total in ((7, 2), (8, 3)):
        for number in (1, 2):
            text = f"{WORD} part {number}"
            await house.inbound.record(
                MoPart(reference=reference, total=total, number=number, text=text, **said)
            )


async def finish(house: House, now: int) -> None:
    """Let carriers have or refuse all that waits, saying it in their own words, and tell all that is owed."""
    store = house.store
    for view in await store.read(views.find, ACCOUNT, views.Search(limit=100)):
        await store.cancel(ACCOUNT, view.id, now)
    new = bundle(
        "m-said",
        text=f"{WORD} refused",
        msisdn=PHONE,
        conversation=TALK,
        created_at=now,
        due_at=now,
        expires_at=now + DAY,
    )
    await store.put(new)
    (claimed,) = await store.claim(Claim(carrier="sim-a", owner="n", now=now, lease_ms=60_000, limit=9))
    assert await intend(store, claimed.mt, now=now)
    change = Change(status=Status.REJECTED, reason="carrier.rejected", detail=f"21211 {WORD} to {PHONE}?")
    outcome = PartOutcome(attempt_id="a-1", outcome="refused", code="21211")
    await store.settle(Settlement(mt=claimed.mt, outcomes=(outcome,), change=change, now=now))
    house.now += 2 * 3_600_000
    await house.inbound.join_overdue()
    await store.block(Blocking(account=ACCOUNT, msisdn=PHONE, now=now, source="operator"))
    await store.erase_opted_out(ACCOUNT, PHONE)
    for later in (0, 4 * DAY):
        wanted = NoticeClaim(channel="email", owner="n", now=house.now + later, lease_ms=60_000, limit=100)
        while notices := await store.claim_notices(wanted):
            for notice in notices:
                await store.settle_notice(NoticeOutcome(notice=notice, status="sent", now=now))


async def sweep(url: str, now: int) -> None:
    """Do what the daemon does once a minute, as if it were then; and let go of the database."""
    store = await Store.open(url)
    await store.forget(now)
    await Retention(store, ACCOUNT, lambda: KEPT).sweep(now)
    await store.close()


async def test_texts_go_first_and_with_the_records_the_numbers(house: House, database_url: str) -> None:
    """What was planted in every table is there before, and nowhere after its time."""
    now = house.now
    words = (WORD.encode(), PHOTO, PHONE.encode(), PHONE[1:].encode())
    await plant(house, now)
    await finish(house, now)
    await house.store.close()
    before = found(database_url, *words)
    assert before[words[0]] >= 15 and before[words[1]] == 1 and before[words[2]] >= 10, before
    assert found(database_url, *words) == before, "the search changes nothing"
    await sweep(database_url, now + 29 * DAY)
    assert found(database_url, words[1])[words[1]] == 1, "not before its time"
    await sweep(database_url, now + 31 * DAY)
    after = found(database_url, *words)
    assert after[words[1]] == 0 and after[words[0]] > 0
    await sweep(database_url, now + 89 * DAY)
    assert found(database_url, words[0])[words[0]] > 0
    await sweep(database_url, now + 91 * DAY)
    after = found(database_url, *words)
    assert after[words[0]] == 0 and after[words[2]] > 0, after
    await sweep(database_url, now + 729 * DAY)
    assert found(database_url, words[2])[words[2]] > 0
    await sweep(database_url, now + 731 * DAY)
    assert found(database_url, *words) == dict.fromkeys(words, 0)
    store = await Store.open(database_url)
    assert await store.read(_counts) == {"setting", "opt_out", "audit", "device", "storm", "counter"} - {
        "counter"
    }
    await store.close()


def _counts(connection: Connection) -> set[str]:
    """Return which tables are not empty."""
    return {
        table.name
        for table in metadata.sorted_tables
        if connection.execute(select(func.count()).select_from(table)).scalar_one()
    }


async def test_what_is_not_over_keeps_its_text(house: House, database_url: str) -> None:
    """It is sent in a hundred days, to two phones: when the last of them is over its time begins."""
    now, late = house.now, house.now + 100 * DAY
    new = bundle("m-later", text=WORD, created_at=now, due_at=late, expires_at=late + DAY, reason="schedule")
    other = replace(
        new.messages[0], mt=replace(new.messages[0].mt, id="m-later-2", due_at=now, expires_at=now + DAY)
    )
    await house.store.put(replace(new, messages=(*new.messages, other)))
    await house.store.cancel(ACCOUNT, "m-later-2", now)
    keeping = Retention(house.store, ACCOUNT, lambda: KEPT)
    await keeping.sweep(now + 99 * DAY)
    (claimed,) = await house.store.claim(Claim(carrier="sim-a", owner="n", now=late, lease_ms=1000, limit=9))
    assert claimed.mt.text == WORD
    assert await intend(house.store, claimed.mt, now=late)
    outcome = PartOutcome(attempt_id="a-1", outcome="taken", carrier_message_id="x")
    change = Change(status=Status.ENROUTE)
    await house.store.settle(Settlement(mt=claimed.mt, outcomes=(outcome,), change=change, now=late))
    for days, text in ((189, WORD), (191, "")):
        await keeping.sweep(now + days * DAY)
        view = await house.store.read(views.read_one, ACCOUNT, "m-later")
        assert view is not None and view.text == text
    await keeping.sweep(now + 829 * DAY)
    assert await house.store.read(views.read_one, ACCOUNT, "m-later-2") is None
    assert await house.store.read(views.read_one, ACCOUNT, "m-later") is not None, "its own time is not over"
    await keeping.sweep(now + 831 * DAY)
    assert await house.store.read(views.find, ACCOUNT, views.Search()) == []
    await house.store.put(replace(new, id="m-new"))


async def test_two_nodes_sweep_the_same_log(house: House, database_url: str) -> None:
    """Neither is in the other's way, and a sweep that begins again goes on where it was."""
    now = house.now
    await asyncio.gather(
        *(
            house.store.put(
                bundle(f"m-{n:04}", text=f"{WORD} {n}", created_at=now, due_at=now, expires_at=now + DAY)
            )
            for n in range(600)
        )
    )
    for n in range(600):
        await house.store.cancel(ACCOUNT, f"m-{n:04}", now)
    await asyncio.gather(
        *(Retention(house.store, ACCOUNT, lambda: KEPT).sweep(now + 91 * DAY) for _ in range(2))
    )
    await house.store.close()
    assert found(database_url, WORD.encode()) == {WORD.encode(): 0}
