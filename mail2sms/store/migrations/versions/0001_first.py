"""The first schema."""

import sqlalchemy as sa
from alembic import op

from mail2sms.store.migrations import devices

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""

    op.create_table(
        "audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_about"), "audit", ["about"], unique=False)
    op.create_table(
        "content",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_content")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_content_owner",
        "content",
        ["owner"],
        sqlite_where=sa.text("owner <> id"),
        postgresql_where=sa.text("owner <> id"),
    )
    op.create_table(
        "conversation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("our_address", sa.Text(), nullable=False),
        sa.Column("msisdn", sa.Text(), nullable=False),
        sa.Column("reply_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_conversation_account_msisdn"), "conversation", ["account", "msisdn"], unique=False
    )
    op.create_index(
        op.f("ix_conversation_account_our_address_msisdn"),
        "conversation",
        ["account", "our_address", "msisdn"],
        unique=True,
    )
    op.create_table(
        "counter",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_counter")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_counter_until"), "counter", ["until"], unique=False)
    op.create_table(
        "event",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_about"), "event", ["about"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("mo", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_notice_account_kind_created_at"), "notice", ["account", "kind", "created_at"], unique=False
    )
    op.create_index(
        "ix_notice_counted",
        "notice",
        ["updated_at"],
        sqlite_where=sa.text("status = 'queued' AND lease_owner IS NULL"),
        postgresql_where=sa.text("status = 'queued' AND lease_owner IS NULL"),
    )
    op.create_index(
        "ix_notice_leased",
        "notice",
        ["lease_until"],
        sqlite_where=sa.text("lease_owner IS NOT NULL"),
        postgresql_where=sa.text("lease_owner IS NOT NULL"),
    )
    op.create_index(op.f("ix_notice_message"), "notice", ["message"], unique=False)
    op.create_index(op.f("ix_notice_mo"), "notice", ["mo"], unique=False)
    op.create_index(
        "ix_notice_waiting",
        "notice",
        ["channel", "due_at"],
        sqlite_where=sa.text("status = 'queued' AND lease_owner IS NULL"),
        postgresql_where=sa.text("status = 'queued' AND lease_owner IS NULL"),
    )
    op.create_table(
        "opt_out",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("our_address", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("msisdn", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("keyword", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("phone", "our_address", name=op.f("pk_opt_out")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_opt_out_account_at"), "opt_out", ["account", "at"], unique=False)
    op.create_table(
        "outage",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "carrier", name=op.f("pk_outage")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "balance",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.Column("millionths", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "carrier", name=op.f("pk_balance")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "meter",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("sender_id", sa.Text(), nullable=False),
        sa.Column("every_us", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("free_us", sa.BigInteger(), nullable=False),
        sa.Column("line_us", sa.BigInteger(), nullable=False),
        sa.Column("alarms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account", "carrier", "sender_id", name=op.f("pk_meter")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "repeat",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_repeat")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_repeat_at"), "repeat", ["at"], unique=False)
    op.create_table(
        "setting",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_setting")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mo_part",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("whole", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("msisdn", sa.Text(), nullable=False),
        sa.Column("our_address", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("joined", sa.Text(), nullable=True),
        sa.Column("mo", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mo_part")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_mo_part_joined",
        "mo_part",
        ["created_at"],
        sqlite_where=sa.text("mo IS NOT NULL"),
        postgresql_where=sa.text("mo IS NOT NULL"),
    )
    op.create_index(
        "ix_mo_part_lacking",
        "mo_part",
        ["whole", "created_at"],
        sqlite_where=sa.text("mo IS NULL"),
        postgresql_where=sa.text("mo IS NULL"),
    )
    op.create_table(
        "stray_report",
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("carrier_message_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("is_opt_out", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("carrier", "carrier_message_id", "status", name=op.f("pk_stray_report")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_stray_report_at"), "stray_report", ["at"], unique=False)
    op.create_table(
        "submission",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("refs", sa.Text(), nullable=False),
        sa.Column("thread_index", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("left_out", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("submission", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("msisdn", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("sender_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("dsn", sa.Text(), nullable=True),
        sa.Column("media", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["conversation"], ["conversation.id"], name=op.f("fk_message_conversation")),
        sa.ForeignKeyConstraint(["submission"], ["submission.id"], name=op.f("fk_message_submission")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_message_account_created_at"), "message", ["account", "created_at"], unique=False)
    op.create_index(
        op.f("ix_message_account_msisdn_created_at"),
        "message",
        ["account", "msisdn", "created_at"],
    )
    op.create_index(
        op.f("ix_message_conversation_created_at"), "message", ["conversation", "created_at"], unique=False
    )
    op.create_index(
        "ix_message_counted",
        "message",
        ["updated_at"],
        sqlite_where=sa.text(
            "status = 'queued' AND lease_owner IS NULL AND reason IN ('', 'retry', 'resend', 'storm', 'rate')"
        ),
        postgresql_where=sa.text(
            "status = 'queued' AND lease_owner IS NULL AND reason IN ('', 'retry', 'resend', 'storm', 'rate')"
        ),
    )
    op.create_index(
        "ix_message_expiring",
        "message",
        ["expires_at"],
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_message_leased",
        "message",
        ["lease_until"],
        sqlite_where=sa.text("lease_owner IS NOT NULL"),
        postgresql_where=sa.text("lease_owner IS NOT NULL"),
    )
    op.create_index(op.f("ix_message_submission"), "message", ["submission"], unique=False)
    op.create_index(
        "ix_message_status",
        "message",
        ["status", "account", "created_at"],
        sqlite_where=sa.text("status <> 'delivered'"),
        postgresql_where=sa.text("status <> 'delivered'"),
    )
    op.create_index(
        "ix_message_urgent",
        "message",
        ["class", "carrier", "due_at"],
        unique=False,
        sqlite_where=sa.text("status = 'queued' AND lease_owner IS NULL AND class = 'alarm'"),
        postgresql_where=sa.text("status = 'queued' AND lease_owner IS NULL AND class = 'alarm'"),
    )
    op.create_index(
        "ix_message_waiting",
        "message",
        ["carrier", "due_at"],
        sqlite_where=sa.text("status = 'queued' AND lease_owner IS NULL"),
        postgresql_where=sa.text("status = 'queued' AND lease_owner IS NULL"),
    )
    op.create_table(
        "media",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("mo", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_media")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_media_mo"), "media", ["mo"], unique=False)
    op.create_index(
        "ix_media_queued",
        "media",
        ["account", "due_at"],
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_media_settled",
        "media",
        ["created_at"],
        sqlite_where=sa.text("status <> 'queued'"),
        postgresql_where=sa.text("status <> 'queued'"),
    )
    devices.create()
    op.create_table(
        "approval",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("submission", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("then_counted", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["submission"], ["submission.id"], name=op.f("fk_approval_submission")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_approval_open",
        "approval",
        ["account", "created_at"],
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(op.f("ix_approval_submission"), "approval", ["submission"], unique=False)
    op.create_table(
        "mo",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("msisdn", sa.Text(), nullable=False),
        sa.Column("our_address", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["conversation"], ["conversation.id"], name=op.f("fk_mo_conversation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mo")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_mo_carrier_event_id"), "mo", ["carrier", "event_id"], unique=True)
    op.create_index(op.f("ix_mo_conversation_created_at"), "mo", ["conversation", "created_at"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("intent_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("carrier_message_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("segments", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["message"], ["message.id"], name=op.f("fk_attempt_message")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_attempt_carrier_carrier_message_id"),
        "attempt",
        ["carrier", "carrier_message_id"],
    )
    op.create_index(op.f("ix_attempt_message"), "attempt", ["message"], unique=False)
