"""What a mail asks for: where its addresses lead, and what its writer wants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mail2sms import numbers
from mail2sms.errors import Problem, Refusal
from mail2sms.model import Conversation, Msisdn, Origin, Submission, Writer
from mail2sms.store.teaching import NOBODY, Asking


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where one RCPT address leads: to the template, to phones, or into a conversation (by its reply key).

    To none of them leads the mailbox of a device.
    """

    phones: tuple[Msisdn, ...] = ()
    team: str = ""  # whose the phones are
    is_template: bool = False
    reply_key: str = ""
    key: str = field(default="", repr=False, compare=False)  # of the writer: it leads nowhere else

    @property
    def group(self) -> Target:
        """What gets the text together: each conversation by itself, all others as one."""
        return self if self.reply_key else NOWHERE

    @property
    def to(self) -> str:
        """What a To field would say instead."""
        return f"@{self.team}" if self.team else numbers.display(self.phones[0])


NOWHERE = Target()
FindConversation = Callable[[Target], Awaitable[Conversation]]
"""Returns the conversation of a reply address. Raises Refusal when its key is none."""

WouldJoin = Callable[[Submission], Awaitable[bool]]
"""Returns whether another SMS will probably tell of a machine's alarm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a proven writer's mail asks for, read but not judged, and what of it could not be read.

    `refusal` is why none could be read: then there are no submissions, but those in `late` where only its time is
    over, which may have been accepted before. `is_by_template`: the template was followed; else the mail is simple.
    `rcpts` are the addresses of the envelope: the id of the submission that each became part of, and its phones (none:
    all of it). `answers_notice`: it is an answer to an email that we wrote about a mail: of what is wrong with such a
    one no email tells, since a program may have written it that would answer again. `asking` want to be told by a
    report. `owner` is told for a machine; `unfit` is what is wrong with its pictures, none of which goes with its text.
    """

    writer: Writer
    origin: Origin
    submissions: tuple[Submission, ...]
    refusal: Refusal | None = None
    is_by_template: bool = False
    late: tuple[Submission, ...] = ()
    rcpts: tuple[tuple[str, tuple[Msisdn, ...]], ...] = ()
    answers_notice: bool = False
    asking: Asking = NOBODY
    owner: str = ""
    unfit: tuple[Problem, ...] = ()
