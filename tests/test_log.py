"""What the log says is what its table has: every event and every field, and none that nothing logs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mail2sms
from mail2sms import log

_CALLED = {f"log.{level}" for level in ("debug", "info", "warning", "error", "critical")}
_ADDED = {"event", "level", "timestamp"}  # by structlog


@cache
def trees() -> tuple[ast.AST, ...]:
    """The program, but for the log itself; read when a test asks, since each worker imports this file."""
    paths = Path(mail2sms.__file__).parent.rglob("*.py")
    return tuple(ast.parse(path.read_text(encoding="utf-8")) for path in paths if path != Path(log.__file__))


def calls() -> Iterator[ast.Call]:
    """Every call of the log."""
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _CALLED:
                yield node


def words() -> set[str]:
    """Every string that stands in the program."""
    nodes = (node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in nodes if isinstance(node.value, str)}


def test_every_event_is_in_the_table() -> None:
    """A log can be searched by what the table says."""
    said = {call.args[0].value for call in calls() if isinstance(call.args[0], ast.Constant)}
    assert said - log.EVENTS == set()
    assert len(said) > 50


def test_the_table_has_nothing_else() -> None:
    """An event that nothing logs would be waited for in vain."""
    assert log.EVENTS - words() == {"daemon_crashed"}  # the log's own


def test_every_field_leaves_the_process() -> None:
    """One that is not in the table would be dropped in silence."""
    fields = {keyword.arg for call in calls() for keyword in call.keywords if keyword.arg}
    assert fields - log.FIELDS == set()
    assert log.FIELDS - fields - _ADDED - words() == set()
