"""Named crash points: at each the daemon dies once and starts again; what then is must be exactly what is said here.

Usage: crash [sqlite|postgresql]. A client without its 250 sends again under the same Message-ID, as mail servers do;
then the phone answers, as often as its carrier needs to be heard.
"""

from __future__ import annotations

import contextlib
import email
import smtplib
import sys
from dataclasses import dataclass

from tests.servers._server import StartFailed, wait_until
from tests.servers.daemon import _CHECKOUT, Daemon
from tests.servers.postgresql import PostgreSQL
from tests.servers.sink import MailSink

PHONE, OURS = "+33639981234", "+33639980101"
TO = f"{PHONE[1:]}@sms.acme.example"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What is after the restart: had the client its 250, what the message is, how often it is on the phone.

    `replies` is how often the reply email arrived: twice is allowed only under one Message-ID.
    """

    is_answered: bool
    status: str = "delivered"
    sms: int = 1
    replies: int = 1


_AGAIN = State(is_answered=False)
_KEPT = State(is_answered=True)
_IN_DOUBT = State(is_answered=True, status="unknown", sms=0)
POINTS = {
    "before-insert": _AGAIN,
    "after-insert": _AGAIN,
    "after-commit": _AGAIN,
    "before-250": _AGAIN,
    "after-claim-at-rate": _KEPT,
    "after-intent-at-rate": _IN_DOUBT,
    "before-intent": _KEPT,
    "after-intent-insert": _KEPT,
    "after-intent": _IN_DOUBT,
    "before-send": _IN_DOUBT,
    "before-answer": _KEPT,  # the report, which comes after the restart, settles it
    "after-answer": _KEPT,
    "before-outcome": _KEPT,
    "after-outcome-insert": _KEPT,
    "after-outcome": _KEPT,
    "before-mo": _KEPT,
    "after-mo-insert": _KEPT,
    "after-mo": _KEPT,
    "before-email": _KEPT,
    "after-email": State(is_answered=True, replies=2),
    "after-email-mark": _KEPT,
}
_SOON_S, _AFTER_LEASE_S = 4, 20  # a dead node's lease lasts 15 s on PostgreSQL; SQLite has no other node
OF_THE_REPLY = frozenset(point for point in POINTS if "-mo" in point or "-email" in point)


class Crashing(Daemon):
    """A daemon that dies at `point` until it is healed."""

    def __init__(self, point: str, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._env["MAIL2SMS_CRASH_AT"] = point

    def heal(self) -> None:
        """Start again without the point."""
        self._env.pop("MAIL2SMS_CRASH_AT", None)
        self.kill9()
        self.start()

    def _launch(self) -> None:
        command = [sys.executable, "-m", "tests.servers.crashing", "serve", "--config", str(self.config)]
        self._spawn(command, env={**self._env, "PYTHONPATH": str(_CHECKOUT)})


def observe(point: str, database: str = "") -> State:
    """Let the daemon die at one point, start it again, and say what is."""
    rate = ", rate: 10/s" if "-at-rate" in point else ""
    extra = f"carriers: {{sim: {{type: simulated, delay: 200ms{rate}}}}}\n"
    with (
        MailSink() as sink,
        Crashing(point, database=database, smarthost_port=sink.port, extra=extra) as daemon,
    ):
        is_answered = _send(daemon)
        if point in OF_THE_REPLY:
            assert wait_until(lambda: _status(daemon) == "delivered", 15)
            _answer(daemon)
        assert wait_until(lambda: not daemon.is_running, 15), f"{point} was never passed"
        daemon.heal()
        if not is_answered:
            assert _send(daemon), "refused when sent again"
        # On PostgreSQL the dead node's lease runs out first.
        assert wait_until(lambda: _status(daemon) in ("delivered", "unknown"), 40), _status(daemon)
        wait_until(lambda: _status(daemon) == "delivered", 2)
        patience_s = _AFTER_LEASE_S if database else _SOON_S
        if point not in OF_THE_REPLY or not wait_until(lambda: bool(sink.messages), patience_s):
            _answer(daemon)
        sink.wait_for(1)
        is_twice = wait_until(lambda: len(sink.messages) > 1, patience_s)
        ids = {email.message_from_bytes(raw)["Message-ID"] for raw in sink.messages}
        assert len(ids) == 1, ids
        return State(
            is_answered=is_answered,
            status=_status(daemon),
            sms=len(daemon.phone(PHONE)),
            replies=1 + is_twice,
        )


def _send(daemon: Daemon) -> bool:
    mail = f"From: marie@acme.example\r\nTo: {TO}\r\nSubject: x\r\nMessage-ID: <1@acme.example>\r\n\r\nBonjour\r\n"
    try:
        with smtplib.SMTP("127.0.0.1", daemon.smtp_port, "client.example", timeout=15) as smtp:
            smtp.sendmail("marie@acme.example", [TO], mail)
    except (OSError, smtplib.SMTPException):
        return False
    return True


def _answer(daemon: Daemon) -> None:
    """The phone writes; a carrier whose event was not stored brings it again: here the next call does."""
    with contextlib.suppress(OSError, AssertionError):
        daemon.phone_says(PHONE, "Oui", OURS)


def _status(daemon: Daemon) -> str:
    try:
        items = daemon.api("/api/v1/messages")[1]["items"]
    except (OSError, KeyError, TypeError, StartFailed):
        return ""
    return str(items[0]["status"]) if items else ""


def main(argv: list[str]) -> int:
    """Observe every point on the databases asked for; 0 when all is as it must be."""
    wrong = 0
    for kind in argv or ["sqlite", "postgresql"]:
        with PostgreSQL() if kind == "postgresql" else contextlib.nullcontext() as server:
            for point, expected in POINTS.items():
                found = observe(point, server.create_database() if server else "")
                is_right = found == expected
                wrong += not is_right
                print(
                    f"{kind} {point}: {'as it must be' if is_right else f'{found}, not {expected}'}",
                    flush=True,
                )
    print(f"{len(POINTS)} points, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
