"""The file read again while the daemon runs: what may be applied, or why nothing is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mail2sms.config.changes import Changes, compare
from mail2sms.config.check import again
from mail2sms.config.findings import render
from mail2sms.config.schema import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """So many errors, the first on this line (0: of no line); `report` shows them as `check` does."""

    count: int
    line: int
    report: str


def read(path: Path, old: Settings) -> Changes | Refused:
    """Judge the file, and the files that it names. Takes its time: not for the event loop."""
    settings, report = again(path)
    if settings is None or report.errors:
        errors = report.errors
        return Refused(
            count=len(errors), line=errors[0].line, report=render(report, colour=False).rstrip("\n")
        )
    return compare(old, settings)
