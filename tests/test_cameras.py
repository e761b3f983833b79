"""Pictures of machines, from SMTP to the queue: how they go to each phone, in storms, and what never keeps an alarm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest

from mail2sms import segments
from mail2sms.carriers._picture import sunset
from mail2sms.intake import enclosed, reading
from mail2sms.intake.envelope import Client
from mail2sms.media import Links
from mail2sms.model import Msisdn
from mail2sms.pictures import Pictures as Worker
from mail2sms.store import MessageView, Search, views
from mail2sms.store.media import read_picture, read_pictures
from tests import test_alarms as alarms
from tests.fakes import ACCOUNT
from tests.test_alarms import House, answer, both
from tests.test_pictures import picture

US, FR = Msisdn("+12025550123"), Msisdn("+33639981234")
LINKS = Links(base="https://sms.acme.example", secret=b"s" * 32, valid_ms=14 * 86_400_000)
CONFIG = """\
countries: [US, FR]
teams: {oncall: {phones: ["+12025550123", "+33639981234"]}}
sender_ids: {default: "+33639980100"}
listen:
  devices: {address: "127.0.0.1:2525"}
  web: {address: "127.0.0.1:8025", url: "http://127.0.0.1:8025"}
carriers:
  sim: {type: simulated, price: {US: 0.01 EUR, FR: 0.05 EUR}, mms_price: {US: 0.03 EUR}}
devices:
  cam:
    {network: 10.0.0.1, to: oncall, text: "{subject}", pictures: link, wait: 30s, repeat: 30m, limit: 2/hour,
     max_parts: 2, replies_to: it@x.example}
  mms: {network: 10.0.0.2, to: oncall, text: "{subject}", pictures: mms, quota: 3/day}
  off: {network: 10.0.0.3, to: oncall, text: "{subject}"}
  tiny: {network: 10.0.0.4, to: "+33639981234", text: "{subject}", pictures: link, max_parts: 1}
"""
CAM, MMS, OFF, TINY = (Client(ip=f"10.0.0.{n}") for n in (1, 2, 3, 4))
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def opened(url: str) -> AbstractAsyncContextManager[House]:
    """Build everything that a camera's mail goes through."""
    return alarms.opened(url, base=CONFIG, links=LINKS, pictures=Worker())


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


def snapshot(
    subject: str,
    *files: bytes,
    kind: str = "image/png",
    name: str = "snap.png",
    text: str | None = "Camera 1",
) -> bytes:
    """Return a camera's mail."""
    made = EmailMessage(policy=SMTP)
    made["Subject"] = subject
    if text is not None:
        made.set_content(text)
    for content in files:
        main, _, sub = kind.partition("/")
        made.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return made.as_bytes()


async def says(house: House, client: Client, content: bytes, *, after_s: int = 0) -> str:
    """Let a machine send a mail some time later; return the reply."""
    house.now += after_s * 1000
    return await house.mail(client, content, "oncall")


async def found(house: House) -> dict[Msisdn, list[MessageView]]:
    """Return what each phone gets, the oldest first."""
    every = await house.store.read(views.find, ACCOUNT, Search())
    every = sorted(every, key=lambda view: (view.created_at, view.id))
    return {phone: [view for view in every if view.to == phone] for phone in (US, FR)}


async def test_a_snapshot_goes_to_each_phone_as_it_can(house: House) -> None:
    """As MMS, else by a link, stored with the message; nothing is left out."""
    assert (await says(house, CAM, snapshot("Motion", sunset()))).startswith("250 2.0.0 m-")
    by_phone = await found(house)
    (us,), (fr,) = by_phone[US], by_phone[FR]
    assert (us.media, us.text, us.parts, str(us.cost), us.left_out) == ("mms", "Motion", 1, "0.03 EUR", ())
    assert (fr.media, fr.parts, str(fr.cost)) == ("link", 1, "0.05 EUR")
    assert fr.text.startswith("Motion\nhttps://sms.acme.example/p/")
    assert await house.store.read(read_pictures, us.submission) == ("image/png",)


async def test_what_cannot_go_as_mms_is_left_out(small: House) -> None:
    """With `pictures: mms`, and the text goes."""
    await says(small, MMS, snapshot("Motion", sunset()))
    by_phone = await found(small)
    assert [view.media for view in by_phone[US] + by_phone[FR]] == ["mms", ""]
    assert by_phone[FR][0].text == "Motion"


async def test_no_picture_goes_that_nobody_asked_for(small: House) -> None:
    """The default."""
    await says(small, OFF, snapshot("Motion", sunset()))
    by_phone = await found(small)
    assert [view.media for view in by_phone[US] + by_phone[FR]] == ["", ""]
    assert [left.kind for left in by_phone[US][0].left_out] == ["attachment"]


async def test_a_storm_shows_the_picture_of_its_first(house: House) -> None:
    """Whose price is reserved: the text tells all, the link and the one part of an MMS stay."""
    first = await says(house, CAM, snapshot("Motion 1", picture("PNG", (90, 60))))
    link = (await found(house))[FR][0].text.split("\n")[1]
    for n in (2, 3):
        assert await says(house, CAM, snapshot(f"Motion {n}", sunset()), after_s=1) == first
    by_phone = await found(house)
    (us,), (fr,) = by_phone[US], by_phone[FR]
    told = "cam: 3 alarms in 2 s\nFirst: Motion 1\nLast: Motion 3"
    assert (us.text, us.media, us.parts, str(us.cost)) == (told, "mms", 1, "0.03 EUR")
    assert (fr.text, fr.media, str(fr.cost)) == (f"{told}\n{link}", "link", "0.05 EUR")
    (kind,) = await house.store.read(read_pictures, us.submission)
    kept = await house.store.read(read_picture, us.submission, 1)
    assert kept is not None
    assert (kind, len(kept.content) < len(sunset())) == ("image/png", True)


async def test_only_the_first_of_a_storm_is_drawn(small: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' pictures would keep their texts waiting for nothing."""
    drawn: list[int] = []
    fit = Worker.fit

    async def counted(self: Worker, pictures: Sequence[bytes], *more: Any) -> Any:
        drawn.append(len(pictures))
        return await fit(self, pictures, *more)

    monkeypatch.setattr(Worker, "fit", counted)
    for n in range(3):
        await says(small, CAM, snapshot(f"Motion {n}", sunset()), after_s=1)
    assert drawn == [1]
    await says(small, CAM, snapshot("Motion 4", sunset()), after_s=30)
    assert drawn == [1, 1]
    assert [view.media for view in (await found(small))[US]] == ["mms", "mms"]


async def test_an_sms_that_waits_without_a_picture_gets_none(house: House) -> None:
    """It was counted, routed and priced as an SMS."""
    await says(house, CAM, snapshot("Motion 1"))
    await says(house, CAM, snapshot("Motion 2", sunset()), after_s=1)
    by_phone = await found(house)
    for view in by_phone[US] + by_phone[FR]:
        assert (view.media, view.text) == ("", "cam: 2 alarms in 1 s\nFirst: Motion 1\nLast: Motion 2")
        assert await house.store.read(read_pictures, view.submission) == ()


@pytest.mark.parametrize("length", [20, 150, 400])
async def test_a_fold_with_a_link_needs_no_more_parts_than_its_first(small: House, length: int) -> None:
    """However long its alarms are, and the link is whole."""
    first, last = "a" * length, "b" * 400
    await says(small, CAM, snapshot(first, sunset()))
    before = {phone: each[0] for phone, each in (await found(small)).items()}
    for n in range(3):
        await says(small, CAM, snapshot(f"{last} {n}", sunset()), after_s=1)
    after = {phone: each[0] for phone, each in (await found(small)).items()}
    assert after[US].parts == before[US].parts == 1
    assert after[FR].parts <= before[FR].parts <= 2
    assert segments.count(after[FR].text) == after[FR].parts
    assert after[FR].text.split("\n")[-1] == before[FR].text.split("\n")[-1]
    assert "4 alarms" in after[FR].text


async def test_the_same_said_again_is_left_out_though_its_link_would_differ(house: House) -> None:
    """And when it is sent again, it says how often, with its own picture."""
    await says(house, CAM, snapshot("Motion", sunset()))
    for _ in range(2):
        await says(house, CAM, snapshot("Motion", sunset()), after_s=60)
    assert len((await found(house))[FR]) == 1
    await says(house, CAM, snapshot("Motion", sunset()), after_s=1800)
    one, two = (await found(house))[FR]
    assert two.text.startswith("Motion (2 more since ")
    assert two.text.split("\n")[-1] not in one.text
    assert (await found(house))[US][1].media == "mms"


async def test_above_the_limit_one_shows_the_first_of_the_others(house: House) -> None:
    """As a fold does."""
    house.now = house.now - house.now % 3_600_000 + 60_000
    for n in range(5):
        await says(house, CAM, snapshot(f"Motion {n}", sunset()), after_s=40)
    *_, us = sorted((await found(house))[US], key=lambda view: view.due_at)
    *_, fr = sorted((await found(house))[FR], key=lambda view: view.due_at)
    assert (us.media, us.parts) == ("mms", 1)
    assert us.text.startswith("cam: 3 more alarms until ")
    assert fr.text == f"{us.text}\n{fr.text.split(chr(10))[-1]}"
    assert await house.store.read(read_pictures, fr.submission) == ("image/png",)


async def test_who_acknowledges_is_told_of_without_the_link(house: House) -> None:
    """The others have it."""
    await says(house, CAM, snapshot("Motion", sunset()))
    await answer(house, "OK", "1", phone=FR)
    told = [text for phone, text in await both(house) if phone == US and "taking care" in text]
    assert told == ["cam: +33 6 39 98 12 34 is taking care of it\nMotion"]


async def test_an_mms_counts_in_the_quota(small: House) -> None:
    """As what it is, one message to each phone."""
    replies = [await says(small, MMS, snapshot(f"Motion {n}", sunset())) for n in range(2)]
    assert [reply[:9] for reply in replies] == ["250 2.0.0", "550 5.7.1"]


@pytest.mark.parametrize(
    ("content", "kind", "name", "reason"),
    [
        (HEIC, "image/heic", "IMG_1.HEIC", "media.heic"),
        (b"no picture", "image/jpeg", "snap.jpg", "media.unreadable"),
        (b"\0\0\0\x18ftypisom", "video/mp4", "clip.mp4", "media.video"),
        (b"\0\0\0\x18ftypisom", "application/octet-stream", "clip.MP4", "media.video"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomavc1", "image/jpeg", "snap.jpg", "media.video"),
    ],
)
async def test_an_alarm_is_never_lost_for_its_picture(
    small: House, content: bytes, kind: str, name: str, reason: str
) -> None:
    """The text goes; the reply says why alone, and who looks after it is told, once a day."""
    mail = snapshot("Motion", content, kind=kind, name=name)
    reply = await says(small, CAM, mail)
    assert reply.startswith("250 2.0.0 m-")
    assert " sent without a picture: " in reply
    assert name in reply
    assert [view.media for view in (await found(small))[US]] == [""]
    await says(small, CAM, snapshot("Motion again", content, kind=kind, name=name), after_s=60)
    assert await small.notices() == [("refused", "it@x.example", reason)]


async def test_a_clip_alone_is_told_of_too(small: House) -> None:
    """The subject goes; where no picture is wanted, nobody hears of it."""
    clip = snapshot("Motion", b"clip", kind="video/mp4", name="clip.mp4", text=None)
    assert "clip.mp4" in await says(small, CAM, clip)
    assert [view.text for view in (await found(small))[US]] == ["Motion"]
    assert await small.notices() == [("refused", "it@x.example", "media.video")]
    assert "clip.mp4" not in await says(small, OFF, clip)


async def test_of_several_pictures_those_go_that_can(small: House) -> None:
    """A clip beside the snapshot keeps nobody from seeing that, and nobody is told of it."""
    made = EmailMessage(policy=SMTP)
    made["Subject"] = "Motion"
    made.set_content("x")
    for kind, content in (("jpeg", b"broken"), ("png", sunset())):
        made.add_attachment(content, maintype="image", subtype=kind, filename=f"snap.{kind}")
    made.add_attachment(b"clip", maintype="video", subtype="mp4", filename="clip.mp4")
    reply = await says(small, CAM, made.as_bytes())
    (us,) = (await found(small))[US]
    assert (us.media, reply) == ("mms", f"250 2.0.0 {us.id}")
    assert len(await small.store.read(read_pictures, us.submission)) == 1
    assert await small.notices() == []


async def test_an_alarm_does_not_wait_for_its_picture(small: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for those of others that are being drawn."""
    monkeypatch.setattr(enclosed, "_PATIENCE_S", 0.0)
    assert (await says(small, CAM, snapshot("Motion", sunset()))).startswith("250 2.0.0 m-")
    assert [view.media for view in (await found(small))[US]] == [""]


async def test_many_at_once_are_all_told(small: House) -> None:
    """More than may wait for their pictures."""
    mails = (says(small, CAM, snapshot(f"Motion {n}", sunset())) for n in range(40))
    assert {reply[:9] for reply in await asyncio.gather(*mails)} == {"250 2.0.0"}
    (us,) = (await found(small))[US]
    assert us.text.startswith("cam: 40 alarms in ")


async def test_what_the_page_shows_is_meant_where_nothing_is_enclosed(small: House) -> None:
    """As many machines write: a page with its picture in it, and no words."""
    made = EmailMessage(policy=SMTP)
    made["Subject"] = "Motion"
    made.set_content('<img src="cid:1@cam">', subtype="html")
    made.add_related(sunset(), "image", "png", cid="<1@cam>", filename="snap.png")
    assert (await says(small, CAM, made.as_bytes())).startswith("250 2.0.0 m-")
    (us,) = (await found(small))[US]
    assert (us.media, us.text, us.left_out) == ("mms", "Motion", ())


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("a" * 60, "a" * 60),
        ("word " * 30, ("word " * 18).strip() + "..."),  # cut for the link
        ("д" * 60, ""),  # in Unicode next to nothing would be left
        ("short д", ""),
    ],
)
async def test_the_words_are_worth_more_than_the_link(small: House, subject: str, text: str) -> None:
    """An alarm of one part is cut for it, but not to nothing."""
    await small.mail(TINY, snapshot(subject, sunset()), "tiny")
    (fr,) = (await found(small))[FR]
    assert fr.parts == 1
    if text:
        assert (fr.media, fr.text.split("\n")[0]) == ("link", text)
        assert len(fr.text.split("\n")[1]) == len("https://sms.acme.example/p/") + 38
    else:
        assert (fr.media, fr.text) == ("", subject)
