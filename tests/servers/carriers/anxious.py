"""A carrier with a mistake, for a negative control: what certainly never left counts as "may have been taken"."""

from __future__ import annotations

from pathlib import Path

from mail2sms.errors import SendFailed, Uncertain
from mail2sms.http import NotSent
from tests.servers.carriers.posting import Options, Posting


class Anxious(Posting):
    """Believes that everything may have arrived."""

    def not_sent(self, failure: NotSent) -> SendFailed:
        return Uncertain("not_sent", failure.detail)


def build(name: str, options: Options, folder: Path) -> Anxious:
    """Return a carrier of this name."""
    return Anxious(name, options)
