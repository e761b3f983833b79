"""What is counted, and reserved in the transaction that queues: no limit is ever exceeded by one.

The counters of a batch are locked, in one order on all nodes, and read; everything is decided here, in memory, while
nobody else can change them; what was added is written before the transaction ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, select, update

from mail2sms.rules._base import Reservation
from mail2sms.store.inserts import insert_rows
from mail2sms.store.rows import NewMessage
from mail2sms.store.schema import counter

_CHUNK = 1000  # values in one IN: databases have ceilings
_ADD = (
    update(counter)
    .where(counter.c.key == bindparam("of"))
    .values(amount=counter.c.amount + bindparam("more"))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exceeded:
    """A reservation that would have gone over its limit, of which `used` was taken."""

    reservation: Reservation
    used: int


class Ledger:
    """The counters of one batch, with what was added to them."""

    def __init__(self, amounts: Mapping[str, int]) -> None:
        self._amounts = dict(amounts)
        self._added: Counter[str] = Counter()

    @classmethod
    def lock(cls, connection: Connection, wishes: Iterable[Reservation]) -> Ledger:
        """Make the counters that are missing, and lock all until the transaction ends: in one order on all nodes."""
        untils = {wish.key: wish.until for wish in wishes}
        keys = sorted(untils)
        insert_rows(connection, counter, [{"key": key, "amount": 0, "until": untils[key]} for key in keys])
        return cls(taken(connection, keys, is_locking=True))

    def reserve(self, wishes: Sequence[Reservation]) -> Exceeded | None:
        """Take all that is wished for, or nothing; return what stands in the way, of several what ends last."""
        over = [
            Exceeded(reservation=wish, used=self._amounts[wish.key])
            for wish in wishes
            if self._amounts[wish.key] + wish.amount > wish.limit
        ]
        if over:
            return max(over, key=lambda exceeded: exceeded.reservation.until)
        self._add(wishes, 1)
        return None

    def admit(self, messages: Sequence[NewMessage]) -> dict[str, Exceeded]:
        """Reserve for the messages of one email or API call; return those that may not be, by their ids."""
        refused: dict[str, Exceeded] = {}
        taken: list[Reservation] = []
        shared: dict[str, Reservation] = {}
        for new in messages:
            own = [wish for wish in new.reservations if not wish.is_shared]
            exceeded = self.reserve(own)
            if exceeded is not None:
                refused[new.mt.id] = exceeded
                continue
            taken += own
            for wish in new.reservations:
                if wish.is_shared:
                    known = shared.get(wish.key, replace(wish, amount=0))
                    shared[wish.key] = replace(wish, amount=known.amount + wish.amount)
        exceeded = self.reserve(list(shared.values()))
        if exceeded is not None:
            self._add(taken, -1)
            refused = {new.mt.id: refused.get(new.mt.id, exceeded) for new in messages}
        return refused

    def _add(self, wishes: Iterable[Reservation], sign: int) -> None:
        for wish in wishes:
            self._amounts[wish.key] += sign * wish.amount
            self._added[wish.key] += sign * wish.amount

    def write(self, connection: Connection) -> None:
        """Write what was added."""
        rows = [{"of": key, "more": more} for key, more in self._added.items() if more]
        if rows:
            connection.execute(_ADD, rows)


def taken(connection: Connection, keys: Sequence[str], *, is_locking: bool = False) -> dict[str, int]:
    """Return how much is taken of each of these; with `is_locking` they stay so until the end."""
    amounts = dict.fromkeys(keys, 0)
    for start in range(0, len(keys), _CHUNK):
        chosen = counter.c.key.in_(keys[start : start + _CHUNK])
        query = select(counter.c.key, counter.c.amount).where(chosen).order_by(counter.c.key)
        rows = connection.execute(query.with_for_update() if is_locking else query)
        amounts |= {row.key: row.amount for row in rows}
    return amounts
