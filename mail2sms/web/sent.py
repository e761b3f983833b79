"""What was handed to the demo's SMTP listener, by the page or any mail program, and what the listener said.

Knows neither: who keeps a mail here says what it was.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

_KEPT = 200
_RAW_BYTES, _TEXT_CHARACTERS = 64_000, 10_000  # of each mail, as far as it is shown


@dataclass(frozen=True, kw_only=True, slots=True)
class SentMail:
    """An email that was handed over. `text` is what the listener reads of it, `raw` its beginning.

    Of one that was refused before it was read, only recipient and reply may be known.
    """

    at: int
    rcpts: tuple[str, ...]
    code: int
    reply: str
    message_id: str = ""
    sender: str = ""
    subject: str = ""
    size_bytes: int = 0
    is_reply: bool = False
    text: str = field(default="", repr=False)
    raw: bytes = field(default=b"", repr=False)

    @property
    def to(self) -> str:
        """The recipients, as a header shows them."""
        return ", ".join(self.rcpts)

    @property
    def id(self) -> str:
        """What the listener calls it: `m-` its first message, `n-` the notice that says why there is none."""
        words = self.reply.split()
        return words[1] if self.code < 300 and len(words) > 1 else ""

    @property
    def is_told(self) -> bool:
        """Whether it was taken only to be refused by an email."""
        return self.id.startswith("n-")

    @property
    def is_refused(self) -> bool:
        """Whether nothing of it becomes an SMS, whoever says so."""
        return self.code >= 400 or self.is_told


class SentMails:
    """The newest, oldest first; with `path` they are in a file that survives."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._mails: deque[SentMail] = deque(maxlen=_KEPT)
        self.count = 0
        if path is not None and path.exists():
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):  # torn by a full disk
                    self._mails.append(_read(json.loads(line)))

    def __iter__(self) -> Iterator[SentMail]:
        return iter(tuple(self._mails))

    def add(self, mail: SentMail) -> None:
        """Keep an email."""
        text, raw = mail.text[:_TEXT_CHARACTERS], mail.raw[:_RAW_BYTES]
        kept = replace(mail, size_bytes=len(mail.raw), text=text, raw=raw)
        self._mails.append(kept)
        self.count += 1
        if self._path is not None:
            line = json.dumps({**asdict(kept), "raw": kept.raw.decode("latin-1")}) + "\n"
            with contextlib.suppress(OSError), self._path.open("a", encoding="ascii") as file:
                file.write(line)  # what it misses, the cards will after a restart


def became(sent: Iterable[SentMail], messages: Collection[str], message_id: str | None) -> SentMail | None:
    """Return the email that became these messages, by what the listener answered or by its Message-ID."""
    taken = [mail for mail in sent if not mail.is_refused]
    answered = [mail for mail in taken if mail.id in messages]
    named = [mail for mail in taken if message_id and mail.message_id == message_id]
    return next(iter(answered + named), None)


def _read(values: dict[str, Any]) -> SentMail:
    return SentMail(**{**values, "rcpts": tuple(values["rcpts"]), "raw": values["raw"].encode("latin-1")})
