"""Kill -9 under load: every 250 is on the phone, visibly pending, or `unknown`; nothing twice outside `unknown`.

Usage: kill [CYCLES] [sqlite|postgresql]. Six clients send without pause, and send again what was not answered, with the
same Message-ID, as mail servers do. The phones' file is the oracle: it is written by the carrier, not by the daemon.
"""

from __future__ import annotations

import json
import random
import smtplib
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.servers.daemon import Daemon
from tests.servers.postgresql import PostgreSQL

CLIENTS = 6
_PHONES = [f"3363998{n:04d}" for n in range(1000, 1040)]
_QUIET_S = 30.0


@dataclass(slots=True)
class Figures:
    """What was sent, what was promised, what was found."""

    cycles: int = 0
    acknowledged: int = 0
    on_phone: int = 0
    pending: int = 0
    unknown: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    slowest_start_s: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.cycles} kills, {self.acknowledged} acknowledged: {self.on_phone} on the phone, "
            f"{self.pending} pending, {self.unknown} unknown, "
            f"{len(self.lost)} lost, {len(self.twice)} twice outside unknown; "
            f"slowest start to ready {self.slowest_start_s:.1f} s"
        )


class Client(threading.Thread):
    """Sends one mail after the other; one that got no answer is sent again."""

    def __init__(self, number: int, port: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.stop = port, stop
        self.acknowledged: dict[str, str] = {}  # text -> id
        self.refused: list[str] = []
        self._number = number

    def run(self) -> None:
        """Send until told to stop."""
        count = 0
        while not self.stop.is_set():
            count += 1
            text = f"client {self._number} mail {count}"
            while not self._send(text) and not self.stop.is_set():
                time.sleep(0.02)

    def _send(self, text: str) -> bool:
        # Chosen by the text: when a mail is sent again, its phone is the same.
        phone = _PHONES[hash_of(text) % len(_PHONES)]
        mail = (
            f"From: marie@acme.example\r\nTo: {phone}@sms.acme.example\r\nSubject: x\r\n"
            f"Message-ID: <{text.replace(' ', '.')}@acme.example>\r\n\r\n{text}\r\n"
        )
        try:
            with smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=20) as smtp:
                smtp.ehlo_or_helo_if_needed()
                smtp.mail("marie@acme.example")
                smtp.rcpt(f"{phone}@sms.acme.example")
                code, reply = smtp.data(mail)
        except (OSError, smtplib.SMTPException):
            return False
        if code == 250:
            self.acknowledged[text] = reply.split()[1].decode()
            return True
        if code >= 500:
            self.refused.append(f"{code} {reply!r}")
            return True
        return False


def hash_of(text: str) -> int:
    """Return a number that is the same in every process."""
    return sum(ord(c) * (i + 1) for i, c in enumerate(text))


def run(daemon: Daemon, cycles: int, seed: int = 1) -> Figures:
    """Kill the running daemon `cycles` times under load, let it finish, and compare promises with phones."""
    figures, chance, stop = Figures(), random.Random(seed), threading.Event()
    clients = [Client(number, daemon.smtp_port, stop) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for _ in range(cycles):
        time.sleep(chance.uniform(0.05, 0.6))
        daemon.kill9()
        figures.cycles += 1
        began = time.monotonic()
        daemon.start()
        figures.slowest_start_s = max(figures.slowest_start_s, time.monotonic() - began)
    time.sleep(0.5)
    stop.set()
    for client in clients:
        client.join(30)
    refused = [refusal for client in clients for refusal in client.refused]
    assert not refused, refused[:3]
    acknowledged = {text: id_ for client in clients for text, id_ in client.acknowledged.items()}
    _wait_until_quiet(daemon)
    compare(daemon, acknowledged, figures)
    return figures


def _wait_until_quiet(daemon: Daemon) -> None:
    deadline = time.monotonic() + _QUIET_S
    while time.monotonic() < deadline:
        busy = [
            daemon.api(f"/api/v1/messages?status={status}&limit=1")[1]["items"]
            for status in ("queued", "sending")
        ]
        if not any(busy):
            return
        time.sleep(0.2)


def compare(daemon: Daemon, acknowledged: dict[str, str], figures: Figures) -> None:
    """Hold what was promised (texts with their ids) against what the phones show."""
    shown = Counter(line["shown"]["text"] for line in _phones(daemon) if "shown" in line)
    figures.acknowledged = len(acknowledged)
    for text, id_ in acknowledged.items():
        status = "" if shown[text] == 1 else _status(daemon, id_)
        if shown[text] > 1:
            was_in_doubt = "unknown" in _statuses(daemon, id_)
            figures.unknown += was_in_doubt
            if not was_in_doubt:
                figures.twice.append(id_)
        elif shown[text] == 1:
            figures.on_phone += 1
        elif status == "unknown":
            figures.unknown += 1
        elif status in ("queued", "sending"):
            figures.pending += 1
        else:
            figures.lost.append(f"{id_} {status}")
    # What was stored without being acknowledged may be on a phone too, but never twice.
    figures.twice += [text for text, count in shown.items() if count > 1 and text not in acknowledged]


def _phones(daemon: Daemon) -> list[dict[str, Any]]:
    path = daemon.folder / "phones.jsonl"
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def _status(daemon: Daemon, id_: str) -> str:
    code, message = daemon.api(f"/api/v1/messages/{id_}")
    return str(message["status"]) if code == 200 else f"{code}"


def _statuses(daemon: Daemon, id_: str) -> set[str]:
    code, message = daemon.api(f"/api/v1/messages/{id_}")
    return {event["status"] for event in message["events"]} if code == 200 else set()


def main(argv: list[str]) -> int:
    """Run the proof on the databases asked for; 0 when nothing was lost or sent twice."""
    cycles = int(argv[0]) if argv else 20
    kinds = argv[1:] or ["sqlite", "postgresql"]
    bad = 0
    for kind in kinds:
        if kind == "postgresql":
            with PostgreSQL() as server, Daemon(database=server.create_database()) as daemon:
                figures = run(daemon, cycles)
        else:
            with Daemon() as daemon:
                figures = run(daemon, cycles)
        print(f"{kind}: {figures}", flush=True)
        bad += len(figures.lost) + len(figures.twice)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
