"""What a text from a phone says of consent, and what the phone is answered. Pure.

An answer is judged as any message is, but for the list of opt-outs and quiet hours: it is asked for by the phone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mail2sms import numbers
from mail2sms.ids import conversation_of, derive_id
from mail2sms.keywords import Keywords, Word
from mail2sms.model import Conversation, MessageClass, MoMessage, MtMessage, Origin, Proof, Submission, Writer
from mail2sms.verdict import Judge

__all__ = ["Answer", "Consent", "Said", "Word"]

_DAY_MS = 86_400_000
_VALIDITY_MS = 3_600_000  # later, a confirmation only puzzles


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A keyword, as folded. `is_everywhere`: it is about all of our numbers, not only the one it was sent to."""

    word: Word
    keyword: str
    is_everywhere: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A text of ours to the phone, ready to be stored."""

    submission: Submission
    mt: MtMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """How keywords are read and answered.

    `answers` are texts by language and word, without any nobody is answered; `silent` are carriers that answer
    themselves.
    """

    keywords: Keywords
    account: str
    house: str
    answers: Mapping[str, Mapping[str, str]]
    judge: Judge
    silent: frozenset[str] = frozenset()
    is_everywhere: bool = False

    def read(self, mo: MoMessage, now: int) -> tuple[Said | None, Answer | None]:
        """Return what a text says and what it is answered: at most once a day for each word and conversation."""
        region = numbers.region(mo.msisdn) if mo.msisdn.startswith("+") else ""
        keyword = self.keywords.find(mo.text, region)
        if keyword is None or mo.photos or mo.media:
            return None, None
        said = Said(word=keyword.word, keyword=keyword.text, is_everywhere=self.is_everywhere)
        texts = self.answers.get(self.keywords.language(keyword, region)) or self.answers.get("en")
        # A short code or a name is a machine: two of them might answer each other for ever.
        if texts is None or mo.carrier in self.silent or not mo.msisdn.startswith("+"):
            return said, None
        return said, self._answer(mo, texts[said.word].replace("{house}", self.house), said.word, now)

    def _answer(self, mo: MoMessage, text: str, word: Word, now: int) -> Answer | None:
        conversation = conversation_of(self.account, mo.to, mo.msisdn)
        ours = Writer(account=self.account, address="", proof=Proof.OPERATOR, class_=MessageClass.CONSENT)
        submission = Submission(
            id=derive_id("m", conversation, word, str(now // _DAY_MS)),
            writer=ours,
            text=text,
            recipients=(mo.msisdn,),
            origin=Origin(source="keyword"),
            created_at=now,
            validity_ms=_VALIDITY_MS,
            conversation=Conversation(
                id=conversation,
                account=self.account,
                our_address=mo.to,
                msisdn=mo.msisdn,
                writers=frozenset({ours.address}),
            ),
        )
        messages = self.judge.judge([submission]).messages
        return Answer(submission=submission, mt=messages[0]) if messages else None
