"""OK from a phone: somebody takes care of an alarm, and the others who got it are told who. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from mail2sms import keywords, numbers, storms
from mail2sms.ids import derive_id
from mail2sms.model import (
    Conversation,
    MessageClass,
    MoMessage,
    Msisdn,
    MtMessage,
    Origin,
    Proof,
    Submission,
    Writer,
)
from mail2sms.verdict import Judge

_WORDS = frozenset(
    {
        *("OK", "OKAY", "O K", "ACK", "ACKNOWLEDGED", "GOT IT", "ON IT"),
        *("VU", "RECU", "BIEN RECU", "PRIS", "JE PRENDS", "JE M EN OCCUPE"),
        *("GESEHEN", "VERSTANDEN", "UBERNOMMEN", "UEBERNOMMEN", "ICH UBERNEHME"),
        *("RICEVUTO", "VISTO", "PRESO", "CI PENSO IO"),
    }
)  # as `keywords.fold` leaves them: whole texts, that nobody writes who does not mean it
_SIGNS = frozenset("\N{THUMBS UP SIGN}\N{OK HAND SIGN}")
_TONES = {ord(tone): None for tone in "\ufe0e\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"}
_VALIDITY_MS = 3_600_000  # later, everybody knows
_ROOM = storms.Room(parts=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Raised:
    """The alarm that a phone answers: its SMS, and the phones beside this one that got it."""

    fold: str
    device: str
    text: str
    others: tuple[Msisdn, ...]
    is_acknowledged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the others are told, ready to be stored."""

    submission: Submission
    mts: tuple[MtMessage, ...]


def is_meant(mo: MoMessage) -> bool:
    """Whether a text says that its writer takes care of it, and nothing else: a question or another sign does not."""
    said = mo.text.translate(_TONES)
    signs = {c for c in said if unicodedata.category(c) == "So"}
    if mo.photos or mo.media or "?" in said or not signs <= _SIGNS:
        return False
    word = keywords.fold(said)
    return word in _WORDS or (not word and bool(signs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledge:
    """How others are told; `words` as in Storm."""

    account: str
    words: Mapping[str, str]
    judge: Judge

    def tell(self, mo: MoMessage, raised: Raised, now: int) -> Told | None:
        """Return what the others are told of the first who acknowledges; None when there is nobody to tell."""
        if raised.is_acknowledged or not raised.others:
            return None
        ours = Writer(account=self.account, address="", proof=Proof.OPERATOR, class_=MessageClass.ALARM)
        who = numbers.display(mo.msisdn)
        submission = Submission(
            id=derive_id("m", raised.fold, "taken"),
            writer=ours,
            text=storms.taken(raised.device, who, raised.text, self.words, _ROOM),
            recipients=raised.others,
            origin=Origin(source="keyword"),
            created_at=now,
            validity_ms=_VALIDITY_MS,
            conversation=Conversation(
                id="",
                account=self.account,
                our_address=mo.to,
                msisdn=mo.msisdn,
                writers=frozenset({ours.address}),
            ),
        )
        messages = self.judge.judge([submission]).messages
        return Told(submission=submission, mts=messages) if messages else None
