"""Everything that can go wrong and that somebody will act on: by who must act.

`Refusal` is for the writer, `SendFailed` and its three kinds for the dispatcher, `StoreUnavailable` for
whoever must say "try again". Texts are for their reader; secrets and message texts never appear in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing to put right. `reason` is a code of `reasons.REASONS`.

    `line` and `column` count from 1 in the text of the mail (0: no place); `width` is how many characters the
    caret underlines; `value` is what was found there, `hint` what was probably meant; `facts` fill the reason's
    text (`country`, `limit`, ...), all as text.
    """

    reason: str
    value: str = ""
    hint: str = ""
    line: int = 0
    column: int = 0
    width: int = 1
    facts: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """We say no to the writer. All problems together, the first one first; `corrected` is the mail to send instead.

    `is_example`: not all of `corrected` is what the writer wrote, or meant for certain. `source` are the lines the
    problems point into (what the writer sent, as read); `text` is what was to be sent, where `corrected` is empty.
    """

    def __init__(
        self,
        *problems: Problem,
        corrected: str = "",
        is_example: bool = False,
        source: tuple[str, ...] = (),
        text: str = "",
    ) -> None:
        super().__init__(", ".join(problem.reason for problem in problems))
        self.problems = problems
        self.corrected = corrected
        self.is_example = is_example
        self.source = source
        self.text = text


class BadNumber(ValueError):
    """Text that is no phone number we may write to. `reason`, `hint` and `facts` as in `Problem`."""

    def __init__(self, reason: str, hint: str = "", **facts: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.facts = facts


class BadPicture(ValueError):
    """A picture that can't be sent: its place among those of a mail, and the reason."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        self.reason = reason


class SendFailed(Exception):
    """A carrier did not take a part. `code` is the carrier's own, `detail` its meaning, fit for the writer.

    `retry_after_s` is the carrier's wish; with `same_carrier` the next attempt stays with it (throttling).
    """

    def __init__(
        self, code: str, detail: str = "", *, retry_after_s: float | None = None, same_carrier: bool = False
    ) -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.same_carrier = same_carrier


class Unavailable(SendFailed):
    """Certainly not taken: try later or elsewhere."""


class Unsuited(Unavailable):
    """Certainly not taken, for something about this message: it says nothing of how others fare."""


class Misconfigured(Unavailable):
    """Not taken, and nothing will be until the operator acts: the account, its credentials or its credit."""


class Refused(SendFailed):
    """Certainly not taken, and never will be."""


class OptedOut(Refused):
    """Not taken: the phone told the carrier that it wants no messages from this sender."""


class Uncertain(SendFailed):
    """May have been taken: the answer was lost. Trying again may send it twice."""


class FetchFailed(Exception):
    """What came with an MMS is not had. `why` is a word: host, size, type, gone, redirects, unavailable, unsupported.

    `is_final`: it never will be; else it is tried again. `host` is whose it was said to be.
    """

    def __init__(self, why: str, *, is_final: bool = False, host: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.is_final = is_final
        self.host = host


class DeliveryFailed(Exception):
    """An email or a chat post did not leave. `is_final`: it never will; else it is tried again.

    `word` says why in the log, `detail` to the operator: it may repeat what a server said.
    """

    def __init__(
        self,
        detail: str,
        *,
        word: str = "refused",
        is_final: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.word = word
        self.detail = detail
        self.is_final = is_final
        self.retry_after_s = retry_after_s


class KeyReused(Exception):
    """An API client used an idempotency key for something else: `id`, at `at`, was the first."""

    def __init__(self, id_: str, at: int) -> None:
        super().__init__(id_)
        self.id = id_
        self.at = at


class StoreUnavailable(Exception):
    """Our database did not say that it committed: nothing is promised, the client may try again."""


class BadOption(ValueError):
    """A value of the configuration that can't be read. `hint` is what to write instead.

    `column` (from 1; 0: none) and `width` are the place in the value.
    """

    def __init__(self, message: str, hint: str = "", *, column: int = 0, width: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.column, self.width = column, width
