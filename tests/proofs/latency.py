"""From email to carrier at a steady 50 mails a second; memory at rest; start to ready.

Usage: latency [SECONDS] [sqlite|postgresql]. Measured from the moment the daemon has the mail, before its commit, to
the moment the simulated carrier has the text: both clocks are this machine's. `_AIMS` are for an idle machine.
"""

from __future__ import annotations

import json
import smtplib
import statistics
import sys
import threading
import time

from tests.servers.daemon import Daemon
from tests.servers.postgresql import PostgreSQL

RATE = 50
SESSIONS = 5
_AIMS = {"p50_ms": 15.0, "p99_ms": 100.0, "idle_mb": 130.0, "ready_s": 3.0}  # at most


def _send(port: int, session: int, count: int, began: float, failed: list[str]) -> None:
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=20) as smtp:
        for number in range(count):
            due = began + (number * SESSIONS + session) / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            phone = f"3363998{1000 + session:04d}@sms.acme.example"
            mail = f"From: marie@acme.example\r\nTo: {phone}\r\nSubject: x\r\n\r\nsession {session} mail {number}\r\n"
            try:
                smtp.sendmail("marie@acme.example", [phone], mail)
            except smtplib.SMTPException as e:
                failed.append(repr(e))


def run(daemon: Daemon, seconds: int) -> dict[str, float]:
    """Send for so many seconds; return milliseconds, and how many of how many arrived."""
    count = RATE * seconds // SESSIONS
    failed: list[str] = []
    began = time.monotonic() + 0.2
    threads = [
        threading.Thread(target=_send, args=(daemon.smtp_port, n, count, began, failed))
        for n in range(SESSIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[:3]
    time.sleep(1)
    waits = sorted(_waits(daemon, count * SESSIONS))
    assert len(waits) == count * SESSIONS, (len(waits), count * SESSIONS)
    return {
        "mails": len(waits),
        "rate": len(waits) / seconds,
        "p50_ms": statistics.median(waits),
        "p99_ms": waits[int(len(waits) * 0.99)],
        "max_ms": waits[-1],
    }


def _waits(daemon: Daemon, count: int) -> list[int]:
    lines = (daemon.folder / "phones.jsonl").read_text(encoding="utf-8").splitlines()
    shown = {line["shown"]["id"]: line["shown"]["at"] for line in map(json.loads, lines) if "shown" in line}
    waits: list[int] = []
    before = ""
    while len(waits) < count:
        page = daemon.api(f"/api/v1/messages?limit=100{before}")[1]["items"]
        if not page:
            break
        before = f"&before={page[-1]['id']}"
        waits += [shown[m["id"]] - _ms(m["created_at"]) for m in page if m["id"] in shown]
    return waits


def _ms(text: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(text).timestamp() * 1000)


def main(argv: list[str]) -> int:
    """Print the figures; 0 when they are within the aims."""
    seconds = int(argv[0]) if argv else 20
    is_good = True
    for kind in argv[1:] or ["sqlite", "postgresql"]:
        if kind == "postgresql":
            with PostgreSQL() as server, Daemon(database=server.create_database()) as daemon:
                is_good &= _measure(daemon, seconds, kind)
        else:
            with Daemon() as daemon:
                is_good &= _measure(daemon, seconds, kind)
    return 0 if is_good else 1


def _measure(daemon: Daemon, seconds: int, kind: str) -> bool:
    idle = daemon.rss_mb()
    figures = run(daemon, seconds)
    loaded = daemon.rss_mb()
    daemon.stop()
    daemon.start()
    print(
        f"{kind}: {figures['mails']:.0f} mails at {figures['rate']:.0f}/s, accepted to submitted "
        f"p50 {figures['p50_ms']:.0f} ms, p99 {figures['p99_ms']:.0f} ms, max {figures['max_ms']:.0f} ms; "
        f"RSS idle {idle:.0f} MB, after {loaded:.0f} MB; start to ready {daemon.started_in_s:.1f} s",
        flush=True,
    )
    figures |= {"idle_mb": idle, "ready_s": daemon.started_in_s}
    missed = [f"{name} is over {most:g}" for name, most in _AIMS.items() if figures[name] > most]
    if missed:
        print(f"{kind}: {', '.join(missed)}", flush=True)
    return not missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
