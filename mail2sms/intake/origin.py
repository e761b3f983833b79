"""What of a mail its answers must refer to."""

from __future__ import annotations

from mail2sms.intake.mime import Letter
from mail2sms.model import Origin


def origin(letter: Letter) -> Origin:
    """Return what a threaded answer to it must refer to."""
    references = tuple(dict.fromkeys((*letter.references, *letter.in_reply_to)))
    return Origin(
        source="smtp",
        message_id=letter.message_id,
        subject=letter.subject,
        references=references,
        thread_index=letter.thread_index,
    )
