"""What a mail or API call that comes again is recognised by. Pure."""

from __future__ import annotations

import hashlib

from mail2sms.model import Submission, Writer


def repeat_key(writer: Writer, *what: str) -> str:
    """A re-sent email is known by its sender, Message-ID, recipient and text."""
    return digest(writer.account, writer.address, *what)


def alarm_key(submission: Submission) -> str | None:
    """What recognises a device's mail, which may become part of another's SMS; without Message-ID it is always new."""
    if submission.alarm is None:
        return None
    known = submission.origin.message_id
    what = (known, submission.text) if known else (submission.id,)
    return digest(submission.writer.account, "device", submission.alarm.device, *what)


def digest(*what: str) -> str:
    """Return one short key of several texts."""
    return hashlib.sha256("\0".join(what).encode("utf-8", "surrogatepass")).hexdigest()
