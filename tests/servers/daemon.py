"""Our own daemon as a black box: started by its command line, asked through its doors, killed at any time."""

from __future__ import annotations

import contextlib
import json as jsons
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from tests.servers._server import Server, answers, free_port

DOMAIN = "sms.acme.example"
KEY = "a-long-random-key-for-tests-only-0001"
_CHECKOUT = Path(__file__).resolve().parents[2]

_MINIMAL = {
    "domain": DOMAIN,
    "country": "FR",
    "mode": "{mode}",
    "database": '"{database}"',
    "listen": '{{smtp: {{address: "127.0.0.1:{smtp_port}"}}, '
    'web: {{address: "127.0.0.1:{web_port}", url: "http://127.0.0.1:{web_port}"}}}}',
    "senders": '[{{from: "*@acme.example", network: 127.0.0.1}}]',
    "users": '{{marie@acme.example: {{name: Marie Dubois, number: "+33639980101"}}}}',
    "countries": "[FR]",
    "carriers": "{{sim: {{type: simulated}}}}",
    "routes": "[{{to: any, via: [sim]}}]",
    "relay": '{{smarthost: {{address: "127.0.0.1:{smarthost_port}"}}}}',
    "api": '{{keys: [{{name: test, key: "{key}", may: [read, send]}}]}}',
}


def minimal_config(
    *,
    database: str,
    smtp_port: int,
    web_port: int,
    smarthost_port: int = 2526,
    mode: str = "simulate",
    extra: str = "",
) -> str:
    """Return the smallest mail2sms.yaml that sends, with `extra` YAML; its top-level keys replace the minimal ones."""
    replaced = set(re.findall(r"^(\w+):", extra, re.MULTILINE))
    facts = {"database": database, "smtp_port": smtp_port, "web_port": web_port, "mode": mode, "key": KEY}
    lines = [
        f"{key}: {value.format(**facts, smarthost_port=smarthost_port)}"
        for key, value in _MINIMAL.items()
        if key not in replaced
    ]
    return "\n".join([*lines, extra, ""])


class Daemon(Server):
    """`mail2sms serve` on ports of its own. `start()` after `stop()` or `kill9()` goes on with the same data."""

    name = "daemon"
    start_timeout_s = 60.0  # on a machine with other work; proofs that promise a quick start measure it

    def __init__(
        self,
        *,
        database: str = "",
        smarthost_port: int = 2526,
        mode: str = "simulate",
        extra: str = "",
        env: dict[str, str] | None = None,
        smtp_port: int = 0,
        web_port: int = 0,
        wrap: Sequence[str | Path] = (),
    ) -> None:
        """`wrap`: a command that starts the daemon's and ends up as the same process, as `env` and `strace -D` do."""
        super().__init__()
        self.wrap = wrap
        self.smtp_port, self.web_port = smtp_port or free_port(), web_port or free_port()
        self.database = database or f"sqlite:///{self.folder}/mail2sms.db"
        self.config = self.folder / "mail2sms.yaml"
        self.config.write_text(
            minimal_config(
                database=self.database,
                smtp_port=self.smtp_port,
                web_port=self.web_port,
                smarthost_port=smarthost_port,
                mode=mode,
                extra=extra,
            ),
            encoding="utf-8",
        )
        # As systemd gives them: where the control socket and the simulated phones live.
        folders = {"RUNTIME_DIRECTORY": str(self.folder), "STATE_DIRECTORY": str(self.folder)}
        self._env = {**os.environ, **folders, "PYTHONUNBUFFERED": "1", **(env or {})}

    @property
    def pid(self) -> int:
        """The process id of the daemon's main process."""
        assert self._child is not None, "the daemon is not running"
        return self._child.pid

    def api(self, path: str, method: str = "GET", json: Any = None) -> tuple[int, Any]:
        """Ask the API (or any other path) with the key; return the HTTP status and the parsed answer."""
        body = None if json is None else jsons.dumps(json).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url(path), data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _parsed(answer.read())
        except urllib.error.HTTPError as e:
            with e:
                return e.code, _parsed(e.read())

    def phone(self, msisdn: str) -> list[dict[str, Any]]:
        """What one simulated phone shows, oldest first."""
        status, messages = self.api(f"/sim/phones/{quote(msisdn, safe='')}")
        assert status == 200, (status, messages)
        assert isinstance(messages, list)
        return messages

    def phone_says(self, msisdn: str, text: str, to: str) -> None:
        """Let a simulated phone write to our number `to`."""
        status, answer = self.api(f"/sim/phones/{quote(msisdn, safe='')}", "POST", {"text": text, "to": to})
        assert 200 <= status < 300, (status, answer)

    def kill9(self) -> None:
        """Kill it and its helpers at once, as a power cut would; `start()` goes on with the same data."""
        self._end(signal.SIGKILL)

    def rss_mb(self) -> float:
        """Resident memory of the daemon and its helpers, in MB (10**6 bytes)."""
        main = psutil.Process(self.pid)
        return sum(process.memory_info().rss for process in [main, *main.children(recursive=True)]) / 1e6

    def peak_mb(self) -> float:
        """The most memory that the daemon itself ever had, in MB."""
        told = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(told.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def _launch(self) -> None:
        command = [*self.wrap, sys.executable, "-m", "mail2sms", "serve", "--config", str(self.config)]
        self._spawn(command, env={**self._env, "PYTHONPATH": str(_CHECKOUT)})

    def _is_ready(self) -> bool:
        if not answers(self.web_port):
            return False
        with contextlib.suppress(OSError):
            status, _ = self.api("/healthz")
            return status == 200
        return False

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.web_port}{path}"


def _parsed(body: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return jsons.loads(body)
    return body.decode("utf-8", "replace")
