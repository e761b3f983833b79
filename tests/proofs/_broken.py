"""Daemons that break a promise, for negative controls: the product's code, patched while Python starts."""

from __future__ import annotations

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]

NOT_SYNCED = """
import sqlite3

class Connection(sqlite3.Connection):
    def execute(self, sql, *values):
        return super().execute(sql.replace("synchronous=FULL", "synchronous=NORMAL"), *values)

def connect(*words, _connect=sqlite3.connect, **options):
    return _connect(*words, **{"factory": Connection, **options})

sqlite3.connect = sqlite3.dbapi2.connect = connect
"""
"""SQLite commits without fsync, as it does with synchronous=NORMAL."""

ALWAYS_CONTENT = """
from mail2sms.store import put, writer

def fail(self, batch, error):
    self._forget()
    for waiting in batch:
        if waiting.verb is put.PUT:
            waiting.result = put.Stored(repeated={})
        else:
            waiting.error = writer.StoreUnavailable(type(error).__name__)

writer.Writer._fail = fail
"""
"""A mail that could not be written is answered like one that was."""

ALONE = """
from mail2sms.store import Store

def prepare(self, _prepare=Store._prepare):
    _prepare(self)
    self._anchor.close()
    self._anchor = None
    self._read_engine.dispose()

async def read(self, *words, _read=Store.read, **more):
    try:
        return await _read(self, *words, **more)
    finally:
        self._read_engine.dispose()

Store._prepare, Store.read = prepare, read
"""
"""No reader stays: the writer's connection is SQLite's only one; closing it ends the log, or leaves it to recovery."""

RELAYS = """
from mail2sms.intake import reading

def find(self, address, _find=reading.Reader._find_target):
    return _find(self, "33639985678@" + self._desk.domain)

reading.Reader._find_target = find
"""
"""Every address is taken."""

LOOSE_ENDS = """
import re
from mail2sms.intake import smtp_syntax

def feed(self, chunk, _feed=smtp_syntax.Collector.feed):
    return _feed(self, re.sub(rb"\\r?\\n\\.\\r?\\n", rb"\\r\\n.\\r\\n", chunk))

smtp_syntax.Collector.feed = feed
"""
"""A mail ends with any line end, a dot, and any line end."""

KEEPS_CLEAR_TEXT = """
from mail2sms.intake import smtp

async def upgrade(self):
    kept = self.unread.take_all()
    self.link.write(b"220 2.0.0 ready to start TLS\\r\\n")
    await self._shake_hands()
    self.unread.feed(kept)
    return ""

smtp.Session._upgrade = upgrade
"""
"""What came in clear behind STARTTLS is read as if it had come over TLS (CVE-2011-0411 and its like)."""

NO_BUDGET = """
from mail2sms.intake import limits

limits.Budget.room = lambda self, *, is_trusted: 1 << 60
"""
"""Mails take as much memory as they like."""

NO_LIMIT = """
from mail2sms.intake import limits

def connect(self, ip, *, is_exempt):
    self.connections += 1
    self._strangers += not is_exempt
    self._per_ip[limits.neighbourhood(ip)] += 1
    return ""

limits.Budget.connect = connect
"""
"""Everybody is let in."""


def breaker(folder: Path, patch: str) -> list[str | Path]:
    """Return the command before the daemon's that runs `patch` in it first; `folder` is an empty one."""
    # Python imports a module of this name by itself.
    (folder / "sitecustomize.py").write_text(patch, encoding="utf-8")
    return ["env", f"PYTHONPATH={folder}:{_CHECKOUT}"]
