"""The tables, one schema for SQLite and PostgreSQL. Times are UTC epoch milliseconds.

Every row carries its account. Texts, photos and notices' contents live in `content` only, so that erasing is one
place. Queues are partial indexes over rows that still want work: claiming stays flat while history grows.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    text,
)

HEAD = "0001"
"""The migration that this schema is; a test holds them equal."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", Text, primary_key=True)


def _account() -> Column[str]:
    return Column("account", Text, nullable=False)


def _time(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=optional)


def _keyed(name: str, *columns: Column[Any] | Index) -> Table:
    """A table that SQLite stores by its key, in one tree: a row by number and its key beside it would be two.

    Keys begin with the time, so new rows share the last page; reading by key costs the same.
    """
    return Table(name, metadata, *columns, sqlite_with_rowid=False)


def _partial(name: str, where: TextClause, *columns: Column[Any]) -> None:
    """Add an index over the rows that `where` holds of."""
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


content = _keyed(
    "content",
    _id(),
    _account(),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    _time("created_at"),
)
_partial("ix_content_owner", text("owner <> id"), content.c.owner)  # of nearly all it is their own id

conversation = _keyed(
    "conversation",
    _id(),
    _account(),
    Column("our_address", Text, nullable=False),
    Column("msisdn", Text, nullable=False),
    Column("reply_key", Text, nullable=False),
    _time("created_at"),
    Index(None, "account", "our_address", "msisdn", unique=True),
    Index(None, "account", "msisdn"),
)

submission = _keyed(
    "submission",
    _id(),
    _account(),
    Column("writer", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("proof", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("message_id", Text),
    Column("subject", Text, nullable=False),
    Column("refs", Text, nullable=False),
    Column("thread_index", Text),
    Column("reference", Text),
    Column("left_out", Text, nullable=False),  # kinds and lines; the words themselves are not kept
    Column("machine", Text),  # that wrote it: "device NAME" or "key NAME", as limits count it
    _time("created_at"),
)

message = _keyed(
    "message",
    _id(),
    _account(),
    Column("submission", Text, ForeignKey("submission.id"), nullable=False),
    Column("conversation", Text, ForeignKey("conversation.id"), nullable=False),
    Column("content", Text, nullable=False),
    Column("msisdn", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("sender_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("segments", Integer, nullable=False),
    Column("class", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", Text),
    _time("lease_until", optional=True),
    _time("due_at"),
    _time("expires_at"),
    _time("created_at"),
    _time("updated_at"),
    Column("cost", BigInteger),  # by its carrier, in millionths of the currency's unit; null: not known
    Column("currency", Text),
    Column("dsn", Text),  # what was asked to be reported (RFC 3461), mostly nothing
    Index(None, "conversation", "created_at"),
    Index(None, "submission"),
    Index(None, "account", "msisdn", "created_at"),
    Index(None, "account", "created_at"),
)
WAITING = text("status = 'queued' AND lease_owner IS NULL")
_QUEUED = text("status = 'queued'")
NOT_DELIVERED = text("status <> 'delivered'")
_LEASED = text("lease_owner IS NOT NULL")
COUNTED = text("status = 'queued' AND lease_owner IS NULL AND reason IN ('', 'retry', 'resend', 'storm')")
"""Messages that wait for so long, counted from `updated_at`; others wait for a time that a person or a rule chose."""
_partial("ix_message_waiting", WAITING, message.c.carrier, message.c.due_at)
URGENT = text("status = 'queued' AND lease_owner IS NULL AND class = 'alarm'")
# Alarms go before all that waits longer. Their class is in it so that SQLite prefers it.
_partial("ix_message_urgent", URGENT, message.c["class"], message.c.carrier, message.c.due_at)
_partial("ix_message_counted", COUNTED, message.c.updated_at)
_partial("ix_message_expiring", _QUEUED, message.c.expires_at)
# Of nearly all it is `delivered`: these are found without it.
_partial("ix_message_status", NOT_DELIVERED, message.c.status, message.c.account, message.c.created_at)
_partial("ix_message_leased", _LEASED, message.c.lease_until)

attempt = _keyed(
    "attempt",
    _id(),
    _account(),
    Column("message", Text, ForeignKey("message.id"), nullable=False),
    Column("part", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("carrier", Text, nullable=False),
    _time("intent_at"),
    Column("outcome", Text),
    _time("ended_at", optional=True),
    Column("carrier_message_id", Text),
    Column("code", Text, nullable=False),
    Column("report", Text),
    Index(None, "message"),
    Index(None, "carrier", "carrier_message_id"),
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    _account(),
    Column("about", Text, nullable=False),  # the id of a message, an MO or a notice, or a carrier
    _time("at"),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "about"),
)

mo = _keyed(
    "mo",
    _id(),
    _account(),
    Column("carrier", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("conversation", Text, ForeignKey("conversation.id"), nullable=False),
    Column("msisdn", Text, nullable=False),
    Column("our_address", Text, nullable=False),
    _time("at"),
    _time("created_at"),
    Index(None, "carrier", "event_id", unique=True),
    Index(None, "conversation", "created_at"),
)

mo_part = _keyed(
    "mo_part",
    _id(),
    _account(),
    Column("whole", Text, nullable=False),  # the same for all parts of a text
    Column("number", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("msisdn", Text, nullable=False),
    Column("our_address", Text, nullable=False),
    _time("at"),
    _time("created_at"),
    Column("mo", Text),  # the MO that it has become a part of; its text is in that one then
)
_IS_LACKING, _IS_JOINED = text("mo IS NULL"), text("mo IS NOT NULL")
_partial("ix_mo_part_joined", _IS_JOINED, mo_part.c.created_at)
_partial("ix_mo_part_lacking", _IS_LACKING, mo_part.c.whole, mo_part.c.created_at)

stray_report = _keyed(
    "stray_report",
    Column("carrier", Text, primary_key=True),
    Column("carrier_message_id", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("code", Text, nullable=False),
    _time("at"),
    Index(None, "at"),
)
"""Reports that came before their attempt's outcome was written; settled with it."""

notice = _keyed(
    "notice",
    _id(),
    _account(),
    Column("kind", Text, nullable=False),  # reply, refused, held, approval, undelivered, receipt, dsn, digest
    Column("channel", Text, nullable=False),  # email, or the name of a hook
    Column("address", Text, nullable=False),
    Column("mo", Text),
    Column("message", Text),
    Column("content", Text),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),  # queued, sent, failed, dropped
    Column("detail", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", Text),
    _time("lease_until", optional=True),
    _time("due_at"),
    _time("expires_at"),
    _time("created_at"),
    _time("updated_at"),
    Index(None, "message"),
    Index(None, "mo"),
    Index(None, "account", "kind", "created_at"),
)
_partial("ix_notice_waiting", WAITING, notice.c.channel, notice.c.due_at)
_partial("ix_notice_counted", WAITING, notice.c.updated_at)
_partial("ix_notice_leased", _LEASED, notice.c.lease_until)

outage = _keyed(
    "outage",
    Column("account", Text, primary_key=True),
    Column("carrier", Text, primary_key=True),
    _time("since"),
    Column("failures", Integer, nullable=False),
    _time("until"),
    Column("why", Text, nullable=False),
)
"""Carriers that are down: since when, until when they get nothing, and why."""

CARRIER = "carrier:"
"""Before the name of a carrier that an event is about."""

repeat = _keyed(
    "repeat",
    Column("key", Text, primary_key=True),
    Column("id", Text, nullable=False),
    _time("at"),
    Column("fingerprint", Text),  # of an API call's body
    Column("answer", Text),  # what that call was told
    Index(None, "at"),
)
"""What was accepted or refused lately: a re-sent email or API call is recognised by its key."""

counter = _keyed(
    "counter",
    Column("key", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    _time("until"),
    Index(None, "until"),
)

approval = _keyed(
    "approval",
    _id(),
    _account(),
    Column("submission", Text, ForeignKey("submission.id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("status", Text, nullable=False),  # open, released, refused
    _time("created_at"),
    _time("decided_at", optional=True),
    Column("decided_by", Text, nullable=False),
    Column("then_counted", Text, nullable=False),  # reservations that a release makes
    Index(None, "submission"),
)
_IS_OPEN = text("status = 'open'")
_partial("ix_approval_open", _IS_OPEN, approval.c.account, approval.c.created_at)

device = _keyed(
    "device",
    Column("account", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _time("heard_at"),
    _time("watched_at"),
    Column("quiet_ms", BigInteger, nullable=False),  # how long nothing was heard while somebody listened
    _time("silent_at", optional=True),  # since when somebody was told that nothing is heard of it
)
_partial("ix_device_silent", text("silent_at > 0"), device.c.account, device.c.silent_at)

storm = _keyed(
    "storm",
    _id(),  # of a device and the phones that it writes to
    _account(),
    Column("device", Text, nullable=False),
    _time("window_end"),
    Column("sent", Integer, nullable=False),
    Column("fold", Text),  # that others may still join
    Column("more", Text),  # the one that counts what is above the limit
)

fold = _keyed(
    "fold",
    _id(),  # the submission's
    _account(),
    Column("storm", Text, nullable=False),
    Column("kind", Text, nullable=False),  # send, more
    Column("parts", Integer, nullable=False),  # that it may have
    Column("alarms", Integer, nullable=False),  # that it tells
    Column("left_out", Integer, nullable=False),  # since: the same text again
    Column("is_same", Integer, nullable=False),
    _time("first_at"),
    _time("last_at"),
    _time("until"),
    _time("acknowledged_at", optional=True),
    Column("acknowledged_by", Text),
    Index(None, "storm"),
)
"""One SMS of a device, and how many of its mails that tells."""

alarm = _keyed(
    "alarm",
    _id(),  # of a storm and a text
    _account(),
    Column("fold", Text, nullable=False),
    _time("told_at"),
    _time("last_at"),
    Column("left_out", Integer, nullable=False),
    Column("is_acknowledged", Integer, nullable=False),
    _time("until"),
    Index(None, "fold"),
    Index(None, "until"),
)
"""Texts that were sent lately, so that they are not sent again."""

setting = _keyed(
    "setting",
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What the daemon itself must remember, such as the key of the reply addresses."""

opt_out = _keyed(
    "opt_out",
    Column("phone", Text, primary_key=True),  # a keyed hash: it outlives the number
    Column("our_address", Text, primary_key=True),  # in lower case; empty: all of ours
    _account(),
    Column("msisdn", Text),
    Column("source", Text, nullable=False),  # keyword, operator, api, import, carrier
    Column("keyword", Text, nullable=False),
    Column("who", Text, nullable=False),
    _time("at"),
    Index(None, "account", "at"),
)
"""Who must not be written to."""

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    _account(),
    _time("at"),
    Column("who", Text, nullable=False),
    Column("did", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "about"),
)
"""Who decided what and when. Nothing personal of phones is in it."""
