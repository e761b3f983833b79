"""What one modem must know after a restart: which PIN its SIM has refused, and a key for the ids of its texts.

A SIM locks itself at the third wrong PIN. So a PIN is written down (as a digest) before it is tried: one that was
refused is never tried again, one whose answer was lost once more. Blocking; the file is in the state folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

_MOST_TRIES = 2


class Memory:
    """The file of the carrier `name`. Raises OSError when it can't be written."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"modem-{name}.json"
        self._known = self._read()

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(known, dict):
                return known
        return {}

    def _write(self, **changes: Any) -> None:
        self._known |= changes
        data = json.dumps(self._known).encode()
        made = self._path.with_suffix(".new")
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(handle, data)
            os.fsync(handle)
            if os.geteuid() == 0:  # `doctor` of root's: the daemon must be able to read it
                owner = self._path.parent.stat()
                os.fchown(handle, owner.st_uid, owner.st_gid)
        finally:
            os.close(handle)
        made.replace(self._path)

    def key(self) -> bytes:
        """Return the key, made when it is first asked for."""
        if not isinstance(self._known.get("key"), str):
            self._write(key=secrets.token_hex(32))
        return str(self._known["key"]).encode()

    def may_try(self, pin: str) -> bool:
        """Whether the PIN may be told to the SIM; if so, it is written down first."""
        tries = self._tries(pin)
        if tries >= _MOST_TRIES:
            return False
        self._write(pin=self._digest(pin), tries=tries + 1)
        return True

    def was_refused(self, pin: str) -> bool:
        """Whether the SIM said no to it, or it was tried too often without an answer."""
        return self._tries(pin) >= _MOST_TRIES

    def refused(self) -> None:
        """The SIM said no to what was tried last."""
        self._write(tries=_MOST_TRIES)

    def accepted(self) -> None:
        """The SIM is open: what was tried before does not count any more."""
        if "pin" in self._known:
            self._write(pin="", tries=0)

    def note(self, pid: int, seen: str) -> None:
        """Write down what the daemon's process `pid` sees of the modem, for whoever can't look since it has it open."""
        self._write(pid=pid, seen=seen)

    def seen(self) -> str:
        """Return what the daemon sees of it; "" when no daemon has it open."""
        pid, said = self._known.get("pid"), self._known.get("seen")
        if not isinstance(pid, int) or not isinstance(said, str):
            return ""
        return said if Path(f"/proc/{pid}").exists() else ""

    def _tries(self, pin: str) -> int:
        is_same = hmac.compare_digest(str(self._known.get("pin", "")), self._digest(pin))
        tries = self._known.get("tries", 0)
        return tries if is_same and isinstance(tries, int) else 0

    def _digest(self, pin: str) -> str:
        return hashlib.sha256(self.key() + pin.encode()).hexdigest()
