"""A GSM modem for tests, on a pseudo-terminal: the AT commands of 3GPP TS 27.005 and 27.007 that gammu uses.

`taken` is the truth: the PDUs that would reach phones. Faults are used up one for each AT+CMGS, in the order of their
coming. It echoes, as gammu wants it, asks for a PIN where it has one, keeps texts in its memory, and can be unplugged.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import threading
import tty
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_CTRL_Z, _ESCAPE = b"\x1a", b"\x1b"
_MEMORY: Final = "SM"
FAULTS: Final = (
    "unplug before prompt",
    "silent before prompt",
    "unplug after prompt",
    "unplug after pdu",
    "unplug after taking",
    "unplug in answer",
    "silent after pdu",
    "silent after taking",
    "error N",
    "error N before prompt",
    "plain error",
    "late",
    "no reference",
)


def _swapped(digits: str) -> bytes:
    even = digits + "F" * (len(digits) % 2)
    return bytes(int(even[n + 1] + even[n], 16) for n in range(0, len(even), 2))


def _address(number: str) -> bytes:
    digits = number.removeprefix("+")
    return bytes((len(digits), 0x91 if number != digits else 0x81)) + _swapped(digits)


_CENTRE: Final = bytes.fromhex("07913386094000F0")
STAMP: Final = "26112607450080"  # of 2026-11-26 07:45:00


def deliver(
    number: str, octets: bytes, length: int, *, coding: int = 0, header: bool = False, at: str = STAMP
) -> str:
    """Return the PDU of a text from a phone (3GPP TS 23.040 section 9.2.2.1); `length` as TP-UDL counts."""
    first = bytes((0x44 if header else 0x04,))
    return (
        (_CENTRE + first + _address(number) + bytes((0, coding)) + _swapped(at) + bytes((length,)) + octets)
        .hex()
        .upper()
    )


def report(reference: int, number: str, status: int, *, at: str = STAMP) -> str:
    """Return the PDU of a status report (section 9.2.2.3)."""
    return (
        (_CENTRE + bytes((6, reference)) + _address(number) + _swapped(at) * 2 + bytes((status,)))
        .hex()
        .upper()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """A submit that was taken (section 9.2.2.2), as a phone would read it."""

    number: str
    wants_report: bool
    has_header: bool
    coding: int
    validity: int
    length: int
    octets: bytes = field(repr=False)


def submitted(pdu: str) -> Submitted:
    """Read a PDU that was taken."""
    octets = bytes.fromhex(pdu)
    octets = octets[1 + octets[0] :]
    first, digits = octets[0], octets[2]
    end = 4 + (digits + 1) // 2
    swapped = octets[4:end].hex().upper()
    number = "".join(swapped[n + 1] + swapped[n] for n in range(0, len(swapped), 2))[:digits]
    return Submitted(
        number=f"+{number}" if octets[3] == 0x91 else number,
        wants_report=bool(first & 0x20),
        has_header=bool(first & 0x40),
        coding=octets[end + 1],
        validity=octets[end + 2],
        length=octets[end + 3],
        octets=octets[end + 4 :],
    )


@dataclass(eq=False)
class Modem:
    """One modem, plugged in at `path`. `pin` empty: the SIM asks for none; `size` is how many texts it keeps."""

    path: Path
    pin: str = ""
    centre: str = "+33689004000"
    registered: int = 1  # of +CREG
    signal: int = 20  # of +CSQ
    size: int = 10
    late_s: float = 1.0
    is_silent: bool = False
    is_unlistable: bool = False  # says nothing when it is asked what is in its memory
    taken: list[str] = field(default_factory=list)  # PDUs, in hexadecimal
    faults: deque[str] = field(default_factory=deque)
    stored: dict[int, str] = field(default_factory=dict)  # PDUs, by place
    commands: list[str] = field(default_factory=list)
    pins: list[str] = field(default_factory=list)  # that were tried
    reference: int = 0  # TP-MR of the next
    reports: str = "off"  # told by +CNMI: off, direct
    _is_locked: bool = False
    _line: int = -1  # our end of the pseudo-terminal
    _input: bytes = b""
    _length: int | None = None  # of the PDU that is awaited
    _thread: threading.Thread | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @contextlib.contextmanager
    def plugged_in(self) -> Iterator[Modem]:
        """Be there until the end of the block."""
        self.plug()
        try:
            yield self
        finally:
            self.unplug()

    def plug(self) -> None:
        """Appear; the SIM asks for its PIN again."""
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        with self._lock:
            self._line, self._input, self._length = ours, b"", None
            self._is_locked = bool(self.pin)
            self.reports = "off"
        self.path.symlink_to(os.ttyname(theirs))
        os.close(theirs)
        self._thread = threading.Thread(target=self._attend, args=(ours,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Disappear."""
        with self._lock:
            self.path.unlink(missing_ok=True)
            line, self._line = self._line, -1
            if line >= 0:
                os.close(line)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def bring(self, pdu: str) -> None:
        """A text or report from the network: kept in memory, and told."""
        with self._lock:
            place = next(n for n in range(1, self.size + 1) if n not in self.stored)
            self.stored[place] = pdu
            self._write(f'\r\n+CMTI: "{_MEMORY}",{place}\r\n')

    def report(self, pdu: str) -> bool:
        """A status report from the network; return whether it was told."""
        with self._lock:
            if self.reports != "direct":
                return False
            self._write(f"\r\n+CDS: {len(pdu) // 2 - 1}\r\n{pdu}\r\n")
            return True

    def _attend(self, line: int) -> None:
        while self._line == line:
            with contextlib.suppress(OSError, ValueError):
                if not select.select([line], [], [], 0.05)[0]:
                    continue
            with self._lock:
                if self._line != line:
                    return
                try:
                    octets = os.read(line, 4096)
                except OSError:  # nobody has it open
                    octets = b""
                if octets:
                    self._take(octets)
            if not octets:
                threading.Event().wait(0.02)

    def _write(self, text: str) -> None:
        if self._line >= 0:
            with contextlib.suppress(OSError):
                os.write(self._line, text.encode("ascii"))

    def _take(self, octets: bytes) -> None:
        if self.is_silent:
            return
        self._write(octets.replace(_CTRL_Z, b"").replace(_ESCAPE, b"").decode("ascii", "replace"))  # the echo
        self._input += octets
        while self._line >= 0:
            if self._length is not None:
                if _ESCAPE in self._input:
                    self._length, self._input = None, self._input.partition(_ESCAPE)[2]
                    self._write("\r\nOK\r\n")
                    continue
                pdu, end, rest = self._input.partition(_CTRL_Z)
                if not end:
                    return
                self._input = rest
                self._submitted(pdu.decode("ascii").strip())
                continue
            line, end, rest = self._input.replace(_ESCAPE, b"").partition(b"\r")
            if not end:
                return
            self._input = rest
            command = line.decode("ascii", "replace").strip()
            if command:
                self.commands.append(command)
                self._obey(command)

    def _submitted(self, pdu: str) -> None:
        length, self._length = self._length, None
        fault = self.faults.popleft() if self.faults else ""
        if fault == "unplug after pdu":
            return self.unplug()
        if fault == "silent after pdu":
            self.is_silent = True
            return None
        if error := re.fullmatch(r"error (\d+)", fault):
            return self._write(f"\r\n+CMS ERROR: {error[1]}\r\n")
        if fault == "plain error":
            return self._write("\r\nERROR\r\n")
        if len(pdu) // 2 - 1 - int(pdu[:2] or "0", 16) != length:
            return self._write("\r\n+CMS ERROR: 304\r\n")
        self.taken.append(pdu)
        if fault == "unplug after taking":
            return self.unplug()
        if fault == "silent after taking":
            self.is_silent = True
            return None
        if fault == "late":
            threading.Event().wait(self.late_s)
        reference, self.reference = self.reference, (self.reference + 1) % 256
        if fault == "unplug in answer":
            self._write(f"\r\n+CMGS: {reference}\r\n")
            threading.Event().wait(0.2)
            return self.unplug()
        said = "" if fault == "no reference" else f"\r\n+CMGS: {reference}\r\n"
        return self._write(f"{said}\r\nOK\r\n")

    def _asked_to_send(self, length: int) -> None:
        fault = self.faults[0] if self.faults else ""
        if fault.endswith("before prompt"):
            self.faults.popleft()
            if fault.startswith("unplug"):
                self.unplug()
            elif fault.startswith("silent"):
                self.is_silent = True
            else:
                self._write(f"\r\n+CMS ERROR: {fault.split()[1]}\r\n")
            return
        self._length = length
        if fault == "unplug after prompt":
            self.faults.popleft()
            self._write("\r\n> ")
            threading.Event().wait(0.05)
            self.unplug()
            return
        self._write("\r\n> ")

    def _obey(self, command: str) -> None:
        name = command.upper()
        if send := re.fullmatch(r"AT\+CMGS=(\d+)", name):
            return self._asked_to_send(int(send[1]))
        if name.startswith("AT+CPIN="):
            return self._pin(command.partition("=")[2].strip('"'))
        if (
            self._is_locked
            and name.startswith(("AT+CM", "AT+CPMS", "AT+CSCA", "AT+CNMI"))
            and "CMEE" not in name
        ):
            return self._write("\r\n+CMS ERROR: 311\r\n")
        if self.is_unlistable and name.startswith("AT+CMGL"):
            return None
        answer = self._answer(name)
        self._write("\r\nERROR\r\n" if answer is None else f"{answer}\r\nOK\r\n")
        return None

    def _pin(self, pin: str) -> None:
        self.pins.append(pin)
        if pin != self.pin:
            return self._write("\r\n+CME ERROR: 16\r\n")
        self._is_locked = False
        return self._write("\r\nOK\r\n")

    def _answer(self, name: str) -> str | None:
        used = f"{len(self.stored)},{self.size}"
        fixed = {
            "AT": "",
            "ATE1": "",
            "AT+CFUN=1": "",
            "AT+CHUP=?": "",
            "AT+CGMI": "\r\nACME\r\n",
            "AT+CGMM": "\r\nTEST 1\r\n",
            "AT+CGMR": "\r\n1.0\r\n",
            "AT+CGSN": "\r\n350000000000000\r\n",
            "AT+CMGF?": "\r\n+CMGF: 0\r\n",
            "AT+CMGF=?": "\r\n+CMGF: (0,1)\r\n",
            "AT+CPIN?": f"\r\n+CPIN: {'SIM PIN' if self._is_locked else 'READY'}\r\n",
            "AT+CREG=2": "",
            "AT+CREG?": f'\r\n+CREG: 2,{self.registered},"00A1","0000B2C3"\r\n',
            "AT+CGREG=2": "",
            "AT+CGREG?": f'\r\n+CGREG: 2,{self.registered},"00A1","0000B2C3"\r\n',
            "AT+COPS?": '\r\n+COPS: 0,2,"20801"\r\n' if self.registered in (1, 5) else "\r\n+COPS: 0\r\n",
            "AT+CGATT?": "\r\n+CGATT: 1\r\n",
            "AT+CSQ": f"\r\n+CSQ: {self.signal},99\r\n",
            "AT+CSCA?": f'\r\n+CSCA: "{self.centre}",145\r\n',
            "AT+CSCS=?": '\r\n+CSCS: ("GSM","UCS2")\r\n',
            "AT+CSCS?": '\r\n+CSCS: "GSM"\r\n',
            "AT+CPMS=?": '\r\n+CPMS: ("SM"),("SM"),("SM")\r\n',
            "AT+CPMS?": f'\r\n+CPMS: "SM",{used},"SM",{used},"SM",{used}\r\n',
            "AT+CNMI=?": "\r\n+CNMI: (0-2),(0-3),(0,2),(0-2),(0,1)\r\n",
            "AT+CMGL=4": self._listed(),
        }
        if name in fixed:
            return fixed[name]
        if name.startswith('AT+CPMS="SM"'):
            return f"\r\n+CPMS: {used},{used},{used}\r\n"
        if name.startswith("AT+CNMI="):
            self.reports = {"1": "direct"}.get(name.partition("=")[2].split(",")[3], "off")
            return ""
        if name.startswith(("AT+CMEE=", "AT+CMGF=0", "AT+CSCS=", "AT+CREG=", "AT+CGREG=", "AT+COPS=")):
            return ""
        return self._at_place(name)

    def _at_place(self, name: str) -> str | None:
        found = re.fullmatch(r"AT\+CMG([RD])=(\d+)", name)
        if found is None:
            return None
        place = int(found[2])
        if found[1] == "D":
            self.stored.pop(place, None)
            return ""
        pdu = self.stored.get(place)
        return f"\r\n+CMGR: 1,,{len(pdu) // 2 - 1 - int(pdu[:2], 16)}\r\n{pdu}\r\n" if pdu else ""

    def _listed(self) -> str:
        return "".join(
            f"\r\n+CMGL: {place},1,,{len(pdu) // 2 - 1 - int(pdu[:2], 16)}\r\n{pdu}"
            for place, pdu in sorted(self.stored.items())
        ) + ("\r\n" if self.stored else "")
