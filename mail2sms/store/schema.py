"""The tables, one schema for SQLite and PostgreSQL. Times are UTC epoch milliseconds.

Every row carries its account. Texts, photos and notices' contents live in `content` only, so that erasing is one
place. Queues are partial indexes over rows that still want work: claiming stays flat while history grows.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
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
    return Column("id", String(40), primary_key=True)


def _account() -> Column[str]:
    return Column("account", String(255), nullable=False)


def _time(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=optional)


content = Table(
    "content",
    metadata,
    _id(),
    _account(),
    Column("owner", String(40), nullable=False),
    Column("name", String(255), nullable=False),
    Column("media_type", String(127), nullable=False),
    Column("data", LargeBinary, nullable=False),
    _time("created_at"),
    Index(None, "owner"),
    Index(None, "created_at"),
)

conversation = Table(
    "conversation",
    metadata,
    _id(),
    _account(),
    Column("our_address", String(32), nullable=False),
    Column("msisdn", String(16), nullable=False),
    Column("reply_key", String(10), nullable=False),
    _time("created_at"),
    Index(None, "account", "our_address", "msisdn", unique=True),
    Index(None, "account", "msisdn"),
)

submission = Table(
    "submission",
    metadata,
    _id(),
    _account(),
    Column("writer", String(320), nullable=False),
    Column("language", String(8), nullable=False),
    Column("proof", String(16), nullable=False),
    Column("source", String(8), nullable=False),
    Column("message_id", Text),
    Column("subject", Text, nullable=False),
    Column("refs", Text, nullable=False),
    Column("thread_index", Text),
    Column("reference", String(64)),
    Column("left_out", Text, nullable=False),  # kinds and lines; the words themselves are not kept
    _time("created_at"),
)

message = Table(
    "message",
    metadata,
    _id(),
    _account(),
    Column("submission", String(40), ForeignKey("submission.id"), nullable=False),
    Column("conversation", String(40), ForeignKey("conversation.id"), nullable=False),
    Column("content", String(40), nullable=False),
    Column("msisdn", String(16), nullable=False),
    Column("region", String(3), nullable=False),
    Column("sender_id", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("detail", Text, nullable=False),
    Column("encoding", String(8), nullable=False),
    Column("segments", Integer, nullable=False),
    Column("route", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("carrier", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", String(40)),
    _time("lease_until", optional=True),
    _time("due_at"),
    _time("expires_at"),
    _time("created_at"),
    _time("updated_at"),
    Index(None, "conversation", "created_at"),
    Index(None, "submission"),
    Index(None, "account", "msisdn", "created_at"),
    Index(None, "account", "created_at"),
)
_WAITING = text("status = 'queued' AND lease_owner IS NULL")
_QUEUED = text("status = 'queued'")
_UNKNOWN = text("status = 'unknown'")
_LEASED = text("lease_owner IS NOT NULL")
Index(
    "ix_message_waiting",
    message.c.carrier,
    message.c.due_at,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
Index("ix_message_expiring", message.c.expires_at, sqlite_where=_QUEUED, postgresql_where=_QUEUED)
Index("ix_message_unknown", message.c.created_at, sqlite_where=_UNKNOWN, postgresql_where=_UNKNOWN)
Index("ix_message_leased", message.c.lease_until, sqlite_where=_LEASED, postgresql_where=_LEASED)

attempt = Table(
    "attempt",
    metadata,
    _id(),
    _account(),
    Column("message", String(40), ForeignKey("message.id"), nullable=False),
    Column("part", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("carrier", String(64), nullable=False),
    _time("intent_at"),
    Column("outcome", String(16)),
    _time("ended_at", optional=True),
    Column("carrier_message_id", String(128)),
    Column("code", String(64), nullable=False),
    Column("report", String(16)),
    Index(None, "message"),
    Index(None, "carrier", "carrier_message_id"),
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    _account(),
    Column("message", String(40), nullable=False),
    _time("at"),
    Column("status", String(16), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("carrier", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "message"),
)

mo = Table(
    "mo",
    metadata,
    _id(),
    _account(),
    Column("carrier", String(64), nullable=False),
    Column("event_id", String(128), nullable=False),
    Column("conversation", String(40), ForeignKey("conversation.id"), nullable=False),
    Column("msisdn", String(16), nullable=False),
    Column("our_address", String(32), nullable=False),
    _time("at"),
    _time("created_at"),
    Index(None, "carrier", "event_id", unique=True),
    Index(None, "conversation", "created_at"),
)

stray_report = Table(
    "stray_report",
    metadata,
    Column("carrier", String(64), primary_key=True),
    Column("carrier_message_id", String(128), primary_key=True),
    Column("status", String(16), primary_key=True),
    Column("code", String(64), nullable=False),
    _time("at"),
)
"""Reports that came before their attempt's outcome was written; settled with it."""

notice = Table(
    "notice",
    metadata,
    _id(),
    _account(),
    Column("kind", String(16), nullable=False),  # reply, refused, undelivered
    Column("channel", String(64), nullable=False),  # email, or the name of a hook
    Column("address", String(320), nullable=False),
    Column("mo", String(40)),
    Column("message", String(40)),
    Column("content", String(40)),
    Column("reason", String(40), nullable=False),
    Column("status", String(16), nullable=False),  # queued, sent, failed, dropped
    Column("detail", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", String(40)),
    _time("lease_until", optional=True),
    _time("due_at"),
    _time("expires_at"),
    _time("created_at"),
    Index(None, "message"),
    Index(None, "mo"),
)
Index(
    "ix_notice_waiting",
    notice.c.channel,
    notice.c.due_at,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
Index("ix_notice_leased", notice.c.lease_until, sqlite_where=_LEASED, postgresql_where=_LEASED)

repeat = Table(
    "repeat",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("id", String(40), nullable=False),
    _time("at"),
    Index(None, "at"),
)
"""What was accepted or refused lately: a re-sent email is recognised by its key."""

counter = Table(
    "counter",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    _time("until"),
    Index(None, "until"),
)

setting = Table(
    "setting",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""What the daemon itself must remember, such as the key of the reply addresses."""
