"""One alarm of a device as it comes, and that its device was heard of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select, update

from mail2sms.alarm import Alarm
from mail2sms.ids import derive_id
from mail2sms.model import Submission
from mail2sms.store.inserts import insert_rows
from mail2sms.store.rows import EMAIL, VALID_MS, NewMessage, NewNotice
from mail2sms.store.schema import device, fold, storm


@dataclass(frozen=True, kw_only=True, slots=True)
class Raised:
    """One alarm: its submission, with the messages that it would be if it were sent alone."""

    submission: Submission
    messages: tuple[NewMessage, ...]
    at: int

    @property
    def alarm(self) -> Alarm:
        """Whose it is."""
        assert self.submission.alarm is not None
        return self.submission.alarm

    @property
    def account(self) -> str:
        """Whose everything is."""
        return self.submission.writer.account

    @property
    def text(self) -> str:
        """What it says, as it would be sent, without a link to its pictures: that is never twice the same."""
        return self.submission.text

    @property
    def storm(self) -> str:
        """The key of its device with these recipients."""
        return _storm_of(self.submission)

    @property
    def key(self) -> str:
        """The key of its text there."""
        return derive_id("t", self.storm, self.text)


def _storm_of(submission: Submission) -> str:
    device = submission.alarm.device if submission.alarm else ""
    return derive_id("w", submission.writer.account, device, *sorted(submission.recipients))


def would_join(connection: Connection, submission: Submission, now: int) -> bool:
    """Return whether an SMS waits that will probably tell of this alarm too: its own pictures are then not needed."""
    known = connection.execute(select(storm).where(storm.c.id == _storm_of(submission))).first()
    if known is None:
        return False
    ids = [id_ for id_ in (known.fold, known.more) if id_]
    ends = connection.scalars(select(fold.c.until).where(fold.c.id.in_(ids)))
    return any(until > now for until in ends)


def raised_in(submissions: Sequence[Submission], messages: tuple[NewMessage, ...], at: int) -> Raised | None:
    """Return the alarm that a bundle is, if it is one."""
    if not (messages and submissions) or submissions[0].alarm is None:
        return None
    return Raised(submission=submissions[0], messages=messages, at=at)


def hear(connection: Connection, raised: Sequence[Raised]) -> list[NewNotice]:
    """Note that these devices were heard of, and lock them until the transaction ends: in one order on all nodes.

    Returns what tells that some are back.
    """
    heard: dict[tuple[str, str], Raised] = {}
    for each in raised:
        heard[each.account, each.alarm.device] = each
    back: list[NewNotice] = []
    for account, name in sorted(heard):
        at = heard[account, name].at
        row = {"account": account, "name": name, "heard_at": at, "watched_at": at, "quiet_ms": 0}
        insert_rows(connection, device, [{**row, "silent_at": None}])
        mine = and_(device.c.account == account, device.c.name == name)
        known = connection.execute(select(device).where(mine).with_for_update()).one()
        connection.execute(update(device).where(mine).values(heard_at=at, quiet_ms=0, silent_at=None))
        to = heard[account, name].submission.writer.address
        if known.silent_at is not None and to:
            back.append(notice(account, name, to, "back", at, known.heard_at))
    return back


def notice(account: str, name: str, to: str, kind: str, now: int, heard_at: int) -> NewNotice:
    """Return the email that tells that a device is silent, or back; `heard_at` is when it was heard of before."""
    return NewNotice(
        id=derive_id("n", account, name, kind, str(heard_at)),
        account=account,
        kind=kind,
        channel=EMAIL,
        address=to,
        payload=json.dumps({"device": name, "heard_at": heard_at}).encode(),
        created_at=now,
        due_at=now,
        expires_at=now + VALID_MS,
    )
