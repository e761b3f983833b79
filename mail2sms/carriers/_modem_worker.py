"""The process that speaks with one modem, by gammu; the only importer of gammu, and of nothing of ours.

`python -I _modem_worker.py TRACE` runs under any Python that has gammu. It reads orders from standard input, one JSON
object a line, and answers each with one: `{"done": ..}`, or `{"failed": WORD}`, gammu's own name of the error or one
of ours in lower case. Numbers, texts and PINs pass through these pipes alone. TRACE is a file of no name, shared with
whoever started us: what gammu writes about the order that is under way, and so what went to the modem, even if we are
killed. gammu sends nothing twice by itself (Init(Replies=1), its default). When the device goes, so do we.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

try:
    import gammu
except ImportError:  # told to whoever asks
    gammu = None

_LOOK_S = 1.0  # how often we look whether the device is still there, and what it has to say
_MOST_ITEMS, _MOST_SKIPPED = 40, 300  # at once
_MOST_OURS = 1000  # a SIM has room for 255; some modems name a place again and again
_LONGEST_READ_S = 60.0  # where each entry is asked for by itself; after twice that we would be killed
_UNREADABLE = ("CORRUPTED", "UNKNOWN", "NOTSUPPORTED", "INVALIDLOCATION", "UNKNOWNRESPONSE")  # of one entry
_EVENTS = 20  # that may wait: gammu keeps ten
_SIM_TRIES = 15  # it may take some seconds after its PIN
_GONE = 3  # our exit status when the device is
_PDU = re.compile(rb"^([0-9A-Fa-f]{30,400})\s*$", re.MULTILINE)  # on a line of its own
_NOT_GAMMUS = (TypeError, ValueError, OverflowError, MemoryError)  # what it raises of what it can't convert


class Failed(Exception):
    """An order that could not be done, as a word."""


class Modem:
    """One modem. `trace` is where gammu writes."""

    def __init__(self, trace: BinaryIO) -> None:
        self._trace = trace
        self._machine: Any = None
        self._direct: list[dict[str, Any]] = []  # what came at once, and is nowhere but here
        self._events = 0

    def open(self, *, device: str, connection: str) -> dict[str, Any]:
        """Connect; return which code the SIM wants."""
        if gammu is None:
            raise Failed("no_gammu")
        threading.Thread(target=_leave_with, args=(device,), daemon=True).start()
        # 2,1,,1: texts are kept and told, reports come at once; what a crash loses of these leaves `enroute`.
        config = f"[gammu]\ndevice={device}\nconnection={connection}\natgen_setcnmi=2,1,,1,0\n"
        written = os.memfd_create("gammurc")
        os.write(written, config.encode())
        self._machine = gammu.StateMachine()
        self._machine.ReadConfig(Filename=f"/proc/self/fd/{written}")
        os.close(written)
        self._machine.Init()
        self._machine.SetDebugLevel("text")
        self._machine.SetDebugFile(self._trace)
        self._machine.SetIncomingCallback(self._told)
        return {"wants": self._machine.GetSecurityStatus()}

    def unlock(self, *, pin: str) -> dict[str, Any]:
        """Tell the SIM its PIN, once."""
        self._machine.EnterSecurityCode("PIN", pin)
        return {}

    def look(self, *, reports: bool, centre: str) -> dict[str, Any]:
        """Return what the modem is and where it is registered; ask it for reports, and for a `centre`."""
        centre = centre or self._centre()
        try:
            self._machine.SetIncomingSMS(True)
        except gammu.GSMError:
            reports = False
        network = self._asked(self._machine.GetNetworkInfo) or {}
        return {
            "centre": centre,
            "reports": reports,
            "maker": self._asked(self._machine.GetManufacturer) or "",
            "model": (self._asked(self._machine.GetModel) or ("", ""))[1],
            "network": network.get("State", ""),
            "operator": network.get("NetworkName") or network.get("NetworkCode", "").replace(" ", ""),
            "signal": int((self._asked(self._machine.GetSignalQuality) or {}).get("SignalPercent", -1)),
        }

    def _centre(self) -> str:
        for _ in range(_SIM_TRIES):
            try:
                return str(self._machine.GetSMSC(1)["Number"])
            except gammu.ERR_EMPTY:
                return ""
            except gammu.GSMError:
                time.sleep(_LOOK_S)
        return str(self._machine.GetSMSC(1)["Number"])

    def _asked(self, question: Any) -> Any:
        try:
            return question()
        except gammu.GSMError:
            return None

    def send(self, **order: Any) -> dict[str, Any]:
        """Hand over one part; return the modem's reference, -1 when it told none."""
        sms = {
            "Number": order["number"],
            "Text": order["text"],
            "Coding": "Unicode_No_Compression" if order["is_unicode"] else "Default_No_Compression",
            "SMSC": {"Number": order["centre"], "Validity": order["validity"]},
            "Type": "Status_Report" if order["reports"] else "Submit",
        }
        if order["header"]:
            sms["UDH"] = {"Type": "UserUDH", "Text": bytes.fromhex(order["header"])}
        return {"reference": self._machine.SendSMS(sms)}

    def read(self) -> dict[str, Any]:
        """Return what lies in the memories, and what came at once; `skipped`: places that gammu can't read.

        What was written or sent here is passed over, so that no heap of it hides what came.
        """
        self.pump()
        items: list[dict[str, Any]] = []
        skipped = ours = 0
        for item in self._entries():
            if item is None:
                skipped += 1
            elif item["type"] == "Submit":
                ours += 1
            else:
                items.append(item)
            if len(items) == _MOST_ITEMS or skipped == _MOST_SKIPPED or ours == _MOST_OURS:
                break
        self.pump()
        direct, self._direct = self._direct, []
        return {"items": items, "direct": direct, "skipped": skipped}

    def _entries(self) -> Iterator[dict[str, Any] | None]:
        """Yield what lies in the memories, for a minute at most; None for what gammu can't read."""
        unreadable = tuple(getattr(gammu, f"ERR_{name}") for name in _UNREADABLE)
        place, is_start, until_s = 0, True, time.monotonic() + _LONGEST_READ_S
        while time.monotonic() < until_s:
            mark = self._trace.seek(0, os.SEEK_END)
            try:
                (found,) = self._machine.GetNextSMS(Folder=0, Start=is_start, Location=place)
            except gammu.ERR_EMPTY:
                return
            except unreadable:  # gammu looks behind the next place
                place, is_start = place + 1, False
                yield None
                continue
            yield {"place": found["Location"], **self._item(found, mark)}
            place, is_start = found["Location"], False

    def delete(self, *, places: list[int]) -> dict[str, Any]:
        """Make room."""
        for place in places:
            self._machine.DeleteSMS(Folder=0, Location=place)
        return {}

    def pump(self) -> None:
        """Take what the modem said without being asked: gammu gives one event at a time."""
        for _ in range(_EVENTS if self._machine is not None else 0):
            before = self._events
            octets = self._machine.ReadDevice(False)
            if octets < 0 or (not octets and self._events == before):
                return

    def _told(self, _: Any, kind: str, told: Any) -> None:
        self._events += 1
        if kind == "SMS" and isinstance(told, dict) and "Type" in told:  # else its place alone
            self._direct.append(self._item(told, None))

    def _item(self, found: dict[str, Any], mark: int | None) -> dict[str, Any]:
        text = found["Text"]
        is_octets = isinstance(text, bytes)
        return {
            "type": found["Type"],
            "number": found["Number"],
            "octets": text.hex() if is_octets else "",
            "text": "" if is_octets else self._whole(text.partition("\0")[0], found["Coding"], mark),
            "header": found["UDH"]["Text"].hex(),
            "at": str(found["DateTime"] or ""),
            "status": found["DeliveryStatus"],
            "reference": found["MessageReference"],
        }

    def _whole(self, text: str, coding: str, mark: int | None) -> str:
        """Return a text with the half of a surrogate pair that gammu loses at its end, from its PDU."""
        if not text.endswith("\ufffd") or not coding.startswith("Unicode") or mark is None:
            return text
        pdus = _PDU.findall(os.pread(self._trace.fileno(), 1 << 20, mark))
        octets = bytes.fromhex(pdus[-1].decode()) if pdus and len(pdus[-1]) % 2 == 0 else b""
        units = len(text.encode("utf-16-be", "surrogatepass"))
        whole = octets[-units:].decode("utf-16-be", "surrogatepass")
        return whole if whole[:-1] == text[:-1] else text


def _leave_with(device: str) -> None:
    while Path(device).exists():
        time.sleep(_LOOK_S)
    os._exit(_GONE)  # gammu may be waiting for it


def _orders(modem: Modem) -> Iterator[dict[str, Any]]:
    """Yield the orders; in between, hear what the modem says."""
    waiting = b""
    while True:
        if not select.select([0], [], [], _LOOK_S)[0]:
            modem.pump()
            continue
        if not (octets := os.read(0, 65536)):
            return
        waiting += octets
        while b"\n" in waiting:
            line, _, waiting = waiting.partition(b"\n")
            yield json.loads(line)


def main() -> None:
    """Obey until there are no more orders."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trace = os.fdopen(int(sys.argv[1]), "ab")
    modem = Modem(trace)
    failures = (Failed, *((gammu.GSMError,) if gammu else ()))
    for order in _orders(modem):
        word = order.pop("order")
        try:
            answer = {"done": getattr(modem, word)(**order)}
        except failures as e:
            answer = {"failed": str(e) if isinstance(e, Failed) else type(e).__name__}
        except _NOT_GAMMUS:
            answer = {"failed": "unwritable"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
