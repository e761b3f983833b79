"""Rows <-> values: the one place that knows both `schema` and `model`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from mail2sms.media import LINK
from mail2sms.model import NO_DSN, Dsn, MessageClass, Msisdn, MtMessage, Proof, SenderId, Status, Submission
from mail2sms.money import Money
from mail2sms.rules._base import Hold, Reservation, who

EMAIL = "email"
"""The channel of emails; others are the names of hooks."""

VALID_MS = 5 * 86_400_000  # how long a notice is tried: as long as mail servers usually do


@dataclass(frozen=True, kw_only=True, slots=True)
class NewNotice:
    """Something to tell a writer: `payload` is what compose needs beyond the rows it points to."""

    id: str
    account: str
    kind: str
    channel: str
    address: str
    created_at: int
    due_at: int
    expires_at: int
    reason: str = ""
    mo: str | None = None
    message: str | None = None
    payload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMessage:
    """A message to queue, with what it takes of limits and why it must wait.

    `repeat_key` recognises the same request coming again; None: never.
    """

    mt: MtMessage
    reply_key: str
    repeat_key: str | None = None
    reservations: tuple[Reservation, ...] = ()
    hold: Hold | None = None


def clock_ms(connection: Connection) -> ColumnElement[int]:
    """Return the time leases are measured by: the database's own where nodes share it.

    On SQLite all leases are this process's, and end with it: its steady clock, which nobody can set.
    """
    return literal(_steady_ms()) if connection.dialect.name == "sqlite" else _DATABASE_CLOCK


_DATABASE_CLOCK = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000


# Statements that run for every message are built once: building costs more than running them.


def held(table: Table) -> ColumnElement[bool]:
    """Rows whose fence is still the one their lease came with. Parameters: `held_by`.

    Not as pairs: SQLite would look through the whole table for those.
    """
    fenced = table.c.id + ":" + cast(table.c.fence, Text)
    return and_(
        table.c.id.in_(bindparam("ids", expanding=True)), fenced.in_(bindparam("fenced", expanding=True))
    )


def held_by(messages: Iterable[MtMessage]) -> dict[str, Any]:
    """Return the parameters of `held`."""
    pairs = [(mt.id, mt.fence) for mt in messages]
    return {"ids": [id_ for id_, _ in pairs], "fenced": [f"{id_}:{fence}" for id_, fence in pairs]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """Ask for at most `limit` rows that are due, to be `owner`'s for `lease_ms`."""

    owner: str
    now: int
    lease_ms: int
    limit: int


def leasing(table: Table, column: str, *when: ColumnElement[bool], **more: Any) -> Leasing:
    """Return how queued rows of a table are leased, of one value of `column`; `more` is set with the lease."""

    def build(clock: ColumnElement[int]) -> ReturningUpdate[tuple[str]]:
        due = (
            select(table.c.id)
            .where(table.c.status == "queued", table.c.lease_owner.is_(None))
            .where(table.c[column] == bindparam("which"))
            .where(table.c.due_at <= bindparam("now"), table.c.expires_at > bindparam("now"), *when)
            .order_by(table.c.due_at)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        )
        until = clock + bindparam("lease_ms", type_=BigInteger)
        leased = update(table).where(table.c.id.in_(due)).returning(table.c.id)
        return leased.values(
            lease_owner=bindparam("owner"), lease_until=until, fence=table.c.fence + 1, **more
        )

    return Leasing(shared=build(_DATABASE_CLOCK), alone=build(bindparam("steady_ms", type_=BigInteger)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Leasing:
    """The statement for a database that nodes share, and for one that is ours alone."""

    shared: ReturningUpdate[tuple[str]]
    alone: ReturningUpdate[tuple[str]]

    def lease(self, connection: Connection, which: str, lease: Lease) -> list[str]:
        """Lease what is due, the longest due first; return the ids. Each row gets a new fence."""
        values = {
            "which": which,
            "now": lease.now,
            "most": lease.limit,
            "owner": lease.owner,
            "lease_ms": lease.lease_ms,
        }
        if connection.dialect.name == "sqlite":
            return list(connection.scalars(self.alone, {**values, "steady_ms": _steady_ms()}))
        return list(connection.scalars(self.shared, values))


def submission_row(submission: Submission) -> dict[str, Any]:
    """Return the row of a submission; its text and recipients live in content and message."""
    origin = submission.origin
    return {
        "id": submission.id,
        "account": submission.writer.account,
        "writer": submission.writer.address,
        "language": submission.writer.language,
        "proof": submission.writer.proof.value,
        "source": origin.source,
        "message_id": origin.message_id,
        "subject": origin.subject,
        "refs": " ".join(origin.references),
        "thread_index": origin.thread_index,
        "reference": submission.reference,
        "left_out": json.dumps([[left.kind, left.lines] for left in submission.left_out]),
        "machine": _machine(submission),
        "created_at": submission.created_at,
    }


def _machine(submission: Submission) -> str | None:
    if submission.alarm is not None:
        return f"{Proof.DEVICE} {submission.alarm.device}"
    return who(submission.writer) if submission.writer.proof is Proof.KEY else None


def device_name(machine: str | None) -> str | None:
    """Return the name of a machine that is a device."""
    kind, _, name = (machine or "").partition(" ")
    return name if kind == Proof.DEVICE else None


def message_row(mt: MtMessage) -> dict[str, Any]:
    """Return the row of a message; its text is its submission's, but for a link to pictures."""
    return {
        "id": mt.id,
        "account": mt.account,
        "submission": mt.submission,
        "conversation": mt.conversation,
        "content": linked_id(mt.submission) if mt.media == LINK else mt.submission,
        "msisdn": mt.msisdn,
        "region": mt.region,
        "sender_id": mt.sender_id,
        "status": mt.status.value,
        "reason": mt.reason,
        "detail": mt.detail,
        "encoding": mt.encoding,
        "segments": mt.segments,
        "class": mt.class_.value,
        "route": _route_text(mt),
        "position": mt.position,
        "carrier": mt.carrier,
        "attempts": mt.attempts,
        "fence": mt.fence,
        "lease_owner": None,
        "lease_until": None,
        "due_at": mt.due_at,
        "expires_at": mt.expires_at,
        "created_at": mt.created_at,
        "updated_at": mt.created_at,
        "cost": _millionths(mt.cost),
        "currency": next((cost.currency for cost in mt.costs if cost), None),
        "dsn": None if mt.dsn == NO_DSN else json.dumps(asdict(mt.dsn)),
        "media": mt.media,
    }


def read_dsn(text: str | None) -> Dsn:
    """Return what stands in a message's row."""
    if text is None:
        return NO_DSN
    said = json.loads(text)
    return Dsn(**{**said, "notify": tuple(said["notify"])})


def carried(mt: MtMessage) -> dict[str, Any]:
    """Return the columns that say which carrier a message goes by, and so what it costs."""
    return {"position": mt.position, "carrier": mt.carrier, "cost": _millionths(mt.cost)}


def _route_text(mt: MtMessage) -> str:
    """Each carrier with what the message costs by it, in millionths: another may take it, whatever prices are then."""
    costs = mt.costs or (None,) * len(mt.route)
    return json.dumps([(name, _millionths(cost)) for name, cost in zip(mt.route, costs, strict=True)])


def _millionths(cost: Money | None) -> int | None:
    return None if cost is None else cost.millionths


def read_cost(millionths: int | None, currency: str | None) -> Money | None:
    """Return what a row says of a cost."""
    return None if millionths is None or currency is None else Money(millionths, currency)


def content_row(id_: str, account: str, owner: str, data: bytes, at: int, **about: str) -> dict[str, Any]:
    """Return a content row; `about` may hold `name` and `media_type`."""
    return {
        "id": id_,
        "account": account,
        "owner": owner,
        "name": about.get("name", ""),
        "media_type": about.get("media_type", "text/plain"),
        "data": data,
        "created_at": at,
    }


def linked_id(submission: str) -> str:
    """Return where the text is kept that has a link to the pictures."""
    return f"{submission}-link"


def original_id(submission: str) -> str:
    """Return where what a report gives back of a mail is kept."""
    return f"{submission}-mail"


def original_row(submission: Submission) -> dict[str, Any]:
    """Return the content row of what a report gives back of a mail."""
    account, at = submission.writer.account, submission.created_at
    about = {"name": "mail", "media_type": "message/rfc822"}
    return content_row(original_id(submission.id), account, submission.id, submission.original, at, **about)


def event_row(mt: Any, status: Status, at: int, *, reason: str = "", detail: str = "") -> dict[str, Any]:
    """Return the event that goes with a status change of `mt` (a message value or row)."""
    return {
        "account": mt.account,
        "about": mt.id,
        "at": at,
        "status": status.value,
        "reason": reason,
        "carrier": mt.carrier,
        "detail": detail,
    }


def notice_event_row(
    notice: Any, status: str, at: int, *, reason: str = "", detail: str = ""
) -> dict[str, Any]:
    """Return the event that goes with a status change of a notice (a value or a row)."""
    return {
        "account": notice.account,
        "about": notice.id,
        "at": at,
        "status": status,
        "reason": reason,
        "carrier": "",
        "detail": detail,
    }


def mo_event_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of an MO that was received, as its row is."""
    return {
        "account": row["account"],
        "about": row["id"],
        "at": row["created_at"],
        "status": "received",
        "reason": "",
        "carrier": row["carrier"],
        "detail": "",
    }


def notice_row(notice: NewNotice) -> dict[str, Any]:
    """Return the row of a notice; its payload is a content row of the same id."""
    return {
        "id": notice.id,
        "account": notice.account,
        "kind": notice.kind,
        "channel": notice.channel,
        "address": notice.address,
        "mo": notice.mo,
        "message": notice.message,
        "content": notice.id if notice.payload is not None else None,
        "reason": notice.reason,
        "status": "queued",
        "detail": "",
        "attempts": 0,
        "fence": 0,
        "lease_owner": None,
        "lease_until": None,
        "due_at": notice.due_at,
        "expires_at": notice.expires_at,
        "created_at": notice.created_at,
        "updated_at": notice.created_at,
    }


def read_message(row: Row[Any], **more: Any) -> MtMessage:
    """Return the value of a message row; `more` may fill text, writer, subject, reference."""
    route = json.loads(row.route)
    return MtMessage(
        id=row.id,
        account=row.account,
        submission=row.submission,
        conversation=row.conversation,
        msisdn=Msisdn(row.msisdn),
        region=row.region,
        sender_id=SenderId(row.sender_id),
        status=Status(row.status),
        encoding=row.encoding,
        segments=row.segments,
        route=tuple(name for name, _ in route),
        costs=tuple(read_cost(millionths, row.currency) for _, millionths in route),
        created_at=row.created_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
        reason=row.reason,
        detail=row.detail,
        attempts=row.attempts,
        position=row.position,
        fence=row.fence,
        updated_at=row.updated_at,
        class_=MessageClass(row._mapping["class"]),
        dsn=read_dsn(row.dsn),
        media=row.media,
        **more,
    )
