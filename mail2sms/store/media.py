"""What came with texts from phones and is fetched from their carriers, and the pictures of ours that others fetch.

Until it is fetched, the content of a file is its URL; then it is the file. The email that tells of the text waits
until all of its files are there, or will not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from mail2sms.media import LINK, MMS
from mail2sms.model import Media, MtMessage, Photo, Submission
from mail2sms.store import schema
from mail2sms.store.inserts import insert_rows
from mail2sms.store.rows import content_row, linked_id
from mail2sms.store.writer import Verb

URL = "text/uri-list"
"""The media type of a file that is not there yet."""
PATIENCE_MS = 30 * 60_000  # so long it is tried to fetch a file
HELD_MS = 86_400_000  # so long an email waits for files at the longest: should nobody be there to fetch them
_AGAIN_MS = 90_000  # who fetches one has so long: then another may
_WHOLE_BYTES = 15_000_000  # of all files of a text: an email must hold them
_LANDED, _LOST = "fetched", "failed"

media, content, notice = schema.media, schema.content, schema.notice


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaClaim:
    """Ask for at most `limit` files of an account that are due."""

    account: str
    now: int
    limit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A file that is to be fetched; `attempts` counts this one."""

    id: str
    mo: str
    carrier: str
    attempts: int
    expires_at: int
    url: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What became of a try: the file, or why not (`why`), and when it is tried again (`due_at`; None: never)."""

    wanted: Wanted
    now: int
    photo: Photo | None = None
    why: str = ""
    due_at: int | None = None


def queue(
    connection: Connection, account: str, carrier: str, mo: str, wanted: Sequence[Media], first: int, now: int
) -> None:
    """Let files be fetched; `first` is the number of the first of them among all that came with the text."""
    ids = [f"{mo}-{number}" for number in range(first, first + len(wanted))]
    rows = [
        {
            "id": id_,
            "account": account,
            "mo": mo,
            "carrier": carrier,
            "status": "queued",
            "reason": "",
            "attempts": 0,
            "due_at": now,
            "expires_at": now + PATIENCE_MS,
            "created_at": now,
        }
        for id_ in ids
    ]
    insert_rows(connection, media, rows)
    contents = [
        content_row(id_, account, mo, one.url.encode(), now, media_type=URL)
        for id_, one in zip(ids, wanted, strict=True)
    ]
    insert_rows(connection, content, contents)


_DUE = (
    select(media.c.id)
    .where(media.c.status == "queued", media.c.account == bindparam("of"))
    # What would be due only much later was written before the clock was set back.
    .where(or_(media.c.due_at <= bindparam("now"), media.c.due_at > bindparam("too_far")))
    .order_by(media.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(media)
    .where(media.c.id.in_(_DUE))
    .values(due_at=bindparam("again", type_=BigInteger), attempts=media.c.attempts + 1)
    .returning(media.c.id)
)
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_TAKEN = (
    select(media, content.c.data)
    .join(content, content.c.id == media.c.id, isouter=True)
    .where(media.c.id.in_(_IDS))
    .order_by(media.c.id)
)


def _claim(connection: Connection, claims: Sequence[MediaClaim]) -> list[list[Wanted]]:
    return [_claim_one(connection, claim) for claim in claims]


def _claim_one(connection: Connection, claim: MediaClaim) -> list[Wanted]:
    values = {
        "of": claim.account,
        "now": claim.now,
        "too_far": claim.now + PATIENCE_MS,
        "most": claim.limit,
        "again": claim.now + _AGAIN_MS,
    }
    ids = list(connection.scalars(_TAKE, values))
    return [
        Wanted(
            id=row.id,
            mo=row.mo,
            carrier=row.carrier,
            attempts=row.attempts,
            expires_at=row.expires_at,
            url=bytes(row.data or b"").decode(),
        )
        for row in (connection.execute(_TAKEN, {"ids": ids}) if ids else ())
    ]


def _settle(connection: Connection, tries: Sequence[Fetched]) -> list[str]:
    """Write what became of tries; returns for each what the file is now: queued, fetched or failed."""
    return [_settle_one(connection, one) for one in tries]


def _settle_one(connection: Connection, fetched: Fetched) -> str:
    wanted, why = fetched.wanted, fetched.why
    if fetched.photo is not None and not _has_room(connection, wanted, len(fetched.photo.content)):
        fetched, why = Fetched(wanted=wanted, now=fetched.now), "size"
    is_again = fetched.photo is None and fetched.due_at is not None
    status = "queued" if is_again else _LOST if fetched.photo is None else _LANDED
    values = {"status": status, "reason": why, "due_at": fetched.due_at if is_again else fetched.now}
    mine = (media.c.id == wanted.id, media.c.status == "queued")
    if connection.execute(update(media).where(*mine).values(**values)).rowcount and fetched.photo is not None:
        made = {"media_type": fetched.photo.media_type, "data": fetched.photo.content}
        connection.execute(update(content).where(content.c.id == wanted.id).values(**made))
    if not is_again:
        _let_go(connection, wanted.mo, fetched.now)
    return status


def _has_room(connection: Connection, wanted: Wanted, more_bytes: int) -> bool:
    others = select(func.coalesce(func.sum(func.length(content.c.data)), 0)).where(
        content.c.owner == wanted.mo, content.c.owner != content.c.id, content.c.id != wanted.id
    )
    return int(connection.execute(others).scalar_one()) + more_bytes <= _WHOLE_BYTES


def _let_go(connection: Connection, mo: str, now: int) -> None:
    """Let the text be told of when the last of its files is settled.

    Locked first, looked at then: of two nodes that settle the last two files, the second one sees both.
    """
    connection.execute(select(notice.c.id).where(notice.c.mo == mo).order_by(notice.c.id).with_for_update())
    rest = select(literal(1)).where(media.c.mo == mo, media.c.status == "queued")
    ready = (notice.c.mo == mo, notice.c.status == "queued", notice.c.due_at > now, ~rest.exists())
    connection.execute(update(notice).where(*ready).values(due_at=now))


def _woken(_: Fetched, status: str) -> tuple[str, ...]:
    return ("media",) if status == "queued" else ("notice",)


CLAIM_MEDIA: Verb[MediaClaim, list[Wanted]] = Verb(_claim)
SETTLE_MEDIA: Verb[Fetched, str] = Verb(_settle, wakes=_woken)


def forget(connection: Connection, now: int) -> int:
    """Drop what is known of files that were settled long ago; the files are the texts'."""
    is_old = (media.c.status != "queued", media.c.created_at < now - HELD_MS)
    return connection.execute(delete(media).where(*is_old)).rowcount


# Ours


def picture_id(submission: str, number: int) -> str:
    """Return where a picture of a submission is kept; `number` counts from 1."""
    return f"{submission}-p{number:02}"


def picture_rows(submission: Submission, messages: Iterable[MtMessage]) -> list[dict[str, Any]]:
    """Return the content rows of what these messages show beside their text: pictures, and a link to them."""
    ways = {mt.media: mt.text for mt in messages}
    account, at, rows = submission.writer.account, submission.created_at, []
    if LINK in ways:
        rows.append(content_row(linked_id(submission.id), account, submission.id, ways[LINK].encode(), at))
    if LINK in ways or MMS in ways:
        rows += [
            content_row(
                picture_id(submission.id, number),
                account,
                submission.id,
                picture.content,
                at,
                name=picture.name,
                media_type=picture.media_type,
            )
            for number, picture in enumerate(submission.pictures, start=1)
        ]
    return rows


_PICTURES = (
    select(content.c.owner, content.c.media_type)
    .where(content.c.owner.in_(_IDS), content.c.owner != content.c.id)
    .where(content.c.media_type.startswith("image/"))
    .order_by(content.c.id)
)


def types(connection: Connection, submissions: Sequence[str]) -> dict[str, list[str]]:
    """Return the types of the pictures of submissions, in their order."""
    found: dict[str, list[str]] = {}
    for row in connection.execute(_PICTURES, {"ids": submissions}) if submissions else ():
        found.setdefault(row.owner, []).append(row.media_type)
    return found


def read_pictures(connection: Connection, submission: str) -> tuple[str, ...]:
    """Return the media types of the pictures of a submission, in order; nothing where there are none (any more)."""
    return tuple(types(connection, [submission]).get(submission, ()))


def read_picture(connection: Connection, submission: str, number: int) -> Photo | None:
    """Return a picture of a submission; None when there is none (any more)."""
    row = connection.execute(select(content).where(content.c.id == picture_id(submission, number))).first()
    if row is None:
        return None
    return Photo(name=row.name, media_type=row.media_type, content=bytes(row.data))
