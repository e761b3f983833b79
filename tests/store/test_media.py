"""Files of phones and pictures of mails in the store, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mail2sms.ids import conversation_of
from mail2sms.media import LINK, MMS
from mail2sms.model import Media, MoMessage, Photo
from mail2sms.store import (
    Bundle,
    Claim,
    Fetched,
    MediaClaim,
    NewMessage,
    NewMo,
    NoticeClaim,
    Search,
    Store,
    Wanted,
)
from mail2sms.store.media import HELD_MS, PATIENCE_MS, read_picture, read_pictures
from mail2sms.store.mo_views import MoView, read_mo
from mail2sms.store.retention import PHOTOS, TEXTS, Sweep
from mail2sms.store.views import find, read_one
from tests.fakes import ACCOUNT, NOW, OURS, PHONE, bundle, mt, submission

FILES = (Media(url="https://a.example/1"), Media(url="https://a.example/2"))
PHOTO = Photo(name="", media_type="image/jpeg", content=b"\xff\xd8\xff one")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = await Store.open(database_url)
    yield opened
    await opened.close()


async def arrived(store: Store, event_id: str = "e-1", **changes: object) -> str:
    """Store a text that came with files; return its id."""
    values = {"carrier": "tw", "event_id": event_id, "msisdn": PHONE, "to": OURS, "at": NOW, "text": "Look"}
    mo = MoMessage(**{**values, "media": FILES, **changes})  # type: ignore[arg-type]
    talk = conversation_of(ACCOUNT, OURS, PHONE)
    new = NewMo(
        mo=mo,
        account=ACCOUNT,
        conversation=talk,
        reply_key="abcdefghij",
        now=NOW,
        window_ms=1000,
        owner="marie@acme.example",
    )
    return (await store.record_mo(new)).id


async def due(store: Store, now: int = NOW) -> list[Wanted]:
    """Take what is to be fetched."""
    return await store.claim_media(MediaClaim(account=ACCOUNT, now=now, limit=10))


async def told(store: Store, now: int) -> list[str]:
    """Return the texts that emails tell of now."""
    wanted = NoticeClaim(channel="email", owner="node", now=now, lease_ms=60_000, limit=10)
    return [notice.mo or "" for notice in await store.claim_notices(wanted)]


async def view(store: Store, id_: str) -> MoView:
    """Return the text with what came with it."""
    found = await store.read(read_mo, id_, "marie@acme.example")
    assert found is not None
    return found


async def test_a_text_with_files_is_told_when_all_are_there(store: Store) -> None:
    """Not before; and its email has them."""
    id_ = await arrived(store)
    first, second = await due(store)
    assert (first.url, first.carrier, first.attempts) == ("https://a.example/1", "tw", 1)
    assert await store.settle_media(Fetched(wanted=first, now=NOW, photo=PHOTO)) == "fetched"
    assert await told(store, NOW) == []
    assert await store.settle_media(Fetched(wanted=second, now=NOW + 5, photo=PHOTO)) == "fetched"
    assert await told(store, NOW + 5) == [id_]
    found = await view(store, id_)
    assert [photo.content for photo in found.photos] == [PHOTO.content] * 2
    assert found.lost == 0


async def test_a_file_that_is_given_up_is_told(store: Store) -> None:
    """The text is not lost with it."""
    id_ = await arrived(store)
    first, second = await due(store)
    await store.settle_media(Fetched(wanted=first, now=NOW, photo=PHOTO))
    assert await store.settle_media(Fetched(wanted=second, now=NOW, why="size")) == "failed"
    assert await told(store, NOW) == [id_]
    found = await view(store, id_)
    assert (len(found.photos), found.lost) == (1, 1)


async def test_a_file_is_tried_again_when_it_is_due(store: Store) -> None:
    """And by nobody else while one tries."""
    await arrived(store)
    first, _ = await due(store)
    assert await due(store) == []
    again = Fetched(wanted=first, now=NOW, why="unavailable", due_at=NOW + 5_000)
    assert await store.settle_media(again) == "queued"
    assert await due(store, NOW + 4_999) == []
    (found,) = await due(store, NOW + 5_000)
    assert (found.id, found.attempts) == (first.id, 2)


async def test_what_a_crash_left_is_tried_again(store: Store) -> None:
    """Who took it is gone: in a minute and a half it is anybody's."""
    await arrived(store)
    assert len(await due(store)) == 2
    assert len(await due(store, NOW + 90_000)) == 2


async def test_a_clock_set_back_lets_nothing_wait(store: Store) -> None:
    """What is due in a day was written before the clock was set back."""
    await arrived(store)
    assert len(await due(store, NOW - 86_400_000)) == 2


async def test_a_settled_file_stays_as_it_is(store: Store) -> None:
    """Two may have fetched it."""
    id_ = await arrived(store)
    first, second = await due(store)
    await store.settle_media(Fetched(wanted=second, now=NOW, photo=PHOTO))
    await store.settle_media(Fetched(wanted=first, now=NOW, photo=PHOTO))
    other = replace(PHOTO, content=b"\xff\xd8\xff two")
    await store.settle_media(Fetched(wanted=first, now=NOW, photo=other))
    await store.settle_media(Fetched(wanted=first, now=NOW, why="gone"))
    assert {photo.content for photo in (await view(store, id_)).photos} == {PHOTO.content}


async def test_an_email_holds_15_megabytes(store: Store) -> None:
    """More of them are not kept: no mail server would take it."""
    id_ = await arrived(store)
    first, second = await due(store)
    large = replace(PHOTO, content=b"\xff\xd8\xff" + bytes(8_000_000))
    assert await store.settle_media(Fetched(wanted=first, now=NOW, photo=large)) == "fetched"
    assert await store.settle_media(Fetched(wanted=second, now=NOW, photo=large)) == "failed"
    assert (await view(store, id_)).lost == 1


async def test_with_nobody_to_fetch_the_text_is_told_all_the_same(store: Store) -> None:
    """A day later, without its files."""
    id_ = await arrived(store)
    assert await told(store, NOW + HELD_MS - 1) == []
    assert await told(store, NOW + HELD_MS) == [id_]


async def test_a_text_without_files_waits_for_nothing(store: Store) -> None:
    """As ever."""
    id_ = await arrived(store, media=())
    assert await told(store, NOW) == [id_]
    assert await due(store) == []


async def test_a_repeat_is_fetched_once(store: Store) -> None:
    """A carrier that brings its webhook again."""
    assert await arrived(store) == await arrived(store)
    assert len(await due(store)) == 2


async def test_settled_files_are_forgotten_and_texts_are_not(store: Store) -> None:
    """What was fetched belongs to the text."""
    id_ = await arrived(store)
    for wanted in await due(store):
        await store.settle_media(Fetched(wanted=wanted, now=NOW, photo=PHOTO))
    assert await store.forget(NOW + HELD_MS + 1) == 2
    assert len((await view(store, id_)).photos) == 2
    assert await store.forget(NOW + PATIENCE_MS) == 0


# Ours


def mail(*ways: str) -> Bundle:
    """Return a mail with two pictures, one message for each way that they go."""
    pictures = tuple(Photo(name=f"photo-{n}.jpg", media_type="image/jpeg", content=b"%d" % n) for n in (1, 2))
    texts = {LINK: "Bonjour\nhttps://sms.acme.example/p/1/2"}
    news = tuple(
        NewMessage(
            mt=mt(f"m-1-{n}", submission="m-1", media=way, text=texts.get(way, "Bonjour")),
            reply_key="abcdefghij",
        )
        for n, way in enumerate(ways)
    )
    return replace(bundle("m-1"), submissions=(submission("m-1", pictures=pictures),), messages=news)


async def test_each_phone_gets_its_own(store: Store) -> None:
    """MMS with its pictures, a link in the text, or the text alone, of one mail."""
    await store.put(mail(MMS, LINK, ""))
    claimed = await store.claim(Claim(carrier="sim-a", owner="n", now=NOW, lease_ms=9_000, limit=9))
    by_way = {each.mt.media: each.mt for each in claimed}
    assert by_way[MMS].pictures == ("image/jpeg", "image/jpeg")
    assert by_way[LINK].text == "Bonjour\nhttps://sms.acme.example/p/1/2"
    assert by_way[""].text == by_way[MMS].text == "Bonjour"
    assert by_way[""].pictures == by_way[LINK].pictures == ()
    shown = await store.read(read_one, ACCOUNT, by_way[LINK].id)
    assert shown is not None
    assert (shown.media, shown.text) == (LINK, by_way[LINK].text)
    assert await store.read(read_pictures, "m-1") == ("image/jpeg", "image/jpeg")
    second = await store.read(read_picture, "m-1", 2)
    assert second is not None
    assert second.content == b"2"
    assert await store.read(read_picture, "m-1", 3) is None


async def test_pictures_that_go_nowhere_are_not_kept(store: Store) -> None:
    """What nobody is sent is nobody's business."""
    await store.put(mail(""))
    assert await store.read(read_pictures, "m-1") == ()


async def test_pictures_are_kept_as_long_as_photos(store: Store) -> None:
    """And as long as a message of their mail waits."""
    await store.put(mail(MMS, LINK))
    late = NOW + 40 * 86_400_000

    async def sweep(kind: str, now: int = late) -> None:
        wanted = Sweep(account=ACCOUNT, kind=kind, before=NOW + 1, now=now)
        while await store.sweep(wanted):
            pass

    async def texts() -> set[str]:
        return {view.text for view in await store.read(find, ACCOUNT, Search())}

    await sweep(PHOTOS)
    assert len(await store.read(read_pictures, "m-1")) == 2, "it is still queued"
    await store.expire(late)
    after = late + 86_400_000
    wanted = Sweep(account=ACCOUNT, kind=PHOTOS, before=after, now=after)
    while await store.sweep(wanted):
        pass
    assert await store.read(read_pictures, "m-1") == ()
    assert await texts() == {"Bonjour", "Bonjour\nhttps://sms.acme.example/p/1/2"}
    while await store.sweep(replace(wanted, kind=TEXTS)):
        pass
    assert await texts() == {""}
