"""The same with a mistake, for a negative control: a page with an error counts as "not taken", so it is sent again."""

from __future__ import annotations

from pathlib import Path

from mail2sms.errors import Unavailable, Uncertain
from mail2sms.http import Answer
from mail2sms.model import Taken
from tests.servers.carriers.provided import Options, Provided


class Forgetful(Provided):
    """Believes that whatever is no id is a no."""

    def accepted(self, answer: Answer) -> Taken:
        """Take doubt for a no."""
        try:
            return super().accepted(answer)
        except Uncertain as e:
            raise Unavailable(e.code) from e


def build(name: str, options: Options, folder: Path) -> Forgetful:
    """Return a carrier of this name."""
    return Forgetful(name, options, "")
