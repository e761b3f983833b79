"""What detectors ask before `accept` judges: counters of the past days, and which phones were written to lately."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection, func, literal, select

from mail2sms.model import Msisdn
from mail2sms.rules._base import Facts, Questions
from mail2sms.rules._limits import PREFIXED
from mail2sms.store import counters, facts
from mail2sms.store.schema import message


def read(connection: Connection, account: str, phones: Collection[Msisdn], asked: Questions) -> Facts:
    """Return what is known of these phones, and the answers."""
    found = facts.facts(connection, account, phones)
    if not asked.keys:
        return found
    return replace(
        found,
        tallies=counters.taken(connection, asked.keys),
        blocks={block: _reached(connection, account, block, asked) for block in asked.blocks},
    )


def _reached(connection: Connection, account: str, block: str, asked: Questions) -> frozenset[Msisdn]:
    """Return which phones of a block were written to, each found by one step in the index however often it was."""
    lowest, highest = block + "0" * PREFIXED, block + "9" * PREFIXED
    of = (message.c.account == account, message.c.msisdn <= highest)
    first = select(func.min(message.c.msisdn).label("phone")).where(*of, message.c.msisdn >= lowest)
    step = first.cte("step", recursive=True)
    after = select(func.min(message.c.msisdn)).where(*of, message.c.msisdn > step.c.phone).scalar_subquery()
    step = step.union_all(select(after).where(step.c.phone.is_not(None)))
    lately = (
        select(literal(1))
        .where(message.c.account == account, message.c.msisdn == step.c.phone)
        .where(message.c.created_at >= asked.since)
        .exists()
    )
    query = select(step.c.phone).where(func.length(step.c.phone) == len(lowest), lately).limit(asked.most)
    return frozenset(map(Msisdn, connection.scalars(query)))
