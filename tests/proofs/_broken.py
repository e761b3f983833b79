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

Store._prepare = prepare
"""
"""The writer's connection is SQLite's only one, so that closing it ends the log, or leaves it to be recovered."""


def breaker(folder: Path, patch: str) -> list[str | Path]:
    """Return the command before the daemon's that runs `patch` in it first; `folder` is an empty one."""
    # Python imports a module of this name by itself.
    (folder / "sitecustomize.py").write_text(patch, encoding="utf-8")
    return ["env", f"PYTHONPATH={folder}:{_CHECKOUT}"]
