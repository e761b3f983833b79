"""The options of `retention`: how long what is personal is kept."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationInfo, field_validator

from mail2sms.errors import BadOption
from mail2sms.options import DurationMs, Options, write_duration
from mail2sms.store.retention import PHOTOS, RECORDS, TEXTS

_DAY_MS = 86_400_000
_LEAST_MS = 7 * _DAY_MS  # emails are tried for five days


class RetentionOptions(Options):
    """How long things are kept after the last that happened to them; then they are erased. Opt-outs stay."""

    photos: DurationMs = 30 * _DAY_MS
    """What phones sent beside texts, and the pictures of mails. Example: 30d"""
    text: DurationMs = 90 * _DAY_MS
    """What was written, its subject, and what was told of it. Example: 90d"""
    records: DurationMs = 730 * _DAY_MS
    """Who was written to by whom, when, and what became of it. Example: 2y"""

    @field_validator("photos", "text", "records")
    @classmethod
    def _is_enough(cls, value: int, info: ValidationInfo) -> int:
        before = {"text": "photos", "records": "text"}.get(info.field_name or "", "")
        least = max(_LEAST_MS, info.data.get(before, 0))
        if value < least:
            why = (
                f"{before} are kept for {write_duration(least)}"
                if least > _LEAST_MS
                else "emails may wait for days"
            )
            raise BadOption(f"that is too short: {why}", f"at least {write_duration(least)}")
        return value

    def kept_ms(self) -> Mapping[str, int]:
        """Return how long each kind is kept."""
        return {PHOTOS: self.photos, TEXTS: self.text, RECORDS: self.records}
