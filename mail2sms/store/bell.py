"""Waking the loops of other nodes: PostgreSQL's LISTEN/NOTIFY, on a connection and thread of its own.

A bell that is lost costs nothing but time: the loops also look by themselves every second.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import cache

from sqlalchemy import Connection, Engine, exc, func, select, text

_POLL_S = 0.5


@cache
def _node(_process: int) -> str:
    """What this process is called, not those that it was forked from."""
    return secrets.token_hex(4)


def ring(connection: Connection, topics: Sequence[str]) -> None:
    """Tell the other nodes, when this transaction commits, that these topics have work."""
    connection.execute(select(func.pg_notify("mail2sms", " ".join((_node(os.getpid()), *topics)))))


class Bell:
    """Listens until stopped; `heard(topic)` is called on the thread."""

    def __init__(self, engine: Engine, heard: Callable[[str], None]) -> None:
        self._engine = engine
        self._heard = heard
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="store-bell", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join(5)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen_once()
            except exc.DBAPIError:
                self._stop.wait(1)

    def _listen_once(self) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("LISTEN mail2sms"))
            driver = connection.connection.driver_connection
            assert driver is not None
            while not self._stop.is_set():
                for notification in driver.notifies(timeout=_POLL_S, stop_after=1):
                    self._hear(notification.payload)

    def _hear(self, payload: str) -> None:
        node, *topics = payload.split()
        for topic in topics if node != _node(os.getpid()) else ():
            self._heard(topic)
