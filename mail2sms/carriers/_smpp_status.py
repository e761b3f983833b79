"""What command_status means: whose fault it is, and so whether a message is tried again. Pure.

Names and numbers: SMPP 3.4 section 5.1.3; 0x100 to 0x104 SMPP 5.0; 0x400 to 0x402 OVHcloud (read 2026-08).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from mail2sms.errors import Refused, SendFailed, Unavailable


class Kind(StrEnum):
    """What is done about a status."""

    THROTTLE = "throttle"  # slow down; the message stays with this carrier
    RETRY = "retry"  # later or elsewhere
    REBIND = "rebind"  # the session is of no use
    CONFIG = "config"  # the operator's to mend
    REFUSE = "refuse"  # never


_T, _R, _B, _C, _F = Kind.THROTTLE, Kind.RETRY, Kind.REBIND, Kind.CONFIG, Kind.REFUSE
STATUSES: Final[dict[int, tuple[Kind, str, str]]] = {
    0x01: (_F, "RINVMSGLEN", "the text is too long for it"),
    0x02: (_F, "RINVCMDLEN", "it does not understand us"),
    0x03: (_F, "RINVCMDID", "it does not offer this"),
    0x04: (_B, "RINVBNDSTS", "it does not know us as bound"),
    0x05: (_B, "RALYBND", "it says that we are bound already"),
    0x06: (_F, "RINVPRTFLG", "it takes no such priority"),
    0x07: (_F, "RINVREGDLVFLG", "it takes no such request for receipts"),
    0x08: (_R, "RSYSERR", "it has an error of its own"),
    0x0A: (_F, "RINVSRCADR", "it does not take this sender ID"),
    0x0B: (_F, "RINVDSTADR", "it does not take this number"),
    0x0C: (_F, "RINVMSGID", "it does not know this message"),
    0x0D: (_B, "RBINDFAIL", "it refuses the bind"),
    0x0E: (_C, "RINVPASWD", "the password is wrong"),
    0x0F: (_C, "RINVSYSID", "it does not know the system_id"),
    0x11: (_F, "RCANCELFAIL", "it can't be cancelled any more"),
    0x13: (_F, "RREPLACEFAIL", "it can't be replaced"),
    0x14: (_T, "RMSGQFUL", "its queue is full"),
    0x15: (_C, "RINVSERTYP", "it does not know the service_type"),
    0x43: (_F, "RINVESMCLASS", "it does not take such a message"),
    0x45: (_R, "RSUBMITFAIL", "it could not take it"),
    0x48: (_F, "RINVSRCTON", "it takes no sender ID of this type of number"),
    0x49: (_F, "RINVSRCNPI", "it takes no sender ID of this numbering plan"),
    0x50: (_F, "RINVDSTTON", "it takes no phone of this type of number"),
    0x51: (_F, "RINVDSTNPI", "it takes no phone of this numbering plan"),
    0x53: (_C, "RINVSYSTYP", "it does not know the system_type"),
    0x58: (_T, "RTHROTTLED", "too much at once"),
    0x61: (_F, "RINVSCHED", "it does not take this time"),
    0x62: (_F, "RINVEXPIRY", "it does not take this validity"),
    0x64: (_R, "RX_T_APPN", "it can't take it now"),
    0x65: (_F, "RX_P_APPN", "it will not take it"),
    0x66: (_F, "RX_R_APPN", "it rejects it"),
    0x67: (_F, "RQUERYFAIL", "it can't be asked about this message"),
    0xC0: (_F, "RINVOPTPARSTREAM", "it does not take these optional parameters"),
    0xC1: (_F, "ROPTPARNOTALLWD", "it does not take an optional parameter"),
    0xC2: (_F, "RINVPARLEN", "it does not take a parameter's length"),
    0xC3: (_F, "RMISSINGOPTPARAM", "it wants an optional parameter"),
    0xC4: (_F, "RINVOPTPARAMVAL", "it does not take an optional parameter's value"),
    0xFE: (_R, "RDELIVERYFAILURE", "it could not hand it on"),
    0xFF: (_R, "RUNKNOWNERR", "it has an error without a name"),
    0x100: (_C, "RSERTYPUNAUTH", "the account may not use this service"),
    0x101: (_C, "RPROHIBITED", "the account may not do this"),
    0x102: (_R, "RSERTYPUNAVAIL", "the service is not available"),
    0x103: (_C, "RSERTYPDENIED", "the account was denied this service"),
    0x104: (_F, "RINVDCS", "it does not take this data_coding"),
    0x400: (_T, "bind throttled", "too many binds at once"),
    0x401: (_F, "bad data_coding", "it does not take this data_coding"),
    0x402: (_F, "bad GSM-7", "it does not take this text as GSM-7"),
}
_UNKNOWN: Final = (_F, "", "it gives no reason that we know")


def kind(status: int, own: Mapping[int, Kind] | None = None) -> Kind:
    """Return what is done about a status; `own` is what the operator knows better."""
    return (own or {}).get(status, STATUSES.get(status, _UNKNOWN)[0])


def code(status: int) -> str:
    """Return the status as it is written in the documents of providers."""
    return f"0x{status:02X}"


def meaning(status: int) -> str:
    """Return what it says, for people, with its name."""
    _, name, words = STATUSES.get(status, _UNKNOWN)
    return f"{words} ({name})" if name else words


def failure(status: int, own: Mapping[int, Kind], retry_after_s: float) -> SendFailed:
    """Return why a submit was not taken; `retry_after_s` is for one that came too fast."""
    what = kind(status, own)
    if what is Kind.THROTTLE:
        return Unavailable(code(status), meaning(status), retry_after_s=retry_after_s, same_carrier=True)
    failed = Refused if what is Kind.REFUSE else Unavailable
    return failed(code(status), meaning(status))
