"""Filling a database of ours with much history or a long queue, by SQL alone: as if it had been running for years.

For each message of the history: its submission and its text, an attempt that was taken, four events; one in ten was
answered, one in thirty could not be delivered, and who wrote was told by an email.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy import text as sql

from mail2sms.model import Msisdn
from mail2sms.store import Store
from mail2sms.store.columns import metadata
from tests.fakes import ACCOUNT
from tests.proofs._statements import Old

GAP_MS = 1_000  # between two messages
_CHUNK = 500_000
_PER_CONVERSATION = 100
_FIRST_PHONE = 30_001_001  # the first thousands misbehave by none of their last four digits
_SPREAD = 7919  # a prime: conversations and due times are not in the order of ids
_QUEUE_MS = 600_000  # before now: the queue is due in these
_DAY = 86_400_000 // GAP_MS

# Column -> expression, for row number `i`. In braces: ids of number `i`, and what `_words` has.
_SUBMISSION = {
    "id": "{m}",
    "account": "{account}",
    "writer": "'marie@acme.example'",
    "language": "'en'",
    "proof": "'network'",
    "source": "'smtp'",
    "message_id": "'<' || {m} || '@acme.example>'",
    "subject": "'Appointment'",
    "refs": "''",
    "left_out": "'[]'",
    "created_at": "{at}",
}
_CONTENT = {
    "id": "{m}",
    "account": "{account}",
    "owner": "{m}",
    "name": "''",
    "media_type": "'text/plain'",
    "data": "{text}",
    "created_at": "{at}",
}
_MESSAGE = {
    "id": "{m}",
    "account": "{account}",
    "submission": "{m}",
    "conversation": "{conversation}",
    "content": "{m}",
    "msisdn": "{phone}",
    "region": "'FR'",
    "sender_id": "'+33639980101'",
    "status": "{status}",
    "reason": "{reason}",
    "detail": "''",
    "encoding": "'gsm7'",
    "segments": "1",
    "class": "'transactional'",
    "route": "'[[\"sim\", null]]'",
    "position": "0",
    "carrier": "'sim'",
    "attempts": "{tries}",
    "fence": "{tries}",
    "due_at": "{at}",
    "expires_at": "{at} + 172800000",
    "created_at": "{at}",
    "updated_at": "{at}",
    "media": "''",
}
_ATTEMPT = {
    "id": "{a}",
    "account": "{account}",
    "message": "{m}",
    "part": "0",
    "number": "1",
    "carrier": "'sim'",
    "intent_at": "{at} + 9",
    "outcome": "'taken'",
    "ended_at": "{at} + 30",
    "carrier_message_id": "{cid}",
    "code": "''",
    "report": "{status}",
}
_EVENT = {
    "account": "{account}",
    "about": "{m}",
    "at": "{at} + step",
    "status": "CASE step WHEN 0 THEN 'queued' WHEN 9 THEN 'sending' WHEN 30 THEN 'enroute' ELSE {status} END",
    "reason": "CASE step WHEN 900 THEN {reason} ELSE '' END",
    "carrier": "'sim'",
    "detail": "''",
}
_MO = {
    "id": "{r}",
    "account": "{account}",
    "carrier": "'sim'",
    "event_id": "{r}",
    "conversation": "{conversation}",
    "msisdn": "{phone}",
    "our_address": "'+33639980101'",
    "at": "{at}",
    "created_at": "{at}",
}
_NOTICE = {
    "id": "{n}",
    "account": "{account}",
    "kind": "CASE WHEN {is_failed} THEN 'undelivered' ELSE 'reply' END",
    "channel": "'email'",
    "address": "'marie@acme.example'",
    "mo": "CASE WHEN {is_failed} THEN NULL ELSE {r} END",
    "message": "CASE WHEN {is_failed} THEN {m} END",
    "reason": "{reason}",
    "status": "'sent'",
    "detail": "''",
    "attempts": "1",
    "fence": "1",
    "due_at": "{at}",
    "expires_at": "{at} + 432000000",
    "created_at": "{at}",
    "updated_at": "{at}",
}
_CONVERSATION = {
    "id": "{c}",
    "account": "{account}",
    "our_address": "'+33639980101'",
    "msisdn": "'+336' || CAST({first_phone} + i AS text)",
    "reply_key": "'abcdefghij'",
    "created_at": "0",
}
_REPEAT = {"key": "{k}", "id": "{m}", "at": "{at}"}
_COUNTER = {"key": "{k}", "amount": "7", "until": "{at}"}
_OPT_OUT = {
    "phone": "{k}",
    "our_address": "''",
    "account": "{account}",
    "source": "'keyword'",
    "keyword": "'STOP'",
    "who": "''",
    "at": "{at}",
}
_AUDIT = {
    "account": "{account}",
    "at": "{at}",
    "who": "''",
    "did": "'opt_out.add'",
    "about": "{k}",
    "detail": "''",
}
_APPROVAL = {
    "id": "{k}",
    "account": "{account}",
    "submission": "{m}",
    "reason": "'held.approval'",
    "detail": "''",
    "status": "'released'",
    "created_at": "{at}",
    "decided_by": "'it@acme.example'",
    "then_counted": "'[]'",
}
_MO_PART = {
    "id": "{r}",
    "account": "{account}",
    "whole": "{k}",
    "number": "1",
    "total": "2",
    "carrier": "'sim'",
    "msisdn": "{phone}",
    "our_address": "'+33639980101'",
    "at": "{at}",
    "created_at": "{at}",
    "mo": "{r}",
}
_DEVICE = {"account": "{account}", "name": "{k}", "heard_at": "{at}", "watched_at": "{at}", "quiet_ms": "0"}
_STORM = {
    "id": "{k}",
    "account": "{account}",
    "device": "{k}",
    "window_end": "{at}",
    "sent": "1",
    "fold": "{m}",
}
_FOLD = {
    "id": "{m}",
    "account": "{account}",
    "storm": "{k}",
    "kind": "'send'",
    "parts": "1",
    "linked_parts": "2",
    "alarms": "3",
    "left_out": "0",
    "is_same": "0",
    "first_at": "{at}",
    "last_at": "{at}",
    "until": "{at}",
}
_ALARM = {
    "id": "{k}",
    "account": "{account}",
    "fold": "{m}",
    "told_at": "{at}",
    "last_at": "{at}",
    "left_out": "0",
    "is_acknowledged": "0",
    "until": "{at} + 604800000",
}
_STRAY = {
    "carrier": "'sim'",
    "carrier_message_id": "{k}",
    "status": "'delivered'",
    "code": "''",
    "at": "{at}",
    "is_opt_out": "0",
}


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How the two databases count, and how they make ids and bytes."""

    series: str
    id: str
    text: str


_SQLITE = _Dialect(
    "(WITH RECURSIVE seq(i) AS (VALUES(:first) UNION ALL SELECT i + 1 FROM seq WHERE i < :last) SELECT i FROM seq)",
    "printf('{}-%016d', {})",
    "CAST({} AS BLOB)",
)
_POSTGRESQL = _Dialect(
    "generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS seq(i)",
    "('{}-' || lpad(CAST({} AS text), 16, '0'))",
    "convert_to({}, 'UTF8')",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """So many messages, the last at `until`, and then `queued` ones, which are due before it.

    `text_every`: one in so many messages of the history still has its text.
    """

    count: int
    until: int
    queued: int = 0
    text_every: int = 1

    @property
    def conversations(self) -> int:
        """How many there are; their messages are spread over all the time."""
        return (self.count + self.queued) // _PER_CONVERSATION + 1

    def old(self, number: int) -> Old:
        """Return one message, with its conversation."""
        conversation = number * _SPREAD % self.conversations
        return Old(
            id=id_of(number),
            conversation=f"c-{conversation:016d}",
            msisdn=Msisdn(f"+336{_FIRST_PHONE + conversation}"),
        )

    def queue_in_order(self) -> list[str]:
        """Return the ids of the queue, the longest due first."""
        numbers = range(self.count + 1, self.count + self.queued + 1)
        return [id_of(number) for number in sorted(numbers, key=lambda i: i * _SPREAD % _QUEUE_MS)]

    def fill(self, url: str) -> None:
        """Make the tables of an empty database, and write all this."""
        asyncio.run(_prepare(url))
        with _loading(url) as connection:
            how = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
            over = self._words(how, f"({self.until} - ({self.count} - i) * {GAP_MS})")
            self._insert(connection, how, over, "conversation", _CONVERSATION, (0, self.conversations - 1))
            all_, days = (1, self.count), max(1, self.count - 3 * _DAY)
            self._insert(connection, how, over, "submission", _SUBMISSION, all_)
            self._insert(connection, how, over, "content", _CONTENT, all_, f"i % {self.text_every} = 0")
            self._insert(connection, how, over, "message", _MESSAGE, all_)
            self._insert(connection, how, over, "attempt", _ATTEMPT, all_)
            self._insert(connection, how, over, "event", _EVENT, all_, steps=(0, 9, 30, 900))
            self._insert(connection, how, over, "mo", _MO, all_, "i % 10 = 3")
            self._insert(connection, how, over, "notice", _NOTICE, all_, "i % 10 = 3 OR {is_failed}")
            self._insert(connection, how, over, "repeat", _REPEAT, (days, self.count))
            self._insert(connection, how, over, "counter", _COUNTER, (days, self.count), "i % 10 = 0")
            self._insert(connection, how, over, "mo_part", _MO_PART, (days, self.count), "i % 10 = 3")
            self._insert(connection, how, over, "stray_report", _STRAY, (days, self.count), "i % 10 = 0")
            self._insert(connection, how, over, "alarm", _ALARM, (days, self.count), "i % 10 = 7")
            for table, row in (("device", _DEVICE), ("storm", _STORM), ("fold", _FOLD)):
                self._insert(connection, how, over, table, row, all_, "i % 10 = 7")
            for table, row in (("opt_out", _OPT_OUT), ("audit", _AUDIT), ("approval", _APPROVAL)):
                self._insert(connection, how, over, table, row, all_, "i % 10 = 5")
            waits = self._words(how, f"({self.until - _QUEUE_MS} + (i * {_SPREAD}) % {_QUEUE_MS})")
            waits |= {"status": "'queued'", "reason": "''", "tries": "0"}
            queue = (self.count + 1, self.count + self.queued)
            self._insert(connection, how, waits, "submission", _SUBMISSION, queue)
            self._insert(connection, how, waits, "content", _CONTENT, queue)
            self._insert(connection, how, waits, "message", _MESSAGE, queue)
            self._insert(connection, how, waits, "event", _EVENT, queue, steps=(0,))

    def _words(self, how: _Dialect, at: str) -> dict[str, str]:
        conversation = f"((i * {_SPREAD}) % {self.conversations})"
        ids = {prefix: how.id.format(prefix, "i") for prefix in ("m", "c", "a", "r", "n", "k", "cid")}
        is_failed = "i % 30 = 7"
        return {
            **ids,
            "account": f"'{ACCOUNT}'",
            "at": at,
            "conversation": how.id.format("c", conversation),
            "first_phone": str(_FIRST_PHONE),
            "is_failed": is_failed,
            "phone": f"'+336' || CAST({_FIRST_PHONE} + {conversation} AS text)",
            "reason": f"CASE WHEN {is_failed} THEN 'carrier.undeliverable' ELSE '' END",
            "status": f"CASE WHEN {is_failed} THEN 'undeliverable' ELSE 'delivered' END",
            "text": how.text.format(
                "'Hello, your appointment is on Tuesday at 14.30, number ' || CAST(i AS text)"
            ),
            "tries": "1",
        }

    def _insert(
        self,
        connection: Connection,
        how: _Dialect,
        words: dict[str, str],
        table: str,
        row: dict[str, str],
        span: tuple[int, int],
        where: str = "i = i",
        steps: tuple[int, ...] = (0,),
    ) -> None:
        """Insert a row for each number of a span and each step."""
        values = ", ".join(row.values()).format(**words)
        each = " UNION ALL ".join(f"SELECT {step} AS step" for step in steps)
        statement = (
            f"INSERT INTO {table} ({', '.join(row)}) SELECT {values} FROM {how.series} "
            f"CROSS JOIN ({each}) AS steps WHERE {where.format(**words)}"
        )
        for first in range(span[0], span[1] + 1, _CHUNK):
            connection.execute(sql(statement), {"first": first, "last": min(span[1], first + _CHUNK - 1)})
            connection.commit()


def id_of(number: int) -> str:
    """Return the id of a message of the history or the queue."""
    return f"m-{number:016d}"


async def _prepare(url: str) -> None:
    store = await Store.open(url)
    await store.close()


def opened(url: str) -> Engine:
    """Return an engine for a database, behind its owner's back."""
    return create_engine(
        url if url.startswith("sqlite:") else make_url(url).set(drivername="postgresql+psycopg")
    )


@contextlib.contextmanager
def _loading(url: str) -> Iterator[Connection]:
    """Open without checks and indexes, which are made when all is there."""
    engine = opened(url)
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if is_sqlite:
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000", "foreign_keys=OFF"):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
        else:
            # Without foreign keys.
            for setting in ("session_replication_role=replica", "maintenance_work_mem='1GB'"):
                connection.exec_driver_sql(f"SET {setting}")
        indexes = [index for table in metadata.sorted_tables for index in table.indexes]
        for index in indexes:
            index.drop(connection)
        connection.commit()
        yield connection
        for index in indexes:
            index.create(connection)
            connection.commit()
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    if not is_sqlite:  # what it does by itself in time
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sql("VACUUM ANALYZE"))
            connection.execute(sql("CHECKPOINT"))
    engine.dispose()
