"""The tables, one schema for SQLite and PostgreSQL. Times are UTC epoch milliseconds.

Every row carries its account. Texts, photos and notices' contents live in `content` only, so that erasing is one
place. Queues are partial indexes over rows that still want work: claiming stays flat while history grows.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, text

from mail2sms.store.columns import account, id_, keyed, lease, metadata, partial, time

HEAD = "0001"
"""The migration that this schema is; a test holds them equal."""

content = keyed(
    "content",
    id_(),
    account(),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    time("created_at"),
)
partial("ix_content_owner", text("owner <> id"), content.c.owner)  # of nearly all it is their own id

conversation = keyed(
    "conversation",
    id_(),
    account(),
    Column("our_address", Text, nullable=False),
    Column("msisdn", Text, nullable=False),
    Column("reply_key", Text, nullable=False),
    time("created_at"),
    Index(None, "account", "our_address", "msisdn", unique=True),
    Index(None, "account", "msisdn"),
)

submission = keyed(
    "submission",
    id_(),
    account(),
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
    time("created_at"),
)

message = keyed(
    "message",
    id_(),
    account(),
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
    *lease(),
    time("due_at"),
    time("expires_at"),
    time("created_at"),
    time("updated_at"),
    Column("cost", BigInteger),  # by its carrier, in millionths of the currency's unit; null: not known
    Column("currency", Text),
    Column("dsn", Text),  # what was asked to be reported (RFC 3461), mostly nothing
    Column("media", Text, nullable=False),  # how its pictures go: mms, link, or empty
    Index(None, "conversation", "created_at"),
    Index(None, "submission"),
    Index(None, "account", "msisdn", "created_at"),
    Index(None, "account", "created_at"),
)
WAITING = text("status = 'queued' AND lease_owner IS NULL")
_QUEUED = text("status = 'queued'")
NOT_DELIVERED = text("status <> 'delivered'")  # of nearly all it is: these are found without it
_LEASED = text("lease_owner IS NOT NULL")
COUNTED = text(
    "status = 'queued' AND lease_owner IS NULL AND reason IN ('', 'retry', 'resend', 'storm', 'rate')"
)
"""Messages that wait for so long, counted from `updated_at`; others wait for a time that a person or a rule chose."""
partial("ix_message_waiting", WAITING, message.c.carrier, message.c.due_at)
URGENT = text("status = 'queued' AND lease_owner IS NULL AND class = 'alarm'")
# Alarms go before all that waits longer. Their class is in it so that SQLite prefers it.
partial("ix_message_urgent", URGENT, message.c["class"], message.c.carrier, message.c.due_at)
partial("ix_message_counted", COUNTED, message.c.updated_at)
partial("ix_message_expiring", _QUEUED, message.c.expires_at)
partial("ix_message_status", NOT_DELIVERED, message.c.status, message.c.account, message.c.created_at)
partial("ix_message_leased", _LEASED, message.c.lease_until)

attempt = keyed(
    "attempt",
    id_(),
    account(),
    Column("message", Text, ForeignKey("message.id"), nullable=False),
    Column("part", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("carrier", Text, nullable=False),
    time("intent_at"),
    Column("outcome", Text),
    time("ended_at", optional=True),
    Column("carrier_message_id", Text),
    Column("code", Text, nullable=False),
    Column("report", Text),
    Column("segments", Integer),  # that the carrier made of it, where it tells
    Index(None, "message"),
    Index(None, "carrier", "carrier_message_id"),
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    account(),
    Column("about", Text, nullable=False),  # the id of a message, an MO or a notice, or a carrier
    time("at"),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "about"),
)

mo = keyed(
    "mo",
    id_(),
    account(),
    Column("carrier", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("conversation", Text, ForeignKey("conversation.id"), nullable=False),
    Column("msisdn", Text, nullable=False),
    Column("our_address", Text, nullable=False),
    time("at"),
    time("created_at"),
    Index(None, "carrier", "event_id", unique=True),
    Index(None, "conversation", "created_at"),
)

mo_part = keyed(
    "mo_part",
    id_(),
    account(),
    Column("whole", Text, nullable=False),  # the same for all parts of a text
    Column("number", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("msisdn", Text, nullable=False),
    Column("our_address", Text, nullable=False),
    time("at"),
    time("created_at"),
    Column("joined", Text),  # the event id of the text that it was given out in
    Column("mo", Text),  # the MO that it has become a part of; its text is in that one then
    Column("before", Text),  # the MO that the same part was in when it came earlier
)
partial("ix_mo_part_joined", text("mo IS NOT NULL"), mo_part.c.created_at)
partial("ix_mo_part_lacking", text("mo IS NULL"), mo_part.c.whole, mo_part.c.created_at)

stray_report = keyed(
    "stray_report",
    Column("carrier", Text, primary_key=True),
    Column("carrier_message_id", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("code", Text, nullable=False),
    time("at"),
    time("sent_at", optional=True),
    Column("is_opt_out", Integer, nullable=False),
    Index(None, "at"),
)
"""Reports that came before their attempt's outcome was written; settled with it."""

notice = keyed(
    "notice",
    id_(),
    account(),
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
    *lease(),
    time("due_at"),
    time("expires_at"),
    time("created_at"),
    time("updated_at"),
    Index(None, "message"),
    Index(None, "mo"),
    Index(None, "account", "kind", "created_at"),
)
partial("ix_notice_waiting", WAITING, notice.c.channel, notice.c.due_at)
partial("ix_notice_counted", WAITING, notice.c.updated_at)
partial("ix_notice_leased", _LEASED, notice.c.lease_until)

media = keyed(
    "media",
    id_(),  # where its content is kept
    account(),
    Column("mo", Text, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("status", Text, nullable=False),  # queued, fetched, failed
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    time("due_at"),
    time("expires_at"),
    time("created_at"),
    Index(None, "mo"),
)
partial("ix_media_queued", _QUEUED, media.c.account, media.c.due_at)
partial("ix_media_settled", text("status <> 'queued'"), media.c.created_at)

outage = keyed(
    "outage",
    Column("account", Text, primary_key=True),
    Column("carrier", Text, primary_key=True),
    time("since"),
    Column("failures", Integer, nullable=False),
    time("until"),
    Column("why", Text, nullable=False),
    Column("told", Text, nullable=False),  # the administrators who were, if it lasts
)
"""Carriers that are down: since when, until when they get nothing, and why."""

balance = keyed(
    "balance",
    Column("account", Text, primary_key=True),
    Column("carrier", Text, primary_key=True),
    time("asked_at"),  # by the clock that leases are measured by
    time("at", optional=True),  # of the last answer; null: there was none yet
    Column("millionths", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("told", Text, nullable=False),  # the administrators who were that it is low
)
"""What the accounts at carriers have left."""

meter = keyed(
    "meter",
    Column("account", Text, primary_key=True),
    Column("carrier", Text, primary_key=True),
    Column("sender_id", Text, primary_key=True),  # in lower case; empty: the carrier as a whole
    Column("every_us", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("free_us", BigInteger, nullable=False),
    Column("line_us", BigInteger, nullable=False),
    Column("alarms", Integer, nullable=False),
)
"""Rates, by the clock that leases are measured by: when the next message may go."""

CARRIER = "carrier:"
"""Before the name of a carrier that an event is about."""

repeat = keyed(
    "repeat",
    Column("key", Text, primary_key=True),
    Column("id", Text, nullable=False),
    time("at"),
    Column("fingerprint", Text),  # of an API call's body
    Column("answer", Text),  # what that call was told
    Index(None, "at"),
)
"""What was accepted or refused lately: a re-sent email or API call is recognised by its key."""

counter = keyed(
    "counter",
    Column("key", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    time("until"),
    Index(None, "until"),
)

approval = keyed(
    "approval",
    id_(),
    account(),
    Column("submission", Text, ForeignKey("submission.id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("status", Text, nullable=False),  # open, released, refused
    time("created_at"),
    time("decided_at", optional=True),
    Column("decided_by", Text, nullable=False),
    Column("then_counted", Text, nullable=False),  # reservations that a release makes
    Index(None, "submission"),
)
partial("ix_approval_open", text("status = 'open'"), approval.c.account, approval.c.created_at)

device = keyed(
    "device",
    Column("account", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    time("heard_at"),
    time("watched_at"),
    Column("quiet_ms", BigInteger, nullable=False),  # how long nothing was heard while somebody listened
    time("silent_at", optional=True),  # since when somebody was told that nothing is heard of it
)
partial("ix_device_silent", text("silent_at > 0"), device.c.account, device.c.silent_at)

storm = keyed(
    "storm",
    id_(),  # of a device and the phones that it writes to
    account(),
    Column("device", Text, nullable=False),
    time("window_end"),
    Column("sent", Integer, nullable=False),
    Column("fold", Text),  # that others may still join
    Column("more", Text),  # the one that counts what is above the limit
)

fold = keyed(
    "fold",
    id_(),  # the submission's
    account(),
    Column("storm", Text, nullable=False),
    Column("kind", Text, nullable=False),  # send, more
    Column("parts", Integer, nullable=False),  # that it may have
    Column("linked_parts", Integer, nullable=False),  # and with a link to its pictures
    Column("alarms", Integer, nullable=False),  # that it tells
    Column("left_out", Integer, nullable=False),  # since: the same text again
    Column("is_same", Integer, nullable=False),
    time("first_at"),
    time("last_at"),
    time("until"),
    time("acknowledged_at", optional=True),
    Column("acknowledged_by", Text),
    Index(None, "storm"),
)
"""One SMS of a device, and how many of its mails that tells."""

alarm = keyed(
    "alarm",
    id_(),  # of a storm and a text
    account(),
    Column("fold", Text, nullable=False),
    time("told_at"),
    time("last_at"),
    Column("left_out", Integer, nullable=False),
    Column("is_acknowledged", Integer, nullable=False),
    time("until"),
    Index(None, "fold"),
    Index(None, "until"),
)
"""Texts that were sent lately, so that they are not sent again."""

setting = keyed(
    "setting",
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What the daemon itself must remember, such as the key of the reply addresses."""

opt_out = keyed(
    "opt_out",
    Column("phone", Text, primary_key=True),  # a keyed hash: it outlives the number
    Column("our_address", Text, primary_key=True),  # in lower case; empty: all of ours
    account(),
    Column("msisdn", Text),
    Column("source", Text, nullable=False),  # keyword, operator, api, import, carrier
    Column("keyword", Text, nullable=False),
    Column("who", Text, nullable=False),
    time("at"),
    Index(None, "account", "at"),
)
"""Who must not be written to."""

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    account(),
    time("at"),
    Column("who", Text, nullable=False),
    Column("did", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "about"),
)
"""Who decided what and when. Nothing personal of phones is in it."""
