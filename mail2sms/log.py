"""The log: one named event per step of a message's life, values as fields. Never texts, numbers or secrets.

Events are the constants below and nothing else, so that a log can be searched by what this file says. On a terminal
lines are for people, otherwise JSON with journald's priority prefix. Only fields of FIELDS leave the process: a new
field is a decision made here.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import MutableMapping
from typing import Any

# structlog.dev imports rich where it is installed, for tracebacks that are never printed here: 5 MB in every daemon.
_has_rich = "rich" in sys.modules
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # None: an import of it fails
import structlog  # noqa: E402

if not _has_rich:
    del sys.modules["rich"]

EVENTS = frozenset(
    {
        "daemon_started", "daemon_ready", "daemon_stopping", "daemon_stopped",
        "daemon_reloaded", "daemon_stalled", "daemon_crashed", "reload_refused", "store_recovered",
        "store_failed", "store_halved", "mail_accepted", "mail_repeated", "mail_refused",
        "smtp_error", "tls_failed", "login_failed", "limit_reached", "sandbox_killed", "api_failed",
        "mt_enroute", "mt_delivered", "mt_failed", "mt_queued", "mt_unknown", "mt_expired",
        "mt_cancelled", "mt_stale", "mt_diverted", "dispatch_failed", "report_stray", "mo_received", "mo_repeated",
        "mo_unrouted", "mo_keyword", "notice_sent", "notice_retry", "notice_dropped", "notice_failed", "relay_failed",
        "carrier_up", "carrier_down", "carrier_misconfigured", "webhook_refused", "webhook_unread", "proxy_refused",
        "mt_answered", "mo_incomplete", "bind_up", "bind_down", "carrier_event_failed",
        "certificate_renewed", "certificate_refused", "device_silent", "alarm_acknowledged", "pictures_killed",
        "pictures_refused", "alarm_without_pictures",
        "media_fetched", "media_retry", "media_failed", "carrier_not_asked", "balance_low", "balance_unknown",
        "approval_decided", "sending_stopped", "sending_resumed",
        "modem_up", "modem_down", "modem_untraced", "modem_unread", "mo_unread",
    }
)  # fmt: skip

FIELDS = frozenset(
    {
        "event", "level", "timestamp", "mt", "mo", "notice", "submission", "count", "carrier", "code", "reason",
        "status", "segments", "attempt", "due_in_s", "error", "peer", "address", "url", "database",
        "mode", "version", "seconds", "kind", "proof", "recipients", "where", "line", "carrier_message_id",
        "applied", "restart", "cost", "approval", "refuses",
    }
)  # fmt: skip

_PRIORITY = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "critical": "<2>"}


def _only_known(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: value for key, value in line.items() if key in FIELDS}


class _Stamper:
    """The time in UTC as ISO 8601 has it: what is the same for all lines of a second is made once."""

    def __init__(self) -> None:
        self._last = (-1, "")  # a second, and how its lines begin; one value, since threads log too

    def __call__(self, _: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        second, of_it = divmod(time.time_ns() // 1000, 1_000_000)
        last, begins = self._last
        if second != last:
            begins = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._last = (second, begins)
        line["timestamp"] = f"{begins}{of_it:06}Z"
        return line


_encode = json.JSONEncoder(
    ensure_ascii=False, default=repr
).encode  # json.dumps would build one for every line


def _json(_: Any, __: str, line: MutableMapping[str, Any]) -> str:
    return _PRIORITY.get(str(line.get("level")), "<6>") + _encode(line)


class _Placed(logging.Formatter):
    """Who logged, and of an error its class and place: what others write, and errors' texts, may be personal."""

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's
        return where(ei[1])

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # logging's
        return ""


def _crashed(kind: type[BaseException] | None, error: BaseException | None, _: Any = None) -> None:
    """Python itself would print the error with its text."""
    if kind is not None and issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), None)
    else:
        log.error("daemon_crashed", error=where(error) if error else str(kind), where=_way(error))


def _way(error: BaseException | None) -> str:
    """Return where an error came by, the place where it began last."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    return " ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)


def configure(level: str = "info") -> None:
    """Send our events to standard error. Other libraries' loggers stay quiet below warning."""
    sys.excepthook = _crashed
    threading.excepthook = lambda thread: _crashed(thread.exc_type, thread.exc_value)
    sys.unraisablehook = lambda ignored: _crashed(ignored.exc_type, ignored.exc_value)
    is_terminal = sys.stderr.isatty()
    render: Any = structlog.dev.ConsoleRenderer() if is_terminal else _json
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _Stamper(),
            _only_known,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Placed("%(name)s: %(levelname)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def where(error: BaseException) -> str:
    """Return an error's class and place: its text may hold personal data and is not logged."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    name = type(error).__name__
    if place is None:
        return name
    return f"{name} {place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}"


log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
