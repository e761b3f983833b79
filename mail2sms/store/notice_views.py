"""Reading notices: what people are told beside their messages, to whom, and whether it went."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, get_args

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from mail2sms.model import NoticeKind
from mail2sms.store import schema

notice, content = schema.notice, schema.content

KINDS: tuple[str, ...] = get_args(NoticeKind)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeView:
    """A notice as API and CLI show it. `payload` is what a refusal says, while it is kept."""

    id: str
    kind: str
    channel: str
    address: str
    status: str
    reason: str
    detail: str
    attempts: int
    created_at: int
    due_at: int
    expires_at: int
    message: str | None
    mo: str | None
    payload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeSearch:
    """Which notices: all that is given must hold. `since` (with it) and `until` (without) are epoch ms.

    `address` is in lower case, `about` the id of a message or an MO.
    """

    kind: str | None = None
    address: str | None = None
    status: str | None = None
    about: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Untold:
    """What waits of a channel after tries that failed: how many, since when the oldest (epoch ms), and why the last."""

    count: int
    since: int
    why: str


def untold(connection: Connection) -> dict[str, Untold]:
    """Return what could not be told so far, by channel, of all accounts."""
    found: dict[str, Untold] = {}
    for is_owed in (schema.WAITING, notice.c.lease_owner.is_not(None)):
        failed = (is_owed, notice.c.status == "queued", notice.c.detail != "")
        counted = select(notice.c.channel, func.count(), func.min(notice.c.created_at)).where(*failed)
        for channel, count, since in connection.execute(counted.group_by(notice.c.channel)):
            last = select(notice.c.detail).where(*failed, notice.c.channel == channel)
            why = connection.scalars(last.order_by(notice.c.updated_at.desc()).limit(1)).one()
            known = found.get(channel, Untold(count=0, since=since, why=why))
            found[channel] = replace(known, count=known.count + count, since=min(known.since, since))
    return found


def read_notice(connection: Connection, account: str, id_: str) -> NoticeView | None:
    """Return a notice with what it says; None when the account has no such notice."""
    query = select(notice, content.c.data).join(content, content.c.id == notice.c.content, isouter=True)
    row = connection.execute(query.where(notice.c.id == id_, notice.c.account == account)).first()
    if row is None:
        return None
    return _view(row, None if row.data is None else bytes(row.data))


def find_notices(connection: Connection, account: str, search: NoticeSearch) -> list[NoticeView]:
    """Return the newest notices that fit, newest first."""
    kinds = KINDS if search.kind is None else (search.kind,)
    found = [view for kind in kinds for view in _of_kind(connection, account, kind, search)]
    return sorted(found, key=lambda view: (view.created_at, view.id), reverse=True)[: search.limit]


def _of_kind(connection: Connection, account: str, kind: str, search: NoticeSearch) -> list[NoticeView]:
    """Found by the index over kinds, so that the few refusals are not looked for among all replies.

    What is about one thing is found by that: SQLite takes an account and a kind for rarer.
    """
    query = select(notice).where(
        _column(notice.c.account, search) == account, _column(notice.c.kind, search) == kind
    )
    wanted: dict[Any, str | None] = {
        notice.c.status: search.status,
        func.lower(notice.c.address): search.address,
    }
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if search.about is not None:
        query = query.where(or_(notice.c.message == search.about, notice.c.mo == search.about))
    if search.since is not None:
        query = query.where(notice.c.created_at >= search.since)
    if search.until is not None:
        query = query.where(notice.c.created_at < search.until)
    query = query.order_by(notice.c.created_at.desc(), notice.c.id.desc()).limit(search.limit)
    return [_view(row) for row in connection.execute(query)]


def _column(column: ColumnElement[str], search: NoticeSearch) -> ColumnElement[str]:
    return column if search.about is None else column.concat("")


def _view(row: Row[Any], payload: bytes | None = None) -> NoticeView:
    return NoticeView(
        id=row.id,
        kind=row.kind,
        channel=row.channel,
        address=row.address,
        status=row.status,
        reason=row.reason,
        detail=row.detail,
        attempts=row.attempts,
        created_at=row.created_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
        message=row.message,
        mo=row.mo,
        payload=payload,
    )
