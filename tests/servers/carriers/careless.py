"""A carrier with a mistake, for a negative control: a lost answer counts as "not taken", so it is sent again."""

from __future__ import annotations

from pathlib import Path

from mail2sms.errors import SendFailed, Unavailable
from mail2sms.http import NoAnswer
from tests.servers.carriers.posting import Options, Posting


class Careless(Posting):
    """Believes that no answer is a no."""

    def no_answer(self, failure: NoAnswer) -> SendFailed:
        return Unavailable("no_answer", failure.detail)


def build(name: str, options: Options, folder: Path) -> Careless:
    """Return a carrier of this name."""
    return Careless(name, options)
