"""What is due and does not leave, and why: for health, the watchdog's line and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, func, select

from mail2sms.breaker import Breaker
from mail2sms.money import Money
from mail2sms.store import schema
from mail2sms.store.balances import read_balances
from mail2sms.store.notice_views import Untold, untold
from mail2sms.store.outages import down
from mail2sms.store.sending import Stop, stopped

message = schema.message


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """How many messages are due and wait, and since when the first of them has been due (epoch ms).

    `stop` says that none of them leaves, `down` which carriers do not take them, `untold` what people are owed, `left`
    what accounts at carriers have left, and when that was said.
    """

    count: int
    oldest: int | None
    stop: Stop | None = None
    down: Mapping[str, Breaker] = field(default_factory=dict)
    untold: Mapping[str, Untold] = field(default_factory=dict)
    left: Mapping[str, tuple[Money, int]] = field(default_factory=dict)


def backlog(connection: Connection, now: int, account: str = "") -> Backlog:
    """Return what is due and not yet under way, what is untold, of all accounts, and which carriers of one are down."""
    is_due = and_(schema.WAITING, message.c.due_at <= now)
    count, oldest = connection.execute(select(func.count(), func.min(message.c.due_at)).where(is_due)).one()
    stop, broken, owed = stopped(connection), down(connection, account), untold(connection)
    left = read_balances(connection, account)
    return Backlog(count=count, oldest=oldest, stop=stop, down=broken, untold=owed, left=left)
