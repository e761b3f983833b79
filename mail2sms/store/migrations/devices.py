"""The tables of devices, as the first migration makes them: history, never edited."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Create the tables of devices and their alarms."""
    _table(
        "device",
        "name",
        times=("heard_at", "watched_at", "quiet_ms"),
        optional_times=("silent_at",),
        key=("account", "name"),
    )
    silent = sa.text("silent_at > 0")
    op.create_index(
        "ix_device_silent", "device", ["account", "silent_at"], sqlite_where=silent, postgresql_where=silent
    )
    _table(
        "storm",
        "id device",
        counts=("sent",),
        times=("window_end",),
        optional=("fold", "more"),
    )
    _table(
        "fold",
        "id storm kind",
        counts=("parts", "linked_parts", "alarms", "left_out", "is_same"),
        times=("first_at", "last_at", "until"),
        optional_times=("acknowledged_at",),
        optional=("acknowledged_by",),
    )
    op.create_index(op.f("ix_fold_storm"), "fold", ["storm"], unique=False)
    _table(
        "alarm",
        "id fold",
        counts=("left_out", "is_acknowledged"),
        times=("told_at", "last_at", "until"),
    )
    for name in ("fold", "until"):
        op.create_index(op.f(f"ix_alarm_{name}"), "alarm", [name], unique=False)


def _table(
    name: str,
    texts: str,
    *,
    counts: tuple[str, ...] = (),
    times: tuple[str, ...] = (),
    optional_times: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    key: tuple[str, ...] = ("id",),
) -> None:
    op.create_table(
        name,
        *(sa.Column(each, sa.Text(), nullable=False) for each in ("account", *texts.split())),
        *(sa.Column(each, sa.Integer(), nullable=False) for each in counts),
        *(sa.Column(each, sa.BigInteger(), nullable=False) for each in times),
        *(sa.Column(each, sa.BigInteger(), nullable=True) for each in optional_times),
        *(sa.Column(each, sa.Text(), nullable=True) for each in optional),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}")),
        sqlite_with_rowid=False,
    )
