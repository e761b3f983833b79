"""What the accounts at carriers have left: asked for by one node, seen by all, told to administrators when low."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from mail2sms.ids import derive_id
from mail2sms.money import Money
from mail2sms.store import schema
from mail2sms.store.inserts import anew_with_names, insert_rows
from mail2sms.store.put import insert_notices
from mail2sms.store.rows import EMAIL, VALID_MS, NewNotice, clock_ms
from mail2sms.store.writer import Verb

balance = schema.balance


def carrier_notice(
    row: Row[Any], kind: str, to: str, once: str, now: int, said: Mapping[str, Any]
) -> NewNotice:
    """Return what tells an administrator of a carrier; of those with the same `once` there is one."""
    return NewNotice(
        id=derive_id("n", row.account, row.carrier, kind, once, to),
        account=row.account,
        kind=kind,
        channel=EMAIL,
        address=to,
        payload=json.dumps({"carrier": row.carrier, **said}).encode(),
        created_at=now,
        due_at=now,
        expires_at=now + VALID_MS,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """Whether it is time to ask for the balance at a carrier: by nobody since `every_ms`, and then by one alone."""

    account: str
    carrier: str
    every_ms: int


def _ask(connection: Connection, askings: Sequence[Asking]) -> list[bool]:
    return [_ask_one(connection, asking) for asking in askings]


def _ask_one(connection: Connection, asking: Asking) -> bool:
    now: int = connection.execute(select(clock_ms(connection))).scalar_one()
    mine = {"account": asking.account, "carrier": asking.carrier}
    first = {**mine, "asked_at": now, "at": None, "millionths": 0, "currency": "", "told": ""}
    if insert_rows(connection, balance, [first], anew_with_names):
        return True
    # Ahead of now: the machine was started anew, or the database's clock set back.
    is_old = or_(balance.c.asked_at <= now - asking.every_ms, balance.c.asked_at > now)
    due = update(balance).filter_by(**mine).where(is_old)
    return bool(connection.execute(due.values(asked_at=now)).rowcount)


ASK: Verb[Asking, bool] = Verb(_ask)


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What an account has `left`, as its provider said at `at`; below `below`, `to` is told, once until it is not."""

    account: str
    carrier: str
    left: Money
    at: int
    below: Money | None = None
    to: tuple[str, ...] = ()

    @property
    def is_low(self) -> bool:
        """Whether it is less than it should be; amounts of two currencies do not compare."""
        below = self.below
        return below is not None and below.currency == self.left.currency and self.left < below


def _note(connection: Connection, lefts: Sequence[Left]) -> list[bool]:
    return [_note_one(connection, left) for left in lefts]


def _note_one(connection: Connection, new: Left) -> bool:
    mine = update(balance).filter_by(account=new.account, carrier=new.carrier)
    values = {"at": new.at, "millionths": new.left.millionths, "currency": new.left.currency}
    row = connection.execute(mine.values(**values).returning(*balance.c)).first()
    if row is None or bool(row.told) == new.is_low or (new.is_low and not new.to):
        return False
    connection.execute(mine.values(told=" ".join(new.to) if new.is_low else ""))
    if not new.is_low:
        return False
    below = new.below or new.left
    said = {
        "left": [new.left.millionths, new.left.currency],
        "below": [below.millionths, below.currency],
    }
    insert_notices(
        connection, [carrier_notice(row, "balance", to, str(new.at), new.at, said) for to in new.to]
    )
    return True


NOTE: Verb[Left, bool] = Verb(_note, wakes=lambda _, is_told: ("notice",) * is_told)


def read_balances(connection: Connection, account: str) -> dict[str, tuple[Money, int]]:
    """Return what is left by carrier, and when it was said."""
    rows = connection.execute(select(balance).where(balance.c.account == account, balance.c.at.is_not(None)))
    return {row.carrier: (Money(row.millionths, row.currency), row.at) for row in rows}
