"""The switch that stops all sending: one for all nodes, in the store, so that it outlives them.

After its commit no intent is committed. On PostgreSQL an advisory lock orders the two: intents share it, the switch
has it alone; on SQLite there is one writer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, exists, func, select

from mail2sms.store.inserts import insert_rows
from mail2sms.store.schema import setting
from mail2sms.store.writer import Verb

_KEY = "stopped"
_LOCK = 0x6D32735F73746F70  # "m2s_stop": this database's other advisory locks have other numbers

ALLOWED = ~exists().where(setting.c.key == _KEY)
"""Whether anything may leave, as a condition of a statement."""

STEADY = func.pg_advisory_xact_lock_shared(_LOCK)
"""On PostgreSQL, selected before such a statement: it stays so until the transaction ends."""


_STOPPED = select(setting.c.value).where(setting.c.key == _KEY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Since when nothing leaves. With `refuses`, mail is refused meanwhile; else it is taken, and waits."""

    at: int
    refuses: bool = False


def stopped(connection: Connection) -> Stop | None:
    """Return how sending is stopped; None while it is not."""
    value = connection.scalar(_STOPPED)
    return None if value is None else Stop(**json.loads(value))


def _switch(connection: Connection, wishes: Sequence[Stop | None]) -> list[None]:
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    for wish in wishes:
        connection.execute(delete(setting).where(setting.c.key == _KEY))
        if wish is not None:
            insert_rows(connection, setting, [{"key": _KEY, "value": json.dumps(asdict(wish))}])
    return [None] * len(wishes)


SWITCH: Verb[Stop | None, None] = Verb(_switch, wakes=lambda wish, _: ("mt",) * (wish is None), is_alone=True)
