"""Moments as people type them: of this place, at this time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from datetime import time as clock_time

from mail2sms.cli import Exit, Failed
from mail2sms.errors import BadOption
from mail2sms.options import read_duration_ms


def now() -> datetime:
    """Return this moment, in the zone of this place."""
    return datetime.now().astimezone()


def read_at(text: str, now: datetime) -> str:
    """Return a moment of this place as ISO 8601 with its offset. A time alone is the next such time."""
    try:
        found = clock_time.fromisoformat(text)
    except ValueError:
        return _iso(text, "08:00 or 2026-05-12T14:30")
    moment = datetime.combine(now.date(), found)
    if moment.astimezone() <= now:
        moment += timedelta(days=1)
    return moment.astimezone().isoformat()


def _iso(text: str, examples: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise Failed(Exit.USAGE, f'"{text}" is no time; write it like {examples}') from e
    return (moment if moment.tzinfo else moment.astimezone()).isoformat()


def read_since(text: str) -> str:
    """Return the moment that is so long ago (`2h`), or that is named, as ISO 8601. Raises Failed."""
    try:
        return (datetime.now(UTC) - timedelta(milliseconds=read_duration_ms(text))).isoformat()
    except BadOption:
        return _iso(text, "2h, 7d or 2026-05-12T14:30")
